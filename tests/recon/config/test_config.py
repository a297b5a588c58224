"""Configurations: presets are values, YAML round trips, everything unknown is refused."""

from __future__ import annotations

import pytest

from recon.config.files import from_dict, load_config, save_config, to_dict, with_overrides
from recon.config.presets import preset_config
from recon.config.values import RunConfig
from recon.errors import UsageError


@pytest.mark.parametrize("method", ["volsdf", "radiance", "nef"])
@pytest.mark.parametrize("preset", ["fast", "balanced", "paper"])
def test_presets_survive_yaml(method, preset, tmp_path):
    config = preset_config(method, "hashgrid", preset)
    assert (config.method, config.preset) == (method, preset)
    save_config(config, tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config


def test_overrides():
    config = with_overrides(RunConfig(), ["train.steps=7", "train.lr=1e-3", "hashgrid.hidden=[64, 32]", "data.max_size=200", "seed=3"])
    assert (config.train.steps, config.train.lr, config.hashgrid.hidden, config.data.max_size, config.seed) == (7, 1e-3, (64, 32), 200, 3)


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("train.steps", "expected name=value"),
        ("train.stepz=3", "no 'stepz'"),
        ("training.steps=3", "no 'training'"),
        ("train.steps.x=3", "no 'steps'"),
        ("train.steps=many", "expected int, found 'many'"),
        ("train.steps=true", "expected int, found True"),
        ("train.lr=[1]", "expected float"),
        ("method=nerf", "is not one of 'volsdf', 'radiance', 'nef'"),
        ("hashgrid.hidden=64", "expected a list"),
        ("train.steps=[", "not YAML"),
        ("data.bounds=[1, 2, 3]", "expected 4 values, found 3"),
    ],
)
def test_bad_overrides_say_what_is_wrong(setting, says):
    with pytest.raises(UsageError) as error:
        with_overrides(RunConfig(), [setting])
    assert says in str(error.value)


def test_unknown_key_in_file_is_refused(tmp_path):
    data = to_dict(RunConfig())
    data["train"]["epochs"] = 5
    with pytest.raises(UsageError, match=r"config\.train: unknown key 'epochs'"):
        from_dict(RunConfig, data)


def test_an_older_file_is_read_and_a_later_one_refused(tmp_path):
    """Without a number it is of the first schema, in which edge fields did without bad frames whatever the file said."""
    path = tmp_path / "config.yaml"
    config = preset_config("nef", "hashgrid", "fast")
    save_config(config, path)
    text = path.read_text()
    assert text.startswith("schema: 1\n")
    old = text.removeprefix("schema: 1\n").replace("skip_bad_frames: true", "skip_bad_frames: false")
    path.write_text(old)
    assert load_config(path) == config
    path.write_text(old.replace("method: nef", "method: volsdf"))
    assert not load_config(path).data.skip_bad_frames
    for number in ("2", "one", "-1"):
        path.write_text(text.replace("schema: 1", f"schema: {number}"))
        with pytest.raises(UsageError, match="later version"):
            load_config(path)
