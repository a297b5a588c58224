"""NEF: a neural edge field (Ye et al. 2023), learnt from 2D edge maps. Faithful with dense samples, fast by marching in occupied space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import NEFConfig, RunConfig
from recon.data.scene import BackgroundKind
from recon.fields.base import ParameterGroup
from recon.fields.distill import place_by_density
from recon.fields.make import FieldUse, make_field
from recon.methods.base import Exported, Losses, MethodModule, Mode, Pixels, Quantity, Rendering, read_losses
from recon.methods.nef_network import EdgeModel, FieldEdges, NEFNetwork
from recon.rendering.hierarchical import dense_weights, query_dense, refined, stratified
from recon.rendering.occupancy import in_chunks
from recon.rendering.rays import Rays, Targets, sphere_interval
from recon.rendering.volume import sample_positions
from recon.results.wireframe import edge_pixels, make_wireframe, run_edges

if TYPE_CHECKING:
    from recon.console import Reporter
    from recon.curves.edges2d.edges import Edges
    from recon.data.scene import Scene
    from recon.runs import Run

EDGE = 0.3
"""Pixels above this count as edges (eta of the losses)."""
OCCUPIED = 0.15
"""Cells whose edge probability stays below this are not sampled: their density is below 1.5e-3 of the largest."""
FORGET = 0.8
"""A cell's running maximum is multiplied by this at every refresh."""
NEAREST = 0.05
"""Dense samples begin no nearer than this to a camera, scene units."""


def range_limited_density(edge: Tensor, beta: Tensor) -> Tensor:
    """``1e4 (|beta| + 1e-4) / (1 + exp(-10 (e - 0.8)))``, per scene unit (NEF, 3.2; constants of the released code)."""
    return 1e4 * (beta.abs() + 1e-4) * torch.sigmoid(10.0 * (edge - 0.8))


def adaptive_loss(predicted: Tensor, wanted: Tensor) -> Tensor:
    """Squared error in which edges and background count alike (NEF's weighted MSE).

    ``mean(w (predicted - wanted)^2)`` with w = (N- + 1) / N on edges and (N+ + 1) / N elsewhere, N+ and N- their numbers in the batch.

    Args:
        predicted, wanted: [R]
    """
    edge = wanted > EDGE
    positive = edge.sum()
    negative = len(wanted) - positive
    return (torch.where(edge, negative + 1.0, positive + 1.0) / len(wanted) * (predicted - wanted) ** 2).mean()


def sample_losses(edge: Tensor, grey: Tensor, empty: Tensor, count: int | Tensor) -> tuple[Tensor, Tensor]:
    """Consistency ``(c - e)^2`` and Cauchy sparsity ``m log(1 + e^2 / 0.5)``, as means over ``count`` samples.

    Args:
        edge, grey: At the samples. [N]
        empty: m: whether the sample's ray shows no edge. bool [N]
        count: What the sums are divided by: all samples, also those that were left out because both terms are small there.
    """
    count = count.clamp_min(1.0) if isinstance(count, Tensor) else max(count, 1)
    consistency = ((grey - edge) ** 2).sum() / count
    sparsity = (empty * torch.log1p(edge**2 / 0.5)).sum() / count
    return consistency, sparsity


@dataclass
class _Pass:
    """One rendering of a batch: value, opacity and weighted distance of every ray [R]; edge, grey and ray number of every sample [N]."""

    value: Tensor
    opacity: Tensor
    distance: Tensor
    edge: Tensor
    grey: Tensor
    rays: Tensor
    count: int | Tensor


