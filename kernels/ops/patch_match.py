"""``patch_match`` and ``patch_costs``: multi-view stereo. Not differentiable."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import patch_match as reference
from ..errors import ArgumentError

MAX_SOURCES = 16
MAX_BEST = 4
MAX_PIXELS = 1 << 24
"""Of a picture: a pixel's number must be exact in float32."""


@dataclass(frozen=True)
class StereoView:
    """A photograph with its pinhole camera, for stereo.

    Pixel centres are at +0.5; camera axes x right, y down, z forward.

    Attributes:
        grey: [H, W] uint8
        intrinsics: fx, fy, cx, cy, pixels.
        camera_from_world: Rigid. float64 [3, 4]
        mask: Nonzero where the picture shows what is looked for, or None for all of it. uint8 [H, W]
        depth: Along the optical axis, world units, 0 where unknown; None as long as there is none. float32 [H, W]
    """

    grey: Tensor
    intrinsics: tuple[float, float, float, float]
    camera_from_world: Tensor
    mask: Tensor | None = None
    depth: Tensor | None = None


@dataclass(frozen=True)
class PlaneMap:
    """A plane per pixel.

    Attributes:
        depth: Along the optical axis, world units; 0 where there is none. float32 [H, W]
        normal: Unit, camera axes, towards the camera; 0 where there is none. float32 [H, W, 3]
        cost: Mean of 1 - NCC over the best sources, plus the geometric term; 2 and more where nothing was found. float32 [H, W]
    """

    depth: Tensor
    normal: Tensor
    cost: Tensor


def patch_match(
    view: StereoView,
    sources: Sequence[StereoView],
    depth_range: tuple[float, float],
    *,
    iterations: int = 3,
    best: int = 2,
    geometric_weight: float = 0.0,
    least_variance: float = 4.0,
    perturbation: float = 0.02,
    start: PlaneMap | None = None,
    seed: int = 0,
    backend: str | None = None,
) -> PlaneMap:
    """Depth and normals of a photograph by comparing it with others: PatchMatch stereo over planes.

    A pixel's plane maps the window about it (11 x 11, every second pixel, weighted by likeness and nearness to the centre) into each source
    by a homography; the cost is 1 minus their normalised cross-correlation, the mean over the ``best`` sources of the pixel. Planes start
    at random, uniform in 1/z, or from ``start``; each iteration offers a pixel the cheapest plane of each of eight areas about it, red and
    black in turns, and five random changes of its own. Pixels without texture get none. NCC does not see gain and offset.

    The result depends on ``seed`` alone, not on the number of threads; among instruction sets and backends it differs by rounding.
    Memory: 4 bytes per pixel of every source and 20 of the view, beside what is handed over.

    Args:
        view: The reference. Pixels outside its mask are skipped.
        sources: 1 to 16 other views; points that fall outside a picture or its mask do not match.
        depth_range: Least and greatest depth, world units; several times too wide costs nothing.
        iterations: Each costs 13 evaluations per pixel and source.
        best: 1 to 4 sources whose mean counts: those that see the point and not what hides it.
        geometric_weight: Added to a source's cost per pixel of distance, at most 3, between the pixel and where the source's own ``depth``
            leads back to.
        least_variance: Of grey levels within a window, below which it has no texture.
        perturbation: Of depth, relative, and of normals, in half turns, in the first iteration; halved with each.
        start: Planes to begin with; drawn at random where it has none.
        seed: 0 to 2^31 - 1.
        backend: Force a backend.
    Returns:
        A plane per pixel, good or bad: see ``cost`` and :func:`filter_depth`.
    Raises:
        ArgumentError: Wrong shape, dtype or value.
        BackendError: A forced backend is missing.
    Source: Bleyer, Rhemann and Rother 2011; propagation of Galliani et al. 2015 and Xu and Tao 2019; bilateral NCC of Schoenberger et al.
    2016.
    """
    _check_views("patch_match", view, sources, needs_depth=geometric_weight > 0.0)
    near, far = depth_range
    if not 0.0 < near < far < math.inf:
        raise ArgumentError(f"patch_match: depth_range must be 0 < near < far, not {near:g}, {far:g}")
    if not 1 <= best <= MAX_BEST:
        raise ArgumentError(f"patch_match: best must be 1 to {MAX_BEST}, not {best}")
    if not 0 <= iterations <= 64:
        raise ArgumentError(f"patch_match: iterations must be 0 to 64, not {iterations}")
    if not 0 <= seed < 2**31:
        raise ArgumentError(f"patch_match: seed must be 0 to 2^31 - 1, not {seed}")
    height, width = view.grey.shape
    planes = view.grey.new_zeros(height, width, 4, dtype=torch.float32)
    if start is not None:
        if start.depth.shape != (height, width) or start.normal.shape != (height, width, 3):
            raise ArgumentError(f"patch_match: start must be of the view's size, {height} x {width}")
        planes = torch.cat([start.depth[..., None], start.normal], -1).float().contiguous()
    costs = planes.new_empty(height, width)
    seeds = [_hash(seed * 65537 + i) for i in range(iterations + 1)]
    name = backends.backend("patch_match", view.grey.device, backend)
    geometry = _geometry(view, sources)
    weights = (geometric_weight, least_variance)
    search = (near, far, min(best, len(sources)), iterations, perturbation, seeds)
    if name == "reference":
        reference.match(view, sources, geometry, *weights, *search, planes, costs)
    else:
        arrays = _arrays(view, sources, geometric_weight)
        _kernels(name, planes).patch_match(*arrays, geometry, *weights, *search, planes, costs)
    return PlaneMap(planes[..., 0].contiguous(), planes[..., 1:].contiguous(), costs.clamp_max(2.0 + 3.0 * geometric_weight))


