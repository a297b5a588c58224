"""Rays, samples along them, and the directions' encoding, against independent truth."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import kernels
from recon.data.scene import Camera, Scene, View
from recon.geometry import Similarity
from recon.methods.background import contract
from recon.rendering.directions import spherical_harmonics
from recon.rendering.rays import PixelBank, Rays, camera_rays, sphere_interval
from recon.rendering.volume import before, keep_visible


def look_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross([0.0, 0.0, -1.0], z)
    x = x / np.linalg.norm(x)
    return np.stack([x, np.cross(z, x), z, eye], axis=1)


def similarity() -> Similarity:
    q, _ = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))
    return Similarity(2.5, q * np.sign(np.linalg.det(q)), np.array([3.0, -1.0, 2.0]))


def test_camera_rays_hit_what_projects_to_their_pixels():
    """A pixel's ray, followed in scene units and mapped to the world, projects back to the pixel's centre."""
    world_from_scene = similarity()
    camera = Camera(7, 5, 6.0, 6.5, 3.2, 2.1, look_at(np.array([9.0, 1.0, 5.0]), world_from_scene.translation))
    rays = camera_rays(camera, world_from_scene.inverse())
    points = world_from_scene.apply((rays.origins + 1.7 * rays.directions).numpy())
    uv, z = camera.project(points)
    x, y = np.meshgrid(np.arange(7) + 0.5, np.arange(5) + 0.5)
    np.testing.assert_allclose(uv, np.stack([x, y], -1).reshape(-1, 2), atol=2e-5)
    assert (z > 0).all()
    np.testing.assert_allclose(rays.directions.norm(dim=-1).numpy(), 1.0, atol=1e-6)


def test_pixel_bank_agrees_with_camera_rays():
    """Drawn rays are those of the pixels that the drawn colours name, in views of different sizes."""
    world_from_scene = similarity()
    views = []
    for k, (w, h) in enumerate([(6, 4), (3, 8)]):
        y, x = np.mgrid[:h, :w]
        image = np.stack([x, y, np.full_like(x, k), np.full_like(x, 255)], -1).astype(np.uint8)
        pose = look_at(np.array([8.0, k, 6.0]), world_from_scene.translation)
        views.append(View(str(k), image, Camera(w, h, 5.0, 6.0, w / 2 + 0.3, h / 2 - 0.2, pose), "train"))
    scene = Scene("s", Path("."), "test", tuple(views), world_from_scene, "alpha")
    rays, targets = PixelBank(scene).draw(500, torch.Generator().manual_seed(0))
    column, row, view = (targets.rgb * 255).round().long().unbind(-1)
    whole = [camera_rays(v.camera, scene.scene_from_world) for v in views]
    for k, v in enumerate(views):
        chosen = view == k
        index = row[chosen] * v.camera.width + column[chosen]
        torch.testing.assert_close(rays.origins[chosen], whole[k].origins[index], atol=1e-6, rtol=0)
        torch.testing.assert_close(rays.directions[chosen], whole[k].directions[index], atol=1e-6, rtol=0)
    assert set(zip(column.tolist(), row.tolist(), view.tolist(), strict=True)) >= {(0, 0, 0), (5, 3, 0), (2, 7, 1)}


def test_pixels_are_drawn_evenly_and_all_alike():
    """One of each stretch, and each pixel as often as any other, also where the stretches do not end between pixels."""
    w, h, count, draws = 7, 5, 4, 4000
    image = np.zeros((h, w, 4), np.uint8)
    image[..., 0] = np.arange(w * h).reshape(h, w)
    pose = look_at(np.array([8.0, 0, 6.0]), np.zeros(3))
    view = View("0", image, Camera(w, h, 5.0, 6.0, w / 2, h / 2, pose), "train")
    bank = PixelBank(Scene("s", Path("."), "test", (view,), similarity(), "alpha"))
    generator = torch.Generator().manual_seed(0)
    drawn = torch.stack([(bank.draw(count, generator)[1].rgb[:, 0] * 255).round().long() for _ in range(draws)])
    stretch = torch.arange(count) * (w * h / count)
    assert ((drawn + 1 > stretch) & (drawn < stretch + w * h / count)).all()
    times = torch.bincount(drawn.flatten(), minlength=w * h)
    expected = count * draws / (w * h)
    assert (times - expected).abs().max() < 5 * expected**0.5


@pytest.mark.parametrize(
    ("origin", "direction", "near", "far"),
    [
        ((0, 0, -3), (0, 0, 1), 2.0, 4.0),
        ((0, 0, 0), (1, 0, 0), 0.0, 1.0),
        ((0, 0, 3), (0, 0, 1), 0.0, 0.0),  # behind
        ((2, 0, -3), (0, 0, 1), 0.0, 0.0),  # beside
        ((0.6, 0, -3), (0, 0, 1), 3 - 0.8, 3 + 0.8),
    ],
)
def test_unit_sphere_interval(origin, direction, near, far):
    rays = Rays(torch.tensor([origin], dtype=torch.float32), torch.tensor([direction], dtype=torch.float32))
    a, b = sphere_interval(rays)
    assert float(a) == pytest.approx(near, abs=1e-6)
    assert float(b) == pytest.approx(far, abs=1e-6)


def test_spherical_harmonics_are_orthonormal():
    n = 200_000
    d = torch.nn.functional.normalize(torch.randn(n, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64), dim=-1)
    basis = spherical_harmonics(d)
    gram = 4 * torch.pi * basis.T @ basis / n
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), atol=0.03, rtol=0)


def test_contraction_is_continuous_monotone_and_bounded():
    r = torch.cat([torch.linspace(0.01, 3, 500), torch.tensor([1e3, 1e6])])
    d = torch.nn.functional.normalize(torch.tensor([[0.3, -0.5, 0.8]]), dim=-1)
    out = contract(r[:, None] * d).norm(dim=-1)
    assert (out.diff() > 0).all()
    assert float(out.max()) <= 1.0
    assert float(contract(d).norm()) == pytest.approx(0.5, abs=1e-6)


def test_occluded_samples_are_dropped_and_nothing_else():
    """Against a double loop over rays, with long optical depths in front so that a running float32 sum would be wrong."""
    rng = np.random.default_rng(0)
    counts = [0, 3, 700, 1, 0, 50]
    offsets = torch.tensor(np.concatenate([[0], np.cumsum(counts)]))
    density, dt = torch.tensor(rng.exponential(20, sum(counts)), dtype=torch.float32), torch.full((sum(counts),), 0.05)
    depth = before(density * dt, offsets)
    expected, start = [], 0
    for c in counts:
        tau = 0.0
        for i in range(start, start + c):
            expected.append(tau)
            tau += float(density[i] * dt[i])
        start += c
    np.testing.assert_allclose(depth.numpy(), expected, rtol=1e-5, atol=1e-5)
    index = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts)).int()
    kept = keep_visible(kernels.RaySamples(offsets, index, torch.arange(sum(counts)).float(), dt), density, 1e-3)
    wanted = [i for i, tau in enumerate(expected) if np.exp(-tau) > 1e-3]
    assert kept.t.int().tolist() == wanted
    assert (kept.offsets[1:] - kept.offsets[:-1]).tolist() == [int((kept.ray_indices == r).sum()) for r in range(len(counts))]
