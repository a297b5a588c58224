"""``bounded_samples``: samples along rays for which the opacity error of a Laplace density is bounded."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import bounded as reference
from ..errors import ArgumentError, BackendError
from ..specs import HashGridSpec, MLPSpec
from . import packed_checks as checks
from .field import fused_field
from .march import RaySamples, march_rays
from .occupancy import OccupancyGrid
from .tensors import raw, raws

MAX_CUTS = 8


@dataclass(frozen=True)
class HashDistance:
    """Output 0 of a fused field over the cube [-1, 1]^3 as a signed distance: what native code can evaluate on its own.

    Attributes:
        table, params: As in :func:`kernels.fused_field`.
        grid, mlp: Their geometry; three dimensions.
        include_input: Whether the network also sees the point.
        active_levels: Levels that are evaluated.
    """

    table: Tensor
    params: Tensor
    grid: HashGridSpec
    mlp: MLPSpec
    include_input: bool
    active_levels: int

    @torch.no_grad()
    def __call__(self, points: Tensor) -> Tensor:
        """Distances at points of the cube. [N, 3] -> [N]"""
        x = points.to(self.table.dtype) * 0.5 + 0.5
        options = {"include_input": self.include_input, "active_levels": self.active_levels}
        return fused_field(x, self.table, self.params, self.grid, self.mlp, **options)[:, 0].to(points.dtype)


@dataclass(frozen=True)
class BoundedSamples:
    """What :func:`bounded_samples` found.

    Attributes:
        samples: Midpoints and lengths of the intervals that matter.
        met: Whether it is certain that the opacity error is at most epsilon everywhere on the ray. bool [R]
        queries: Evaluations of the signed distance.
    """

    samples: RaySamples
    met: Tensor
    queries: int


@torch.no_grad()
def bounded_samples(
    origins: Tensor,
    directions: Tensor,
    near: Tensor,
    far: Tensor,
    grid: OccupancyGrid,
    distance: HashDistance | Callable[[Tensor], Tensor],
    *,
    step: float,
    beta: float,
    epsilon: float,
    cuts: int,
    visible: float,
    faint: float,
    slope: float = 1.1,
    jitter: Tensor | None = None,
    backend: str | None = None,
) -> BoundedSamples:
    """March through occupied cells, cut intervals in three where the bound of the opacity error asks for it, drop what cannot be seen.

    The bound is VolSDF's Theorem 2, ``max_k exp(-R(t_k)) (exp(E(t_{k+1})) - 1)``, with the midpoint rule's E: an interval of length
    delta whose midpoint has the distance s adds ``delta^2 / (8 beta^2) exp(-(|s| - delta / 2) / beta)``. It counts what the occupancy grid
    leaves out as empty. A ray is followed from front to back until it is opaque. What is known of the distance at an interval are
    bounds, from the nearest points asked for before and behind it and a greatest ``slope``; the distance itself is asked for where an
    interval with the worst of these bounds would have too great an error. So it is known at few of the samples, and the bound that
    ``met`` speaks of, made from the worst, holds where the field's slope is at most ``slope``.

    Args:
        origins, directions, near, far, grid, step, jitter: As in :func:`kernels.march_rays`.
        distance: Signed distance, negative inside. :class:`HashDistance` is evaluated in native code (float32; on a GPU with one or two
            hidden layers, the first of at most 128 units); a function of points [N, 3] -> [N] is called, without gradients, with one
            point at most of each ray at a time, and on a GPU by the reference.
        beta: Scale of the Laplace density, scene units.
        epsilon: Opacity error that a ray may have.
        cuts: How often an interval may be cut, 0 to 8; each makes it a third as long.
        visible: Intervals with at most this transmittance before them are dropped.
        faint: Intervals whose opacity is below this wherever the surface may be are dropped, outside the surface.
        slope: Greatest slope that the distance is believed to have.
        backend: Force a backend: "cpu", "cuda" or "reference".
    Returns:
        :class:`BoundedSamples`; the same bits whatever the number of threads. Not differentiable. Memory: natively some 300 bytes for each
        of 512 rays per thread and 8 bytes a sample beside the result; 300 bytes for every ray with a function.
    Raises:
        ArgumentError: As :func:`kernels.march_rays`, or numbers out of their range.
        BackendError: A forced backend is missing.
    """
    rays = checks.length("bounded_samples", "origins", origins)
    given = {"jitter": (jitter, (rays,))} if jitter is not None else {}
    checks.floats(
        "bounded_samples",
        origins=(origins, (None, 3)),
        directions=(directions, (rays, 3)),
        near=(near, (rays,)),
        far=(far, (rays,)),
        **given,
    )
    for name, value, least in (("beta", beta, 0.0), ("epsilon", epsilon, 0.0), ("slope", slope, 0.0), ("step", step, 0.0)):
        if not (math.isfinite(value) and value > least):
            raise ArgumentError(f"bounded_samples: {name} must be finite and positive, not {value}")
    if not 0 <= cuts <= MAX_CUTS:
        raise ArgumentError(f"bounded_samples: cuts must be 0 to {MAX_CUTS}, not {cuts}")
    rule = (float(beta), float(slope), float(epsilon), float(visible), float(faint), int(cuts))
    name = bounded_backend(distance, origins, backend)
    if name == "reference":
        coarse = march_rays(origins, directions, near, far, grid, step=step, jitter=jitter, backend=backend)
        packed = (coarse.offsets, coarse.ray_indices, coarse.t, coarse.dt)
        *found, met, queries = reference.bounded_samples(origins, directions, packed, distance, *rule)
        return BoundedSamples(RaySamples(*found), met, queries)
    checks.no_nan("bounded_samples", origins=origins, directions=directions, near=near, far=far)
    on_cpu = origins.device.type == "cpu"  # on a GPU such a look at the values would wait for it
    if on_cpu and rays and not bool(((directions * directions).sum(-1) - 1).abs().max() < 1e-3):
        raise ArgumentError("bounded_samples: directions must be of unit length")
    if jitter is None:
        jitter = torch.full_like(near, 0.5)
    elif on_cpu and rays and not bool(((jitter >= 0) & (jitter < 1)).all()):
        raise ArgumentError("bounded_samples: jitter must be in [0, 1)")
    native = _kernels(name, origins)
    tensors, lattice = (raw(origins), raw(directions), raw(near), raw(far), raw(jitter)), (raw(grid.bitfield), grid.resolution, float(step))
    if isinstance(distance, HashDistance) and origins.dtype == distance.table.dtype == torch.float32:
        table, params = raws(distance.table, distance.params)
        specs = (distance.grid, distance.mlp, distance.include_input, distance.active_levels)
        result = native.bounded_by_field(tensors, *lattice, rule, table, params, *specs)
    else:
        result = native.bounded_by_function(tensors, *lattice, rule, distance)
    *found, met, queries = result
    return BoundedSamples(RaySamples(*found), met, queries)


def bounded_backend(distance: HashDistance | Callable[[Tensor], Tensor], like: Tensor, backend: str | None = None) -> str:
    """The backend on which :func:`bounded_samples` walks with such a distance along rays like these: in CUDA a hash grid's alone.

    Raises:
        BackendError: If a forced backend cannot.
    """
    name = backends.backend("bounded_samples", like.device, backend)
    if name != "cuda":
        return name
    own = distance if isinstance(distance, HashDistance) and like.dtype == distance.table.dtype == torch.float32 else None
    if own is not None and backends.raw(name, "bounded", like).takes(own.mlp):
        return name
    if backend or os.environ.get(backends.ENVIRONMENT_VARIABLE):
        raise BackendError(
            "bounded_samples: cuda walks with a HashDistance in float32 of one or two hidden layers, the first of 128 at most"
        )
    return "reference"


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which has them all."""
    if TYPE_CHECKING:
        from ..backends.cpu import bounded

        return bounded
    return backends.raw(backend, "bounded", like)
