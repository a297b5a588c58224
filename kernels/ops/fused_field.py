"""``fused_field``: hash grid and network in one op, with the spatial gradient of output 0 where asked."""

from __future__ import annotations

from typing import Literal, overload

import torch
from torch import Tensor

from .. import backends
from ..errors import ArgumentError
from ..reference import fused_field as reference
from ..specs import HashGridSpec, MLPSpec, grid_from_ints, mlp_from_ints
from . import checks, gpu_fields
from .native_specs import native_grid, native_mlp, raw


@overload
def fused_field(
    x: Tensor,
    table: Tensor,
    params: Tensor,
    grid: HashGridSpec,
    mlp: MLPSpec,
    *,
    order: Literal[0] = 0,
    include_input: bool = False,
    active_levels: int | None = None,
    backend: str | None = None,
) -> Tensor: ...
@overload
def fused_field(
    x: Tensor,
    table: Tensor,
    params: Tensor,
    grid: HashGridSpec,
    mlp: MLPSpec,
    *,
    order: Literal[1],
    include_input: bool = False,
    active_levels: int | None = None,
    backend: str | None = None,
) -> tuple[Tensor, Tensor]: ...
def fused_field(
    x: Tensor,
    table: Tensor,
    params: Tensor,
    grid: HashGridSpec,
    mlp: MLPSpec,
    *,
    order: Literal[0, 1] = 0,
    include_input: bool = False,
    active_levels: int | None = None,
    backend: str | None = None,
) -> Tensor | tuple[Tensor, Tensor]:
    """Network of the hash grid encoding: ``mlp([2 x - 1, hash_encode(x)])`` or ``mlp(hash_encode(x))``.

    Args:
        x: [N, dims], float32 or float64, in [0, 1]; outside as in :func:`hash_encode`.
        table: [grid.entries, grid.features], dtype and device of ``x``.
        params: [mlp.params], dtype and device of ``x``.
        grid: Geometry of the grid.
        mlp: Network; ``mlp.inputs`` is ``grid.out_features``, plus ``grid.dims`` with ``include_input``.
        order: 0 for the outputs; 1 for the outputs and the gradient of output 0 to ``x``.
        include_input: Whether the network also sees ``2 x - 1``, in front of the encoding.
        active_levels: Only this many of the coarsest levels are evaluated, the others give 0. All by default.
        backend: Force a backend.
    Returns:
        Order 0: ``out`` [N, outputs], differentiable once to ``x``, ``table`` and ``params``.
        Order 1: ``(out, gradient)`` with ``gradient`` [N, dims], the derivative of ``out[:, 0]`` per unit of ``x``. Both are
        differentiable once to ``table`` and ``params``, not to ``x``. At cell faces of a linear grid the
        gradient is that of the cell above.
    Raises:
        ArgumentError: Wrong shape, dtype, device; ``x`` not finite; order 1 with an ``x`` that requires a gradient.
        BackendError: A forced backend is missing.
    """
    checks.float_tensor("x", x, (None, grid.dims))
    checks.float_tensor("table", table, (grid.entries, grid.features), like=x)
    checks.float_tensor("params", params, (mlp.params,), like=x)
    levels = checks.active(active_levels, grid)
    inputs = grid.out_features + (grid.dims if include_input else 0)
    if mlp.inputs != inputs:
        raise ArgumentError(f"the network has {mlp.inputs} inputs, but the encoding{' with x' if include_input else ''} has {inputs}")
    if order not in (0, 1):
        raise ArgumentError(f"order must be 0 or 1, not {order!r}")
    if order == 1 and x.requires_grad and torch.is_grad_enabled():
        raise ArgumentError("fused_field with order=1 is not differentiable to x; pass x.detach()")
    name = backends.backend("fused_field", x.device, backend)
    if name == "cpu":
        arguments = (x, table, params, grid.to_ints(), mlp.to_ints(), mlp.beta, include_input, levels)
        return _field(*arguments) if order == 0 else _jet(*arguments)
    if name in backends.GPU_MODULES:
        return gpu_fields.fused_field(name, x, table, params, grid, mlp, include_input, levels, order)
    if not torch.compiler.is_compiling():
        checks.finite_points(x)
    function = reference.fused_field if order == 0 else reference.fused_field_jet
    return function(x, table, params, grid, mlp, include_input, levels)


