"""A run is a folder: its configuration, what it was made from, its state, checkpoints and results."""

from __future__ import annotations

import json
import os
import platform
import re
import secrets
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from recon.config.files import load_config, save_config
from recon.config.values import RunConfig
from recon.data.record import SceneRecord, read_record
from recon.errors import DataError, Interrupted, UsageError, recon_command
from recon.system.files import append_line, drop_records, new_folder, read_records, write_text_atomically
from recon.system.foreign import read_object
from recon.system.locks import sole_writer

State = Literal["running", "done", "failed", "interrupted"]
Config = TypeVar("Config")
STATUS_KEYS = {"state": str, "step": int}


@dataclass(frozen=True)
class RunFolder(Generic[Config]):
    """What every run's folder has, of a reconstruction as of a fit: its configuration, its state, checkpoints, figures and log.

    Attributes:
        folder: Where it is.
        config: What it is made with.
        device: Name of the device that this process computes it on; a run may be looked at, and go on, on another one.
    """

    folder: Path
    config: Config
    device: str = "cpu"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def eval(self) -> Path:
        return self.folder / "eval"

    def log_metrics(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        append_line(self.folder / "metrics.jsonl", json.dumps(record))

    def forget_metrics(self, after: int) -> None:
        """Drop the lines of metrics.jsonl that are of later steps, or that a kill cut: the steps come again."""
        drop_records(self.folder / "metrics.jsonl", after)

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl."""
        return read_records(self.folder / "metrics.jsonl")

    def set_status(self, state: State, step: int, message: str = "") -> None:
        """Say in status.json what the run is doing, as which process."""
        status = {"state": state, "step": step, "pid": os.getpid(), "time": _now(), "message": message, "device": self.device}
        write_text_atomically(self.folder / "status.json", json.dumps(status, indent=1))

    @contextmanager
    def ending(self) -> Iterator[None]:
        """Whatever ends the work on the run within: status.json says so, and who interrupts it is told how to go on.

        Raises:
            Interrupted: In the place of KeyboardInterrupt.
        """
        try:
            yield
        except Interrupted:
            raise
        except BaseException as error:
            stopped = isinstance(error, KeyboardInterrupt)
            state, step = read_status(self.folder)
            if state == "running":  # not where the work had not begun, or is done
                with suppress(OSError):  # if not even that can be written, the error itself matters more
                    self.set_status("interrupted" if stopped else "failed", step, str(error))
            if stopped:
                raise Interrupted("stopped; what was trained is kept", recon_command("resume", self.folder)) from error
            raise

    def writing(self) -> AbstractContextManager[None]:
        """Be the one process that trains this run and makes its results, while it lasts (:func:`~recon.system.locks.sole_writer`)."""
        return sole_writer(self.folder)

    def write_results(self, results: dict[str, Any]) -> None:
        """Write ``eval/results.json``."""
        self.eval.mkdir(parents=True, exist_ok=True)
        write_text_atomically(self.eval / "results.json", json.dumps(results, indent=1, allow_nan=False))


@dataclass(frozen=True)
class Run(RunFolder[RunConfig]):
    """A reconstruction's folder."""

    @property
    def exports(self) -> Path:
        return self.folder / "exports"

    @property
    def renders(self) -> Path:
        return self.folder / "renders"

    @property
    def solid(self) -> Path:
        return self.folder / "solid"

    @cached_property
    def scene(self) -> SceneRecord:
        """What ``scene.json`` says about the data, read once.

        Raises:
            DataError: If it is missing or damaged.
        """
        return read_record(self.folder / "scene.json")


def new_run_folder(out: Path, name: str, kind: str) -> Path:
    """Where a new run goes: ``out/<name>/<kind>/<UTC>-<hex>``; not made yet."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    return out / name / kind / f"{stamp}-{secrets.token_hex(2)}"


def read_status(folder: Path) -> tuple[str, int]:
    """What a run's status.json says: state and step; "unknown" and 0 where it says nothing that can be read."""
    try:
        status = read_object(folder / "status.json", "a status", STATUS_KEYS)
    except DataError:
        return "unknown", 0
    return status["state"], status["step"]


def create_run(out: Path, config: RunConfig, scene: SceneRecord, device: str = "cpu", name: str | None = None) -> Run:
    """Make a new run folder ``out/<scene>/<method>-<field>/<name>`` and write what it is made of; without a name it is ``<UTC>-<hex>``.

    Raises:
        UsageError: If the name cannot be a folder's, or a run has it.
    """
    folder = new_run_folder(out, scene.name, f"{config.method}-{config.field}")
    folder = folder if name is None else folder.with_name(checked_name(name))
    if folder.exists():
        raise UsageError(f"{folder}: there is a run of this name", "give another --name, or go on with it: recon resume RUN")
    return write_run(folder, config, scene, device)


def write_run(folder: Path, config: RunConfig, scene: SceneRecord, device: str = "cpu") -> Run:
    """Make a run's folder, whole or not at all."""
    run = Run(folder, config, device)
    with new_folder(folder):
        save_config(config, folder / "config.yaml")
        write_text_atomically(folder / "scene.json", json.dumps(scene.to_json(), indent=1))
        write_text_atomically(folder / "env.json", json.dumps(environment(device), indent=1))
        run.set_status("running", 0)
    return run


def checked_name(name: str) -> str:
    """A run's name, if it can be a folder's on every system and means no other run.

    Raises:
        UsageError: If not.
    """
    if not re.fullmatch(r"[\w][\w. +=@-]{0,99}", name) or name.endswith((".", " ")) or name == "latest":
        raise UsageError(f"--name {name!r} cannot be a run's name", "letters, digits, and . _ - + = @ inside; up to 100; not latest")
    return name


def open_run(folder: Path, device: str = "cpu") -> Run:
    """An existing run folder, to be computed on a device.

    Raises:
        DataError: If the folder is not a run.
    """
    if not (folder / "config.yaml").is_file():
        inside = sorted(folder.glob("**/config.yaml"))[:3] if folder.is_dir() else []
        hint = f"did you mean {inside[-1].parent}?" if inside else "give the folder that holds config.yaml"
        raise DataError(f"{folder}: not a run folder", hint=hint)
    return Run(folder, load_config(folder / "config.yaml"), device)


def environment(device: str) -> dict[str, Any]:
    """Versions, machine and the device that is computed on, for env.json."""
    import kernels

    packages = ("formfield", "torch", "numpy", "scipy", "scikit-image", "trimesh", "embreex", "xatlas")
    versions = {}
    for name in packages:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = None
    return {
        "time": _now(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "packages": versions,
        "device": device,
        "kernels": kernels.backend_report(device),
    }


def processor() -> str:
    """Model name of the CPU."""
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
