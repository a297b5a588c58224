"""Figures of a solid against the true one, on cases whose answer is known beforehand."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("OCP")

from recon.curves.files.occ import occ, read_step, subshapes
from recon.evaluation.solid_dimensions import FaceSigma
from recon.evaluation.solids import evaluate_solid, part_of, read_part, solid_lines
from scenes.library import DATA
from scenes.modelling import box, chamfer, cut, cylinder, fillet, moved, union

Z = (0, 0, 1)


def block(radius: float = 6.0, top: float = 20.0, tilt: float = 0.0):
    """A block with a bore and a boss, everything away from the origin."""
    body = cut(union(box((0, 0, 0), (60, 40, top)), cylinder((15, 20, 0), Z, 8, 30)), cylinder((42, 20, -1), Z, radius, 50))
    if tilt:
        body = cut(body, moved(box((0, -50, -50), (50, 100, 100)), (60, 0, 0), (0, 1, 0), tilt))
    return moved(body, (100, -40, 7), (1, 2, 3), 0.4)


@pytest.mark.parametrize("name", ["flange", "cam", "nut", "crystal"])
def test_the_truth_against_itself(name: str):
    part = read_part(DATA / name / "part.step")
    figures = evaluate_solid(part, read_part(DATA / name / "part.step"))
    for key in ("faces", "edges", "vertices", "face_edge", "edge_vertex"):
        assert figures[key]["f1"] == 1.0, key
    assert figures["types"]["agreement"] == 1.0
    for key in ("radii", "distances", "angles_deg", "axes", "cone_angles_deg"):
        assert figures[key]["count"] == 0 or figures[key]["largest"] < 1e-9
    assert figures["radii"]["count"] > 0 or name == "crystal"
    assert figures["volume_error"] == 0.0
    assert figures["hausdorff"] < 1e-7  # OpenCASCADE's own tolerance
    assert figures["status"] == "solid"
    assert not figures["missed"]
    assert figures["analytic_share"] == pytest.approx(1.0 if name != "cam" else figures["analytic_share"])


def test_one_radius_changed_by_a_percent():
    figures = evaluate_solid(part_of(block(6.06), "found"), part_of(block(6.0), "true"))
    assert figures["faces"]["f1"] == 1.0
    assert figures["radii"]["count"] == 2
    assert figures["radii"]["largest"] == pytest.approx(0.06, abs=1e-9)
    assert figures["radii"]["median"] == pytest.approx(0.03, abs=1e-9)  # of 0 and 0.06
    assert figures["distances"]["largest"] < 1e-9
    true = 60 * 40 * 20 + math.pi * 8**2 * 10 - math.pi * 36 * 20
    assert figures["volume_error"] == pytest.approx(-math.pi * 20 * (6.06**2 - 36) / true, rel=1e-6)
    assert "radii off by 0.03 mm" in "\n".join(solid_lines(figures))


def test_one_plane_moved():
    figures = evaluate_solid(part_of(block(top=20.2), "found"), part_of(block(), "true"))
    # the top lies 20 above the bottom and 10 below the boss's end; no other distance changes
    assert figures["distances"]["largest"] == pytest.approx(0.2, abs=1e-9)
    errors = figures["distances"]
    assert errors["count"] == 3 + 1 + 1  # bottom, top and end among themselves, and the two pairs of sides
    assert errors["median"] < 1e-9
    assert figures["radii"]["largest"] < 1e-9
    assert figures["angles_deg"]["largest"] < 1e-9


def test_one_plane_tilted():
    tilt = math.radians(0.5)
    figures = evaluate_solid(part_of(block(tilt=-tilt), "found"), part_of(block(tilt=0.0), "true"))
    assert figures["faces"]["f1"] == 1.0
    assert figures["angles_deg"]["largest"] == pytest.approx(0.5, abs=1e-6)


@pytest.mark.parametrize(("sigma", "share"), [(0.029, 0.5), (0.031, 1.0)])
def test_coverage_of_stated_errors(sigma: float, share: float):
    found, truth = part_of(block(6.06), "found"), part_of(block(), "true")
    stated = [FaceSigma(f.kind, f.point, f.axis, f.radius, sigma if f.kind == "cylinder" else None, 0.01) for f in found.anatomy.faces]
    figures = evaluate_solid(found, truth, stated)
    assert figures["radii"]["within_2_sigma"] == share
    assert figures["distances"]["within_2_sigma"] == 1.0
    assert evaluate_solid(found, truth)["radii"]["within_2_sigma"] is None


def test_a_face_missing():
    shape = block()
    builder, shell = occ("BRep").BRep_Builder(), occ("TopoDS").TopoDS_Shell()
    builder.MakeShell(shell)
    faces = subshapes(shape, "FACE")
    for face in faces[1:]:
        builder.Add(shell, face)
    figures = evaluate_solid(part_of(shell, "found"), part_of(shape, "true"))
    count = len(faces)
    assert figures["faces"]["recall"] == pytest.approx((count - 1) / count)
    assert figures["faces"]["precision"] == 1.0
    assert [m["face"] for m in figures["missed"]] == [0]
    assert figures["volume_error"] is None
    assert figures["status"] != "solid"
    assert any("only one face" in line for line in figures["problems"])
    assert figures["edges"]["f1"] == 1.0  # an edge of a hole is still where it was


def test_a_chamfer_where_a_fillet_should_be():
    edge = lambda m, t: abs(t[2]) > 0.9 and m[0] > 50 and m[1] > 30  # noqa: E731
    body = box((0, 0, 0), (60, 40, 20))
    figures = evaluate_solid(part_of(chamfer(body, 0.6, edge), "found"), part_of(fillet(body, 1.0, edge), "true"))
    assert figures["faces"]["matched"] == 6
    assert figures["types"]["by_kind"]["cylinder"]["recall"] == 0.0


def test_pieces_of_one_surface_count_as_one():
    fused = occ("BRepAlgoAPI").BRepAlgoAPI_Fuse(box((0, 0, 0), (30, 40, 20)), box((30, 0, 0), (60, 40, 20)))
    fused.Build()
    assert len(subshapes(fused.Shape(), "FACE")) == 10
    figures = evaluate_solid(part_of(fused.Shape(), "found"), part_of(box((0, 0, 0), (60, 40, 20)), "true"))
    assert [figures[k]["f1"] for k in ("faces", "edges", "vertices")] == [1.0, 1.0, 1.0]


def test_a_shifted_solid_is_off_by_the_shift():
    shape = read_step(DATA / "link" / "part.step")
    truth = part_of(shape, "true")
    figures = evaluate_solid(part_of(moved(shape, (0.03, 0, 0)), "found"), truth)
    assert figures["faces"]["f1"] == 1.0
    assert figures["radii"]["largest"] < 1e-9
    assert 0.02 < figures["axes"]["largest"] < 0.03 + 1e-6  # across the axis, and none need stand square on the shift
    assert 0 < figures["chamfer"] < 0.03
    far = evaluate_solid(part_of(moved(shape, (5.0, 5.0, 5.0)), "found"), truth)
    assert far["faces"]["f1"] < 0.5
    assert far["vertices"]["f1"] < 0.2
    assert np.isfinite(far["q95"])
