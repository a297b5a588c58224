"""The part of ``python -m kernels.bench`` on rays and radial functions: what is timed, not how."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

import kernels

STEP = 2 * math.sqrt(3) / 1024


@dataclass(frozen=True)
class Case:
    """One row: a call, on so many samples with the native kernels and (fewer, where it is slow) with the reference.

    Attributes:
        name: Of the row.
        native, reference: Samples and the call that processes them.
    """

    name: str
    native: tuple[int, Callable[[], object]]
    reference: tuple[int, Callable[[], object]]


def shell_rays(rays: int) -> tuple[tuple[Tensor, Tensor, Tensor, Tensor], kernels.OccupancyGrid, Tensor]:
    """Rays from a sphere of radius 3 towards a thin occupied shell in a grid of 128 cells a side: most of the way is empty."""
    generator = torch.Generator().manual_seed(0)
    grid = kernels.OccupancyGrid.empty(128)
    kernels.update_occupancy(grid, ((grid.cell_centers().norm(dim=-1) - 0.6).abs() < 0.05).float()[None], 0.5)
    unit = lambda v: torch.nn.functional.normalize(v, dim=-1)  # noqa: E731
    origins = 3 * unit(torch.randn(rays, 3, generator=generator))
    directions = unit(0.35 * torch.randn(rays, 3, generator=generator) - origins)
    jitter = torch.rand(rays, generator=generator)
    return (origins, directions, torch.zeros(rays), torch.full((rays,), math.inf)), grid, jitter


def ray_call(rays: int, backend: str) -> tuple[int, Callable[[], object]]:
    """March, composite colour and opacity, and back to density and colour."""
    bundle, grid, jitter = shell_rays(rays)
    march = lambda: kernels.march_rays(*bundle, grid, step=STEP, jitter=jitter, backend=backend)  # noqa: E731
    samples = march()
    density = (20 * torch.rand(len(samples))).requires_grad_()
    colour = torch.rand(len(samples), 3).requires_grad_()

    def call() -> None:
        s = march()
        values, opacity, _ = kernels.composite(density, s.dt, colour, s.offsets, backend=backend)
        torch.autograd.grad(values.sum() + opacity.sum(), (density, colour))

    return len(samples), call


def density_call(points: int, backend: str) -> tuple[int, Callable[[], object]]:
    """Laplace density, forward and backward to distance and beta."""
    sdf, beta = (0.1 * torch.randn(points)).requires_grad_(), torch.tensor(0.05, requires_grad=True)
    return points, lambda: torch.autograd.grad(kernels.laplace_density(sdf, beta, backend=backend).sum(), (sdf, beta))


def bound_call(rays: int, backend: str) -> tuple[int, Callable[[], object]]:
    """Bisection for the beta that meets the error bound, 128 samples a ray."""
    t = torch.linspace(1.5, 4, 128).repeat(rays)
    sdf = (t - 2.5).abs() - 0.2 + 0.3 * torch.rand(rays).repeat_interleave(128)
    offsets = torch.arange(0, rays * 128 + 1, 128)
    return rays * 128, lambda: kernels.solve_beta(sdf, t, offsets, torch.tensor(0.003), 0.1, backend=backend)


def occupancy_call(resolution: int, backend: str) -> tuple[int, Callable[[], object]]:
    """A refresh of the occupancy grid: all cells decay, an eighth of them get fresh values, the bits are packed."""
    generator = torch.Generator().manual_seed(0)
    grid = kernels.OccupancyGrid.full(resolution)
    values, indices = torch.rand(1, grid.cells, generator=generator), torch.randint(grid.cells, (grid.cells // 8,), generator=generator)
    fresh = torch.rand(len(indices), generator=generator)

    def call() -> None:
        kernels.decay_occupancy(values, fresh, indices, backend=backend)
        kernels.update_occupancy(grid, values, 0.5, backend=backend)

    return grid.cells, call


def raster(side: int) -> Tensor:
    """Pixel centres of a square picture, row by row. [side^2, 2]"""
    at = (torch.arange(side) + 0.5) / side
    y, x = torch.meshgrid(at, at, indexing="ij")
    return torch.stack([x, y], -1).reshape(-1, 2)


def centres(count: int) -> Tensor:
    """Random centres in the unit square. [count, 2]"""
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(1))


def knn_call(side: int, backend: str) -> tuple[int, Callable[[], object]]:
    """Four nearest of 76 thousand centres for every pixel; the index is built before."""
    index, queries = kernels.knn_index(centres(76_000), backend=backend), raster(side)
    return len(queries), lambda: kernels.knn(index, queries, 4, backend=backend)


def rbf_call(side: int, backward: bool, backend: str) -> tuple[int, Callable[[], object]]:
    """NeuRBF's picture configuration: 76 thousand functions, 4 neighbours, 32 channels; forward, or only the backward to the features."""
    x, c = raster(side), centres(76_000)
    neighbors = kernels.knn(c, x, 4)[0]
    shapes = torch.tensor([5e4, 0.0, 5e4]).expand(len(c), 3).contiguous()
    weights = (0.01 * torch.randn(len(c), 32)).requires_grad_(backward)
    m = torch.logspace(-3, 12, 32, base=2)
    forward = lambda: kernels.rbf_encode(x, c, shapes, weights, neighbors, frequencies=m, backend=backend)  # noqa: E731
    if not backward:
        return len(x), forward
    out = forward()
    return len(x), lambda: torch.autograd.grad(out, weights, torch.ones_like(out), retain_graph=True)


def layer_call(points: int, backend: str) -> tuple[int, Callable[[], object]]:
    """Gaussian layer 32-64-3, forward and backward to everything."""
    tensors = [torch.randn(points, 32), torch.randn(64, 32), torch.randn(64, 32) - 3, torch.randn(3, 64), torch.randn(3)]
    leaves = [t.requires_grad_() for t in tensors]
    return points, lambda: torch.autograd.grad(kernels.rbf_layer(*tensors, backend=backend).sum(), leaves)


def cases() -> list[Case]:
    """All rows."""
    return [
        Case("march + composite, forward + backward", ray_call(8192, "cpu"), ray_call(1024, "reference")),
        Case("occupancy grid of 128^3 cells, refresh", occupancy_call(128, "cpu"), occupancy_call(128, "reference")),
        Case("Laplace density, forward + backward", density_call(2**18, "cpu"), density_call(2**18, "reference")),
        Case("error bound, bisection of beta", bound_call(1024, "cpu"), bound_call(256, "reference")),
        Case("knn, 2D, 76 k centres, K 4, raster order", knn_call(512, "cpu"), knn_call(16, "reference")),
        Case("rbf_encode, 2D, 76 k, K 4, F 32, forward", rbf_call(512, False, "cpu"), rbf_call(128, False, "reference")),
        Case("rbf_encode, 2D, 76 k, K 4, F 32, backward", rbf_call(512, True, "cpu"), rbf_call(128, True, "reference")),
        Case("rbf_layer 32-64-3, forward + backward", layer_call(2**17, "cpu"), layer_call(2**14, "reference")),
    ]
