"""Flags that several commands share. Nothing here imports torch: ``--help`` answers at once."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import tyro

from recon.config.timing import preset_help
from recon.config.values import FieldName, MethodName, PresetName
from recon.errors import UsageError

T = TypeVar("T")
TOKEN_VARIABLE = "FORMFIELD_TOKEN"

# A flag of several values may also be given several times: each time is a tuple, and `flat` joins them. With a plain tuple, tyro would keep
# only the last, and say nothing.
Settings = Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction, tyro.conf.arg(name="set", metavar="NAME=VALUE ...")]


def flat(given: tuple[tuple[T, ...], ...]) -> tuple[T, ...]:
    """All values of a flag, in the order in which they were given."""
    return tuple(value for group in given for value in group)


# Said once: every command that computes has it.
Device = Annotated[
    str,
    tyro.conf.arg(metavar="auto|cpu|cuda[:N]", help="Where it is computed. auto: the first GPU that there are kernels for, else the CPU."),
]


MadeName = MethodName | Literal["solid"]
"""What `recon reconstruct` makes: the model of a method, or a solid, for which two are trained."""


@dataclass(frozen=True)
class TrainOptions:
    """What is trained and how."""

    method: MadeName = "volsdf"
    """volsdf: a surface. radiance: views only. nef: a wireframe of parametric curves, by an edge field. solid: a surface, its wireframe and
    from both a CAD solid, in one go (needs the extra [cad])."""
    field: FieldName | None = None
    """How the function is represented: hashgrid (fast; the default), neurbf (adaptive radial functions beside a grid), rbfnet (Gaussian
    neurons over a grid), or mlp (the method's own 8 x 256 network, very slow on a CPU; the default of nef and
    volsdf with the preset paper)."""
    preset: Annotated[PresetName, tyro.conf.arg(help=preset_help())] = "fast"
    out: Path = Path("runs")
    """Where run folders are made."""
    name: str | None = None
    """Name of the run's folder; default: the time. Commands take it for RUN wherever OUT is runs."""
    seed: int = 0
    """Everything random follows from it."""
    device: Device = "auto"
    edges: str | None = None
    """For nef, where 2D edges come from. given or given:FOLDER: edge maps, one per photograph; auto: found in the photographs; surface:RUN:
    guided by the mesh of a finished volsdf run. Default: given where the dataset has maps, else auto."""
    keep_silhouettes: bool = False
    """For nef: keep curves that are only outlines of smooth surfaces."""
    settings: Settings = ()
    """Change any value of the configuration: --set train.steps=500 hashgrid.levels=12. See config.yaml of a run for all names."""

    @property
    def set(self) -> tuple[str, ...]:
        """Every ``name=value`` that was given, in order."""
        return flat(self.settings)


@dataclass(frozen=True)
class PageOptions:
    """Where the live viewer listens."""

    host: str = "127.0.0.1"
    """Address to listen on. Beyond this machine it needs a token of your own."""
    port: int | None = None
    """Port; default: the first free one from 8080 on."""
    token_file: Path | None = None
    """File with the secret of the page's address, at least 16 characters; also in FORMFIELD_TOKEN; default: a random one."""

    @property
    def token(self) -> str | None:
        """The user's own token. It is no argument, because every user of a machine sees the arguments of all processes."""
        if self.token_file is None:
            return os.environ.get(TOKEN_VARIABLE)
        try:
            return self.token_file.read_text(encoding="utf-8").strip()
        except (OSError, ValueError) as error:
            raise UsageError(f"--token-file {self.token_file}: cannot be read ({error})", "give a file of one line") from error
