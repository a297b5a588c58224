"""``hash_encode``: multiresolution hash grid encoding, and ``hash_encode_pullback``: its spatial derivative applied backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import hash_encode as reference
from ..backends.reference.pullback import pullback
from ..specs import HashGridSpec, grid_from_ints
from . import checks
from .tensors import empty, raw, raws, wanted, zeros


def hash_encode(x: Tensor, table: Tensor, spec: HashGridSpec, *, active_levels: int | None = None, backend: str | None = None) -> Tensor:
    """Encode points with a multiresolution hash grid (Müller et al. 2022, section 3).

    Args:
        x: [N, dims], float32 or float64, in [0, 1]. Outside, integer vertices wrap like uint32 before they are stored or hashed, so the
            value is defined and continuous but means nothing; beyond +-1024 it is an error.
        table: [spec.entries, spec.features], dtype and device of ``x``.
        spec: Geometry of the grid.
        active_levels: Only this many of the coarsest levels are evaluated, the others give 0. All by default.
        backend: Force a backend.
    Returns:
        [N, spec.levels * spec.features], level after level. Differentiable to ``table`` and ``x``, twice to both. With linear
        interpolation the gradient to ``x`` jumps at cell faces, where it is that of the cell above.
    Raises:
        ArgumentError: Wrong shape, dtype, device; ``x`` not finite.
        BackendError: A forced backend is missing.
    """
    checks.float_tensor("x", x, (None, spec.dims))
    checks.float_tensor("table", table, (spec.entries, spec.features), like=x)
    levels = checks.active(active_levels, spec)
    name = backends.backend("hash_encode", x.device, backend)
    if name != "reference":
        return _encode(x, table, spec.to_ints(), levels, name)
    if not torch.compiler.is_compiling():
        checks.finite_points(x)
    return reference.hash_encode(x, table, spec, levels)


def hash_encode_pullback(
    grad: Tensor, x: Tensor, table: Tensor, spec: HashGridSpec, *, active_levels: int | None = None, backend: str | None = None
) -> Tensor:
    """Gradient to the points of ``grad . hash_encode(x)``: how a gradient to features becomes one in space.

    Args:
        grad: [N, spec.levels * spec.features], dtype and device of ``x``.
        x, table, spec, active_levels: As in :func:`hash_encode`.
        backend: Force a backend.
    Returns:
        [N, dims]. Differentiable once to ``grad`` and ``table``, not to ``x``: losses on a spatial gradient need no more, and without it
        the native version is several times as fast as differentiating :func:`hash_encode` twice.
    Raises:
        ArgumentError: Wrong shape, dtype, device; ``x`` not finite, or requiring a gradient.
        BackendError: A forced backend is missing.
    """
    checks.float_tensor("x", x, (None, spec.dims))
    checks.float_tensor("table", table, (spec.entries, spec.features), like=x)
    checks.float_tensor("grad", grad, (x.shape[0], spec.out_features), like=x)
    levels = checks.active(active_levels, spec)
    checks.fixed_points("hash_encode_pullback", x)
    checks.finite_points(x)
    name = backends.backend("hash_encode", x.device, backend)
    if name == "reference":
        return pullback(lambda p: reference.hash_encode(p, table, spec, levels), x, grad)
    return _encode_backward(grad, x, table, spec.to_ints(), levels, True, False, name)[0]


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import hash_encode

        return hash_encode
    return backends.raw(backend, "hash_encode", like)


@torch.library.custom_op("formfield::hash_encode", mutates_args=())
def _encode(x: Tensor, table: Tensor, grid: list[int], active_levels: int, backend: str) -> Tensor:
    checks.finite_points(x)
    spec = grid_from_ints(grid)
    out = x.new_empty(x.shape[0], spec.out_features)
    _kernels(backend, x).hash_encode_forward(raw(x), raw(table), spec, active_levels, out)
    return out


@_encode.register_fake
def _(x, table, grid, active_levels, backend):
    return x.new_empty(x.shape[0], grid[1] * grid[2])


@torch.library.custom_op("formfield::hash_encode_backward", mutates_args=())
def _encode_backward(
    grad_out: Tensor, x: Tensor, table: Tensor, grid: list[int], active_levels: int, need_x: bool, need_table: bool, backend: str
) -> tuple[Tensor, Tensor]:
    out = empty(x, need_x), zeros(table, need_table)
    _kernels(backend, x).hash_encode_backward(
        raw(x), raw(table), grid_from_ints(grid), active_levels, raw(grad_out), *wanted(out, (need_x, need_table))
    )
    return out


@_encode_backward.register_fake
def _(grad_out, x, table, grid, active_levels, need_x, need_table, backend):
    return empty(x, need_x), empty(table, need_table)


@torch.library.custom_op("formfield::hash_encode_double_backward", mutates_args=())
def _encode_double_backward(
    v: Tensor, grad_out: Tensor, x: Tensor, table: Tensor, grid: list[int], active_levels: int, need_x: bool, backend: str
) -> tuple[Tensor, Tensor, Tensor]:
    grad_grad_out, grad_x, grad_table = empty(grad_out), empty(x, need_x), zeros(table)
    points, entries, adjoint, along = raws(x, table, grad_out, v)
    _kernels(backend, x).hash_encode_double_backward(
        points, entries, grid_from_ints(grid), active_levels, adjoint, along, grad_grad_out, grad_x if need_x else None, grad_table
    )
    return grad_grad_out, grad_x, grad_table


@_encode_double_backward.register_fake
def _(v, grad_out, x, table, grid, active_levels, need_x, backend):
    return empty(grad_out), empty(x, need_x), empty(table)


def _encode_setup(ctx, inputs, output):
    x, table, ctx.grid, ctx.active_levels, ctx.backend = inputs
    ctx.save_for_backward(x, table)


def _encode_gradient(ctx, grad_out):
    needed = ctx.needs_input_grad[:2]
    out = _encode_backward(grad_out, *ctx.saved_tensors, ctx.grid, ctx.active_levels, *needed, ctx.backend)
    return (*wanted(out, needed), None, None, None)


def _backward_setup(ctx, inputs, output):
    grad_out, x, table, ctx.grid, ctx.active_levels, ctx.need_x, ctx.need_table, ctx.backend = inputs
    ctx.save_for_backward(grad_out, x, table)


def _backward_gradient(ctx, v_x, v_table):
    grad_out, x, table = ctx.saved_tensors
    where = (ctx.grid, ctx.active_levels)
    grads: list[Tensor | None] = [None, None, None]
    if ctx.need_x and v_x is not None:
        need_x = ctx.needs_input_grad[1]
        grads = list(_encode_double_backward(v_x, grad_out, x, table, *where, need_x, ctx.backend))
        grads[1] = grads[1] if need_x else None
    if ctx.need_table and v_table is not None:
        # <v_table, dL/dtable> is linear in grad_out with the encoding of v_table as its gradient, and in the weights of x
        through_out = _encode(x, v_table, *where, ctx.backend)
        through_x, _ = _encode_backward(grad_out, x, v_table, *where, True, False, ctx.backend)
        grads[0] = through_out if grads[0] is None else grads[0] + through_out
        grads[1] = through_x if grads[1] is None else grads[1] + through_x
    return (*grads, None, None, None, None, None)


_encode.register_autograd(_encode_gradient, setup_context=_encode_setup)
_encode_backward.register_autograd(_backward_gradient, setup_context=_backward_setup)
