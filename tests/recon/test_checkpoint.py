"""Checkpoints appear whole or not at all, and a damaged one is never loaded."""

from __future__ import annotations

import json

import pytest
import torch

from recon.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from recon.errors import DataError


def make(step: int) -> Checkpoint:
    generator = torch.Generator().manual_seed(step)
    return Checkpoint(step, {"w": torch.full((5,), float(step))}, {"w.exp_avg": torch.ones(3)}, generator.get_state(), {"rays_per_step": 7})


def test_round_trip_with_random_state(tmp_path):
    saved = make(3)
    save_checkpoint(tmp_path, saved, keep=2)
    loaded, problems = load_checkpoint(tmp_path)
    assert (loaded.step, loaded.trainer, problems) == (3, {"rays_per_step": 7}, [])
    assert torch.equal(loaded.model["w"], saved.model["w"])
    a, b = torch.Generator(), torch.Generator()
    a.set_state(saved.generator)
    b.set_state(loaded.generator)
    assert torch.equal(torch.rand(4, generator=a), torch.rand(4, generator=b))


def test_only_the_newest_are_kept(tmp_path):
    for step in (1, 2, 3, 4):
        save_checkpoint(tmp_path, make(step), keep=2)
    assert sorted(p.name for p in tmp_path.glob("step_*")) == ["step_00000003", "step_00000004"]
    assert json.loads((tmp_path / "latest.json").read_text()) == {"checkpoint": "step_00000004"}


@pytest.mark.parametrize("name", ["model.safetensors", "optimizer.safetensors", "state.json"])
@pytest.mark.parametrize("damage", ["truncate_half", "truncate_all", "flip", "remove"])
def test_loading_walks_back_over_damage(tmp_path, name, damage):
    save_checkpoint(tmp_path, make(1), keep=2)
    save_checkpoint(tmp_path, make(2), keep=2)
    path = tmp_path / "step_00000002" / name
    data = bytearray(path.read_bytes())
    if damage == "remove":
        path.unlink()
    elif damage == "flip":
        # The last bytes of state.json belong to the hashes; of the tensor files, to the values.
        data[-8] ^= 0xFF if name != "state.json" else 0x01
        path.write_bytes(bytes(data))
    else:
        path.write_bytes(bytes(data[: len(data) // 2 if damage == "truncate_half" else 0]))
    loaded, problems = load_checkpoint(tmp_path)
    assert loaded.step == 1
    assert len(problems) == 1
    assert "step_00000002" in problems[0]


def test_nothing_whole_is_an_error(tmp_path):
    save_checkpoint(tmp_path, make(1), keep=1)
    (tmp_path / "step_00000001" / "state.json").write_text("{")
    with pytest.raises(DataError, match="no whole checkpoint"):
        load_checkpoint(tmp_path)


def test_an_interrupted_write_is_invisible(tmp_path):
    save_checkpoint(tmp_path, make(1), keep=2)
    (tmp_path / "step_00000002.tmp-99").mkdir()
    loaded, problems = load_checkpoint(tmp_path)
    assert (loaded.step, problems) == (1, [])
