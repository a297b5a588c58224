"""From a model to mesh files: where colours and normals come from, which axis is up, what is made of too many faces."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from torch import Tensor

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.values import ExportConfig, RunConfig
from recon.console import Reporter
from recon.data.scene import View
from recon.errors import DataError, UsageError
from recon.methods.volsdf import VolSDF
from recon.results import mesh as exporting
from recon.results.better import refuse_worse
from recon.results.mesh import export_mesh, photographs_for
from recon.runs import Run, open_run
from recon.surface.extract import autograd_gradient
from recon.surface.mesh import Mesh, face_cross, vertex_normals
from recon.surface.normals import with_field_normals
from recon.surface.reading import read_mesh, read_surface
from tests.tiny import CENTER, RADIUS, TINY_SETTINGS, WORLD_FROM_SCENE, cameras, sphere_image, tiny_scene

QUIET = Reporter(quiet=True)
SETTINGS = ("export.texture_faces=2000", "export.texture_size=256", "export.resolution=48")


class Ball(VolSDF):
    """As much of a model as export asks for, in formulas: the sphere of the tiny scene's photographs, in colours of its own."""

    device = torch.device("cpu")  # pyright: ignore[reportAssignmentType]

    def __init__(self):
        torch.nn.Module.__init__(self)
        self.background = None

    def surface_value(self, points: Tensor) -> Tensor:
        return points.norm(dim=1) - 0.6

    def surface_value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        # Turned a little off the radius, so that normals tell where they come from.
        return self.surface_value(points), torch.nn.functional.normalize(points, dim=1) + 0.1 * torch.tensor([0.0, 0.0, 1.0])

    def surface_color(self, points: Tensor, normals: Tensor) -> Tensor:
        return 0.5 - 0.5 * points


def sphere_run(folder: Path, *more: str) -> tuple[Run, Ball]:
    return pipeline.start(
        tiny_scene(), "tiny", with_overrides(RunConfig(), [*TINY_SETTINGS, *SETTINGS, "export.texture=field", *more]), folder
    ), Ball()


class Two(Ball):
    """A large and a small ball that do not touch."""

    def surface_value(self, points: Tensor) -> Tensor:
        large = (points - torch.tensor([-0.4, 0.0, 0.0])).norm(dim=1) - 0.3
        return torch.minimum(large, (points - torch.tensor([0.5, 0.0, 0.0])).norm(dim=1) - 0.15)

    def surface_value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return autograd_gradient(self.surface_value)(points)


class Ground(Ball):
    """All below a plane: a surface that ends at the sphere only."""

    def surface_value(self, points: Tensor) -> Tensor:
        return points[:, 2] - 0.1

    def surface_value_and_gradient(self, points: Tensor) -> tuple[Tensor, Tensor]:
        return self.surface_value(points), torch.tensor([0.0, 0.0, 1.0]).expand(len(points), 3)


def true_color(points_world: np.ndarray) -> np.ndarray:
    return 0.5 + 0.5 * np.sin((points_world - CENTER) / RADIUS * 2.0)


def views(count: int) -> list[View]:
    return [View(f"{i}.png", sphere_image(c), c, "train") for i, c in enumerate(cameras(count, 128))]


def surface_colors(mesh: Mesh) -> tuple[np.ndarray, np.ndarray]:
    """Points in the middle of faces, and the texture there."""
    from recon.surface.texture import sample_texture

    assert mesh.texture is not None
    assert mesh.uv is not None
    return mesh.vertices[mesh.faces].mean(1), sample_texture(mesh.texture, mesh.uv[mesh.faces].mean(1))


class Stand(Two):
    """A ball on a table, behind which a background was learnt."""

    def __init__(self):
        super().__init__()
        self.background = torch.nn.Identity()

    def surface_value(self, points: Tensor) -> Tensor:
        return torch.minimum(points[:, 2] + 0.38, points.norm(dim=1) - 0.4)


@pytest.mark.parametrize("support", ["cut", "keep"])
def test_the_table_is_cut_off_or_kept(tmp_path: Path, support):
    run, _ = sphere_run(tmp_path, "export.resolution=96", f"export.support={support}")
    above = tuple(v for v in run.scene.views if v.camera.center[2] > WORLD_FROM_SCENE.translation[2])
    assert len(above) > 2
    (run.folder / "scene.json").write_text(json.dumps(replace(run.scene, views=above).to_json()))
    run = open_run(run.folder)
    export_mesh(run, Stand(), run.config.export, QUIET)
    report = json.loads((run.exports / "mesh.json").read_text())
    assert report["closed"]
    if support == "keep":
        assert report["support_plane"] is None
        assert report["bounds_area_fraction"] > 0.3
        return
    assert report["bounds_area_fraction"] == 0.0
    found = report["support_plane"]
    np.testing.assert_allclose(found["normal"], [0.0, 0.0, 1.0], atol=0.01)
    height = WORLD_FROM_SCENE.apply(np.array([0.0, 0.0, -0.38]))[2]
    assert height < found["offset"] < height + 0.03 * WORLD_FROM_SCENE.scale
    assert read_mesh(run.exports / "mesh.ply").vertices[:, 2].min() >= found["offset"] - 1e-3


