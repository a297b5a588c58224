"""Checkpoints: safetensors and JSON in a folder that appears whole or not at all, verified by hash when read."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recon.errors import DataError

SCHEMA_VERSION = 1
TENSOR_FILES = ("model.safetensors", "optimizer.safetensors")


@dataclass
class Checkpoint:
    """A training state.

    Attributes:
        step: Steps done.
        model: The method's state.
        optimizer: Adam's state.
        generator: State of the random generator. uint8
        trainer: Small numbers of the loop (rays per step, elapsed seconds).
    """

    step: int
    model: dict[str, Tensor]
    optimizer: dict[str, Tensor]
    generator: Tensor
    trainer: dict[str, Any]


def write_text_atomically(path: Path, text: str) -> None:
    """Write to a temporary name beside the file, flush, rename."""
    temporary = path.with_name(f"{path.name}.tmp-{os.getpid()}")
    with open(temporary, "w") as f:
        f.write(text)
        f.flush()
        os.fsync(f.fileno())
    os.replace(temporary, path)


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write ``folder/step_XXXXXXXX`` atomically, point ``latest.json`` at it, then delete all but the newest ``keep``.

    Args:
        folder: The run's ``checkpoints`` folder.
        checkpoint: What to write.
        keep: How many to keep, at least 1.
    Returns:
        The checkpoint's folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step_{checkpoint.step:08d}"
    temporary = folder / f"{final.name}.tmp-{os.getpid()}"
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    for name, tensors in zip(TENSOR_FILES, (checkpoint.model, checkpoint.optimizer), strict=True):
        save_file({k: v.detach().contiguous() for k, v in tensors.items()}, temporary / name)
        _sync(temporary / name)
    state = {
        "schema_version": SCHEMA_VERSION,
        "step": checkpoint.step,
        "generator": base64.b64encode(bytes(checkpoint.generator.tolist())).decode(),
        "trainer": checkpoint.trainer,
        "sha256": {name: _sha256(temporary / name) for name in TENSOR_FILES},
    }
    write_text_atomically(temporary / "state.json", json.dumps(state, indent=1))
    if final.exists():
        shutil.rmtree(final)
    os.replace(temporary, final)
    _sync(folder)
    write_text_atomically(folder / "latest.json", json.dumps({"checkpoint": final.name}))
    for old in sorted(folder.glob("step_????????"))[:-keep]:
        shutil.rmtree(old)
    return final


def load_checkpoint(folder: Path) -> tuple[Checkpoint, list[str]]:
    """The newest whole checkpoint, walking back over broken ones.

    Args:
        folder: The run's ``checkpoints`` folder.
    Returns:
        The checkpoint, and one line for each newer one that was skipped and why.
    Raises:
        DataError: If none is whole.
    """
    problems = []
    for candidate in sorted(folder.glob("step_????????"), reverse=True):
        try:
            return _read(candidate), problems
        except (OSError, ValueError, KeyError, RuntimeError, DataError) as error:
            problems.append(f"{candidate.name}: {error}")
        except Exception as error:  # safetensors raises its own type without a public base
            if type(error).__module__.split(".")[0] != "safetensors":
                raise
            problems.append(f"{candidate.name}: {error}")
    raise DataError(f"{folder}: no whole checkpoint", problems, "train again, or copy the checkpoint anew")


def _read(folder: Path) -> Checkpoint:
    state = json.loads((folder / "state.json").read_text())
    if state["schema_version"] != SCHEMA_VERSION:
        raise DataError(f"written by another version (schema {state['schema_version']}, this program reads {SCHEMA_VERSION})")
    for name, digest in state["sha256"].items():
        if _sha256(folder / name) != digest:
            raise DataError(f"{name} is damaged: its hash differs from the one in state.json")
    model, optimizer = (load_file(folder / name) for name in TENSOR_FILES)
    generator = torch.tensor(list(base64.b64decode(state["generator"])), dtype=torch.uint8)
    return Checkpoint(int(state["step"]), model, optimizer, generator, state["trainer"])


def _sha256(path: Path) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
