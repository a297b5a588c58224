"""A fit's folder: ``fit.yaml, signal.json, env.json, metrics.jsonl, status.json, checkpoints/, eval/`` and the results beside them."""

from __future__ import annotations

import json
import os
import secrets
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recon.config.files import read_config, save_config
from recon.errors import DataError
from recon.fit.config import FitConfig
from recon.runs import environment
from recon.system.files import append_line, drop_records, new_folder, read_records, write_text_atomically
from recon.system.foreign import read_object
from recon.system.locks import sole_writer

CONFIG = "fit.yaml"


@dataclass(frozen=True)
class FitRun:
    """Paths of a fit's folder, its configuration, what ``signal.json`` says about the signal, and where it is computed."""

    folder: Path
    config: FitConfig
    signal: dict[str, Any]
    device: str = "cpu"
    """Name of the device that this process computes it on; a run may be looked at, and go on, on another one."""

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def eval(self) -> Path:
        return self.folder / "eval"

    @property
    def source(self) -> Path:
        """The picture, mesh or points."""
        return Path(self.signal["source"])

    def log_metrics(self, record: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        append_line(self.folder / "metrics.jsonl", json.dumps(record))

    def forget_metrics(self, after: int) -> None:
        """Drop the lines of metrics.jsonl that are of later steps, or that a kill cut: the steps come again."""
        drop_records(self.folder / "metrics.jsonl", after)

    def metrics(self) -> list[dict[str, Any]]:
        """All lines of metrics.jsonl."""
        return read_records(self.folder / "metrics.jsonl")

    def set_status(self, state: str, step: int, message: str = "") -> None:
        """Say in status.json what the fit is doing."""
        status = {"state": state, "step": step, "pid": os.getpid(), "message": message, "device": self.device}
        write_text_atomically(self.folder / "status.json", json.dumps(status, indent=1))

    def ended_by(self, error: BaseException, step: int) -> None:
        """Say in status.json what ended the fit before it was done. If not even that can be written, the error itself matters more."""
        with suppress(OSError):
            self.set_status("interrupted" if isinstance(error, KeyboardInterrupt) else "failed", step, str(error))

    def writing(self) -> AbstractContextManager[None]:
        """Be the one process that fits this run, while the context lasts (:func:`recon.system.locks.sole_writer`)."""
        return sole_writer(self.folder)

    def write_results(self, results: dict[str, Any]) -> None:
        """Write ``eval/results.json``."""
        self.eval.mkdir(exist_ok=True)
        write_text_atomically(self.eval / "results.json", json.dumps(results, indent=1, allow_nan=False))


def create_fit(out: Path, source: Path, config: FitConfig, signal: dict[str, Any], device: str = "cpu") -> FitRun:
    """Make ``out/<name>/fit-<field>/<UTC>-<hex>`` and write what it is made of."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    folder = out / source.stem / f"fit-{config.field}" / f"{stamp}-{secrets.token_hex(2)}"
    run = FitRun(folder, config, {"source": str(source.resolve()), **signal}, device)
    with new_folder(folder):
        save_config(config, folder / CONFIG)
        write_text_atomically(folder / "signal.json", json.dumps(run.signal, indent=1))
        write_text_atomically(folder / "env.json", json.dumps(environment(device), indent=1))
        run.set_status("running", 0)
    return run


def is_fit(folder: Path) -> bool:
    """Whether a folder is a fit's (and not a reconstruction's)."""
    return (folder / CONFIG).is_file()


def open_fit(folder: Path, device: str = "cpu") -> FitRun:
    """An existing fit's folder, to be computed on a device.

    Raises:
        DataError: If it is none, or its signal.json cannot be read.
    """
    if not is_fit(folder):
        raise DataError(f"{folder}: not a fit's folder", hint=f"give the folder that holds {CONFIG}")
    signal = read_object(folder / "signal.json", "a fit's signal.json", {"source": str}, "start a new fit")
    return FitRun(folder, read_config(FitConfig, folder / CONFIG), signal, device)
