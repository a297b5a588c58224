"""Configurations: presets are values, YAML round trips, everything unknown is refused."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args

import pytest

from recon.config import timing
from recon.config.files import SCHEMA, from_dict, load_config, save_config, to_dict, with_overrides
from recon.config.presets import preset_config
from recon.config.ranges import RANGES
from recon.config.values import MethodName, PresetName, RunConfig
from recon.errors import UsageError


@pytest.mark.parametrize("method", ["volsdf", "radiance", "nef"])
@pytest.mark.parametrize("preset", ["draft", "fast", "balanced", "paper"])
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
        ("train.stepz=3", "no 'train.stepz'"),
        ("training.steps=3", "no 'training.steps'"),
        ("train.steps.x=3", "no 'train.steps.x'"),
        ("train.steps=many", "expected int, found 'many'"),
        ("train.steps=true", "expected int, found True"),
        ("train.lr=[1]", "expected float"),
        ("method=nerf", "is not one of 'volsdf', 'radiance', 'nef'"),
        ("hashgrid.hidden=64", "expected a list"),
        ("train.steps=[", "not YAML"),
        ("data.bounds=[1, 2, 3]", "expected 4 values, found 3"),
        ("steps=5", "did you mean train.steps?"),
        ("training.steps=3", "did you mean train.steps?"),
        ("stepz=3", "train.steps"),
        ("resolution=3", "did you mean export.resolution?"),
        ("train=3", "a group of settings"),
        ("train.steps=0", "0 is out of range: 1"),
        ("train.steps=-3", "out of range"),
        ("train.max_rays=0", "out of range"),
        ("train.lr=.nan", "finite"),
        ("train.lr=.inf", "finite"),
        ("train.beta2=1", "out of range"),
        ("train.occupancy_resolution=100", "not a power of two"),
        ("hashgrid.levels=0", "out of range"),
        ("hashgrid.log2_table_size=40", "out of range"),
        ("hashgrid.hidden=[64, 0]", "out of range"),
        ("neurbf.functions=-1", "out of range"),
        ("seed=-1", "out of range"),
        ("train.lr_halvings=[0.5, 2]", "out of range"),
        ("train.steps=" + "9" * 5000, "not YAML"),
        ("train.steps=" + "[" * 20000, "not YAML"),
    ],
)
def test_bad_overrides_say_what_is_wrong(setting, says):
    with pytest.raises(UsageError) as error:
        with_overrides(RunConfig(), [setting])
    assert says in str(error.value)


@pytest.mark.parametrize("word", ["on", "off"])
def test_words_that_yaml_takes_for_truth_values(word: str):
    assert with_overrides(RunConfig(), [f"stereo.use={word}"]).stereo.use == word
    assert with_overrides(RunConfig(), ["export.closed=no"]).export.closed == "no"
    assert with_overrides(RunConfig(), ["data.use_masks=no"]).data.use_masks is False


def test_every_number_of_a_preset_has_a_range():
    """So that a new setting is given one, or is said here to need none."""
    free = {"bounds", "frequencies", "trunk_frequencies"}

    def names(config, cls=""):
        for field in dataclasses.fields(config):
            value = getattr(config, field.name)
            if dataclasses.is_dataclass(value):
                yield from names(value)
            elif "float" in str(field.type) or "int" in str(field.type):
                yield type(config).__name__, field.name

    missing = [f"{c}.{n}" for c, n in names(RunConfig()) if f"{c}.{n}" not in RANGES and n not in RANGES and n not in free]
    assert missing == []


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
    assert text.startswith(f"schema: {SCHEMA}\n")
    old = text.removeprefix(f"schema: {SCHEMA}\n").replace("skip_bad_frames: true", "skip_bad_frames: false")
    path.write_text(old)
    assert load_config(path) == config
    path.write_text(old.replace("method: nef", "method: volsdf"))
    assert not load_config(path).data.skip_bad_frames
    for number in (SCHEMA + 1, "one", "-1"):
        path.write_text(text.replace(f"schema: {SCHEMA}", f"schema: {number}"))
        with pytest.raises(UsageError, match="later version"):
            load_config(path)


@pytest.mark.parametrize(
    ("setting", "last", "then", "now"),
    [("density", 1, "laplace", "even"), ("agreement_weight", 2, 0.0, 0.3)],
)
def test_a_surface_of_a_schema_before_keeps_what_it_was_trained_with(setting, last, then, now, tmp_path):
    """With something else, its renders and what goes on from it would not be the same run's. ``last``: the last schema without it."""
    path = tmp_path / "config.yaml"
    save_config(preset_config("volsdf", "hashgrid", "fast"), path)
    assert getattr(load_config(path).volsdf, setting) == now
    text = path.read_text().replace(f"  {setting}: {now}\n", "")
    for schema in range(SCHEMA + 1):
        path.write_text(text.replace(f"schema: {SCHEMA}", f"schema: {schema}"))
        assert getattr(load_config(path).volsdf, setting) == (then if schema <= last else now)


def test_what_presets_give_is_said_in_one_place():
    """Help, the README and a run's first line quote the table; each preset of each method has its time, more than the one before."""
    readme = (Path(__file__).resolve().parents[3] / "README.md").read_text()
    assert "\n".join(timing.readme_rows()) in readme
    assert set(timing.TIMES) == {(m, p) for m in get_args(MethodName) for p in get_args(PresetName)}
    for method in get_args(MethodName):
        totals = [timing.TIMES[method, p].total for p in get_args(PresetName)]
        assert totals == sorted(totals)
        assert totals[0] <= 135  # a draft takes two minutes
        for preset in get_args(PresetName):
            line = timing.first_line(method, preset)
            assert timing.about(timing.TIMES[method, preset].total) in line
            assert timing.GIVES[preset] in line
    assert all(timing.about(timing.TIMES["volsdf", p].total) in timing.preset_help() for p in get_args(PresetName))


@pytest.mark.parametrize(
    ("seconds", "said"), [(20, "about 1 minute"), (89, "about 1 minute"), (290, "about 5 minutes"), (7300, "about 2 hours")]
)
def test_times_as_one_says_them(seconds, said):
    assert timing.about(seconds) == said
