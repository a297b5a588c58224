"""VolSDF's parts against what they should be on a field that is known exactly."""

from __future__ import annotations

import json
import math

import pytest
import torch
from torch import Tensor

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.config.values import VolSDFConfig
from recon.console import Reporter
from recon.errors import UsageError
from recon.fields.base import PlainField
from recon.methods.laplace_scale import LaplaceScale
from recon.methods.surface_colors import FastColors, PaperColors
from recon.methods.volsdf import VolSDF
from recon.methods.volsdf_terms import curvature, in_the_middle
from recon.model import build_method
from recon.rendering.image import render_view
from recon.rendering.rays import PixelBank, Rays, Targets
from tests.tiny import TINY_SETTINGS, tiny_scene

PAPER_TINY = ("mlp.width=64", "mlp.depth=3", "mlp.skip=2", "volsdf.features=8", "train.max_rays=32", "train.steps=12", "train.lr=0.002")


class Ball(PlainField):
    """A field: the exact signed distance of a sphere; its feature is zeros."""

    def __init__(self, radius: float = 0.6, features: int = 15):
        self.radius, self.outputs = radius, 1 + features

    def values(self, points: Tensor, neighbors: Tensor | None = None) -> Tensor:
        norm = points.norm(dim=-1, keepdim=True)
        return torch.cat([norm - self.radius, points.new_zeros(len(points), self.outputs - 1)], 1)

    def values_and_gradient(self, points: Tensor, neighbors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.values(points), points / points.norm(dim=-1, keepdim=True)

    def parameter_groups(self) -> list:
        return []


def ball_method(**changes) -> VolSDF:
    config = VolSDFConfig(beta_init=0.005, beta_floor=1e-4, **changes)
    field = Ball(features=config.features)
    method = VolSDF(config, field, (1.0, 1.0, 1.0), None, 32, 3, torch.Generator().manual_seed(0))
    method.refresh_occupancy(0, torch.Generator())
    return method


def parallel_rays(count: int, offset: float) -> Rays:
    """Towards +z, through points at a distance ``offset`` from the axis."""
    angle = torch.linspace(0, 2 * math.pi, count)
    origins = torch.stack([offset * angle.cos(), offset * angle.sin(), torch.full((count,), -2.0)], 1)
    return Rays(origins, torch.tensor([[0.0, 0.0, 1.0]]).expand(count, 3).contiguous(), views=torch.arange(count) % 3)


@pytest.mark.parametrize("sampling", ["occupancy", "algorithm1"])
@pytest.mark.parametrize("offset", [0.0, 0.3, 0.5])
def test_depth_normal_and_opacity_of_a_ball(sampling, offset):
    """The expected depth lies beta-close to the sphere, the normal is the sphere's, and rays past it see the background."""
    rays = parallel_rays(5, offset)
    shown = ball_method(sampling=sampling).render(rays)
    depth = 2.0 - math.sqrt(0.6**2 - offset**2)
    torch.testing.assert_close(shown.depth, torch.full((5,), depth), atol=0.02, rtol=0)
    torch.testing.assert_close(shown.opacity, torch.ones(5), atol=2e-3, rtol=0)
    at = rays.origins + depth * rays.directions
    torch.testing.assert_close(shown.normal, at / 0.6, atol=0.03, rtol=0)
    past = ball_method(sampling=sampling).render(parallel_rays(3, 0.8))
    torch.testing.assert_close(past.rgb, torch.ones(3, 3), atol=1e-3, rtol=0)


def test_both_samplings_render_the_same_picture():
    scene = tiny_scene()
    method = ball_method()
    dense = ball_method(sampling="algorithm1")
    dense.load_state_dict(method.state_dict())
    a, b = (render_view(m, scene.views[0].camera, scene.scene_from_world) for m in (method, dense))
    assert abs(a.rgb - b.rgb).mean() < 2e-3


def test_inside_a_solid_shell_every_ray_ends():
    """VolSDF on DTU: the wall is where the shell's radius says; with a shell wider than the scene the ball is still in front of it."""
    method = ball_method(sampling="algorithm1", shell_radius=3.0)
    hit, missed = method.render(parallel_rays(3, 0.3)), method.render(parallel_rays(3, 0.8))
    torch.testing.assert_close(missed.opacity, torch.ones(3), atol=1e-3, rtol=0)
    torch.testing.assert_close(missed.depth, torch.full((3,), 2 + math.sqrt(9 - 0.64)), atol=0.03, rtol=0)
    torch.testing.assert_close(hit.depth, torch.full((3,), 2 - math.sqrt(0.36 - 0.09)), atol=0.03, rtol=0)
    assert (missed.normal * torch.tensor([0.0, 0.0, -1.0])).sum(1).min() > 0.8  # the wall faces inwards


@pytest.mark.parametrize(
    ("alpha", "kind", "share"), [(0.0, "alpha", 1.0), (0.0, "masks", 1.0), (1.0, "alpha", 0.0), (0.0, (1.0, 1.0, 1.0), 0.0)]
)
def test_free_rays_push_out_what_lies_on_them(alpha, kind, share):
    """Rays through the middle of the ball: mean depth inside it over the chord of the unit sphere, 0.6^2 / 2, and the depth at which no
    light is left, about log(1e5) beta; nothing where alpha is 1, or where nothing says that a ray is free."""
    method = ball_method()
    method.background_kind = kind
    rays = parallel_rays(2000, 0.0)
    losses = method.losses(rays, Targets(torch.zeros(2000, 3), torch.full((2000,), alpha)), torch.Generator().manual_seed(0))
    assert losses.terms.get("free_space", 0.0) == pytest.approx(share * (0.18 + 0.06), rel=0.1)


@pytest.mark.parametrize(("wanted", "grows"), [(0.3, False), (0.5, True)])
def test_what_the_background_explains_goes_to_the_background(wanted, grows):
    """Rays past a ball of the colour 0.5, before 0.3: where the photographs show the colour behind, the ball shrinks; else it grows. And
    where ball and background have the same colour, which says nothing, it shrinks."""

    class Behind(torch.nn.Module):
        def __init__(self, value: float):
            super().__init__()
            self.value = value

        def forward(self, rays: Rays, generator: torch.Generator | None) -> tuple[Tensor, int]:
            return torch.full((len(rays), 3), self.value), len(rays)

    class Painted(torch.nn.Module):
        def forward(self, points: Tensor, *_: Tensor) -> Tensor:
            return torch.full((len(points), 3), 0.5)

    def slope(behind: float, preference: float) -> float:
        method = ball_method(background_preference=preference)
        method.background_kind = "unknown"
        method.background, method.color = Behind(behind), Painted()  # pyright: ignore[reportAttributeAccessIssue]
        radius = torch.tensor(0.6, requires_grad=True)
        method.field.radius = radius  # pyright: ignore[reportAttributeAccessIssue]
        targets = Targets(torch.full((500, 3), wanted), torch.ones(500))
        losses = method.losses(parallel_rays(500, 0.61), targets, torch.Generator().manual_seed(0))
        (gradient,) = torch.autograd.grad(losses.total, radius)
        return float(gradient)

    assert (slope(0.3, 0.01) < 0) == grows
    assert slope(0.5, 0.01) > 0
    assert slope(0.5, 0.0) == pytest.approx(0.0, abs=1e-4)


@pytest.mark.parametrize(("share", "factor"), [(0.1, 0.0), (0.45, 0.5), (0.9, 1.0)])
def test_squared_errors_count_late_and_only_before_learnt_backgrounds(share, factor):
    """Of the same rays: weight x schedule x mean squared error, added to the absolute one; nothing of it where silhouettes are known."""

    class Black(torch.nn.Module):
        def forward(self, rays: Rays, generator: torch.Generator | None) -> tuple[Tensor, int]:
            return torch.zeros(len(rays), 3), len(rays)

    for kind in ("unknown", "masks"):
        method = ball_method(squared_weight=4.0)
        method.background_kind = kind
        method.background = Black() if kind == "unknown" else None  # pyright: ignore[reportAttributeAccessIssue]
        method.guidance.share = share
        losses = method.losses(parallel_rays(300, 0.3), Targets(torch.rand(300, 3), torch.ones(300)), torch.Generator().manual_seed(0))
        expected = 4.0 * factor * losses.squared_error if kind == "unknown" else 0.0
        assert losses.terms.get("squared", 0.0) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("step", [0.01, 0.05])
def test_curvature_of_a_sphere(step):
    """Normals a tangential step h apart differ by atan(h / r)."""
    method = ball_method(curvature_step=step)
    points = torch.nn.functional.normalize(torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)), dim=1) * 0.6
    found = curvature(points, points / 0.6, method.field.values_and_gradient, method.config, torch.Generator().manual_seed(1))
    assert float(found) == pytest.approx(1 - math.cos(math.atan(step / 0.6)), rel=1e-2)


