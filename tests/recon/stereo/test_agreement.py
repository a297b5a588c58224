"""Photographs compared on a surface: they agree on the true one, and draw another to it."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch import Tensor

import kernels
from recon.data.scene import Scene
from recon.rendering.rays import PixelBank, Rays
from recon.stereo.agreement import PATCHES, Agreement, _places, hopeless
from tests.recon.stereo.test_depth import BALL, CENTER, SCALE, eye_at, ring, scene_of
from tests.stereo_scenes import Plane, shoot

RADIUS = BALL.radius / SCALE
SIZE = 200


@pytest.fixture(scope="module")
def scene() -> Scene:
    wall = Plane(CENTER + np.array([0.0, 0.0, 9.0]), np.array([0.0, 0.0, -1.0]))
    return scene_of([shoot(eye_at(d, SIZE, 1.125 * SIZE), [BALL, wall], 0.18) for d in ring(10, 130.0)])


class Ball:
    """A signed distance with four numbers: centre and radius, scene units."""

    def __init__(self, center: tuple[float, float, float], radius: float):
        self.numbers = torch.tensor([*center, radius], requires_grad=True)

    def __call__(self, points: Tensor) -> tuple[Tensor, Tensor]:
        out = points - self.numbers[:3]
        length = out.norm(dim=1, keepdim=True)
        return length - self.numbers[3], out / length


def sampled(rays: Rays, ball: Ball) -> tuple[kernels.RaySamples, Tensor]:
    """Forty samples along each ray, and the distance there."""
    t = torch.linspace(2.0, 4.0, 40).repeat(len(rays))
    index = torch.arange(len(rays), dtype=torch.int32).repeat_interleave(40)
    samples = kernels.RaySamples(torch.arange(len(rays) + 1) * 40, index, t, torch.full_like(t, 2.0 / 39))
    with torch.no_grad():
        values, _ = ball(rays.origins[index.long()] + t[:, None] * rays.directions[index.long()])
    return samples, values[:, 0]


def loss_of(scene: Scene, ball: Ball, share: float = 0.0, seed: int = 0, count: int = 600) -> Tensor:
    bank = PixelBank(scene)
    generator = torch.Generator().manual_seed(seed)
    rays, _ = bank.draw(count, generator)
    return Agreement(scene, bank).loss(rays, *sampled(rays, ball), share, ball, lambda p: ball(p)[0][:, 0], generator)


def test_photographs_agree_on_the_true_surface(scene: Scene) -> None:
    """And not on one beside it: pixels are a fortieth of the ball's radius. Windows are flat and the ball is not, so that they would agree
    best too deep, were that not taken into account."""
    at = {radius: float(loss_of(scene, Ball((0.0, 0.0, 0.0), radius)).detach()) for radius in (0.57, 0.597, RADIUS, 0.603, 0.63)}
    assert at[RADIUS] < 0.05
    assert at[RADIUS] < min(at[0.597], at[0.603])
    assert min(at[0.57], at[0.63]) > 3 * at[RADIUS]


def test_another_surface_is_drawn_to_it(scene: Scene) -> None:
    """By the gradient alone."""
    ball = Ball((0.015, -0.02, 0.02), 0.575)
    bank = PixelBank(scene)
    agreement = Agreement(scene, bank)
    generator = torch.Generator().manual_seed(0)
    descent = torch.optim.Adam([ball.numbers], lr=3e-3)
    for step in range(60):
        rays, _ = bank.draw(300, generator)
        descent.param_groups[0]["lr"] = 3e-3 * (1.0 - step / 60)
        descent.zero_grad()
        agreement.loss(rays, *sampled(rays, ball), 0.0, ball, lambda p: ball(p)[0][:, 0], generator).backward()
        descent.step()
    found = ball.numbers.detach()
    assert found[:3].abs().max() < 4e-3
    assert abs(float(found[3]) - RADIUS) < 4e-3


def test_later_only_windows_count_that_nearly_agree(scene: Scene) -> None:
    """What still disagrees then is no piece of plane; a surface that is right by then goes on counting."""
    assert [round(hopeless(share), 6) for share in (0.0, 0.3, 0.4, 0.5, 1.0)] == [0.8, 0.8, 0.475, 0.15, 0.15]
    right, wrong = Ball((0.0, 0.0, 0.0), RADIUS), Ball((0.0, 0.0, 0.0), 0.56)
    assert float(loss_of(scene, wrong, share=1.0).detach()) < 0.2 * float(loss_of(scene, wrong).detach())
    assert float(loss_of(scene, right, share=1.0).detach()) > 0.5 * float(loss_of(scene, right).detach())


def test_rays_that_meet_nothing(scene: Scene) -> None:
    loss = loss_of(scene, Ball((0.0, 0.0, 9.0), 0.1))
    assert loss == 0.0
    loss.backward()


def test_what_is_ignored_or_shows_nothing_is_not_compared(scene: Scene) -> None:
    off = Ball((0.0, 0.0, 0.0), 0.57)
    assert loss_of(scene, off) > 0.05
    # Half of every picture is ignored, and rays come through the other half: windows that reach over are left out.
    ignore = np.zeros((SIZE, SIZE), bool)
    ignore[:, ::4] = True
    views = [dataclasses.replace(v, ignore=ignore) for v in scene.views]
    assert loss_of(dataclasses.replace(scene, views=tuple(views)), off) == 0.0
    views = [dataclasses.replace(v, image=np.concatenate([v.image, np.full((SIZE, SIZE, 1), 90, np.uint8)], 2)) for v in scene.views]
    assert loss_of(dataclasses.replace(scene, views=tuple(views), background="alpha"), off) == 0.0


def test_a_camera_alone_has_nothing_to_compare_with(scene: Scene) -> None:
    assert loss_of(dataclasses.replace(scene, views=scene.views[:1]), Ball((0.0, 0.0, 0.0), 0.57)) == 0.0


def test_places_are_where_rays_first_enter() -> None:
    """Three rays: two surfaces behind each other, one that leaves only, none; and many, of which half meet something."""
    sdf = torch.tensor([0.2, -0.2, 0.3, -0.1, -0.3, 0.1, 0.4, 0.2])
    samples = kernels.RaySamples(
        torch.tensor([0, 4, 6, 8]), torch.tensor([0, 0, 0, 0, 1, 1, 2, 2], dtype=torch.int32), torch.arange(8.0), torch.ones(8)
    )
    ray, t, met = _places(samples, sdf, torch.Generator().manual_seed(0))
    assert sorted(ray.tolist()) == [0, 1, 2]
    assert met.tolist() == (ray == 0).tolist()
    assert t[met].tolist() == [0.5]
    many = 4 * PATCHES
    sdf = torch.tensor([1.0, -1.0, 1.0, 1.0]).repeat(many // 2)
    index = torch.arange(many, dtype=torch.int32).repeat_interleave(2)
    samples = kernels.RaySamples(torch.arange(many + 1) * 2, index, torch.arange(2.0 * many), torch.ones(2 * many))
    ray, t, met = _places(samples, sdf, torch.Generator().manual_seed(0))
    assert met.all()
    assert len(set(ray.tolist())) == len(ray) == PATCHES
    assert (ray % 2 == 0).all()
    assert torch.equal(t, 2.0 * ray + 0.5)