@pytest.mark.parametrize(
    ("model", "keep", "components", "touching", "problems"),
    [
        (Ball, "largest", 1, 0.0, []),
        (Two, "largest", 1, 0.0, []),
        (Two, "all", 2, 0.0, ["fragments"]),
        (Ground, "largest", 1, 2 * 1.1 / (2 * 1.1 + 0.99), ["touches_bounds"]),  # a cap of the unit sphere, and its disk
    ],
)
def test_the_report_says_what_is_in_the_files(tmp_path: Path, model, keep, components, touching, problems):
    """Closed, welded, all faces outward; parts and contact with the border as they are."""
    run, _ = sphere_run(tmp_path, "export.resolution=72", f"export.keep={keep}")
    export_mesh(run, model(), run.config.export, QUIET)
    report = json.loads((run.exports / "mesh.json").read_text())
    assert (report["closed"], report["oriented"], report["components"]) == (True, True, components)
    assert report["bounds_area_fraction"] == pytest.approx(touching, abs=0.02)
    assert [p["kind"] for p in report["problems"]] == problems
    for name in ("mesh.ply", "mesh.stl"):
        found = trimesh.load(run.exports / name, force="mesh", process=name == "mesh.stl")  # an .stl has no common vertices until merged
        assert isinstance(found, trimesh.Trimesh)
        assert found.is_watertight
        assert found.volume == pytest.approx(report["volume"] * WORLD_FROM_SCENE.scale**3, rel=1e-3)
        assert len(found.split()) == components
    vertices = read_mesh(run.exports / "mesh.ply").vertices
    assert len(np.unique(vertices, axis=0)) == len(vertices) == report["vertices"]


def test_a_texture_from_photographs_has_their_colours(tmp_path: Path):
    run, method = sphere_run(tmp_path, "export.texture=photographs")
    export_mesh(run, method, run.config.export, QUIET, views(16))
    points, found = surface_colors(read_surface(run.exports / "mesh.glb"))
    error = np.abs(found - true_color(points)).max(1)
    assert np.median(error) < 0.03
    assert (error < 0.1).mean() > 0.9


def test_what_no_photograph_sees_has_the_fields_colour(tmp_path: Path):
    run, method = sphere_run(tmp_path, "export.texture=photographs")
    (eye,) = views(16)[:1]
    export_mesh(run, method, run.config.export, QUIET, [eye])
    mesh = read_surface(run.exports / "mesh.glb")
    points, found = surface_colors(mesh)
    facing = ((points - CENTER) / RADIUS) @ (eye.camera.center - CENTER) / np.linalg.norm(eye.camera.center - CENTER)
    front, behind = facing > 0.6, facing < 0.1
    assert np.median(np.abs(found - true_color(points))[front]) < 0.03
    scene = WORLD_FROM_SCENE.inverse().apply(points)
    learnt = 0.5 - 0.5 * scene
    np.testing.assert_allclose(found[behind], learnt[behind], atol=0.02)
    assert np.median(np.abs(learnt - true_color(points))[front]) > 0.1  # else nothing would be told apart


def test_photographs_are_needed_for_their_texture(tmp_path: Path):
    run, method = sphere_run(tmp_path, "export.texture=photographs")
    with pytest.raises(UsageError, match="--texture field"):
        export_mesh(run, method, run.config.export, QUIET)
    assert not run.exports.exists()


def test_photographs_that_are_gone_are_said(tmp_path: Path):
    """A run that was moved without its dataset still gives all that is not painted from it."""
    run, method = sphere_run(tmp_path, "export.texture=photographs")
    record = run.folder / "scene.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "source": str(tmp_path / "gone")}))
    gone = open_run(run.folder)
    with pytest.raises(DataError, match="--texture field"):
        photographs_for(gone, run.config.export)
    assert photographs_for(gone, replace(run.config.export, texture="field")) == ()
    assert photographs_for(gone, run.config.export, ("ply", "stl")) == ()
    export_mesh(gone, method, run.config.export, QUIET, formats=("ply", "stl"))
    assert (run.exports / "mesh.ply").is_file()
    assert len(photographs_for(run, run.config.export, data=tiny_scene())) == len(tiny_scene().split("train"))


