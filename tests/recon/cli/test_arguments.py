"""The command line as it is parsed: flags of several values, and what options make of a run's configuration."""

from __future__ import annotations

import pytest

from recon.cli.arguments import Benchmark, Export, Fit, Reconstruct, Render, Train, flat
from recon.cli.main import parse
from recon.config.files import with_overrides
from recon.config.presets import run_config
from recon.config.values import ExportConfig, RunConfig


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
    command = parse(["train", "data", "--set", "train.steps=500", "--set", "hashgrid.levels=12", "seed=4", "--set", "train.steps=600"])
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
def test_options_of_the_mesh(words, changed):
    """Of a run's export and of a reconstruction alike; what is not given stays as it was configured."""
    wanted = ExportConfig(**{"texture_size": 333, **changed})
    before = with_overrides(RunConfig(), ["export.texture_size=333"])
    for given in (["export", "run", "mesh"], ["reconstruct", "data"]):
        command = parse([*given, *words.split()])
        assert isinstance(command, Export | Reconstruct)
        assert with_overrides(before, command.mesh.settings()).export == wanted


def test_help_names_what_is_repeatable(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["train", "--help"])
    assert ended.value.code == 0
    shown = capsys.readouterr().out
    assert "--set NAME=VALUE ..." in shown
    assert "--settings" not in shown
