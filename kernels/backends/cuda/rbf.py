"""``rbf_encode`` in CUDA: launchers of native/cuda/rbf.cu."""

from __future__ import annotations

from torch import Tensor

from . import runtime
from .runtime import unit_of


def rbf_forward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    out: Tensor,
) -> None:  # fmt: skip
    """out [N, F]; kernel an index into ``rbf_encode.KERNELS``; flags: 1 normalize, 2 taper, 4 detach_normalizer."""
    shape = (kernel, flags, shapes.shape[1], neighbors.shape[1], weights.shape[1])
    inputs = (x, centers, shapes, weights, neighbors, frequencies)
    runtime.launch(unit_of("rbf", x, DIMS=x.shape[1]), "rbf_forward_rows", (x.shape[0], 1), x.shape[0], *inputs, *shape, out)


def rbf_backward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    grad: Tensor, direction: Tensor | None, by_grad: Tensor | None, by_x: Tensor | None, by_centers: Tensor | None,
    by_shapes: Tensor | None, by_weights: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>``, or with a direction [N, D] of ``<direction, the gradient to x>``; by_grad only then.

    Those of points are written, those of functions added to; each may be None.
    """
    shape = (kernel, flags, shapes.shape[1], neighbors.shape[1], weights.shape[1])
    inputs = (x, centers, shapes, weights, neighbors, frequencies)
    results = (by_x, by_centers, by_shapes, by_weights)
    last = results if direction is None else (direction, by_grad, *results)
    entry = "rbf_backward_rows" if direction is None else "rbf_second_rows"
    runtime.launch(unit_of("rbf", x, DIMS=x.shape[1]), entry, (x.shape[0], 1), x.shape[0], *inputs, *shape, grad, *last)