def test_the_ply_has_the_colours_of_the_texture(tmp_path: Path):
    run, method = sphere_run(tmp_path, "export.texture=photographs")
    export_mesh(run, method, run.config.export, QUIET, views(64), formats=("ply", "glb"))
    full = read_mesh(run.exports / "mesh.ply")
    assert full.colors is not None
    assert np.median(np.abs(full.colors / 255.0 - true_color(full.vertices))) < 0.03


@pytest.mark.parametrize(("up", "axis"), [(None, 2), ("+z", 2), ("-x", 0), ("-y", 1), ("world", None)])
def test_the_glb_stands_up_and_is_read_back_in_world_axes(tmp_path: Path, up, axis):
    """The cameras of the tiny scene have +z up in common. Only the .glb is turned."""
    run, method = sphere_run(tmp_path)
    export_mesh(run, method, replace(run.config.export, up=up), QUIET)
    back = read_surface(run.exports / "mesh.glb")
    radii = (back.vertices - CENTER) / np.linalg.norm(back.vertices - CENTER, axis=1, keepdims=True)
    np.testing.assert_allclose(np.linalg.norm(back.vertices - CENTER, axis=1), 0.6 * 5.0, rtol=0.05)
    assert back.normals is not None
    assert (back.normals * radii).sum(1).min() > 0.9
    raw = np.asarray(trimesh.load(run.exports / "mesh.glb", force="mesh", process=False).vertices)  # pyright: ignore
    if axis is None:
        np.testing.assert_allclose(raw, back.vertices, atol=1e-4)
    else:
        sign = -1 if up and up[0] == "-" else 1
        heights = sign * back.vertices[:, axis]
        np.testing.assert_allclose(raw[:, 1], heights - heights.min(), atol=1e-4)
    np.testing.assert_allclose(read_mesh(run.exports / "mesh.obj").vertices.mean(0), CENTER, atol=0.2)


@pytest.mark.parametrize(
    ("formats", "files"),
    [
        (("glb",), {"mesh.glb", "mesh.json"}),
        (("stl", "3mf"), {"mesh.stl", "mesh.3mf", "mesh.json"}),
        (("obj", "ply"), {"mesh.obj", "mesh.mtl", "mesh_texture.png", "mesh.ply", "mesh.json"}),
    ],
)
def test_only_the_formats_that_are_asked_for(tmp_path: Path, formats, files):
    run, method = sphere_run(tmp_path)
    export_mesh(run, method, run.config.export, QUIET, folder=tmp_path / "out" / "mine", formats=formats)
    assert {p.name for p in (tmp_path / "out" / "mine").iterdir()} == files
    assert not run.exports.exists()


@pytest.mark.parametrize(
    ("then", "now", "said"),
    [
        ({}, {}, None),
        ({}, {"resolution": 64}, None),
        ({"resolution": 64}, {}, "resolution 64, not 48"),
        ({"texture_faces": 3000, "texture_size": 512}, {"resolution": 64}, "texture faces 3000, not 2000; texture size 512, not 256"),
    ],
)
def test_a_better_mesh_is_not_overwritten_in_passing(tmp_path: Path, then, now, said):
    run, method = sphere_run(tmp_path)
    settings = run.config.export
    export_mesh(run, method, replace(settings, **then), QUIET, formats=("ply",))
    if said is None:
        refuse_worse(run, replace(settings, **now), run.exports)
    else:
        with pytest.raises(UsageError, match=f"{said}.*\n.*--out") as error:
            refuse_worse(run, replace(settings, **now), run.exports)
        assert "--overwrite" in str(error.value)
    refuse_worse(run, settings, tmp_path)  # another folder


def test_a_mesh_of_more_steps_is_better(tmp_path: Path):
    run, method = sphere_run(tmp_path)
    (run.checkpoints / "step_00000010").mkdir(parents=True)
    export_mesh(run, method, run.config.export, QUIET, formats=("ply",))
    (run.checkpoints / "step_00000010").rename(run.checkpoints / "step_00000009")
    with pytest.raises(UsageError, match="step 10, not 9"):
        refuse_worse(run, run.config.export, run.exports)


def test_normals_of_the_simplified_mesh_are_the_fields(tmp_path: Path):
    run, method = sphere_run(tmp_path, "export.texture_faces=300")
    export_mesh(run, method, run.config.export, QUIET)
    mesh = read_surface(run.exports / "mesh.glb")
    scene = WORLD_FROM_SCENE.inverse().apply(mesh.vertices)
    slope = scene / np.linalg.norm(scene, axis=1, keepdims=True) + np.array([0.0, 0.0, 0.1])
    assert mesh.normals is not None
    np.testing.assert_allclose(mesh.normals, slope / np.linalg.norm(slope, axis=1, keepdims=True), atol=1e-4)


def sphere_gradient(points: Tensor) -> tuple[Tensor, Tensor]:
    length = points.norm(dim=1)
    return length - 1.0, points / length[:, None]


