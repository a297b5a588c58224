"""The commands about data: cameras of photographs, what is in a dataset, and made-up scenes."""

from __future__ import annotations

import json
import math
from pathlib import Path

from recon.cli.arguments import Inspect, MakeScene, Process
from recon.config.values import RunConfig
from recon.errors import UsageError
from recon.opening import open_data, with_cameras


def process(command: Process) -> None:
    from recon.console import Reporter
    from recon.photos.process import process as find_cameras
    from recon.photos.report import next_command, summary_lines

    with Reporter(quiet=command.json) as reporter:
        report = find_cameras(
            command.photographs,
            command.out,
            command.photos,
            reporter,
            unit=command.unit,
            factor=command.scale,
            masks=command.masks,
            seed=command.seed,
        )
    print(json.dumps(report, indent=1) if command.json else "\n".join([*summary_lines(report), next_command(report)]))


def inspect(command: Inspect) -> None:
    from recon.console import Reporter
    from recon.data.inspect import describe_briefly
    from recon.results.inspection import inspect_scene

    config = RunConfig(data=command.images)
    with Reporter(quiet=command.json) as reporter:
        data = with_cameras(command.data, command.photos, config.data, command.out or Path("runs"), reporter)
        scene = open_data(data, config, lambda share, text: reporter.progress("read", share, text))
        describe_briefly(scene, reporter)
        depth = config.stereo if command.depth else None
        facts, pictures = inspect_scene(scene, command.edges, command.out or Path("."), reporter, depth)
    if command.json:
        print(json.dumps({**facts, "picture": str(pictures[0]), "pictures": [str(p) for p in pictures]}, indent=1))
        return
    for key, value in facts.items():
        if key not in ("notes", "warnings"):
            print(f"{key}: {json.dumps(value)}")
    for path in pictures:
        print(f"picture: {path}")


def make_scene(command: MakeScene) -> None:
    import scenes

    how = (command.size, command.views, command.arc, command.exposure, command.noise)
    if any(isinstance(v, float) and not math.isfinite(v) for v in how):
        raise UsageError("--arc, --exposure and --noise are finite numbers")
    path = Path(command.name)
    if path.suffix:
        print(scenes.write_file(path, command.out, scenes.photographed(scenes.SceneOptions(), *how)))
    else:
        print(scenes.write(command.name, command.out, scenes.photographed(scenes.usual(command.name), *how)))
