"""The command line as it is parsed: flags of several values, and what options make of a run's configuration."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest

from recon.cli.arguments import Benchmark, Command, Export, Fit, Reconstruct, Render, Train
from recon.cli.configuration import completed, run_config
from recon.cli.flags import flat
from recon.cli.main import parse
from recon.config.files import save_config
from recon.config.presets import preset_config
from recon.config.values import DataConfig, ExportConfig, FieldName, MethodName, PresetName, RunConfig
from recon.errors import UsageError


def complete(words: list[str]) -> Command:
    """As the program reads them."""
    return completed(parse(words), words)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", ()),
        ("--set a=1", ("a=1",)),
        ("--set a=1 b=2", ("a=1", "b=2")),
        ("--set a=1 --set b=2", ("a=1", "b=2")),
        ("--set a=1 b=2 --seed 3 --set c=3 --set a=4 d=5", ("a=1", "b=2", "c=3", "a=4", "d=5")),
    ],
)
def test_settings_accumulate(words, found):
    """In the order in which they are given, so that of two for the same name the later one counts."""
    for name in ("reconstruct", "train"):
        command = parse([name, "data", *words.split()])
        assert isinstance(command, Reconstruct | Train)
        assert command.train.set == found
    command = parse(["fit", "picture.png", *words.split()])
    assert isinstance(command, Fit)
    assert flat(command.settings) == found


def test_repeated_settings_reach_the_configuration():
    command = complete(["train", "data", "--set", "train.steps=500", "--set", "hashgrid.levels=12", "seed=4", "--set", "train.steps=600"])
    assert isinstance(command, Train)
    config = run_config(command.train, command.images)
    assert (config.train.steps, config.hashgrid.levels, config.seed) == (600, 12, 4)


def test_other_repeated_flags_accumulate():
    render = parse(["render", "run", "--of", "mesh", "--of", "curves", "--modes", "color", "depth", "--modes", "normal"])
    assert isinstance(render, Render)
    assert (flat(render.of), flat(render.modes)) == (("mesh", "curves"), ("color", "depth", "normal"))
    export = parse(["export", "run", "curves", "--formats", "json", "--formats", "svg", "step"])
    assert isinstance(export, Export)
    assert flat(export.formats) == ("json", "svg", "step")
    benchmark = parse(["benchmark", "real", "--data", "a", "--data", "b", "c", "--slurm", "mem_gb=8", "--slurm", "timeout_min=9"])
    assert isinstance(benchmark, Benchmark)
    assert [str(p) for p in flat(benchmark.data)] == ["a", "b", "c"]
    assert flat(benchmark.slurm) == ("mem_gb=8", "timeout_min=9")


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("", {}),
        ("--resolution 2048 --faces 900", {"resolution": 2048, "texture_faces": 900}),
        ("--texture photographs --texture-size 4096", {"texture": "photographs", "texture_size": 4096}),
        ("--keep all --up +z", {"keep": "all", "up": "+z"}),
        ("--up=-y", {"up": "-y"}),
    ],
)
def test_options_of_the_mesh(words, changed, tmp_path):
    """Of a run's export they change what the run says, of a reconstruction what the preset says; what is not given stays."""
    save_config(RunConfig(export=ExportConfig(texture_size=333)), tmp_path / "config.yaml")
    for given, usual in (
        (["export", str(tmp_path), "mesh"], ExportConfig(texture_size=333)),
        (["reconstruct", "data", "--preset", "balanced"], preset_config("volsdf", "hashgrid", "balanced").export),
    ):
        command = complete([*given, *words.split()])
        assert isinstance(command, Export | Reconstruct)
        assert command.mesh == replace(usual, **changed)


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("", {}),
        ("--downscale 2 --max-size 300", {"downscale": 2.0, "max_size": 300}),
        ("--holdout 5 --skip-bad-frames", {"holdout": 5, "skip_bad_frames": True}),
        ("--no-masks --bounds 1 2 3 4.5", {"use_masks": False, "bounds": (1.0, 2.0, 3.0, 4.5)}),
        ("--masks folder", {"masks": "folder", "use_masks": True}),
    ],
)
@pytest.mark.parametrize("method", ["volsdf", "nef"])
@pytest.mark.parametrize("name", ["train", "reconstruct"])
def test_options_of_the_images(name, method, words, changed):
    """They change the preset's, which holds no view of an edge field out, and does without its bad frames; and whose size is fast's."""
    command = complete([name, "data", "--method", method, *words.split()])
    assert isinstance(command, Train | Reconstruct)
    usual = DataConfig(holdout=0, skip_bad_frames=True) if method == "nef" else DataConfig(usual_size=1200)
    assert run_config(command.train, command.images).data == replace(usual, **changed)


def test_the_preset_is_what_nothing_is_said_of():
    """Every method, field and preset: no flag has a default of its own."""
    for method in get_args(MethodName):
        for field in (None, *get_args(FieldName)):
            for preset in get_args(PresetName):
                words = ["reconstruct", "data", "--method", method, "--preset", preset, *([] if field is None else ["--field", field])]
                command = complete(words)
                assert isinstance(command, Reconstruct)
                assert run_config(command.train, command.images, command.mesh) == preset_config(method, field, preset)


def test_edges_are_for_edge_fields():
    command = complete(["train", "data", "--method", "nef", "--edges", "surface:runs/a", "--keep-silhouettes"])
    assert isinstance(command, Train)
    config = run_config(command.train, command.images)
    assert config.nef.edges == f"surface:{Path('runs/a').resolve()}"
    assert config.curves.keep_silhouettes
    for words in (["--edges", "auto"], ["--keep-silhouettes"]):
        command = complete(["train", "data", *words])
        assert isinstance(command, Train)
        with pytest.raises(UsageError, match="edge fields"):
            run_config(command.train, command.images)


def test_help_names_what_is_repeatable(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["train", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--set NAME=VALUE ..." in shown
    assert "--settings" not in shown
