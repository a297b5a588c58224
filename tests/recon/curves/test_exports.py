"""Every file of curves, read back by a reader that is not the writer's, names the same points."""

from __future__ import annotations

import json
import math
import re
import sys
import xml.etree.ElementTree as ET
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial import KDTree

from recon.curves.files.curve import Curve
from recon.curves.files.exports import FORMATS, export_curves
from recon.curves.files.polylines import CUBIC_SHARE, extent, polynomial_cubics, read_curves, write_obj, write_parametric_edges, write_ply
from recon.curves.files.wireframe import Wireframe, load
from recon.errors import CapabilityError, DataError
from recon.geometry import Similarity
from tests.recon.curves.wireframes import box, camera, mixed

EMPTY = Wireframe(np.zeros((0, 3)), ())


def distance(points: np.ndarray, curve: Curve) -> np.ndarray:
    """Distance of points to a curve: nearest of dense samples, then Newton along the parameter."""
    t = np.linspace(0, curve.pieces, 2000 * curve.pieces + 1)
    near = t[KDTree(curve.at(t)).query(points)[1]]
    for _ in range(20):
        tangent = curve.tangent(near)
        step = ((points - curve.at(near)) * tangent).sum(1) / (tangent**2).sum(1)
        near = np.clip(near + step, 0, curve.pieces)
    return np.linalg.norm(points - curve.at(near), axis=1)


def both_ways(points: np.ndarray, curve: Curve, tolerance: float, spacing: float) -> None:
    """Points lie on the curve, and leave no part of it longer than ``spacing`` without one; an open curve's ends are among them."""
    assert distance(points, curve).max() < tolerance
    gap = KDTree(points).query(curve.at(np.linspace(0, curve.pieces, 400)))[0].max()
    assert gap < spacing
    for end in curve.control_points[[0, -1]] if not curve.closed else ():
        assert np.linalg.norm(points - end, axis=1).min() < tolerance


def test_obj_read_by_vtk(tmp_path):
    io = pytest.importorskip("vtkmodules.vtkIOGeometry")
    from vtkmodules.util.numpy_support import vtk_to_numpy

    wireframe = mixed()
    write_obj(wireframe, tmp_path / "curves.obj")
    reader = io.vtkOBJReader()
    reader.SetFileName(str(tmp_path / "curves.obj"))
    reader.Update()
    lines = reader.GetOutput()
    points = vtk_to_numpy(lines.GetPoints().GetData()).astype(np.float64)  # VTK keeps float32
    assert lines.GetNumberOfLines() == len(wireframe.curves)
    cells = lines.GetLines()
    offsets, connectivity = (vtk_to_numpy(a()) for a in (cells.GetOffsetsArray, cells.GetConnectivityArray))
    for k, curve in enumerate(wireframe.curves):
        along = points[connectivity[offsets[k] : offsets[k + 1]]]
        both_ways(along, curve, 2e-6, 0.011 * extent(wireframe) if curve.type != "line" else 10.0)


def test_obj_text_is_exact_and_curves_share_vertices(tmp_path):
    wireframe = mixed()
    write_obj(wireframe, tmp_path / "curves.obj")
    rows = (tmp_path / "curves.obj").read_text().splitlines()
    points = np.array([r.split()[1:] for r in rows if r.startswith("v ")], np.float64)
    lines = [np.array(r.split()[1:], int) - 1 for r in rows if r.startswith("l ")]
    assert [r for r in rows if r.startswith("o ")] == [f"o curve_{k}_{c.type}" for k, c in enumerate(wireframe.curves)]
    for along, curve in zip(lines, wireframe.curves, strict=True):
        assert distance(points[along], curve).max() < 1e-12
        ends = (along[0], along[-1])
        assert ends == curve.vertices if curve.vertices is not None else ends[0] == ends[1]
    assert len(lines[0]) == 2


