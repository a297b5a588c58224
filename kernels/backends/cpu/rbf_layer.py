"""``rbf_layer`` on the CPU: native/cpu/rbf_layer.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import rbf_layer_backward as _backward
from ..._native import rbf_layer_forward as _forward


def rbf_layer_forward(features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """out [N, O]; see :func:`kernels.rbf_layer`."""
    _forward(features, centers, log_betas, weight, bias, out, torch.get_num_threads())


def rbf_layer_backward(
    features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, grad: Tensor, direction: Tensor | None,
    by_grad: Tensor | None, by_features: Tensor | None, sums: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>``, or with a direction [N, F] of ``<direction, the gradient to features>``; by_grad only then.

    ``sums`` has centers, log_betas, weight and bias one after another and is added to, the others are written; each may be None.
    """
    threads = torch.get_num_threads()
    _backward(features, centers, log_betas, weight, grad, direction, by_grad, by_features, sums, threads)
