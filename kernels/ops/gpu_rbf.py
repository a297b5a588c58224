"""Gradients and fake kernels of ``rbf_encode`` on the GPU backends.

CUDA has the whole op in one kernel over the shared bodies. In Triton only the work over channels is a kernel; the values of the functions,
small beside it, are plain torch, whose derivatives of any order come from autograd.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..backends import gpu
from ..errors import ArgumentError
from ..reference.rbf import rbf_values
from .gpu_fields import _empty, _raw, _zeros


def rbf_encode(
    name: str, x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: str,
    normalize: bool, taper: bool, detach_normalizer: bool, kernels: tuple[str, ...],
) -> Tensor:  # fmt: skip
    """See :func:`kernels.rbf_encode`; ``kernels`` lists the kernels in the order of their numbers."""
    if name == "triton":
        values = rbf_values(x, centers, shapes, neighbors, kernel, normalize, taper, detach_normalizer)
        return _channels(values, weights, neighbors, frequencies, name)
    flags = int(normalize) + 2 * int(taper) + 4 * int(detach_normalizer)
    return _encode(x, centers, shapes, weights, neighbors, frequencies, kernels.index(kernel), flags, name)


def _optional(t: Tensor | None) -> Tensor | None:
    return None if t is None else t.detach().contiguous()


@torch.library.custom_op("formfield::gpu_rbf_channels", mutates_args=())
def _channels(values: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, backend: str) -> Tensor:
    out = values.new_empty(values.shape[0], weights.shape[1])
    p, w, ids = _raw(values, weights, neighbors)
    gpu(backend, values).rbf_channels_forward(p, None, ids, _optional(frequencies), w, out)
    return out


@_channels.register_fake
def _(values, weights, neighbors, frequencies, backend):
    return values.new_empty(values.shape[0], weights.shape[1])


@torch.library.custom_op("formfield::gpu_rbf_channels_backward", mutates_args=())
def _channels_backward(
    grad: Tensor, values: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, backend: str
) -> tuple[Tensor, Tensor]:
    out = _empty(values), _zeros(weights)
    p, w, ids, g = _raw(values, weights, neighbors, grad)
    gpu(backend, values).rbf_channels_backward(p, None, ids, _optional(frequencies), w, g, *out)
    return out


@_channels_backward.register_fake
def _(grad, values, weights, neighbors, frequencies, backend):
    return _empty(values), _empty(weights)


@torch.library.custom_op("formfield::gpu_rbf_channels_second", mutates_args=())
def _channels_second(
    tangent: Tensor, grad: Tensor, values: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    out = _empty(grad), _empty(values), _zeros(weights)
    p, w, ids, g, v = _raw(values, weights, neighbors, grad, tangent)
    module = gpu(backend, values)
    module.rbf_channels_forward(p, v, ids, _optional(frequencies), w, out[0])
    module.rbf_channels_backward(p, v, ids, _optional(frequencies), w, g, *out[1:])
    return out


@_channels_second.register_fake
def _(tangent, grad, values, weights, neighbors, frequencies, backend):
    return _empty(grad), _empty(values), _empty(weights)


def _channels_setup(ctx, inputs, output):
    *tensors, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _channels_gradient(ctx, grad):
    return (*_channels_backward(grad, *ctx.saved_tensors, ctx.backend), None, None, None)


def _channels_second_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    *tensors, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _channels_second_gradient(ctx, by_values, by_weights):
    if by_weights is not None:
        raise ArgumentError("rbf_encode: of its gradients, only the one to x can be differentiated again")
    if by_values is None:
        return (None,) * 6
    return (*_channels_second(by_values, *ctx.saved_tensors, ctx.backend), None, None, None)


_channels.register_autograd(_channels_gradient, setup_context=_channels_setup)
_channels_backward.register_autograd(_channels_second_gradient, setup_context=_channels_second_setup)


@torch.library.custom_op("formfield::gpu_rbf_encode", mutates_args=())
def _encode(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    backend: str,
) -> Tensor:  # fmt: skip
    out = x.new_empty(x.shape[0], weights.shape[1])
    gpu(backend, x).rbf_forward(*_raw(x, centers, shapes, weights, neighbors), _optional(frequencies), kernel, flags, out)
    return out


@_encode.register_fake
def _(x, centers, shapes, weights, neighbors, frequencies, kernel, flags, backend):
    return x.new_empty(x.shape[0], weights.shape[1])


@torch.library.custom_op("formfield::gpu_rbf_encode_backward", mutates_args=())
def _backward(
    grad: Tensor, x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int,
    flags: int, backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    out = _empty(x), _zeros(centers), _zeros(shapes), _zeros(weights)
    inputs = (*_raw(x, centers, shapes, weights, neighbors), _optional(frequencies))
    gpu(backend, x).rbf_backward(*inputs, kernel, flags, grad.detach().contiguous(), None, None, *out)
    return out


@_backward.register_fake
def _(grad, x, centers, shapes, weights, neighbors, frequencies, kernel, flags, backend):
    return _empty(x), _empty(centers), _empty(shapes), _empty(weights)


@torch.library.custom_op("formfield::gpu_rbf_encode_second", mutates_args=())
def _second(
    direction: Tensor, grad: Tensor, x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor,
    frequencies: Tensor | None, kernel: int, flags: int, backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    out = _empty(grad), _empty(x), _zeros(centers), _zeros(shapes), _zeros(weights)
    inputs = (*_raw(x, centers, shapes, weights, neighbors), _optional(frequencies))
    gpu(backend, x).rbf_backward(*inputs, kernel, flags, *_raw(grad, direction), *out)
    return out


@_second.register_fake
def _(direction, grad, x, centers, shapes, weights, neighbors, frequencies, kernel, flags, backend):
    return _empty(grad), _empty(x), _empty(centers), _empty(shapes), _empty(weights)


def _setup(ctx, inputs, output):
    *tensors, ctx.kernel, ctx.flags, ctx.backend = inputs
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*tensors)


def _gradient(ctx, grad):
    if grad is None:
        return (None,) * 9
    return (*_backward(grad, *ctx.saved_tensors, ctx.kernel, ctx.flags, ctx.backend), None, None, None, None, None)


def _second_gradient(ctx, by_x, by_centers, by_shapes, by_weights):
    if by_centers is not None or by_shapes is not None or by_weights is not None:
        raise ArgumentError("rbf_encode: of its gradients, only the one to x can be differentiated again")
    if by_x is None:
        return (None,) * 10
    if ctx.flags & 4:
        raise ArgumentError("rbf_encode: with detach_normalizer the gradient to x cannot be differentiated; leave it off")
    return (*_second(by_x, *ctx.saved_tensors, ctx.kernel, ctx.flags, ctx.backend), None, None, None, None, None)


_encode.register_autograd(_gradient, setup_context=_setup)
_backward.register_autograd(_second_gradient, setup_context=_setup)
