"""What is behind the unit sphere: nothing (random, then white), one colour, or a learnt contracted field."""

from __future__ import annotations

import math

import torch
from torch import Tensor

import kernels
from recon.config.values import BackgroundConfig, HashGridConfig
from recon.data.scene import BackgroundKind
from recon.fields.base import ParameterGroup
from recon.fields.hashgrid import HashGridField
from recon.methods.base import Occupied
from recon.methods.density import DensityModel, density_activation
from recon.rendering.directions import spherical_harmonics
from recon.rendering.occupancy import in_chunks, refresh_by_density
from recon.rendering.rays import Rays
from recon.rendering.volume import seen_samples, select_samples

OCCUPANCY_RESOLUTION = 64
VISIBLE = 1e-3
"""Less transmittance than this counts as none."""
UNSEEN = 2e-3
"""In a picture; half a step of its eight bits."""
FAINT = 3e-5
"""A sample with less weight than this is not seen in a picture."""
ROUND = 16
"""Samples of a ray that are asked for at once in a picture."""
OPACITY_STEP = 0.05
"""Length for which a background cell's density is turned into an opacity, in contracted units."""


def contract(points: Tensor) -> Tensor:
    """All of space into the unit ball: x/2 inside the unit sphere, (2 - 1/|x|) x / (2 |x|) outside (mip-NeRF 360, eq. 10, halved)."""
    r = points.norm(dim=-1, keepdim=True).clamp_min(1e-9)
    return torch.where(r <= 1.0, 0.5 * points, (1.0 - 0.5 / r) * points / r)


def leaves_sphere(rays: Rays) -> Tensor:
    """Distance from which on a ray belongs to the background, without a step where the sphere's outline is. [R]

    A ray that meets the unit sphere: where it leaves it. One that passes the centre at a distance d > 1: ``sqrt(d^2 - 1)`` before it is
    nearest. It could belong to the background from the camera on; but then what hangs before the camera (nothing contradicts it where
    few photographs look) ends at the outline, which shows as a circle.
    """
    b = (rays.origins * rays.directions).sum(-1)
    foot = rays.origins - b[:, None] * rays.directions
    inside = 1.0 - (foot * foot).sum(-1)
    return (inside.sign() * inside.abs().sqrt() - b).clamp_min(0.0)


def _at(rays: Rays, t: Tensor) -> Tensor:
    """Contracted places at distances [R, K] on the rays. [R K, 3]"""
    return contract((rays.origins[:, None] + t[..., None] * rays.directions[:, None]).reshape(-1, 3))


