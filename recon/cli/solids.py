"""The commands that make CAD solids."""

from __future__ import annotations

import json
from pathlib import Path

from recon.cli.arguments import Reconstruct, Solid
from recon.cli.common import opened_data, placed, print_results
from recon.cli.configuration import run_config, wireframe_config
from recon.errors import UsageError
from recon.opening import open_data, open_truth
from recon.system.text import printable


def reconstruct_solid(command: Reconstruct) -> None:
    """Surface, wireframe and solid, one after the other; what is done stays, and can be gone on from with the commands that are said."""
    from recon.console import Reporter
    from recon.curves.files.occ import require_cad
    from recon.results.solid import solid_result_lines
    from recon.results.solid_run import reconstruct_to_solid
    from recon.team import ALONE, here

    if here().size > 1:
        raise UsageError("torchrun trains one model, and a solid is made of two", "recon reconstruct DATA --method solid")
    if command.view:
        raise UsageError("--view watches one training, and a solid has two", "recon view RUN shows the solid when it is there")
    require_cad()  # before an hour of training
    config = run_config(command.train, command.images, command.mesh)
    truth = open_truth(command.data, command.truth)
    with Reporter() as reporter:
        device = placed(command.train.device, reporter)
        data, scene = opened_data(command, config, reporter, ALONE)
        run, results, report = reconstruct_to_solid(
            scene,
            data,
            config,
            lambda surface: wireframe_config(command.train, command.images, surface),
            command.train.out,
            device,
            truth,
            reporter,
            command.eval_views,
            command.train.name,
        )
    print_results(run.folder, results)
    print(printable("\n".join(solid_result_lines(report))))


def solid(command: Solid) -> None:
    from recon.console import Reporter
    from recon.curves.files.occ import require_cad
    from recon.results.solid import make_solid, solid_result_lines
    from recon.solid.model import SolidOptions

    require_cad()
    options = SolidOptions(command.freeform, command.seed)
    with Reporter(quiet=command.json) as reporter:
        if command.what.is_dir():
            from recon.results.solid_of_run import photographs, run_source
            from recon.runs import open_run

            if command.unit is not None:
                raise UsageError(f"--unit is for mesh files; {command.what} is a run, whose data have their unit", "drop --unit")
            run = open_run(command.what)
            views = photographs(lambda: open_data(run.scene.source, run.config), reporter)
            source, usual = run_source(command.what, command.curves, placed(command.device, reporter), views, reporter), run.solid
        else:
            from recon.results.solid_sources import mesh_source

            source, usual = mesh_source(command.what, command.unit, command.curves), Path(f"{command.what.stem}-solid")
        folder = command.out or usual
        report = make_solid(source, options, command.snap, folder, reporter)
    print(
        json.dumps(report, indent=1) if command.json else printable("\n".join([*solid_result_lines(report), *solid_files(folder, report)]))
    )


def solid_files(folder: Path, report: dict) -> list[str]:
    """The files of a solid that a person opens."""
    return [f"  {folder / name}" for name in (report["step"], "report.html", "solid.png", "deviation.ply")]
