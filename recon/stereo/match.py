"""Depth maps of all training views: coarse PatchMatch, two geometric passes at full size, and the filter of what agrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components
from torch import Tensor

import kernels
from kernels import PlaneMap, StereoView
from recon.data.scene import Camera, Scene, View
from recon.device import CPU, to_numpy
from recon.rendering.rays import view_pixels
from recon.stereo.sources import choose_sources

SOURCES = 5
FEW_VIEWS, FEW_SOURCES = 8, 4
"""Fewer views than the first: compare with the second only."""
WITNESSES = 10
"""Views that may agree with a depth."""
COARSE_ITERATIONS = 3
PASSES = 2
GEOMETRIC_WEIGHT = 0.2
MOST_COST = 0.6
SPECKLE, SPECKLE_JUMP = 2e-4, 0.01
"""Connected depth that covers less than this share of the picture is dropped; neighbours differ by less than the second, as a share."""
GOOD_ANGLE = np.radians(5.0)
GOOD_VIEWS = 4


@dataclass(frozen=True)
class DepthMap:
    """What stereo knows of a view. On the CPU, wherever it was found.

    Attributes:
        view: Number among the training views.
        camera: Of the picture that was matched, which may be smaller than the photograph. World units.
        depth: Along the optical axis, world units, 0 where nothing is known. float32 [H, W]
        normal: Unit, camera axes, towards the camera; 0 where it could not be fitted. float32 [H, W, 3]
        confidence: 0 to 1. float32 [H, W]
        angle: Largest angle between the pixel's ray and those of views that agree, radians. float32 [H, W]
        count: Other views that agree. uint8 [H, W]
    """

    view: int
    camera: Camera
    depth: Tensor
    normal: Tensor
    confidence: Tensor
    angle: Tensor
    count: Tensor


def match_views(
    scene: Scene, budget: int, max_size: int, seed: int, progress: Callable[[float, str], None], device: torch.device = CPU
) -> tuple[list[DepthMap], list[list[int]]]:
    """Depth of every training view.

    Half-sized pictures are matched from random planes; then, at full size, each plane is refined twice with the sources' depth as a
    further term. Kept is what is cheap and what at least two other views agree with (one, where there are three views or fewer). Depth
    is looked for several times nearer and farther than the bounds say, which costs nothing.

    Memory: about 60 bytes per pixel of ``budget``, beside the scene.

    Args:
        scene: Its bounds need only be right by a factor of two or three.
        budget: Pixels matched in all views together; larger pictures are shrunk.
        max_size: Longer side of a picture at most, pixels.
        seed: Of the planes.
        progress: Hears the share done and what is being done.
        device: Where photographs are compared. Planes of one device and another differ by rounding.
    Returns:
        A map per training view, and for each the views that may agree with it, in the order of :func:`choose_sources`.
    """
    views = scene.split("train")
    shrink = _shrinking(views, budget, max_size)
    fine = [_stereo_view(scene, v, shrink, device) for v in views]
    cameras = [v.camera for v in views]
    center, radius = scene.world_from_scene.translation, scene.world_from_scene.scale
    near_views = choose_sources(cameras, center, radius, WITNESSES)
    count = SOURCES if len(views) >= FEW_VIEWS else FEW_SOURCES
    sources = [chosen[:count] for chosen in near_views]
    ranges = [_depth_range(scene, c) for c in cameras]
    work = 1.0 / ((1 + PASSES) * max(len(views), 1))

    coarse = [_half(v) for v in fine]
    planes: list[PlaneMap | None] = []
    for i, view in enumerate(coarse):
        progress(i * work, f"coarse depth of view {i + 1} of {len(views)}")
        others = [coarse[j] for j in sources[i]]
        found = kernels.patch_match(view, others, ranges[i], iterations=COARSE_ITERATIONS, seed=seed + i) if others else None
        planes.append(None if found is None else _doubled(found, view, fine[i]))
    for step in range(PASSES):
        known = [replace(v, depth=_depth_of(p, v)) for v, p in zip(fine, planes, strict=True)]
        for i, view in enumerate(fine):
            progress(((1 + step) * len(views) + i) * work, f"depth of view {i + 1} of {len(views)}, pass {step + 1} of {PASSES}")
            start = planes[i]
            if start is None:
                continue
            planes[i] = kernels.patch_match(
                view,
                [known[j] for j in sources[i]],
                ranges[i],
                iterations=1,
                geometric_weight=GEOMETRIC_WEIGHT,
                perturbation=0.01 / 2**step,
                start=start,
                seed=seed + (1 + step) * len(views) + i,
            )
    return _kept(scene, fine, planes, near_views), near_views


def _kept(scene: Scene, fine: Sequence[StereoView], planes: Sequence[PlaneMap | None], near_views: list[list[int]]) -> list[DepthMap]:
    """What is cheap, and what other views agree with."""
    least = 2 if len(fine) > 3 else 1
    cheap = [replace(v, depth=_depth_of(p, v, MOST_COST)) for v, p in zip(fine, planes, strict=True)]
    maps = []
    for i, (view, plane) in enumerate(zip(cheap, planes, strict=True)):
        camera = scene.split("train")[i].camera.resized(view.grey.shape[1], view.grey.shape[0])
        agreement = kernels.filter_depth(view, [cheap[j] for j in near_views[i]])
        good = agreement.count >= least
        depth = _without_speckles(torch.where(good, agreement.depth, 0.0))
        confidence = torch.zeros_like(depth)
        if plane is not None:
            views = agreement.count.clamp_max(GOOD_VIEWS).float() / GOOD_VIEWS
            angle = (agreement.angle / GOOD_ANGLE).clamp_max(1.0)
            confidence = torch.where(depth > 0, (1.0 - plane.cost).clamp_min(0.0) * views * angle, 0.0)
        normal = kernels.refit_normals(depth, view.intrinsics)
        found = (depth, normal, confidence, agreement.angle, torch.where(depth > 0, agreement.count, 0))
        maps.append(DepthMap(i, camera, *(t.cpu() for t in found)))
    return maps


def stereo_view(depth_map: DepthMap) -> StereoView:
    """A depth map as the kernels take it; without its picture."""
    nothing = torch.zeros(1, 1, dtype=torch.uint8)
    return StereoView(nothing, *_camera(depth_map.camera), depth=depth_map.depth)


def _shrinking(views: Sequence[View], budget: int, max_size: int) -> float:
    """By how much the sides of all pictures are divided, at least 1."""
    pixels = sum(v.camera.width * v.camera.height for v in views)
    longest = max(max(v.camera.width, v.camera.height) for v in views)
    return max(1.0, (pixels / budget) ** 0.5, longest / max_size)


def _stereo_view(scene: Scene, view: View, shrink: float, device: torch.device) -> StereoView:
    """A photograph as the kernels take it; masked is what is not the object, where that is known, and what is to be ignored."""
    pixels = view_pixels(view, scene.background)
    width, height = max(16, round(view.camera.width / shrink)), max(16, round(view.camera.height / shrink))
    rgb = torch.from_numpy(np.ascontiguousarray(pixels[..., :3])).float()
    grey = _resized(rgb @ rgb.new_tensor([0.299, 0.587, 0.114]), height, width)
    mask = None
    if scene.background in ("alpha", "masks"):
        mask = _resized(torch.from_numpy(np.ascontiguousarray(pixels[..., 3])).float(), height, width) > 127.0
    if view.ignore is not None:
        used = _resized(torch.from_numpy(view.ignore.astype(np.float32)), height, width) < 1e-3
        mask = used if mask is None else mask & used
    camera = view.camera.resized(width, height)
    on_device = None if mask is None else mask.to(torch.uint8).contiguous().to(device)
    return StereoView(grey.round().clamp(0, 255).to(torch.uint8).to(device), *_camera(camera), mask=on_device)


def _resized(picture: Tensor, height: int, width: int) -> Tensor:
    if picture.shape == (height, width):
        return picture
    return torch.nn.functional.interpolate(picture[None, None], (height, width), mode="bilinear", antialias=True)[0, 0]


def _camera(camera: Camera) -> tuple[tuple[float, float, float, float], Tensor]:
    rotation = camera.world_from_camera[:, :3].T
    matrix = np.concatenate([rotation, -(rotation @ camera.center)[:, None]], 1)
    return (camera.fx, camera.fy, camera.cx, camera.cy), torch.from_numpy(matrix)


def _depth_range(scene: Scene, camera: Camera) -> tuple[float, float]:
    """Where depth is looked for: about the sphere where silhouettes bound it, far before and behind it where nothing does."""
    center, radius = scene.world_from_scene.translation, scene.world_from_scene.scale
    ahead = float((center - camera.center) @ camera.world_from_camera[:, 2])
    if scene.background in ("alpha", "masks"):
        return max(ahead - 1.1 * radius, 0.02 * radius), max(ahead + 1.1 * radius, 0.1 * radius)
    away = max(ahead, 0.5 * radius)
    return max(0.5 * (away - radius), 0.1 * away), 4.0 * (away + radius)


def _half(view: StereoView) -> StereoView:
    """The same at half the size; a last odd row or column is left out, so that the camera is exact."""
    height, width = view.grey.shape[0] // 2, view.grey.shape[1] // 2
    blocks = view.grey[: 2 * height, : 2 * width].reshape(height, 2, width, 2).float()
    mask = None if view.mask is None else view.mask[: 2 * height, : 2 * width].reshape(height, 2, width, 2).amax((1, 3)).contiguous()
    fx, fy, cx, cy = view.intrinsics
    grey = blocks.mean((1, 3)).round().to(torch.uint8)
    return StereoView(grey, (fx / 2, fy / 2, cx / 2, cy / 2), view.camera_from_world, mask)


def _doubled(planes: PlaneMap, coarse: StereoView, fine: StereoView) -> PlaneMap:
    """A plane for every pixel of the picture of twice the size, where its own ray meets the plane of the coarse pixel it lies in."""
    rows, columns = (torch.arange(n, device=fine.grey.device) for n in fine.grey.shape)
    row, column = (rows // 2).clamp_max(coarse.grey.shape[0] - 1), (columns // 2).clamp_max(coarse.grey.shape[1] - 1)
    depth, normal, cost = planes.depth[row][:, column], planes.normal[row][:, column], planes.cost[row][:, column]

    def dot(view: StereoView, x: Tensor, y: Tensor) -> Tensor:
        fx, fy, cx, cy = view.intrinsics
        return normal[..., 0] * ((x + 0.5 - cx) / fx) + normal[..., 1] * ((y + 0.5 - cy) / fy)[:, None] + normal[..., 2]

    here = dot(fine, columns, rows)
    there = dot(coarse, column, row)
    usable = (depth > 0) & (here < -0.05)
    return PlaneMap(torch.where(usable, depth * there / torch.where(usable, here, -1.0), 0.0), normal, cost)


def _depth_of(planes: PlaneMap | None, view: StereoView, most_cost: float = np.inf) -> Tensor:
    if planes is None:
        return torch.zeros(view.grey.shape, device=view.grey.device)
    return torch.where(planes.cost < most_cost, planes.depth, 0.0)


def _without_speckles(depth: Tensor) -> Tensor:
    """Depth without small islands. [H, W]"""
    z = to_numpy(depth)
    height, width = z.shape
    index = np.arange(z.size).reshape(z.shape)
    edges = []
    for a, b in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        joined = (z[a] > 0) & (z[b] > 0) & (np.abs(z[a] - z[b]) < SPECKLE_JUMP * z[a])
        edges.append(np.stack([index[a][joined], index[b][joined]]))
    rows, columns = np.concatenate(edges, 1)
    graph = coo_matrix((np.ones(len(rows), np.int8), (rows, columns)), shape=(z.size, z.size)).tocsr()
    labels = connected_components(graph, directed=False)[1]
    large = np.bincount(labels)[labels].reshape(height, width) >= SPECKLE * z.size
    return torch.where(torch.from_numpy(large).to(depth.device), depth, 0.0)
