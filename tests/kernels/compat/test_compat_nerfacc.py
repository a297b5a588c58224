"""nerfacc's own Python over our functions, grids, packing, searching: what its tests look at, against plain torch and brute force."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from kernels.compat.nerfacc import native

pytestmark = pytest.mark.usefixtures("nerfacc")


def some_rays(n: int, seed: int = 42) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    directions = torch.randn(n, 3)
    return torch.randn(n, 3), directions / directions.norm(dim=-1, keepdim=True)


def nested_boxes(levels: int) -> Tensor:
    from nerfacc.grid import _enlarge_aabb

    return torch.stack([_enlarge_aabb(torch.tensor([-1.0, -1, -1, 1, 1, 1]), 2**i) for i in range(levels)])


# ---------------------------------------------------------------- rays and grids


def test_ray_aabb_intersect():
    from nerfacc.grid import _ray_aabb_intersect, ray_aabb_intersect

    origins, directions = some_rays(1000)
    corner = torch.rand(100, 3)
    boxes = torch.cat([corner, corner + torch.rand(100, 3)], -1)
    low, high, hits = ray_aabb_intersect(origins, directions, boxes)
    low2, high2, hits2 = _ray_aabb_intersect(origins, directions, boxes)
    assert torch.equal(hits, hits2)
    assert torch.allclose(low[hits], low2[hits])
    assert torch.allclose(high[hits], high2[hits])
    assert torch.isinf(low[~hits]).all()
    rays, box = torch.nonzero(hits, as_tuple=True)
    middle = origins[rays] + directions[rays] * (0.5 * (low + high)[rays, box])[:, None]
    assert ((middle >= boxes[box, :3] - 1e-6) & (middle <= boxes[box, 3:] + 1e-6)).all()


def test_ray_aabb_intersect_cuts_to_planes_and_marks_misses():
    from nerfacc.grid import ray_aabb_intersect

    box = torch.tensor([[-1.0, -1, -1, 1, 1, 1]])
    origins, directions = torch.tensor([[-3.0, 0, 0], [-3.0, 5, 0], [3.0, 0, 0]]), torch.tensor([[1.0, 0, 0]]).expand(3, 3)
    low, high, hits = ray_aabb_intersect(origins, directions, box, near_plane=2.5, far_plane=3.0, miss_value=-7)
    assert hits[:, 0].tolist() == [True, False, False]  # the last lies behind its origin
    assert low[:, 0].tolist() == [2.5, -7, -7]
    assert high[:, 0].tolist() == [3.0, -7, -7]


def test_all_midpoints_are_occupied():
    from nerfacc.grid import _query, traverse_grids

    origins, directions = some_rays(10)
    boxes = nested_boxes(4)
    occupied = torch.rand(4, 32, 32, 32) > 0.5
    intervals, samples, _ = traverse_grids(origins, directions, occupied, boxes)
    rays = intervals.ray_indices[intervals.is_left]
    starts, ends = intervals.vals[intervals.is_left], intervals.vals[intervals.is_right]
    assert torch.equal(rays, samples.ray_indices)
    assert torch.allclose((starts + ends) / 2, samples.vals)
    x = origins[rays] + directions[rays] * samples.vals[:, None]
    found, inside = _query(x, occupied, boxes[0])
    assert len(x) > 10_000
    assert inside.all()
    assert found.all()


def occupied_at(x: Tensor, occupied: Tensor, boxes: Tensor) -> tuple[Tensor, Tensor]:
    """Whether points lie in an occupied cell of the innermost box around them; and whether rounding could decide otherwise. float64."""
    state = torch.full((len(x),), -1)
    unsure = torch.zeros(len(x), dtype=torch.bool)
    for level in reversed(range(len(boxes))):
        box = boxes[level].double()
        unit = (x - box[:3]) / (box[3:] - box[:3])
        size = torch.tensor(occupied.shape[1:])
        inside = ((unit >= 0) & (unit < 1)).all(-1)
        place = unit * size
        cell = place.long().clamp(min=0).minimum(size - 1)
        state = torch.where(inside, occupied[level][cell[:, 0], cell[:, 1], cell[:, 2]].long(), state)
        unsure |= ((place - place.round()).abs() < 1e-4).any(-1)
    return state == 1, unsure


@pytest.mark.parametrize(("levels", "resolution", "step"), [(1, (8, 8, 8), 0.05), (3, (8, 4, 6), 0.03), (2, (16, 16, 16), 0.2)])
def test_intervals_are_those_of_the_comb_whose_middles_are_occupied(levels, resolution, step):
    """Brute force: every place of every ray's comb."""
    from nerfacc.grid import traverse_grids

    origins, directions = some_rays(60)
    boxes, occupied = nested_boxes(levels), torch.rand(levels, *resolution) > 0.6
    near = torch.rand(60)
    far = near + 4 * torch.rand(60)
    _, samples, _ = traverse_grids(origins, directions, occupied, boxes, near_planes=near, far_planes=far, step_size=step)
    for r in range(60):
        middles = near[r].double() + (torch.arange(int(4 / step) + 2).double() + 0.5) * step
        middles = middles[middles < far[r]]
        x = origins[r].double() + directions[r].double() * middles[:, None]
        wanted, unsure = occupied_at(x, occupied, boxes)
        unsure |= (far[r] - middles).abs() < 1e-4
        found = samples.vals[samples.ray_indices == r].double()
        there = (middles[:, None] - found[None]).abs().min(1).values < 1e-5 if len(found) else torch.zeros(len(middles), dtype=torch.bool)
        assert torch.equal(there[~unsure], wanted[~unsure])
        assert len(found) - int(there.sum()) == 0


