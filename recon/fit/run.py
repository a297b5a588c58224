"""A fit's folder: ``fit.yaml, signal.json, env.json, metrics.jsonl, status.json, checkpoints/, eval/`` and the results beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from recon.config.files import read_config, save_config
from recon.errors import DataError
from recon.fit.config import FitConfig
from recon.runs import RunFolder, environment, new_run_folder
from recon.system.files import new_folder, write_text_atomically
from recon.system.foreign import read_object

CONFIG = "fit.yaml"


@dataclass(frozen=True)
class FitRun(RunFolder[FitConfig]):
    """A fit's folder, and what ``signal.json`` says about the signal."""

    signal: dict[str, Any] = field(kw_only=True)

    @property
    def source(self) -> Path:
        """The picture, mesh or points."""
        return Path(self.signal["source"])


def create_fit(out: Path, source: Path, config: FitConfig, signal: dict[str, Any], device: str = "cpu") -> FitRun:
    """Make ``out/<name>/fit-<field>/<UTC>-<hex>`` and write what it is made of."""
    folder = new_run_folder(out, source.stem, f"fit-{config.field}")
    run = FitRun(folder, config, device, signal={"source": str(source.resolve()), **signal})
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
    return FitRun(folder, read_config(FitConfig, folder / CONFIG), device, signal=signal)