def test_curvature_grows_and_fades():
    shares = [in_the_middle(s) for s in (0.0, 0.1, 0.2, 0.5, 0.65, 0.8, 1.0)]
    assert shares == pytest.approx([0.0, 0.5, 1.0, 1.0, 0.5, 0.0, 0.0])


def test_exposures_explain_what_differs_between_photographs():
    """The same ball in three photographs of different brightness: the gains are found, up to the common one that nothing can tell."""
    method = ball_method(exposure=True)
    gains = torch.tensor([0.8, 1.0, 1.25])
    rays = parallel_rays(30, 0.3)
    assert rays.views is not None
    color = method.render(rays).rgb
    targets = Targets(color * gains[rays.views][:, None], torch.ones(30))
    assert method.exposure is not None
    optimizer = torch.optim.Adam([method.exposure], 0.02)
    for _ in range(150):
        optimizer.zero_grad()
        method.losses(rays, targets, torch.Generator().manual_seed(0)).total.backward()
        optimizer.step()
    found = torch.exp(method.exposure - method.exposure.mean(0)).detach()
    torch.testing.assert_close(found, (gains / gains.prod() ** (1 / 3))[:, None].expand(3, 3), atol=0.02, rtol=0)
    torch.testing.assert_close(method.render(rays).rgb, color)  # held-out views are rendered at the mean


