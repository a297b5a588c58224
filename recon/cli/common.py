"""What several commands begin and end with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recon.cli.arguments import Reconstruct, Train
from recon.config.values import RunConfig
from recon.opening import open_data, with_cameras
from recon.system.text import printable

if TYPE_CHECKING:
    from recon.console import Reporter
    from recon.data.scene import Scene
    from recon.results.figures import Results
    from recon.team import Team

# Torch and everything that needs it is imported inside the functions, so that --help answers at once.


def placed(name: str, reporter: Reporter) -> str:
    """The device that ``--device`` stands for, which is said, with the reason."""
    from recon.device import choose

    choice = choose(name)
    reporter.say(f"device: {choice.line}")
    return str(choice.device)


@contextmanager
def trainers(command: Reconstruct | Train) -> Iterator[tuple[Reporter, Team, str, Path]]:
    """Who trains (this process, or several that torchrun started), on which device, and where this one writes; the lead alone speaks."""
    from recon.console import Reporter
    from recon.team import gathered, here

    with (
        Reporter(quiet=not here().lead) as reporter,
        gathered(device := placed(command.train.device, reporter)) as team,
        team.own_folder(command.train.out) as out,
    ):
        yield reporter, team, device, out


def opened_data(command: Reconstruct | Train, config: RunConfig, reporter: Reporter, team: Team) -> tuple[str, Scene]:
    """The dataset, made of photographs where it has no cameras yet, and what is in it. The lead, which may write on the way, is first."""
    from recon.data.inspect import describe_briefly

    with team.lead_first():
        data = with_cameras(command.data, command.photos, config.data, command.train.out, reporter, command.train.seed)
        scene = open_data(data, config, lambda share, text: reporter.progress("read", share, text))
        describe_briefly(scene, reporter)
    return data, scene


def print_results(folder: Path, results: Results) -> None:
    """The figures that matter, a line each, then the files that matter, and what can be done next."""
    from recon.results.evaluation import summary_lines
    from recon.results.summary import file_lines, next_lines

    print(printable("\n".join([*summary_lines(results), *file_lines(folder, results.unit), f"run: {folder}", *next_lines(folder)])))
