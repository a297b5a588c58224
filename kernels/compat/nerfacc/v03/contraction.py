"""Maps of space to the unit cube, and back."""

from __future__ import annotations

from enum import Enum

import torch
from torch import Tensor


class ContractionType(Enum):
    """How a grid covers space: its region alone; all of space by tanh, the region in the middle half; all of space within a sphere, the
    region in half of its radius (Barron et al. 2022, "Mip-NeRF 360", equation 10)."""

    AABB = 0
    UN_BOUNDED_TANH = 1
    UN_BOUNDED_SPHERE = 2

    def to_cpp_version(self) -> int:
        """The number that the functions of :mod:`.cuda` take."""
        return self.value


@torch.no_grad()
def contract(x: Tensor, roi: Tensor, type: ContractionType = ContractionType.AABB) -> Tensor:
    """[..., 3] in space to [..., 3] in the unit cube; ``roi`` [6] is the region."""
    unit = (x - roi[:3]) / (roi[3:] - roi[:3])
    kind = ContractionType(type)
    if kind is ContractionType.UN_BOUNDED_TANH:
        return 0.5 * (torch.tanh(unit - 0.5) + 1)
    if kind is ContractionType.UN_BOUNDED_SPHERE:
        z = 2 * unit - 1
        norm = z.norm(dim=-1, keepdim=True)
        safe = norm.clamp_min(1)
        return 0.25 * torch.where(norm > 1, (2 - 1 / safe) * (z / safe), z) + 0.5
    return unit


@torch.no_grad()
def contract_inv(x: Tensor, roi: Tensor, type: ContractionType = ContractionType.AABB) -> Tensor:
    """[..., 3] in the unit cube to [..., 3] in space; ``roi`` [6] is the region."""
    kind, unit = ContractionType(type), x
    if kind is ContractionType.UN_BOUNDED_TANH:
        unit = torch.atanh((2 * x - 1).clamp(-1 + 1e-6, 1 - 1e-6)) + 0.5
    if kind is ContractionType.UN_BOUNDED_SPHERE:
        z = 4 * (x - 0.5)
        norm = z.norm(dim=-1, keepdim=True)
        unit = 0.5 * torch.where(norm > 1, z / norm.clamp_min(1) / (2 - norm).clamp_min(1e-6), z) + 0.5
    return unit * (roi[3:] - roi[:3]) + roi[:3]
