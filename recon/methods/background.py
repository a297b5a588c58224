"""What is behind the unit sphere: nothing (random, then white), one colour, or a learnt contracted field."""

from __future__ import annotations

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

    def forward(self, rays: Rays, generator: torch.Generator | None) -> tuple[Tensor, int]:
        """Colour arriving from beyond the sphere.

        Args:
            rays: R rays, scene units.
            generator: Jitters the samples in training; None for rendering.
        Returns:
            [R, 3], and the number of samples evaluated.
        """
        count, k, start = len(rays), self.samples, leaves_sphere(rays)
        device = rays.device
        jitter = None if generator is None else torch.rand(count, 1, generator=generator, device=device)
        offset = torch.full((count, 1), 0.5, device=device) if jitter is None else jitter
        edges = (torch.arange(k + 1, device=device) / k).clamp_max(1.0 - 0.25 / k)  # the last edge lies far away, not at infinity
        s = (torch.arange(k, device=device) + offset) / k
        scale = rays.origins.norm(dim=-1, keepdim=True).clamp_min(1.0)
        t = start[:, None] + scale * (s / (1.0 - s).clamp_min(0.25 / k))
        at_edge = start[:, None] + scale * (edges / (1.0 - edges))
        samples = kernels.RaySamples(
            offsets=torch.arange(0, (count + 1) * k, k, device=device),
            ray_indices=torch.arange(count, dtype=torch.int32, device=device).repeat_interleave(k),
            t=t.reshape(-1),
            dt=(at_edge[:, 1:] - at_edge[:, :-1]).reshape(-1),
        )
        points = contract((rays.origins[:, None] + t[..., None] * rays.directions[:, None]).reshape(-1, 3))
        samples, kept = select_samples(samples, self.grid.contains(points))
        points = points[kept]
        harmonics = spherical_harmonics(rays.directions)
        if generator is not None:  # a pass without gradients, so that the one with gradients has only what can be seen
            with torch.no_grad():
                seen = seen_samples(samples, in_chunks(self.model.density, points), VISIBLE)
            samples, kept = select_samples(samples, seen)
            points = points[kept]
            density, rgb = self.model(points, harmonics[samples.ray_indices.long()])
        else:  # colours only of what can be seen
            values = self.model.field.values(points)
            density = density_activation(values[:, 0])
            samples, kept = select_samples(samples, seen_samples(samples, density, VISIBLE))
            points, density = points[kept], density[kept]
            rgb = self.model.color_of(values[kept], harmonics[samples.ray_indices.long()])
        color, _, _ = kernels.composite(density, samples.dt, rgb, samples.offsets)
        return color, points.shape[0]

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
        through = (opacity.detach() < 1.0 - VISIBLE).nonzero().squeeze(1)
        color, samples = learnt(Rays(rays.origins[through], rays.directions[through]), generator)
        return torch.zeros(len(rays), 3, device=rays.device).index_copy(0, through, color), samples
    if isinstance(kind, tuple):
        return torch.tensor(kind, device=rays.device).expand(len(rays), 3), 0
    if generator is not None:
        return torch.rand(len(rays), 3, generator=generator, device=rays.device), 0
    return torch.ones(len(rays), 3, device=rays.device), 0