def patch_costs(
    view: StereoView,
    sources: Sequence[StereoView],
    planes: PlaneMap,
    *,
    geometric_weight: float = 0.0,
    least_variance: float = 4.0,
    backend: str | None = None,
) -> Tensor:
    """The cost of given planes with every source, as in :func:`patch_match`; 2 where they cannot be compared.

    Args:
        planes: One per pixel of the view; its ``cost`` is not looked at.
    Returns:
        float32 [sources, H, W]
    Raises:
        ArgumentError: Wrong shape, dtype or value.
        BackendError: A forced backend is missing.
    """
    _check_views("patch_costs", view, sources, needs_depth=geometric_weight > 0.0)
    if planes.depth.shape != view.grey.shape or planes.normal.shape != (*view.grey.shape, 3):
        raise ArgumentError("patch_costs: planes must be of the view's size")
    packed = torch.cat([planes.depth[..., None], planes.normal], -1).float().contiguous()
    out = packed.new_empty(len(sources), *view.grey.shape)
    name = backends.backend("patch_costs", view.grey.device, backend)
    geometry = _geometry(view, sources)
    if name == "reference":
        reference.costs(view, sources, geometry, geometric_weight, least_variance, packed, out)
    else:
        arrays = _arrays(view, sources, geometric_weight)
        _kernels(name, packed).patch_costs(*arrays, geometry, geometric_weight, least_variance, packed, out)
    return out


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU."""
    if TYPE_CHECKING:
        from ..backends.cpu import patch_match

        return patch_match
    return backends.raw(backend, "patch_match", like)


def _hash(x: int) -> int:
    x &= 0xFFFFFFFF
    x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def pixel_from_view(view: StereoView, others: Sequence[StereoView]) -> Tensor:
    """Per other view: its pixel (times z) from a point of the view's camera [3, 4], and its centre there [3]. float64 [N, 15]"""
    here = view.camera_from_world.double().cpu()
    rows = []
    for other in others:
        there = other.camera_from_world.double().cpu()
        rotation = there[:, :3] @ here[:, :3].T
        shift = there[:, 3] - rotation @ here[:, 3]
        fx, fy, cx, cy = other.intrinsics
        pixel = torch.tensor([[fx, 0.0, cx], [0.0, fy, cy], [0.0, 0.0, 1.0]], dtype=torch.float64)
        rows.append(torch.cat([torch.cat([pixel @ rotation, (pixel @ shift)[:, None]], 1).flatten(), -rotation.T @ shift]))
    return torch.stack(rows).contiguous() if rows else torch.zeros(0, 15, dtype=torch.float64)


def _geometry(view: StereoView, sources: Sequence[StereoView]) -> Tensor:
    """A, b and centre per source, see kernels/native/bodies/patch_match_job.h. float64 [sources, 15]"""
    found = pixel_from_view(view, sources)
    projection = found[:, :12].reshape(-1, 3, 4).clone()
    projection[:, :2] -= 0.5 * projection[:, 2:]
    return torch.cat([projection[:, :, :3].flatten(1), projection[:, :, 3], found[:, 12:]], 1).contiguous()


_Arrays = tuple[Tensor, Tensor | None, list[float], list[Tensor], list[Tensor], list[Tensor]]


def _arrays(view: StereoView, sources: Sequence[StereoView], geometric_weight: float) -> _Arrays:
    """What the extension takes first."""
    masks = [s.mask if s.mask is not None else torch.ones_like(s.grey) for s in sources] if any(s.mask is not None for s in sources) else []
    depths = [s.depth.contiguous() for s in sources if s.depth is not None] if geometric_weight > 0.0 else []
    return (
        view.grey.contiguous(),
        None if view.mask is None else view.mask.contiguous(),
        list(view.intrinsics),
        [s.grey.contiguous() for s in sources],
        [m.contiguous() for m in masks],
        depths,
    )


def _check_views(op: str, view: StereoView, sources: Sequence[StereoView], needs_depth: bool) -> None:
    if not 1 <= len(sources) <= MAX_SOURCES:
        raise ArgumentError(f"{op}: 1 to {MAX_SOURCES} sources, not {len(sources)}")
    for name, each in [*((f"source {i}", s) for i, s in enumerate(sources)), ("view", view)]:
        grey = each.grey
        if grey.dtype != torch.uint8 or grey.dim() != 2 or not 0 < grey.numel() <= MAX_PIXELS:
            raise ArgumentError(f"{op}: {name}: grey must be uint8 [H, W], 1 to {MAX_PIXELS} pixels, not {grey.dtype} {list(grey.shape)}")
        if each.mask is not None and (each.mask.dtype != torch.uint8 or each.mask.shape != grey.shape):
            raise ArgumentError(f"{op}: {name}: mask must be uint8 and of the picture's size")
        if tuple(each.camera_from_world.shape) != (3, 4) or not bool(torch.isfinite(each.camera_from_world).all()):
            raise ArgumentError(f"{op}: {name}: camera_from_world must be finite, [3, 4]")
        if not (min(each.intrinsics[:2]) > 0 and all(math.isfinite(v) for v in each.intrinsics)):
            raise ArgumentError(f"{op}: {name}: intrinsics must be finite, focal lengths positive")
        if name != "view" and needs_depth and each.depth is None:
            raise ArgumentError(f"{op}: {name} has no depth, which the geometric term needs")
        if each.depth is not None:
            check_depth(op, each.depth)
            if each.depth.shape != grey.shape:
                raise ArgumentError(f"{op}: {name}: depth must be of the picture's size")


def check_depth(op: str, depth: Tensor) -> None:
    if depth.dtype != torch.float32 or depth.dim() != 2:
        raise ArgumentError(f"{op}: depth must be float32 [H, W], not {depth.dtype} {list(depth.shape)}")
