"""`recon reconstruct --method solid`: a surface, its wireframe, and the solid that both make."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from recon import pipeline
from recon.config.values import RunConfig
from recon.console import Reporter
from recon.data.scene import Scene
from recon.errors import DataError, recon_command
from recon.evaluation.truth.known import GroundTruth
from recon.results.evaluation import evaluate
from recon.results.figures import Results
from recon.results.solid import make_solid
from recon.results.solid_of_run import run_source
from recon.runs import Run
from recon.solid.model import SolidOptions


def reconstruct_to_solid(
    scene: Scene,
    source: str,
    config: RunConfig,
    wireframe: Callable[[Path], RunConfig],
    out: Path,
    device: str,
    truth: GroundTruth,
    reporter: Reporter,
    most_views: int | None,
    name: str | None = None,
) -> tuple[Run, Results, dict[str, Any]]:
    """Train a surface and an edge field on it, and make the solid.

    Args:
        scene, source: The data, and what the user gave.
        config: Of the surface.
        wireframe: The configuration of the wireframe, from the folder of the surface's run.
        out: Folder of all runs.
        device: Where it is computed.
        truth: What is known of the object.
        reporter: Where progress goes; before each stage, what goes on from there.
        most_views: Compare with at most so many held-out photographs, 0: with all; None: as configured.
        name: Of the surface's folder, and with "-curves" of the wireframe's; None: the time.
    Returns:
        The surface's run, its figures with those of the solid if the truth is known, and the solid's report.
    Raises:
        DataError: If no solid can be made; surface and wireframe stay.
    """
    surface = pipeline.start(scene, source, config, out, device, name)
    reporter.say(f"1 of 3, the surface: {surface.folder}")
    pipeline.reconstruct(surface, scene, GroundTruth(), reporter, most_views=most_views)
    beside = None if name is None else f"{name}-curves"
    curves = _wireframe(surface, scene, source, wireframe(surface.folder), out, device, truth, reporter, beside)
    words = ["solid", surface.folder, *([] if curves is None else ["--curves", curves.folder])]
    reporter.say(f"3 of 3, the solid: {surface.solid}; again, with other options: {recon_command(*words)}")
    views = scene.split("train")
    given = run_source(surface.folder, None if curves is None else curves.folder, device, views, reporter)
    report = make_solid(given, SolidOptions(seed=config.seed), "suggest", surface.solid, reporter)
    most = config.results.eval_views if most_views is None else most_views
    results = evaluate(surface, pipeline.load_method(surface, reporter), scene, truth, reporter, most_views=most or None)
    return surface, results, report


def _wireframe(
    surface: Run,
    scene: Scene,
    source: str,
    config: RunConfig,
    out: Path,
    device: str,
    truth: GroundTruth,
    reporter: Reporter,
    name: str | None,
) -> Run | None:
    """The run of the wireframe; None, which is said, for an object without edges: a solid needs none."""
    run = pipeline.start(scene, source, config, out, device, name)
    after = recon_command("solid", surface.folder, "--curves", run.folder)
    reporter.say(f"2 of 3, the wireframe: {run.folder}; if it is stopped: {recon_command('resume', run.folder)}, then {after}")
    try:
        pipeline.reconstruct(run, scene, truth, reporter)
    except DataError as error:
        reporter.warn(f"there is no wireframe ({error.message.splitlines()[0]}): the solid is made of the surface alone")
        return None
    return run if (run.exports / "curves.json").is_file() else None