def test_ply_edges(tmp_path):
    trimesh_ply = pytest.importorskip("trimesh.exchange.ply")
    wireframe = mixed()
    write_ply(wireframe, tmp_path / "curves.ply")
    with (tmp_path / "curves.ply").open("rb") as file:
        raw = trimesh_ply.load_ply(file)["metadata"]["_ply_raw"]
    points = np.stack([raw["vertex"]["data"][axis] for axis in "xyz"], -1).astype(np.float64).reshape(-1, 3)
    edges = raw["edge"]["data"]
    start, stop, owner = (np.asarray(edges[name]).reshape(-1).astype(int) for name in ("vertex1", "vertex2", "curve"))
    for k, curve in enumerate(wireframe.curves):
        used = points[np.unique(np.concatenate([start[owner == k], stop[owner == k]]))]
        both_ways(used, curve, 1e-6, 0.011 * extent(wireframe) if curve.type != "line" else 10.0)
    colors = {tuple(int(np.asarray(edges[c]).reshape(-1)[i]) for c in ("red", "green", "blue")) for i in range(len(owner))}
    assert len(colors) == 5


def test_parametric_edges_hold_what_emap_writes(tmp_path):
    wireframe = mixed()
    write_parametric_edges(wireframe, tmp_path / "parametric_edges.json")
    data = json.loads((tmp_path / "parametric_edges.json").read_text())
    assert set(data) == {"curves_ctl_pts", "lines_end_pts"}
    np.testing.assert_allclose(np.array(data["lines_end_pts"]).reshape(2, 3), wireframe.vertices[:2], atol=1e-12)
    cubics = np.array(data["curves_ctl_pts"])
    t = np.linspace(0, 1, 21)[:, None]
    basis = np.concatenate([(1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t**2 * (1 - t), t**3], 1)
    points = np.einsum("sk,nkd->nsd", basis, cubics).reshape(-1, 3)
    bent = [c for c in wireframe.curves if c.type != "line"]
    nearest = np.min([distance(points, c) for c in bent], axis=0)
    assert nearest.max() < CUBIC_SHARE * extent(wireframe)
    for curve in bent:
        assert KDTree(points).query(curve.at(np.linspace(0, curve.pieces, 300)))[0].max() < 0.5
    again = read_curves(tmp_path / "parametric_edges.json")
    assert again.length == pytest.approx(wireframe.length, rel=1e-5)
    np.testing.assert_array_equal(np.sort(again.valence)[:2], 1)  # the chain's two ends; all else joins
    assert (again.valence[np.argsort(again.valence)[2:]] == 2).all()


def test_equal_weights_are_copied_without_splitting():
    points = np.random.default_rng(0).normal(size=(7, 3))
    cubics = polynomial_cubics(Curve("bezier", points, np.full(7, 2.5), (0, 1)), 1e-9)
    np.testing.assert_array_equal(cubics, [points[:4], points[3:]])


@pytest.mark.parametrize("text", ['{"curves_ctl_pts": [[1, 2]], "lines_end_pts": []}', '{"curves_ctl_pts": []}', "[]", "x"])
def test_broken_parametric_edges_are_refused(tmp_path, text):
    (tmp_path / "e.json").write_text(text)
    with pytest.raises(DataError, match=r"e\.json"):
        read_curves(tmp_path / "e.json")


def strokes_of(path: Path) -> dict[bool, list[tuple[int, str, np.ndarray]]]:
    name = "{http://www.w3.org/2000/svg}"
    root = ET.parse(path).getroot()
    found = {}
    for group in root.iter(f"{name}g"):
        rows = []
        for row in group.iter(f"{name}polyline"):
            points = np.array([p.split(",") for p in row.attrib["points"].split()], np.float64)
            rows.append((int(row.attrib["data-curve"]), row.attrib["class"], points))
        found[group.attrib["id"] == "visible"] = rows
    return found


def test_svg_points_are_projections(tmp_path):
    wireframe, view = mixed(), camera(np.array([30.0, -30.0, 25.0]), np.array([10.0, -3.0, 3.0]))
    export_curves(tmp_path, wireframe, {"view": view}, None, ["svg"])
    root = ET.parse(tmp_path / "curves_svg" / "view.svg").getroot()
    assert (root.attrib["width"], root.attrib["height"], root.attrib["viewBox"]) == ("320", "240", "0 0 320 240")
    found = strokes_of(tmp_path / "curves_svg" / "view.svg")
    assert not found[False]
    assert [n for n, _, _ in found[True]] == list(range(6))
    for number, kind, points in found[True]:
        curve = wireframe.curves[number]
        assert kind == curve.type
        # rays through the corners meet the curve: the distance in the picture is that of the projected curve
        t = np.linspace(0, curve.pieces, 20001 * curve.pieces)
        pixels = view.project(curve.at(t))[0]
        assert KDTree(pixels).query(points)[0].max() < 0.02
        np.testing.assert_allclose(points[[0, -1]], pixels[[0, -1]], atol=1e-6)
        if kind == "line":
            assert len(points) == 2


@pytest.mark.parametrize(("eye", "hidden"), [((9.0, 8.0, 7.0), 3), ((-5.0, -6.0, -7.0), 3), ((9.0, 1.5, 1.0), 8), ((9.0, 8.0, 1.0), 5)])
def test_svg_hides_what_a_box_hides(tmp_path, eye, hidden):
    """From before a corner three edges of a box are hidden, from before an edge five, from before a face eight."""
    wireframe, mesh = box()
    export_curves(tmp_path, wireframe, {"view": camera(eye, (2.0, 1.5, 1.0), 200.0)}, mesh, ["svg"])
    found = strokes_of(tmp_path / "curves_svg" / "view.svg")
    length = np.zeros((2, 12))
    for seen, rows in found.items():
        for number, _, points in rows:
            length[int(seen), number] += np.linalg.norm(points[-1] - points[0])
    share = length[0] / length.sum(0)
    assert (share > 0.9).sum() == hidden
    assert (share < 0.1).sum() == 12 - hidden


def test_svg_leaves_out_what_is_behind_the_camera(tmp_path):
    wireframe, _ = box()
    export_curves(tmp_path, wireframe, {"inside": camera((2.0, 1.5, 1.0), (9.0, 1.5, 1.0))}, None, ["svg"])
    found = strokes_of(tmp_path / "curves_svg" / "inside.svg")[True]
    points = np.concatenate([p for _, _, p in found])
    assert np.isfinite(points).all()
    assert (np.abs(points) < 1000).all()


@pytest.mark.parametrize(("unit", "code"), [("mm", 4), ("m", 6), (None, 0), ("furlong", 0)])
def test_dxf_read_by_ezdxf(tmp_path, unit, code):
    ezdxf = pytest.importorskip("ezdxf")
    wireframe = mixed(unit)
    export_curves(tmp_path, wireframe, {}, None, ["dxf"])
    document = ezdxf.readfile(tmp_path / "curves.dxf")
    assert not document.audit().errors
    assert document.units == code
    entities = list(document.modelspace())
    assert [e.dxftype() for e in entities] == ["LINE", "ARC", "SPLINE", "ELLIPSE", "CIRCLE", "ELLIPSE"]
    for entity, curve in zip(entities, wireframe.curves, strict=True):
        assert entity.dxf.layer == curve.type
        points = np.array(dxf_points(entity), np.float64)
        both_ways(points, curve, 1e-6, 0.25 if curve.type != "line" else 10.0)


def dxf_points(entity) -> list:
    kind = entity.dxftype()
    if kind == "LINE":
        return [entity.dxf.start, entity.dxf.end]
    if kind == "SPLINE":
        return list(entity.construction_tool().approximate(200))
    if kind == "ELLIPSE":
        start, end = entity.dxf.start_param, entity.dxf.end_param
        end = end + 2 * math.pi if end <= start else end
        return list(entity.vertices(np.linspace(start, end, 200)))
    start, end = (0.0, 360.0) if kind == "CIRCLE" else (entity.dxf.start_angle, entity.dxf.end_angle)
    end = end + 360 if end <= start else end
    return list(entity.vertices(np.linspace(start, end, 200)))


@pytest.mark.parametrize(("unit", "factor"), [("mm", 1.0), ("m", 1000.0), (None, 1.0)])
def test_step_read_by_opencascade(tmp_path, unit, factor):
    pytest.importorskip("OCP")
    from recon.curves.files.occ import distinct, occ, subshapes

    wireframe = mixed(unit)
    export_curves(tmp_path, wireframe, {}, None, ["step"])
    reader = occ("STEPControl").STEPControl_Reader()
    reader.ReadFile(str(tmp_path / "curves.step"))
    assert reader.TransferRoots() == 1  # one part, not an assembly
    edges, _ = distinct(subshapes(reader.OneShape(), "EDGE"))
    assert len(edges) == len(wireframe.curves)
    scaled = wireframe.transformed(Similarity(factor))
    kinds = []
    for edge, curve in zip(edges, scaled.curves, strict=True):
        adaptor = occ("BRepAdaptor").BRepAdaptor_Curve(edge)
        kinds.append(str(adaptor.GetType()).rpartition("_")[2])
        t = np.linspace(adaptor.FirstParameter(), adaptor.LastParameter(), 200)
        points = np.array([(p.X(), p.Y(), p.Z()) for p in (adaptor.Value(float(v)) for v in t)])
        both_ways(points, curve, 1e-6 * factor, 0.25 * factor)
    assert kinds == ["Line", "Circle", "BSplineCurve", "Ellipse", "Circle", "Ellipse"]
    text = (tmp_path / "curves.step").read_text()
    written = Counter(re.findall(r"\b(CIRCLE|ELLIPSE|LINE|B_SPLINE_CURVE_WITH_KNOTS)\s*\(", text))
    assert (written["CIRCLE"], written["ELLIPSE"], written["LINE"]) == (2, 2, 1)


@pytest.mark.parametrize("scale", [1e-2, 1e5])
def test_small_and_large_worlds_can_be_written_as_cad(tmp_path, scale):
    """Coordinates of a hundredth and of a million; ends are as inexact as a wireframe may have them."""
    pytest.importorskip("ezdxf")
    pytest.importorskip("OCP")
    wireframe = mixed(None).transformed(Similarity(scale))
    size = np.abs(wireframe.vertices).max()
    rough = Wireframe(wireframe.vertices + 5e-10 * max(size, 1.0) * np.array([1.0, -1.0, 0.5]), wireframe.curves)
    assert not rough.problems()
    written, _ = export_curves(tmp_path, rough, {}, None, ["dxf", "step"])
    assert all(p.stat().st_size > 1000 for p in written)


def test_all_formats_at_once_and_again(tmp_path):
    pytest.importorskip("ezdxf")
    pytest.importorskip("OCP")
    wireframe, mesh = box()
    views = {f"train_{k}": camera((9.0, 8.0 - k, 7.0), (2.0, 1.5, 1.0)) for k in range(3)}
    written, notes = export_curves(tmp_path / "exports", wireframe, views, mesh)
    assert [note for note in notes if "--unit" not in note] == []
    assert len(written) == len(FORMATS)
    assert all(p.exists() for p in written)
    assert load(tmp_path / "exports" / "curves.json").length == pytest.approx(36.0)
    export_curves(tmp_path / "exports", wireframe, {"only": views["train_0"]}, mesh, ["svg"])
    assert [p.name for p in (tmp_path / "exports" / "curves_svg").iterdir()] == ["only.svg"]
    assert not list(tmp_path.rglob("*.tmp*"))


@pytest.mark.parametrize("name", ["json", "edges", "obj", "ply", "svg", "dxf", "step"])
def test_no_curves_make_readable_files(tmp_path, name):
    if name in ("dxf", "step"):
        pytest.importorskip({"dxf": "ezdxf", "step": "OCP"}[name])
    written, _ = export_curves(tmp_path, EMPTY, {"view": camera((9.0, 8.0, 7.0), (0.0, 0.0, 0.0))}, None, [name])
    assert written[0].exists()
    if name in ("json", "edges"):
        assert read_curves(written[0]).curves == ()


@pytest.mark.parametrize(("name", "module"), [("dxf", "ezdxf"), ("step", "OCP")])
def test_a_missing_extra_is_said(tmp_path, monkeypatch, name, module):
    monkeypatch.setitem(sys.modules, module, None)
    for loaded in [m for m in sys.modules if m.startswith(module + ".")]:
        monkeypatch.setitem(sys.modules, loaded, None)
    with pytest.raises(CapabilityError, match=r"formfield\[cad\]"):
        export_curves(tmp_path, mixed(), {}, None, [name])
    written, notes = export_curves(tmp_path, mixed(), {})
    assert [name in n and "formfield[cad]" in n for n in notes] == [True]
    assert all(name not in p.name.split(".") for p in written)


def test_a_part_far_from_the_origin(tmp_path):
    """0.1 m in UTM coordinates: the STEP file is moved to the origin and that is said, the others are not; the DXF opens at its content."""
    ezdxf = pytest.importorskip("ezdxf")
    pytest.importorskip("OCP")
    shift = np.array([448262.5, 5411930.25, 112.75])
    near = box()[0].transformed(Similarity(0.1 / extent(box()[0])), "m")
    far = near.transformed(Similarity(translation=shift), "m")
    _, notes = export_curves(tmp_path, far, {}, formats=["step", "dxf", "json"])
    assert any("curves.step: far from the origin" in note for note in notes)
    text = (tmp_path / "curves.step").read_text()
    points = np.array([[float(x) for x in m.split(",")] for m in re.findall(r"CARTESIAN_POINT\('[^']*',\(([^)]*)\)\)", text)])
    assert np.abs(points).max() < 200  # millimetres
    assert float(re.findall(r"UNCERTAINTY_MEASURE_WITH_UNIT\(LENGTH_MEASURE\(([^)]*)\)", text)[0]) < 1e-3
    np.testing.assert_allclose(load(tmp_path / "curves.json").vertices, far.vertices, atol=1e-8)
    document = ezdxf.readfile(tmp_path / "curves.dxf")
    np.testing.assert_allclose(document.header["$EXTMIN"], far.vertices.min(0), atol=1e-6)
    view = document.viewports.get("*Active")[0]
    np.testing.assert_allclose([*view.dxf.center][:2], (far.vertices.min(0) + far.vertices.max(0))[:2] / 2, atol=1e-3)
    assert 0.05 < view.dxf.height < 0.3


@pytest.mark.parametrize(
    ("product", "written"), [("bracket", "bracket"), (None, "curves"), ("Bügel's \\X2\\ part\n", "Bugel_s _X2_ part_")]
)
def test_a_step_names_its_product_and_who_wrote_it(tmp_path, product, written):
    """What CAD programs list; a name that would end a string of the file does not."""
    pytest.importorskip("OCP")
    export_curves(tmp_path, box()[0], {}, formats=["step"], product=product)
    text = " ".join((tmp_path / "curves.step").read_text().split())
    assert re.search(r"PRODUCT\('([^']*)'", text)[1] == written  # pyright: ignore
    name = re.search(r"FILE_NAME\('([^']*)', ?'[^']*', ?\( ?'([^']*)'\), ?\( ?'([^']*)'\), ?'([^']*)', ?'([^']*)'", text)
    assert name is not None
    assert (name[1], name[2], name[3]) == (written, "formfield", "")
    assert name[5].startswith("formfield ")
    assert "Open CASCADE STEP translator" not in text


def test_a_step_of_an_unknown_unit_is_said(tmp_path):
    pytest.importorskip("OCP")
    assert any("--unit" in note for note in export_curves(tmp_path, box()[0], {}, formats=["step"])[1])
    assert export_curves(tmp_path, box()[0].transformed(Similarity(), "mm"), {}, formats=["step"])[1] == []