def test_the_step_grows_with_distance():
    from nerfacc.grid import traverse_grids

    origins, directions = torch.tensor([[-4.0, 0.1, 0.2]]), torch.tensor([[1.0, 0, 0]])
    occupied = torch.ones(1, 4, 4, 4, dtype=torch.bool)
    intervals, _, _ = traverse_grids(origins, directions, occupied, nested_boxes(1), step_size=0.05, cone_angle=0.1)
    starts, ends = intervals.vals[intervals.is_left], intervals.vals[intervals.is_right]
    assert torch.allclose(ends - starts, (0.1 * starts).clamp_min(0.05), atol=1e-5)
    assert torch.allclose(starts[1:], ends[:-1])
    assert len(intervals.vals) == len(starts) + 1  # neighbours share an edge


def test_without_a_step_every_voxel_gives_one_interval():
    from nerfacc.grid import traverse_grids

    origins, directions = some_rays(200)
    boxes, occupied = nested_boxes(1), torch.rand(1, 6, 6, 6) > 0.5
    intervals, _, _ = traverse_grids(origins, directions, occupied, boxes, step_size=0.0)
    rays = intervals.ray_indices[intervals.is_left]
    lengths = intervals.vals[intervals.is_right] - intervals.vals[intervals.is_left]
    total = torch.zeros(200).index_add_(0, rays, lengths).double()
    t = (torch.arange(20_000).double() + 0.5) * 5e-4
    for r in range(0, 200, 7):  # the length of a ray within occupied cells, by sampling it finely
        inside, _ = occupied_at(origins[r].double() + directions[r].double() * t[:, None], occupied, boxes)
        assert abs(float(inside.sum()) * 5e-4 - float(total[r])) < 0.02
    x = origins[rays] + directions[rays] * (intervals.vals[intervals.is_left] + 0.5 * lengths)[:, None]
    cell = ((x + 1) * 3).floor()
    key = (rays * 216 + (cell * torch.tensor([36.0, 6, 1])).sum(-1)).long()
    assert len(key.unique()) > 0.99 * len(key)


