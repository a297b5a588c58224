"""Space that the silhouettes say is empty: the cells of an occupancy grid outside the visual hull (Laurentini 1994).

It is what alpha and masks know for certain, and before any training: a cell that one photograph shows nothing but background at is empty,
however many others see a surface there.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy import ndimage
from torch import Tensor

import kernels
from recon.data.bounds import distance_map
from recon.data.scene import Camera, Scene
from recon.device import to_numpy
from recon.rendering.rays import view_pixels

MAP_SIZE = 1024
"""Longer side of the distance maps at most, pixels: larger pictures are joined in blocks, any object pixel of which counts."""
ONE_SIDE = 0.7
"""Mean of the unit vectors to the cameras above which they stand on one side."""
CELLS = 1 << 18
"""Cells projected at once."""
DOUBTED_VIEWS = 2
"""This many masks may be wrong at a cell: they come from people and programs. Alpha comes with the picture, and is believed."""


def empty_cells(scene: Scene, resolution: int) -> Tensor | None:
    """Cells of the grid over the scene's cube that cannot hold a part of the object. Held-out views are not looked at.

    Cells of twice the size are looked at first, and only those that may hold something are divided. Memory below 100 MB.

    Args:
        scene: With alpha or used masks.
        resolution: Cells per axis, a power of two from 16.
    Returns:
        bool [resolution^3], Morton order; None where the background is anything else.
    """
    if scene.background not in ("alpha", "masks"):
        return None
    views = scene.split("train")
    doubted = DOUBTED_VIEWS if scene.background == "masks" else 0
    maps = [distance_map(view_pixels(v, scene.background)[..., 3] > 0, MAP_SIZE) for v in views]
    cameras = [v.camera for v in views]

    def empty(points: Tensor, cells: int) -> Tensor:
        seen = [_seen_empty(scene, part, np.sqrt(3.0) / cells, cameras, maps) for part in points.split(CELLS)]
        return torch.cat(seen) > doubted

    coarse = empty(kernels.OccupancyGrid.empty(resolution // 2).cell_centers(), resolution // 2)
    found = coarse.repeat_interleave(8)  # Morton order: the eight children follow each other
    rest = (~found).nonzero().squeeze(1)
    if len(rest):
        found[rest] = empty(kernels.OccupancyGrid.empty(resolution).cell_centers(rest), resolution)
    return found


def hull_distance(empty: Tensor, radius: float) -> Tensor | None:
    """Signed distance to the cells that are not empty, within a ball; half a cell's error at most.

    Args:
        empty: :func:`empty_cells`. bool [resolution^3]
        radius: Of the ball about the origin, scene units.
    Returns:
        At the cells' centres, scene units, negative inside. float32 [resolution, resolution, resolution], axes x, y, z. None if nothing
        is left.
    """
    grid = kernels.OccupancyGrid.empty(round(len(empty) ** (1 / 3)))
    centers = grid.cell_centers()
    i, j, k = ((centers + 1.0) / grid.cell_size()).long().unbind(-1)
    solid = np.zeros((grid.resolution,) * 3, bool)
    solid[i, j, k] = to_numpy(~empty & (centers.norm(dim=-1) < radius))
    if not solid.any():
        return None
    outside, inside = (np.asarray(ndimage.distance_transform_edt(part), np.float32) for part in (~solid, solid))
    # The border runs half a cell from the centres on either side of it.
    cells = np.where(solid, 0.5 - inside, outside - 0.5)
    return torch.from_numpy((cells * grid.cell_size()).astype(np.float32))


def seen_from_around(scene: Scene) -> bool:
    """Whether the training cameras stand around the object, or at least all over one half of the directions from it.

    The mean of the directions to them is 0 long if they are spread over the sphere, and 0.5 over half of it. From one side, nothing bounds
    the hull at the back.
    """
    eyes = np.stack([scene.scene_from_world.apply(v.camera.center) for v in scene.split("train")])
    return float(np.linalg.norm((eyes / np.linalg.norm(eyes, axis=1, keepdims=True)).mean(0))) < ONE_SIDE


def _seen_empty(
    scene: Scene, points: Tensor, half_diagonal: float, cameras: Sequence[Camera], maps: Sequence[tuple[np.ndarray, float]]
) -> Tensor:
    """How many views see nothing in the balls of a radius, scene units, about points [N, 3]. int [N]"""
    count = torch.zeros(len(points), dtype=torch.int16)
    for camera, (distance, step) in zip(cameras, maps, strict=True):
        pose = torch.tensor(scene.scene_from_world.apply_to_pose(camera.world_from_camera), dtype=torch.float32)
        x, y, z = ((points - pose[:, 3]) @ pose[:, :3]).unbind(-1)
        u, v = x / z, y / z
        column, row = camera.fx * u + camera.cx, camera.fy * v + camera.cy
        # A point of the ball is seen at most this far from its centre, pixels: the projection's slope at the centre over the least depth.
        reach = max(camera.fx, camera.fy) * half_diagonal * torch.sqrt(1.0 + u * u + v * v) / (z - half_diagonal)
        whole = (z > half_diagonal) & (column >= reach) & (row >= reach)
        whole &= (column <= camera.width - reach) & (row <= camera.height - reach)
        i, j = (torch.where(whole, c, 0.0).div(step).long() for c in (row, column))
        i, j = i.clamp_max(distance.shape[0] - 1), j.clamp_max(distance.shape[1] - 1)
        # Distances are between the centres of blocks; the point and the object are up to half a block's diagonal from them.
        count += whole & (torch.from_numpy(distance)[i, j] > reach + np.sqrt(2.0) * step)
    return count
