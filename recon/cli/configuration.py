"""From the words of a command to a run's configuration: a preset, with what the command line changes. Nothing here imports torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import tyro

from recon.cli.arguments import Command, Export, Reconstruct, Train
from recon.cli.flags import TrainOptions
from recon.config.files import with_overrides
from recon.config.presets import preset_config, with_edges
from recon.config.values import DataConfig, ExportConfig, MethodName, RunConfig

T = TypeVar("T")


def parsed(command: type[T], words: Sequence[str], prog: str = "recon", usual: T | None = None, about: str | None = None) -> T:
    """The command that words stand for; ``usual``: values of the flags that are not among them. ``about``: of the help."""
    if usual is None:
        return tyro.cli(command, args=words, prog=prog, description=about or DESCRIPTION, config=(tyro.conf.FlagCreatePairsOff,))
    return tyro.cli(command, args=words, prog=prog, default=usual)  # whatever is usual, a flag has the name that help gives it


DESCRIPTION = (
    "Turns photographs of an object, with known cameras, into a closed mesh with texture, its edges as curves, or a view to fly through. "
    "Begin with: recon inspect DATA, then recon reconstruct DATA. For RUN, every command takes a run's folder, or latest."
)


def completed(command: Command, words: Sequence[str]) -> Command:
    """A parsed command, whose flags that were not given have the values of its preset, or of the run that it is about.

    The words are read again with these as defaults: which preset or run it is, they say themselves.

    Raises:
        DataError: If the run to export is none.
    """
    usual: Command
    if isinstance(command, Reconstruct | Train):
        preset = preset_config(trained(command.train), command.train.field, command.train.preset)
        usual = Train(command.data, images=preset.data)
        if isinstance(command, Reconstruct):
            usual = Reconstruct(command.data, images=preset.data, mesh=preset.export)
    elif isinstance(command, Export):
        from recon.runs import open_run

        usual = Export(command.run, mesh=open_run(command.run).config.export)
    else:
        return command
    return parsed(type(command), words[1:], " ".join(("recon", words[0])), usual)


def run_config(train: TrainOptions, images: DataConfig, mesh: ExportConfig | None = None) -> RunConfig:
    """The configuration of a run.

    Args:
        train: Names the preset, and changes single values.
        images, mesh: Of the completed command; None: the preset's mesh.
    Raises:
        UsageError: If options do not go together, or a setting does not exist.
    """
    config = preset_config(trained(train), train.field, train.preset)
    config = replace(config, seed=train.seed, data=images, export=config.export if mesh is None else mesh)
    if train.method != "solid":  # a solid's edges are those of its wireframe
        config = with_edges(config, train.edges, train.keep_silhouettes)
    return with_overrides(config, train.set)


def wireframe_config(train: TrainOptions, images: DataConfig, surface: Path) -> RunConfig:
    """The configuration of a solid's wireframe: the usual field, and the edges of the surface's shape unless others are asked for.

    Args:
        train: Of the solid; its ``--set`` is about the surface.
        images: How the data are read.
        surface: The run of the surface.
    """
    config = replace(preset_config("nef", None, train.preset), seed=train.seed, data=images)
    return with_edges(config, train.edges or f"surface:{surface}", train.keep_silhouettes)


def trained(train: TrainOptions) -> MethodName:
    """The method of the first model that is trained: of a solid, its surface."""
    return "volsdf" if train.method == "solid" else train.method