def test_limited_walks_go_on_where_they_stopped():
    from nerfacc.grid import traverse_grids

    origins, directions = some_rays(10)
    boxes, occupied = nested_boxes(4), torch.rand(4, 32, 32, 32) > 0.5
    _, whole, _ = traverse_grids(origins, directions, occupied, boxes)
    options = {"traverse_steps_limit": 4000, "over_allocate": True}
    _, first, ends = traverse_grids(origins, directions, occupied, boxes, **options)
    _, second, _ = traverse_grids(origins, directions, occupied, boxes, near_planes=ends, **options)
    assert int(first.packed_info[:, 1].max()) == 4000 < int(whole.packed_info[:, 1].max())
    assert first.is_valid.all()
    for r in range(10):
        mine = whole.vals[whole.ray_indices == r]
        both = torch.cat([first.vals[first.ray_indices == r], second.vals[second.ray_indices == r]])
        assert len(mine) > 8000 or abs(len(mine) - len(both)) <= 1
        n = min(len(mine), len(both))
        assert torch.allclose(mine[:n], both[:n], atol=2e-3)


def test_the_form_of_0_5_2_walks_alike():
    from nerfacc.grid import ray_aabb_intersect, traverse_grids

    origins, directions = some_rays(20)
    boxes, occupied = nested_boxes(3), torch.rand(3, 8, 8, 8) > 0.5
    _, samples, _ = traverse_grids(origins, directions, occupied, boxes, step_size=0.05)
    low, high, hits = ray_aabb_intersect(origins, directions, boxes)
    near, far = torch.zeros(20), torch.full((20,), torch.inf)
    old = native.traverse_grids(origins, directions, occupied, boxes, low, high, hits, near, far, 0.05, 0.0, True, True)
    assert len(old) == 2
    assert torch.equal(old[1].vals, samples.vals)
    assert torch.equal(old[1].chunk_cnts, samples.packed_info[:, 1])


def test_masked_rays_give_nothing():
    from nerfacc.grid import traverse_grids

    origins, directions = some_rays(20)
    mask = torch.arange(20) % 2 == 0
    _, samples, _ = traverse_grids(
        origins, directions, torch.ones(1, 4, 4, 4, dtype=torch.bool), nested_boxes(1), rays_mask=mask, traverse_steps_limit=5
    )
    assert samples.packed_info[~mask, 1].sum() == 0
    assert samples.packed_info[:, 1].max() == 5


def test_planes_hold():
    from nerfacc.grid import traverse_grids

    origins, directions = some_rays(10)
    near, far = torch.rand(10) * 0.5, 1 + torch.rand(10)
    intervals, samples, _ = traverse_grids(
        origins, directions, torch.ones(1, 32, 32, 32, dtype=torch.bool), nested_boxes(1), near_planes=near, far_planes=far, step_size=0.05
    )
    rays = intervals.ray_indices
    assert (intervals.vals >= near[rays] - 0.025).all()
    assert (intervals.vals <= far[rays] + 0.025).all()
    assert (samples.vals < far[samples.ray_indices]).all()


def test_sampling_between_distances_of_rays(nerfacc):
    origins, directions = some_rays(20)
    estimator = nerfacc.OccGridEstimator(roi_aabb=[-1.0, -1, -1, 1, 1, 1], resolution=32, levels=1)
    estimator.binaries[:] = True
    low, high = torch.rand(20), 1 + torch.rand(20)
    rays, starts, ends = estimator.sampling(
        origins, directions, near_plane=0.0, far_plane=10.0, t_min=low, t_max=high, render_step_size=0.02
    )
    assert len(rays) > 0
    assert (starts >= low[rays] - 1e-6).all()
    assert (ends <= high[rays] + 0.01 + 1e-6).all()


def test_marking_cells_that_no_camera_sees(nerfacc):
    """A cell's point, spread over the whole box, must lie in the picture, in front of the near plane and not between it and the camera."""
    estimator = nerfacc.OccGridEstimator(roi_aabb=[-1.0, -1, -1, 1, 1, 1], resolution=16, levels=2)
    k = torch.tensor([[[40.0, 0, 20], [0, 40.0, 15], [0, 0, 1]]])
    pose = torch.eye(4)[None, :3].clone()
    pose[0, :, 3] = torch.tensor([0.1, 0, -2])
    estimator.mark_invisible_cells(k, pose, 40, 30, 0.5)
    values = estimator.occs.view(2, -1)
    index = torch.tensor(list(itertools.product(range(16), repeat=3)))
    for level in range(2):
        x = (index / 15 * 2 - 1) * 2**level - pose[0, :, 3]
        u, v = 40 * x[:, 0] / x[:, 2] + 20, 40 * x[:, 1] / x[:, 2] + 15
        seen = (x[:, 2] >= 0.5) & (u >= 0) & (u < 40) & (v >= 0) & (v < 30)
        assert torch.equal(values[level], torch.where(seen, 0.0, -1.0))
        assert 0 < int(seen.sum()) < 4096