COARSE = trimesh.creation.icosphere(1, 1.0)
ROUGH = Mesh(np.array(COARSE.vertices) * np.array([1.0, 1.0, 0.999]), np.array(COARSE.faces, np.int32))


def test_field_normals_against_a_sphere():
    """On a mesh so coarse that its faces know little, the gradient is right to the last digits; without one the faces' mean stays."""
    lopsided = Mesh(ROUGH.vertices, ROUGH.faces[np.argsort(ROUGH.vertices[ROUGH.faces].mean(1)[:, 0])][5:])
    exact = lopsided.vertices / np.linalg.norm(lopsided.vertices, axis=1, keepdims=True)
    found = with_field_normals(lopsided, sphere_gradient).normals
    assert found is not None
    used = np.unique(lopsided.faces)
    np.testing.assert_allclose(found[used], exact[used], atol=1e-6)
    assert np.abs(vertex_normals(lopsided)[used] - exact[used]).max() > 0.05
    plain = with_field_normals(lopsided, None).normals
    assert plain is not None
    np.testing.assert_array_equal(plain, vertex_normals(lopsided))


@pytest.mark.parametrize("case", ["turned over", "zero", "on the border"])
def test_where_the_field_has_no_say_the_faces_normals_stay(case):
    def gradient(points: Tensor) -> tuple[Tensor, Tensor]:
        values, slope = sphere_gradient(points)
        return values, {"turned over": -slope, "zero": 0 * slope, "on the border": slope}[case]

    found = with_field_normals(ROUGH, gradient, sphere_radius=1.0 if case == "on the border" else None).normals
    assert found is not None
    wanted = vertex_normals(ROUGH)
    stays = np.linalg.norm(ROUGH.vertices, axis=1) >= 0.999 if case == "on the border" else np.ones(len(wanted), bool)
    assert stays.sum() > 10
    np.testing.assert_array_equal(found[stays], wanted[stays])


@pytest.mark.parametrize(("faces", "budget"), [(100, 60_000), (2_000_000, 60_000), (16_000_000, 60_000), (16_000_000, 1_000_000)])
def test_only_meshes_that_can_be_simplified_are(faces, budget):
    """Faces go as the resolution squared: what is extracted instead has enough of them, and not too many."""
    settings = ExportConfig(resolution=2048, texture_faces=budget)
    enough = exporting._enough_resolution(faces, settings)
    most = max(exporting.SIMPLIFIED_FACES, 16 * budget)
    if faces <= most:
        assert enough == 2048
    else:
        expected = faces * (enough / 2048) ** 2
        assert 8 * budget <= expected <= most


def test_too_many_faces_are_extracted_again_and_all_are_kept_in_the_ply(tmp_path: Path, monkeypatch):
    run, method = sphere_run(tmp_path, "export.texture_faces=100")
    monkeypatch.setattr(exporting, "SIMPLIFIED_FACES", 1000)
    extracted: list[int] = []
    original = exporting.extract_mesh

    def counted(*args, **options):
        extracted.append(options["resolution"])
        return original(*args, **options)

    monkeypatch.setattr(exporting, "extract_mesh", counted)
    report = export_mesh(run, method, run.config.export, QUIET)
    assert extracted[0] == 48
    assert len(extracted) == 2
    assert extracted[1] < 48
    assert len(read_mesh(run.exports / "mesh.ply").faces) == report.faces > 1600
    small = read_surface(run.exports / "mesh.glb")
    assert len(small.faces) <= 100
    outward = (face_cross(small) * (small.vertices[small.faces].mean(1) - CENTER)).sum(1)
    assert (outward > 0).all()
    assert np.linalg.norm(small.vertices - CENTER, axis=1) == pytest.approx(RADIUS, rel=0.1)


def test_colours_are_seen_from_where_the_cameras_are():
    """In front of one camera: toward it, wherever the normal points. Among cameras on a whole sphere: along the normal."""
    rng = np.random.default_rng(0)
    normals = rng.normal(size=(500, 3))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    points = 0.3 * normals
    one = np.array([[0.0, 0.0, 5.0]])
    expected = (one - points) / np.linalg.norm(one - points, axis=1, keepdims=True)
    np.testing.assert_allclose(exporting.toward_cameras(points, normals, one), expected, atol=1e-12)
    around = rng.normal(size=(3000, 3))
    around *= 50.0 / np.linalg.norm(around, axis=1, keepdims=True)
    assert (exporting.toward_cameras(points, normals, around) * normals).sum(1).min() > 0.99
    half = around[around[:, 2] > 0]
    below = exporting.toward_cameras(points, normals, half)
    assert below[:, 2].min() > -0.01  # never from where no camera is
    assert np.linalg.norm(below, axis=1) == pytest.approx(1.0)
