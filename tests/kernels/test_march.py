import math

import numpy as np
import pytest
import torch
from packed_cases import backend_params, generator

import kernels
from kernels import ArgumentError, OccupancyGrid

BACKENDS = backend_params("march_rays")
INF = math.inf


def random_grid(resolution, cascades, share, seed):
    grid = OccupancyGrid.empty(resolution, cascades)
    kernels.update_occupancy(grid, torch.rand(cascades, resolution**3, generator=generator(seed)), 1 - share)
    return grid


def blob_grid(resolution, cascades):
    """A shell, so that rays cross long empty stretches."""
    grid = OccupancyGrid.empty(resolution, cascades)
    values = torch.stack([(grid.cell_centers(cascade=m).norm(dim=-1) - 0.7 * 2**m).abs() < 0.1 * 2**m for m in range(cascades)])
    kernels.update_occupancy(grid, values.float(), 0.5)
    return grid


def random_rays(n, scale, seed):
    g = generator(seed)
    origins = torch.randn(n, 3, generator=g) * scale
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=g), dim=-1)
    towards = torch.nn.functional.normalize(torch.randn(n, 3, generator=g) * 0.4 - origins, dim=-1)
    directions[::2] = towards[::2]
    return origins, directions, torch.rand(n, generator=g) * 0.2, torch.full((n,), INF), torch.rand(n, generator=g)


def brute_force(o, d, near, far, jitter, dense, step, max_samples):
    """One ray, every lattice point looked up in a dense [cascades, res, res, res] array. numpy float32, as the contract states it."""
    f = np.float32
    cascades, res = dense.shape[0], dense.shape[1]
    half = f(2.0 ** (cascades - 1))
    start, stop = f(near), f(far)
    for a in range(3):
        if abs(d[a]) < f(1e-12):
            if abs(o[a]) > half:
                return []
            continue
        t1, t2 = (-half - o[a]) / d[a], (half - o[a]) / d[a]
        start, stop = max(start, min(t1, t2)), min(stop, max(t1, t2))
    if not start < stop:
        return []
    k = np.arange(int((stop - start) / f(step)) + 3)
    t = start + (k.astype(f) + f(jitter)) * f(step)
    t = t[t < stop]
    p = o[None, :] + t[:, None] * d[None, :]
    largest = np.abs(p).max(1)
    cascade = np.zeros(len(t), int)
    for m in range(cascades - 1):
        cascade += largest >= 2.0**m
    cell = np.clip(np.floor(p * f(res / 2) / (f(2.0) ** cascade[:, None]).astype(f) + f(res / 2)).astype(int), 0, res - 1)
    return list(t[dense[cascade, cell[:, 0], cell[:, 1], cell[:, 2]]][:max_samples])


def dense_of(grid):
    """[cascades, x, y, z] of booleans, decoded cell by cell from the bits."""
    ijk = kernels.backends.reference.occupancy.morton_decode(torch.arange(grid.cells)).numpy()
    dense = np.zeros((grid.cascades, *[grid.resolution] * 3), bool)
    for m in range(grid.cascades):
        bits = np.unpackbits(grid.bitfield[m].numpy(), bitorder="little").astype(bool)
        dense[m, ijk[:, 0], ijk[:, 1], ijk[:, 2]] = bits
    return dense


CASES = [
    pytest.param(random_grid(8, 1, 0.3, 0), 0.3, 0.05, 1024, id="8"),
    pytest.param(random_grid(32, 1, 0.05, 1), 1.0, 0.01, 1024, id="32-sparse"),
    pytest.param(random_grid(32, 1, 0.5, 2), 2.0, 0.02, 40, id="32-truncated"),
    pytest.param(random_grid(16, 3, 0.1, 3), 2.0, 0.02, 1024, id="16-cascades"),
    pytest.param(blob_grid(64, 1), 2.0, 0.004, 1024, id="64-shell"),
    pytest.param(blob_grid(32, 4), 3.0, 0.03, 1024, id="32-shells"),
    pytest.param(OccupancyGrid.full(32, 2), 0.5, 0.02, 1024, id="full"),
    pytest.param(OccupancyGrid.empty(32, 2), 0.5, 0.02, 1024, id="empty"),
]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("grid", "scale", "step", "max_samples"), CASES)
def test_equals_brute_force(grid, scale, step, max_samples, backend):
    rays = random_rays(150, scale, 5)
    o, d, near, far, jitter = rays
    samples = kernels.march_rays(o, d, near, far, grid, step=step, jitter=jitter, max_samples=max_samples, backend=backend)
    dense = dense_of(grid)
    for r in range(150):
        expected = brute_force(o[r].numpy(), d[r].numpy(), near[r].item(), far[r].item(), jitter[r].item(), dense, step, max_samples)
        got = samples.t[samples.offsets[r] : samples.offsets[r + 1]].tolist()
        assert got == [float(t) for t in expected]
    assert torch.equal(samples.ray_indices.long(), torch.repeat_interleave(torch.arange(150), samples.offsets.diff()))
    assert bool((samples.dt == torch.tensor(step)).all())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("cone_angle", [0.0, 1 / 256, 0.05])
