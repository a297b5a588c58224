"""``rbf_layer`` in CUDA: launchers of native/cuda/rbf_layer.cu."""

from __future__ import annotations

from torch import Tensor

from . import runtime
from .runtime import Unit, unit_of

BLOCKS = 512  # of those that sum over samples, about
SHARED = 40 << 10  # bytes that such a block may have for what it looks at


def _block(features: int, outputs: int, size: int) -> tuple[int, int]:
    """Neurons that a block sums for, and samples that it looks at at a time: as many as it has room for. Size: bytes of a number."""
    for neurons, tile in ((n, t) for n in (16, 8, 4, 2, 1) for t in (32, 16, 8, 4)):
        fixed, each = neurons * (2 * features + outputs + 3), 2 * features + outputs + 3 * neurons
        if (fixed + tile * each) * size <= SHARED:
            return neurons, tile
    return 1, 1


def _layer(like: Tensor, outputs: int) -> Unit:
    features = like.shape[1]
    neurons, tile = _block(features, outputs, like.element_size())
    return unit_of("rbf_layer", like, FEATURES=features, OUTPUTS=outputs, NEURONS=neurons, TILE=tile)


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
    n, neurons, unit = features.shape[0], centers.shape[0], _layer(features, grad.shape[1])
    layer = (centers, log_betas.exp(), weight)
    if by_grad is not None:
        runtime.launch(unit, "layer_forward_rows", (n, 1), n, features, direction, *layer, None, neurons, by_grad)
    if by_features is not None:
        runtime.launch(unit, "layer_to_features", (n, 1), n, features, direction, *layer, neurons, grad, by_features)
    if sums is not None:
        together, tile = _block(features.shape[1], grad.shape[1], features.element_size())
        parts = max(-(-neurons // together), 1)
        across = min(-(-n // tile), max(1, BLOCKS // parts))
        entry = "layer_to_parameters" if direction is None else "layer_to_parameters_along"
        given = (features,) if direction is None else (features, direction)
        runtime.launch(unit, entry, (across * runtime.THREADS, parts), n, *given, *layer, neurons, grad, sums)
