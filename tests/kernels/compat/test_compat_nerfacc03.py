"""The interface of nerfacc 0.3: marching against every place of the comb, weights against plain torch, contractions and their inverse."""

from __future__ import annotations

import itertools

import pytest
import torch

from kernels.compat.nerfacc import v03 as nerfacc
from kernels.compat.nerfacc.v03 import ContractionType, cuda

KINDS = list(ContractionType)
ROI = torch.tensor([-1.0, -0.8, -1.2, 1.0, 1.0, 0.9])


def some_rays(n: int, seed: int = 0):
    torch.manual_seed(seed)
    directions = torch.randn(n, 3)
    return torch.randn(n, 3) * 1.5, directions / directions.norm(dim=-1, keepdim=True)


def random_grid(kind=ContractionType.AABB, resolution=(7, 5, 6)):
    grid = nerfacc.OccupancyGrid(ROI, list(resolution), kind)
    grid._binary = torch.rand(*resolution) > 0.6
    return grid


@pytest.mark.parametrize("kind", KINDS)
def test_contractions_have_an_inverse(kind):
    x = torch.randn(200, 3) * (0.5 if kind is ContractionType.AABB else 1.5)
    unit = nerfacc.contract(x, ROI, kind)
    if kind is not ContractionType.AABB:
        assert ((unit > 0) & (unit < 1)).all()
    assert torch.allclose(nerfacc.contract_inv(unit, ROI, kind), x, atol=1e-3)


