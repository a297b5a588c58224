"""Searches in the edges of rays, and new intervals by inverting a cumulative distribution."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from .segments import upper_bound


@dataclass
class Segments:
    """Numbers along rays: batched [..., n], or packed [N] with the start and length of every ray's chunk, or the ray of each."""

    vals: Tensor | None = None
    chunk_starts: Tensor | None = None
    chunk_cnts: Tensor | None = None
    ray_indices: Tensor | None = None
    is_left: Tensor | None = None
    is_right: Tensor | None = None
    is_valid: Tensor | None = None

    def values(self) -> Tensor:
        """The numbers, or an error where there are none."""
        if self.vals is None:
            raise ValueError("a segment specification has no vals")
        return self.vals

    def rows(self) -> tuple[Tensor, Tensor, Tensor]:
        """First place and length of every row [R], and the row of every number [N], of the flattened numbers."""
        vals = self.values()
        if vals.ndim > 1:
            n = vals.shape[-1]
            rows = vals.numel() // n if n else 0
            firsts = torch.arange(rows, device=vals.device) * n
            return firsts, torch.full_like(firsts, n), torch.arange(vals.numel(), device=vals.device) // max(n, 1)
        if self.chunk_starts is None or self.chunk_cnts is None:
            if self.ray_indices is None:
                raise ValueError("packed data needs packed_info or ray_indices")
            counts = torch.bincount(self.ray_indices)
            return counts.cumsum(0) - counts, counts, self.ray_indices
        starts, counts = self.chunk_starts.long(), self.chunk_cnts.long()
        rays = self.ray_indices
        if rays is None:
            rays = torch.repeat_interleave(torch.arange(len(starts), device=vals.device), counts)
        return starts, counts, rays


def search(query: Segments, key: Segments) -> tuple[Tensor, Tensor]:
    """For every query, the places of the neighbouring keys on its ray: ``key[left] <= query < key[right]``, clipped to the ray's range.

    Returns:
        Left, right: int64, shape of the queries; within the row for batched queries, in all of the keys for packed ones.
    """
    values = query.values()
    firsts, counts, _ = key.rows()
    _, _, rows = query.rows()
    lasts = firsts + counts - 1
    place = upper_bound(values.reshape(-1), rows, key.values().reshape(-1), firsts, lasts)
    low, high = firsts[rows], lasts[rows]
    left, right = (place - 1).clamp(low, high), place.clamp(low, high)
    if values.ndim > 1:
        left, right = left - low, right - low
    return left.view(values.shape), right.view(values.shape)


def resample(segments: Segments, cdfs: Tensor, n: int | Tensor, stratified: bool) -> tuple[Segments, Segments]:
    """New samples where equal shares of the distribution lie, and the intervals between their middles.

    Args:
        segments: Edges of intervals.
        cdfs: The distribution at the edges, same shape.
        n: Intervals per ray; with a tensor [R] the result is packed.
        stratified: One random shift per ray, else the middle of each share.
    Returns:
        Intervals [R, n + 1] or packed, samples [R, n] or packed.
    """
    vals = segments.values()
    firsts, lengths, _ = segments.rows()
    edges, distribution = vals.reshape(-1), cdfs.reshape(-1)
    lasts = firsts + lengths - 1
    rays, device = firsts.shape[0], vals.device
    counts = n.to(device).long().reshape(-1) if isinstance(n, Tensor) else torch.full((rays,), int(n), device=device)
    filled = counts * (lengths > 0)
    rows = torch.repeat_interleave(torch.arange(rays, device=device), filled)
    starts = filled.cumsum(0) - filled
    within = torch.arange(rows.shape[0], device=device) - starts[rows]
    shift = torch.rand(rays, dtype=distribution.dtype, device=device)[rows] if stratified else 0.5
    low, high = firsts[rows], lasts[rows]
    floor, ceil = distribution[low], distribution[high]
    u = floor + (within + shift) * (ceil - floor) / filled[rows]
    place = upper_bound(u, rows, distribution, firsts, lasts)
    p0, p1 = (place - 1).clamp(low, high), place.clamp(low, high)
    u0, u1, t0, t1 = distribution[p0], distribution[p1], edges[p0], edges[p1]
    wide = u1 - u0 >= 1e-10
    t = torch.where(wide, t0 + (u - u0) * (t1 - t0) / torch.where(wide, u1 - u0, torch.ones_like(u0)), 0.5 * (t0 + t1))

    edge_counts = filled + (filled > 0)
    edge_starts = edge_counts.cumsum(0) - edge_counts
    edge_rows = torch.repeat_interleave(torch.arange(rays, device=device), edge_counts)
    k = torch.arange(edge_rows.shape[0], device=device) - edge_starts[edge_rows]
    at, last = starts[edge_rows], filled[edge_rows]
    before, behind = t[at + (k - 1).clamp_min(0)], t[at + torch.minimum(k, last - 1)]
    middle = 0.5 * (before + behind)
    first_half = 0.5 * (t[at + (last - 1).clamp(max=1)] - t[at])
    last_half = 0.5 * (t[at + last - 1] - t[at + (last - 2).clamp_min(0)])
    first = torch.maximum(behind - first_half, edges[firsts[edge_rows]])
    final = torch.minimum(before + last_half, edges[lasts[edge_rows]])
    new_edges = torch.where(k == 0, first, torch.where(k == last, final, middle))
    # of one sample alone there is no neighbour to measure by: its interval is the ray's whole range
    lonely = last == 1
    new_edges = torch.where(lonely, edges[torch.where(k == 0, firsts[edge_rows], lasts[edge_rows])], new_edges)

    if not isinstance(n, Tensor):
        shape = vals.shape[:-1] if vals.ndim > 1 else (rays,)
        if bool((filled == counts).all()):
            return Segments(new_edges.view(*shape, int(n) + 1)), Segments(t.view(*shape, int(n)))
        raise ValueError("every ray must have edges where the number of intervals is the same for all")
    intervals = Segments(new_edges, edge_starts, edge_counts, edge_rows, k < last, k > 0)
    return intervals, Segments(t, starts, filled, rows)
