import math

import numpy as np
import pytest
import torch
from packed_cases import backend_params, generator

import kernels
from kernels import ArgumentError, OccupancyGrid
from kernels.backends.reference import occupancy as reference

UPDATE, DECAY = backend_params("update_occupancy"), backend_params("decay_occupancy")
FLOATS = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def interleave(x, y, z):
    return sum(((x >> b) & 1) << (3 * b) | ((y >> b) & 1) << (3 * b + 1) | ((z >> b) & 1) << (3 * b + 2) for b in range(10))


def test_morton_is_bit_interleaving_and_inverts():
    cells = torch.randint(0, 1024, (2000, 3), generator=generator(0))
    index = reference.morton_encode(cells)
    assert index.tolist() == [interleave(*c) for c in cells.tolist()]
    assert torch.equal(reference.morton_decode(index), cells)
    assert torch.equal(reference.morton_decode(torch.arange(8)), torch.tensor([[i & 1, i >> 1 & 1, i >> 2] for i in range(8)]))


def test_bits_round_trip_and_order():
    occupied = torch.rand(3, 512, generator=generator(1)) < 0.3
    bits = reference.pack_bits(occupied)
    assert torch.equal(reference.unpack_bits(bits), occupied)
    assert np.array_equal(np.packbits(occupied.numpy(), axis=-1, bitorder="little"), bits.numpy())


@pytest.mark.parametrize("backend", UPDATE)
@FLOATS
@pytest.mark.parametrize("cascades", [1, 3])
def test_update_marks_what_exceeds_the_threshold(cascades, dtype, backend):
    grid = OccupancyGrid.full(16, cascades)
    values = torch.rand(cascades, 16**3, generator=generator(2), dtype=dtype)
    values[0, 5] = math.nan
    values[0, 6] = 0.3
    kernels.update_occupancy(grid, values, 0.3, backend=backend)
    assert torch.equal(grid.occupied(), values > 0.3)
    kernels.update_occupancy(grid, values.T.contiguous().T, 0.7, backend=backend)  # not contiguous
    assert torch.equal(grid.occupied(), values > 0.7)


def test_occupied_fraction_ignores_covered_cells():
    grid = OccupancyGrid.full(16, 2)
    values = torch.ones(2, 16**3)
    covered = torch.ones(16**3, dtype=torch.bool)
    covered[grid.readable_cells(1)] = False
    assert int(covered.sum()) == 8**3
    values[1, covered] = 0
    kernels.update_occupancy(grid, values, 0.5)
    assert grid.occupied_fraction() == 1.0
    values[0] = 0
    kernels.update_occupancy(grid, values, 0.5)
    assert grid.occupied_fraction() == pytest.approx(7 / 8)
    assert OccupancyGrid.empty(16, 2).occupied_fraction() == 0.0


@pytest.mark.parametrize("cascade", [0, 2])
def test_cell_centers_lie_in_their_cells(cascade):
    grid = OccupancyGrid.full(16, 3)
    centers = grid.cell_centers(cascade=cascade)
    assert torch.equal(grid.cells_of(centers, cascade), torch.arange(16**3))
    assert float(centers.abs().max()) == pytest.approx(2.0**cascade - grid.cell_size(cascade) / 2)
    index = torch.tensor([0, 77, 4095])
    points = grid.cell_centers(index, cascade, uniform=torch.rand(3, 3, generator=generator(3)))
    assert torch.equal(grid.cells_of(points, cascade), index)


def test_contains_uses_the_finest_cascade():
    grid = OccupancyGrid.empty(16, 2)
    values = torch.zeros(2, 16**3)
    values[1] = 1  # the coarse cascade only
    kernels.update_occupancy(grid, values, 0.5)
    points = torch.tensor([[0.1, 0.2, -0.3], [1.5, 0, 0], [1.0, 0, 0], [2.0, -2.0, 0], [2.1, 0, 0]])
    assert grid.contains(points).tolist() == [False, True, True, True, False]


