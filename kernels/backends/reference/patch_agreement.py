"""Agreement of photographs on pieces of plane: normalised cross-correlation of a window with where a homography takes it."""

from __future__ import annotations

import torch
from torch import Tensor

COVERED = 250
LIKENESS = 0.2
NONE = 2.0
LUMA = (0.299, 0.587, 0.114)


def patch_agreement(
    pixels: Tensor,
    starts: Tensor,
    widths: Tensor,
    others: Tensor,
    warps: Tensor,
    view: Tensor,
    middle: Tensor,
    planes: Tensor,
    reach: int,
    noise: float,
) -> tuple[Tensor, Tensor]:
    """See :func:`kernels.patch_agreement`. Costs [M, S], differentiable to ``planes``, and texture [M]."""
    side = torch.arange(-reach, reach + 1, dtype=planes.dtype, device=planes.device)
    offsets = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1).reshape(-1, 2)  # [P, 2]
    pictures = (pixels, starts, widths)
    with torch.no_grad():
        uv = middle[:, None] + offsets
        grey, there = _look(*pictures, view, uv)
        unlike = (grey - grey[:, len(offsets) // 2, None]).abs() / LIKENESS
        weight = torch.exp(-unlike - (offsets**2).sum(1) / (4 * reach * reach))
        weight = (weight / weight.sum(1, keepdim=True))[:, None]  # [M, 1, P]
        mean = (weight[:, 0] * grey).sum(1)
        centred = grey - mean[:, None]
        variance = (weight[:, 0] * centred**2).sum(1)
    other = others[view]
    warp = warps[view]
    ones = torch.ones_like(uv[..., :1])
    inverse = planes[:, :1] + planes[:, 1:2] * offsets[:, 0] + planes[:, 2:] * offsets[:, 1]  # [M, P]
    seen = torch.cat([uv, ones], -1)[:, None] @ warp[..., :3].transpose(2, 3) + inverse[:, None, :, None] * warp[:, :, None, :, 3]
    ahead = (seen[..., 2] > 0) & (inverse > 0)[:, None]  # of both cameras
    at = seen[..., :2] / torch.where(ahead, seen[..., 2], torch.ones_like(seen[..., 2]))[..., None]
    value, inside = _look(*pictures, other.clamp_min(0), at)
    value = value - mean[:, None, None]
    value = value - (weight * value).sum(-1, keepdim=True)
    cross = (weight * centred[:, None] * value).sum(-1)
    power = (weight * value * value).sum(-1)
    cost = 1.0 - cross / ((variance[:, None] + noise) * (power + noise)).sqrt()
    whole = there.all(1)
    usable = (ahead & inside).all(-1) & (other >= 0) & whole[:, None]
    return torch.where(usable, cost, torch.full_like(cost, NONE)), torch.where(whole, variance / (variance + noise), 0.0)


def _look(pixels: Tensor, starts: Tensor, widths: Tensor, view: Tensor, uv: Tensor) -> tuple[Tensor, Tensor]:
    """Grey at pixels [..., P, 2] of views [...], between the four about each, and whether these are there and covered. Both [..., P]"""
    start, width = starts[view][..., None], widths[view][..., None]
    height = torch.div(starts[view + 1][..., None] - start, width, rounding_mode="floor")
    x, y = (uv - 0.5).unbind(-1)
    there = (x >= 0) & (y >= 0) & (x < width - 1) & (y < height - 1)
    column, row = (torch.where(there, c, torch.zeros_like(c)).detach().floor() for c in (x, y))
    first = start + row.long() * width + column.long()
    grey = []
    for at in (first, first + 1, first + width, first + width + 1):
        rgba = pixels[at.clamp_max(len(pixels) - 1)]
        there = there & (rgba[..., 3] >= COVERED)
        grey.append(rgba[..., :3].to(uv.dtype) @ uv.new_tensor(LUMA) / 255.0)
    fx, fy = (torch.where(there, c - whole, torch.zeros_like(c)) for c, whole in ((x, column), (y, row)))
    above, below = grey[0] + fx * (grey[1] - grey[0]), grey[2] + fx * (grey[3] - grey[2])
    return above + fy * (below - above), there
