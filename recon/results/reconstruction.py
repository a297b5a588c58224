"""`recon reconstruct` as a function: from what a user names to a run, and where its results lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.config.values import FieldName, MethodName, PresetName
from recon.console import Reporter
from recon.device import choose
from recon.opening import open_data, open_truth
from recon.results.figures import Results
from recon.results.query import Loaded, load_run


@dataclass(frozen=True)
class Reconstruction:
    """A finished run.

    Attributes:
        folder: The run's.
        results: The figures of ``eval/results.json``.
        mesh: The textured mesh (.glb) in world units; None for methods that make none, or where nothing was found.
        curves: The wireframe (.json) in world units; None for methods that make none.
    """

    folder: Path
    results: Results
    mesh: Path | None
    curves: Path | None

    def load(self) -> Loaded:
        """The field as a function of points."""
        return load_run(self.folder)


def reconstruct(
    data: Path | str,
    *,
    method: MethodName = "volsdf",
    field: FieldName | None = None,
    preset: PresetName = "fast",
    out: Path | str = "runs",
    name: str | None = None,
    settings: Sequence[str] = (),
    truth: Path | str | None = None,
    pictures: bool = True,
    quiet: bool = True,
    device: str = "auto",
) -> Reconstruction:
    """Train, make the mesh or the wireframe, evaluate.

    Args:
        data: A folder or file of posed images, or ``scenes:NAME``.
        method, field, preset: As on the command line; without a field the preset's own.
        out: Where run folders are made.
        name: Of the run's folder; None: the time.
        settings: ``name=value`` of any value of the configuration, as after ``--set``.
        truth: Mesh, curves or a folder of both to compare with, world units; built-in scenes bring their own.
        pictures: Make the preview and the turntable too.
        quiet: Say nothing on stderr.
        device: auto, cpu, cuda or cuda:N; see :func:`recon.device.choose`.
    Raises:
        ReconError: As the command ends: UsageError, DataError, DivergedError and so on.
    """
    config = with_overrides(preset_config(method, field, preset), settings)
    source = str(data)
    known = open_truth(source, None if truth is None else Path(truth))
    choice = choose(device)
    with Reporter(quiet=quiet) as reporter:
        reporter.say(f"device: {choice.line}")
        scene = open_data(source, config)
        run = pipeline.start(scene, source, config, Path(out), str(choice.device), name)
        results = pipeline.reconstruct(run, scene, known, reporter, pictures)
    mesh, curves = run.exports / "mesh.glb", run.exports / "curves.json"
    return Reconstruction(run.folder, results, mesh if mesh.is_file() else None, curves if curves.is_file() else None)
