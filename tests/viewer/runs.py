"""Runs to look at: a tiny one with a model, a mesh and curves."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.values import RunConfig
from recon.console import Reporter
from recon.curves import Wireframe, save
from recon.curves.files.curve import ellipse, line
from recon.results.mesh import export_mesh
from recon.runs import Run
from tests.tiny import CENTER, RADIUS, TINY_SETTINGS, tiny_scene
from viewer.subject import Subject, data_subject, run_subject


def tiny_config(*more: str) -> RunConfig:
    return with_overrides(RunConfig(), [*TINY_SETTINGS, *more])


def tiny_wireframe() -> Wireframe:
    """A circle around the tiny scene's sphere, above it, and a line through it."""
    up = np.array([0.0, 0.0, 1.0])
    ends = np.stack([CENTER - 1.4 * RADIUS * up, CENTER + 1.4 * RADIUS * up])
    circle = ellipse(CENTER, (1, 0, 0), (0, 1, 0), (1.15 * RADIUS, 1.15 * RADIUS), (0, 2 * np.pi), True, vertices=None)
    curves = (replace(line(ends[0], ends[1], vertices=(0, 1)), support=7, rmse_px=0.25), replace(circle, support=8))
    return Wireframe(ends, curves, "mm")


def tiny_run(folder: Path, *more: str) -> Run:
    """Trained for a moment, with mesh and curves."""
    scene = tiny_scene()
    run = pipeline.start(scene, "tiny", tiny_config(*more), folder)
    reporter = Reporter(quiet=True)
    pipeline.fit(run, scene, reporter)
    export_mesh(run, pipeline.load_surface(run, reporter), run.config.export, reporter, scene.split("train"))
    save(tiny_wireframe(), run.exports / "curves.json")
    run.set_status("done", run.config.train.steps)
    return run


def tiny_subject(run: Run) -> Subject:
    return run_subject(run, tiny_scene())


def training_subject(folder: Path, *more: str) -> tuple[Run, Subject]:
    """A run that is about to be trained."""
    scene = tiny_scene()
    run = pipeline.start(scene, "tiny", tiny_config(*more), folder)
    return run, data_subject(scene, "tiny", run)


def bracket_subject(folder: Path) -> Subject:
    """The built-in bracket as a run with its true mesh and curves, without a model: for measuring. World units are millimetres."""
    from recon.surface.export import export_mesh as write
    from recon.surface.mesh import Mesh
    from scenes import library

    known = library.truth("bracket")
    run = Run(folder, tiny_config())
    run.exports.mkdir(parents=True)
    write(Mesh(known.vertices, known.faces.astype(np.int32)), run.exports / "mesh.ply", unit="mm")
    save(Wireframe(known.solid.curve_vertices, known.curves, "mm"), run.exports / "curves.json")
    run.set_status("done", 1)
    train, test = library.cameras(known, library.SceneOptions(64, 64, 6, 2))
    views = (*train, *test)
    splits = tuple("train" if i < len(train) else "test" for i in range(len(views)))
    names = tuple(f"{i}.png" for i in range(len(views)))
    return Subject("bracket", run, None, known.world_from_scene, "mm", views, names, splits, "scenes:bracket")
