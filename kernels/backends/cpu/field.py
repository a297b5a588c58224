"""``fused_field`` on the CPU: native/cpu/field.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import fused_field_backward as _backward
from ..._native import fused_field_forward as _forward
from ...specs import HashGridSpec, MLPSpec
from .hash_encode import native_grid
from .mlp import native_mlp


def fused_field_forward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    out: Tensor, gradient: Tensor | None, tape: Tensor | None = None,
) -> None:  # fmt: skip
    """``out[:]`` [N, outputs], and ``gradient[:]`` [N, dims] of output 0 where it is given; what a backward pass needs to ``tape``."""
    specs = (native_grid(grid), native_mlp(mlp))
    _forward(x, table, params, *specs, include_input, active_levels, out, gradient, tape, torch.get_num_threads())


def native_tape_size(n: int, grid: HashGridSpec, mlp: MLPSpec, order: int) -> int:
    """Numbers on the tape of n points: their encodings and, for order 1, the derivatives of these, in tiles of 48 points."""
    return (n + 47) // 48 * 48 * (mlp.inputs + (grid.out_features * grid.dims if order else 0))


def fused_field_backward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    grad_out: Tensor, grad_gradient: Tensor | None, grad_x: Tensor | None, grad_table: Tensor, grad_params: Tensor,
    tape: Tensor | None = None,
) -> None:  # fmt: skip
    """Gradients of ``sum(grad_out * out)`` plus, where given, ``sum(grad_gradient * gradient)`` (then without grad_x).

    ``grad_x[:] =``, ``grad_table +=``, ``grad_params +=``. With the forward pass's ``tape`` the table is not looked up again.
    """
    specs = (native_grid(grid), native_mlp(mlp), include_input, active_levels)
    _backward(x, table, params, *specs, grad_out, grad_gradient, tape, grad_x, grad_table, grad_params, torch.get_num_threads())