@pytest.mark.parametrize("backend", DECAY)
def test_decay_keeps_invisible_cells_and_takes_the_maximum(backend):
    values = torch.tensor([1.0, 0.2, -1.0, 0.5])
    kernels.decay_occupancy(values, torch.tensor([0.3, 0.9, 5.0, 0.1]), torch.tensor([1, 1, 2, 3]), decay=0.5, backend=backend)
    assert torch.allclose(values, torch.tensor([0.5, 0.9, -1.0, 0.25]))
    kernels.decay_occupancy(values, torch.tensor([0.0, 1.0, 1.0, math.nan]), decay=1.0, backend=backend)
    assert torch.allclose(values, torch.tensor([0.5, 1.0, -1.0, 0.25]))
    kernels.decay_occupancy(values, values[:0], torch.zeros(0, dtype=torch.int64), decay=0.5, backend=backend)
    assert torch.allclose(values, torch.tensor([0.25, 0.5, -1.0, 0.125]))


@pytest.mark.parametrize("backend", DECAY)
@FLOATS
def test_decay_equals_a_loop_over_the_cells(dtype, backend):
    """Many cells and more fresh values than cells, so that they repeat and the threads meet; any number of threads gives the same."""
    g = generator(5)
    start = torch.rand(2, 70001, generator=g, dtype=dtype) - 0.2
    indices = torch.randint(0, start.numel(), (200003,), generator=g)
    fresh = torch.rand(200003, generator=g, dtype=dtype) - 0.3
    fresh[:5] = math.nan
    largest = np.full(start.numel(), -np.inf)
    np.maximum.at(largest, indices.numpy()[5:], fresh.double().numpy()[5:])
    old = start.flatten()
    expected = torch.where(old < 0, old, torch.maximum(old * 0.9, torch.tensor(largest).to(dtype)))
    threads = torch.get_num_threads()
    try:
        for count in (1, 3):
            torch.set_num_threads(count)
            values = start.clone()
            kernels.decay_occupancy(values, fresh, indices, decay=0.9, backend=backend)
            assert torch.equal(values.flatten(), expected)
    finally:
        torch.set_num_threads(threads)
    values = start.clone()
    kernels.decay_occupancy(values, start.flip(0), decay=0.9, backend=backend)
    assert torch.equal(values, torch.where(start < 0, start, torch.maximum(start * 0.9, start.flip(0))))


def look_at(center):
    z = -center / np.linalg.norm(center)
    x = np.cross([0.0, 0.0, 1.0] if abs(z[2]) < 0.9 else [0.0, 1.0, 0.0], z)
    x /= np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z, center], 1)


@pytest.mark.parametrize("backend", backend_params("cells_seen"))
def test_cells_seen_never_drops_a_visible_point(backend):
    rng = np.random.default_rng(0)
    poses = torch.tensor(np.stack([look_at(c) for c in rng.normal(size=(3, 3)) * 1.5]), dtype=torch.float32)
    k = torch.tensor([[150.0, 0, 31], [0, 140, 20], [0, 0, 1]]).expand(3, 3, 3)
    size = torch.tensor([[64.0, 48]]).expand(3, 2)
    grid = OccupancyGrid.full(32)
    seen = kernels.cells_seen(grid, k, poses, size, backend=backend)
    assert 0.02 < seen.float().mean() < 0.98
    points = torch.rand(20000, 3, generator=generator(4)) * 2 - 1
    camera = torch.einsum("vij,vni->vnj", poses[:, :, :3], points[None] - poses[:, None, :, 3])
    uvw = camera @ k[0].T
    uv = uvw[..., :2] / uvw[..., 2:]
    visible = ((uvw[..., 2] > 0) & (uv >= 0).all(-1) & (uv <= size[0]).all(-1)).any(0)
    assert bool(seen[grid.cells_of(points[visible])].all())
    # and it is not merely "everything": points farther than 0.25 (four cells) from every frustum are dropped
    z = uvw[..., 2:]
    margin = 150 * 0.25 / z.clamp_min(0.1)
    hidden = (z[..., 0] < -0.25) | ((z[..., 0] > 0.25) & ((uv < -margin) | (uv > size[0] + margin)).any(-1))
    assert int(hidden.all(0).sum()) > 500
    assert not bool(seen[grid.cells_of(points[hidden.all(0)])].any())


