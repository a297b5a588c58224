"""VolSDF: volume rendering of a signed distance (Yariv et al. 2021) on any field, with occupancy marching instead of dense rays."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import kernels
from recon.config import VolSDFConfig
from recon.fields.base import Field, ParameterGroup
from recon.fields.distill import place_by_distance, wants_functions
from recon.fields.hashgrid import mlp_init
from recon.methods.background import Background, BackgroundKind, behind
from recon.methods.base import Losses, Rendering
from recon.rendering.directions import spherical_harmonics
from recon.rendering.occupancy import in_chunks, refresh_by_sdf
from recon.rendering.rays import Rays, Targets, unit_sphere_interval
from recon.rendering.volume import keep_visible, sample_positions

VISIBLE = 1e-3
"""Samples with less transmittance than this before them are skipped."""


class VolSDF(nn.Module):
    """Density = Laplace CDF of the signed distance; colour from position, normal, direction and feature.

    Args:
        config: Its settings.
        field: Field with ``1 + config.features`` outputs, the first a signed distance in scene units, negative inside.
        background_kind: What lies outside the sphere.
        background: The learnt background where the kind is "unknown".
        occupancy_resolution: Cells per axis of the occupancy grid.
        generator: Source of the initial values.
    """

    def __init__(
        self,
        config: VolSDFConfig,
        field: Field,
        background_kind: BackgroundKind,
        background: Background | None,
        occupancy_resolution: int,
        generator: torch.Generator,
    ):
        super().__init__()
        self.config = config
        self.field = field
        self.background_kind: BackgroundKind = background_kind
        self.background = background
        self.color_spec = kernels.MLPSpec(
            inputs=3 + 3 + 16 + config.features, hidden=(64, 64), outputs=3, activation="relu", output_activation="sigmoid"
        )
        self.color = nn.Parameter(mlp_init(self.color_spec, generator))
        # The logarithm is learnt, so that a step changes beta by a share of itself, whatever its size.
        self.log_beta = nn.Parameter(torch.tensor([math.log(config.beta_init)]))
        self.beta_floor = config.beta_floor
        self.grid = kernels.OccupancyGrid.full(occupancy_resolution)
        self.register_buffer("bitfield", self.grid.bitfield)

    def beta(self) -> Tensor:
        """Scale of the Laplace distribution, scene units: what is learnt, above a floor that sinks during the first part of a run. [1]"""
        return self.log_beta.exp() + self.beta_floor

    def step_length(self) -> float:
        """Marching step: as fine as the density's falloff asks for, within the configured limits."""
        step = self.config.step_per_beta * float(self.beta().detach())
        return min(max(step, self.config.min_step), self.config.max_step)

    def losses(self, rays: Rays, targets: Targets, generator: torch.Generator) -> Losses:
        far, samples = self._march(rays, torch.rand(len(rays), generator=generator))
        on_rays = samples.t.numel()
        anywhere = _points_in_unit_ball(int(self.config.uniform_points * on_rays) + 1, generator)
        points = sample_positions(rays, samples)
        values, gradient = self.field.query(torch.cat([points, anywhere]), order=1)
        assert gradient is not None
        rgb = self._colors(rays, samples, points, values[:on_rays], gradient[:on_rays])
        density = kernels.laplace_density(values[:on_rays, 0], self.beta())
        color, opacity, _ = kernels.composite(density, samples.dt, rgb, samples.offsets)
        backdrop, backdrop_samples = behind(self.background_kind, self.background, rays, far, generator)
        predicted = color + (1.0 - opacity)[:, None] * backdrop
        wanted = targets.rgb * targets.alpha[:, None] + backdrop.detach() * (1.0 - targets.alpha[:, None])
        color_loss = (predicted - wanted).abs().mean()
        eikonal = self.config.eikonal_weight * ((gradient.norm(dim=-1) - 1.0) ** 2).mean()
        total = color_loss + eikonal
        terms = {"color": float(color_loss.detach()), "eikonal": float(eikonal.detach()), "beta": float(self.beta().detach())}
        squared = float(((predicted - wanted) ** 2).mean().detach())
        return Losses(total, terms, squared, on_rays + backdrop_samples)

    @torch.no_grad()
    def render(self, rays: Rays) -> Rendering:
        far, samples = self._march(rays, None)
        points = sample_positions(rays, samples)
        values, gradient = self.field.query(points, order=1)
        assert gradient is not None
        rgb = self._colors(rays, samples, points, values, gradient)
        density = kernels.laplace_density(values[:, 0], self.beta())
        channels = torch.cat([rgb, nn.functional.normalize(gradient, dim=-1), samples.t[:, None]], -1)
        result, opacity, _ = kernels.composite(density, samples.dt, channels, samples.offsets)
        backdrop, _ = behind(self.background_kind, self.background, rays, far, None)
        depth = torch.where(opacity > 1e-3, result[:, 6] / opacity.clamp_min(1e-3), 0.0)
        return Rendering(
            rgb=result[:, :3] + (1.0 - opacity)[:, None] * backdrop,
            opacity=opacity,
            depth=depth,
            normal=nn.functional.normalize(result[:, 3:6], dim=-1) * opacity[:, None],
        )

    def _march(self, rays: Rays, jitter: Tensor | None) -> tuple[Tensor, kernels.RaySamples]:
        """Where each ray leaves the sphere [R], and the samples in occupied space that can be seen."""
        near, far = unit_sphere_interval(rays)
        with torch.no_grad():
            samples = kernels.march_rays(rays.origins, rays.directions, near, far, self.grid, step=self.step_length(), jitter=jitter)
            sdf = in_chunks(self.sdf, sample_positions(rays, samples))
            return far, keep_visible(samples, kernels.laplace_density(sdf, self.beta()), VISIBLE)

    def _colors(self, rays: Rays, samples: kernels.RaySamples, points: Tensor, values: Tensor, gradient: Tensor) -> Tensor:
        """Colour at the samples. The normal is the gradient as it is, as in VolSDF's released network. [N, 3]"""
        harmonics = spherical_harmonics(rays.directions)[samples.ray_indices.long()]
        inputs = torch.cat([points, gradient, harmonics, values[:, 1:]], -1)
        return kernels.field_mlp(inputs, self.color, self.color_spec)

    def sdf(self, points: Tensor) -> Tensor:
        """Signed distance at scene points. [N, 3] -> [N]"""
        return self.field.query(points)[0][:, 0]

    @torch.no_grad()
    def surface_value(self, points: Tensor) -> Tensor:
        return self.sdf(points)

    @torch.no_grad()
    def surface_value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distance [N] and its gradient [N, 3] at scene points, for moving vertices onto the surface."""
        values, gradient = self.field.query(points, order=1)
        assert gradient is not None
        return values[:, 0], gradient

    @torch.no_grad()
    def surface_color(self, points: Tensor, normals: Tensor) -> Tensor:
        values, gradient = self.field.query(points, order=1)
        assert gradient is not None
        inputs = torch.cat([points, gradient, spherical_harmonics(-normals), values[:, 1:]], -1)
        return kernels.field_mlp(inputs, self.color, self.color_spec)

    def refresh_occupancy(self, step: int, generator: torch.Generator) -> None:
        refresh_by_sdf(self.grid, self.sdf, float(self.beta().detach()), self.step_length())
        if wants_functions(self.field, step):
            place_by_distance(self.field, self.grid, float(self.beta().detach()), generator)
        if self.background is not None:
            self.background.refresh_occupancy(step, generator)

    def set_progress(self, share: float) -> None:
        c = self.config
        grown = min(1.0, share / c.coarse_until)
        self.beta_floor = c.beta_floor * (c.beta_min / c.beta_floor) ** grown
        self.field.set_active_levels(c.levels_init + (1.0 - c.levels_init) * grown)

    def parameter_groups(self) -> list[ParameterGroup]:
        groups = [ParameterGroup(f"field.{g.name}", g.tensor, g.lr_factor, g.sparse) for g in self.field.parameter_groups()]
        groups += [ParameterGroup("color", self.color), ParameterGroup("log_beta", self.log_beta, self.config.beta_lr_factor)]
        return groups + (self.background.parameter_groups() if self.background is not None else [])


def _points_in_unit_ball(count: int, generator: torch.Generator) -> Tensor:
    """Uniform in the ball: normal directions, radius the cube root of a uniform number. [count, 3]"""
    direction = nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=-1)
    return direction * torch.rand(count, 1, generator=generator) ** (1.0 / 3.0)