class NEF(MethodModule):
    """An edge field: ``value = sum_i w_i c(x_i, d)``, with nothing behind it.

    Args:
        config: Its settings.
        model: Gives edge probability and grey value; the only one, or the fine one.
        coarse: The coarse one of hierarchical sampling, else None.
        occupancy_resolution: Cells per axis of the occupancy grid.
    """

    modes: ClassVar[tuple[Mode, ...]] = ("edge", "depth", "opacity")
    exports: ClassVar[tuple[Exported, ...]] = ("curves",)

    def __init__(self, config: NEFConfig, model: EdgeModel, coarse: EdgeModel | None, occupancy_resolution: int):
        super().__init__()
        self.config = config
        self.model = model
        self.coarse = coarse
        self.beta = nn.Parameter(torch.tensor([config.beta_init]))
        self.keep_grid(occupancy_resolution)
        self.register_buffer("running", torch.zeros(occupancy_resolution**3))
        self.running: Tensor
        self.edges: Edges | None = None  # what it is trained on, found when the training is prepared

    @classmethod
    def build(cls, config: RunConfig, background: BackgroundKind, train_views: int, generator: torch.Generator) -> NEF:
        model = _edge_model(config, generator)
        coarse = _edge_model(config, generator) if config.nef.sampling == "hierarchical" else None
        return cls(config.nef, model, coarse, config.train.occupancy_resolution)

    def prepare(self, run: Run, scene: Scene, reporter: Reporter, fresh: bool) -> Pixels:
        """Find the 2D edges that the run is configured with; they are its pixels."""
        self.edges = run_edges(run, scene, reporter)
        return edge_pixels(run, scene, self.edges, self.device)

    def finish(self, run: Run, scene: Scene, reporter: Reporter) -> None:
        """The wireframe: curves of the field, refined on the edges that it was trained on."""
        make_wireframe(run, self.edge_probability, self.edges or run_edges(run, scene, reporter), scene, reporter, device=self.device)

    def losses(self, rays: Rays, targets: Targets, generator: torch.Generator) -> Losses:
        wanted = targets.rgb[:, 0]
        passes = self._passes(rays, generator)
        color = consistency = sparsity = torch.zeros((), device=rays.device)
        for p in passes:
            color = color + adaptive_loss(p.value, wanted)
            parts = sample_losses(p.edge, p.grey, (wanted <= EDGE)[p.rays], p.count)
            consistency = consistency + self.config.consistency_weight * parts[0]
            sparsity = sparsity + self.config.sparsity_weight * parts[1]
        terms = {"color": color, "consistency": consistency, "sparsity": sparsity}
        samples = sum(len(p.edge) for p in passes)
        return read_losses(terms, ((passes[-1].value - wanted) ** 2).mean(), samples, {"beta": self.beta.abs().sum()})

    @torch.no_grad()
    def render(self, rays: Rays) -> Rendering:
        """Edges as grey on black; opacity and depth are those of the edges."""
        p = self._passes(rays, None)[-1]
        depth = torch.where(p.opacity > 1e-3, p.distance / p.opacity.clamp_min(1e-3), 0.0)
        return Rendering(p.value[:, None].expand(-1, 3).contiguous(), p.opacity, depth)

    def _passes(self, rays: Rays, generator: torch.Generator | None) -> list[_Pass]:
        """What the rays show: coarse and fine, or the only rendering. Without a generator nothing is random."""
        return [self._marched(rays, generator)] if self.coarse is None else self._dense(rays, self.coarse, generator)

    def _marched(self, rays: Rays, generator: torch.Generator | None) -> _Pass:
        near, far = sphere_interval(rays)
        step = self.config.step
        jitter = None if generator is None else torch.rand(len(rays), generator=generator, device=rays.device)
        samples = kernels.march_rays(rays.origins, rays.directions, near, far, self.grid, step=step, jitter=jitter)
        number = samples.ray_indices.long()
        edge, grey = self.model.edge_and_grey(sample_positions(rays, samples), rays.directions, number)
        density = range_limited_density(edge, self.beta)
        values, opacity, _ = kernels.composite(density, samples.dt, torch.stack([grey, samples.t], -1), samples.offsets)
        # Samples outside occupied cells are left out because their e and c are small; the means are still over all of them.
        return _Pass(values[:, 0], opacity, values[:, 1], edge, grey, number, count=((far - near).sum() / step).trunc())

    def _dense(self, rays: Rays, coarse: EdgeModel, generator: torch.Generator | None) -> list[_Pass]:
        """Between the nearest and the farthest point of the unit sphere as seen from each ray's origin, as NEF's fixed near and far are."""
        distance = rays.origins.norm(dim=-1)
        near, far = (distance - 1.0).clamp_min(NEAREST), distance + 1.0
        if rays.limits is not None:
            near, far = near.maximum(rays.limits[:, 0]), far.minimum(rays.limits[:, 1]).maximum(rays.limits[:, 0])
        t = stratified(near, far, self.config.coarse_samples, generator)
        passes = []
        for model in (coarse, self.model):
            edge, grey = query_dense(model.edge_and_grey, rays, t)
            w = dense_weights(range_limited_density(edge, self.beta), t)
            number = torch.arange(len(rays), device=rays.device).repeat_interleave(t.shape[1])
            value, opacity, along = (w * grey).sum(-1), w.sum(-1), (w * t).sum(-1)
            passes.append(_Pass(value, opacity, along, edge.reshape(-1), grey.reshape(-1), number, count=edge.numel()))
            if model is coarse:
                t = refined(t, w, self.config.fine_samples, generator)
        return passes

    @torch.no_grad()
    def edge_probability(self, points: Tensor) -> Tensor:
        """e at scene points in [-1, 1]^3, in chunks of bounded memory; no gradients. [N, 3] -> [N]"""
        return in_chunks(self.model.edge, points)

    @torch.no_grad()
    def refresh_occupancy(self, step: int, generator: torch.Generator) -> None:
        """A decaying running maximum of e per cell, thresholded: all cells are sampled while new, later an eighth and half the occupied."""
        warm_up = self.config.occupancy_from
        if self.coarse is not None or step < warm_up:
            return
        cells = self.grid.cells
        if step < 2 * warm_up:
            index = torch.arange(cells, device=self.device)
        else:
            some = torch.randint(cells, (cells // 8,), generator=generator, device=self.device)
            occupied = (self.running > OCCUPIED).nonzero().squeeze(1)
            half = occupied[torch.rand(occupied.numel(), generator=generator, device=self.device) < 0.5]
            index = torch.unique(torch.cat([some, half]))
        points = self.grid.cell_centers(index, uniform=torch.rand(index.numel(), 3, generator=generator, device=self.device))
        kernels.decay_occupancy(self.running, self.edge_probability(points), index, FORGET)
        kernels.update_occupancy(self.grid, self.running[None], OCCUPIED)
        if self.model.field is not None and self.model.field.wants_functions(step):
            place_by_density(self.model.field, self.grid, self.model.edge, generator)

    @property
    def quantity(self) -> Quantity:
        return Quantity("edge probability", self.model.edge)

    def parameter_groups(self) -> list[ParameterGroup]:
        groups = self.model.parameter_groups("model.") + (self.coarse.parameter_groups("coarse.") if self.coarse is not None else [])
        return [*groups, ParameterGroup("beta", self.beta, self.config.beta_lr_factor)]


def _edge_model(config: RunConfig, generator: torch.Generator) -> EdgeModel:
    """NEF's own network where a coordinate network is asked for, else the field with a small head."""
    if config.field == "mlp":
        return NEFNetwork(config.mlp, generator)
    return FieldEdges(make_field(config, FieldUse(1 + config.nef.features), generator), generator)
