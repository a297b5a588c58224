"""One cloud from all depth maps: oriented points, each surface point once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import kernels
from recon.data.ply import NORMAL, RGB, XYZ, Column, columns_of, read_columns, write_ply
from recon.data.scene import View
from recon.errors import DataError
from recon.stereo.match import DepthMap, stereo_view
from recon.system.files import whole

JUMP, MARGIN = 0.05, 3
"""Where depth changes by more than this share within so many pixels, stereo fattens what is in front."""
NOISE = 0.04
"""Of a match, pixels; less with the square root of the views that agree."""
LEAST_NOISE = 0.25
"""Standard deviation of a point at least, pixels across: the surface is not better known than that."""


@dataclass(frozen=True)
class Points:
    """Points of the surface, in the world.

    Attributes:
        position, normal: Normals are unit and outward, 0 where none could be fitted. float32 [N, 3]
        confidence: 0 to 1; 0 beside jumps of depth. float32 [N]
        sigma: Standard deviation along the ray, world units. float32 [N]
        view: Number of the training view that each comes from. int64 [N]
        count: Other views that agree. uint8 [N]
        color: sRGB. uint8 [N, 3]
    """

    position: Tensor
    normal: Tensor
    confidence: Tensor
    sigma: Tensor
    view: Tensor
    count: Tensor
    color: Tensor

    def __len__(self) -> int:
        return len(self.position)


def fuse(maps: Sequence[DepthMap], near_views: Sequence[Sequence[int]], views: Sequence[View]) -> Points:
    """The points of all maps; a pixel whose point an earlier view has too is left out.

    Args:
        maps: Of the training views.
        near_views: For each the views that may agree with it.
        views: The photographs, for colours.
    """
    parts = []
    known = [stereo_view(m) for m in maps]
    for m, here in zip(maps, known, strict=True):
        earlier = [j for j in near_views[m.view] if j < m.view]
        repeated = kernels.filter_depth(here, [known[j] for j in earlier]).count > 0
        keep = (m.depth > 0) & ~repeated
        position, normal = kernels.fuse_depth(here, m.depth, m.normal, keep)
        confidence = torch.where(beside_jumps(m.depth), 0.0, m.confidence)[keep]
        footprint = m.depth[keep] / m.camera.fx
        noise = NOISE / (1.0 + m.count[keep].float()).sqrt() / m.angle[keep].clamp_min(0.01).tan()
        picture = torch.from_numpy(np.ascontiguousarray(views[m.view].image[..., :3])).permute(2, 0, 1)[None].float()
        color = torch.nn.functional.interpolate(picture, keep.shape, mode="bilinear", antialias=True, align_corners=False)[0]
        parts.append(
            Points(
                position,
                normal,
                confidence,
                footprint * noise.clamp_min(LEAST_NOISE),
                torch.full((len(position),), m.view),
                m.count[keep],
                color.round().clamp(0, 255).to(torch.uint8)[:, keep].T.contiguous(),
            )
        )
    return Points(*(torch.cat([getattr(p, f.name) for p in parts]) for f in fields(Points)))


def beside_jumps(depth: Tensor) -> Tensor:
    """Pixels near which the depth changes suddenly. [H, W] bool"""
    z = depth[None, None]
    size = 2 * MARGIN + 1
    farthest = torch.nn.functional.max_pool2d(z, size, 1, MARGIN)
    nearest = -torch.nn.functional.max_pool2d(torch.where(z > 0, -z, -torch.inf), size, 1, MARGIN)
    return ((farthest - z > JUMP * z) | (z - nearest > JUMP * z))[0, 0] & (depth > 0)


def select(points: Points, which: Tensor) -> Points:
    """Some of the points. bool or indices"""
    return replace(points, **{f.name: getattr(points, f.name)[which] for f in fields(Points)})


def read_ply(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions [N, 3], confidence [N] and photographs that agree [N] of a file that :func:`write_points` wrote.

    Raises:
        DataError: It is another file, or cut short.
    """
    try:
        columns = read_columns(path)
        return np.stack([columns[k] for k in XYZ], 1), columns["confidence"], columns["seen"]
    except (DataError, KeyError) as error:
        raise DataError(f"{path}: not the points of a run", hint="delete it; recon resume RUN makes it again") from error


def write_points(points: Points, path: Path, unit: str | None) -> None:
    """Write ``points.ply``: positions, normals, colours, confidence, and by how many photographs each was seen."""
    position, normal, color = (t.numpy() for t in (points.position, points.normal, points.color))
    columns = [*columns_of(XYZ, "<f4", position), *columns_of(NORMAL, "<f4", normal), *columns_of(RGB, "u1", color)]
    seen = (points.count.int().clamp_max(254) + 1).numpy()
    columns += [Column("confidence", "<f4", points.confidence.numpy()), Column("seen", "u1", seen)]
    with whole(path) as part, open(part, "wb") as file:
        write_ply(file, columns, comment=f"unit {unit}" if unit else None)
