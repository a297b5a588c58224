"""Stereo on a GPU against the float64 or plain torch reference on the CPU, as :mod:`gpu_cases`; in CUDA alone, Triton has no kernels of it.

Where a place falls on a pixel's line or a picture's border, rounding decides which side it is on: a few of the pixels may differ.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache, partial

import numpy as np
import torch
from torch import Tensor

import kernels
from kernels import PicturePairs, PlaneMap, StereoView
from tests.stereo_scenes import Plane, Sphere, around, shoot

SIZES = ((40, 30), (37, 33), (52, 28))
"""Width and height of the photographs of patch_agreement."""
RANGE = (1.0, 9.0)


def assert_mostly(found: Tensor, expected: Tensor, tolerance: float, share: float = 0.995) -> None:
    """At least this share of the rows are within a tolerance, of the largest value."""
    assert found.shape == expected.shape
    if not expected.numel():
        return
    near = (found.cpu().double() - expected.double()).abs() <= tolerance * max(1.0, float(expected.abs().max()))
    near = near.reshape(len(near), -1).all(1).double()
    assert float(near.mean()) >= share, f"{int((1 - near).sum())} of {len(near)} differ"


def pictures(dtype: torch.dtype, device: torch.device) -> PicturePairs:
    """Three smooth photographs of different sizes; a part of the last shows something else, too, and one pair is missing."""
    parts = []
    for k, (width, height) in enumerate(SIZES):
        u, v = np.meshgrid(np.arange(width), np.arange(height))
        colours = [0.5 + 0.25 * np.sin(0.5 * u + c + k) * np.cos(0.4 * v - k) + 0.2 * np.sin(0.3 * u - 0.6 * v + c) for c in range(3)]
        coverage = np.full_like(u, 255)
        if k == 2:
            coverage[:9, :12] = 100
        parts.append(np.stack([*(255 * c for c in colours), coverage], -1).round().clip(0, 255).astype(np.uint8).reshape(-1, 4))
    warps = torch.eye(3, 4, dtype=dtype) + 0.02 * torch.randn(3, 2, 3, 4, generator=torch.Generator().manual_seed(0)).to(dtype)
    warps[:, :, :2, 2:] *= 60.0  # shifted by a pixel or two
    warps[:, :, 2, :2] *= 0.02
    counts = [0, *(w * h for w, h in SIZES)]
    tensors = (
        torch.from_numpy(np.concatenate(parts)), torch.tensor(counts).cumsum(0), torch.tensor([w for w, _ in SIZES]),
        torch.tensor([[1, 2], [0, -1], [0, 1]]), warps,
    )  # fmt: skip
    return PicturePairs(*(t.to(device) for t in tensors))


def agreement(backend: str, device: torch.device, n: int, reach: int) -> None:
    """Costs, texture and slopes of n windows, some of them over a border, behind a camera or of NaN, and without others."""
    generator = torch.Generator().manual_seed(n)
    view = torch.randint(0, 3, (n,), generator=generator)
    middle = torch.rand(n, 2, generator=generator) * torch.tensor(SIZES, dtype=torch.float32)[view]
    planes = torch.rand(n, 3, generator=generator) * torch.tensor([0.8, 0.02, 0.02]) + torch.tensor([0.2, -0.01, -0.01])
    if n > 3:
        planes[::7, 0], middle[1, 0] = -0.2, torch.nan
    results = []
    for name, where, dtype in (("reference", "cpu", torch.float64), (backend, device, torch.float32)):
        leaf = planes.to(where, dtype).requires_grad_()
        costs, texture = kernels.patch_agreement(
            pictures(dtype, torch.device(where)), view.to(where), middle.to(where, dtype), leaf, reach=reach, backend=name
        )
        slopes = [torch.autograd.grad(costs[:, s].sum(), leaf, retain_graph=True)[0] for s in range(2)]
        results.append((costs.detach(), texture, *slopes))
    assert n < 30 or 0.1 < float((results[0][0] < 2).double().mean()) < 0.9
    for expected, found in zip(*results, strict=True):
        assert found.device.type == device.type
        assert_mostly(found, expected, 2e-4)


def no_others(backend: str, device: torch.device, n: int) -> None:
    """Texture is found where there is nothing to compare with."""
    given = pictures(torch.float32, device)
    alone = replace(given, others=given.others[:, :0], warps=given.warps[:, :0])
    view, middle, planes = (t.to(device) for t in (torch.zeros(n, dtype=torch.int64), torch.full((n, 2), 15.0), torch.ones(n, 3)))
    costs, texture = kernels.patch_agreement(alone, view, middle, planes, backend=backend)
    expected = kernels.patch_agreement(given, view, middle, planes, backend="reference")[1]
    assert costs.shape == (n, 0)
    assert_mostly(texture, expected.cpu(), 1e-5)


@lru_cache(maxsize=8)
def views(width: int, height: int) -> tuple[StereoView, ...]:
    """A ball before a slanted wall, from five sides, with depth and masks. Pixels are twice as wide as high; the second picture is smaller,
    and the first has odd sizes.

    No pixel has the middle of the pictures for its centre: there, the cameras stand so evenly that places fall on lines between pixels.
    """
    slanted = Plane(np.zeros(3), np.array([np.sin(0.6), 0.0, -np.cos(0.6)]))
    found = []
    for i, square in enumerate(around(np.zeros(3), 3.0, 8.0, height, 1.2 * height)):
        eye = replace(square, width=2 * width)
        shot = shoot(eye, [Sphere(np.zeros(3), 0.8), slanted], 16.0 / height)
        f, _, cx, cy = eye.intrinsics
        pose = eye.world_from_camera
        rotation = pose[:, :3].T
        w, h = width - (1, 3, 0, 0, 0)[i], height - (1, 2, 0, 0, 0)[i]
        mask = torch.ones(h, w, dtype=torch.uint8)
        mask[: h // 9, : w // 5] = 0
        found.append(
            StereoView(
                torch.from_numpy(shot.grey)[:h, 1::2][:, :w].contiguous(), (f / 2, f, (cx - 0.5) / 2, cy),
                torch.from_numpy(np.concatenate([rotation, -(rotation @ pose[:, 3])[:, None]], 1)), mask,
                torch.from_numpy(shot.depth.astype(np.float32))[:h, 1::2][:, :w].contiguous(),
            )
        )  # fmt: skip
    return tuple(found)


def sized(n: int) -> tuple[StereoView, ...]:
    """Pictures whose size n changes: more and less than a block."""
    return views(2 * (18 + n % 31), 2 * (17 + n % 15))


def moved(view: StereoView, device: torch.device) -> StereoView:
    assert view.mask is not None
    assert view.depth is not None
    return replace(view, grey=view.grey.to(device), mask=view.mask.to(device), depth=view.depth.to(device))


def noisy(view: StereoView, much: float, seed: int) -> StereoView:
    """Depth that is wrong by some share, and unknown in places."""
    assert view.depth is not None
    generator = torch.Generator().manual_seed(seed)
    depth = view.depth * (1.0 + much * torch.randn(view.depth.shape, generator=generator))
    depth[8:11, 4:9] = 0.0
    return replace(view, depth=depth)


def costs(backend: str, device: torch.device, n: int, geometric: float) -> None:
    """Of planes beside the true ones, some of them unknown, turned away or behind a camera."""
    view, *others = sized(n)
    guess = noisy(view, 0.02, 0).depth
    assert guess is not None
    generator = torch.Generator().manual_seed(1)
    turned = torch.tensor([0.0, 0.0, -1.0]) + 0.5 * torch.randn(*guess.shape, 3, generator=generator)
    normal = torch.nn.functional.normalize(turned, dim=-1)
    normal[-1] *= -1.0
    guess[-2] *= -1.0
    expected = kernels.patch_costs(view, others, PlaneMap(guess, normal, guess), geometric_weight=geometric, backend="reference")
    planes = PlaneMap(guess.to(device), normal.to(device), guess.to(device))
    sources = [moved(o, device) for o in others]
    found = kernels.patch_costs(moved(view, device), sources, planes, geometric_weight=geometric, backend=backend)
    assert float((expected < 2.0).double().mean()) > 0.3
    assert_mostly(found.reshape(-1, 1), expected.reshape(-1, 1), 2e-4)


def itself(backend: str, device: torch.device, n: int) -> None:
    """A picture compared with itself turned by half a turn: windows that reach to a border fit, and lie within rounding of leaving it."""
    view = replace(sized(n)[0], mask=None)
    assert view.depth is not None
    height, width = view.grey.shape
    fx, fy, cx, cy = view.intrinsics
    turn = torch.diag(torch.tensor([-1.0, -1.0, 1.0], dtype=torch.float64))
    grey, pose = view.grey.flip(0, 1).contiguous(), turn @ view.camera_from_world
    turned = StereoView(grey.to(device), (fx, fy, width - cx, height - cy), pose)
    noise = torch.randn(height, width, 3, generator=torch.Generator().manual_seed(n))
    normal = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, -1.0]) + 0.3 * noise, dim=-1)
    planes = PlaneMap(view.depth.to(device), normal.to(device), view.depth.to(device))
    here = replace(view, grey=view.grey.to(device), depth=None)
    found = kernels.patch_costs(here, [here, turned], planes, backend=backend).cpu()
    assert float((found[:, 6:-6, 6:-6] < 2.0).double().mean()) > 0.95
    assert float(found[found < 2.0].max()) < 1e-4
    for line in (found[:, 5], found[:, -6], found[:, :, 5], found[:, :, -6]):
        assert bool((line < 2.0).any())


def match(backend: str, device: torch.device, n: int, best: int, iterations: int, geometric: float) -> None:
    """The planes of the reference: first ones alone, and after iterations, in which near ties may fall to another plane."""
    view, *others = sized(n)
    start = PlaneMap(torch.zeros_like(view.depth), view.depth.new_zeros(*view.grey.shape, 3), view.depth)
    start.depth[:, ::5], start.normal[:, ::5] = view.depth[:, ::5], torch.tensor([0.0, 0.0, -1.0])
    results = []
    for name, where in (("reference", torch.device("cpu")), (backend, device)):
        given = PlaneMap(start.depth.to(where), start.normal.to(where), start.cost.to(where))
        options = dict(best=best, iterations=iterations, geometric_weight=geometric, seed=5, start=given, backend=name)
        results.append(kernels.patch_match(moved(view, where), [moved(o, where) for o in others], RANGE, **options))
    expected, found = results
    assert torch.equal(found.depth.cpu() > 0, expected.depth > 0)
    assert float((expected.depth > 0).double().mean()) > 0.9
    for name in ("depth", "normal", "cost"):
        a, e = (getattr(planes, name).reshape(view.grey.numel(), -1) for planes in (found, expected))
        assert_mostly(a, e, 1e-3, 0.97 if iterations else 0.995)


def filtering(backend: str, device: torch.device, n: int) -> None:
    """Counts, means, angles; the others have other sizes and unknown depth."""
    view, *others = (noisy(v, 0.004, i) for i, v in enumerate(sized(n)))
    expected = kernels.filter_depth(view, others, earlier=2, backend="reference")
    found = kernels.filter_depth(moved(view, device), [moved(o, device) for o in others], earlier=2, backend=backend)
    assert 0.1 < float((expected.count >= 2).double().mean()) < 0.95
    for name, tolerance in (("count", 0.0), ("before", 0.0), ("depth", 1e-5), ("angle", 1e-5)):
        a, e = (getattr(agreement, name).reshape(-1, 1) for agreement in (found, expected))
        assert_mostly(a, e, tolerance)
    nobody = kernels.filter_depth(moved(view, device), [], backend=backend)
    assert not nobody.count.any()
    assert torch.equal(nobody.depth.cpu(), view.depth)


def normals(backend: str, device: torch.device, n: int, radius: int) -> None:
    """Of a rough depth map with a hole; jumps and borders leave some without."""
    view = noisy(sized(n)[0], 0.004, 3)
    assert view.depth is not None
    expected = kernels.refit_normals(view.depth, view.intrinsics, radius=radius, jump=0.08, backend="reference")
    found = kernels.refit_normals(view.depth.to(device), view.intrinsics, radius=radius, jump=0.08, backend=backend)
    assert 0.0 < float((expected == 0).all(-1).double().mean()) < 0.9
    assert_mostly(found.reshape(-1, 3), expected.reshape(-1, 3), 1e-4)


CASES: dict[str, Callable[[str, torch.device, int], None]] = {
    **{f"patch_agreement-{reach}": partial(agreement, reach=reach) for reach in (1, 3, 5)},
    "patch_agreement-alone": no_others,
    **{f"patch_costs-{geometric}": partial(costs, geometric=geometric) for geometric in (0.0, 0.2)},
    "patch_costs-itself": itself,
    "patch_match-start": partial(match, best=2, iterations=0, geometric=0.0),
    "patch_match-1": partial(match, best=1, iterations=1, geometric=0.0),
    "patch_match-4": partial(match, best=4, iterations=2, geometric=0.2),
    "filter_depth": filtering,
    **{f"refit_normals-{radius}": partial(normals, radius=radius) for radius in (1, 3)},
}