def test_the_sphere_is_that_of_mip_nerf_360():
    unit = torch.tensor([-1.0, -1, -1, 1, 1, 1])
    x = torch.tensor([[0.5, 0, 0], [4.0, 0, 0], [0, -1e6, 0]])
    y = nerfacc.contract(x, unit, ContractionType.UN_BOUNDED_SPHERE)
    assert torch.allclose(y, torch.tensor([[0.625, 0.5, 0.5], [0.5 + 1.75 / 4, 0.5, 0.5], [0.5, 0.0, 0.5]]), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cone", [0.0, 0.02])
def test_marching_keeps_what_the_grid_says(kind, cone):
    """Brute force: every interval of every ray's comb, kept if its middle lies in an occupied cell. With a growing step, the comb of an
    empty stretch is upstream's own; there every sample's middle must still be occupied, and a full grid gives all of the comb."""
    step = 0.05
    origins, directions = some_rays(40)
    grid = random_grid(kind)
    rays, starts, ends = nerfacc.ray_marching(
        origins, directions, grid=grid, near_plane=0.1, far_plane=5.0, render_step_size=step, cone_angle=cone
    )
    assert starts.shape == ends.shape == (len(rays), 1)
    middle = origins[rays] + directions[rays] * 0.5 * (starts + ends)
    assert grid.query_occ(middle).float().mean() > 0.999
    assert torch.allclose(ends - starts, (cone * starts).clamp_min(step), atol=2e-6)
    if cone:
        return
    t = 0.1 + (torch.arange(98) + 0.5) * step
    x = origins[:, None] + directions[:, None] * t[:, None]
    unit = nerfacc.contract(x.reshape(-1, 3).double(), ROI.double(), kind) * torch.tensor([7, 5, 6])
    unsure = ((unit - unit.round()).abs() < 1e-3).any(-1).view(40, 98)
    wanted = nerfacc.query_grid(x.reshape(-1, 3), ROI, grid.binary, kind).view(40, 98).bool()
    found = torch.zeros(40, 98, dtype=torch.bool)
    found[rays, ((starts[:, 0] - 0.1) / step).round().long()] = True
    assert torch.equal(found[~unsure], wanted[~unsure])


def test_without_a_grid_the_whole_ray_is_sampled():
    origins, directions = some_rays(3)
    rays, starts, ends = nerfacc.ray_marching(origins, directions, near_plane=0.5, far_plane=1.5, render_step_size=0.1)
    assert torch.bincount(rays).tolist() == [10, 10, 10]
    assert starts.min() == pytest.approx(0.5)
    assert ends.max() == pytest.approx(1.5)


def test_planes_may_be_tensors_and_boxes_bound():
    origins, directions = torch.tensor([[-3.0, 0, 0]]), torch.tensor([[1.0, 0, 0]])
    assert [t.item() for t in nerfacc.ray_aabb_intersect(origins, directions, ROI)] == [2.0, 4.0]
    assert [t.item() for t in nerfacc.ray_aabb_intersect(origins, -directions, ROI)] == [1e10, 1e10]
    _, starts, ends = nerfacc.ray_marching(
        origins, directions, scene_aabb=ROI, near_plane=torch.tensor(2.5), far_plane=torch.tensor(3.5), render_step_size=0.25
    )
    assert (starts.min().item(), ends.max().item()) == (2.5, 3.5)


def test_what_cannot_be_seen_is_left_out():
    origins, directions = torch.tensor([[-3.0, 0, 0]]), torch.tensor([[1.0, 0, 0]])
    options = {"scene_aabb": ROI, "render_step_size": 0.1, "early_stop_eps": 1e-2}
    rays, _, _ = nerfacc.ray_marching(origins, directions, sigma_fn=lambda a, b, r: torch.full_like(a, 20.0), **options)
    assert len(rays) == 3
    rays, _, _ = nerfacc.ray_marching(origins, directions, alpha_fn=lambda a, b, r: torch.full_like(a, 0.9), **options)
    assert len(rays) == 3
    with pytest.raises(ValueError, match="shape"):
        nerfacc.ray_marching(origins, directions, alpha_fn=lambda a, b, r: a[:, 0], **options)


def test_the_grid_follows_the_field():
    grid = nerfacc.OccupancyGrid(ROI, 8)
    grid.every_n_step(0, lambda x: (x.norm(dim=-1, keepdim=True) < 0.6).float())
    centres = nerfacc.contract_inv((grid.grid_coords + 0.5) / 8, ROI)
    assert grid.binary.flatten()[centres.norm(dim=-1) < 0.3].all()
    assert not grid.binary.flatten()[centres.norm(dim=-1) > 0.9].any()
    assert list(grid.state_dict()) == ["_roi_aabb", "_binary", "resolution", "occs"]
    assert grid.query_occ(torch.tensor([[0.0, 0, 0], [5.0, 0, 0]])).tolist() == [True, False]
    before = grid.occs.clone()
    grid.every_n_step(300, lambda x: torch.zeros_like(x[:, :1]), n=300)
    assert (grid.occs < before).any()
    assert (grid.occs >= 0.95 * 0.95 * before - 1e-6).all()
    grid.eval()
    with pytest.raises(RuntimeError, match="training"):
        grid.every_n_step(0, lambda x: x)


def test_weights_and_sums_are_columns():
    rays = torch.tensor([0, 0, 0, 2, 2])
    info = nerfacc.pack_info(rays, 3)
    starts = torch.tensor([0.0, 0.1, 0.2, 0.5, 0.7]).double()[:, None]
    ends, sigmas = starts + 0.1, torch.tensor([3.0, 1.0, 5.0, 2.0, 4.0], dtype=torch.float64)[:, None].requires_grad_()
    alphas = 1 - torch.exp(-sigmas * 0.1)
    a = alphas[:, 0]
    trans = torch.stack([a[0] * 0 + 1, 1 - a[0], (1 - a[0]) * (1 - a[1]), a[0] * 0 + 1, 1 - a[3]])
    for extra in ({"ray_indices": rays}, {"packed_info": info}, {"ray_indices": rays, "n_rays": 3}):
        for w in (nerfacc.render_weight_from_density(starts, ends, sigmas, **extra), nerfacc.render_weight_from_alpha(alphas, **extra)):
            assert torch.allclose(w[:, 0], trans * a)
            (grad,) = torch.autograd.grad((w**2).sum(), sigmas, retain_graph=True)
            (wanted,) = torch.autograd.grad(((trans * a) ** 2).sum(), sigmas, retain_graph=True)
            assert torch.allclose(grad, wanted)
    values = torch.rand(5, 3).double()
    w = (trans * a)[:, None]
    total = nerfacc.accumulate_along_rays(w, rays, values, 3)
    assert torch.allclose(total[2], (w * values)[3:].sum(0))
    assert nerfacc.accumulate_along_rays(w, rays, None, 3).shape == (3, 1)
    seen = nerfacc.render_visibility(alphas, ray_indices=rays, early_stop_eps=0.7)
    assert seen.tolist() == (trans >= 0.7).tolist()
    rgb, opacity, depth = nerfacc.rendering(starts, ends, rays, 3, rgb_sigma_fn=lambda *x: (values, sigmas), render_bkgd=torch.ones(3))
    assert torch.allclose(rgb, total + 1 - opacity)
    assert depth.shape == (3, 1)


def test_packing_and_back():
    data, mask = torch.rand(4, 5, 2), torch.rand(4, 5) > 0.4
    mask = mask.sort(-1, descending=True).values
    packed, info = nerfacc.pack_data(data, mask)
    assert info.dtype == torch.int32
    assert torch.equal(nerfacc.unpack_data(info, packed, 5), data * mask[..., None])
    assert torch.equal(nerfacc.unpack_info(info, len(packed)), torch.nonzero(mask)[:, 0])
    assert torch.equal(nerfacc.unpack_to_ray_indices(info), torch.nonzero(mask)[:, 0])
    assert torch.autograd.gradcheck(lambda d: nerfacc.unpack_data(info, d, 5), packed.double().requires_grad_())


def test_resampling_puts_edges_at_equal_shares():
    info = torch.tensor([[0, 4], [4, 0], [4, 2]], dtype=torch.int32)
    starts = torch.tensor([0.0, 1.0, 2.0, 3.0, 5.0, 6.0])[:, None]
    weights = torch.tensor([1.0, 3.0, 0.0, 4.0, 1.0, 1.0])
    new_info, t0, t1 = nerfacc.ray_resampling(info, starts, starts + 1, weights, 3)
    assert new_info.tolist() == [[0, 3], [3, 0], [3, 3]]
    # shares 1/8, 3/8, 5/8, 7/8 of 8: at 1, 3, 5 and 7 of the running sum
    assert torch.allclose(torch.cat([t0[:3, 0], t1[2]]), torch.tensor([1.0, 1 + 2 / 3, 3.25, 3.75]), atol=1e-5)
    assert torch.equal(t0[1:3], t1[:2])


def test_distortion_is_the_double_sum():
    info = torch.tensor([[0, 3], [3, 2]])
    starts, w = torch.tensor([0.0, 0.2, 0.5, 0.1, 0.3]).double()[:, None], torch.rand(5).double()
    loss = nerfacc.loss_distortion(info, w, starts, starts + 0.1)
    for r, places in enumerate((range(3), range(3, 5))):
        expected = sum(w[i] ** 2 * 0.1 / 3 for i in places)
        expected += sum(w[i] * w[j] * (starts[i] - starts[j]).abs().item() for i, j in itertools.product(places, places))
        assert loss[r].item() == pytest.approx(float(expected))


def test_the_functions_below_take_numbers():
    origins, directions = some_rays(5)
    grid = random_grid(ContractionType.UN_BOUNDED_TANH)
    near, far = torch.zeros(5), torch.full((5,), 3.0)
    kind = grid.contraction_type.to_cpp_version()
    info, rays, starts, ends = cuda.ray_marching(origins, directions, near, far, grid.roi_aabb, grid.binary, kind, 0.1, 0.0)
    assert (info.dtype, rays.dtype, starts.shape, ends.shape) == (torch.int32, torch.long, (len(rays), 1), (len(rays), 1))
    assert torch.equal(cuda.unpack_info(info, len(rays)), rays)
    x = torch.randn(9, 3)
    assert torch.equal(cuda.grid_query(x, grid.roi_aabb, grid.binary, kind), grid.query_occ(x))
    assert cuda.ContractionTypeGetter(2) == ContractionType.UN_BOUNDED_SPHERE.to_cpp_version()