class Background(Occupied):
    """A density and colour field over contracted space, sampled from the sphere's exit to infinity.

    Samples lie uniformly in s where distance = start + scale * s / (1 - s); cells that are known to be empty are skipped.
    """

    def __init__(self, config: BackgroundConfig, generator: torch.Generator):
        super().__init__()
        grid = HashGridConfig(
            levels=config.levels, features=2, log2_table_size=config.log2_table_size, finest_resolution=config.finest_resolution
        )
        self.samples = config.samples
        self.model = DensityModel(HashGridField(grid, 16, "relu", False, generator), generator)
        self.keep_grid(OCCUPANCY_RESOLUTION)
        self.register_buffer("running", torch.zeros(OCCUPANCY_RESOLUTION**3))
        self.running: Tensor

    def forward(self, rays: Rays, generator: torch.Generator) -> tuple[Tensor, int]:
        """Colour arriving from beyond the sphere, for training.

        Args:
            rays: R rays, scene units.
            generator: Moves the samples.
        Returns:
            [R, 3], and the number of samples evaluated.
        """
        count, k, device = len(rays), self.samples, rays.device
        t, dt = self._places(rays, torch.rand(count, 1, generator=generator, device=device))
        samples = kernels.RaySamples(
            offsets=torch.arange(0, (count + 1) * k, k, device=device),
            ray_indices=torch.arange(count, dtype=torch.int32, device=device).repeat_interleave(k),
            t=t.reshape(-1),
            dt=dt.reshape(-1),
        )
        points = _at(rays, t)
        samples, kept = select_samples(samples, self.grid.contains(points))
        points = points[kept]
        with torch.no_grad():  # so that the pass with gradients has only what can be seen
            seen = seen_samples(samples, in_chunks(self.model.density, points), VISIBLE)
        samples, kept = select_samples(samples, seen)
        points = points[kept]
        density, rgb = self.model(points, spherical_harmonics(rays.directions)[samples.ray_indices.long()])
        color, _, _ = kernels.composite(density, samples.dt, rgb, samples.offsets)
        return color, points.shape[0]

    @torch.no_grad()
    def render(self, rays: Rays) -> tuple[Tensor, int]:
        """The same for a picture, front to back in rounds: what lies behind something opaque is never asked for.

        Colours are asked for where they have a weight of :data:`FAINT`, for all samples of a ray less than half a step of eight bits.
        """
        count, device = len(rays), rays.device
        t, dt = self._places(rays, torch.full((count, 1), 0.5, device=device))
        harmonics = spherical_harmonics(rays.directions)
        color, passed, evaluated = torch.zeros(count, 3, device=device), torch.zeros(count, device=device), 0
        left = torch.arange(count, device=device)
        for part in zip(t.split(ROUND, 1), dt.split(ROUND, 1), strict=True):
            left = left[passed[left] < -math.log(UNSEEN)]
            t_here, dt_here = (of_all[left] for of_all in part)
            points = _at(Rays(rays.origins[left], rays.directions[left]), t_here)
            held = self.grid.contains(points).nonzero().squeeze(1)
            values = self.model.field.values(points[held])
            depth = points.new_zeros(len(points)).index_copy(0, held, density_activation(values[:, 0])).view_as(dt_here) * dt_here
            reached = torch.cat([passed[left, None], depth], 1).cumsum(1)
            weight = (torch.exp(-reached[:, :-1]) * -torch.expm1(-depth)).reshape(-1)
            seen = (weight[held] > FAINT).nonzero().squeeze(1)
            ray = left[held[seen] // t_here.shape[1]]
            color.index_add_(0, ray, weight[held[seen], None] * self.model.color_of(values[seen], harmonics[ray]))
            passed[left] = reached[:, -1]
            evaluated += len(held)
        return color, evaluated

    def _places(self, rays: Rays, offset: Tensor) -> tuple[Tensor, Tensor]:
        """Distances of the samples, at ``offset`` [R, 1] of their intervals, and the intervals' lengths. [R, samples] each"""
        k, start = self.samples, leaves_sphere(rays)[:, None]
        edges = (torch.arange(k + 1, device=rays.device) / k).clamp_max(1.0 - 0.25 / k)  # the last edge lies far away, not at infinity
        s = (torch.arange(k, device=rays.device) + offset) / k
        scale = rays.origins.norm(dim=-1, keepdim=True).clamp_min(1.0)
        at_edge = start + scale * (edges / (1.0 - edges))
        return start + scale * (s / (1.0 - s).clamp_min(0.25 / k)), at_edge[:, 1:] - at_edge[:, :-1]

    def refresh_occupancy(self, step: int, generator: torch.Generator) -> None:
        refresh_by_density(self.grid, self.running, self.model.density, OPACITY_STEP, step < 256, generator)

    def parameter_groups(self) -> list[ParameterGroup]:
        return self.model.parameter_groups("background.")


def behind(
    kind: BackgroundKind, learnt: Background | None, rays: Rays, opacity: Tensor, generator: torch.Generator | None
) -> tuple[Tensor, int]:
    """Colour behind the sphere for each ray [R, 3], and how many samples it took.

    A learnt background is not asked for rays that are opaque before it (``opacity`` [R], no gradient is kept): they get black.
    In training (``generator`` given) a transparent background is a random colour per ray, so that neither a white nor a black
    object can pass for it; in rendering it is white. Behind a cropped view there is nothing but white either.
    """
    if rays.limits is not None:
        return torch.ones(len(rays), 3, device=rays.device), 0
    if learnt is not None:
        through = (opacity.detach() < 1.0 - (UNSEEN if generator is None else VISIBLE)).nonzero().squeeze(1)
        some = Rays(rays.origins[through], rays.directions[through])
        color, samples = learnt.render(some) if generator is None else learnt(some, generator)
        return torch.zeros(len(rays), 3, device=rays.device).index_copy(0, through, color), samples
    if isinstance(kind, tuple):
        return torch.tensor(kind, device=rays.device).expand(len(rays), 3), 0
    if generator is not None:
        return torch.rand(len(rays), 3, generator=generator, device=rays.device), 0
    return torch.ones(len(rays), 3, device=rays.device), 0
