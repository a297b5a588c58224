"""VolSDF: volume rendering of a signed distance (Yariv et al. 2021) on any field, fast inside occupied space or exactly as published."""

from __future__ import annotations

import copy
import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import RunConfig, VolSDFConfig
from recon.data.scene import BackgroundKind
from recon.device import generator_of
from recon.errors import UsageError
from recon.fields.base import Field, ParameterGroup
from recon.fields.distill import fit_to_distance, place_by_distance
from recon.fields.make import FieldUse, make_field
from recon.methods.background import Background, behind
from recon.methods.base import (
    Exported,
    Losses,
    MethodModule,
    Mode,
    Pixels,
    Quantity,
    Rendering,
    Surface,
    SurfaceColors,
    read_losses,
)
from recon.methods.laplace_scale import LaplaceScale
from recon.methods.surface_colors import FastColors, PaperColors
from recon.methods.surface_density import even_density
from recon.methods.volsdf_samples import Sampled, bounded, eikonal_points, whole_rays, with_shell
from recon.methods.volsdf_terms import Batch, Guidance, weighted
from recon.rendering.hull import empty_cells, hull_distance, seen_from_around
from recon.rendering.occupancy import refresh_by_sdf
from recon.rendering.rays import PixelBank, Rays, Targets, sphere_interval
from recon.rendering.volume import sample_positions
from recon.results.better import better_there
from recon.results.mesh import export_mesh
from recon.stereo.agreement import Agreement
from recon.stereo.evidence import Evidence
from recon.stereo.known import evidence_of, find_depth, start_of
from recon.stereo.known import kept as depth_kept
from recon.stereo.known import wanted as depth_wanted

if TYPE_CHECKING:
    from recon.console import Reporter
    from recon.data.scene import Scene
    from recon.runs import Run

BACKGROUND_COST = 0.4
"""What a sample of the background costs, with one of the surface as the unit: it has no gradient in space."""
EXPOSURE_LR_FACTOR = 0.1
FREE_POINTS = 2048
"""Points of known free space looked at in a step, at most: so many on free rays, and so many in cells known to be empty."""


