"""`reconstruct`, readable top to bottom: train, extract, evaluate, preview. Each stage can also be run on its own."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from recon.checkpoint import Checkpoint, load_checkpoint
from recon.config.values import RunConfig
from recon.console import Reporter, duration
from recon.data.record import record_of
from recon.data.scene import Scene
from recon.errors import DataError, Interrupted, UsageError
from recon.evaluation.truth.known import GroundTruth
from recon.methods.base import Method, Pixels
from recon.model import build_method
from recon.results.evaluation import evaluate
from recon.results.figures import Results
from recon.results.preview import preview, render_orbit
from recon.runs import Run, create_run
from recon.train import TRAINER_NUMBERS, Progress, Watcher, train


def start(scene: Scene, source: str, config: RunConfig, out: Path, device: str = "cpu") -> Run:
    """Make the run folder.

    Args:
        scene: What will be trained on.
        source: What the user gave, to open the data again later.
        config: The run's configuration.
        out: Folder of all runs.
        device: Where it is computed.
    """
    return create_run(out, config, record_of(scene, source), device)


def reconstruct(
    run: Run,
    scene: Scene,
    truth: GroundTruth,
    reporter: Reporter,
    pictures: bool = True,
    watcher: Watcher | None = None,
    most_views: int | None = None,
) -> Results:
    """Train (or go on training) a run, then make everything from it.

    Args:
        run: A new run, or one that was interrupted.
        scene: Its data.
        truth: What is known of the object.
        reporter: Where progress goes.
        pictures: Make the preview and the turntable too; batch evaluation does without.
        watcher: The live viewer, if there is one.
        most_views: Compare with at most so many held-out photographs; None: with all.
    Returns:
        The figures of ``eval/results.json``.
    """
    with run.writing():
        return _reconstruct(run, scene, truth, reporter, pictures, watcher, most_views)


def _reconstruct(
    run: Run, scene: Scene, truth: GroundTruth, reporter: Reporter, pictures: bool, watcher: Watcher | None, most_views: int | None
) -> Results:
    method = fit(run, scene, reporter, watcher)
    try:
        method.finish(run, scene, reporter)
        results = evaluate(run, method, scene, truth, reporter, most_views=most_views)
        if pictures:
            preview(run, method, scene, reporter)
            render_orbit(run, method, frames=36, size=min(400, max(v.camera.width for v in scene.views)), reporter=reporter)
    except BaseException as error:
        run.ended_by(error, run.config.train.steps)
        _say_how_to_go_on(run, error)
        raise
    run.set_status("done", run.config.train.steps)
    return results


def fit(run: Run, scene: Scene, reporter: Reporter, watcher: Watcher | None = None) -> Method:
    """Train a run from its newest whole checkpoint, or from the start, to its last step."""
    with run.writing():
        return _fit(run, scene, reporter, watcher)


def _fit(run: Run, scene: Scene, reporter: Reporter, watcher: Watcher | None) -> Method:
    check_same_scene(run, scene)
    method = build_method(run.config, scene.background, len(scene.split("train"))).to(torch.device(run.device))
    resumed = None
    if any(run.checkpoints.glob("step_????????")):
        resumed, skipped = load_checkpoint(run.checkpoints, TRAINER_NUMBERS)
        for line in skipped:
            reporter.warn(f"skipped checkpoint {line}")
        _load(method, resumed, run)
        reporter.say(f"going on from step {resumed.step}")
    run.forget_metrics(after=resumed.step if resumed else 0)
    run.set_status("running", resumed.step if resumed else 0)
    step = resumed.step if resumed else 0
    try:
        pixels = method.prepare(run, scene, reporter, fresh=resumed is None)
        began = time.perf_counter()
        if watcher is None:
            train(run, method, pixels, resumed, reporter.training)
        else:
            _train_watched(run, method, pixels, resumed, reporter, watcher)
        step = run.config.train.steps
        reporter.say(f"trained {step} steps in {duration(time.perf_counter() - began)}")
        return method
    except Interrupted:
        raise
    except BaseException as error:
        run.ended_by(error, step)
        _say_how_to_go_on(run, error)
        raise


def _say_how_to_go_on(run: Run, error: BaseException) -> None:
    if isinstance(error, KeyboardInterrupt):
        raise Interrupted("stopped; what was trained is kept", f"recon resume {run.folder}") from error


def _train_watched(
    run: Run,
    method: Method,
    pixels: Pixels,
    resumed: Checkpoint | None,
    reporter: Reporter,
    watcher: Watcher,
) -> None:
    def report(progress: Progress) -> None:
        reporter.training(progress)
        watcher.report(progress)

    watcher.began(method, resumed.step if resumed else 0)
    try:
        train(run, method, pixels, resumed, report, watcher.between_steps)
    finally:
        watcher.ended()


def load_method(run: Run, reporter: Reporter) -> Method:
    """The model of a run's newest whole checkpoint."""
    checkpoint, skipped = load_checkpoint(run.checkpoints, TRAINER_NUMBERS)
    for line in skipped:
        reporter.warn(f"skipped checkpoint {line}")
    method = build_method(run.config, run.scene.background, len(run.scene.split("train")))
    _load(method, checkpoint, run)
    method.to(torch.device(run.device))
    method.set_progress(checkpoint.step / run.config.train.steps)
    return method


def _load(method: Method, checkpoint: Checkpoint, run: Run) -> None:
    try:
        method.load_state_dict(checkpoint.model)
    except RuntimeError as error:  # torch's word for names or shapes that do not fit
        problems = [line.strip() for line in str(error).splitlines()[1:]]
        raise DataError(
            f"{run.folder}: the checkpoint does not fit the run's config.yaml",
            problems,
            "it was made by another version of the program, or the file was changed: start a new run",
        ) from error


def load_surface(run: Run, reporter: Reporter) -> Method:
    """The same for a run that has a surface.

    Raises:
        UsageError: It has none, as an edge field.
    """
    method = load_method(run, reporter)
    if method.surface is None:
        raise UsageError(
            f"{run.folder}: a {run.config.method} run has no surface", "recon export RUN curves, or reconstruct with --method volsdf"
        )
    return method


def check_same_scene(run: Run, scene: Scene) -> None:
    """Refuse to go on with data that differ from what the run was started with: its model would mean something else."""
    then, problems = run.scene, []
    if [v.name for v in then.views] != [v.name for v in scene.views]:
        problems.append(f"{len(then.views)} views then, {len(scene.views)} views now, or under other names")
    if then.world_from_scene.to_json() != scene.world_from_scene.to_json():
        problems.append("its bounds (world_from_scene) are not the same")
    if problems:
        raise DataError(f"{then.source}: the data changed since {run.folder} was started", problems, "start a new run")
