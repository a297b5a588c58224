"""Radiance: density and view-dependent colour inside the unit sphere (NeRF on the chosen field, occupancy marching as in Instant-NGP)."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import RadianceConfig, RunConfig
from recon.data.scene import BackgroundKind
from recon.fields.base import Field, ParameterGroup
from recon.fields.distill import place_by_density
from recon.fields.make import FieldUse, make_field
from recon.methods.background import Background, behind
from recon.methods.base import Exported, Losses, MethodModule, Quantity, Rendering, Surface, read_losses
from recon.methods.density import DensityModel, outputs_of
from recon.rendering.directions import spherical_harmonics
from recon.rendering.occupancy import in_chunks, refresh_by_density
from recon.rendering.rays import Rays, Targets, sphere_interval
from recon.rendering.volume import keep_visible, sample_positions

VISIBLE = 1e-4
"""Samples with less transmittance than this before them are skipped."""
SURFACE_DENSITY = 25.0
"""Density per scene unit that counts as surface when a mesh is asked of a radiance field; it has no better defined one."""


class Radiance(MethodModule):
    """A radiance field.

    Args:
        config: Its settings.
        field: Field with as many outputs as the configured head needs.
        background_kind: What lies outside the sphere.
        background: The learnt background where the kind is "unknown".
        occupancy_resolution: Cells per axis of the occupancy grid.
        generator: Source of the initial values.
    """

    exports: ClassVar[tuple[Exported, ...]] = ("mesh",)

    def __init__(
        self,
        config: RadianceConfig,
        field: Field,
        background_kind: BackgroundKind,
        background: Background | None,
        occupancy_resolution: int,
        generator: torch.Generator,
    ):
        super().__init__()
        self.config = config
        self.background_kind: BackgroundKind = background_kind
        self.background = background
        self.model = DensityModel(field, generator, config.head)
        self.keep_grid(occupancy_resolution)
        self.register_buffer("running", torch.zeros(occupancy_resolution**3))
        self.running: Tensor

    @classmethod
    def build(cls, config: RunConfig, background: BackgroundKind, train_views: int, generator: torch.Generator) -> Radiance:
        learnt = Background(config.background, generator) if background == "unknown" else None
        use = FieldUse(outputs_of(config.radiance.head, config.radiance.features))
        field = make_field(config, use, generator)
        return cls(config.radiance, field, background, learnt, config.train.occupancy_resolution, generator)

    def losses(self, rays: Rays, targets: Targets, generator: torch.Generator) -> Losses:
        samples = self._march(rays, torch.rand(len(rays), generator=generator, device=rays.device))
        density, rgb = self.model(sample_positions(rays, samples), self._harmonics(rays, samples))
        color, opacity, _ = kernels.composite(density, samples.dt, rgb, samples.offsets)
        backdrop, backdrop_samples = behind(self.background_kind, self.background, rays, opacity, generator)
        predicted = color + (1.0 - opacity)[:, None] * backdrop
        wanted = targets.rgb * targets.alpha[:, None] + backdrop.detach() * (1.0 - targets.alpha[:, None])
        loss = nn.functional.smooth_l1_loss(predicted, wanted, beta=0.1)
        squared = ((predicted - wanted) ** 2).mean()
        return read_losses({"color": loss}, squared, samples.t.numel() + backdrop_samples)

    @torch.no_grad()
    def render(self, rays: Rays) -> Rendering:
        samples = self._march(rays, None)
        density, rgb = self.model(sample_positions(rays, samples), self._harmonics(rays, samples))
        channels = torch.cat([rgb, samples.t[:, None]], -1)
        values, opacity, _ = kernels.composite(density, samples.dt, channels, samples.offsets)
        backdrop, _ = behind(self.background_kind, self.background, rays, opacity, None)
        depth = torch.where(opacity > 1e-3, values[:, 3] / opacity.clamp_min(1e-3), 0.0)
        return Rendering(values[:, :3] + (1.0 - opacity)[:, None] * backdrop, opacity, depth)

    def _march(self, rays: Rays, jitter: Tensor | None) -> kernels.RaySamples:
        """The samples in occupied space that can be seen."""
        near, far = sphere_interval(rays)
        with torch.no_grad():
            samples = kernels.march_rays(rays.origins, rays.directions, near, far, self.grid, step=self.config.step, jitter=jitter)
            density = in_chunks(self.model.density, sample_positions(rays, samples))
            return keep_visible(samples, density, VISIBLE)

    def _harmonics(self, rays: Rays, samples: kernels.RaySamples) -> Tensor:
        return spherical_harmonics(rays.directions)[samples.ray_indices.long()]

    @property
    def surface(self) -> Surface:
        """Where the density is :data:`SURFACE_DENSITY`."""
        return Surface(self.surface_value, self.surface_color, support=self.background is not None)

    @property
    def quantity(self) -> Quantity:
        return Quantity("density", self.model.density, length_power=-1)

    @torch.no_grad()
    def surface_value(self, points: Tensor) -> Tensor:
        return 1.0 - self.model.density(points) / SURFACE_DENSITY

    @torch.no_grad()
    def surface_color(self, points: Tensor, toward: Tensor) -> Tensor:
        return self.model(points, spherical_harmonics(-toward))[1]

    def refresh_occupancy(self, step: int, generator: torch.Generator) -> None:
        refresh_by_density(self.grid, self.running, self.model.density, self.config.step, step < 256, generator)
        if self.model.field.wants_functions(step):
            place_by_density(self.model.field, self.grid, lambda p: 1.0 - torch.exp(-self.model.density(p) * self.config.step), generator)
        if self.background is not None:
            self.background.refresh_occupancy(step, generator)

    def parameter_groups(self) -> list[ParameterGroup]:
        return self.model.parameter_groups() + (self.background.parameter_groups() if self.background is not None else [])
