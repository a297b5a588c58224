"""``hash_encode`` in Triton, first and second order; float32, contiguous tensors.

Gradients of tables are summed by atomics, whose order differs from run to run; gradients of points are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import torch
from torch import Tensor

from ...errors import ArgumentError
from ...specs import HashGridSpec
from .hash_kernels import encode_forward, encode_points, encode_table
from .launch import block, cdiv, launch

BLOCK = 128


def hash_encode_forward(x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, out: Tensor) -> None:
    """``out[:]`` [N, levels * features] = encoding of x [N, dims]; levels from ``active_levels`` on are zero."""
    encode(x, table, spec, active_levels, out, 0, None)


def hash_encode_backward(
    x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, grad_out: Tensor, grad_x: Tensor | None, grad_table: Tensor | None
) -> None:
    """``grad_x[:] =`` and ``grad_table +=`` the gradients of ``sum(grad_out * encoding)``; either may be None."""
    if grad_table is not None:
        add_table(x, spec, active_levels, grad_out, None, None, grad_table, 0)
    if grad_x is not None:
        grad_x.zero_()
        add_points(x, table, spec, active_levels, grad_out, None, grad_x, 0)


def hash_encode_double_backward(
    x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, grad_out: Tensor, v: Tensor,
    grad_grad_out: Tensor, grad_x: Tensor | None, grad_table: Tensor,
) -> None:  # fmt: skip
    """Gradients of ``<grad_out, change of the encoding along v>``, v [N, dims]: the first two are overwritten, the table is added to."""
    encode(x, table, spec, active_levels, grad_grad_out, 0, v)
    if grad_x is not None:
        grad_x.zero_()
        add_points(x, table, spec, active_levels, grad_out, v, grad_x, 0)
    add_table(x, spec, active_levels, None, grad_out, v, grad_table, 0)


def encode(x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, out: Tensor, column: int, tangent: Tensor | None) -> None:
    """Encoding of x (or its change along ``tangent``) into ``out[:, column:]``, [N, column + levels * features]."""
    n, width = out.shape
    out[:, column + active_levels * spec.features :].zero_()
    rows = block(n, BLOCK)
    for first, last, hashed in _launches(spec, active_levels):
        launch(
            encode_forward, (cdiv(n, rows), last - first),
            x, table, out, *_levels(spec, x.device), n, width, column, x if tangent is None else tangent, first,
            D=spec.dims, F=spec.features, HASH=hashed, SMOOTH=_smooth(spec), TANGENT=tangent is not None, BLOCK=rows,
        )  # fmt: skip


def add_table(
    x: Tensor, spec: HashGridSpec, active_levels: int, grad_value: Tensor | None, grad_tangent: Tensor | None, tangent: Tensor | None,
    grad_table: Tensor, column: int,
) -> None:  # fmt: skip
    """``grad_table +=`` gradient of ``<grad_value, encoding> + <grad_tangent, its change along tangent>`` (columns from ``column`` on)."""
    given = grad_value if grad_value is not None else grad_tangent
    if given is None:
        raise ArgumentError("add_table needs at least one of the two gradients")
    n, width = given.shape
    rows = block(n, BLOCK)
    for first, last, hashed in _launches(spec, active_levels):
        launch(
            encode_table, (cdiv(n, rows), last - first),
            x, given if grad_value is None else grad_value, given if grad_tangent is None else grad_tangent,
            x if tangent is None else tangent, grad_table, *_levels(spec, x.device), n, width, column, first,
            D=spec.dims, F=spec.features, HASH=hashed, SMOOTH=_smooth(spec), VALUE=grad_value is not None, TANGENT=grad_tangent is not None,
            BLOCK=rows,
        )  # fmt: skip


def add_points(
    x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, grad_out: Tensor, tangent: Tensor | None, grad_x: Tensor, column: int
) -> None:
    """``grad_x +=`` gradient to x of ``<grad_out, encoding>``, or of ``<grad_out, its change along tangent>`` where that is given."""
    n, width = grad_out.shape
    rows = block(n, BLOCK)
    for first, last, hashed in _launches(spec, active_levels):
        launch(
            encode_points, (cdiv(n, rows),),
            x, table, grad_out, x if tangent is None else tangent, grad_x, *_levels(spec, x.device), n, width, column, first, last,
            D=spec.dims, F=spec.features, HASH=hashed, SMOOTH=_smooth(spec), SECOND=tangent is not None, BLOCK=rows,
        )  # fmt: skip


def _launches(spec: HashGridSpec, active_levels: int) -> Iterator[tuple[int, int, bool]]:
    """The dense levels, then the hashed ones: levels grow, so no dense one follows a hashed one."""
    dense = min(spec.hashed.count(False), active_levels)
    if dense:
        yield 0, dense, False
    if active_levels > dense:
        yield dense, active_levels, True


def _smooth(spec: HashGridSpec) -> bool:
    return spec.interpolation == "smoothstep"


@lru_cache(maxsize=64)
def _levels(spec: HashGridSpec, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    return (
        torch.tensor(spec.scales, dtype=torch.float32, device=device),
        torch.tensor(spec.resolutions, dtype=torch.int32, device=device),
        torch.tensor(spec.offsets, dtype=torch.int64, device=device),
    )
