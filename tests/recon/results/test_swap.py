"""Shape of one run, appearance of another: what comes from which, what is written, what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.values import RunConfig
from recon.console import Reporter
from recon.errors import UsageError
from recon.methods.volsdf import VolSDF
from recon.model import build_method
from recon.rendering.rays import Rays, camera_rays
from recon.results.swap import SwapOptions, repainted, swap
from recon.runs import Run
from recon.surface.reading import read_mesh
from tests.tiny import CENTER, RADIUS, TINY_SETTINGS, tiny_scene

QUIET = Reporter(quiet=True)


def model(seed: int, *settings: str) -> VolSDF:
    """Untrained; features away from zero, so that they count, and a shape of its own for each seed."""
    config = with_overrides(RunConfig(), [*TINY_SETTINGS, f"seed={seed}", f"volsdf.init_radius={0.4 + 0.2 * seed}", *settings])
    method = build_method(config, "alpha")
    assert isinstance(method, VolSDF)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for group in method.field.parameter_groups():
            group.tensor.add_(0.02 * torch.randn(group.tensor.shape, generator=generator))
    method.set_progress(1.0)
    return method


def rays() -> Rays:
    scene = tiny_scene()
    return camera_rays(scene.views[0].camera, scene.scene_from_world)


def test_geometry_and_feature_are_the_shapes_and_the_radiance_network_is_the_others():
    """At points, against the definition: c = L_B(x, grad d_A(x), v, z_A(x))."""
    a, b = model(0), model(1)
    both = repainted(a, b)
    generator = torch.Generator().manual_seed(5)
    points = torch.rand(50, 3, generator=generator) - 0.5
    normals = torch.nn.functional.normalize(torch.randn(50, 3, generator=generator), dim=1)
    values, gradient = a.field.values_and_gradient(points)
    assert gradient is not None
    with torch.no_grad():
        wanted = b.color(points, gradient, -normals, torch.arange(50), values[:, 1:])
    torch.testing.assert_close(both.surface_color(points, normals), wanted)
    for other in (a, b):
        assert (both.surface_color(points, normals) - other.surface_color(points, normals)).abs().max() > 1e-3
    torch.testing.assert_close(both.surface_value(points), a.surface_value(points))


def test_renders_have_the_shapes_depth_and_silhouette_to_the_bit():
    a, b = model(0), model(1)
    before = a.render(rays())
    found = repainted(a, b).render(rays())
    for name in ("opacity", "depth", "normal"):
        assert torch.equal(getattr(found, name), getattr(before, name))
    seen = before.opacity > 0.5
    assert seen.any()
    assert (found.rgb - before.rgb)[seen].abs().max() > 1e-3
    assert torch.equal(a.render(rays()).rgb, before.rgb)  # the run itself is left as it was
    assert torch.equal(repainted(a, a).render(rays()).rgb, before.rgb)


def test_colours_that_follow_position_and_normal_carry_over():
    """An appearance that reads no feature is put on the other shape exactly."""
    a, b = model(0), model(1)

    class ByPosition(torch.nn.Module):
        features = b.color.features

        def forward(self, points, gradient, directions, rays, feature):
            return 0.5 + 0.25 * points.clamp(-1, 1)

        def parameter_groups(self):
            return []

    b.color = ByPosition()  # pyright: ignore[reportAttributeAccessIssue]
    points = torch.rand(20, 3, generator=torch.Generator().manual_seed(1)) - 0.5
    torch.testing.assert_close(repainted(a, b).surface_color(points, points), 0.5 + 0.25 * points)


def test_features_of_another_length_are_refused():
    with pytest.raises(UsageError, match="15 numbers"):
        repainted(model(0), model(1, "volsdf.features=7"))


@pytest.mark.parametrize("colors", ["fast", "paper"])
def test_other_fields_and_colour_networks_can_be_swapped(colors):
    found = repainted(model(0, "field=rbfnet"), model(1, f"volsdf.colors={colors}")).render(rays())
    assert torch.isfinite(found.rgb).all()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    """Trained for a moment, on the sphere and on the sphere in other colours."""
    folder, scene, found = tmp_path_factory.mktemp("runs"), tiny_scene(), []
    turned = [replace(v, image=v.image[..., [2, 0, 1, 3]]) for v in scene.views]
    for name, views, seed in (("tiny", scene.views, 0), ("turned", tuple(turned), 1)):
        data = replace(scene, name=name, views=views)
        run = pipeline.start(data, name, with_overrides(RunConfig(), [*TINY_SETTINGS, f"seed={seed}", "train.steps=30"]), folder)
        pipeline.fit(run, data, QUIET)
        found.append(run)
    return found[0], found[1]


def test_what_is_written(runs, tmp_path: Path):
    a, b = runs
    written = swap(a, b, tmp_path / "out", SwapOptions(views=2, size=24, frames=2, export=True), QUIET)
    assert {p.name for p in written if p.suffix not in (".mp4", ".gif")} == {"swap.png", "mesh.ply", "mesh.glb"}
    assert [p.stem for p in written if p.suffix in (".mp4", ".gif")] == ["orbit"]
    assert all(p.is_file() and p.parent == tmp_path / "out" for p in written)
    width, height = Image.open(tmp_path / "out" / "swap.png").size
    assert width >= 4 * 24
    assert height >= 2 * 24
    mesh = read_mesh(tmp_path / "out" / "mesh.ply")
    assert np.median(np.linalg.norm(mesh.vertices - CENTER, axis=1)) == pytest.approx(RADIUS, rel=0.25)
    glb = trimesh.load(tmp_path / "out" / "mesh.glb", force="mesh", process=False)
    assert glb.visual.material.baseColorTexture is not None  # pyright: ignore[reportAttributeAccessIssue]


def test_the_repainted_mesh_has_as_shape(runs, tmp_path: Path):
    """The same vertices as A's own export, in colours that are not A's."""
    from recon.results.mesh import export_mesh

    a, b = runs
    export_mesh(a, pipeline.load_surface(a, QUIET), a.config.export, QUIET, formats=("ply",))
    swap(a, b, tmp_path, SwapOptions(views=1, size=16, export=True), QUIET)
    own, painted = read_mesh(a.exports / "mesh.ply"), read_mesh(tmp_path / "mesh.ply")
    np.testing.assert_array_equal(own.vertices, painted.vertices)
    np.testing.assert_array_equal(own.faces, painted.faces)
    assert own.colors is not None
    assert painted.colors is not None
    assert np.abs(own.colors.astype(int) - painted.colors).max() > 3


def test_default_folder(runs):
    a, b = runs
    (picture,) = swap(a, b, None, SwapOptions(views=1, size=16), QUIET)
    assert picture.parent.parent == a.renders
    assert b.folder.name in picture.parent.name


@pytest.mark.parametrize("method", ["radiance", "nef"])
def test_only_surfaces_can_be_swapped(runs, method, tmp_path: Path):
    a, _ = runs
    other = Run(tmp_path, replace(a.config, method=method))
    for first, second in ((a, other), (other, a)):
        with pytest.raises(UsageError, match="volsdf"):
            swap(first, second, tmp_path / "out", SwapOptions(), QUIET)
    assert not (tmp_path / "out").exists()


def test_at_least_one_view(runs, tmp_path: Path):
    a, b = runs
    with pytest.raises(UsageError, match="at least one"):
        swap(a, b, tmp_path / "out", SwapOptions(views=0), QUIET)
    assert not (tmp_path / "out").exists()
