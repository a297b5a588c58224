"""``rbf_encode`` in CUDA: launchers of native/cuda/rbf.cu."""

from __future__ import annotations

from torch import Tensor

from . import runtime
from .runtime import Unit, unit_of


def _unit(x: Tensor, shapes: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int) -> Unit:
    names = ("NORMALIZE", "TAPER", "DETACH")
    return unit_of(
        "rbf", x, DIMS=x.shape[1], KIND=kernel, WIDTH=shapes.shape[1], COLUMNS=neighbors.shape[1], WAVES=int(frequencies is not None),
        **{name: flags >> bit & 1 for bit, name in enumerate(names)},
    )  # fmt: skip


def rbf_forward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    out: Tensor,
) -> None:  # fmt: skip
    """out [N, F]; kernel an index into ``rbf_encode.KERNELS``; flags: 1 normalize, 2 taper, 4 detach_normalizer."""
    inputs = (x, centers, shapes, weights, neighbors, frequencies, weights.shape[1])
    unit = _unit(x, shapes, neighbors, frequencies, kernel, flags)
    runtime.launch(unit, "rbf_forward_rows", (x.shape[0], 1), x.shape[0], *inputs, out)


def rbf_backward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    grad: Tensor, direction: Tensor | None, by_grad: Tensor | None, by_x: Tensor | None, by_centers: Tensor | None,
    by_shapes: Tensor | None, by_weights: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>``, or with a direction [N, D] of ``<direction, the gradient to x>``; by_grad only then.

    Those of points are written, those of functions added to; each may be None.
    """
    inputs = (x, centers, shapes, weights, neighbors, frequencies, weights.shape[1])
    results = (by_x, by_centers, by_shapes, by_weights)
    last = results if direction is None else (direction, by_grad, *results)
    entry = "rbf_backward_rows" if direction is None else "rbf_second_rows"
    unit = _unit(x, shapes, neighbors, frequencies, kernel, flags)
    runtime.launch(unit, entry, (x.shape[0], 1), x.shape[0], *inputs, grad, *last)
