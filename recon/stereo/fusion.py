"""A start for the signed distance: depth maps fused on a grid, whose cells are free, near a surface, behind one, or unknown.

Truncated fusion (Curless and Levoy 1996) says where surfaces were seen. A distance also needs a sign elsewhere: cells that rays passed are
free, cells that lie behind a surface for most views are solid for now, and unknown ones take after the nearest known cell, or the hull.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

from recon.geometry import Similarity
from recon.stereo.match import DepthMap

BAND = 4.0
"""Depth counts for the distance up to this many cells before and behind it."""
LEAST_COSINE = 0.2
REACH, LOOKED_REACH = 10.0, 2.0
"""Unknown cells farther than this many cells from any known one are taken to be free: nothing was seen there by anyone. The second is for
cells that views look at and find nothing to compare, as sky: holes in a surface are closed that far."""
SLAB = 16
"""Layers of the grid projected at once."""


@dataclass(frozen=True)
class Fused:
    """Sums over all views at the centres of the cells of a cube [-1, 1]^3, axes x, y, z.

    Attributes:
        distance: Mean truncated distance where a surface is near, scene units; else 0. float32 [R, R, R]
        weight: Its weight, 0 where no surface is near. float32 [R, R, R]
        free: Views that look past the cell at something farther. uint8 [R, R, R]
        behind: Views from which the cell lies behind something. uint8 [R, R, R]
        inside: Views in whose picture the cell is. uint8 [R, R, R]
    """

    distance: Tensor
    weight: Tensor
    free: Tensor
    behind: Tensor
    inside: Tensor


def fuse_distance(maps: Sequence[DepthMap], scene_from_world: Similarity, resolution: int) -> Fused:
    """Fuse depth maps over the scene's cube. Memory: 11 bytes a cell, and 100 a cell of :data:`SLAB` layers."""
    cell = 2.0 / resolution
    band = BAND * cell
    axis = (torch.arange(resolution, dtype=torch.float32) + 0.5) * cell - 1.0
    shape = (resolution,) * 3
    distance, weight = torch.zeros(shape), torch.zeros(shape)
    free, behind, inside = (torch.zeros(shape, dtype=torch.uint8) for _ in range(3))
    lookups = [_lookup(m, scene_from_world) for m in maps]
    for first in range(0, resolution, SLAB):
        part = slice(first, first + SLAB)
        points = torch.stack(torch.meshgrid(axis[part], axis, axis, indexing="ij"), -1).reshape(-1, 3)
        for look in lookups:
            x, y, z = ((points - look.eye) @ look.rotation).unbind(-1)
            ahead = z > 1e-3
            per = 1.0 / torch.where(ahead, z, 1.0)
            column, row = (look.fx * x * per + look.cx).floor().long(), (look.fy * y * per + look.cy).floor().long()
            height, width = look.depth.shape
            seen = ahead & (column >= 0) & (row >= 0) & (column < width) & (row < height)
            some = seen.nonzero().squeeze(1)
            at = row[some] * width + column[some]
            inside[part].view(-1)[some] += 1
            depth, cosine, worth = (m.view(-1)[at] for m in (look.depth, look.cosine, look.worth))
            known = depth > 0
            some, depth, cosine, worth = some[known], depth[known], cosine[known], worth[known]
            length = (points[some] - look.eye).norm(dim=1) * per[some]  # of the ray for each unit of depth
            along = (depth - z[some]) * length
            d = along * cosine
            free[part].view(-1)[some] += (d >= band).to(torch.uint8)
            # Along the ray, not across the surface: behind an outline there is nothing to say how deep the object is.
            behind[part].view(-1)[some] += (along < -band).to(torch.uint8)
            near = (d < band) & (along > -band)
            some, d, worth = some[near], d[near], worth[near]
            distance[part].view(-1)[some] += worth * d
            weight[part].view(-1)[some] += worth
    return Fused(torch.where(weight > 0, distance / weight.clamp_min(1e-12), 0.0), weight, free, behind, inside)


