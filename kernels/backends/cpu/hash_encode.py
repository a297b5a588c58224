"""``hash_encode`` on the CPU: native/cpu/hash_encode.cpp."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..._native import Grid
from ..._native import hash_encode_backward as _backward
from ..._native import hash_encode_double_backward as _double_backward
from ..._native import hash_encode_forward as _forward
from ...specs import HashGridSpec


@lru_cache(maxsize=256)
def native_grid(spec: HashGridSpec) -> Grid:
    """The specification as the extension takes it."""
    return Grid(spec.dims, spec.features, spec.interpolation == "smoothstep", spec.scales, spec.resolutions, spec.offsets, spec.hashed)


def hash_encode_forward(x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, out: Tensor) -> None:
    """``out[:]`` = encoding of x."""
    _forward(x, table, native_grid(spec), active_levels, out, torch.get_num_threads())


def hash_encode_backward(
    x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, grad_out: Tensor, grad_x: Tensor | None, grad_table: Tensor | None
) -> None:
    """``grad_x[:] =`` and ``grad_table +=`` the gradients of ``sum(grad_out * encoding)``; either may be None."""
    _backward(x, table, native_grid(spec), active_levels, grad_out, grad_x, grad_table, torch.get_num_threads())


def hash_encode_double_backward(
    x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, grad_out: Tensor, v: Tensor,
    grad_grad_out: Tensor, grad_x: Tensor | None, grad_table: Tensor,
) -> None:  # fmt: skip
    """Gradients of ``<grad_out, change of the encoding along v>``: the first two are overwritten, the table is added to."""
    grid, threads = native_grid(spec), torch.get_num_threads()
    _double_backward(x, table, grid, active_levels, grad_out, v, grad_grad_out, grad_x, grad_table, threads)
