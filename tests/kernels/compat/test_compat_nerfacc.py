"""nerfacc's own Python over our functions: what its tests look at, against plain torch and brute force."""

from __future__ import annotations

import importlib
import importlib.util
import itertools
import sys

import pytest
import torch
from torch import Tensor

import kernels.compat as compat
from kernels.compat.nerfacc import native

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("nerfacc") is None, reason="needs nerfacc's Python: pip install nerfacc==0.5.3 (no CUDA)"
)


@pytest.fixture(scope="module", autouse=True)
def nerfacc():
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "nerfacc"}
    report = compat.install(["nerfacc"], nerfacc="0.5")
    assert "over our functions" in report["nerfacc"]
    yield sys.modules["nerfacc"]
    for name in [n for n in sys.modules if n.partition(".")[0] == "nerfacc"]:
        del sys.modules[name]
    sys.modules.update(before)


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


# ---------------------------------------------------------------- scans


@pytest.mark.parametrize("name", ["inclusive_sum", "exclusive_sum", "inclusive_prod", "exclusive_prod"])
def test_scans_agree_batched_packed_and_by_indices(nerfacc, name):
    scan = getattr(nerfacc, name)
    torch.manual_seed(42)
    data = torch.rand(5, 200) + 0.5
    info = torch.stack([torch.arange(5) * 200, torch.full((5,), 200)], -1)
    weights = torch.rand(5, 200).double()
    results = []
    for arguments in ({}, {"packed_info": info}, {"indices": torch.arange(5).repeat_interleave(200)}):
        x = (data if not arguments else data.flatten()).double().requires_grad_()
        y = scan(x, **arguments)
        (y * weights.view(y.shape)).sum().backward()
        results.append((y.detach().flatten(), x.grad.flatten()))
    for y, grad in results[1:]:
        assert torch.allclose(y, results[0][0], rtol=1e-12)
        assert torch.allclose(grad, results[0][1], rtol=1e-9)
    exact = getattr(data.double(), "cumsum" if "sum" in name else "cumprod")(-1)
    start = torch.full((5, 1), float("prod" in name)).double()
    exact = torch.cat([start, exact[:, :-1]], -1) if "exclusive" in name else exact
    assert torch.allclose(results[0][0], exact.flatten())


def test_runs_of_one_index_apart_are_runs_of_their_own(nerfacc):
    assert nerfacc.inclusive_sum(torch.ones(6), indices=torch.tensor([0, 0, 1, 0, 0, 0])).tolist() == [1, 2, 1, 1, 2, 3]


@pytest.mark.parametrize("name", ["inclusive_prod", "exclusive_prod"])
def test_products_have_exact_gradients_at_zeros(nerfacc, name):
    x = torch.tensor([0.5, 0.0, 2.0, 0.0, 3.0, 1.5, 0.0], dtype=torch.float64, requires_grad=True)
    info = torch.tensor([[0, 4], [4, 0], [4, 3]])
    assert torch.autograd.gradcheck(lambda v: getattr(nerfacc, name)(v, packed_info=info), x)


def test_sums_are_twice_differentiable(nerfacc):
    x = torch.rand(7, dtype=torch.float64, requires_grad=True)
    info = torch.tensor([[0, 3], [3, 4]])
    assert torch.autograd.gradgradcheck(lambda v: nerfacc.exclusive_sum(v * v, packed_info=info), x)


# ---------------------------------------------------------------- rendering


def test_visibility_by_hand(nerfacc):
    rays = torch.tensor([0, 1, 1, 1, 2, 2])
    alphas = torch.tensor([0.4, 0.3, 0.8, 0.8, 0.5, 0.0])
    from nerfacc.volrend import render_visibility_from_alpha

    def seen(early_stop_eps, alpha_thre):
        arguments = {"ray_indices": rays, "n_rays": 3, "early_stop_eps": early_stop_eps, "alpha_thre": alpha_thre}
        return render_visibility_from_alpha(alphas, **arguments).tolist()

    assert seen(0.03, 0.0) == [True] * 6  # transmittances 1; 1, .7, .14; 1, .5
    assert seen(0.2, 0.0) == [True, True, True, False, True, True]
    assert seen(0.0, 0.35) == [True, False, True, True, True, False]


