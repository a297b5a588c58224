"""``rbf_layer`` in CUDA: launchers of native/cuda/rbf_layer.cu."""

from __future__ import annotations

from torch import Tensor

from . import runtime
from .runtime import Unit, unit_of


def _layer(like: Tensor, outputs: int) -> Unit:
    return unit_of("rbf_layer", like, FEATURES=like.shape[1], OUTPUTS=outputs)


def rbf_layer_forward(features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """out [N, O]; see :func:`kernels.rbf_layer`."""
    n, inputs = features.shape[0], (features, None, centers, log_betas.exp(), weight, bias)
    runtime.launch(_layer(features, out.shape[1]), "layer_forward_rows", (n, 1), n, *inputs, centers.shape[0], out)


def rbf_layer_backward(
    features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, grad: Tensor, direction: Tensor | None,
    by_grad: Tensor | None, by_features: Tensor | None, sums: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>``, or with a direction [N, F] of ``<direction, the gradient to features>``; by_grad only then.

    ``sums`` has centers, log_betas, weight and bias one after another and is added to, the others are written; each may be None.
    """
    n, unit, inputs = features.shape[0], _layer(features, grad.shape[1]), (features, direction, centers, log_betas.exp(), weight)
    if by_grad is not None:
        runtime.launch(unit, "layer_forward_rows", (n, 1), n, *inputs, None, centers.shape[0], by_grad)
    if by_features is not None or sums is not None:
        runtime.launch(unit, "layer_backward_rows", (n, 1), n, *inputs, centers.shape[0], grad, by_features, sums)
