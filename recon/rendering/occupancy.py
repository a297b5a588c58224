"""Where there is something to sample: the two rules, for densities and for signed distances."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

import kernels

QUERY_CHUNK = 1 << 18
"""Points per query: bounds the memory of a refresh to some tens of MiB."""


def in_chunks(function: Callable[[Tensor], Tensor], points: Tensor, chunk: int = QUERY_CHUNK) -> Tensor:
    """Apply a pointwise function to [N, 3] in pieces. [N]"""
    if points.shape[0] <= chunk:
        return function(points)
    return torch.cat([function(p) for p in points.split(chunk)])


@torch.no_grad()
def refresh_by_density(
    grid: kernels.OccupancyGrid,
    running: Tensor,
    density: Callable[[Tensor], Tensor],
    step_length: float,
    everything: bool,
    generator: torch.Generator,
    decay: float = 0.95,
    alpha_threshold: float = 0.01,
) -> None:
    """Instant-NGP's rule: a decaying running maximum of sampled opacities, thresholded at ``min(alpha_threshold, mean)``.

    Args:
        grid: Updated in place; one cascade.
        running: Running maximum of opacity per cell, Morton order, updated in place. [resolution^3]
        density: Scene points [N, 3] -> density [N].
        step_length: The marching step, scene units.
        everything: Sample every cell; otherwise a random eighth of all cells and a random half of the occupied ones.
        generator: Source of the cells and of the positions inside them.
    """
    cells = grid.resolution**3
    if everything:
        index = torch.arange(cells, device=running.device)
    else:
        occupied = (running > 0.5 * alpha_threshold).nonzero().squeeze(1)
        some = torch.randint(cells, (cells // 8,), generator=generator, device=running.device)
        if occupied.numel():
            half = torch.randint(occupied.numel(), (occupied.numel() // 2 + 1,), generator=generator, device=running.device)
            some = torch.cat([some, occupied[half]])
        index = torch.unique(some)
    size = 2.0 / grid.resolution
    points = grid.cell_centers(index) + (torch.rand(index.numel(), 3, generator=generator, device=running.device) - 0.5) * size
    opacity = 1.0 - torch.exp(-in_chunks(density, points) * step_length)
    kernels.decay_occupancy(running, opacity, index, decay)
    kernels.update_occupancy(grid, running[None], min(alpha_threshold, float(running.mean())))


@torch.no_grad()
def refresh_by_sdf(
    grid: kernels.OccupancyGrid,
    sdf: Callable[[Tensor], Tensor],
    beta: float,
    step_length: float,
    alpha_threshold: float = 1e-3,
    slack: float = 1.3,
    known_empty: Tensor | None = None,
) -> Tensor | None:
    """The conservative rule for the Laplace density: keep a cell if the density anywhere in it can matter.

    Outside, a sample of length Delta has opacity above ``a`` iff ``sdf < beta * ln(Delta / (2 beta * -ln(1 - a)))``. Within a cell a
    distance changes by at most half the diagonal, times ``slack`` as the learnt function is only nearly 1-Lipschitz. Deep inside, where
    a ray has lost all but exp(-10) of its light, cells are dropped too. Cells four times as large are looked at first; only those that can
    hold a kept cell are divided.

    Args:
        grid: Updated in place; one cascade.
        sdf: Scene points [N, 3] -> signed distance [N], negative inside.
        beta: Scale of the Laplace density, scene units.
        step_length: The marching step, scene units.
        known_empty: Cells that are dropped whatever the distance says, Morton order. bool [resolution^3]
    Returns:
        With ``known_empty``: which of these cells reach into the surface by their distance at the centre, except deep inside.
        bool [resolution^3]
    """
    opaque = -math.log1p(-alpha_threshold)
    outside = max(beta * math.log(max(step_length / (2.0 * beta * opaque), 1.0)), 2.0 * beta)
    inside = 10.0 * beta + 2.0 * step_length
    half_diagonal = math.sqrt(3.0) / grid.resolution  # of a cell of size 2 / resolution

    def matters(distance: Tensor, reach: float) -> Tensor:
        return (distance <= outside + reach) & (distance >= -inside - reach)

    cells = max(grid.resolution // 4, 8)
    device = grid.bitfield.device
    children = torch.arange(cells**3, device=device)
    while cells < grid.resolution:
        coarse = kernels.OccupancyGrid.empty(cells, device=device)
        distance = in_chunks(sdf, coarse.cell_centers(children))
        kept = children[matters(distance, slack * half_diagonal * grid.resolution / cells)]
        # Morton order: the eight children follow each other
        children, cells = (kept[:, None] * 8 + torch.arange(8, device=device)).reshape(-1), 2 * cells
    values = torch.zeros(grid.cells, device=device)
    wrong = None if known_empty is None else torch.zeros_like(known_empty)
    if children.numel():
        distance = in_chunks(sdf, grid.cell_centers(children))
        values[children] = matters(distance, slack * half_diagonal).float()
        if known_empty is not None and wrong is not None:
            values[known_empty] = 0.0
            wrong[children] = known_empty[children] & (distance < half_diagonal)
    kernels.update_occupancy(grid, values[None], 0.5)
    return wrong