@pytest.mark.parametrize("packed", [True, False])
def test_weights_and_transmittances(nerfacc, packed):
    torch.manual_seed(2)
    starts = torch.rand(4, 6).double().sort(-1).values
    ends = starts + 0.05
    sigmas = torch.rand(4, 6).double() * 10
    alphas = 1 - torch.exp(-sigmas * 0.05)
    trans = torch.cat([torch.ones(4, 1).double(), (1 - alphas).cumprod(-1)[:, :-1]], -1)
    shape = (lambda t: t.flatten()) if packed else (lambda t: t)
    extra = {"ray_indices": torch.arange(4).repeat_interleave(6), "n_rays": 4} if packed else {}
    w, t, a = nerfacc.render_weight_from_density(shape(starts), shape(ends), shape(sigmas), **extra)
    for actual, expected in ((w, trans * alphas), (t, trans), (a, alphas)):
        assert torch.allclose(actual, shape(expected))
    w, t = nerfacc.render_weight_from_alpha(shape(alphas), **extra)
    assert torch.allclose(w, shape(trans * alphas))
    assert torch.allclose(t, shape(trans))
    prefix = torch.full((4, 6) if not packed else (24,), 0.5).double()
    assert torch.allclose(nerfacc.render_weight_from_alpha(shape(alphas), prefix_trans=prefix, **extra)[0], 0.5 * shape(trans * alphas))


def test_accumulation(nerfacc):
    rays = torch.tensor([0, 2, 2])
    weights, values = torch.tensor([0.1, 0.2, 0.3]), torch.rand(3, 4)
    out = nerfacc.accumulate_along_rays(weights, values, rays, 4)
    expected = torch.stack([0.1 * values[0], torch.zeros(4), 0.2 * values[1] + 0.3 * values[2], torch.zeros(4)])
    assert torch.allclose(out, expected)
    again = torch.zeros(4, 4)
    nerfacc.volrend.accumulate_along_rays_(weights, values, rays, again)
    assert torch.allclose(again, expected)
    assert nerfacc.accumulate_along_rays(weights, None, rays, 4)[:, 0].tolist() == pytest.approx([0.1, 0, 0.5, 0])


def routes(nerfacc):
    rays = torch.tensor([0, 1, 1, 1, 2])
    info = torch.tensor([[0, 1], [1, 3], [4, 1]])
    starts, ends = torch.tensor([0.0, 0.1, 0.2, 0.3, 0.5]).double(), torch.tensor([0.1, 0.2, 0.3, 0.5, 0.6]).double()

    def alpha(s):
        return 1 - torch.exp(-s * (ends - starts))

    return {
        "density, indices": lambda s: nerfacc.render_weight_from_density(starts, ends, s, ray_indices=rays, n_rays=3)[0],
        "density, packed": lambda s: nerfacc.render_weight_from_density(starts, ends, s, packed_info=info)[0],
        "alpha, indices": lambda s: nerfacc.render_weight_from_alpha(alpha(s), ray_indices=rays, n_rays=3)[0],
        "alpha, packed": lambda s: nerfacc.render_weight_from_alpha(alpha(s), packed_info=info)[0],
        "transmittance of density": lambda s: (
            nerfacc.render_transmittance_from_density(starts, ends, s, ray_indices=rays, n_rays=3)[0] * alpha(s)
        ),
        "transmittance of alpha": lambda s: nerfacc.render_transmittance_from_alpha(alpha(s), ray_indices=rays, n_rays=3) * alpha(s),
    }


