"""Two halves of the photographs: each sees its own alone, what is there is not made again, and equal surfaces are nothing apart."""

from __future__ import annotations

from dataclasses import replace

import pytest

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.console import Reporter
from recon.errors import UsageError
from recon.evaluation.truth.known import GroundTruth
from recon.results.evaluation import summary_lines
from recon.results.halves import compare_halves, made
from recon.runs import open_run
from tests.tiny import TINY_SETTINGS, tiny_scene

QUIET = Reporter(quiet=True)


def run_of(method, out, scene):
    config = with_overrides(preset_config(method, "hashgrid", "fast"), TINY_SETTINGS)
    run = pipeline.start(scene, "tiny", config, out)
    return run, pipeline.fit(run, scene, QUIET)


def test_two_halves(tmp_path, monkeypatch):
    scene = tiny_scene()
    run, method = run_of("volsdf", tmp_path, scene)
    assert not made(run)
    figures = compare_halves(run, method, scene, QUIET)
    assert made(run)
    names = [{v.name for v in open_run(run.folder / "halves" / half).scene.split("train")} for half in ("odd", "even")]
    assert names[0] | names[1] == {v.name for v in scene.split("train")}
    assert not names[0] & names[1]
    assert 0 < figures["chamfer_percent_of_diagonal"] < 50
    results = pipeline.evaluate(run, method, scene, GroundTruth(), QUIET, halves=figures)
    assert results.halves is not None
    assert any("two halves" in line for line in summary_lines(results))
    half = open_run(run.folder / "halves" / "odd")
    results = pipeline.evaluate(half, method, scene, GroundTruth(), QUIET, best=True)
    assert results.textured_mesh is not None
    assert results.best_texture is not None
    assert results.best_texture.views == results.textured_mesh.views
    assert any("best texture" in line for line in summary_lines(results))

    monkeypatch.setattr("recon.results.halves.fit", lambda *a: pytest.fail("trained again"))
    assert compare_halves(run, method, scene, QUIET) == figures
    odd, even = (run.folder / "halves" / half / "exports" / "mesh.ply" for half in ("odd", "even"))
    even.write_bytes(odd.read_bytes())
    assert compare_halves(run, method, scene, QUIET)["chamfer_l1"] < 1e-6


@pytest.mark.parametrize(("method", "views", "says"), [("nef", 8, "none"), ("volsdf", 5, "too few")])
def test_what_has_no_halves(method, views, says, tmp_path):
    scene = tiny_scene()
    run, model = run_of(method, tmp_path, scene)
    with pytest.raises(UsageError, match=says):
        compare_halves(run, model, replace(scene, views=scene.views[:views]), QUIET)
