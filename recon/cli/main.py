"""The command line: thin, and with what it imports from :mod:`recon.cli` the only place that prints results."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from recon import __version__
from recon.cli.arguments import (
    Benchmark,
    Command,
    Compare,
    Doctor,
    Evaluate,
    Export,
    Fit,
    Inspect,
    MakeScene,
    Process,
    Reconstruct,
    Render,
    Resume,
    Solid,
    Swap,
    Train,
    View,
)
from recon.cli.common import opened_data, placed, print_results, trainers
from recon.cli.configuration import completed, parsed, run_config
from recon.cli.data import inspect, make_scene, process
from recon.cli.examples import told
from recon.cli.exit_codes import errors_as_exit_codes
from recon.cli.flags import flat
from recon.cli.reports import benchmark, compare, doctor
from recon.cli.solids import reconstruct_solid, solid
from recon.cli.words import prepared
from recon.config.values import CurveFormat, MeshFormat, RunConfig
from recon.errors import UsageError
from recon.opening import open_data, open_truth

if TYPE_CHECKING:
    from recon.console import Reporter
    from recon.data.scene import Scene
    from recon.evaluation.truth.known import GroundTruth
    from recon.runs import Run

# Torch and everything that needs it is imported inside the functions, so that --help answers at once.


def reconstruct(command: Reconstruct) -> None:
    from recon import pipeline
    from recon.errors import require_extra
    from recon.team import here

    if command.train.method == "solid":
        reconstruct_solid(command)
        return
    if command.view:
        if here().size > 1:
            raise UsageError("--view needs a process that trains alone", "look at the run afterwards: recon view RUN")
        require_extra("viser", "viewer", "the live viewer")
        from viewer.guard import make_access

        make_access(command.page.host, command.page.port or 0, command.page.token)  # refused before the data are read
    config = run_config(command.train, command.images, command.mesh)
    truth = open_truth(command.data, command.truth)
    with trainers(command) as (reporter, team, device, out):
        data, scene = opened_data(command, config, reporter, team)
        run = pipeline.start(scene, data, config, out, device, command.train.name)
        if command.view:
            reconstruct_watched(command, run, scene, truth, reporter)
            return
        results = pipeline.reconstruct(run, scene, truth, reporter, most_views=command.eval_views, team=team)
    if team.lead:
        print_results(run.folder, results)


def reconstruct_watched(command: Reconstruct, run: Run, scene: Scene, truth: GroundTruth, reporter: Reporter) -> None:
    """With the live viewer, which stays open when everything is done."""
    from recon import pipeline
    from viewer.command import opened, wait
    from viewer.subject import data_subject

    page = command.page
    with opened(data_subject(scene, run.scene.source, run), page.host, page.port, page.token, reporter) as viewer:
        results = pipeline.reconstruct(run, scene, truth, reporter, watcher=viewer, most_views=command.eval_views)
        print_results(run.folder, results)
        wait(reporter)


def train(command: Train) -> None:
    from recon import pipeline

    if command.train.method == "solid":
        raise UsageError("a solid is made of two models, and train trains one", "recon reconstruct DATA --method solid")
    config = run_config(command.train, command.images)
    with trainers(command) as (reporter, team, device, out):
        data, scene = opened_data(command, config, reporter, team)
        run = pipeline.start(scene, data, config, out, device, command.train.name)
        pipeline.fit(run, scene, reporter, team=team)
    if team.lead:
        print(run.folder)


def fit(command: Fit) -> None:
    from recon.console import Reporter
    from recon.fit import fit as fits
    from recon.fit.config import parse_count

    params = None if command.params is None else parse_count(command.params)
    config = fits.configure(
        command.source, command.field, params=params, crop=command.crop, seed=command.seed, settings=flat(command.settings)
    )
    with Reporter(quiet=command.json) as reporter:
        run = fits.start(command.source, config, command.out, placed(command.device, reporter))
        results = fits.fit(run, reporter)
    print_fit(run.folder, results, command.json)


def print_fit(folder: Path, results: dict, as_json: bool) -> None:
    """A fit's figures, then where everything is."""
    from recon.fit.fit import summary_lines

    print(json.dumps(results, indent=1) if as_json else "\n".join([*summary_lines(results), f"run: {folder}"]))


