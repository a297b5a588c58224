"""Checkpoints: safetensors and JSON in a folder that appears whole or not at all, verified by hash when read."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from recon.errors import DataError
from recon.system.files import sync, whole, write_text_atomically

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


def save_checkpoint(folder: Path, checkpoint: Checkpoint, keep: int) -> Path:
    """Write ``folder/step_XXXXXXXX`` atomically, point ``latest.json`` at it, then delete all but the newest ``keep``, and newer ones.

    Args:
        folder: The run's ``checkpoints`` folder.
        checkpoint: What to write.
        keep: How many to keep, at least 1.
    Returns:
        The checkpoint's folder.
    Raises:
        OSError: If the system refuses; the checkpoints before are kept.
    """
    folder.mkdir(parents=True, exist_ok=True)
    final = folder / f"step_{checkpoint.step:08d}"
    if final.exists():  # left by a kill before `latest.json` was written, or damaged and walked back over
        shutil.rmtree(final)
    with whole(final) as part:
        part.mkdir()
        for name, tensors in zip(TENSOR_FILES, (checkpoint.model, checkpoint.optimizer), strict=True):
            _save_tensors(tensors, part / name)
            sync(part / name)
        state = {
            "schema_version": SCHEMA_VERSION,
            "step": checkpoint.step,
            "generator": base64.b64encode(bytes(checkpoint.generator.tolist())).decode(),
            "trainer": checkpoint.trainer,
            "sha256": {name: _sha256(part / name) for name in TENSOR_FILES},
        }
        write_text_atomically(part / "state.json", json.dumps(state, indent=1))
        sync(part)
    sync(folder)
    settle_checkpoints(folder, checkpoint.step, keep)
    return final


def settle_checkpoints(folder: Path, step: int, keep: int) -> None:
    """Point ``latest.json`` at a step's checkpoint, delete all but the newest ``keep`` up to it; also after a crash amid that."""
    final = folder / f"step_{step:08d}"
    write_text_atomically(folder / "latest.json", json.dumps({"checkpoint": final.name}))
    others = sorted(folder.glob("step_????????"))
    for other in [*others[: others.index(final) + 1][:-keep], *others[others.index(final) + 1 :]]:  # newer ones were damaged
        shutil.rmtree(other)


def _save_tensors(tensors: dict[str, Tensor], path: Path) -> None:
    try:
        save_file({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, path)
    except SafetensorError as error:  # holds what the system said as text: "I/O error: No space left on device (os error 28)"
        number = re.search(r"\(os error ([0-9]+)\)", str(error))
        if number is None:
            raise
        raise OSError(int(number[1]), os.strerror(int(number[1])), str(path)) from error


def load_checkpoint(folder: Path, numbers: Sequence[str] = ()) -> tuple[Checkpoint, list[str]]:
    """The newest whole checkpoint, walking back over broken ones.

    Args:
        folder: The run's ``checkpoints`` folder.
        numbers: Those that ``trainer`` must hold.
    Returns:
        The checkpoint, and one line for each newer one that was skipped and why.
    Raises:
        DataError: If none is whole.
    """
    problems = []
    for candidate in sorted(folder.glob("step_????????"), reverse=True):
        try:
            return _read(candidate, numbers), problems
        except (OSError, ValueError, RecursionError, RuntimeError, SafetensorError, DataError) as error:
            problems.append(f"{candidate.name}: {error}")
    raise DataError(f"{folder}: no whole checkpoint", problems, "train again, or copy the checkpoint anew")


def _read(folder: Path, numbers: Sequence[str]) -> Checkpoint:
    state = json.loads((folder / "state.json").read_text(encoding="utf-8"))
    _check_state(state, folder.name, numbers)
    for name, digest in state["sha256"].items():
        if _sha256(folder / name) != digest:
            raise DataError(f"{name} is damaged: its hash differs from the one in state.json")
    model, optimizer = (load_file(folder / name) for name in TENSOR_FILES)
    generator = torch.tensor(list(base64.b64decode(state["generator"])), dtype=torch.uint8)
    torch.Generator().set_state(generator)  # raises what is no state of one
    return Checkpoint(state["step"], model, optimizer, generator, state["trainer"])


def _check_state(state: Any, name: str, numbers: Sequence[str]) -> None:
    """Whether a state.json says what this program writes; without its hashes, for both files, nothing is vouched for."""
    if not isinstance(state, dict) or "schema_version" not in state:
        raise DataError("state.json is not one of this program's")
    if state["schema_version"] != SCHEMA_VERSION:
        raise DataError(f"written by another version (schema {state['schema_version']}, this program reads {SCHEMA_VERSION})")
    trainer, hashes = state.get("trainer"), state.get("sha256")
    if type(state.get("step")) is not int or name != f"step_{state['step']:08d}":
        raise DataError("the step in state.json is not that of its folder")
    if not isinstance(state.get("generator"), str):
        raise DataError("state.json has no state of the random generator")
    if not isinstance(hashes, dict) or set(hashes) != set(TENSOR_FILES):
        raise DataError(f"state.json must hold the hashes of {' and '.join(TENSOR_FILES)}")
    if not isinstance(trainer, dict) or not all(_is_number(value) for value in trainer.values()) or not set(numbers) <= set(trainer):
        raise DataError("state.json lacks numbers of the training loop")


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value)


def _sha256(path: Path) -> str:
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
