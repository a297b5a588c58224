"""``field_mlp``: a small multilayer perceptron whose activations never leave the cache."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import backends
from ..reference import mlp as reference
from ..specs import MLPSpec, mlp_from_ints
from . import checks, gpu_fields
from .native_specs import native_mlp, raw


def field_mlp(x: Tensor, params: Tensor, spec: MLPSpec, *, backend: str | None = None) -> Tensor:
    """Evaluate a multilayer perceptron on every row.

    Natively in tiles whose activations stay in the cache; in CUDA one thread per row, without tensor cores; in Triton by tensor cores, in
    three TF32 passes.

    Args:
        x: [N, spec.inputs], float32 or float64.
        params: [spec.params], dtype and device of ``x``; layout of :class:`MLPSpec`.
        spec: Widths, activations.
        backend: Force a backend.
    Returns:
        [N, spec.outputs]. Differentiable once to ``x`` and ``params``.
    Raises:
        ArgumentError: Wrong shape, dtype or device.
        BackendError: A forced backend is missing.
    """
    checks.float_tensor("x", x, (None, spec.inputs))
    checks.float_tensor("params", params, (spec.params,), like=x)
    name = backends.backend("field_mlp", x.device, backend)
    if name == "cpu":
        return _mlp(x, params, spec.to_ints(), spec.beta)
    if name in backends.GPU_MODULES:
        return gpu_fields.field_mlp(name, x, params, spec)
    return reference.field_mlp(x, params, spec)


@torch.library.custom_op("formfield::field_mlp", mutates_args=())
def _mlp(x: Tensor, params: Tensor, mlp: list[int], beta: float) -> Tensor:
    spec = mlp_from_ints(mlp, beta)
    out = x.new_empty(x.shape[0], spec.outputs)
    backends.native().field_mlp_forward(raw(x), raw(params), native_mlp(spec), out, torch.get_num_threads())
    return out


@_mlp.register_fake
def _(x: Tensor, params: Tensor, mlp: list[int], beta: float) -> Tensor:
    return x.new_empty(x.shape[0], mlp[-1])


@torch.library.custom_op("formfield::field_mlp_backward", mutates_args=())
def _mlp_backward(
    grad_out: Tensor, x: Tensor, params: Tensor, mlp: list[int], beta: float, need_x: bool, need_params: bool
) -> tuple[Tensor, Tensor]:
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else x.new_empty(0)
    grad_params = torch.zeros_like(params, memory_format=torch.contiguous_format) if need_params else params.new_empty(0)
    backends.native().field_mlp_backward(
        raw(x),
        raw(params),
        native_mlp(mlp_from_ints(mlp, beta)),
        raw(grad_out),
        grad_x if need_x else None,
        grad_params if need_params else None,
        torch.get_num_threads(),
    )
    return grad_x, grad_params


@_mlp_backward.register_fake
def _(grad_out: Tensor, x: Tensor, params: Tensor, mlp: list[int], beta: float, need_x: bool, need_params: bool) -> tuple[Tensor, Tensor]:
    return (
        torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else x.new_empty(0),
        torch.empty_like(params, memory_format=torch.contiguous_format) if need_params else params.new_empty(0),
    )


def _setup(ctx, inputs, output):
    x, params, ctx.mlp, ctx.beta = inputs
    ctx.save_for_backward(x, params)


def _gradient(ctx, grad_out):
    x, params = ctx.saved_tensors
    need_x, need_params = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
    grad_x, grad_params = _mlp_backward(grad_out, x, params, ctx.mlp, ctx.beta, need_x, need_params)
    return grad_x if need_x else None, grad_params if need_params else None, None, None


_mlp.register_autograd(_gradient, setup_context=_setup)
