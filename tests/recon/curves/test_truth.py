"""True curves from files: ABC's features, sampled points, STEP, curves.json; and what is refused."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml

from recon.curves.files.wireframe import Wireframe, save
from recon.errors import DataError
from recon.evaluation.truth.curves import from_wireframe, read_curve_truth
from recon.evaluation.truth.interpolate import bezier_through
from recon.evaluation.truth.known import read_truth
from recon.geometry import Similarity
from tests.recon.curves.wireframes import box, mixed

SHARED = Path(__file__).parents[4] / "shared" / "data"
ABC = SHARED / "abc_nef"


def points_ply(points: np.ndarray, faces: int = 0) -> str:
    head = ["ply", "format ascii 1.0", f"element vertex {len(points)}", *(f"property double {a}" for a in "xyz")]
    if faces:
        head += [f"element face {faces}", "property list uchar int vertex_indices"]
    return "\n".join([*head, "end_header", *(" ".join(map(str, p)) for p in points.tolist()), *["3 0 1 2"] * faces]) + "\n"


def write_abc(folder: Path, with_mesh: bool = True, with_stats: bool = True) -> dict:
    """A half disc of radius 20 at (100, 0, 0) on the z = 0 plane with a hole's circle and a spline, in the files' own form."""
    angles = np.linspace(0, math.pi, 9)
    arc = np.stack([100 + 20 * np.cos(angles), 20 * np.sin(angles), 0 * angles], 1)
    chord = np.linspace(arc[-1], arc[0], 6)
    turn = np.linspace(0, 2 * math.pi, 13)[:-1]
    hole = np.stack([100 + 4 * np.cos(turn), 8 + 4 * np.sin(turn), 0 * turn], 1)
    t = np.linspace(0, 1, 30)
    wave = np.stack([80 + 40 * t, 0 * t, 5 * np.sin(2 * math.pi * t)], 1)
    vertices = np.concatenate([arc, chord[1:-1], hole, wave[1:-1]])
    first_wave = 9 + 4 + 12
    curves = [
        {"type": "Circle", "sharp": True, "location": [100.0, 0.0, 0.0], "radius": 20.0, "x_axis": [1.0, 0.0, 0.0],
         "y_axis": [0.0, 1.0, 0.0], "z_axis": [0.0, 0.0, 1.0], "vert_indices": list(range(9)), "vert_parameters": angles.tolist()},
        {"type": "Line", "sharp": True, "location": [80.0, 0.0, 0.0], "direction": [1.0, 0.0, 0.0],
         "vert_indices": [8, 9, 10, 11, 12, 0], "vert_parameters": np.linspace(0, 40, 6).tolist()},
        {"type": "Circle", "sharp": True, "location": [100.0, 8.0, 0.0], "radius": 4.0, "x_axis": [1.0, 0.0, 0.0],
         "y_axis": [0.0, 1.0, 0.0], "z_axis": [0.0, 0.0, 1.0], "vert_indices": [*range(13, 25), 13],
         "vert_parameters": [*turn.tolist(), 2 * math.pi]},
        {"type": "BSpline", "sharp": True, "vert_indices": [8, *range(first_wave, first_wave + 28), 0], "vert_parameters": t.tolist()},
        {"type": "Line", "sharp": False, "location": [0.0, 0.0, 0.0], "direction": [1.0, 0.0, 0.0], "vert_indices": [0, 3],
         "vert_parameters": [0.0, 1.0]},
    ]  # fmt: skip
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump({"curves": curves}) + "surfaces:\n- this: [is not, parsed\n"
    (folder / "00000007_abc_features_000.yml").write_text(text)
    if with_mesh:
        rows = [*(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices), "vn 0 0 1", "f 1//1 2//1 3//1"]
        (folder / "00000007_abc_trimesh_000.obj").write_text("\n".join(rows))
    if with_stats:
        stats = {"00000007": {"bbox": [80.0, 0.0, -5.0, 120.0, 20.0, 5.0, 40.0, 20.0, 10.0]}}
        (folder.parent / "chunk_0000_stats.json").write_text(json.dumps(stats))
    return {"curves": curves}


def test_abc_curves_are_exact_in_the_benchmarks_world(tmp_path):
    write_abc(tmp_path / "groundtruth")
    truth = read_curve_truth(tmp_path)
    assert truth.wireframe is not None
    assert truth.extent_of == "object"
    assert truth.raw_from_world == pytest.approx(40.0)
    curves = truth.wireframe.curves
    assert [c.type for c in curves] == ["arc", "line", "circle", "bezier"]
    assert [c.vertices for c in curves] == [(0, 1), (1, 0), None, (1, 0)]
    world = lambda p: np.array(p) / 40.0 + 0.5 - np.array([100.0, 10.0, 0.0]) / 40.0  # noqa: E731
    np.testing.assert_allclose(truth.wireframe.vertices, world([[120, 0, 0], [80, 0, 0]]), atol=1e-7)
    assert curves[0].parameters["radius"] == pytest.approx(0.5)
    np.testing.assert_allclose(curves[0].parameters["center"], world([100, 0, 0]), atol=1e-9)
    assert curves[0].length == pytest.approx(0.5 * math.pi, rel=1e-6)
    assert curves[2].length == pytest.approx(0.2 * math.pi, rel=1e-6)
    t = np.linspace(0, 1, 500)
    wave = world(np.stack([80 + 40 * t, 0 * t, 5 * np.sin(2 * math.pi * t)], 1))
    on = curves[3].at(np.linspace(0, curves[3].pieces, 2000))
    assert np.abs(on[:, 2] - np.interp(on[:, 0], wave[:, 0], wave[:, 2])).max() < 3e-5
    assert len(truth.polylines) == 4
    assert not truth.wireframe.problems(1e-6)


def test_the_box_comes_from_statistics_mesh_or_curves(tmp_path):
    boxes = {}
    for name, options in {"stats": {}, "mesh": {"with_stats": False}}.items():
        write_abc(tmp_path / name / "gt", **options)
        boxes[name] = read_curve_truth(tmp_path / name / "gt")
    np.testing.assert_allclose(boxes["mesh"].wireframe.vertices, boxes["stats"].wireframe.vertices, atol=2e-3)  # the wave's peaks
    assert boxes["mesh"].extent_of == "object"


def test_without_the_mesh_lines_and_circles_come_from_their_parameters(tmp_path):
    content = write_abc(tmp_path / "a", with_mesh=False)
    content["curves"][3] |= SPLINE
    features = tmp_path / "a" / "00000007_abc_features_000.yml"
    features.write_text(yaml.safe_dump(content))
    bare = read_curve_truth(tmp_path / "a")
    write_abc(tmp_path / "b" / "gt")
    full = read_curve_truth(tmp_path / "b" / "gt")
    assert bare.wireframe is not None
    assert full.wireframe is not None
    for a, b in zip(bare.wireframe.curves[:3], full.wireframe.curves[:3], strict=True):
        assert (a.type, a.vertices) == (b.type, b.vertices)
        np.testing.assert_allclose(a.at(np.linspace(0, 1, 20)), b.at(np.linspace(0, 1, 20)), atol=1e-6)
    spline = bare.wireframe.curves[3]
    assert spline.type == "bezier"
    raw = spline.transformed(Similarity(bare.raw_from_world, np.eye(3), np.array([80.0, -10.0, -20.0])))
    on = raw.at(np.linspace(0, raw.pieces, 100))
    s = (on[:, 0] - 80) / 40  # poles at thirds: x runs evenly, z = 3 s (1-s)^2 9 - 3 s^2 (1-s) 9
    np.testing.assert_allclose(on[:, 2], 27 * (s * (1 - s) ** 2 - s**2 * (1 - s)), atol=1e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"type": "Other"}, r"curve 3 \(Other\): needs the object's \.obj"),
        ({"knots": [0.0, 1.0]}, "2 knots for 4 poles"),
        ({"vert_parameters": [0.5, 7.0]}, "outside of its knots"),
        ({"poles": [[0.0, 0.0, 0.0]] * 4}, "not where other curves have vertex 8"),
    ],
)
def test_without_the_mesh_parameters_must_make_sense(tmp_path, change, words):
    content = write_abc(tmp_path / "a", with_mesh=False)
    content["curves"][3] |= {**SPLINE, **change}
    (tmp_path / "a" / "00000007_abc_features_000.yml").write_text(yaml.safe_dump(content))
    with pytest.raises(DataError, match=words):
        read_curve_truth(tmp_path / "a")


SPLINE = {
    "degree": 3,
    "knots": [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
    "poles": [[80.0, 0.0, 0.0], [80 + 40 / 3, 0.0, 9.0], [80 + 80 / 3, 0.0, -9.0], [120.0, 0.0, 0.0]],
}


def break_yaml(folder, content):
    (folder / "00000007_abc_features_000.yml").write_text("curves:\n- type: [Line\n")


def break_index(folder, content):
    content["curves"][1]["vert_indices"][0] = 4000
    (folder / "00000007_abc_features_000.yml").write_text(yaml.safe_dump(content))


def break_two(folder, content):
    content["curves"][1]["vert_indices"] = [3]
    del content["curves"][0]["radius"]
    content["curves"][2]["vert_indices"][0] = -1
    (folder / "00000007_abc_features_000.yml").write_text(yaml.safe_dump(content))


def break_smooth(folder, content):
    for curve in content["curves"]:
        curve["sharp"] = False
    (folder / "00000007_abc_features_000.yml").write_text(yaml.safe_dump(content))


def break_mesh(folder, content):
    (folder / "00000007_abc_trimesh_000.obj").write_text("v 1 2 what\n")


def break_empty_mesh(folder, content):
    (folder / "00000007_abc_trimesh_000.obj").write_text("# nothing\n")


def break_second_mesh(folder, content):
    (folder / "00000007_other.obj").write_text("v 0 0 0\n")


def break_second_features(folder, content):
    (folder / "00000008_abc_features_000.yml").write_text("curves: []\n")


def break_stats(folder, content):
    (folder.parent / "chunk_0000_stats.json").write_text('{"00000007": {"points": 3}}')


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (break_yaml, "not a features file"),
        (break_index, "curve 1 .*vertex 4000 of"),
        (break_two, "fewer than two vertices"),
        (break_smooth, "none of its curves is sharp"),
        (break_mesh, "vertices cannot be read"),
        (break_empty_mesh, "no vertices"),
        (break_second_mesh, "several meshes"),
        (break_second_features, "several files"),
        (break_stats, "box of 00000007 cannot be read"),
    ],
)
def test_broken_abc_files_are_named(tmp_path, change, words):
    folder = tmp_path / "groundtruth"
    change(folder, write_abc(folder))
    with pytest.raises(DataError, match=words):
        read_curve_truth(tmp_path)


def test_all_broken_curves_are_told_at_once(tmp_path):
    folder = tmp_path / "groundtruth"
    break_two(folder, write_abc(folder))
    with pytest.raises(DataError) as caught:
        read_curve_truth(tmp_path)
    assert len(caught.value.problems) == 2


def test_points_know_points_only(tmp_path):
    points = np.random.default_rng(0).uniform(0, 3, (50, 3))
    (tmp_path / "groundtruth").mkdir()
    (tmp_path / "groundtruth" / "sampled.ply").write_text(points_ply(points))
    (tmp_path / "sparse.ply").write_text(points_ply(points + 1))  # a dataset's own cloud is no truth
    truth = read_curve_truth(tmp_path)
    assert truth.wireframe is None
    np.testing.assert_allclose(truth.polylines[0], points)
    normalised = truth.normalised_from_world.apply(points)
    assert np.ptp(normalised, axis=0).max() == pytest.approx(1.0)
    np.testing.assert_allclose((normalised.min(0) + normalised.max(0)) / 2, 0.5)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("points.ply", points_ply(np.zeros((0, 3))), "not points sampled"),
        ("points.ply", points_ply(np.full((3, 3), np.nan)), "3 points are not finite"),
        ("points.ply", points_ply(np.ones((3, 3))), "no extent"),
        ("mesh.ply", points_ply(np.eye(3), faces=1), "not points sampled"),
        ("curves.json", "{}", "version None"),
        ("curves.json", '{"version": 1, "vertices": [], "curves": []}', "no feature curve"),
        ("curves.txt", "hello", "no curves can be read from .txt"),
    ],
)
def test_what_is_no_truth_is_refused(tmp_path, name, content, words):
    (tmp_path / name).write_text(content)
    with pytest.raises(DataError, match=words):
        read_curve_truth(tmp_path / name)


def test_nothing_is_no_truth(tmp_path):
    with pytest.raises(DataError, match="no true curves in it"):
        read_curve_truth(tmp_path)
    (tmp_path / "sparse.ply").write_text(points_ply(np.eye(3)))
    with pytest.raises(DataError, match="no true curves in it"):
        read_curve_truth(tmp_path)
    with pytest.raises(DataError, match="there is no such truth"):
        read_curve_truth(tmp_path / "curves.json")


def test_a_wireframe_is_normalised_by_the_object_if_it_is_known():
    wireframe, mesh = box()
    alone = from_wireframe(wireframe, "box")
    assert alone.extent_of == "curves"
    np.testing.assert_allclose(alone.normalised_from_world.apply(mesh.vertices).max(0), [1.0, 0.875, 0.75])
    inside = from_wireframe(wireframe, "box", (np.full(3, -4.0), np.full(3, 4.0)))
    np.testing.assert_allclose(inside.normalised_from_world.apply(mesh.vertices[-1]), [1.0, 0.875, 0.75])


def test_a_folder_can_hold_surface_and_curves(tmp_path):
    wireframe, mesh = box()
    (tmp_path / "truth").mkdir()
    save(wireframe, tmp_path / "truth" / "curves.json")
    only_curves = read_truth(tmp_path)
    assert only_curves.surface is None
    assert only_curves.curves is not None
    assert only_curves.known == "curves"
    (tmp_path / "truth" / "mesh.ply").write_text(points_ply(mesh.vertices, faces=1))
    both = read_truth(tmp_path)
    assert both.surface is not None
    assert both.curves is not None
    assert both.known == "a surface and curves"
    (tmp_path / "truth" / "curves.json").unlink()
    only_surface = read_truth(tmp_path)
    assert only_surface.surface is not None
    assert only_surface.curves is None


def test_a_ply_is_surface_or_points(tmp_path):
    (tmp_path / "a.ply").write_text(points_ply(np.eye(3), faces=1))
    (tmp_path / "b.ply").write_text(points_ply(np.eye(3)))
    assert read_truth(tmp_path / "a.ply").surface is not None
    assert read_truth(tmp_path / "b.ply").curves is not None


def test_step_is_truth():
    pytest.importorskip("OCP")
    from scenes.library import DATA

    truth = read_curve_truth(DATA / "nut" / "part.step")
    assert truth.wireframe is not None
    assert truth.wireframe.unit == "mm"
    shipped = read_curve_truth(DATA / "nut" / "curves.json").wireframe
    assert shipped is not None
    assert Counter(c.type for c in truth.wireframe.curves) == Counter(c.type for c in shipped.curves)
    assert truth.wireframe.length == pytest.approx(shipped.length, rel=1e-4)
    assert truth.extent_of == "object"


@pytest.mark.parametrize("closed", [False, True])
def test_spline_through_points_of_a_circle(closed):
    angles = np.linspace(0, 2 * math.pi if closed else 4.0, 25)
    points = np.stack([np.cos(angles), np.sin(angles), 0 * angles], 1)
    points = np.repeat(points, np.where(np.arange(25) % 5 == 0, 2, 1), axis=0)  # repeated points are skipped
    curve = bezier_through(points, closed, None if closed else (0, 1))
    on = curve.at(np.linspace(0, curve.pieces, 1000))
    assert np.abs(np.linalg.norm(on, axis=1) - 1).max() < 3e-4
    for point in points:
        assert np.abs(curve.control_points - point).max(1).min() < 1e-12
    with pytest.raises(ValueError, match="two different points"):
        bezier_through(np.ones((5, 3)), closed, None)


@pytest.mark.data
@pytest.mark.parametrize(("name", "types", "length"), [("00000952", {"line": 30}, 10.898), ("00004926", {"line": 27, "arc": 6}, 15.113)])
def test_real_objects(name, types, length):
    if not ABC.is_dir():
        pytest.skip("the development data folder is absent")
    truth = read_curve_truth(ABC / name)
    assert truth.wireframe is not None
    assert Counter(c.type for c in truth.wireframe.curves) == types
    assert truth.wireframe.length == pytest.approx(length, abs=1e-3)
    points = np.concatenate(truth.polylines)
    assert ((points > -1e-6) & (points < 1 + 1e-6)).all()


@pytest.mark.data
def test_the_parameters_agree_with_the_points_that_others_sampled():
    """``00004926`` comes without a mesh, but with points that EMAP's authors sampled on it."""
    from scipy.spatial import KDTree

    if not ABC.is_dir():
        pytest.skip("the development data folder is absent")
    truth = read_curve_truth(ABC / "00004926")
    sampled = read_curve_truth(ABC / "00004926" / "groundtruth" / "00004926_0.005.ply").polylines[0]
    assert isinstance(truth.wireframe, Wireframe)
    samples = truth.wireframe.samples(2e-4)[0]
    assert KDTree(samples).query(sampled)[0].max() < 2.6e-4  # half a step, and chords of the mesh
    assert KDTree(sampled).query(samples)[0].max() < 2.6e-4


def test_mixed_curves_are_their_own_truth():
    truth = from_wireframe(mixed(), "mixed")
    assert truth.wireframe is not None
    points = truth.normalised_from_world.apply(truth.wireframe.samples(0.1)[0])
    assert points.min() > -1e-3
    assert points.max() < 1 + 1e-3