def start_distance(fused: Fused, hull: Tensor | None = None) -> tuple[Tensor, dict[str, float]]:
    """A signed distance on the grid, and what is known of the ball: shares that are free, near a surface, behind one, unknown.

    Args:
        fused: Of all views.
        hull: Distance to the visual hull on the same grid, or None. Stereo only takes away from it.
    Returns:
        Scene units, negative inside. float32 [R, R, R]
    """
    resolution = len(fused.weight)
    cell = 2.0 / resolution
    band = BAND * cell
    # A cell near what one view sees, and past which many look: what that view sees is wrong.
    doubted = (fused.weight > 0) & (fused.free >= 3) & (fused.distance > -0.5 * band)
    surface = ((fused.weight > 0) & ~doubted).numpy()
    value = fused.distance.numpy()
    passed = ~surface & (fused.free > 0).numpy() & (fused.free > fused.behind).numpy()
    # Around an object before nothing, every cell is behind it for some view, and before nothing for the others.
    hidden = ~surface & ~passed & (2 * fused.behind.int() >= fused.inside.int()).numpy() & (fused.behind > 0).numpy()
    known = surface | passed | hidden
    solid = (surface & (value < 0)) | hidden
    far, nearest = ndimage.distance_transform_edt(~known, return_indices=True)  # type: ignore[misc]
    reach = np.where((fused.inside >= 2).numpy(), LOOKED_REACH, REACH)
    solid = np.where(known, solid, solid[tuple(nearest)] & (far < reach))
    outside, within = (np.asarray(ndimage.distance_transform_edt(side), np.float32) for side in (~solid, solid))
    cells = np.where(solid, 0.5 - within, outside - 0.5)
    result = torch.from_numpy((cells * cell).astype(np.float32))
    fine = torch.from_numpy(surface) & (fused.distance.abs() < 2.0 * cell) & (result.abs() < 3.0 * cell)
    result = torch.where(fine, fused.distance, result)
    if hull is not None:
        result = torch.where(torch.from_numpy(known), torch.maximum(result, hull), hull)
    axis = (torch.arange(resolution) + 0.5) * cell - 1.0
    ball = ((axis[:, None, None] ** 2 + axis[:, None] ** 2 + axis**2) < 1.0).numpy()
    shares = {
        "free": float(passed[ball].mean()),
        "surface": float(surface[ball].mean()),
        "behind": float(hidden[ball].mean()),
        "unknown": float((~known)[ball].mean()),
    }
    return result, shares


@dataclass(frozen=True)
class _Lookup:
    """A depth map in scene units, with what a cell asks of it."""

    eye: Tensor
    rotation: Tensor
    fx: float
    fy: float
    cx: float
    cy: float
    depth: Tensor
    cosine: Tensor
    worth: Tensor


def _lookup(m: DepthMap, scene_from_world: Similarity) -> _Lookup:
    camera = m.camera
    pose = torch.tensor(scene_from_world.apply_to_pose(camera.world_from_camera), dtype=torch.float32)
    x = (torch.arange(camera.width) + 0.5 - camera.cx) / camera.fx
    y = (torch.arange(camera.height) + 0.5 - camera.cy) / camera.fy
    ray = torch.stack([x[None].expand(camera.height, -1), y[:, None].expand(-1, camera.width), torch.ones_like(m.depth)], -1)
    cosine = -(torch.nn.functional.normalize(ray, dim=-1) * m.normal).sum(-1)
    cosine = torch.where(m.normal.norm(dim=-1) > 0.5, cosine.clamp(LEAST_COSINE, 1.0), 0.5)  # without a normal: taken to be slanted
    depth = m.depth * scene_from_world.scale
    worth = m.confidence.clamp_min(0.05) * cosine / depth.clamp_min(1e-6) ** 2
    return _Lookup(pose[:, 3], pose[:, :3], camera.fx, camera.fy, camera.cx, camera.cy, depth, cosine, worth)
