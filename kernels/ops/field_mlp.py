"""``field_mlp``: a small multilayer perceptron whose activations never leave the cache, with the gradient of output 0 where asked."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from .. import backends
from ..errors import ArgumentError
from ..reference import mlp as reference
from ..specs import MLPSpec, mlp_from_ints
from . import checks, gpu_fields
from .native_specs import native_mlp, raw


@overload
def field_mlp(x: Tensor, params: Tensor, spec: MLPSpec, *, order: Literal[0] = 0, backend: str | None = None) -> Tensor: ...
@overload
def field_mlp(x: Tensor, params: Tensor, spec: MLPSpec, *, order: Literal[1], backend: str | None = None) -> tuple[Tensor, Tensor]: ...
def field_mlp(
    x: Tensor, params: Tensor, spec: MLPSpec, *, order: Literal[0, 1] = 0, backend: str | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Evaluate a multilayer perceptron on every row.

    Natively in tiles whose activations stay in the cache; in CUDA one thread per row, without tensor cores; in Triton by tensor cores, in
    three TF32 passes. Order 1 is closed form natively (a reverse sweep, and for its gradients one derivative along a direction per row) and
    autograd through the reference on a GPU.

    Args:
        x: [N, spec.inputs], float32 or float64.
        params: [spec.params], dtype and device of ``x``; layout of :class:`MLPSpec`.
        spec: Widths, activations.
        order: 0 for the outputs; 1 for the outputs and the gradient of output 0 to ``x``.
        backend: Force a backend.
    Returns:
        Order 0: ``out`` [N, spec.outputs]. Order 1: ``(out, gradient)`` with ``gradient`` [N, spec.inputs]. All differentiable once to
        ``x`` and ``params``.
    Raises:
        ArgumentError: Wrong shape, dtype or device.
        BackendError: A forced backend is missing.
    """
    checks.float_tensor("x", x, (None, spec.inputs))
    checks.float_tensor("params", params, (spec.params,), like=x)
    if order not in (0, 1):
        raise ArgumentError(f"order must be 0 or 1, not {order!r}")
    name = backends.backend("field_mlp", x.device, backend)
    if name == "cpu":
        function = _jet if order else _mlp
        return function(x, params, spec.to_ints(), spec.beta)
    if order:
        return reference.field_mlp_jet(x, params, spec)
    if name in backends.GPU_MODULES:
        return gpu_fields.field_mlp(name, x, params, spec)
    return reference.field_mlp(x, params, spec)


@torch.library.custom_op("formfield::field_mlp", mutates_args=())
def _mlp(x: Tensor, params: Tensor, mlp: list[int], beta: float) -> Tensor:
    spec = mlp_from_ints(mlp, beta)
    out = x.new_empty(x.shape[0], spec.outputs)
    backends.native().field_mlp_forward(raw(x), raw(params), native_mlp(spec), out, None, torch.get_num_threads())
    return out


@_mlp.register_fake
def _(x: Tensor, params: Tensor, mlp: list[int], beta: float) -> Tensor:
    return x.new_empty(x.shape[0], mlp[-1])


@torch.library.custom_op("formfield::field_mlp_jet", mutates_args=())
def _jet(x: Tensor, params: Tensor, mlp: list[int], beta: float) -> tuple[Tensor, Tensor]:
    spec = mlp_from_ints(mlp, beta)
    out = x.new_empty(x.shape[0], spec.outputs)
    gradient = torch.empty_like(x, memory_format=torch.contiguous_format)
    backends.native().field_mlp_forward(raw(x), raw(params), native_mlp(spec), out, gradient, torch.get_num_threads())
    return out, gradient


@_jet.register_fake
def _(x: Tensor, params: Tensor, mlp: list[int], beta: float) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], mlp[-1]), torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op("formfield::field_mlp_backward", mutates_args=())
def _mlp_backward(
    grad_out: Tensor,
    grad_gradient: Tensor | None,
    x: Tensor,
    params: Tensor,
    mlp: list[int],
    beta: float,
    need_x: bool,
    need_params: bool,
) -> tuple[Tensor, Tensor]:
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else x.new_empty(0)
    grad_params = torch.zeros_like(params, memory_format=torch.contiguous_format) if need_params else params.new_empty(0)
    backends.native().field_mlp_backward(
        raw(x),
        raw(params),
        native_mlp(mlp_from_ints(mlp, beta)),
        raw(grad_out),
        None if grad_gradient is None else raw(grad_gradient),
        grad_x if need_x else None,
        grad_params if need_params else None,
        torch.get_num_threads(),
    )
    return grad_x, grad_params


@_mlp_backward.register_fake
def _(grad_out, grad_gradient, x, params, mlp, beta, need_x, need_params):
    return (
        torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else x.new_empty(0),
        torch.empty_like(params, memory_format=torch.contiguous_format) if need_params else params.new_empty(0),
    )


def _setup(ctx, inputs, output):
    x, params, ctx.mlp, ctx.beta = inputs
    ctx.save_for_backward(x, params)


def _gradient(ctx, grad_out):
    return _gradients(ctx, grad_out, None)


def _gradients(ctx, grad_out, grad_gradient):
    x, params = ctx.saved_tensors
    need_x, need_params = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
    grad_x, grad_params = _mlp_backward(grad_out, grad_gradient, x, params, ctx.mlp, ctx.beta, need_x, need_params)
    return grad_x if need_x else None, grad_params if need_params else None, None, None


_mlp.register_autograd(_gradient, setup_context=_setup)
_jet.register_autograd(_gradients, setup_context=_setup)
