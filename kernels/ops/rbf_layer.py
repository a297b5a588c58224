"""``rbf_layer``: a layer of Gaussian radial basis neurons over features (Gaussian RBFNet / GNF, arXiv 2503.06762)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import rbf_layer as reference
from ..errors import ArgumentError
from . import packed_checks as checks
from .tensors import empty, raws, wanted


@overload
def rbf_layer(
    features: Tensor,
    centers: Tensor,
    log_betas: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    order: Literal[0] = 0,
    backend: str | None = None,
) -> Tensor: ...
@overload
def rbf_layer(
    features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, bias: Tensor, *, order: Literal[1], backend: str | None = None
) -> tuple[Tensor, Tensor]: ...
def rbf_layer(
    features: Tensor,
    centers: Tensor,
    log_betas: Tensor,
    weight: Tensor,
    bias: Tensor,
    *,
    order: Literal[0, 1] = 0,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Evaluate ``y = weight phi + bias``, ``phi_i = exp(-1/2 sum_j exp(log_betas_ij) (features_j - centers_ij)^2)``.

    Args:
        features: [N, F] float32 or float64
        centers: One per neuron, in feature space. [R, F]
        log_betas: Logarithms of the inverse squared widths, per neuron and feature. [R, F]
        weight: [O, R]
        bias: [O]
        order: 0 for the outputs; 1 for the outputs and the gradient of output 0 to ``features``.
        backend: Force a backend.
    Returns:
        Order 0: ``y`` [N, O]. Order 1: ``(y, gradient)`` with ``gradient`` [N, F]. Differentiable once to everything, and the gradient of
        ``y`` to ``features`` once more to everything. All versions sum the squares
        directly (in CUDA one thread per row), but the reference, which expands them into two matrix products and clamps what cancellation
        leaves below 0. Memory of the native version: at most 64 copies of the parameters beyond the output.
    Raises:
        ArgumentError: Wrong shape, dtype or device.
        BackendError: A forced backend is missing.
    """
    checks.length("rbf_layer", "features", features)
    checks.floats("rbf_layer", features=(features, (None, None)), centers=(centers, (None, features.shape[-1])))
    (neurons, width), outputs = centers.shape, checks.length("rbf_layer", "weight", weight)
    checks.floats(
        "rbf_layer",
        features=(features, (None, width)),
        log_betas=(log_betas, (neurons, width)),
        weight=(weight, (None, neurons)),
        bias=(bias, (outputs,)),
    )
    if order not in (0, 1):
        raise ArgumentError(f"rbf_layer: order must be 0 or 1, not {order!r}")
    if order and outputs == 0:
        raise ArgumentError("rbf_layer: order 1 needs at least one output")
    name = backends.backend("rbf_layer", features.device, backend)
    if name == "reference":
        function = reference.rbf_layer_jet if order else reference.rbf_layer
        return function(features, centers, log_betas, weight, bias)
    out = _layer(features, centers, log_betas, weight, bias, name)
    if not order:
        return out
    ones = features.new_ones(features.shape[0], 1)
    return out, _backward(ones, features, centers, log_betas, weight[:1], True, False, name)[0]


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import rbf_layer

        return rbf_layer
    return backends.raw(backend, "rbf_layer", like)


@torch.library.custom_op("formfield::rbf_layer", mutates_args=())
def _layer(features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, bias: Tensor, backend: str) -> Tensor:
    out = features.new_empty(features.shape[0], weight.shape[0])
    _kernels(backend, features).rbf_layer_forward(*raws(features, centers, log_betas, weight, bias), out)
    return out


@_layer.register_fake
def _(features, centers, log_betas, weight, bias, backend):
    return features.new_empty(features.shape[0], weight.shape[0])


def _parameters(centers: Tensor, weight: Tensor, wanted: bool) -> Tensor:
    """Where the native code adds the gradients of centers, log_betas, weight and bias, one after another."""
    return centers.new_zeros(2 * centers.numel() + weight.numel() + weight.shape[0] if wanted else 0)


def _split(flat: Tensor, centers: Tensor, weight: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    c, b, w, bias = flat.split([centers.numel(), centers.numel(), weight.numel(), weight.shape[0]])
    return c.view(centers.shape), b.view(centers.shape), w.view(weight.shape), bias


@torch.library.custom_op("formfield::rbf_layer_backward", mutates_args=())
def _backward(
    grad: Tensor,
    features: Tensor,
    centers: Tensor,
    log_betas: Tensor,
    weight: Tensor,
    need_features: bool,
    need_parameters: bool,
    backend: str,
) -> tuple[Tensor, Tensor]:
    by_features, flat = empty(features, need_features), _parameters(centers, weight, need_parameters)
    results = wanted((by_features, flat), (need_features, need_parameters))
    _kernels(backend, features).rbf_layer_backward(*raws(features, centers, log_betas, weight, grad), None, None, *results)
    return by_features, flat


@_backward.register_fake
def _(grad, features, centers, log_betas, weight, need_features, need_parameters, backend):
    return empty(features, need_features), _parameters(centers, weight, need_parameters)


@torch.library.custom_op("formfield::rbf_layer_backward_backward", mutates_args=())
def _second(
    direction: Tensor,
    grad: Tensor,
    features: Tensor,
    centers: Tensor,
    log_betas: Tensor,
    weight: Tensor,
    needed: list[bool],
    backend: str,
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of ``direction . dL/dfeatures`` to grad, features, and the parameters in one piece."""
    out = (empty(grad, needed[0]), empty(features, needed[1]), _parameters(centers, weight, needed[2]))
    inputs = raws(features, centers, log_betas, weight, grad, direction)
    _kernels(backend, features).rbf_layer_backward(*inputs, *wanted(out, needed))
    return out


@_second.register_fake
def _(direction, grad, features, centers, log_betas, weight, needed, backend):
    return empty(grad, needed[0]), empty(features, needed[1]), _parameters(centers, weight, needed[2])


def _gradient(ctx, grad):
    features, centers, log_betas, weight = ctx.saved_tensors
    need = ctx.needs_input_grad
    parameters = any(need[1:5])
    by_features, flat = _backward(grad, features, centers, log_betas, weight, need[0], parameters, ctx.backend)
    parts = _split(flat, centers, weight) if parameters else (None,) * 4
    return (by_features if need[0] else None, *(p if want else None for p, want in zip(parts, need[1:5])), None)


def _setup(ctx, inputs, output):
    ctx.backend = inputs[-1]
    ctx.save_for_backward(*inputs[:4])


_layer.register_autograd(_gradient, setup_context=_setup)


def _backward_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.backend = inputs[-1]
    ctx.save_for_backward(*inputs[:5])


def _backward_gradient(ctx, by_features, by_parameters):
    if by_parameters is not None:
        raise ArgumentError("rbf_layer: of its gradients, only the one to features can be differentiated again")
    if by_features is None:
        return (None,) * 8
    need = ctx.needs_input_grad
    grad, features, centers, log_betas, weight = ctx.saved_tensors
    parameters = any(need[2:5])
    out = _second(by_features, grad, features, centers, log_betas, weight, [need[0], need[1], parameters], ctx.backend)
    parts = _split(out[2], centers, weight)[:3] if parameters else (None,) * 3
    first = (out[0] if need[0] else None, out[1] if need[1] else None)
    return (*first, *(p if want else None for p, want in zip(parts, need[2:5])), None, None, None)


_backward.register_autograd(_backward_gradient, setup_context=_backward_setup)
