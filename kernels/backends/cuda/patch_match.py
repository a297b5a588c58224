"""``patch_match`` and ``patch_costs`` in CUDA: launchers of native/cuda/patch_match.cu."""

from __future__ import annotations

import struct

import torch
from torch import Tensor

from . import runtime
from .runtime import THREADS, Unit, records, unit_of

ROWS, COLUMNS = 4, 32  # of a picture that a block has


def _unit(like: Tensor, best: int) -> Unit:
    return unit_of("patch_match", like, BEST=best)


def patch_match(
    grey: Tensor,
    mask: Tensor | None,
    camera: list[float],
    sources: list[Tensor],
    masks: list[Tensor],
    depths: list[Tensor],
    geometry: Tensor,
    geometric: float,
    variance: float,
    near: float,
    far: float,
    best: int,
    iterations: int,
    perturbation: float,
    seeds: list[int],
    planes: Tensor,
    costs: Tensor,
) -> None:
    """planes [H, W, 4], drawn where z is 0, and costs [H, W] are overwritten. geometry [sources, 15]: A, b and centre of each."""
    unit = _unit(planes, best)
    quads = [_quads(unit, source) for source in sources]
    job = (*_job(grey, mask, camera, quads, masks, depths, geometry, geometric, variance), float(near), float(far), planes, costs)
    runtime.launch(unit, "match_start", _threads(grey), *job, seeds[0])
    for i in range(iterations):
        for colour in (0, 1):
            runtime.launch(unit, "match_update", _threads(grey, 2), *job, seeds[i + 1], perturbation / 2 ** min(i, 20), colour)


def patch_costs(
    grey: Tensor,
    mask: Tensor | None,
    camera: list[float],
    sources: list[Tensor],
    masks: list[Tensor],
    depths: list[Tensor],
    geometry: Tensor,
    geometric: float,
    variance: float,
    planes: Tensor,
    costs: Tensor,
) -> None:
    """costs [sources, H, W] of the planes [H, W, 4]."""
    unit = _unit(planes, 1)
    quads = [_quads(unit, source) for source in sources]
    job = (*_job(grey, mask, camera, quads, masks, depths, geometry, geometric, variance), 0.0, 0.0, planes, costs)
    runtime.launch(unit, "match_compare", _threads(grey), *job)


def _threads(grey: Tensor, colours: int = 1) -> tuple[int, int]:
    """For each pixel of a picture, or of one of two colours of it."""
    height, width = grey.shape
    return -(-width // (colours * COLUMNS)) * THREADS, -(-height // ROWS)


def _quads(unit: Unit, grey: Tensor) -> Tensor:
    """The grey values of a pixel and of those right, below, and right below it, a byte each. int32 [H, W]"""
    quads = torch.empty_like(grey, dtype=torch.int32)
    runtime.launch(unit, "pack_quads", (grey.numel(), 1), grey.numel(), grey.shape[1], grey, quads)
    return quads


def _job(
    grey: Tensor, mask: Tensor | None, camera: list[float], quads: list[Tensor], masks: list[Tensor], depths: list[Tensor],
    geometry: Tensor, geometric: float, variance: float,
) -> tuple[Tensor | int | float | None, ...]:  # fmt: skip
    """What the kernels take first."""

    def pointers(tensors: list[Tensor]) -> list[int]:
        return [t.data_ptr() for t in tensors] or [0] * len(quads)

    rows = zip(quads, pointers(quads), pointers(depths), pointers(masks), geometry.tolist(), strict=True)
    packed = (struct.pack("PPPii15f4x", *at, q.shape[1], q.shape[0], *g) for q, *at, g in rows)
    sources = records(b"".join(packed), grey.device)
    return (*grey.shape, grey, mask, *map(float, camera), sources, len(quads), float(geometric), float(variance))
