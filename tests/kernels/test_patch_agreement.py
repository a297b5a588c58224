"""Agreement of photographs on pieces of plane: kernels against the reference, its gradient, and scenes whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from field_cases import native_or_skip

import kernels
from kernels import ArgumentError, PicturePairs, patch_agreement

SIZE = (80, 64)  # width, height
FOCAL = 60.0


def shade(x, y):
    """Grey of a plane's texture, smooth: bilinear lookups of its picture are right to a part of a thousand."""
    return 0.5 + 0.25 * np.sin(1.3 * x + 0.4) * np.cos(0.9 * y) + 0.2 * np.sin(0.7 * x - 1.1 * y)


def camera(center, turn):
    """Pixel from world [3, 3] and the centre: looks along +z, turned about y."""
    c, s = math.cos(turn), math.sin(turn)
    rotation = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    k = np.array([[FOCAL, 0, SIZE[0] / 2], [0, FOCAL, SIZE[1] / 2], [0, 0, 1]])
    return k @ rotation, np.array(center, float)


def photograph(matrix, center, plane, gain=1.0, offset=0.0):
    """The textured plane ``plane . x = 1`` in a picture. [H, W, 4] uint8"""
    u, v = np.meshgrid(np.arange(SIZE[0]) + 0.5, np.arange(SIZE[1]) + 0.5)
    d = np.stack([u, v, np.ones_like(u)], -1) @ np.linalg.inv(matrix).T
    t = (1.0 - plane @ center) / (d @ plane)
    x = center + t[..., None] * d
    # the texture lies along x and y of the world, which the plane is not across
    grey = np.clip(255 * (gain * shade(9 * x[..., 0], 9 * x[..., 1]) + offset), 0, 255).round()
    return np.concatenate([np.repeat(grey[..., None], 3, 2), np.full((*grey.shape, 1), 255)], -1).astype(np.uint8)


PLANE = np.array([0.08, -0.05, 0.45])
CAMERAS = [camera((0.0, 0.0, 0.0), 0.0), camera((0.3, 0.05, 0.02), 0.1), camera((-0.25, 0.1, -0.05), -0.12)]


def pairs(dtype=torch.float64, gains=((1.0, 0.0), (0.7, 0.1), (1.2, -0.05))):
    """Each of three photographs with the other two."""
    pictures = [photograph(m, c, PLANE, *g) for (m, c), g in zip(CAMERAS, gains, strict=True)]
    others = [[j for j in range(3) if j != i] for i in range(3)]
    warps = np.zeros((3, 2, 3, 4))
    for i, row in enumerate(others):
        for s, j in enumerate(row):
            warps[i, s, :, :3] = CAMERAS[j][0] @ np.linalg.inv(CAMERAS[i][0])
            warps[i, s, :, 3] = CAMERAS[j][0] @ (CAMERAS[i][1] - CAMERAS[j][1])
    count = SIZE[0] * SIZE[1]
    return PicturePairs(
        torch.from_numpy(np.concatenate([p.reshape(-1, 4) for p in pictures])),
        torch.arange(4) * count,
        torch.full((3,), SIZE[0]),
        torch.tensor(others),
        torch.tensor(warps, dtype=dtype),
    )


def windows(count=24, dtype=torch.float64, seed=0):
    """Photographs, middles (between pixels too) and the true planes there."""
    random = np.random.default_rng(seed)
    view = random.integers(0, 3, count)
    middle = random.uniform((24, 14), (SIZE[0] - 24, SIZE[1] - 14), (count, 2))
    planes = np.zeros((count, 3))
    for i in range(count):
        matrix, center = CAMERAS[view[i]]
        back = np.linalg.inv(matrix)
        scaled = PLANE / (1.0 - PLANE @ center)
        planes[i] = scaled @ (back @ [*middle[i], 1.0]), scaled @ back[:, 0], scaled @ back[:, 1]
    return torch.from_numpy(view), torch.tensor(middle, dtype=dtype), torch.tensor(planes, dtype=dtype)


BACKENDS = ("reference", "cpu")