@pytest.mark.parametrize("backend", backend_params("cells_seen"))
def test_cells_seen_of_no_camera_of_a_coarse_cascade_and_beyond_the_near_plane(backend):
    grid = OccupancyGrid.full(16, 2)
    poses = torch.tensor(look_at(np.array([0.0, -1.5, 0.0])), dtype=torch.float64)[None]
    k, size = torch.tensor([[[20.0, 0, 32], [0, 20, 24], [0, 0, 1]]]), torch.tensor([[64, 48]])
    assert not bool(kernels.cells_seen(grid, k[:0], poses[:0], size[:0], backend=backend).any())
    fine, coarse = (kernels.cells_seen(grid, k, poses, size, cascade=c, backend=backend) for c in (0, 1))
    shared = grid.cells_of(grid.cell_centers(cascade=0), cascade=1)
    assert bool((~fine | coarse[shared]).all())  # a cell is seen if one of its parts is
    near = kernels.cells_seen(grid, k, poses, size, near=1.5, backend=backend)
    front = grid.cell_centers()[:, 1] < -0.25  # the camera looks along y
    assert bool(fine[front].any())
    assert not bool(near[front].any())
    assert torch.equal(near[~front & (grid.cell_centers()[:, 1] > 0.25)], fine[~front & (grid.cell_centers()[:, 1] > 0.25)])


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"intrinsics": torch.eye(3)}, "intrinsics must be"),
        ({"size": torch.ones(3, 2)}, r"size \[V, 2\]"),
        ({"scene_from_camera": torch.zeros(2, 4, 4)}, "scene_from_camera"),
        ({"size": torch.ones(2, 2, device="meta")}, "meta"),
    ],
)
def test_bad_cameras(change, match):
    good = {"intrinsics": torch.eye(3).expand(2, 3, 3), "scene_from_camera": torch.eye(4)[:3].expand(2, 3, 4), "size": torch.ones(2, 2)}
    with pytest.raises(ArgumentError, match=match):
        kernels.cells_seen(OccupancyGrid.full(8), **{**good, **change})


@pytest.mark.parametrize("resolution", [0, 7, 48, 1024])
def test_bad_resolution(resolution):
    with pytest.raises(ArgumentError, match="power of two"):
        OccupancyGrid.full(resolution)


@pytest.mark.parametrize(
    ("values", "match"),
    [
        (torch.zeros(512), r"\[1, 512\]"),
        (torch.zeros(2, 512), r"\[1, 512\]"),
        (torch.zeros(1, 512, dtype=torch.float16), "float32 or float64"),
        (torch.zeros(1, 512, device="meta"), "values are on meta"),
    ],
)
def test_bad_values(values, match):
    with pytest.raises(ArgumentError, match=match):
        kernels.update_occupancy(OccupancyGrid.full(8), values, 0.5)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"values": torch.zeros(8, dtype=torch.float16)}, "float32"),
        ({"fresh": torch.zeros(2, dtype=torch.float64)}, "float64"),
        ({"fresh": torch.zeros(3)}, "2 indices for 3"),
        ({"fresh": torch.zeros(3), "indices": None}, "3 values for 8"),
        ({"values": torch.zeros(16)[::2]}, "contiguous"),
        ({"indices": torch.tensor([0, 8])}, "0 to 7"),
        ({"indices": torch.tensor([-1, 0])}, "span -1 to 0"),
        ({"indices": torch.tensor([0, 1], dtype=torch.int32)}, "int64"),
        ({"decay": 1.5}, r"\[0, 1\]"),
        ({"decay": math.nan}, r"\[0, 1\]"),
    ],
)
def test_bad_decay(change, match):
    arguments = {"values": torch.zeros(8), "fresh": torch.zeros(2), "indices": torch.tensor([0, 1]), "decay": 0.9}
    with pytest.raises(ArgumentError, match=match):
        kernels.decay_occupancy(**{**arguments, **change})