def resume(command: Resume) -> None:
    from recon import pipeline
    from recon.console import Reporter
    from recon.fit.run import is_fit, open_fit
    from recon.runs import open_run
    from recon.team import gathered, here, refuse_together

    if is_fit(command.run):
        from recon.fit import fit as fits

        refuse_together("a fit")
        with Reporter() as reporter:
            results = fits.fit(open_fit(command.run, placed(command.device, reporter)), reporter)
        print_fit(command.run, results, False)
        return
    with Reporter(quiet=not here().lead) as reporter, gathered(device := placed(command.device, reporter)) as team:
        source = open_run(command.run).scene.source
        with team.own_run(open_run(command.run, device)) as run:
            with team.lead_first():
                scene, truth = open_data(source, run.config), open_truth(source, command.truth)
            results = pipeline.reconstruct(run, scene, truth, reporter, most_views=command.eval_views, team=team)
    if team.lead:
        print_results(run.folder, results)


def evaluate(command: Evaluate) -> None:
    for asked, option in ((command.halves, "--halves"), (command.best_texture, "--best-texture")):
        if asked and not (command.run / "config.yaml").is_file():
            raise UsageError(f"{command.run}: {option} is for runs that have photographs", "give a volsdf run")
    if command.run.suffix.lower() in (".step", ".stp"):
        from recon.evaluation.solids import solid_lines
        from recon.results.evaluation import evaluate_solid_file

        results = evaluate_solid_file(command.run, command.truth)
        print(json.dumps(results, indent=1) if command.json else "\n".join(solid_lines(results)))
        return
    if command.run.suffix == ".json":
        from recon.results.evaluation import curve_lines, evaluate_curve_file
        from recon.results.figures import CurveFigures

        results = evaluate_curve_file(command.run, command.truth)
        print(json.dumps(results, indent=1) if command.json else "\n".join(curve_lines(CurveFigures.of(results))))
        return
    from recon import pipeline
    from recon.console import Reporter
    from recon.fit.run import is_fit, open_fit
    from recon.results.halves import compare_halves, made
    from recon.runs import open_run

    if is_fit(command.run):
        from recon.fit import fit as fits

        with Reporter(quiet=command.json) as reporter:
            results = fits.evaluate(open_fit(command.run, placed(command.device, reporter)), reporter)
        print_fit(command.run, results, command.json)
        return

    with Reporter() as reporter:
        run = open_run(command.run, placed(command.device, reporter))
        source = run.scene.source
        scene, truth = open_data(source, run.config), open_truth(source, command.truth, command.scan)
        method = pipeline.load_method(run, reporter)
        halves = compare_halves(run, method, scene, reporter) if command.halves or made(run) else None
        results = pipeline.evaluate(
            run, method, scene, truth, reporter, command.cull, _most_views(run, command.eval_views), halves, command.best_texture
        )
    if command.json:
        print(json.dumps(results.content, indent=1))
    else:
        print_results(run.folder, results)


def _most_views(run: Run, asked: int | None) -> int | None:
    return (run.config.results.eval_views if asked is None else asked) or None


def render(command: Render) -> None:
    from recon.console import Reporter
    from recon.runs import open_run
    from viewer.render import RenderOptions
    from viewer.render import render as render_run

    if command.orbit and (command.path is not None or command.split is not None):
        raise UsageError("--orbit has its own cameras", "give one of --orbit, --path and --split")
    options = RenderOptions(
        of=flat(command.of) or ("field",),
        path=command.path,
        split=command.split,
        modes=flat(command.modes),
        size=command.size,
        frames=command.frames,
        fps=command.fps,
        depth_range=command.depth_range,
        out=command.out,
    )
    with Reporter() as reporter:
        run = open_run(command.run, placed(command.device, reporter) if "field" in options.of else "cpu")
        written = render_run(run, options, lambda: open_data(run.scene.source, run.config), reporter)
    for path in written:
        print(path)