def chosen(backend):
    if backend == "cpu":
        native_or_skip()
    return backend


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_true_plane_agrees_whatever_the_exposure(backend):
    costs, texture = patch_agreement(pairs(), *windows(), noise=1e-6, backend=chosen(backend))
    assert (costs < 1.5).float().mean() > 0.9
    assert costs[costs < 1.5].max() < 0.02  # eight bits, and bilinear lookups
    assert texture.min() > 0.99


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_plane_beside_the_true_one_is_drawn_to_it(backend):
    """The slope points away from the truth: the plane 4 % too near or too far."""
    view, middle, truth = windows()
    for factor in (0.96, 1.04):
        planes = (truth * factor).requires_grad_()
        costs, _ = patch_agreement(pairs(), view, middle, planes, backend=chosen(backend))
        counted = (costs < 1.5).all(1)
        (slope,) = torch.autograd.grad(costs[counted].sum(), planes)
        along = (slope * truth).sum(1)[counted] * math.copysign(1.0, factor - 1.0)
        assert counted.sum() > 12
        assert (along > 0).float().mean() > 0.9


@pytest.mark.parametrize("reach", [1, 3, 5])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_kernel_is_the_reference(dtype, reach):
    native_or_skip()
    view, middle, truth = windows(40, dtype)
    torch.manual_seed(0)
    results = []
    noisy = truth * (1 + 0.05 * torch.randn_like(truth))
    for backend in BACKENDS:
        planes = noisy.clone().requires_grad_()
        costs, texture = patch_agreement(pairs(dtype), view, middle, planes, reach=reach, backend=backend)
        weights = torch.linspace(0.5, 1.5, costs.numel(), dtype=dtype).reshape(costs.shape)
        results.append((costs.detach(), texture, *torch.autograd.grad((weights * costs).sum(), planes)))
    for found, wanted in zip(*reversed(results), strict=True):
        assert (found - wanted).abs().max() <= (1e-9 if dtype == torch.float64 else 2e-3) * wanted.abs().max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_slope_is_a_numerical_derivative(backend):
    """In float64, of planes whose windows stay between the same pixels; a bilinear picture has no derivative on its lines."""
    view, middle, truth = windows(12)
    planes = (truth * 1.03).requires_grad_()
    costs, _ = patch_agreement(pairs(), view, middle, planes, backend=chosen(backend))
    torch.manual_seed(1)
    direction = torch.randn_like(truth) * truth.abs()
    step = 1e-9
    moved = [patch_agreement(pairs(), view, middle, planes.detach() + s * step * direction, backend=backend)[0] for s in (1, -1)]
    numerical = (moved[0] - moved[1]) / (2 * step)
    slopes = torch.stack([torch.autograd.grad(costs[:, s].sum(), planes, retain_graph=True)[0] for s in range(2)], 1)
    found = (slopes * direction[:, None]).sum(-1)
    assert (found - numerical).abs().max() < 1e-4 * numerical.abs().max()


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_cannot_be_compared_costs_two_and_has_no_slope(backend):
    given = pairs()
    view, middle, planes = windows(6)
    middle[0] = torch.tensor([1.0, 20.0])  # over the border of its own picture
    planes[1] *= -1.0  # behind the cameras
    planes[2] = planes[2] * torch.tensor([8.0, 1.0, 1.0], dtype=planes.dtype)  # beside the other pictures
    view[3:] = 1
    given.others[1, 0] = -1  # nothing to compare with
    given.pixels.reshape(3, SIZE[1], SIZE[0], 4)[0, :, :, 3] = 100  # all of the first picture shows something else, too
    planes.requires_grad_()
    costs, texture = patch_agreement(given, view, middle, planes, backend=chosen(backend))
    for window in range(3):
        assert (costs[window] == 2.0).all()
    assert texture[0] == 0.0
    assert (costs[3:, 0] == 2.0).all()
    (slope,) = torch.autograd.grad(costs[costs == 2.0].sum(), planes)
    assert (slope == 0.0).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reach": 0}, "reach must be 1 to 5"),
        ({"noise": 0.0}, "noise must be positive"),
        ({"middle": torch.zeros(3, 2)}, "middle must be"),
        ({"planes": torch.zeros(24, 3)}, "planes must be|warps must be"),
        ({"view": torch.zeros(24)}, "view must be"),
    ],
)
def test_wrong_input(change, message):
    view, middle, planes = windows()
    arguments = {"view": view, "middle": middle, "planes": planes} | change
    with pytest.raises(ArgumentError, match=message):
        patch_agreement(pairs(), **arguments)


def test_threads_make_no_difference():
    native_or_skip()
    view, middle, planes = windows(100)
    found = []
    before = torch.get_num_threads()
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            found.append(kernels.patch_agreement(pairs(), view, middle, planes * 1.02)[0])
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*found)
