"""``fused_field``: hash grid and network in one op, with the spatial gradient of output 0 where asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import field as reference
from ..errors import ArgumentError
from ..specs import HashGridSpec, MLPSpec, grid_from_ints, mlp_from_ints
from . import checks
from .tensors import empty, optional, raws, zeros


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
    if name != "reference":
        training = torch.is_grad_enabled() and (table.requires_grad or params.requires_grad or x.requires_grad)
        keeps = training and name == "cpu" and x.dtype == torch.float32
        arguments = (x, table, params, grid.to_ints(), mlp.to_ints(), mlp.beta, include_input, levels, name, keeps)
        return _jet(*arguments)[:2] if order else _field(*arguments)[0]
    if not torch.compiler.is_compiling():
        checks.finite_points(x)
    function = reference.fused_field if order == 0 else reference.fused_field_jet
    return function(x, table, params, grid, mlp, include_input, levels)


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import field

        return field
    return backends.raw(backend, "field", like)


def _tape(x: Tensor, grid: list[int], mlp: list[int], beta: float, order: int, keeps: bool) -> Tensor:
    """Room for what the forward pass on the CPU keeps for the backward pass, so that the table is looked up once. Empty elsewhere."""
    return x.new_empty(tape_size(x.shape[0], grid_from_ints(grid), mlp_from_ints(mlp, beta), order) if keeps else 0)


def tape_size(n: int, grid: HashGridSpec, mlp: MLPSpec, order: int = 0) -> int:
    """Numbers that the forward pass of n points on the CPU keeps."""
    from ..backends.cpu.field import native_tape_size

    return native_tape_size(n, grid, mlp, order)


def _forward(x, table, params, grid, mlp, beta, include_input, active_levels, backend, keeps, order) -> tuple[Tensor, Tensor, Tensor]:
    network = mlp_from_ints(mlp, beta)
    out, gradient = x.new_empty(x.shape[0], network.outputs), empty(x, order == 1)
    tape = _tape(x, grid, mlp, beta, order, keeps)
    specs = (grid_from_ints(grid), network, include_input, active_levels, backend)
    write_outputs(x, table, params, *specs, out, gradient if order else None, tape if keeps else None)
    return out, gradient, tape


def write_outputs(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int, backend: str,
    out: Tensor, gradient: Tensor | None, tape: Tensor | None,
) -> None:  # fmt: skip
    """The forward pass into memory that is there, for callers with a backward pass of their own; nothing is recorded."""
    checks.finite_points(x)
    points, entries, weights = raws(x, table, params)
    _kernels(backend, x).fused_field_forward(
        points, entries, weights, grid, mlp, include_input, active_levels, out, gradient, tape
    )  # fmt: skip


@torch.library.custom_op("formfield::fused_field", mutates_args=())
def _field(
    x: Tensor, table: Tensor, params: Tensor, grid: list[int], mlp: list[int], beta: float, include_input: bool, active_levels: int,
    backend: str, keeps: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    out, _, tape = _forward(x, table, params, grid, mlp, beta, include_input, active_levels, backend, keeps, 0)
    return out, tape


@_field.register_fake
def _(x, table, params, grid, mlp, beta, include_input, active_levels, backend, keeps):
    return x.new_empty(x.shape[0], mlp[-1]), _tape(x, grid, mlp, beta, 0, keeps)


@torch.library.custom_op("formfield::fused_field_jet", mutates_args=())
def _jet(
    x: Tensor, table: Tensor, params: Tensor, grid: list[int], mlp: list[int], beta: float, include_input: bool, active_levels: int,
    backend: str, keeps: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    return _forward(x, table, params, grid, mlp, beta, include_input, active_levels, backend, keeps, 1)


@_jet.register_fake
def _(x, table, params, grid, mlp, beta, include_input, active_levels, backend, keeps):
    return x.new_empty(x.shape[0], mlp[-1]), empty(x), _tape(x, grid, mlp, beta, 1, keeps)


def add_gradients(
    grad_out: Tensor, grad_gradient: Tensor | None, x: Tensor, table: Tensor, params: Tensor, tape: Tensor | None, grid: HashGridSpec,
    mlp: MLPSpec, include_input: bool, active_levels: int, backend: str, grad_x: Tensor | None, grad_table: Tensor, grad_params: Tensor,
) -> None:  # fmt: skip
    """The backward pass into memory that is there: ``grad_x`` is written, the others are added to. For callers with a layout of their own
    for gradients; nothing is recorded."""
    points, entries, weights, adjoint = raws(x, table, params, grad_out)
    _kernels(backend, x).fused_field_backward(
        points, entries, weights, grid, mlp, include_input, active_levels, adjoint, optional(grad_gradient), grad_x, grad_table,
        grad_params, tape,
    )  # fmt: skip


@torch.library.custom_op("formfield::fused_field_backward", mutates_args=())
def _backward(
    grad_out: Tensor, grad_gradient: Tensor | None, x: Tensor, table: Tensor, params: Tensor, tape: Tensor, grid: list[int],
    mlp: list[int], beta: float, include_input: bool, active_levels: int, backend: str, keeps: bool, need_x: bool,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    grad_x, grad_table, grad_params = empty(x, need_x), zeros(table), zeros(params)
    specs = (grid_from_ints(grid), mlp_from_ints(mlp, beta), include_input, active_levels)
    results = (grad_x if need_x else None, grad_table, grad_params)
    add_gradients(grad_out, grad_gradient, x, table, params, tape if keeps else None, *specs, backend, *results)
    return grad_x, grad_table, grad_params


@_backward.register_fake
def _(grad_out, grad_gradient, x, table, params, tape, grid, mlp, beta, include_input, active_levels, backend, keeps, need_x):
    return empty(x, need_x), empty(table), empty(params)


def _setup(ctx, inputs, output):
    x, table, params, *ctx.rest = inputs
    ctx.save_for_backward(x, table, params, output[-1])
    ctx.mark_non_differentiable(output[-1])


def _field_gradient(ctx, grad_out, _):
    need_x = ctx.needs_input_grad[0]
    grad_x, grad_table, grad_params = _backward(grad_out, None, *ctx.saved_tensors, *ctx.rest, need_x)
    return grad_x if need_x else None, grad_table, grad_params, *[None] * 7


def _jet_gradient(ctx, grad_out, grad_gradient, _):
    _, grad_table, grad_params = _backward(grad_out, grad_gradient, *ctx.saved_tensors, *ctx.rest, False)
    return None, grad_table, grad_params, *[None] * 7


_field.register_autograd(_field_gradient, setup_context=_setup)
_jet.register_autograd(_jet_gradient, setup_context=_setup)
