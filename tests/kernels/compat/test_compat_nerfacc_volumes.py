"""nerfacc's own Python over our functions, scans, volume rendering, lenses: what its tests look at, against plain torch."""

from __future__ import annotations

import importlib

import pytest
import torch

from kernels.compat.nerfacc import native

pytestmark = pytest.mark.usefixtures("nerfacc")

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


def test_rendering_in_rounds_is_rendering_at_once(nerfacc):
    """As programs render for tests: a few samples per ray at a time, rays that are opaque or outside are left out of the next round."""
    torch.manual_seed(0)
    rays, step = 40, 0.05
    origins = torch.randn(rays, 3) * 0.2
    directions = torch.nn.functional.normalize(torch.randn(rays, 3), dim=-1)
    boxes = torch.tensor([[-1.0] * 3 + [1.0] * 3, [-2.0] * 3 + [2.0] * 3])
    occupied = torch.rand(2, 6, 6, 6) > 0.4

    def field(starts, ends, indices):
        x = origins[indices] + directions[indices] * (starts + ends)[:, None] / 2
        return 0.5 + 0.5 * torch.sin(3 * x), 8 + 4 * torch.sin(5 * x.sum(-1))

    intervals, samples, _ = nerfacc.traverse_grids(origins, directions, occupied, boxes, step_size=step)
    parts = intervals.vals[intervals.is_left], intervals.vals[intervals.is_right], samples.ray_indices
    expected, opacities, _, _ = nerfacc.rendering(*parts, n_rays=rays, rgb_sigma_fn=field)
    crossings = nerfacc.ray_aabb_intersect(origins, directions, boxes)
    order = torch.sort(torch.cat(crossings[:2], -1), -1)
    rgb, opacity = torch.zeros(rays, 3), torch.zeros(rays, 1)
    near, wanted, rounds, taken = torch.zeros(rays), torch.ones(rays, dtype=torch.bool), 0, 0
    while wanted.any():
        limit = 4 + rounds
        intervals, samples, near = nerfacc.traverse_grids(
            origins, directions, occupied, boxes, near, None, step, 0.0, limit, True, wanted, order.values, order.indices, crossings[2]
        )
        indices = samples.ray_indices[samples.is_valid]
        starts, ends = intervals.vals[intervals.is_left], intervals.vals[intervals.is_right]
        colors, sigmas = field(starts, ends, indices)
        before = 1 - opacity[indices, 0]
        weights, _, _ = nerfacc.render_weight_from_density(starts, ends, sigmas, ray_indices=indices, n_rays=rays, prefix_trans=before)
        nerfacc.volrend.accumulate_along_rays_(weights, colors, indices, rgb)
        nerfacc.volrend.accumulate_along_rays_(weights, None, indices, opacity)
        wanted = (opacity[:, 0] <= 0.999) & (samples.packed_info[:, 1] == limit)
        rounds, taken = rounds + 1, taken + len(indices)
    assert 3 < rounds < 40
    assert taken < len(parts[0])
    assert torch.allclose(opacity, opacities, atol=5e-3)
    assert torch.allclose(rgb, expected, atol=5e-3)


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
