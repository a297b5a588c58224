"""What a signed distance is trained by: the terms of VolSDF's loss over one rendered batch, and when each of them counts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import VolSDFConfig
from recon.rendering.rays import Rays
from recon.stereo.agreement import Agreement
from recon.stereo.evidence import Evidence

Ask = Callable[[Tensor], tuple[Tensor, Tensor]]
"""A field's values [N, outputs] and the gradient of the first of them [N, 3] at points [N, 3]."""


@dataclass
class Guidance:
    """What is set from outside, before and while a method is trained.

    Attributes:
        share: Part of the run that is done, [0, 1].
        known_empty: Cells of the occupancy grid that are empty for certain, Morton order; nothing is sampled in them, and the surface is
            pushed out of them. bool [resolution^3] or None
        evidence: Points of stereo that take part in the loss, or None.
        evidence_weight: Of their terms.
        agreement: The photographs to compare with each other on the surface, or None.
    """

    share: float = 0.0
    known_empty: Tensor | None = None
    evidence: Evidence | None = None
    evidence_weight: float = 0.0
    agreement: Agreement | None = None


@dataclass
class Batch:
    """One rendered batch: R rays, S samples on them, F points of known free space.

    Attributes:
        rays: Of training pixels.
        samples: Samples by ray.
        points: Where they lie, scene units. [S, 3]
        sdf: Signed distance there, with the shell. [S]
        gradient: The field's gradient there, without the shell. [S, 3]
        free: Signed distance at the points of free space. [F]
        held: Gradients that are held to unit length. [N, 3]
        opacity: Of the rays. [R]
        difference: Colour shown minus colour photographed. [R, 3]
        empty: Rays that are known to meet nothing. bool [R]
        has_background: Whether what lies behind is learnt, so that it may take what is the surface's.
        values_and_gradient: Asks the field at further points.
        distance: Asks it for the signed distance alone, without a gradient. [N, 3] -> [N]
    """

    rays: Rays
    samples: kernels.RaySamples
    points: Tensor
    sdf: Tensor
    gradient: Tensor
    free: Tensor
    held: Tensor
    opacity: Tensor
    difference: Tensor
    empty: Tensor
    has_background: bool
    values_and_gradient: Ask
    distance: Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Term:
    """A part of the loss.

    Attributes:
        weight: Its factor, from the settings and from how far the run is; at 0 the rest is not asked.
        counts: Whether there is anything in a batch that it is about.
        values: Scalars by the name under which they are logged, without the weight.
    """

    weight: Callable[[VolSDFConfig, Guidance], float]
    values: Callable[[Batch, VolSDFConfig, Guidance, torch.Generator], dict[str, Tensor]]
    counts: Callable[[Batch], bool] = lambda batch: True


def weighted(batch: Batch, config: VolSDFConfig, guidance: Guidance, generator: torch.Generator) -> dict[str, Tensor]:
    """All terms that count, times their weights; what is minimised is their sum."""
    parts: dict[str, Tensor] = {}
    for term in TERMS:
        weight = term.weight(config, guidance)
        if weight > 0.0 and term.counts(batch):
            parts |= {name: weight * value for name, value in term.values(batch, config, guidance, generator).items()}
    return parts


def color(batch: Batch) -> Tensor:
    """Mean absolute error."""
    return batch.difference.abs().mean()


def eikonal(batch: Batch) -> Tensor:
    """A distance has a gradient of length 1."""
    return ((batch.held.norm(dim=-1) - 1.0) ** 2).mean()


def free_space(batch: Batch) -> Tensor:
    """How far points that are known to be free lie inside, and the innermost samples of rays that are known to meet nothing."""
    inside = nn.functional.relu(-batch.free).mean()
    return _inside(batch.sdf, batch.samples, batch.empty) + inside


