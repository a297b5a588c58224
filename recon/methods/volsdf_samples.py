"""Where a VolSDF model is sampled along rays, by marching an occupancy grid or by Algorithm 1, and the solid shell around its scene."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import VolSDFConfig
from recon.methods.laplace_scale import LaplaceScale
from recon.rendering.algorithm1 import algorithm1
from recon.rendering.cutting import cut_samples
from recon.rendering.occupancy import in_chunks
from recon.rendering.rays import Rays

VISIBLE = {"laplace": 1e-3, "even": 1e-5}
"""Samples with less transmittance than this before them are skipped. It is that of VolSDF's density, whatever the angle: of one that is
even over the angles, a ray that grazes has more left."""
FAINT = {"laplace": 1e-3, "even": 7e-4}
"""Intervals outside the surface that cannot be more opaque than this are skipped; an even density may be 1.4 times as opaque."""
SHELL_SLOPE = 20.0
"""How steeply the signed distance falls towards the wall of the solid shell (VolSDF's sphere_scale on DTU)."""

Distance = Callable[[Tensor], Tensor]
"""Signed distance at scene points. [N, 3] -> [N]"""


@dataclass
class Sampled:
    """Samples of R rays, and what is said about them.

    ``near``, ``far``: where each ray enters and leaves the sphere. [R]
    ``t_near``: per ray the distance of one random sample, for the eikonal loss of the dense sampling; None for the other.
    """

    near: Tensor
    far: Tensor
    samples: kernels.RaySamples
    t_near: Tensor | None
    figures: dict[str, float | Tensor]


def bounded(
    config: VolSDFConfig,
    scale: LaplaceScale,
    sdf: Distance,
    hash_distance: Callable[[], Distance | None],
    grid: kernels.OccupancyGrid,
    rays: Rays,
    near: Tensor,
    far: Tensor,
    generator: torch.Generator | None,
) -> Sampled:
    """Samples in occupied cells, cut where the opacity's error bound asks for it.

    Args:
        config: Steps, bound and rounds.
        scale: Of the density.
        sdf: The signed distance.
        hash_distance: The same as a kernel that is quicker, where the field has one.
        grid: Where there is something.
        rays, near, far: R rays, and where each enters and leaves the sphere.
        generator: Moves the samples; None: they stay where they are.
    """
    jitter = None if generator is None else torch.rand(len(rays), generator=generator, device=rays.device)
    visible, faint = VISIBLE[config.density], FAINT[config.density]
    ends, step, epsilon, cuts = (near, far), config.first_step, config.epsilon, config.rounds
    beta: float | Tensor
    quicker = hash_distance()
    if walks(rays.origins, quicker):
        beta = scale.number()
        found = kernels.bounded_samples(
            rays.origins,
            rays.directions,
            *ends,
            grid,
            quicker or (lambda p: in_chunks(sdf, p)),
            step=step,
            jitter=jitter,
            beta=beta,
            epsilon=epsilon,
            cuts=cuts,
            visible=visible,
            faint=faint,
        )
    else:
        beta = now = scale().detach().reshape(())
        coarse = kernels.march_rays(rays.origins, rays.directions, *ends, grid, step=step, jitter=jitter)
        distance, rule = lambda p: in_chunks(sdf, p), {"epsilon": epsilon, "visible": visible, "faint": faint}
        found = cut_samples(rays, coarse, distance, now, rounds=cuts, **rule)
    rate = 1.0 / max(len(rays), 1)
    met = found.met.float().mean()
    figures: dict[str, float | Tensor] = {"beta": beta, "bounded_rays": met, "sdf_queries_per_ray": found.queries * rate}
    return Sampled(near, far, found.samples, None, figures)


def whole_rays(
    config: VolSDFConfig, scale: LaplaceScale, sdf: Distance, rays: Rays, near: Tensor, far: Tensor, generator: torch.Generator | None
) -> Sampled:
    """Algorithm 1. An interval begins at its sample; the last one ends at the wall of the shell, or where the background begins."""
    meets = (far > near).nonzero().squeeze(1)
    inside = Rays(rays.origins[meets], rays.directions[meets])
    beta = scale.number()
    drawn = algorithm1(inside, near[meets], far[meets], lambda p: in_chunks(_shelled(sdf, config.shell_radius), p), beta, generator)
    dt = drawn.t[:, 1:] - drawn.t[:, :-1]
    t = drawn.t[:, :-1]
    if config.shell_radius is not None:  # what lies behind the wall must not shine through
        t, dt = drawn.t, torch.cat([dt, torch.full_like(dt[:, :1], 1e10)], 1)
    counts = torch.zeros(len(rays), dtype=torch.int64, device=rays.device)
    counts[meets] = t.shape[1]
    samples = kernels.RaySamples(
        offsets=torch.cat([counts.new_zeros(1), counts.cumsum(0)]),
        ray_indices=meets.int().repeat_interleave(t.shape[1]),
        t=t.reshape(-1).contiguous(),
        dt=dt.reshape(-1).contiguous(),
    )
    t_near = None
    if generator is not None:
        one = torch.randint(drawn.t.shape[1], (len(meets), 1), generator=generator, device=rays.device)
        t_near = torch.zeros(len(rays), device=rays.device)
        t_near[meets] = drawn.t.gather(1, one).squeeze(1)
    met = drawn.met.float().mean() if len(meets) else 1.0
    figures: dict[str, float | Tensor] = {"beta": beta, "bounded_rays": met, "sdf_queries_per_ray": drawn.queries / max(len(rays), 1)}
    return Sampled(near, far, samples, t_near, figures)


def eikonal_points(config: VolSDFConfig, rays: Rays, drawn: Sampled, generator: torch.Generator) -> Tensor:
    """Points apart from the samples at which the gradient is held to unit length. [N, 3]

    Occupancy sampling: uniform in the unit ball, beside all samples. Algorithm 1, as in VolSDF: one uniform in the cube about the
    sphere and one of the samples for each ray, and no others.
    """
    if drawn.t_near is None:
        return _points_in_unit_ball(int(config.uniform_points * len(drawn.samples)) + 1, generator, rays.device)
    cube = (torch.rand(len(rays), 3, generator=generator, device=rays.device) * 2.0 - 1.0) * (config.shell_radius or 1.0)
    met = drawn.t_near > 0
    return torch.cat([cube, rays.origins[met] + drawn.t_near[met, None] * rays.directions[met]])


def with_shell(radius: float | None, points: Tensor, sdf: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """The signed distance and its gradient with the solid shell around the scene, if there is one: ``min(sdf, 20 (R - |x|))``."""
    if radius is None:
        return sdf, gradient
    norm = points.norm(dim=-1)
    wall = SHELL_SLOPE * (radius - norm)
    inward = -SHELL_SLOPE * points / norm.clamp_min(1e-9)[:, None]
    return torch.minimum(sdf, wall), torch.where((wall < sdf)[:, None], inward, gradient)


def _shelled(sdf: Distance, radius: float | None) -> Distance:
    return sdf if radius is None else lambda points: torch.minimum(sdf(points), SHELL_SLOPE * (radius - points.norm(dim=-1)))


def walks(origins: Tensor, distance: Distance | None) -> bool:
    """Whether samples are found ray by ray: on the CPU, and where that has a kernel. Else in rounds, for all rays at once."""
    return origins.device.type == "cpu" or (distance is not None and kernels.bounded_backend(distance, origins) != "reference")


def _points_in_unit_ball(count: int, generator: torch.Generator, device: torch.device) -> Tensor:
    """Uniform in the ball: normal directions, radius the cube root of a uniform number. [count, 3]"""
    direction = nn.functional.normalize(torch.randn(count, 3, generator=generator, device=device), dim=-1)
    return direction * torch.rand(count, 1, generator=generator, device=device) ** (1.0 / 3.0)
