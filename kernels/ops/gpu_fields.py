"""Gradients and fake kernels of the hash grid, the network and the fused field on the GPU backends, cuda and triton.

Both backends offer the same raw functions on contiguous tensors (``backends.gpu``); what autograd and torch.compile need is here, once.
The operators carry the backend's name, so that a gradient runs on the backend that its forward pass ran on.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ..backends import gpu
from ..specs import HashGridSpec, MLPSpec, grid_from_ints, mlp_from_ints


def hash_encode(name: str, x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int) -> Tensor:
    """See :func:`kernels.hash_encode`."""
    return _encode(x, table, spec.to_ints(), active_levels, name)


def field_mlp(name: str, x: Tensor, params: Tensor, spec: MLPSpec) -> Tensor:
    """See :func:`kernels.field_mlp`."""
    return _mlp(x, params, spec.to_ints(), spec.beta, name)


def fused_field(
    name: str,
    x: Tensor,
    table: Tensor,
    params: Tensor,
    grid: HashGridSpec,
    mlp: MLPSpec,
    include_input: bool,
    active_levels: int,
    order: int,
) -> Tensor | tuple[Tensor, Tensor]:
    """See :func:`kernels.fused_field`."""
    function = _jet if order else _field
    return function(x, table, params, grid.to_ints(), mlp.to_ints(), mlp.beta, include_input, active_levels, name)


@torch.no_grad()
def adam_step(name: str, param: Tensor, *rest) -> None:
    """See :func:`kernels.adam_step`; arguments of the reference."""
    gpu(name, param).adam_step(param, *rest)


def _empty(like: Tensor, wanted: bool = True) -> Tensor:
    return torch.empty_like(like, memory_format=torch.contiguous_format) if wanted else like.new_empty(0)


def _zeros(like: Tensor, wanted: bool = True) -> Tensor:
    return torch.zeros_like(like, memory_format=torch.contiguous_format) if wanted else like.new_empty(0)


def _raw(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.detach().contiguous() for t in tensors)


@torch.library.custom_op("formfield::gpu_hash_encode", mutates_args=())
def _encode(x: Tensor, table: Tensor, grid: list[int], active_levels: int, backend: str) -> Tensor:
    spec = grid_from_ints(grid)
    out = x.new_empty(x.shape[0], spec.out_features)
    gpu(backend, x).hash_encode_forward(*_raw(x, table), spec, active_levels, out)
    return out


@_encode.register_fake
def _(x, table, grid, active_levels, backend):
    return x.new_empty(x.shape[0], grid[1] * grid[2])


@torch.library.custom_op("formfield::gpu_hash_encode_backward", mutates_args=())
def _encode_backward(
    grad_out: Tensor, x: Tensor, table: Tensor, grid: list[int], active_levels: int, need_x: bool, need_table: bool, backend: str
) -> tuple[Tensor, Tensor]:
    grad_x, grad_table = _empty(x, need_x), _zeros(table, need_table)
    points, entries, adjoint = _raw(x, table, grad_out)
    gpu(backend, x).hash_encode_backward(
        points, entries, grid_from_ints(grid), active_levels, adjoint, grad_x if need_x else None, grad_table if need_table else None
    )
    return grad_x, grad_table


@_encode_backward.register_fake
def _(grad_out, x, table, grid, active_levels, need_x, need_table, backend):
    return _empty(x, need_x), _empty(table, need_table)


@torch.library.custom_op("formfield::gpu_hash_encode_double_backward", mutates_args=())
def _encode_double_backward(
    v: Tensor, grad_out: Tensor, x: Tensor, table: Tensor, grid: list[int], active_levels: int, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    results = _empty(grad_out), _empty(x), _zeros(table)
    points, entries, adjoint, along = _raw(x, table, grad_out, v)
    gpu(backend, x).hash_encode_double_backward(points, entries, grid_from_ints(grid), active_levels, adjoint, along, *results)
    return results


@_encode_double_backward.register_fake
def _(v, grad_out, x, table, grid, active_levels, backend):
    return _empty(grad_out), _empty(x), _empty(table)


def _encode_setup(ctx, inputs, output):
    x, table, *ctx.rest = inputs
    ctx.save_for_backward(x, table)


def _encode_gradient(ctx, grad_out):
    x, table = ctx.saved_tensors
    need_x, need_table = ctx.needs_input_grad[:2]
    grid, active_levels, backend = ctx.rest
    grad_x, grad_table = _encode_backward(grad_out, x, table, grid, active_levels, need_x, need_table, backend)
    return grad_x if need_x else None, grad_table if need_table else None, None, None, None


def _encode_backward_setup(ctx, inputs, output):
    grad_out, x, table, ctx.grid, ctx.active_levels, ctx.need_x, ctx.need_table, ctx.backend = inputs
    ctx.save_for_backward(grad_out, x, table)


def _encode_backward_gradient(ctx, v_x, v_table):
    grad_out, x, table = ctx.saved_tensors
    grads: list[Tensor | None] = [None, None, None]
    if ctx.need_x and v_x is not None:
        grads = list(_encode_double_backward(v_x, grad_out, x, table, ctx.grid, ctx.active_levels, ctx.backend))
    if ctx.need_table and v_table is not None:
        # <v_table, dL/dtable> is the encoding of v_table, weighted by grad_out
        through_out = _encode(x, v_table, ctx.grid, ctx.active_levels, ctx.backend)
        through_x, _ = _encode_backward(grad_out, x, v_table, ctx.grid, ctx.active_levels, True, False, ctx.backend)
        grads[0] = through_out if grads[0] is None else grads[0] + through_out
        grads[1] = through_x if grads[1] is None else grads[1] + through_x
    return (*grads, None, None, None, None, None)


_encode.register_autograd(_encode_gradient, setup_context=_encode_setup)
_encode_backward.register_autograd(_encode_backward_gradient, setup_context=_encode_backward_setup)


@torch.library.custom_op("formfield::gpu_field_mlp", mutates_args=())
def _mlp(x: Tensor, params: Tensor, mlp: list[int], beta: float, backend: str) -> Tensor:
    spec = mlp_from_ints(mlp, beta)
    out = x.new_empty(x.shape[0], spec.outputs)
    gpu(backend, x).field_mlp_forward(*_raw(x, params), spec, out)
    return out


@_mlp.register_fake
def _(x, params, mlp, beta, backend):
    return x.new_empty(x.shape[0], mlp[-1])


@torch.library.custom_op("formfield::gpu_field_mlp_backward", mutates_args=())
def _mlp_backward(
    grad_out: Tensor, x: Tensor, params: Tensor, mlp: list[int], beta: float, need_x: bool, need_params: bool, backend: str
) -> tuple[Tensor, Tensor]:
    grad_x, grad_params = _empty(x, need_x), _zeros(params, need_params)
    rows, weights, adjoint = _raw(x, params, grad_out)
    gpu(backend, x).field_mlp_backward(
        rows, weights, mlp_from_ints(mlp, beta), adjoint, grad_x if need_x else None, grad_params if need_params else None
    )
    return grad_x, grad_params


@_mlp_backward.register_fake
def _(grad_out, x, params, mlp, beta, need_x, need_params, backend):
    return _empty(x, need_x), _empty(params, need_params)


def _mlp_setup(ctx, inputs, output):
    x, params, *ctx.rest = inputs
    ctx.save_for_backward(x, params)


def _mlp_gradient(ctx, grad_out):
    need_x, need_params = ctx.needs_input_grad[:2]
    mlp, beta, backend = ctx.rest
    grad_x, grad_params = _mlp_backward(grad_out, *ctx.saved_tensors, mlp, beta, need_x, need_params, backend)
    return grad_x if need_x else None, grad_params if need_params else None, None, None, None


_mlp.register_autograd(_mlp_gradient, setup_context=_mlp_setup)


def _field_forward(x, table, params, grid, mlp, beta, include_input, active_levels, backend, order) -> tuple[Tensor, Tensor]:
    network = mlp_from_ints(mlp, beta)
    out, gradient = x.new_empty(x.shape[0], network.outputs), _empty(x, order == 1)
    gpu(backend, x).fused_field_forward(
        *_raw(x, table, params), grid_from_ints(grid), network, include_input, active_levels, out, gradient if order else None
    )
    return out, gradient


@torch.library.custom_op("formfield::gpu_fused_field", mutates_args=())
def _field(
    x: Tensor, table: Tensor, params: Tensor, grid: list[int], mlp: list[int], beta: float, include_input: bool, active_levels: int,
    backend: str,
) -> Tensor:  # fmt: skip
    return _field_forward(x, table, params, grid, mlp, beta, include_input, active_levels, backend, 0)[0]


@_field.register_fake
def _(x, table, params, grid, mlp, beta, include_input, active_levels, backend):
    return x.new_empty(x.shape[0], mlp[-1])


@torch.library.custom_op("formfield::gpu_fused_field_jet", mutates_args=())
def _jet(
    x: Tensor, table: Tensor, params: Tensor, grid: list[int], mlp: list[int], beta: float, include_input: bool, active_levels: int,
    backend: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    return _field_forward(x, table, params, grid, mlp, beta, include_input, active_levels, backend, 1)


@_jet.register_fake
def _(x, table, params, grid, mlp, beta, include_input, active_levels, backend):
    return x.new_empty(x.shape[0], mlp[-1]), _empty(x)


@torch.library.custom_op("formfield::gpu_fused_field_backward", mutates_args=())
def _field_backward(
    grad_out: Tensor, grad_gradient: Tensor | None, x: Tensor, table: Tensor, params: Tensor, grid: list[int], mlp: list[int], beta: float,
    include_input: bool, active_levels: int, backend: str, need_x: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    grad_x, grad_table, grad_params = _empty(x, need_x), _zeros(table), _zeros(params)
    points, entries, weights, adjoint = _raw(x, table, params, grad_out)
    gpu(backend, x).fused_field_backward(
        *(points, entries, weights, grid_from_ints(grid), mlp_from_ints(mlp, beta), include_input, active_levels, adjoint),
        None if grad_gradient is None else grad_gradient.detach().contiguous(),
        *(grad_x if need_x else None, grad_table, grad_params),
    )
    return grad_x, grad_table, grad_params


@_field_backward.register_fake
def _(grad_out, grad_gradient, x, table, params, grid, mlp, beta, include_input, active_levels, backend, need_x):
    return _empty(x, need_x), _empty(table), _empty(params)


def _field_setup(ctx, inputs, output):
    x, table, params, *ctx.rest = inputs
    ctx.save_for_backward(x, table, params)


def _field_gradient(ctx, grad_out):
    need_x = ctx.needs_input_grad[0]
    grad_x, grad_table, grad_params = _field_backward(grad_out, None, *ctx.saved_tensors, *ctx.rest, need_x)
    return grad_x if need_x else None, grad_table, grad_params, None, None, None, None, None, None


def _jet_gradient(ctx, grad_out, grad_gradient):
    _, grad_table, grad_params = _field_backward(grad_out, grad_gradient, *ctx.saved_tensors, *ctx.rest, False)
    return None, grad_table, grad_params, None, None, None, None, None, None


_field.register_autograd(_field_gradient, setup_context=_field_setup)
_jet.register_autograd(_jet_gradient, setup_context=_field_setup)
