"""Solids as files: what is written, and that nothing is called a solid which is none."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("OCP")

from recon.curves.files.occ import occ, read_step, static, subshapes
from recon.errors import DataError
from recon.solid import step as step_module
from recon.solid.anatomy import anatomy, check
from recon.solid.step import FaceMark, Gate, ascii_name, failures, write_solid
from scenes.library import DATA

FLANGE = DATA / "flange" / "part.step"
FINE = Gate(1e-3, None)


def marks(shape) -> list[FaceMark]:
    return [FaceMark(f"face {k}", (0.1, 0.2, k / 100)) for k in range(len(subshapes(shape, "FACE")))]


@pytest.mark.parametrize(("name", "millimetres"), [("flange", 1.0), ("knob", 25.4), ("tee", 1000.0)])
def test_a_solid_is_written_with_unit_names_and_colours(name: str, millimetres: float, tmp_path: Path):
    shape = read_step(DATA / name / "part.step")
    before = check(shape)
    gate = Gate(1e-3 * millimetres, before.volume * millimetres**3)
    written = write_solid(tmp_path, shape, marks(shape), "Welle <1> ü", millimetres, gate, solid=True)
    assert (written.status, written.reasons) == ("solid", ())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["solid.brep", "solid.step"]
    again = check(read_step(written.step))
    assert again.is_solid
    assert again.volume == pytest.approx(before.volume * millimetres**3, rel=1e-9)
    text = written.step.read_text()
    assert "AP242" in text
    assert "SI_UNIT(.MILLI.,.METRE.)" in text
    assert "PRODUCT('Welle <1> _'" in text
    count = len(subshapes(shape, "FACE"))
    assert sum(f"ADVANCED_FACE('face {k}'" in text for k in range(count)) == count
    assert text.count("COLOUR_RGB") == count


def test_surfaces_stay_what_they_are(tmp_path: Path):
    shape = read_step(FLANGE)
    written = write_solid(tmp_path, shape, marks(shape), "flange", 10.0, Gate(1e-2, None), solid=True)
    for before, after in zip(anatomy(shape).faces, anatomy(read_step(written.step)).faces, strict=True):
        assert after.kind == before.kind
        assert after.radius == pytest.approx(10 * before.radius, abs=1e-9)
        assert after.hollow == before.hollow


def without_a_face(shape):
    builder, shell = occ("BRep").BRep_Builder(), occ("TopoDS").TopoDS_Shell()
    builder.MakeShell(shell)
    for face in subshapes(shape, "FACE")[1:]:
        builder.Add(shell, face)
    return shell


def with_a_loose_vertex(shape):
    builder = occ("BRep").BRep_Builder()
    builder.UpdateVertex(subshapes(shape, "VERTEX")[0], 7.0)
    return shape


SPOILT = [
    pytest.param(without_a_face, FINE, "edges have only one face", 16, id="a face is missing"),
    pytest.param(lambda s: s.Reversed(), FINE, "inside out", 17, id="inside out"),
    pytest.param(with_a_loose_vertex, FINE, "largest tolerance is 7 mm", 17, id="held together by tolerance"),
    pytest.param(lambda s: s, Gate(1e-3, 90000.0), "volume differs from the mesh's by -10.01 %", 17, id="another volume"),
]


@pytest.mark.parametrize(("spoil", "gate", "reason", "faces"), SPOILT)
def test_what_is_no_solid_is_not_called_one(spoil, gate: Gate, reason: str, faces: int, tmp_path: Path):
    (tmp_path / "solid.step").write_text("of an earlier try")
    shape = spoil(read_step(FLANGE))
    written = write_solid(tmp_path, shape, marks(shape), "flange", 1.0, gate, solid=True)
    assert written.status == "open_shell"
    assert any(reason in line for line in written.reasons)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["partial.brep", "partial.step"]
    assert len(written.kept) == faces
    assert not subshapes(read_step(written.step), "SOLID")
    assert written.reread.faces == faces


def test_a_solid_that_comes_back_wrong_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """In the child itself: the shape is right in memory, the file is not."""
    shape = read_step(FLANGE)
    static(occ("BinTools").BinTools, "Write")(shape, str(tmp_path / "given.bin"))
    job = {"given": str(tmp_path / "given.bin"), "out": str(tmp_path), "names": ["f"] * 17, "colors": [(0, 0, 0)] * 17, "product": "p"}
    job |= {"millimetres": 1.0, "tolerance": 1e-3, "volume": None, "tries": ["solid"]}
    answers = []
    for reader in (read_step, lambda path: without_a_face(read_step(path))):
        monkeypatch.setattr(step_module, "read_step", reader)
        monkeypatch.setattr(sys, "stdin", io.StringIO(json.dumps(job)))
        out = io.StringIO()
        monkeypatch.setattr(sys, "stdout", out)
        step_module.main()
        answers.append(json.loads(out.getvalue().splitlines()[-1]))
    assert answers[0]["written"] == "solid"
    assert answers[1]["written"] is None
    assert all(line.startswith("after the file was read again") for line in answers[1]["reasons"])


def test_opencascade_that_does_not_end_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    shape = read_step(FLANGE)
    monkeypatch.setattr(step_module, "PATIENCE", 0.01)
    with pytest.raises(DataError, match=r"did not end within 5 s of processor time while it wrote and read the partial"):
        write_solid(tmp_path, shape, marks(shape), "flange", 1.0, FINE, solid=True, seconds=5.0)
    assert not list(tmp_path.iterdir())


def test_the_gate_refuses_what_is_not_a_number():
    found = check(read_step(FLANGE))
    assert failures(found, Gate(float("nan"), None), "now")
    assert failures(found, Gate(1.0, float("nan")), "now")
    assert not failures(found, Gate(1.0, found.volume), "now")


@pytest.mark.parametrize(("name", "shown"), [("", "part"), ("ä\n", "__"), ("bolt 'M8'", "bolt 'M8'"), ("x" * 500, "x" * 120)])
def test_names_are_ascii(name: str, shown: str):
    assert ascii_name(name) == shown
