"""Samples with a bounded opacity error: the bound against analytic solids, the native walk against the torch reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import kernels
from kernels import ArgumentError, HashDistance, HashGridSpec, MLPSpec, OccupancyGrid
from kernels.backends.reference.bounded import midpoint_error
from recon.rendering.occupancy import refresh_by_sdf
from recon.rendering.rays import Rays, sphere_interval
from tests.recon.rendering.solids import SOLIDS, box, exact_opacity, opacity_of, random_rays, sphere

BACKENDS = [
    "reference",
    pytest.param("cpu", marks=pytest.mark.skipif(not kernels.backends.status("bounded_samples", "cpu")[0], reason="no native")),
]


def bounded(rays: Rays, grid: OccupancyGrid, solid, **options: Any) -> kernels.BoundedSamples:
    usual = {"step": 0.03, "beta": 0.02, "epsilon": 0.3, "cuts": 3, "visible": 1e-3, "faint": -1.0, "slope": 1.0}
    return kernels.bounded_samples(rays.origins, rays.directions, *sphere_interval(rays), grid, solid, **{**usual, **options})


@pytest.mark.parametrize("solid", SOLIDS)
@pytest.mark.parametrize("beta", [0.003, 0.02, 0.1])
def test_no_interval_has_a_greater_error_than_its_bound(solid, beta):
    """A hundred thousand random intervals, the integral over each by 64 points."""
    g = torch.Generator().manual_seed(1)
    count = 100_000
    middle = (torch.rand(count, 3, generator=g, dtype=torch.float64) * 2 - 1) * 0.9
    direction = torch.nn.functional.normalize(torch.randn(count, 3, generator=g, dtype=torch.float64), dim=-1)
    dt = beta * torch.rand(count, generator=g, dtype=torch.float64) * 4
    steps = (torch.arange(64) + 0.5) / 64 - 0.5
    density = lambda f: torch.where(f > 0, 0.5 * torch.exp(-f.abs() / beta), 1 - 0.5 * torch.exp(-f.abs() / beta)) / beta  # noqa: E731
    exact = sum(density(solid(middle + (s * dt)[:, None] * direction)) for s in steps) / 64 * dt
    error = (exact - density(solid(middle)) * dt).abs()
    bound = midpoint_error(solid(middle), dt, beta)
    assert float((error - bound).max()) <= 2e-4 * float(bound.max())  # the 64 points' own error
    near = bound > 0.5 * bound.max()
    assert float((error[near] / bound[near]).max()) > 0.1  # and the bound is not idle


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("solid", SOLIDS)
@pytest.mark.parametrize(("beta", "cuts"), [(0.002, 4), (0.02, 3), (0.02, 0), (0.1, 2)])
def test_rays_that_meet_the_bound_keep_it(solid, beta, cuts, backend):
    """Opacity of the samples against the exact one, nothing left out but what is hidden; most rays meet the bound if enough is cut."""
    rays = random_rays(2000)
    found = bounded(rays, OccupancyGrid.full(8), solid, beta=beta, cuts=cuts, backend=backend)
    error = (opacity_of(found.samples, rays, solid, beta) - exact_opacity(rays, *sphere_interval(rays), solid, beta)).abs()
    assert float(error[found.met].max()) <= 0.3 + 2e-3
    if cuts:
        assert float(found.met.float().mean()) > 0.25
        assert float(error.mean()) < 0.01  # and mostly it is far better than what is promised


@pytest.mark.parametrize("solid", SOLIDS)
@pytest.mark.parametrize("beta", [0.002, 0.02])
def test_what_the_grid_leaves_out_is_faint(solid, beta):
    rays = random_rays(2000)
    grid = OccupancyGrid.full(64)
    refresh_by_sdf(grid, solid, beta, 0.03)
    found = bounded(rays, grid, solid, beta=beta, cuts=4, faint=1e-3)
    error = (opacity_of(found.samples, rays, solid, beta) - exact_opacity(rays, *sphere_interval(rays), solid, beta)).abs()
    assert float(error.mean()) < 0.01
    assert float(error.max()) < 0.2
    assert len(found.samples) < 0.5 * 2 / 0.03 * 2000


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("solid", SOLIDS)
@pytest.mark.parametrize(("beta", "cuts", "slope"), [(0.002, 4, 1.0), (0.004, 3, 1.3), (0.05, 2, 1.1)])
def test_native_equals_the_reference(solid, beta, cuts, slope, dtype):
    """In float64 nothing is so close to a threshold that roundings could decide; in float32 a ray in a hundred may be."""
    rays = random_rays(1000)
    rays = Rays(rays.origins.to(dtype), torch.nn.functional.normalize(rays.directions.to(dtype), dim=-1))
    grid = OccupancyGrid.full(64)
    refresh_by_sdf(grid, solid, beta, 0.03)
    jitter = torch.rand(1000, generator=torch.Generator().manual_seed(2), dtype=dtype)
    options = {"beta": beta, "cuts": cuts, "slope": slope, "faint": 1e-3, "jitter": jitter}
    native = bounded(rays, grid, solid, backend="cpu", **options)
    reference = bounded(rays, grid, solid, backend="reference", **options)
    counts = [f.samples.offsets.diff() for f in (native, reference)]
    alike = counts[0] == counts[1]
    least = 1.0 if dtype == torch.float64 else 0.99
    assert float(alike.float().mean()) >= least
    assert float((native.met == reference.met).float().mean()) >= least
    assert native.queries == pytest.approx(reference.queries, rel=0 if least == 1.0 else 0.01)
    chosen = [alike[f.samples.ray_indices.long()] for f in (native, reference)]
    for name in ("ray_indices", "t", "dt"):
        a, b = (getattr(f.samples, name)[c] for f, c in zip((native, reference), chosen, strict=True))
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)


def hash_distance(seed: int = 0) -> HashDistance:
    """A sphere of radius 0.5, roughly, with bumps."""
    from recon.config.values import HashGridConfig
    from recon.fields.hashgrid import HashGridField

    g = torch.Generator().manual_seed(seed)
    field = HashGridField(HashGridConfig(levels=6, log2_table_size=12, finest_resolution=128), 5, "softplus", True, g)
    field.init_sphere(0.5, g)
    field.table.data.mul_(100.0)
    distance = field.hash_distance()
    assert distance is not None
    return distance


@pytest.mark.parametrize("threads", [1, 2])
def test_the_native_field_equals_the_same_field_as_a_function(threads):
    """To the bit: whoever evaluates the distance, in whatever company, and with however many threads."""
    rays, distance = random_rays(1500), hash_distance()
    grid = OccupancyGrid.full(64)
    refresh_by_sdf(grid, distance, 0.01, 0.03)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        own = bounded(rays, grid, distance, beta=0.01, backend="cpu")
        called = bounded(rays, grid, lambda p: distance(p), beta=0.01, backend="cpu")
    finally:
        torch.set_num_threads(before)
    assert own.queries == called.queries > 0
    assert torch.equal(own.met, called.met)
    for name in ("offsets", "ray_indices", "t", "dt"):
        assert torch.equal(getattr(own.samples, name), getattr(called.samples, name))
    assert len(own.samples) > 0


@pytest.mark.parametrize("backend", BACKENDS)
def test_cutting_keeps_what_is_there(backend):
    """Intervals still fill what the march gave, in order, each a power of three shorter; no point is asked for twice."""
    rays = random_rays(300)
    grid, asked = OccupancyGrid.full(16), []

    def counted(p: Tensor) -> Tensor:
        asked.append(p)
        return box(p)

    found = bounded(rays, grid, counted, step=0.05, beta=0.005, epsilon=0.1, visible=-1.0, backend=backend)
    coarse = kernels.march_rays(rays.origins, rays.directions, *sphere_interval(rays), grid, step=0.05)
    points = torch.cat(asked)
    assert found.queries == len(points) == len(torch.unique(points, dim=0))
    assert found.queries < 0.7 * len(found.samples)  # most distances are bounded by their neighbours'
    lengths = lambda s: torch.zeros(300).index_add_(0, s.ray_indices.long(), s.dt)  # noqa: E731
    torch.testing.assert_close(lengths(found.samples), lengths(coarse), atol=1e-5, rtol=1e-5)
    same_ray = found.samples.ray_indices[1:] == found.samples.ray_indices[:-1]
    gaps = found.samples.t.diff() - 0.5 * (found.samples.dt[1:] + found.samples.dt[:-1])
    assert float(gaps[same_ray].abs().max()) < 1e-5
    assert float(found.samples.dt.min()) == pytest.approx(0.05 / 27, rel=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_is_asked_behind_an_opaque_surface(backend):
    rays = random_rays(500)
    deepest: list[Tensor] = []

    def solid(p: Tensor) -> Tensor:
        deepest.append(sphere(p).min())
        return sphere(p)

    bounded(rays, OccupancyGrid.full(16), solid, beta=0.002, cuts=4, backend=backend)
    assert float(torch.stack(deepest).min()) > -0.1


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "rays", [Rays(torch.zeros(0, 3), torch.zeros(0, 3)), Rays(torch.tensor([[3.0, 3, 3]]), torch.tensor([[1.0, 0, 0]]))]
)
def test_rays_without_samples(rays, backend):
    found = bounded(rays, OccupancyGrid.full(8), sphere, backend=backend)
    assert len(found.samples) == found.queries == 0
    assert found.met.all()
    assert len(found.met) == len(rays)
    assert found.samples.rays == len(rays)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beta": 0.0}, "beta must be finite and positive"),
        ({"epsilon": float("nan")}, "epsilon must be"),
        ({"slope": -1.0}, "slope must be"),
        ({"cuts": 9}, "cuts must be 0 to 8"),
        ({"jitter": torch.full((4,), 1.5)}, r"jitter must be in \[0, 1\)"),
        ({"solid": lambda p: p}, r"distance must give \[4\] for 4 points"),
    ],
)
def test_wrong_input(options, message):
    options = dict(options)
    with pytest.raises(ArgumentError, match=message):
        bounded(random_rays(4), OccupancyGrid.full(8), options.pop("solid", sphere), backend="cpu", **options)


def test_not_unit_directions_are_refused():
    rays = random_rays(4)
    with pytest.raises(ArgumentError, match="unit length"):
        bounded(Rays(rays.origins, 2.0 * rays.directions), OccupancyGrid.full(8), sphere)


def test_specs_of_other_heights():
    """A network with several hidden layers and without biases: output 0 alone is what the whole network gives."""
    g = torch.Generator().manual_seed(3)
    grid = HashGridSpec(levels=3, log2_table_size=10, finest_resolution=32)
    mlp = MLPSpec(inputs=grid.out_features, hidden=(16, 8), outputs=4, activation="softplus", bias=False)
    params = torch.randn(mlp.params, generator=g) * 0.5
    distance = HashDistance(torch.randn(grid.entries, 2, generator=g), params, grid, mlp, False, 3)
    rays = random_rays(64)
    own = bounded(rays, OccupancyGrid.full(8), distance, backend="cpu")
    called = bounded(rays, OccupancyGrid.full(8), lambda p: distance(p), backend="cpu")
    assert torch.equal(own.samples.t, called.samples.t)
    assert own.queries == called.queries


def test_the_distance_alone_is_the_fields_first_value():
    from recon.config.values import HashGridConfig
    from recon.fields.hashgrid import HashGridField

    g = torch.Generator().manual_seed(4)
    for hidden in ((16,), (16, 8)):
        field = HashGridField(HashGridConfig(levels=4, log2_table_size=10, finest_resolution=64, hidden=hidden), 5, "softplus", True, g)
        field.set_active_levels(0.5)
        distance, points = field.hash_distance(), torch.rand(100, 3, generator=g) * 2.0 - 1.0
        assert distance is not None
        torch.testing.assert_close(distance(points), field.values(points)[:, 0].detach(), atol=1e-6, rtol=1e-5)
    assert HashGridField(HashGridConfig(levels=2), 3, "relu", False, g, dims=2).hash_distance() is None