@pytest.mark.parametrize(("learnt", "value"), [("log", 0.05 + 0.01), ("absolute", 0.05 + 1e-4)])
def test_beta_starts_where_it_should_and_its_floor_sinks(learnt, value):
    beta = LaplaceScale(VolSDFConfig(beta_learnt=learnt, beta_init=0.05, beta_floor=0.01, beta_min=1e-4))
    assert beta.number() == pytest.approx(value)
    beta.set_progress(1.0)
    assert beta.number() == pytest.approx(0.05 + 1e-4)
    with torch.no_grad():
        beta.value.fill_(-1.0)
    assert beta.number() == pytest.approx((math.exp(-1.0) if learnt == "log" else 1.0) + 1e-4)


@pytest.mark.parametrize(("grown", "learnt_part"), [(0.0, 0.05), (0.5, 0.01), (1.0, 0.002), (1.0, 0.001)])
def test_betas_ceiling_sinks_and_leaves_alone_what_is_below_it(grown, learnt_part):
    beta = LaplaceScale(VolSDFConfig(beta_init=0.05, beta_floor=1e-4, beta_min=1e-4))
    beta.last_ceiling = 0.002
    with torch.no_grad():
        beta.value.fill_(math.log(0.001 if learnt_part == 0.001 else 0.5))
    beta.set_progress(grown)
    assert beta.number() == pytest.approx(learnt_part + 1e-4, rel=1e-4)


def test_the_papers_networks_have_the_papers_sizes():
    config = with_overrides(preset_config("volsdf", "mlp", "paper"), [])
    method = build_method(config, (1.0, 1.0, 1.0))
    count = lambda module: sum(p.numel() for p in module.parameters())  # noqa: E731
    assert count(method.field) == 529_076
    assert count(method.color) == 273_414


@pytest.mark.parametrize("make", [FastColors, PaperColors])
def test_colours_depend_on_every_input(make):
    colors = make(VolSDFConfig(features=4, color_log2_table_size=10), torch.Generator().manual_seed(0))
    g = torch.Generator().manual_seed(1)
    inputs = [torch.randn(6, n, generator=g, requires_grad=True) for n in (3, 3, 3, 4)]
    points, gradient, directions, feature = inputs
    rgb = colors(points, gradient, torch.nn.functional.normalize(directions, dim=1), torch.arange(6).int(), feature)
    assert rgb.shape == (6, 3)
    assert bool(((rgb > 0) & (rgb < 1)).all())
    for wanted in torch.autograd.grad(rgb.sum(), inputs):
        assert bool((wanted.abs().sum(1) > 0).all())


@pytest.mark.parametrize(("background", "shell"), [("alpha", None), ("unknown", None), ((1.0, 1.0, 1.0), None), ("unknown", 14.0)])
def test_the_paper_preset_learns(background, shell, tmp_path):
    """Small networks, a dozen steps: the loss falls, the bound's share is in the metrics, the mesh comes out."""
    scene = tiny_scene(background)
    settings = [*TINY_SETTINGS, *PAPER_TINY, f"volsdf.shell_radius={'null' if shell is None else shell}"]
    run = pipeline.start(scene, "tiny", with_overrides(preset_config("volsdf", "mlp", "paper"), settings), tmp_path)
    method = pipeline.fit(run, scene, Reporter(quiet=True))
    rows = [row for row in (run.folder / "metrics.jsonl").read_text().splitlines() if row]
    first, last = (json.loads(rows[i]) for i in (0, -1))
    assert last["loss/color"] < first["loss/color"]
    assert {name for name in last if name.startswith("loss/")} == {"loss/color", "loss/eikonal"}  # the paper's terms and no others
    assert 0.0 <= last["bounded_rays"] <= 1.0
    assert first["sdf_queries_per_ray"] > 0
    assert isinstance(method, VolSDF)
    assert (method.background is not None) == (background == "unknown" and shell is None)


@pytest.mark.parametrize("background", ["alpha", "masks", (1.0, 1.0, 1.0)])
def test_a_shell_is_refused_where_the_images_say_what_is_behind(background):
    config = with_overrides(preset_config("volsdf", "mlp", "paper"), [*PAPER_TINY, "volsdf.shell_radius=3"])
    with pytest.raises(UsageError, match="shell_radius"):
        build_method(config, background)


def test_a_step_of_each_sampling_has_the_same_loss_in_expectation():
    """On the exact ball, with the same pixels: the colour loss of occupied intervals and of whole rays differ by less than a hundredth."""
    scene = tiny_scene()
    rays, targets = PixelBank(scene).draw(400, torch.Generator().manual_seed(2))
    losses = []
    for sampling in ("occupancy", "algorithm1"):
        method = ball_method(sampling=sampling)
        losses.append(method.losses(rays, targets, torch.Generator().manual_seed(3)).terms["color"])
    assert losses[0] == pytest.approx(losses[1], abs=0.01)