def export(command: Export) -> None:
    from recon import pipeline
    from recon.console import Reporter
    from recon.results.better import refuse_worse
    from recon.results.cameras import export_cameras
    from recon.results.mesh import USUAL, export_curves_again, export_mesh, photographs_for
    from recon.runs import open_run

    run = open_run(command.run)
    known = {"mesh": get_args(MeshFormat), "curves": get_args(CurveFormat)}.get(command.what, ())
    formats: tuple[Any, ...] = flat(command.formats)
    if wrong := [f for f in formats if f not in known]:
        raise UsageError(f"the {command.what} cannot be written as {', '.join(wrong)}", f"formats: {', '.join(known) or 'only its own'}")
    with Reporter() as reporter:
        if command.what == "cameras":
            print(export_cameras(run, open_data(run.scene.source, run.config), reporter, command.out))
            return
        if command.what == "points":
            from recon.stereo.known import export_points

            print(export_points(run, open_data(run.scene.source, run.config), reporter, command.out))
            return
        if command.what == "curves":
            for path in export_curves_again(run, formats or None, reporter, command.out):
                print(path)
            return
        settings, folder = command.mesh, command.out or run.exports
        if not command.overwrite:
            refuse_worse(run, settings, folder)
        run = open_run(command.run, placed(command.device, reporter))
        formats = formats or USUAL
        photographs = photographs_for(run, settings, formats)
        surface = pipeline.load_surface(run, reporter)
        export_mesh(run, surface, settings, reporter, photographs, folder=folder, formats=formats)
    for path in sorted(p for p in folder.glob("mesh.*") if p.suffix[1:] in (*formats, "mtl" if "obj" in formats else "")):
        print(path)


def swap(command: Swap) -> None:
    from recon.console import Reporter
    from recon.results.swap import SwapOptions
    from recon.results.swap import swap as swap_runs
    from recon.runs import open_run

    options = SwapOptions(command.views, command.size, command.frames if command.orbit else 0, command.export)
    with Reporter() as reporter:
        device = placed(command.device, reporter)
        runs = open_run(command.run_a, device), open_run(command.run_b, device)
        written = swap_runs(*runs, command.out, options, reporter)
    for path in written:
        print(path)


def view(command: View) -> None:
    from recon.console import Reporter
    from recon.errors import require_extra
    from recon.runs import open_run

    if command.export is not None:
        if not Path(command.what).is_dir():
            raise UsageError(f"{command.what}: not a run folder", "--export writes the mesh, curves and cameras of a run")
        from viewer.page import write_page

        size = write_page(open_run(Path(command.what)), command.export)
        print(f"{command.export}: {size.total / 1e6:.1f} MB, of which the surface takes {size.mesh * 4 / 3 / 1e6:.1f} MB")
        return
    require_extra("viser", "viewer", "the live viewer")
    from viewer.command import opened, subject_of, wait
    from viewer.guard import make_access

    make_access(command.page.host, command.page.port or 0, command.page.token)  # refused before the data are read
    config = RunConfig(data=command.images)
    with Reporter() as reporter:
        subject = subject_of(
            command.what,
            lambda run: open_data(run.scene.source, run.config),
            lambda: open_data(command.what, config),
            reporter,
            placed(command.device, reporter),
        )
        page = command.page
        with opened(subject, page.host, page.port, page.token, reporter):
            wait(reporter)


def parse(args: Sequence[str] | None = None) -> Command:
    """The command that words, or those of the process, stand for."""
    words = sys.argv[1:] if args is None else args
    for command in ACTIONS:
        if list(words[:1]) == [name := COMMAND_NAMES.get(command, command.__name__.lower())]:
            return parsed(command, words[1:], f"recon {name}", about=told(name, command))
    return parsed(Command, words)  # pyright: ignore[reportArgumentType]


def main(args: Sequence[str] | None = None) -> None:
    """Entry point: parse and run; errors become exit codes."""
    words = list(sys.argv[1:] if args is None else args)
    if words == ["--version"]:
        print(f"formfield {__version__}")
        return
    with errors_as_exit_codes():
        words = prepared(words, [COMMAND_NAMES.get(c, c.__name__.lower()) for c in ACTIONS])
        command = completed(parse(words), words)
        if "MASTER_ADDR" in os.environ:  # torchrun; asked for here so that --help needs no torch
            from recon.team import refuse_together

            refuse_together(COMMAND_NAMES.get(type(command), type(command).__name__.lower()))
        ACTIONS[type(command)](command)


ACTIONS: dict[type, Callable[..., None]] = {
    Process: process,
    Reconstruct: reconstruct,
    Solid: solid,
    Inspect: inspect,
    Train: train,
    Fit: fit,
    Resume: resume,
    Evaluate: evaluate,
    Render: render,
    Export: export,
    Swap: swap,
    Compare: compare,
    View: view,
    MakeScene: make_scene,
    Benchmark: benchmark,
    Doctor: doctor,
}


COMMAND_NAMES: dict[type, str] = {MakeScene: "scene"}
"""Where a command's name is not that of its class."""


if __name__ == "__main__":
    main()