def curvature(points: Tensor, gradient: Tensor, ask: Ask, config: VolSDFConfig, generator: torch.Generator) -> Tensor:
    """Mean of 1 - cos between the normals of some samples and of points beside them on their tangent planes (as PermutoSDF does)."""
    count = int(config.curvature_points * len(points)) + 1
    some = torch.randint(len(points), (count,), generator=generator, device=points.device)
    normal = nn.functional.normalize(gradient[some], dim=-1)
    aside = torch.cross(normal.detach(), torch.randn(count, 3, generator=generator, device=points.device), dim=-1)
    beside = points[some] + config.curvature_step * nn.functional.normalize(aside, dim=-1)
    _, there = ask(beside.clamp(-1.0, 1.0))
    return (1.0 - (normal * nn.functional.normalize(there, dim=-1)).sum(-1)).mean()


def evidence(batch: Batch, guidance: Guidance, generator: torch.Generator) -> dict[str, Tensor]:
    """What stereo says (:class:`recon.stereo.evidence.Evidence`)."""
    assert guidance.evidence is not None
    return guidance.evidence.losses(batch.values_and_gradient, guidance.share, generator)


def agreement(batch: Batch, guidance: Guidance, generator: torch.Generator) -> Tensor:
    """How much photographs disagree on the surface (:class:`recon.stereo.agreement.Agreement`)."""
    assert guidance.agreement is not None
    return guidance.agreement.loss(
        batch.rays, batch.samples, batch.sdf.detach(), guidance.share, batch.values_and_gradient, batch.distance, generator
    )


def late(share: float) -> float:
    """0 until 0.3 of a run, 1 from 0.6 on."""
    return min(max((share - 0.3) / 0.3, 0.0), 1.0)


def soon(share: float) -> float:
    """0 until 0.1 of a run, 1 from 0.3 on."""
    return min(max((share - 0.1) / 0.2, 0.0), 1.0)


def in_the_middle(share: float) -> float:
    """0 to 1 over the first fifth of a run, 1 to its half, back to 0 at four fifths."""
    return min(share / 0.2, 1.0) * min(max((0.8 - share) / 0.3, 0.0), 1.0)


def _inside(sdf: Tensor, samples: kernels.RaySamples, which: Tensor) -> Tensor:
    """How far inside the surface the innermost samples of some rays lie: sum over ``which`` [R] by the number of all rays."""
    innermost = sdf.new_full((samples.rays,), torch.inf).scatter_reduce(0, samples.ray_indices.long(), sdf, "amin")
    return nn.functional.relu(-torch.where(which, innermost, torch.inf)).sum() / max(samples.rays, 1)


TERMS = (
    Term(lambda c, g: 1.0, lambda b, c, g, r: {"color": color(b)}),
    Term(lambda c, g: c.eikonal_weight, lambda b, c, g, r: {"eikonal": eikonal(b)}),
    Term(lambda c, g: c.free_space_weight, lambda b, c, g, r: {"free_space": free_space(b)}, lambda b: len(b.free) > 0),
    # Before a learnt background only: there a faint surface costs little in absolute error.
    Term(
        lambda c, g: c.squared_weight * late(g.share),
        lambda b, c, g, r: {"squared": (b.difference**2).mean()},
        lambda b: b.has_background,
    ),
    Term(lambda c, g: c.background_preference, lambda b, c, g, r: {"opacity": b.opacity.mean()}, lambda b: b.has_background),
    Term(
        lambda c, g: c.curvature_weight * in_the_middle(g.share),
        lambda b, c, g, r: {"curvature": curvature(b.points, b.gradient, b.values_and_gradient, c, r)},
        lambda b: len(b.points) > 0,
    ),
    Term(
        lambda c, g: c.agreement_weight * soon(g.share) if g.agreement is not None else 0.0,
        lambda b, c, g, r: {"agreement": agreement(b, g, r)},
        lambda b: len(b.points) > 1,
    ),
    Term(lambda c, g: g.evidence_weight if g.evidence is not None and len(g.evidence) else 0.0, lambda b, c, g, r: evidence(b, g, r)),
)
"""In the order in which they draw from the generator."""
