"""The functions that nerfacc's Python expects of its compiled extension, under their names: versions 0.5.2, 0.5.3 and later ones with
scans by indices. Tensors may lie on any device; the walks and scans themselves run on the CPU."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import lenses, resampling, segments, walks
from .resampling import Segments as RaySegmentsSpec


def is_cub_available() -> bool:
    """Whether scans by indices are there: yes."""
    return True


def inclusive_sum(starts: Tensor, counts: Tensor, x: Tensor, normalize: bool, backward: bool) -> Tensor:
    """Running sums of chunks; with ``normalize`` divided by the chunk's total."""
    return _normalized(starts, counts, segments.scan(starts, counts, x, False, False, backward), x, normalize)


def exclusive_sum(starts: Tensor, counts: Tensor, x: Tensor, normalize: bool, backward: bool) -> Tensor:
    """Running sums of what is before; with ``normalize`` divided by the chunk's total."""
    return _normalized(starts, counts, segments.scan(starts, counts, x, False, True, backward), x, normalize)


def _normalized(starts: Tensor, counts: Tensor, sums: Tensor, x: Tensor, normalize: bool) -> Tensor:
    if not normalize:
        return sums
    rows = torch.repeat_interleave(torch.arange(len(counts), device=x.device), counts.long())
    places = torch.arange(len(rows), device=x.device) - (counts.cumsum(0) - counts)[rows] + starts[rows]
    totals = torch.zeros(len(counts), dtype=x.dtype, device=x.device).index_add_(0, rows, x[places])
    return sums.index_copy(0, places, sums[places] / totals[rows].clamp_min(1e-10))


def inclusive_prod_forward(starts: Tensor, counts: Tensor, x: Tensor) -> Tensor:
    """Running products of chunks."""
    return segments.scan(starts, counts, x, True, False, False)


def exclusive_prod_forward(starts: Tensor, counts: Tensor, x: Tensor) -> Tensor:
    """Running products of what is before."""
    return segments.scan(starts, counts, x, True, True, False)


def inclusive_prod_backward(starts: Tensor, counts: Tensor, x: Tensor, out: Tensor, grad: Tensor) -> Tensor:
    """Gradient of :func:`inclusive_prod_forward`; exact where factors are 0."""
    return segments.product_backward(starts, counts, x, grad, False)


def exclusive_prod_backward(starts: Tensor, counts: Tensor, x: Tensor, out: Tensor, grad: Tensor) -> Tensor:
    """Gradient of :func:`exclusive_prod_forward`; exact where factors are 0."""
    return segments.product_backward(starts, counts, x, grad, True)


def inclusive_sum_cub(indices: Tensor, x: Tensor, backward: bool) -> Tensor:
    """:func:`inclusive_sum` of runs of equal indices."""
    return inclusive_sum(*segments.runs(indices), x, False, backward)


def exclusive_sum_cub(indices: Tensor, x: Tensor, backward: bool) -> Tensor:
    """:func:`exclusive_sum` of runs of equal indices."""
    return exclusive_sum(*segments.runs(indices), x, False, backward)


def inclusive_prod_cub_forward(indices: Tensor, x: Tensor) -> Tensor:
    """:func:`inclusive_prod_forward` of runs of equal indices."""
    return inclusive_prod_forward(*segments.runs(indices), x)


def exclusive_prod_cub_forward(indices: Tensor, x: Tensor) -> Tensor:
    """:func:`exclusive_prod_forward` of runs of equal indices."""
    return exclusive_prod_forward(*segments.runs(indices), x)


def inclusive_prod_cub_backward(indices: Tensor, x: Tensor, out: Tensor, grad: Tensor) -> Tensor:
    """:func:`inclusive_prod_backward` of runs of equal indices."""
    return inclusive_prod_backward(*segments.runs(indices), x, out, grad)


def exclusive_prod_cub_backward(indices: Tensor, x: Tensor, out: Tensor, grad: Tensor) -> Tensor:
    """:func:`exclusive_prod_backward` of runs of equal indices."""
    return exclusive_prod_backward(*segments.runs(indices), x, out, grad)


def ray_aabb_intersect(
    rays_o: Tensor, rays_d: Tensor, aabbs: Tensor, near_plane: float, far_plane: float, miss_value: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Entry and exit of every ray and box, cut to the planes, or ``miss_value``; and whether they meet. All [R, m]."""
    low, high, hits = walks.ray_boxes(rays_o, rays_d, aabbs)
    miss = torch.full_like(low, miss_value)
    return (
        torch.where(hits, low.clamp(near_plane, far_plane), miss),
        torch.where(hits, high.clamp(near_plane, far_plane), miss),
        hits,
    )


def traverse_grids(*arguments: Any) -> tuple[Any, ...]:
    """:func:`.walks.walk_nested`: intervals, samples, and where the walks came to.

    What is returned is never larger than what was found, whatever is said about allocation. Thirteen arguments are those of 0.5.2, with
    entries and exits that are not sorted, without mask and limit; it wants no third result.
    """
    if len(arguments) == 13:
        origins, directions, binaries, aabbs, t_mins, t_maxs, hits, near, far, step, cone, _, _ = arguments
        crossings, order = torch.sort(torch.cat([t_mins, t_maxs], -1), -1)
        wanted = torch.ones_like(near, dtype=torch.bool)
        return _traverse(origins, directions, wanted, binaries, aabbs, crossings, order, hits, near, far, step, cone, -1)[:2]
    *given, _intervals, _samples, _ends, limit, _over_allocate = arguments
    return _traverse(*given, limit)


def _traverse(*arguments: Any) -> tuple[RaySegmentsSpec, RaySegmentsSpec, Tensor]:
    edges, edge_rays, left, right, edge_counts, middles, rays, counts, ends = walks.walk_nested(*arguments)
    intervals = RaySegmentsSpec(edges, edge_counts.cumsum(0) - edge_counts, edge_counts, edge_rays, left, right)
    valid = torch.ones_like(middles, dtype=torch.bool)
    return intervals, RaySegmentsSpec(middles, counts.cumsum(0) - counts, counts, rays, is_valid=valid), ends


def importance_sampling(
    ray_segments: RaySegmentsSpec, cdfs: Tensor, n_intervals_per_ray: Tensor | int, stratified: bool
) -> tuple[RaySegmentsSpec, RaySegmentsSpec]:
    """:func:`.resampling.resample`."""
    return resampling.resample(ray_segments, cdfs, n_intervals_per_ray, stratified)


def searchsorted(query: RaySegmentsSpec, key: RaySegmentsSpec) -> tuple[Tensor, Tensor]:
    """:func:`.resampling.search`."""
    return resampling.search(query, key)


def opencv_lens_undistortion(uv: Tensor, params: Tensor, eps: float, iters: int) -> Tensor:
    """:func:`.lenses.undistort`."""
    return lenses.undistort(uv, params, eps, iters)


def opencv_lens_undistortion_fisheye(uv: Tensor, params: Tensor, eps: float, iters: int) -> Tensor:
    """:func:`.lenses.undistort_fisheye`."""
    return lenses.undistort_fisheye(uv, params, eps, iters)
