"""``patch_match`` and ``patch_costs`` on the CPU: native/cpu/patch_match.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import patch_costs as _costs
from ..._native import patch_match as _match


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
    pictures = (grey, mask, camera, sources, masks, depths, geometry, geometric, variance)
    _match(*pictures, near, far, best, iterations, perturbation, seeds, planes, costs, torch.get_num_threads())


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
    _costs(grey, mask, camera, sources, masks, depths, geometry, geometric, variance, planes, costs, torch.get_num_threads())
