"""What a field takes from what is known already: a start from distances on a grid, and weighted points for placing radial functions
(NeuRBF, appendix B).

The grid of a scene's NeuRBF field learns alone at first. Then its functions are placed where ``weight`` is large: opacity of a step times
the length of the feature's gradient for densities, nearness to the surface for signed distances.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

import kernels
from recon.fields.base import Field
from recon.optimizer import Adam
from recon.rendering.occupancy import QUERY_CHUNK, in_chunks

FIT_STEPS, FIT_POINTS = 120, 8192
"""Steps in which a field is fitted to a distance on a grid, and points in each."""
POINTS_PER_FUNCTION = 12
"""Candidates for each function."""
LEAST_WIDTH, MOST_WIDTH = 1e-3, 0.2
"""Bounds on a function's width, scene units: NeuRBF's floor, and a tenth of the cube's side."""


@torch.no_grad()
def place_by_density(field: Field, grid: kernels.OccupancyGrid, opacity: Callable[[Tensor], Tensor], generator: torch.Generator) -> None:
    """Place the functions of a density field: opacity of a step x length of the feature's gradient.

    Args:
        field: One that wants its functions placed.
        grid: Where there is something; candidates lie in its occupied cells.
        opacity: Scene points [N, 3] -> opacity of one marching step there [N].
        generator: Source of the candidates and the first centres.
    """
    points = _candidates(field, grid, generator)
    weights = in_chunks(opacity, points).clamp_min(0.0) * _feature_slope(field, points, 1.0 / grid.resolution)
    field.place(points, _usable(weights), generator, LEAST_WIDTH, MOST_WIDTH)


@torch.no_grad()
def place_by_distance(field: Field, grid: kernels.OccupancyGrid, width: float, generator: torch.Generator) -> None:
    """Place the functions of a signed distance: ``1 / (|sdf| + width)``.

    Args:
        field: One that wants its functions placed; its first value is the distance.
        grid: Where rays are sampled; candidates lie in its occupied cells.
        width: Scale of the density's falloff, scene units: nearer than this all points count alike.
        generator: Source of the candidates and the first centres.
    """
    points = _candidates(field, grid, generator)
    distance = in_chunks(lambda p: field.values(p)[:, 0], points).abs()
    field.place(points, _usable(1.0 / (distance + width)), generator, LEAST_WIDTH, MOST_WIDTH)


def _candidates(field: Field, grid: kernels.OccupancyGrid, generator: torch.Generator) -> Tensor:
    """Random points in the occupied cells, every cell as often as the others to within one. [POINTS_PER_FUNCTION x functions, 3]"""
    occupied = grid.occupied_in(0).nonzero().squeeze(1)
    cells = occupied if occupied.numel() else torch.arange(grid.cells, device=occupied.device)
    count = POINTS_PER_FUNCTION * field.functions
    chosen = cells[(torch.arange(count, device=cells.device) * cells.numel()) // count]
    return grid.cell_centers(chosen, uniform=torch.rand(count, 3, generator=generator, device=cells.device))


def _feature_slope(field: Field, points: Tensor, step: float) -> Tensor:
    """Length of the values' gradient by forward differences, each value scaled by its range over all points. [N, 3] -> [N]"""
    parts = [field.values(p) for p in points.split(QUERY_CHUNK)]
    least, most = (torch.stack([f(v, 0) for v in parts]) for f in (torch.amin, torch.amax))
    scale = (most.amax(0) - least.amin(0)).clamp_min(1e-6) * step
    out = []
    for part, values in zip(points.split(QUERY_CHUNK), parts, strict=True):
        squared = torch.zeros(part.shape[0], device=part.device)
        for axis in torch.eye(3, device=part.device):
            squared += (((field.values(part + step * axis) - values) / scale) ** 2).sum(1)
        out.append(squared.sqrt())
    return torch.cat(out)


def _usable(weights: Tensor) -> Tensor:
    """Weights over their mean, with a floor: where the grid has learnt nothing yet, functions are spread evenly."""
    mean = weights.mean()
    return weights / mean + 1e-3 if float(mean) > 0 and bool(torch.isfinite(mean)) else torch.ones_like(weights)


def fit_to_distance(field: Field, distance: Tensor, lr: float, generator: torch.Generator, near_surface: bool) -> None:
    """Fit a field's first value to a distance on a grid over the cube, in :data:`FIT_STEPS` steps.

    Args:
        field: Updated in place.
        distance: Signed distance at the cells' centres, scene units. [resolution, resolution, resolution], axes x, y, z
        lr: Learning rate.
        generator: Source of the points.
        near_surface: Draw half of the points in cells within three of the surface: the grid is right to a part of a cell there.
    """
    optimizer = Adam(field.parameter_groups())
    # grid_sample: coordinates x, y, z for the last, middle and first axis
    volume = distance.permute(2, 1, 0)[None, None]
    cell, device = 2.0 / len(distance), distance.device
    close = (distance.abs() < 3.0 * cell).nonzero() if near_surface else distance.new_zeros(0, 3)
    for step in range(FIT_STEPS):
        points = torch.rand(FIT_POINTS, 3, generator=generator, device=device) * 2.0 - 1.0
        if len(close):
            chosen = close[torch.randint(len(close), (FIT_POINTS // 2,), generator=generator, device=device)]
            points[: len(chosen)] = (chosen + points[: len(chosen)] * 0.5 + 0.5) * cell - 1.0
        wanted = nn.functional.grid_sample(volume, points[None, None, None], align_corners=False, padding_mode="border").flatten()
        found = field.values(points)[:, 0]
        (found - wanted).abs().mean().backward()
        optimizer.step(lr * min(1.0, 4.0 * (1.0 - step / FIT_STEPS)))