@pytest.mark.parametrize(("resolution", "cascades"), [(64, 1), (32, 3)])
def test_occupied_points_of_the_full_lattice(resolution, cascades, cone_angle, backend):
    """The samples on any grid are those on the full grid that lie in its occupied cells: same lattice, bit for bit."""
    o, d, near, far, jitter = random_rays(300, 1.5, 6)
    march = lambda grid: kernels.march_rays(  # noqa: E731
        o, d, near, far, grid, step=0.01, jitter=jitter, cone_angle=cone_angle, max_samples=100000, backend=backend
    )
    everything = march(OccupancyGrid.full(resolution, cascades))
    ray = everything.ray_indices.long()
    points = o[ray] + everything.t[:, None] * d[ray]
    for grid in (random_grid(resolution, cascades, 0.2, 7), blob_grid(resolution, cascades)):
        keep = grid.contains(points.clamp(-grid.half_size, grid.half_size))
        some = march(grid)
        assert torch.equal(some.t, everything.t[keep])
        assert torch.equal(some.dt, everything.dt[keep])
        assert torch.equal(some.ray_indices, everything.ray_indices[keep])


@pytest.mark.parametrize("backend", BACKENDS)
def test_cone_steps_touch_and_grow(backend):
    cone, step, grid = 0.02, 0.01, OccupancyGrid.full(64, 5)
    o, d = torch.zeros(1, 3), torch.tensor([[1.0, 0, 0]])
    s = kernels.march_rays(
        o, d, torch.zeros(1), torch.full((1,), INF), grid, step=step, cone_angle=cone, jitter=torch.tensor([0.3]), backend=backend
    )
    t, dt = s.t.double(), s.dt.double()
    edges = torch.cat([t[:1] - 0.5 * dt[:1], t[0] - 0.5 * dt[0] + dt.cumsum(0)])
    assert bool(((edges[:-1] < t) & (t < edges[1:])).all())  # each sample inside its interval, intervals end to end
    assert float(((edges[1:] + edges[:-1]) / 2 - t).abs().max() / dt.max()) < 0.01
    largest = 2 * math.sqrt(3) * 16 / 64
    expected = (t * math.log1p(cone)).clamp(step, largest)
    assert torch.allclose(dt, expected, rtol=0.02)
    assert float(dt.min()) == pytest.approx(step, rel=1e-5)
    assert 16 - float(dt[-1]) <= float(t[-1]) < 16