def _forward(x, table, params, grid, mlp, beta, include_input, active_levels, order) -> tuple[Tensor, Tensor]:
    checks.finite_points(x)
    network = mlp_from_ints(mlp, beta)
    out = x.new_empty(x.shape[0], network.outputs)
    gradient = torch.empty_like(x, memory_format=torch.contiguous_format) if order else x.new_empty(0)
    backends.native().fused_field_forward(
        raw(x),
        raw(table),
        raw(params),
        native_grid(grid_from_ints(grid)),
        native_mlp(network),
        include_input,
        active_levels,
        out,
        gradient if order else None,
        torch.get_num_threads(),
    )
    return out, gradient


@torch.library.custom_op("formfield::fused_field", mutates_args=())
def _field(
    x: Tensor, table: Tensor, params: Tensor, grid: list[int], mlp: list[int], beta: float, include_input: bool, active_levels: int
) -> Tensor:
    return _forward(x, table, params, grid, mlp, beta, include_input, active_levels, 0)[0]


@_field.register_fake
def _(
    x: Tensor, table: Tensor, params: Tensor, grid: list[int], mlp: list[int], beta: float, include_input: bool, active_levels: int
) -> Tensor:
    return x.new_empty(x.shape[0], mlp[-1])


@torch.library.custom_op("formfield::fused_field_jet", mutates_args=())
def _jet(
    x: Tensor, table: Tensor, params: Tensor, grid: list[int], mlp: list[int], beta: float, include_input: bool, active_levels: int
) -> tuple[Tensor, Tensor]:
    return _forward(x, table, params, grid, mlp, beta, include_input, active_levels, 1)


@_jet.register_fake
def _(
    x: Tensor, table: Tensor, params: Tensor, grid: list[int], mlp: list[int], beta: float, include_input: bool, active_levels: int
) -> tuple[Tensor, Tensor]:
    return x.new_empty(x.shape[0], mlp[-1]), torch.empty_like(x, memory_format=torch.contiguous_format)


@torch.library.custom_op("formfield::fused_field_backward", mutates_args=())
def _backward(
    grad_out: Tensor,
    grad_gradient: Tensor | None,
    x: Tensor,
    table: Tensor,
    params: Tensor,
    grid: list[int],
    mlp: list[int],
    beta: float,
    include_input: bool,
    active_levels: int,
    need_x: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    grad_x = torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else x.new_empty(0)
    grad_table = torch.zeros_like(table, memory_format=torch.contiguous_format)
    grad_params = torch.zeros_like(params, memory_format=torch.contiguous_format)
    backends.native().fused_field_backward(
        raw(x),
        raw(table),
        raw(params),
        native_grid(grid_from_ints(grid)),
        native_mlp(mlp_from_ints(mlp, beta)),
        include_input,
        active_levels,
        raw(grad_out),
        None if grad_gradient is None else raw(grad_gradient),
        grad_x if need_x else None,
        grad_table,
        grad_params,
        torch.get_num_threads(),
    )
    return grad_x, grad_table, grad_params


@_backward.register_fake
def _(grad_out, grad_gradient, x, table, params, grid, mlp, beta, include_input, active_levels, need_x):
    return (
        torch.empty_like(x, memory_format=torch.contiguous_format) if need_x else x.new_empty(0),
        torch.empty_like(table, memory_format=torch.contiguous_format),
        torch.empty_like(params, memory_format=torch.contiguous_format),
    )


def _setup(ctx, inputs, output):
    x, table, params, *ctx.rest = inputs
    ctx.save_for_backward(x, table, params)


def _field_gradient(ctx, grad_out):
    x, table, params = ctx.saved_tensors
    need_x = ctx.needs_input_grad[0]
    grad_x, grad_table, grad_params = _backward(grad_out, None, x, table, params, *ctx.rest, need_x)
    return grad_x if need_x else None, grad_table, grad_params, None, None, None, None, None


def _jet_gradient(ctx, grad_out, grad_gradient):
    x, table, params = ctx.saved_tensors
    _, grad_table, grad_params = _backward(grad_out, grad_gradient, x, table, params, *ctx.rest, False)
    return None, grad_table, grad_params, None, None, None, None, None


_field.register_autograd(_field_gradient, setup_context=_setup)
_jet.register_autograd(_jet_gradient, setup_context=_setup)
