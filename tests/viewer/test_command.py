"""`recon view` and `reconstruct --view` as processes: the address that is printed, Ctrl-C, refusals."""

from __future__ import annotations

import dataclasses
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from recon.cli.flags import PageOptions
from tests.commands import recon
from tests.tiny import TINY_SETTINGS, write_blender

pytest.importorskip("viser", reason="the live viewer's extra [viewer] is not installed")

ADDRESS = re.compile(r"viewer: (http://127\.0\.0\.1:\d+/\?token=(\S+))")


@contextmanager
def running(*args: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen([sys.executable, "-m", "recon", *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def said(process: subprocess.Popen[str], what: str) -> str:
    """Read what is said until a text came; everything so far."""
    assert process.stderr is not None
    heard = ""
    while what not in heard:
        line = process.stderr.readline()
        assert line, heard
        heard += line
    return heard


def interrupted(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code after Ctrl-C, and what was printed."""
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    return process.returncode, out


def test_view_data(tmp_path: Path):
    data = write_blender(tmp_path / "data")
    with running("view", str(data), "--port", "0") as process:
        heard = said(process, "Ctrl-C")
        found = ADDRESS.search(heard)
        assert found is not None
        assert len(found[2]) >= 32
        assert "ssh -L" in heard
        with urllib.request.urlopen(found[1], timeout=10) as answer:
            assert answer.status == 200
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.urlopen(found[1].replace(found[2], "no"), timeout=10)
        code, out = interrupted(process)
    assert code == 0
    assert out == ""  # nothing of viser's own


def test_reconstruct_and_watch(tmp_path: Path):
    """The page is there from the start and stays at the end; the results are printed as always."""
    data = write_blender(tmp_path / "data")
    with running("reconstruct", str(data), "--view", "--port", "0", "--out", str(tmp_path / "runs"), "--set", *TINY_SETTINGS) as process:
        heard = said(process, "press Ctrl-C")
        assert ADDRESS.search(heard) is not None
        assert heard.index("viewer:") < heard.index("trained")
        code, out = interrupted(process)
    assert code == 0
    assert "run: " in out
    assert list((tmp_path / "runs").glob("*/*/*/exports/mesh.glb"))


@pytest.mark.parametrize(
    ("args", "code", "text"),
    [
        (("--host", "0.0.0.0"), 2, "token"),
        (("--token-file", "short.txt"), 2, "16 characters"),
        (("--token-file", "nowhere.txt"), 2, "nowhere.txt"),
        (("--export", "page.html"), 2, "run folder"),
    ],
)
def test_refusals(tmp_path: Path, args: tuple[str, ...], code: int, text: str):
    data = write_blender(tmp_path / "data") if "--export" not in args else tmp_path / "data.json"
    (tmp_path / "short.txt").write_text("short\n")
    args = tuple(str(tmp_path / a) if a.endswith(".txt") else a for a in args)
    done = recon("view", data, *args, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert text in done.stderr


def test_neither_run_nor_data(tmp_path: Path):
    done = recon("view", tmp_path, cwd=tmp_path)
    assert done.returncode == 3, done.stderr


def test_the_token_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Never from an argument, which every user of the machine can see."""
    (tmp_path / "token").write_text("a-token-of-a-file-1\n")
    assert PageOptions(token_file=tmp_path / "token").token == "a-token-of-a-file-1"
    assert PageOptions().token is None
    monkeypatch.setenv("FORMFIELD_TOKEN", "a-token-of-the-environment")
    assert PageOptions().token == "a-token-of-the-environment"
    assert "token" not in {f.name for f in dataclasses.fields(PageOptions)}
