"""``fused_field`` in Triton, of the kernels of the encoding and of the network; float32, contiguous tensors.

Samples are taken in chunks: the encodings of a chunk and their gradients are all that is stored, at most CHUNK x inputs x 4 floats.
"""

from __future__ import annotations

import torch
from torch import Tensor

from ...specs import HashGridSpec, MLPSpec
from .hash_encode import add_points, add_table, encode
from .mlp import field_mlp_backward, field_mlp_forward, field_mlp_jet_backward

CHUNK = 1 << 17


def fused_field_forward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    out: Tensor, gradient: Tensor | None, tape: Tensor | None = None,
) -> None:  # fmt: skip
    """``out[:]`` [N, outputs], and ``gradient[:]`` [N, dims] of output 0 where it is given."""
    del tape  # nothing is kept here
    column = grid.dims if include_input else 0
    for rows in _chunks(x.shape[0]):
        points = x[rows]
        inputs = _inputs(points, table, grid, mlp, column, active_levels)
        if gradient is None:
            field_mlp_forward(inputs, params, mlp, out[rows], None)
            continue
        chain = torch.empty_like(inputs)
        field_mlp_forward(inputs, params, mlp, out[rows], chain)
        _to_points(points, table, grid, active_levels, chain, column, gradient[rows])


def fused_field_backward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    grad_out: Tensor, grad_gradient: Tensor | None, grad_x: Tensor | None, grad_table: Tensor, grad_params: Tensor,
    tape: Tensor | None = None,
) -> None:  # fmt: skip
    """Gradients of ``sum(grad_out * out)`` plus, where given, ``sum(grad_gradient * gradient)``.

    ``grad_x[:] =`` (only without ``grad_gradient``), ``grad_table +=``, ``grad_params +=``.
    """
    del tape  # nothing is kept here
    column = grid.dims if include_input else 0
    for rows in _chunks(x.shape[0]):
        points = x[rows]
        inputs = _inputs(points, table, grid, mlp, column, active_levels)
        grad_inputs = torch.empty_like(inputs)
        if grad_gradient is None:
            field_mlp_backward(inputs, params, mlp, grad_out[rows], None, grad_inputs, grad_params)
            add_table(points, grid, active_levels, grad_inputs, None, None, grad_table, column)
            if grad_x is not None:
                _to_points(points, table, grid, active_levels, grad_inputs, column, grad_x[rows])
            continue
        tangent = torch.empty_like(inputs)
        tangent[:, :column] = 2 * grad_gradient[rows, :column]
        encode(points, table, grid, active_levels, tangent, column, grad_gradient[rows])
        chain = torch.empty_like(inputs)
        field_mlp_jet_backward(inputs, tangent, params, mlp, grad_out[rows], grad_inputs, chain, grad_params)
        add_table(points, grid, active_levels, grad_inputs, chain, grad_gradient[rows], grad_table, column)


def _inputs(points: Tensor, table: Tensor, grid: HashGridSpec, mlp: MLPSpec, column: int, active_levels: int) -> Tensor:
    inputs = points.new_empty(points.shape[0], mlp.inputs)
    inputs[:, :column] = 2 * points[:, :column] - 1
    encode(points, table, grid, active_levels, inputs, column, None)
    return inputs


def _to_points(points: Tensor, table: Tensor, grid: HashGridSpec, active_levels: int, grad: Tensor, column: int, result: Tensor) -> None:
    if column:
        result.copy_(2 * grad[:, :column])
    else:
        result.zero_()
    add_points(points, table, grid, active_levels, grad, None, result, column)


def _chunks(count: int) -> list[slice]:
    return [slice(start, min(start + CHUNK, count)) for start in range(0, count, CHUNK)]
