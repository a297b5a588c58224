"""Checkpoints appear whole or not at all, and a damaged one is never loaded."""

from __future__ import annotations

import errno
import json

import pytest
import torch
from safetensors import SafetensorError

from recon.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from recon.errors import DataError
from recon.system.files import whole


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

    def interrupted():
        with whole(tmp_path / "step_00000002") as part:
            part.mkdir()
            assert load_checkpoint(tmp_path)[0].step == 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    loaded, problems = load_checkpoint(tmp_path)
    assert (loaded.step, problems) == (1, [])


STATES = {
    "a list": lambda s: [s],
    "text": lambda s: "step",
    "nothing": lambda s: {},
    "no hashes": lambda s: {k: v for k, v in s.items() if k != "sha256"},
    "empty hashes": lambda s: s | {"sha256": {}},
    "one hash": lambda s: s | {"sha256": {"model.safetensors": s["sha256"]["model.safetensors"]}},
    "other files": lambda s: s | {"sha256": {f"../step_00000001/{k}": v for k, v in s["sha256"].items()}},
    "a hash that is a list": lambda s: s | {"sha256": {k: [v] for k, v in s["sha256"].items()}},
    "another step": lambda s: s | {"step": 3},
    "a step that is text": lambda s: s | {"step": "2"},
    "a step that is true": lambda s: s | {"step": True},
    "a generator that is a number": lambda s: s | {"generator": 5},
    "a generator that is no state": lambda s: s | {"generator": "AAAA"},
    "a trainer that is a list": lambda s: s | {"trainer": [1]},
    "a trainer without its number": lambda s: s | {"trainer": {}},
    "a trainer of text": lambda s: s | {"trainer": {"rays_per_step": "many"}},
    "a trainer that is not finite": lambda s: s | {"trainer": {"rays_per_step": float("nan")}},
}


@pytest.mark.parametrize("change", STATES.values(), ids=STATES.keys())
def test_a_state_of_another_shape_is_walked_back_over(tmp_path, change):
    """As a truncated file is: the checkpoint before is used, and it is said why."""
    for step in (1, 2):
        save_checkpoint(tmp_path, make(step), keep=2)
    path = tmp_path / "step_00000002" / "state.json"
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    loaded, problems = load_checkpoint(tmp_path, ("rays_per_step",))
    assert loaded.step == 1
    assert len(problems) == 1
    assert "\n" not in problems[0]


@pytest.mark.parametrize("text", ["[" * 20_000, '{"step": ' + "9" * 5000 + "}", "\0", "null", "\xff"])
def test_a_hostile_state_is_walked_back_over(tmp_path, text):
    for step in (1, 2):
        save_checkpoint(tmp_path, make(step), keep=2)
    (tmp_path / "step_00000002" / "state.json").write_bytes(text.encode("latin-1"))
    assert load_checkpoint(tmp_path)[0].step == 1


@pytest.mark.parametrize("keep", [1, 2])
def test_a_damaged_newer_checkpoint_is_not_counted(tmp_path, keep):
    """Going on from the one before, the next one that is written must not be the one that is deleted."""
    for step in (1, 2, 9):
        save_checkpoint(tmp_path, make(step), keep=3)
    (tmp_path / "step_00000009" / "state.json").write_text("{")
    save_checkpoint(tmp_path, make(4), keep)
    loaded, problems = load_checkpoint(tmp_path)
    assert (loaded.step, problems) == (4, [])


def test_a_full_disk_keeps_what_was_there(tmp_path, monkeypatch):
    """Whoever writes the tensors: the error has the system's number, the checkpoint before is whole, and nothing is left of the new one."""
    save_checkpoint(tmp_path, make(1), keep=2)
    before = sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*"))

    def refuse(*_):
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr("recon.checkpoint.save_file", refuse)
    with pytest.raises(OSError, match="No space left") as caught:
        save_checkpoint(tmp_path, make(2), keep=2)
    assert caught.value.errno == errno.ENOSPC
    assert sorted(p.relative_to(tmp_path) for p in tmp_path.rglob("*")) == before
