"""Words before they are parsed: nothing, the version, a command that does not exist, the latest run."""

from __future__ import annotations

from pathlib import Path

import pytest

from recon.cli.main import ACTIONS, COMMAND_NAMES, main
from recon.cli.words import latest_run, prepared
from recon.errors import DataError, UsageError

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
    (tmp_path / "latest").mkdir()
    assert prepared(["resume", "latest"], COMMANDS) == ["resume", "latest"]