def rays_of(*rows):
    return tuple(torch.tensor(column) for column in zip(*rows))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("origin", "direction", "near", "far", "expected"),
    [
        ([-3.0, 0.1, 0.1], [1.0, 0, 0], 0.0, INF, (2.0, 4.0)),  # parallel to two axes
        ([-3.0, 0.1, 0.1], [1.0, -0.0, 0], 2.5, 3.5, (2.5, 3.5)),
        ([0.1, 0.1, 0.1], [0, 0, -1.0], 0.0, INF, (0.0, 1.1)),  # from inside
        ([0.1, 0.1, 0.1], [0, 0, -1.0], 0.0, 0.5, (0.0, 0.5)),
        ([-3.0, 1.5, 0.1], [1.0, 0, 0], 0.0, INF, None),  # parallel, beside the box
        ([-3.0, 0.0, 0.0], [-1.0, 0, 0], 0.0, INF, None),  # box behind
        ([-3.0, 0.0, 0.0], [1.0, 0, 0], 3.0, 2.5, None),  # near > far
        ([-3.0, 0.0, 0.0], [1.0, 0, 0], 0.0, 1.5, None),  # far before the box
        ([3.0, 3.0, 3.0], [0.6, 0.8, 0], 0.0, INF, None),
        ([-2.0, 1.0, 0.0], [1.0, 0, 0], 0.0, INF, (1.0, 3.0)),  # in the face
        ([-2.0, -2.0, -2.0], [3**-0.5] * 3, 0.0, INF, (3**0.5, 3 * 3**0.5)),  # along the diagonal, through corners
    ],
)
def test_special_rays(origin, direction, near, far, expected, backend):
    o, d, n, f = torch.tensor([origin]), torch.tensor([direction]), torch.tensor([near]), torch.tensor([far])
    s = kernels.march_rays(o, d, n, f, OccupancyGrid.full(32), step=0.01, backend=backend)
    if expected is None:
        assert s.offsets.tolist() == [0, 0]
        return
    lo, hi = expected
    assert len(s) == pytest.approx((hi - lo) / 0.01, abs=1.01)
    assert float(s.t[0]) == pytest.approx(lo + 0.005, abs=1e-5)
    assert torch.allclose(s.t.diff(), torch.tensor(0.01), atol=2e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_no_rays(backend):
    s = kernels.march_rays(
        torch.zeros(0, 3), torch.zeros(0, 3), torch.zeros(0), torch.zeros(0), OccupancyGrid.full(32), step=0.1, backend=backend
    )
    assert s.offsets.tolist() == [0]
    assert (len(s), s.rays, s.ray_indices.dtype, s.t.dtype) == (0, 0, torch.int32, torch.float32)


@pytest.mark.parametrize("backend", BACKENDS)
def test_non_contiguous_and_same_bits_on_any_number_of_threads(backend):
    o, d, near, far, jitter = random_rays(1000, 1.5, 8)
    grid = blob_grid(64, 1)
    wide_o, wide_d = torch.cat([o, o], 1), torch.cat([d, d], 1).T.contiguous().T
    threads = torch.get_num_threads()
    results = []
    try:
        for count, args in ((1, (o, d)), (2, (o, d)), (2, (wide_o[:, :3], wide_d[:, 3:]))):
            torch.set_num_threads(count)
            results.append(kernels.march_rays(*args, near, far, grid, step=0.01, jitter=jitter, backend=backend))
    finally:
        torch.set_num_threads(threads)
    assert len(results[0]) > 1000
    for other in results[1:]:
        assert torch.equal(results[0].t, other.t)
        assert torch.equal(results[0].offsets, other.offsets)


def test_reference_in_float64():
    o, d, near, far, jitter = (x.double() for x in random_rays(50, 1.0, 9))
    s = kernels.march_rays(o, d, near, far, blob_grid(32, 1), step=0.02, jitter=jitter, backend="reference")
    assert s.t.dtype == torch.float64
    assert len(s) > 100


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"directions": torch.ones(2, 3)}, "unit length"),
        ({"directions": torch.zeros(3, 3)}, "shape"),
        ({"origins": torch.full((2, 3), math.nan)}, "NaN"),
        ({"near": torch.zeros(2, dtype=torch.float64)}, "agree"),
        ({"far": torch.zeros(2, dtype=torch.int64)}, "float32"),
        ({"step": 0.0}, "step"),
        ({"step": 1e-9}, "step"),
        ({"step": math.inf}, "step"),
        ({"jitter": torch.ones(2)}, "jitter"),
        ({"cone_angle": -0.1}, "cone_angle"),
        ({"max_samples": 0}, "max_samples"),
    ],
)
def test_bad_arguments(change, match):
    args = {
        "origins": torch.zeros(2, 3),
        "directions": torch.tensor([[1.0, 0, 0], [0, 1, 0]]),
        "near": torch.zeros(2),
        "far": torch.ones(2),
        "grid": OccupancyGrid.full(32),
        "step": 0.1,
    }
    with pytest.raises(ArgumentError, match=match):
        kernels.march_rays(**{**args, **change})