def test_marking_cells_of_four_levels_gives_the_published_numbers(nerfacc):
    estimator = nerfacc.OccGridEstimator(roi_aabb=[-1.0, -1, -1, 1, 1, 1], resolution=32, levels=4)
    k = torch.tensor([[[100.0, 0, 50], [0, 100, 50], [0, 0, 1]]])
    pose = torch.tensor([[[-1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, 2.5]]])
    estimator.mark_invisible_cells(k, pose, 100, 100)
    assert (int((estimator.occs == -1).sum()), int((estimator.occs == 0).sum())) == (77660, 53412)


def test_updates_follow_the_field(nerfacc):
    estimator = nerfacc.OccGridEstimator(roi_aabb=[-1.0, -1, -1, 1, 1, 1], resolution=16)
    estimator.update_every_n_steps(step=0, occ_eval_fn=lambda x: (x.norm(dim=-1, keepdim=True) < 0.5).float(), occ_thre=0.1)
    centres = (estimator.grid_coords + 0.5) / 8 - 1
    occupied = estimator.binaries.flatten()
    assert occupied[centres.norm(dim=-1) < 0.35].all()
    assert not occupied[centres.norm(dim=-1) > 0.65].any()
    assert list(estimator.state_dict()) == ["resolution", "aabbs", "occs", "binaries"]


def test_the_visibility_filter_of_sampling(nerfacc):
    origins, directions = torch.tensor([[-3.0, 0, 0]]), torch.tensor([[1.0, 0, 0]])
    estimator = nerfacc.OccGridEstimator(roi_aabb=[-1.0, -1, -1, 1, 1, 1], resolution=8)
    estimator.binaries[:] = True
    rays, _starts, _ends = estimator.sampling(
        origins, directions, sigma_fn=lambda t0, t1, r: torch.full_like(t0, 20.0), render_step_size=0.1, early_stop_eps=1e-2
    )
    # transmittance falls by exp(-2) a sample: 1, .135, .018, and below a hundredth from the fourth on
    assert len(rays) == 3


# ---------------------------------------------------------------- packing, searching


@pytest.mark.parametrize("dtype", [torch.long, torch.int32])
def test_pack_info(nerfacc, dtype):
    rays = torch.tensor([0, 0, 1, 1, 1, 3, 3], dtype=dtype)
    assert nerfacc.pack_info(rays, 5).tolist() == [[0, 2], [2, 3], [5, 0], [5, 2], [7, 0]]
    assert nerfacc.pack_info(rays).tolist() == [[0, 2], [2, 3], [5, 0], [5, 2]]
    assert nerfacc.pack.pack_info(rays[:0], 2).tolist() == [[0, 0], [0, 0]]


def test_searchsorted(nerfacc):
    torch.manual_seed(42)
    query, key = torch.rand(100, 50), torch.rand(100, 70).sort(-1).values
    left, right = nerfacc.searchsorted(nerfacc.RayIntervals(vals=key), nerfacc.RayIntervals(vals=query))
    expected = torch.searchsorted(key, query, right=True)
    assert torch.equal(right, expected.clamp(0, 69))
    assert torch.equal(left, (expected.clamp(max=69) - 1).clamp(min=0))
    counts = torch.randint(2, 9, (6,))
    info = torch.stack([counts.cumsum(0) - counts, counts], -1)
    packed = torch.cat([torch.rand(n).sort().values for n in counts.tolist()])
    values, rays = torch.rand(40), torch.arange(40) % 6
    order = rays.argsort(stable=True)
    values, rays = values[order], rays[order]
    keys = nerfacc.RayIntervals(vals=packed, packed_info=info)
    left, right = nerfacc.searchsorted(keys, nerfacc.RayIntervals(vals=values, ray_indices=rays))
    for i, r in enumerate(rays.tolist()):
        row = packed[info[r, 0] : info[r, 0] + info[r, 1]]
        place = int(torch.searchsorted(row, values[i], right=True))
        assert int(right[i]) == int(info[r, 0]) + min(place, len(row) - 1)
        assert int(left[i]) == int(info[r, 0]) + max(min(place, len(row) - 1) - 1, 0)