class VolSDF(MethodModule):
    """Density = Laplace CDF of the signed distance; colour from position, normal, direction and feature.

    Args:
        config: Its settings.
        field: Field with ``1 + config.features`` outputs, the first a signed distance in scene units, negative inside.
        background_kind: What lies outside the sphere.
        background: The learnt background where the kind is "unknown".
        occupancy_resolution: Cells per axis of the occupancy grid.
        train_views: Number of photographs, for their exposures.
        generator: Source of the initial values.
    """

    modes: ClassVar[tuple[Mode, ...]] = ("color", "depth", "normal", "opacity", "error")
    exports: ClassVar[tuple[Exported, ...]] = ("mesh",)
    has_appearance: ClassVar[bool] = True

    def __init__(
        self,
        config: VolSDFConfig,
        field: Field,
        background_kind: BackgroundKind,
        background: Background | None,
        occupancy_resolution: int,
        train_views: int,
        generator: torch.Generator,
    ):
        super().__init__()
        self.config = config
        self.field = field
        self.background_kind: BackgroundKind = background_kind
        self.background = background
        self.color: SurfaceColors = (PaperColors if config.colors == "paper" else FastColors)(config, generator)
        self.beta = LaplaceScale(config)
        self.exposure = nn.Parameter(torch.zeros(train_views, 3)) if config.exposure else None
        self.guidance = Guidance()
        self.keep_grid(occupancy_resolution)
        known = background_kind in ("alpha", "masks") and config.free_space_weight > 0.0
        self.uses_silhouettes = known and config.sampling == "occupancy"
        self.register_buffer("wrong_cells", torch.zeros(self.grid.cells if self.uses_silhouettes else 0, dtype=torch.bool))
        self.wrong_cells: Tensor
        self.wrong_index: Tensor | None = None  # of these cells; found when it is needed

    @classmethod
    def build(cls, config: RunConfig, background: BackgroundKind, train_views: int, generator: torch.Generator) -> VolSDF:
        """Raises a UsageError for a solid shell around images that are transparent or show one colour around the object."""
        c = config.volsdf
        if c.shell_radius is not None and background != "unknown":
            raise UsageError(
                "volsdf.shell_radius puts a solid wall behind the object, but these images say what is behind it (alpha, masks or one "
                "colour)",
                "drop the setting, or ignore masks with --no-masks",
            )
        learnt = Background(config.background, generator) if background == "unknown" and c.shell_radius is None else None
        field = make_field(config, FieldUse(1 + c.features, smooth=True, include_input=True), generator, sphere=c.init_radius)
        return cls(c, field, background, learnt, config.train.occupancy_resolution, train_views, generator)

    def prepare(self, run: Run, scene: Scene, reporter: Reporter, fresh: bool) -> Pixels:
        """Tell it what silhouettes and stereo know for certain, and let a fresh one start from their visual hull or from its depth."""
        train, stereo = run.config.train, run.config.stereo
        empty = empty_cells(scene, train.occupancy_resolution) if self.uses_silhouettes else None
        start = None
        if empty is not None:
            self.keep_empty(empty)
            start = hull_distance(empty, 0.95 if seen_from_around(scene) else self.config.init_radius) if fresh else None
        # A run that was begun without depth goes on without.
        use_depth = depth_wanted(stereo, scene) and self.config.sampling == "occupancy" and (fresh or depth_kept(run))
        known = find_depth(run, scene, reporter) if use_depth else None
        if known is not None:
            self.use_evidence(evidence_of(known, scene).to(self.device), stereo.weight)
            if fresh and stereo.start:
                start = start_of(known, scene, train.occupancy_resolution, start, reporter)
        if start is not None:
            self.start_from(start, train.lr, run.config.seed, near_surface=known is not None and stereo.start)
        bank = PixelBank(scene, self.device)
        if self.config.agreement_weight > 0.0 and self.config.shell_radius is None:
            self.guidance.agreement = Agreement(scene, bank)
        return bank

    def finish(self, run: Run, scene: Scene, reporter: Reporter) -> None:
        """The mesh, with its texture; a better one, exported by hand meanwhile, is replaced: figures are of the run's own."""
        if found := better_there(run, run.config.export, run.exports):
            reporter.warn(f"{found}; it is replaced by the run's own, and recon export RUN mesh makes it again")
        export_mesh(run, self, run.config.export, reporter, scene.split("train"))

    def keep_empty(self, cells: Tensor) -> None:
        """Tell which cells of the occupancy grid are empty for certain (:func:`recon.rendering.hull.empty_cells`), for training.

        Nothing is sampled in them from now on, and the surface is pushed out of them. Only where ``uses_silhouettes``.
        """
        self.guidance.known_empty = cells.to(self.device)
        self.beta.first_floor, self.beta.last_ceiling = self.config.hull_beta_floor, self.config.hull_beta_ceiling

    def use_evidence(self, evidence: Evidence, weight: float) -> None:
        """Let points of stereo take part in the loss. The surface has no far way to go then: beta starts small."""
        self.guidance.evidence, self.guidance.evidence_weight = evidence, weight
        self.beta.first_floor, self.beta.last_ceiling = self.config.hull_beta_floor, self.config.hull_beta_ceiling

    def start_from(self, distance: Tensor, lr: float, seed: int, near_surface: bool = False) -> None:
        """Fit the field to a distance on a grid over the cube: a start from the visual hull, or from depth, saves the carving of a sphere.

        beta starts small then: fog is for a surface that has far to go, and as long as there is fog, its zero set lies too deep.

        Args:
            distance: Signed distance at the cells' centres, scene units. [resolution, resolution, resolution], axes x, y, z
            lr: Learning rate.
            seed: Of the points.
            near_surface: Draw half of the points in cells within three of the surface: the grid is right to a part of a cell there.
        """
        self.set_progress(0.0)
        if self.config.beta_learnt == "log":
            self.beta.value.data.fill_(math.log(self.config.hull_beta_init))
        fit_to_distance(self.field, distance.to(self.device), lr, generator_of(self.device, seed), near_surface)

    def losses(self, rays: Rays, targets: Targets, generator: torch.Generator) -> Losses:
        drawn = self._sample(rays, generator)
        samples, count = drawn.samples, len(drawn.samples)
        points = sample_positions(rays, samples)
        empty = targets.alpha == 0
        free = self._free_points(rays, empty, drawn, generator)
        apart = eikonal_points(self.config, rays, drawn, generator)
        values, gradient = self.field.values_and_gradient(torch.cat([points, free, apart]))
        on_rays, beside = values.split([count, len(values) - count])
        sdf, _, rgb, density = self._shaded(rays, samples, points, on_rays, gradient[:count])
        color, opacity, _ = kernels.composite(density, samples.dt, rgb, samples.offsets)
        backdrop, backdrop_samples = behind(self.background_kind, self.background, rays, opacity, generator)
        predicted = self._exposed(color + (1.0 - opacity)[:, None] * backdrop, rays)
        wanted = targets.rgb * targets.alpha[:, None] + self._exposed(backdrop, rays).detach() * (1.0 - targets.alpha[:, None])
        difference = predicted - wanted
        batch = Batch(
            rays=rays,
            samples=samples,
            points=points,
            sdf=sdf,
            gradient=gradient[:count],
            free=beside[: len(free), 0],
            held=gradient if drawn.t_near is None else gradient[count + len(free) :],
            opacity=opacity,
            difference=difference,
            empty=empty,
            has_background=self.background is not None,
            values_and_gradient=self.field.values_and_gradient,
            distance=self.sdf,
        )
        parts = weighted(batch, self.config, self.guidance, generator)
        evaluated = count + round(BACKGROUND_COST * backdrop_samples)
        return read_losses(parts, (difference**2).mean(), evaluated, drawn.figures)

    def _free_points(self, rays: Rays, empty: Tensor, drawn: Sampled, generator: torch.Generator) -> Tensor:
        """One random point, within the sphere, of each of some ``empty`` rays [R], which are known to meet nothing. [N, 3]

        Such a ray through a solid that should have a hole there is opaque whatever its front does: its colour error has no gradient that
        would open the hole. So a point on it that lies inside is pushed out, which empties the solid's middle; and so is the ray's
        innermost sample (as in IDR's mask loss), which opens what is left, however thin.
        """
        if self.config.free_space_weight == 0.0 or self.background_kind not in ("alpha", "masks"):
            return rays.origins[:0]
        some = (empty & (drawn.far > drawn.near)).nonzero().squeeze(1)
        kept = min(len(some), FREE_POINTS)
        # Evenly: rays come in the order of their photographs.
        some = some[torch.arange(kept, device=self.device) * len(some) // max(kept, 1)]
        near, far = drawn.near[some], drawn.far[some]
        t = near + torch.rand(len(some), generator=generator, device=self.device) * (far - near)
        on_rays = rays.origins[some] + t[:, None] * rays.directions[some]
        if self.wrong_index is None:
            self.wrong_index = self.wrong_cells.nonzero().squeeze(1)
        wrong = self.wrong_index
        if not len(wrong):
            return on_rays
        wrong = wrong[torch.randint(len(wrong), (FREE_POINTS,), generator=generator, device=self.device)]
        uniform = torch.rand(len(wrong), 3, generator=generator, device=self.device)
        return torch.cat([on_rays, self.grid.cell_centers(wrong, uniform=uniform)])

    def _shaded(
        self, rays: Rays, samples: kernels.RaySamples, points: Tensor, values: Tensor, gradient: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Signed distance [S] and its gradient [S, 3] with the shell, colour [S, 3] and density [S] at the samples."""
        # split, not sliced: the gradient of a split is put together once, that of every slice is a tensor of zeros with a part filled in
        distance, feature = values.split([1, values.shape[1] - 1], dim=1)
        sdf, slope = with_shell(self.config.shell_radius, points, distance.squeeze(1), gradient)
        rgb = self.color(points, slope, rays.directions, samples.ray_indices, feature)
        if self.config.density == "even":
            density = even_density(sdf, slope, rays.directions, samples.ray_indices, self.beta())
        else:
            density = kernels.laplace_density(sdf, self.beta())
        return sdf, slope, rgb, density

    def _exposed(self, rgb: Tensor, rays: Rays) -> Tensor:
        """Colours as the rays' photographs show them: times a gain per channel, whose mean logarithm over all photographs is 0. [R, 3]"""
        if self.exposure is None or rays.views is None:
            return rgb
        return rgb * torch.exp(self.exposure - self.exposure.mean(0))[rays.views]

    @torch.no_grad()
    def render(self, rays: Rays) -> Rendering:
        drawn = self._sample(rays, None)
        samples, points = drawn.samples, sample_positions(rays, drawn.samples)
        _, slope, rgb, density = self._shaded(rays, samples, points, *self.field.values_and_gradient(points))
        channels = torch.cat([rgb, nn.functional.normalize(slope, dim=-1), samples.t[:, None]], -1)
        result, opacity, _ = kernels.composite(density, samples.dt, channels, samples.offsets)
        backdrop, _ = behind(self.background_kind, self.background, rays, opacity, None)
        depth = torch.where(opacity > 1e-3, result[:, 6] / opacity.clamp_min(1e-3), 0.0)
        return Rendering(
            rgb=result[:, :3] + (1.0 - opacity)[:, None] * backdrop,
            opacity=opacity,
            depth=depth,
            normal=nn.functional.normalize(result[:, 3:6], dim=-1) * opacity[:, None],
        )

    def _sample(self, rays: Rays, generator: torch.Generator | None) -> Sampled:
        """Where each ray leaves the sphere, and its samples; random in training only."""
        with torch.no_grad():
            near, far = sphere_interval(rays, self.config.shell_radius or 1.0)
            if self.config.sampling == "algorithm1":
                return whole_rays(self.config, self.beta, self.sdf, rays, near, far, generator)
            return bounded(self.config, self.beta, self.sdf, self.field.hash_distance, self.grid, rays, near, far, generator)

    def sdf(self, points: Tensor) -> Tensor:
        """Signed distance at scene points. [N, 3] -> [N]"""
        distance = None if torch.is_grad_enabled() else self.field.hash_distance()
        return self.field.values(points)[:, 0] if distance is None else distance(points)

    @property
    def surface(self) -> Surface:
        """The zero set; the learnt distance is held to a slope of 1, and 2 leaves room for what it was not held to everywhere."""
        support = self.background is not None
        return Surface(self.surface_value, self.surface_color, self.surface_value_and_gradient, lipschitz=2.0, support=support)

    @property
    def quantity(self) -> Quantity:
        return Quantity("signed distance", self.sdf, length_power=1)

    @property
    def appearance(self) -> SurfaceColors:
        return self.color

    def with_appearance(self, appearance: SurfaceColors) -> VolSDF:
        other = copy.deepcopy(self)
        other.color = appearance
        return other

    @torch.no_grad()
    def surface_value(self, points: Tensor) -> Tensor:
        return self.sdf(points)

    @torch.no_grad()
    def surface_value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Signed distance [N] and its gradient [N, 3] at scene points, for moving vertices onto the surface."""
        values, gradient = self.field.values_and_gradient(points)
        return values[:, 0], gradient

    @torch.no_grad()
    def surface_color(self, points: Tensor, toward: Tensor) -> Tensor:
        """Colour of surface points as seen from the unit directions ``toward``. [N, 3], [N, 3] -> [N, 3]"""
        values, gradient = self.field.values_and_gradient(points)
        return self.color(points, gradient, -toward, torch.arange(len(points), device=points.device), values[:, 1:])

    def refresh_occupancy(self, step: int, generator: torch.Generator) -> None:
        if self.config.sampling == "occupancy":
            wrong = refresh_by_sdf(self.grid, self.sdf, self.beta.number(), self.config.first_step, known_empty=self.guidance.known_empty)
            if wrong is not None:
                self.wrong_cells.copy_(wrong)
                self.wrong_index = None
        if self.field.wants_functions(step):
            place_by_distance(self.field, self.grid, self.beta.number(), generator)
        if self.background is not None:
            self.background.refresh_occupancy(step, generator)

    def set_progress(self, share: float) -> None:
        c, self.guidance.share = self.config, share
        grown = min(1.0, share / c.coarse_until)
        self.beta.set_progress(grown)
        self.field.set_active_levels(c.levels_init + (1.0 - c.levels_init) * grown)

    def parameter_groups(self) -> list[ParameterGroup]:
        groups = [ParameterGroup(f"field.{g.name}", g.tensor, g.lr_factor, g.sparse) for g in self.field.parameter_groups()]
        groups += self.color.parameter_groups() + self.beta.parameter_groups()
        if self.exposure is not None:
            groups.append(ParameterGroup("exposure", self.exposure, EXPOSURE_LR_FACTOR))
        return groups + (self.background.parameter_groups() if self.background is not None else [])
