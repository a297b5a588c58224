"""Fits in suites: what is planned and refused, built-in signals, and tiny jobs from the suite to the report."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import trimesh
import yaml
from PIL import Image

from recon.errors import DataError, UsageError
from recon.evaluation.surfaces import surface_metrics
from recon.fit.config import FitConfig
from recon.fit.fit import signal_of
from recon.fit.truth import read_shape
from scenes import signals
from scenes.benchmark import child
from scenes.benchmark.run import BatchOptions, _prepare, job_folder, run_suite
from scenes.benchmark.suite import Suite, plan, read_suite

TINY = ["steps=20", "batch=512", "pool=6000", "resolution=24", "mlp.width=32", "mlp.depth=3", "mlp.skip=2"]


def suite(folder: Path, *fits: dict) -> Suite:
    path = folder / "own.yaml"
    path.write_text(yaml.safe_dump({"about": "fits", "fits": list(fits)}))
    return read_suite(str(path))


def picture(path: Path, shade: int = 0) -> Path:
    y, x = np.mgrid[:32, :48]
    Image.fromarray(np.stack([5 * x, 7 * y, np.full_like(x, shade)], -1).astype(np.uint8)).save(path)
    return path


# --- what is planned --------------------------------------------------------------------------------------------------------------------


def test_all_combinations_in_order(tmp_path: Path):
    picture(tmp_path / "p.png")
    fit = {"sources": ["signals:knot", "p.png"], "fields": ["neurbf", "mlp"], "seeds": [3, 4], "params": 50_000, "set": ["steps=7"]}
    jobs = plan(suite(tmp_path, fit))
    assert [(j.scene, j.method, j.config.field, j.config.seed) for j in jobs] == [
        (name, kind, f, s) for name, kind in (("knot", "sdf"), ("p", "image")) for f in ("neurbf", "mlp") for s in (3, 4)
    ]
    assert {(c.steps, c.params) for c in (j.config for j in jobs) if isinstance(c, FitConfig)} == {(7, 50_000)}
    assert jobs[0].settings == ("params=50000", "steps=7")
    assert {j.preset for j in jobs} == {"fit"}


def test_data_takes_the_place_of_built_in_signals(tmp_path: Path):
    own = suite(tmp_path, {"fields": ["rbfnet"]}, {"sources": ["signals:knot"], "label": "fixed"})
    assert [j.source for j in plan(own)] == [*(f"signals:{n}" for n in signals.names()), "signals:knot"]
    path = picture(tmp_path / "mine.png")
    assert [j.source for j in plan(own, [path])] == [str(path), "signals:knot"]


def test_what_makes_a_fit_another_job(tmp_path: Path):
    def names(folder: str, shade: int, **more) -> list[str]:
        (tmp_path / folder).mkdir()
        picture(tmp_path / folder / "p.png", shade)
        return [j.name for j in plan(suite(tmp_path / folder, {"sources": ["p.png"], "label": folder, **more}))]

    first = names("a", 0)
    assert names("b", 0) == first, "neither the label nor where the file lies"
    others = [names("c", 9), names("d", 0, set=["steps=9"]), names("e", 0, params=9000), names("f", 0, crop=16), names("g", 0, seeds=[1])]
    assert len({first[0], *(o[0] for o in others)}) == 6


@pytest.mark.parametrize(
    ("fit", "error", "says"),
    [
        ({"sources": ["signals:none"]}, UsageError, ("fits[0]", "none", "knot")),
        ({"sources": ["absent.png"]}, DataError, ("absent.png",)),
        ({"sources": ["signals:knot"], "crop": 8}, UsageError, ("fits[0]", "--crop")),
        ({"sources": ["signals:knot"], "set": ["stepps=8"]}, UsageError, ("fits[0]", "stepps")),
        ({"sources": ["notes.txt"]}, UsageError, ("fits[0]", "neither a picture nor a mesh")),
        ({"sources": []}, UsageError, ("fits[0].sources", "empty")),
        ({"fields": []}, UsageError, ("fits[0].fields", "empty")),
    ],
)
def test_what_is_refused_is_named(fit: dict, error: type[Exception], says: tuple[str, ...], tmp_path: Path):
    with pytest.raises(error) as caught:
        plan(suite(tmp_path, fit))
    for word in says:
        assert word in str(caught.value)


def test_two_signals_of_one_name_are_refused(tmp_path: Path):
    picture(tmp_path / "knot.png")
    with pytest.raises(UsageError, match="both called 'knot'"):
        plan(suite(tmp_path, {"sources": ["signals:knot", "knot.png"]}))


def test_data_that_nothing_takes_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="--data does not fit"):
        plan(suite(tmp_path, {"sources": ["signals:knot"]}), [picture(tmp_path / "p.png")])


# --- built-in signals -------------------------------------------------------------------------------------------------------------------


def test_the_picture_has_flat_parts_edges_and_fine_waves(tmp_path: Path):
    path = signals.write_signal("signals:picture", tmp_path)
    image = np.asarray(Image.open(path)).astype(float)
    assert signal_of(path) == "image"
    assert image.shape == (signals.SIDE, signals.SIDE, 3)
    step = np.abs(np.diff(image, axis=1)).max(-1)
    assert (step < 4).mean() > 0.1, "flat parts"
    assert (step > 60).mean() > 0.02, "edges"
    assert path.read_bytes() == signals.write_signal("picture", tmp_path / "again").read_bytes()


@pytest.mark.parametrize("name", signals.SHAPES)
def test_the_shapes_are_closed(name: str, tmp_path: Path):
    shape = read_shape(signals.write_signal(name, tmp_path))
    assert shape.mesh is not None
    assert "is watertight" in shape.sign_rule


# --- jobs -------------------------------------------------------------------------------------------------------------------------------


def test_from_the_suite_to_the_report(tmp_path: Path):
    """A picture by two fields in processes of their own; the second time nothing is run again."""
    picture(tmp_path / "p.png")
    own = suite(tmp_path, {"sources": ["p.png"], "fields": ["rbfnet", "mlp"], "params": "12k", "set": TINY})
    said: list[str] = []
    folder, summary = run_suite(str(own.path), [], BatchOptions(tmp_path / "out", jobs=2), said.append)
    assert [(r["state"], r["scene"], r["method"], r["field"]) for r in summary["rows"]] == [
        ("done", "p", "image", "rbfnet"),
        ("done", "p", "image", "mlp"),
    ], said
    for row in summary["rows"]:
        assert 3 < row["figures"]["psnr"] < 60
        assert 0 < row["figures"]["ssim"] <= 1
        assert 1 < row["figures"]["trained_thousands"] <= 12
        assert row["figures"]["training_seconds"] > 0
        assert row["figures"]["normal_error"] is None
    assert set(summary["protocols"]) == {"fitted pictures", "size", "time and memory"}
    page = (folder / "report.html").read_text()
    assert page.count("data:image/jpeg") == 6, "original, fitted and error of both"
    text = (folder / "summary.md").read_text()
    assert "All rows: image fit (params=12k steps=20" in text
    assert "| p | rbfnet | 1/1 |" in text
    _, again = run_suite(str(own.path), [], BatchOptions(tmp_path / "out"), said.append)
    assert [r["reused"] for r in again["rows"]] == [True, True]
    assert [r["figures"] for r in again["rows"]] == [r["figures"] for r in summary["rows"]]


def test_a_shape_has_its_figures_and_pictures(tmp_path: Path, monkeypatch):
    """The job's process itself, with fewer points to measure at."""
    monkeypatch.setattr("recon.fit.shape.EVALUATION_POINTS", 4096)
    monkeypatch.setattr("recon.evaluation.sdf.normal_errors.__defaults__", (2000, 0))
    monkeypatch.setattr(surface_metrics, "__kwdefaults__", {**(surface_metrics.__kwdefaults__ or {}), "samples": 2000})
    trimesh.creation.icosphere(3, 3.0).export(tmp_path / "ball.obj")
    (job,) = plan(suite(tmp_path, {"sources": ["ball.obj"], "fields": ["rbfnet"], "params": 30_000, "set": [*TINY, "steps=60"]}))
    _prepare([job], tmp_path / "out")
    attempt = tmp_path / "attempt"
    child.do_job(job_folder(tmp_path / "out", job) / "job.json", attempt, "cpu")
    (run,) = attempt.glob("ball/fit-rbfnet/*")
    results = json.loads((run / "eval" / "results.json").read_text())
    assert 0 < results["iou_inside"] < 1
    assert 0 < results["nae_deg"] < 180
    content = json.loads((attempt / "pictures" / "pictures.json").read_text())
    assert len(content["views"]) == 2
    assert content["error_scale"] > 0
    for view in content["views"]:
        assert set(view["panels"]) == {"mesh", "true_mesh", "error", "missed"}
        assert all((attempt / "pictures" / file).is_file() for file in view["panels"].values())
