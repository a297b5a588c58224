"""``rbf_encode`` on the CPU: native/cpu/rbf.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import rbf_backward as _backward
from ..._native import rbf_forward as _forward


def rbf_forward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    out: Tensor,
) -> None:  # fmt: skip
    """out [N, F]; kernel an index into ``KERNELS``; flags: 1 normalize, 2 taper, 4 detach_normalizer."""
    _forward(x, centers, shapes, weights, neighbors, frequencies, kernel, flags, out, torch.get_num_threads())


def rbf_backward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    grad: Tensor, direction: Tensor | None, by_grad: Tensor | None, by_x: Tensor | None, by_centers: Tensor | None,
    by_shapes: Tensor | None, by_weights: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>``, or with a direction [N, D] of ``<direction, the gradient to x>``; by_grad only then.

    Those of points are written, those of functions added to; each may be None.
    """
    inputs = (x, centers, shapes, weights, neighbors, frequencies, kernel, flags, grad, direction)
    _backward(*inputs, by_grad, by_x, by_centers, by_shapes, by_weights, torch.get_num_threads())