@pytest.mark.parametrize(
    "name", ["density, indices", "density, packed", "alpha, indices", "alpha, packed", "transmittance of density", "transmittance of alpha"]
)
def test_gradients_of_six_routes_are_one(nerfacc, name):
    sigmas = torch.tensor([0.4, 0.8, 0.1, 0.8, 0.1], dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([0.1, 0.1, 0.1, 0.2, 0.1]).double()
    opacity = 1 - torch.exp(-sigmas * lengths)
    before = [
        torch.ones(()).double(),
        torch.ones(()).double(),
        1 - opacity[1],
        (1 - opacity[1]) * (1 - opacity[2]),
        torch.ones(()).double(),
    ]
    expected = torch.stack(before) * opacity
    coefficients = torch.arange(1.0, 6).double()
    (wanted,) = torch.autograd.grad((expected * coefficients).sum(), sigmas)
    actual = routes(nerfacc)[name](sigmas)
    assert torch.allclose(actual, expected)
    (grad,) = torch.autograd.grad((actual * coefficients).sum(), sigmas)
    assert torch.allclose(grad, wanted)


@pytest.mark.parametrize("n", [0, 30])
def test_rendering(nerfacc, n):
    rays = torch.randint(0, 5, (n,)).sort().values
    starts = torch.rand(n)
    colors, sigmas = torch.rand(n, 3, requires_grad=True), torch.rand(n, requires_grad=True)
    rgb, opacity, depth, extras = nerfacc.rendering(
        starts, starts + 0.1, rays, n_rays=5, rgb_sigma_fn=lambda *a: (colors * 1, sigmas * 1), render_bkgd=torch.ones(3)
    )
    assert rgb.shape == (5, 3)
    assert opacity.shape == depth.shape == (5, 1)
    if n:
        rgb.sum().backward()
        assert sigmas.grad.abs().sum() > 0
        assert extras["weights"].shape == (n,)
    else:
        assert torch.equal(rgb, torch.ones(5, 3))


def test_distortion_of_later_versions(nerfacc):
    """Against the double sum of the definition."""
    torch.manual_seed(0)
    rays = torch.tensor([0, 0, 0, 2, 2])
    starts = torch.tensor([0.0, 0.2, 0.5, 0.1, 0.3]).double()
    ends, w = starts + 0.1, torch.rand(5).double()
    middle = 0.5 * (starts + ends)
    expected = torch.zeros(3).double()
    for i in range(5):
        expected[rays[i]] += w[i] ** 2 * 0.1 / 3
        for j in range(5):
            if rays[i] == rays[j]:
                expected[rays[i]] += w[i] * w[j] * (middle[i] - middle[j]).abs()
    assert torch.allclose(nerfacc.losses.distortion(w, starts, ends, rays, 3)[:, 0], expected)


def test_proposal_estimator_trains(nerfacc):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1), torch.nn.Softplus())
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    estimator = nerfacc.PropNetEstimator(optimizer)
    estimator.train()

    def sigma(t0, t1):
        return net(0.5 * (t0 + t1)[..., None])[..., 0]

    losses = []
    for _ in range(60):
        t0, t1 = estimator.sampling([sigma], [32], 16, n_rays=8, near_plane=0.1, far_plane=2.0, stratified=True, requires_grad=True)
        density = 30 * torch.exp(-(((0.5 * (t0 + t1) - 1.2) / 0.1) ** 2))
        trans, _ = nerfacc.render_transmittance_from_density(t0, t1, density)
        losses.append(estimator.update_every_n_steps(trans, requires_grad=True))
    assert t0.shape == (8, 16)
    assert sum(losses[-10:]) < 0.7 * sum(losses[:10])


# ---------------------------------------------------------------- lenses


def test_lenses_are_inverted(nerfacc):
    from nerfacc import cameras

    torch.manual_seed(42)
    uv = torch.rand(3, 1000, 2)
    for n in (0, 1, 2, 4, 8):
        params = torch.rand(n) * 0.01
        flat = cameras.opencv_lens_undistortion(uv, params, 1e-5, 10)
        if n == 8:
            assert torch.allclose(cameras._opencv_lens_distortion(flat, params), uv, atol=1e-5)
            assert torch.allclose(flat, cameras._opencv_lens_undistortion(uv, params, 1e-5, 10), atol=1e-5)
    params = torch.rand(4) * 0.01
    flat = cameras.opencv_lens_undistortion_fisheye(uv, params, 1e-5, 10)
    assert torch.allclose(cameras._opencv_lens_distortion_fisheye(flat, params), uv, atol=1e-5)


def test_the_functions_that_its_python_calls_are_all_there(nerfacc):
    names = [n for n in vars(importlib.import_module("nerfacc.cuda")) if not n.startswith("_") and n not in ("Any", "Callable")]
    assert len(names) >= 13
    assert all(hasattr(native, n) for n in names)
