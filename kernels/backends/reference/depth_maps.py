"""Depth maps of several views in plain torch: the twin of kernels/native/bodies/depth_maps.h."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from ...ops.patch_match import StereoView


def refit(depth: Tensor, camera: tuple[float, float, float, float], radius: int, jump: float, normal: Tensor) -> None:
    """See :func:`kernels.refit_normals`. normal [H, W, 3] is overwritten."""
    height, width = depth.shape
    z = depth.double()
    y, x = torch.meshgrid(torch.arange(height, device=z.device), torch.arange(width, device=z.device), indexing="ij")
    n, su, sv, suu, suv, svv, sw, swu, swv = torch.zeros(9, height, width, dtype=torch.float64, device=z.device)
    for dv in range(-radius, radius + 1):
        for du in range(-radius, radius + 1):
            inside = (x + du >= 0) & (x + du < width) & (y + dv >= 0) & (y + dv < height)
            there = z[(y + dv).clamp(0, height - 1), (x + du).clamp(0, width - 1)]
            near = inside & (there > 0) & (z > 0) & ((there - z).abs() <= jump * z)
            w = torch.where(near, z / there.clamp_min(1e-30) - 1.0, 0.0)
            k = near.double()
            n, su, sv, sw = n + k, su + k * du, sv + k * dv, sw + w
            suu, suv, svv, swu, swv = suu + k * du * du, suv + k * du * dv, svv + k * dv * dv, swu + w * du, swv + w * dv
    n = n.clamp_min(1.0)
    uu, uv, vv, wu, wv = suu - su * su / n, suv - su * sv / n, svv - sv * sv / n, swu - sw * su / n, swv - sw * sv / n
    determinant = uu * vv - uv * uv
    fits = (2 * n >= (2 * radius + 1) ** 2) & (determinant > 1e-3 * uu * vv)
    safe = torch.where(fits, determinant, 1.0)
    b, c = (wu * vv - wv * uv) / safe, (wv * uu - wu * uv) / safe
    a = 1.0 + (sw - b * su - c * sv) / n
    fx, fy, cx, cy = camera
    found = -torch.stack([b * fx, c * fy, a - b * (x + 0.5 - cx) - c * (y + 0.5 - cy)], -1)
    normal.copy_(torch.where((fits & (a > 0))[..., None], found / found.norm(dim=-1, keepdim=True), 0.0))


def agree(
    view: StereoView,
    others: Sequence[StereoView],
    geometry: Tensor,
    earlier: int,
    pixels: float,
    relative: float,
    mean: Tensor,
    angle: Tensor,
    count: Tensor,
    before: Tensor,
) -> None:
    """See :func:`kernels.filter_depth`. The last four are overwritten."""
    assert view.depth is not None
    z = view.depth.double()
    height, width = z.shape
    fx, fy, cx, cy = view.intrinsics
    y, x = torch.meshgrid(torch.arange(height, device=z.device), torch.arange(width, device=z.device), indexing="ij")
    ray = torch.stack([(x + 0.5 - cx) / fx, (y + 0.5 - cy) / fy, torch.ones_like(z)], -1)
    point = z[..., None] * ray
    total = z.clone()
    for out in (angle, count, before):
        out.zero_()
    for i, other in enumerate(others):
        assert other.depth is not None
        projection, center = geometry[i, :12].view(3, 4).to(z), geometry[i, 12:].to(z)
        p = point @ projection[:, :3].T + projection[:, 3]
        ahead = (z > 0) & (p[..., 2] > 1e-6 * z)
        uv = p[..., :2] / torch.where(ahead, p[..., 2], 1.0)[..., None]
        inside = ahead & (uv >= 0).all(-1) & (uv[..., 0] < other.depth.shape[1]) & (uv[..., 1] < other.depth.shape[0])
        k = torch.zeros_like(z)
        k[inside] = _depth_at(other.depth.double(), uv[inside], relative) / p[..., 2][inside]
        back = k[..., None] * point + (1.0 - k)[..., None] * center
        ahead = (k > 0) & ((k - 1.0).abs() <= relative) & (back[..., 2] > 0)
        off = back[..., :2] / torch.where(ahead, back[..., 2], 1.0)[..., None] - ray[..., :2]
        near = (off * off.new_tensor([fx, fy])).square().sum(-1) < pixels * pixels
        good = ahead & near & ((back[..., 2] - z).abs() <= relative * z)
        count += good.to(torch.uint8)
        if i < earlier:
            before |= good.to(torch.uint8)
        total += torch.where(good, back[..., 2], 0.0)
        cosine = torch.cosine_similarity(point, point - center, dim=-1).clamp(-1.0, 1.0)
        angle.copy_(torch.where(good, torch.maximum(angle, cosine.acos().float()), angle))
    mean.copy_(torch.where(z > 0, total / (1 + count), 0.0))


def _depth_at(depth: Tensor, uv: Tensor, jump: float) -> Tensor:
    """Between the four pixels about a place where they belong together, else the pixel's own. [H, W], [P, 2] -> [P]"""
    height, width = depth.shape
    own = depth[uv[:, 1].long(), uv[:, 0].long()]
    low = (uv - 0.5).floor()
    f = uv - 0.5 - low
    left, top = low[:, 0].long(), low[:, 1].long()
    whole = (left >= 0) & (top >= 0) & (left + 1 < width) & (top + 1 < height)
    i, j = top.clamp(0, max(height - 2, 0)), left.clamp(0, max(width - 2, 0))
    four = torch.stack([depth[i, j], depth[i, (j + 1).clamp_max(width - 1)], depth[(i + 1).clamp_max(height - 1), j]])
    four = torch.cat([four, depth[(i + 1).clamp_max(height - 1), (j + 1).clamp_max(width - 1)][None]])
    whole &= ((four > 0) & ((four - own).abs() <= jump * own)).all(0)
    inverse = 1.0 / torch.where(whole, four, 1.0)
    x, y = f[:, 0], f[:, 1]
    between = 1.0 / ((1 - y) * ((1 - x) * inverse[0] + x * inverse[1]) + y * ((1 - x) * inverse[2] + x * inverse[3]))
    return torch.where(whole, between, own)
