"""Words before they are parsed: nothing, the version, a command that does not exist, the latest run."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from recon.cli.examples import EXAMPLES
from recon.cli.main import ACTIONS, COMMAND_NAMES, main, parse
from recon.cli.words import latest_run, prepared
from recon.config.values import RunConfig
from recon.data.record import SceneRecord
from recon.errors import DataError, UsageError
from recon.geometry import Similarity
from recon.runs import create_run

RECORD = SceneRecord("scene", "nowhere", "test", "alpha", None, Similarity(), ())
COMMANDS = [COMMAND_NAMES.get(c, c.__name__.lower()) for c in ACTIONS]


def make_run(out: Path, scene: str, stamp: str, config: str = "config.yaml") -> Path:
    run = out / scene / "volsdf-hashgrid" / stamp
    run.mkdir(parents=True)
    (run / config).write_text("")
    return run


def test_without_words_there_is_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    said = capsys.readouterr().out
    assert "recon inspect DATA" in said
    assert all(command in said for command in COMMANDS)


def test_the_version(capsys):
    main(["--version"])
    assert capsys.readouterr().out == "formfield 0.1.0\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_two_examples_that_parse(name, capsys):
    """And each takes care of what it shows: the examples are parsed as they stand."""
    with pytest.raises(SystemExit):
        main([name, "--help"])
    said = capsys.readouterr().out
    assert len(set(EXAMPLES[name])) == 2
    for example in EXAMPLES[name]:
        assert f"  {example}\n" in said
        words = shlex.split(example)
        assert words[:2] == ["recon", name]
        parse(words[1:])
    assert set(EXAMPLES) == set(COMMANDS)


def test_completion_for_shells(capsys):
    with pytest.raises(SystemExit) as ended:
        parse(["--tyro-print-completion", "bash"])
    assert not ended.value.code
    said = capsys.readouterr().out
    assert all(command in said for command in COMMANDS)


@pytest.mark.parametrize(
    ("word", "meant"), [("reconstrcut", "reconstruct"), ("exprot", "export"), ("views", "view"), ("zzz", "commands: ")]
)
def test_the_command_that_was_meant(word, meant):
    with pytest.raises(UsageError, match=f"recon {word}") as error:
        prepared([word, "x"], COMMANDS)
    assert meant in (error.value.hint or "")


def test_the_latest_run(tmp_path, monkeypatch):
    """By when it was started, whatever its scene; of another folder of runs too; a run or file of that name is itself."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="no run yet"):
        prepared(["resume", "latest"], COMMANDS)
    make_run(tmp_path / "runs", "zebra", "20260101T000000Z-aaaa")
    newest = make_run(tmp_path / "runs", "ant", "20260301T000000Z-aaaa", "fit.yaml")
    other = make_run(tmp_path / "elsewhere", "ant", "20250101T000000Z-aaaa")
    assert latest_run(Path("runs")) == newest.relative_to(tmp_path)
    here, there = str(newest.relative_to(tmp_path)), str(other.relative_to(tmp_path))
    assert prepared(["resume", "latest"], COMMANDS) == ["resume", here]
    assert prepared(["swap", "latest", "elsewhere/latest", "--out", "latest"], COMMANDS) == ["swap", here, there, "--out", "latest"]
    assert prepared(["inspect", "latest"], COMMANDS) == ["inspect", "latest"]
    named = make_run(tmp_path / "runs", "zebra", "first try")
    assert latest_run(Path("runs")) == named.relative_to(tmp_path)  # by when it was made: its name says no time
    (tmp_path / "latest").mkdir()
    assert prepared(["resume", "latest"], COMMANDS) == ["resume", "latest"]


def test_a_run_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run = make_run(tmp_path / "runs", "ant", "first try").relative_to(tmp_path)
    there = make_run(tmp_path / "else where", "ant", "b").relative_to(tmp_path)
    assert prepared(["view", "first try"], COMMANDS) == ["view", str(run)]
    assert prepared(["compare", "first try", "else where/b"], COMMANDS) == ["compare", str(run), str(there)]
    assert prepared(["view", "scenes:duck"], COMMANDS) == ["view", "scenes:duck"]
    assert prepared(["view", "b"], COMMANDS) == ["view", "b"]  # another folder's
    assert prepared(["inspect", "first try"], COMMANDS) == ["inspect", "first try"]
    make_run(tmp_path / "runs", "bee", "first try")
    with pytest.raises(DataError, match="2 runs have this name") as error:
        prepared(["view", "first try"], COMMANDS)
    assert "runs/ant" in str(error.value)
    assert "runs/bee" in str(error.value)


@pytest.mark.parametrize("name", ["", "..", "a/b", ".hidden", "latest", "a\x00", "con\n", "end.", "-x", "x" * 101])
def test_what_cannot_be_a_name(name, tmp_path):
    with pytest.raises(UsageError, match="--name"):
        create_run(tmp_path, RunConfig(), RECORD, name=name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_is_given_once(tmp_path):
    run = create_run(tmp_path, RunConfig(), RECORD, name="Bügel 2+b")
    assert run.folder == tmp_path / "scene" / "volsdf-hashgrid" / "Bügel 2+b"
    with pytest.raises(UsageError, match="there is a run of this name"):
        create_run(tmp_path, RunConfig(), RECORD, name="Bügel 2+b")
