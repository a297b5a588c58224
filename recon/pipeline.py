"""`reconstruct`, readable top to bottom: train, extract, evaluate, preview. Each stage can also be run on its own."""

from __future__ import annotations

import time
from pathlib import Path

import torch

from recon.checkpoint import Checkpoint, load_checkpoint
from recon.config.timing import after_share, first_line
from recon.config.values import RunConfig
from recon.console import Reporter, duration
from recon.data.record import record_of
from recon.data.scene import Scene
from recon.errors import DataError, UsageError
from recon.evaluation.truth.known import GroundTruth
from recon.methods.base import Method, Pixels
from recon.model import build_method
from recon.results.costs import costs_line, read_costs, stage
from recon.results.evaluation import evaluate
from recon.results.figures import Results
from recon.results.preview import preview, render_orbit
from recon.runs import Run, create_run
from recon.team import ALONE, Team
from recon.train import TRAINER_NUMBERS, Progress, Watcher, train


def start(scene: Scene, source: str, config: RunConfig, out: Path, device: str = "cpu", name: str | None = None) -> Run:
    """Make the run folder.

    Args:
        scene: What will be trained on.
        source: What the user gave, to open the data again later.
        config: The run's configuration.
        out: Folder of all runs.
        device: Where it is computed.
        name: Of its folder; None: the time.
    Raises:
        UsageError: If the name cannot be a folder's, or is taken.
    """
    return create_run(out, config, record_of(scene, source), device, name)


def reconstruct(
    run: Run,
    scene: Scene,
    truth: GroundTruth,
    reporter: Reporter,
    pictures: bool = True,
    watcher: Watcher | None = None,
    most_views: int | None = None,
    team: Team = ALONE,
) -> Results:
    """Train (or go on training) a run, then make everything from it.

    Args:
        run: A new run, or one that was interrupted.
        scene: Its data.
        truth: What is known of the object.
        reporter: Where progress goes.
        pictures: Make the preview and the turntable too; batch evaluation does without.
        watcher: The live viewer, if there is one.
        most_views: Compare with at most so many held-out photographs, 0: with all; None: as configured.
        team: The processes that train together; what comes after training is the lead's alone.
    Returns:
        The figures of ``eval/results.json``; of the others than the lead none.
    """
    with run.writing(), run.ending():
        return _reconstruct(run, scene, truth, reporter, pictures, watcher, most_views, team)


def _reconstruct(
    run: Run,
    scene: Scene,
    truth: GroundTruth,
    reporter: Reporter,
    pictures: bool,
    watcher: Watcher | None,
    most_views: int | None,
    team: Team,
) -> Results:
    reporter.say(first_line(run.config.method, run.config.preset))
    reporter.after_share = after_share(run.config.method, run.config.preset)
    method = fit(run, scene, reporter, watcher, team)
    if not team.lead:
        return Results.of({})
    with stage(run.folder, "surface" if method.surface is not None else "curves"):
        method.finish(run, scene, reporter)
    most = run.config.results.eval_views if most_views is None else most_views
    with stage(run.folder, "evaluation"):
        results = evaluate(run, method, scene, truth, reporter, most_views=most or None)
    if pictures:
        with stage(run.folder, "pictures"):
            preview(run, method, scene, reporter)
            size = min(run.config.results.turn_size, max(v.camera.width for v in scene.views))
            render_orbit(run, method, frames=run.config.results.turn_frames, size=size, reporter=reporter)
    reporter.say(costs_line(read_costs(run.folder)))
    run.set_status("done", run.config.train.steps)
    return results


def fit(run: Run, scene: Scene, reporter: Reporter, watcher: Watcher | None = None, team: Team = ALONE) -> Method:
    """Train a run from its newest whole checkpoint, or from the start, to its last step."""
    with run.writing(), run.ending():
        return _fit(run, scene, reporter, watcher, team)


def _fit(run: Run, scene: Scene, reporter: Reporter, watcher: Watcher | None, team: Team) -> Method:
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
    with stage(run.folder, "preparation"):
        pixels = method.prepare(run, scene, reporter, fresh=resumed is None)
    team.agree(method)
    began = time.perf_counter()
    with stage(run.folder, "training"):
        if watcher is None:
            train(run, method, pixels, resumed, reporter.training, team=team)
        else:
            _train_watched(run, method, pixels, resumed, reporter, watcher)
    reporter.say(f"trained {run.config.train.steps} steps in {duration(time.perf_counter() - began)}")
    return method


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