def test_importance_sampling(nerfacc):
    """Batched against the sampler of mip-NeRF in plain torch; packed against batched; shares equal."""
    from nerfacc.pdf import _sample_from_weighted

    torch.manual_seed(42)
    edges = torch.rand(50, 31).sort(-1).values
    cdf = torch.rand(50, 31).sort(-1).values
    cdf = (cdf - cdf[:, :1]) / (cdf[:, -1:] - cdf[:, :1])
    intervals, samples = nerfacc.importance_sampling(nerfacc.RayIntervals(vals=edges), cdf, 20)
    expected, centres = _sample_from_weighted(edges, cdf.diff(dim=-1), 20, vmin=edges.min(-1, True).values, vmax=edges.max(-1, True).values)
    assert intervals.vals.shape == (50, 21)
    assert torch.allclose(samples.vals, centres, atol=1e-4)
    assert torch.allclose(intervals.vals, expected, atol=1e-4)

    info = torch.stack([torch.arange(50) * 31, torch.full((50,), 31)], -1)
    packed = nerfacc.RayIntervals(vals=edges.flatten(), packed_info=info)
    counts = torch.full((50,), 20)
    torch.manual_seed(1)
    many, many_samples = nerfacc.importance_sampling(packed, cdf.flatten(), counts, stratified=True)
    torch.manual_seed(1)
    same, _ = nerfacc.importance_sampling(nerfacc.RayIntervals(vals=edges), cdf, 20, stratified=True)
    assert torch.allclose(many.vals, same.vals.flatten())
    assert torch.equal(many_samples.ray_indices, torch.arange(50).repeat_interleave(20))
    assert (many.is_left.sum(), many.is_right.sum()) == (1000, 1000)


def test_importance_sampling_of_unequal_rays(nerfacc):
    torch.manual_seed(3)
    lengths, wanted = torch.tensor([5, 0, 9, 2]), torch.tensor([4, 3, 0, 1])
    info = torch.stack([lengths.cumsum(0) - lengths, lengths], -1)
    edges = torch.cat([torch.rand(n).sort().values for n in lengths.tolist()])
    cdf = torch.cat([torch.linspace(0, 1, n) for n in lengths.tolist() if n])
    intervals, samples = nerfacc.importance_sampling(nerfacc.RayIntervals(vals=edges, packed_info=info), cdf, wanted)
    assert samples.packed_info[:, 1].tolist() == [4, 0, 0, 1]
    assert intervals.packed_info[:, 1].tolist() == [5, 0, 0, 2]
    assert intervals.vals[-2:].tolist() == edges[-2:].tolist()  # one sample has the whole ray


def test_pdf_loss_where_keys_cover_queries(nerfacc):
    """Both formulas of the proposal loss: a bound by intervals that overlap, and by the distribution at neighbouring edges."""
    from nerfacc.estimators.prop_net import _lossfun_outer, _pdf_loss

    torch.manual_seed(42)
    t = (torch.rand(30, 41) * 0.98 + 0.01).sort(-1).values
    env = torch.cat([torch.zeros(30, 1), torch.rand(30, 79), torch.ones(30, 1)], -1).sort(-1).values
    w, w_env = torch.rand(30, 40), torch.rand(30, 80)
    cdf = torch.cat([torch.zeros(30, 1), w.cumsum(-1)], -1)
    cdf_env = torch.cat([torch.zeros(30, 1), w_env.cumsum(-1)], -1)
    expected = _lossfun_outer(t, w, env, w_env)
    actual = _pdf_loss(nerfacc.RayIntervals(vals=t), cdf, nerfacc.RayIntervals(vals=env), cdf_env)
    assert torch.allclose(actual, expected, atol=1e-4)
