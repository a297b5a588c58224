"""Scenes from CAD files and meshes, broken ones included."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import trimesh

import scenes
from recon.curves.files.occ import read_step, static
from recon.errors import CapabilityError, DataError, UsageError
from scenes.library import DATA, SceneOptions
from scenes.making.render import RenderOptions

SMALL = SceneOptions(40, 40, train=4, test=1, render=RenderOptions(2))
SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.mark.parametrize("suffix", [".obj", ".ply", ".stl", ".glb"])
def test_every_kind_of_mesh_gives_the_same_closed_surface(tmp_path, suffix):
    source = trimesh.creation.torus(20, 6)
    source.apply_translation((100, 50, -30))
    path = tmp_path / f"ring{suffix}"
    source.export(path)
    known = scenes.truth_from_file(path)
    assert (known.name, known.unit, known.curves) == ("ring", None, ())
    assert len(known.vertices) == len(source.vertices)  # STL's repeated corners are one again
    np.testing.assert_allclose(known.solid.bounds, source.bounds, atol=1e-4)
    mesh = trimesh.Trimesh(known.vertices, known.faces, process=False)
    assert mesh.is_watertight
    assert mesh.volume == pytest.approx(source.volume, rel=1e-4)


def test_a_mesh_turned_inside_out_is_turned_back(tmp_path):
    box = trimesh.creation.box((2, 3, 4))
    box.invert()
    box.export(tmp_path / "box.ply")
    known = scenes.truth_from_file(tmp_path / "box.ply")
    assert trimesh.Trimesh(known.vertices, known.faces, process=False).volume == pytest.approx(24)


def test_file_to_dataset(tmp_path):
    trimesh.creation.capsule(10, 4).export(tmp_path / "capsule.ply")
    out = scenes.write_file(tmp_path / "capsule.ply", tmp_path / "data", SMALL, views=3, size=32)
    assert (out / "truth" / "mesh.ply").is_file()
    assert len(list((out / "train").iterdir())) == 3


def _write(path, kind):
    box = trimesh.creation.box()
    if kind == "hole":
        trimesh.Trimesh(box.vertices, box.faces[1:], process=False).export(path)
    elif kind == "fin":
        fin = np.vstack([box.vertices, [[3.0, 0, 0]]])
        trimesh.Trimesh(fin, np.vstack([box.faces, [[*box.faces[0][:2], 8]]]), process=False).export(path)
    elif kind == "turned":
        faces = box.faces.copy()
        faces[0] = faces[0][::-1]
        trimesh.Trimesh(box.vertices, faces, process=False).export(path)
    elif kind == "points":
        trimesh.PointCloud(box.vertices).export(path)
    elif kind == "flat":
        trimesh.Trimesh(np.ones((3, 3)), [[0, 1, 2]], process=False).export(path)
    elif kind == "nan":
        vertices = box.vertices.copy()
        vertices[0] = np.nan
        trimesh.Trimesh(vertices, box.faces, process=False).export(path)
    elif kind == "garbage":
        path.write_bytes(b"\x00\x01 this is no mesh")
    elif kind == "empty":
        path.write_bytes(b"")


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("hole", "holes"), ("fin", "more than two"), ("turned", "opposite"), ("points", "no triangles"), ("flat", "one place"),
        ("nan", "not finite"), ("garbage", "mesh.ply"), ("empty", "mesh.ply"), ("absent", "does not exist"),
    ],
)  # fmt: skip
def test_broken_meshes_are_refused_with_the_reason(tmp_path, kind, words):
    path = tmp_path / "mesh.ply"
    _write(path, kind)
    with pytest.raises(DataError, match=words):
        scenes.write_file(path, tmp_path / "out", SMALL)
    assert not (tmp_path / "out").exists()


def test_an_open_surface_can_be_accepted(tmp_path):
    _write(tmp_path / "mesh.ply", "hole")
    assert len(scenes.truth_from_file(tmp_path / "mesh.ply", allow_open=True).faces) == 11


@pytest.mark.parametrize("name", ["part.dwg", "part", "part.f3d"])
def test_unknown_kinds_of_files_are_refused(tmp_path, name):
    (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match=r"\.step"):
        scenes.truth_from_file(tmp_path / name)


def test_step_without_the_extra_names_it(tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "OCP", None)
    for module in [m for m in sys.modules if m.startswith("OCP.")]:
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "part.step").write_text("ISO-10303-21;")
    with pytest.raises(CapabilityError, match=r"formfield\[cad\]"):
        scenes.truth_from_file(tmp_path / "part.step")


@pytest.fixture
def occ():
    return pytest.importorskip("OCP")


@pytest.mark.parametrize("content", ["", "ISO-10303-21;\nHEADER;\n", "hello", "half"])
def test_broken_step_is_refused(tmp_path, occ, content):
    path = tmp_path / "part.step"
    whole = (DATA / "nut" / "part.step").read_text()
    path.write_text(whole[: len(whole) // 3] if content == "half" else content)
    with pytest.raises(DataError, match=r"part\.step"):
        scenes.truth_from_file(path)


@pytest.mark.parametrize("name", ["nut", "ellipses", "link"])
def test_shipped_step_gives_the_shipped_curves(occ, name):
    """STEP and the packed data say the same: the curves' types and lengths, and the volume."""
    shipped, read = scenes.truth(name), scenes.truth_from_file(DATA / name / "part.step")
    for a, b in ((shipped.curves, read.curves), (shipped.tangent_curves, read.tangent_curves)):
        assert Counter(c.type for c in a) == Counter(c.type for c in b)
        np.testing.assert_allclose(sorted(c.length for c in a), sorted(c.length for c in b), rtol=1e-4)
    shape = read_step(DATA / name / "part.step")
    import OCP.BRepGProp
    import OCP.GProp

    properties = OCP.GProp.GProp_GProps()
    static(OCP.BRepGProp.BRepGProp, "VolumeProperties")(shape, properties)
    volume = trimesh.Trimesh(shipped.vertices, shipped.faces, process=False).volume
    assert volume == pytest.approx(properties.Mass(), rel=1e-3)


