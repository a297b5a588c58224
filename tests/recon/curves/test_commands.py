"""Curves by the command line: what is written, what is printed, and what is refused."""

from __future__ import annotations

import json

import pytest

from recon.cli.main import main
from recon.config.values import RunConfig
from recon.curves.files.polylines import write_parametric_edges
from recon.curves.files.wireframe import save
from recon.data.record import SceneRecord, ViewRecord
from recon.geometry import Similarity
from recon.runs import create_run
from tests.recon.curves.wireframes import box, camera


@pytest.fixture
def run(tmp_path):
    """A finished run as far as curves are concerned: two cameras and a wireframe."""
    wireframe, _ = box()
    views = tuple(ViewRecord(f"./train/r_{k}.png", "train", camera((9.0, 8.0 - k, 7.0), (2.0, 1.5, 1.0))) for k in range(2))
    record = SceneRecord("box", "nowhere", "test", "alpha", "mm", Similarity(), views)
    run = create_run(tmp_path / "runs", RunConfig(method="nef"), record)
    run.exports.mkdir()
    save(wireframe, run.exports / "curves.json")
    return run


def failed(*args: str) -> int:
    with pytest.raises(SystemExit) as caught:
        main(args)
    return int(str(caught.value.code))


def test_export_writes_what_is_asked_for(run, capsys):
    main(["export", str(run.folder), "curves", "--formats", "obj", "svg", "edges"])
    assert capsys.readouterr().out.split() == [str(run.exports / n) for n in ("curves.obj", "curves_svg", "parametric_edges.json")]
    assert {p.name for p in (run.exports / "curves_svg").iterdir()} == {"train_r_0.svg", "train_r_1.svg"}
    assert not (run.exports / "curves.dxf").exists()


def test_export_refuses_what_makes_no_sense(run, capsys):
    assert failed("export", str(run.folder), "cameras", "--formats", "obj") == 2
    assert "the cameras cannot be written as obj" in capsys.readouterr().err
    (run.exports / "curves.json").unlink()
    assert failed("export", str(run.folder), "curves") == 3
    assert "has no curves" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["curves.json", "parametric_edges.json"])
def test_a_file_of_curves_is_evaluated_by_itself(tmp_path, capsys, name):
    wireframe, _ = box()
    save(wireframe, tmp_path / "curves.json")
    write_parametric_edges(wireframe, tmp_path / "parametric_edges.json")
    (tmp_path / "data" / "truth").mkdir(parents=True)
    save(wireframe, tmp_path / "data" / "truth" / "curves.json")
    main(["evaluate", str(tmp_path / name), "--truth", str(tmp_path / "data"), "--json"])
    results = json.loads(capsys.readouterr().out)
    assert results["exact"]["fscore"] == [1.0, 1.0, 1.0]
    assert results["exact"]["junctions"]["recall"] == 1.0
    main(["evaluate", str(tmp_path / name), "--truth", str(tmp_path / "data")])
    assert "12 for 12 true ones, right type for 100.0 % of the matched length" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("truth", "code", "words"),
    [
        (None, 2, "compared with what"),
        ("nothing", 3, "there is no such truth"),
        (".", 3, "no true curves in it"),
        ("x.json", 3, "x.json"),
    ],
)
def test_a_file_without_a_usable_truth_is_refused(tmp_path, capsys, truth, code, words):
    (tmp_path / "made").mkdir()
    save(box()[0], tmp_path / "made" / "mine.json")
    (tmp_path / "x.json").write_text("{}")
    options = [] if truth is None else ["--truth", str(tmp_path / truth)]
    assert failed("evaluate", str(tmp_path / "made" / "mine.json"), *options) == code
    assert words in capsys.readouterr().err


def test_truth_of_the_command_line_is_surface_curves_or_both(tmp_path):
    from recon.opening import open_truth

    known = open_truth("scenes:nut", None)
    assert known.surface is not None
    assert known.curves is not None
    assert known.curves.wireframe is not None
    assert len(known.curves.wireframe.curves) == 41
    assert known.curves.extent_of == "object"
    smooth = open_truth("scenes:duck", None)
    assert smooth.surface is not None
    assert smooth.curves is None
    nothing = open_truth(str(tmp_path), None)
    assert (nothing.surface, nothing.curves) == (None, None)
