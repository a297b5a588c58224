"""A run that crashed ends as if it had not, wherever it crashed: weights, results and pictures are the same, and nothing is left.

Every state that a kill can leave is made (tests/recon/crashes.py). Some of them are tried each time; all with ``make crashes``.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from recon import pipeline
from recon.checkpoint import load_checkpoint
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.console import Reporter
from recon.evaluation.truth.known import GroundTruth
from recon.runs import open_run
from tests.recon.crashes import Crash, Recorder
from tests.tiny import TINY_SETTINGS, tiny_scene

QUIET = Reporter(quiet=True)
PART, PARTS = (int(n) for n in os.environ.get("FORMFIELD_CRASHES", "0/0").split("/"))
"""Of all crashes, the part to try: "1/4" the first quarter; 0/0: a few of them."""
TRIED = 8


def outcome(folder: Path) -> dict[str, Any]:
    """All that must be the same: weights, optimiser, random state, figures, pictures, meshes, and the names of all files."""
    checkpoint, problems = load_checkpoint(folder / "checkpoints")
    assert problems == []
    results = json.loads((folder / "eval" / "results.json").read_text())
    results = {k: v for k, v in results.items() if k not in ("run", "training_seconds")}
    results["images"].pop("seconds_per_view")
    kept = [p for p in sorted(folder.rglob("*")) if p.is_file()]
    same = (".png", ".ply", ".obj", ".stl", ".glb", ".mtl")
    tensors = {**checkpoint.model, **checkpoint.optimizer, "generator": checkpoint.generator}
    return {
        "names": [str(p.relative_to(folder)) for p in kept],
        "results": results,
        "tensors": {name: tensor.numpy().tobytes() for name, tensor in tensors.items()},
        "files": {str(p.relative_to(folder)): p.read_bytes() for p in kept if p.suffix in same},
        "steps": [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()],
        "state": json.loads((folder / "status.json").read_text())["state"],
    }


@pytest.fixture(scope="module")
def crashed(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Crash]]:
    """How a run ends that does not crash, and all the ways in which it could have been left on its way."""
    folder = tmp_path_factory.mktemp("whole")
    scene = tiny_scene()
    run = pipeline.start(scene, "tiny", with_overrides(preset_config("volsdf", "hashgrid", "fast"), TINY_SETTINGS), folder)
    recorder = Recorder(run.folder, tmp_path_factory.mktemp("crashes"))
    with recorder.recording():
        pipeline.reconstruct(run, scene, GroundTruth(), QUIET)
    return outcome(run.folder), recorder.crashes


def test_every_stage_was_interrupted(crashed):
    """The recorder sees what it is meant to see: checkpoints, exports, figures and pictures in every state of being written."""
    whats = [c.what for c in crashed[1]]
    for part in ("fsync model.safetensors", "fsync optimizer.safetensors", "step_00000004", "step_00000012", "latest.json", "metrics.jsonl",
                 "status.json", "mesh.ply", "mesh.glb", "mesh.obj", "mesh.json", "results.json", "preview.png", "orbit"):  # fmt: skip
        assert any(part in what for what in whats), part
    assert len(whats) > 100


def test_a_crash_changes_nothing(crashed, tmp_path):
    whole, crashes = crashed
    chosen = crashes[PART - 1 :: PARTS] if PARTS else [crashes[i * (len(crashes) - 1) // (TRIED - 1)] for i in range(TRIED)]
    scene = tiny_scene()
    wrong = []
    for number, crash in enumerate(chosen):
        folder = tmp_path / f"{number:03d}"
        shutil.copytree(crash.folder, folder)
        pipeline.reconstruct(open_run(folder), scene, GroundTruth(), QUIET)
        found = outcome(folder)
        wrong += [f"{crash.what}: {part}" for part in whole if found[part] != whole[part]]
        shutil.rmtree(folder)
    assert wrong == []
