"""``hash_encode`` in CUDA: launchers of native/cuda/hash_encode.cu."""

from __future__ import annotations

import struct
from functools import lru_cache

import torch
from torch import Tensor

from ...specs import HashGridSpec
from . import runtime
from .runtime import Unit, aligned, unit_of


@lru_cache(maxsize=64)
def levels(spec: HashGridSpec, device: torch.device) -> Tensor:
    """``GridLevel`` structs: scale (the bits of a float), resolution, size, offset, hashed. int32 [levels, 5]"""
    rows = zip(spec.scales, spec.resolutions, spec.sizes, spec.offsets, spec.hashed)
    packed = [[struct.unpack("i", struct.pack("f", scale))[0], *(int(i) for i in rest)] for scale, *rest in rows]
    return torch.tensor(packed, dtype=torch.int64, device=device).to(torch.int32)


def smooth(spec: HashGridSpec) -> int:
    return int(spec.interpolation == "smoothstep")


def _unit(x: Tensor, spec: HashGridSpec) -> Unit:
    return unit_of("hash_encode", x, DIMS=spec.dims, FEATURES=spec.features, SMOOTH=smooth(spec))


def _encode(x: Tensor, v: Tensor | None, table: Tensor, spec: HashGridSpec, active: int, out: Tensor) -> None:
    runtime.launch(
        _unit(x, spec), "encode_forward", (x.shape[0], spec.levels),
        x.shape[0], x, v, aligned(table), levels(spec, x.device), active, spec.out_features, out,
    )  # fmt: skip


def _to_table(x: Tensor, v: Tensor | None, grad_out: Tensor, spec: HashGridSpec, active: int, grad_table: Tensor) -> None:
    runtime.launch(
        _unit(x, spec), "encode_to_table", (x.shape[0], active),
        x.shape[0], x, v, aligned(grad_out), levels(spec, x.device), spec.out_features, grad_table,
    )  # fmt: skip


def _to_point(x: Tensor, v: Tensor | None, table: Tensor, grad_out: Tensor, spec: HashGridSpec, active: int, grad_x: Tensor) -> None:
    runtime.launch(
        _unit(x, spec), "encode_to_point", (x.shape[0], 1),
        x.shape[0], x, v, aligned(table), aligned(grad_out), levels(spec, x.device), active, spec.out_features, grad_x,
    )  # fmt: skip


def hash_encode_forward(x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, out: Tensor) -> None:
    """``out[:]`` = encoding of x."""
    _encode(x, None, table, spec, active_levels, out)


def hash_encode_backward(
    x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, grad_out: Tensor, grad_x: Tensor | None, grad_table: Tensor | None
) -> None:
    """``grad_x[:] =`` and ``grad_table +=`` the gradients of ``sum(grad_out * encoding)``; either may be None."""
    if grad_table is not None:
        _to_table(x, None, grad_out, spec, active_levels, grad_table)
    if grad_x is not None:
        _to_point(x, None, table, grad_out, spec, active_levels, grad_x)


def hash_encode_double_backward(
    x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, grad_out: Tensor, v: Tensor,
    grad_grad_out: Tensor, grad_x: Tensor | None, grad_table: Tensor,
) -> None:  # fmt: skip
    """Gradients of ``<grad_out, change of the encoding along v>``: the first two are overwritten, the table is added to."""
    _encode(x, v, table, spec, active_levels, grad_grad_out)
    if grad_x is not None:
        _to_point(x, v, table, grad_out, spec, active_levels, grad_x)
    _to_table(x, v, grad_out, spec, active_levels, grad_table)