def test_edges_of_a_real_part_are_the_files_own(occ):
    path = SHARED / "step" / "nist_ctc_01_asme1_ap203.stp"
    if not path.is_file():
        pytest.skip("the development data folder is absent")
    import re

    text = path.read_text(errors="replace").replace("\n", "")
    kind = dict(re.findall(r"#(\d+)\s*=\s*([A-Z_0-9]+)", text))
    own = Counter(kind[c] for c in re.findall(r"EDGE_CURVE\s*\(\s*'[^']*'\s*,\s*#\d+\s*,\s*#\d+\s*,\s*#(\d+)", text))
    known = scenes.truth_from_file(path)
    found = Counter(c.type for c in (*known.curves, *known.tangent_curves))
    assert found["line"] == own["LINE"]
    assert found["arc"] + found["circle"] == own["CIRCLE"]
    assert found["ellipse"] == own["ELLIPSE"]
    assert found["bezier"] == own["B_SPLINE_CURVE_WITH_KNOTS"]
    assert known.unit == "mm"


CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "95-scene-imports"
IMPORTS = {
    "UPPER.STP": "mm",
    "box-inch.step": "mm",
    "box-metre.stp": "mm",
    "two solids.step": "mm",
    "inward.stl": None,
    "ngon.ply": None,
    "part with spaces \u00fc.stl": None,
    "quads.obj": None,
    "far.obj": None,
    "two-nodes-scaled.glb": None,
    "degenerate.obj": "",
    "open-scan.ply": "",
    "truncated.step": "",
}
"""Unit of what is read; "" for what is refused, in words."""


@pytest.mark.data
@pytest.mark.skipif(not CASES.is_dir(), reason="the folder of users' cases is absent")
@pytest.mark.parametrize("name", IMPORTS)
def test_imports_of_users(name):
    """STEP in inches and metres, several solids, names with spaces, polygons, scaled nodes, far away: closed and outward."""
    path = CASES / name
    if path.suffix.lower() in (".step", ".stp"):
        pytest.importorskip("OCP")
    if IMPORTS[name] == "":
        with pytest.raises(DataError, match=path.name) as error:
            scenes.truth_from_file(path)
        assert "allow_open" not in str(error.value)
        return
    known = scenes.truth_from_file(path)
    assert known.unit == IMPORTS[name]
    mesh = trimesh.Trimesh(known.vertices, known.faces, process=False)
    assert mesh.volume > 0
    assert mesh.is_watertight


def test_every_import_of_users_is_in_the_table():
    if not CASES.is_dir():
        pytest.skip("the folder of users' cases is absent")
    assert {p.name for p in CASES.iterdir()} - {"CASE.md"} == set(IMPORTS)
