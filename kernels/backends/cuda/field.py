"""``fused_field`` in CUDA: launchers of native/cuda/field.cu."""

from __future__ import annotations

from torch import Tensor

from ...specs import HashGridSpec, MLPSpec
from . import runtime
from .hash_encode import levels, smooth
from .mlp import network
from .runtime import Unit, unit_of


def _field(x: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool) -> Unit:
    return unit_of("field", x, **network(mlp), FIELD=1, DIMS=grid.dims, ROW=grid.dims if include_input else 0)


def fused_field_forward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    out: Tensor, gradient: Tensor | None, tape: Tensor | None = None,
) -> None:  # fmt: skip
    """``out[:]``, and ``gradient[:]`` of output 0 where it is given."""
    del tape  # nothing is kept here
    runtime.launch(
        _field(x, grid, mlp, include_input), "field_forward" if gradient is None else "field_jet", (x.shape[0], 1),
        x.shape[0], x, table, params, levels(grid, x.device), active_levels, grid.features, smooth(grid), out,
        *(() if gradient is None else (gradient,)),
    )  # fmt: skip


def fused_field_backward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    grad_out: Tensor, grad_gradient: Tensor | None, grad_x: Tensor | None, grad_table: Tensor, grad_params: Tensor,
    tape: Tensor | None = None,
) -> None:  # fmt: skip
    """Gradients of ``sum(grad_out * out)`` plus, where given, ``sum(grad_gradient * gradient)`` (then without grad_x)."""
    del tape  # nothing is kept here
    runtime.launch(
        _field(x, grid, mlp, include_input), "field_backward" if grad_gradient is None else "field_jet_backward", (x.shape[0], 1),
        x.shape[0], x, table, params, levels(grid, x.device), active_levels, grid.features, smooth(grid), grad_out,
        grad_x if grad_gradient is None else grad_gradient, grad_table, grad_params,
    )  # fmt: skip
