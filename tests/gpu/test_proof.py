"""The proof without a GPU: its way on the pretend device, and what its parts say of what they find."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.gpu.proof import SECTIONS, Bench, Row, prove, record, table
from tests.gpu.whole_runs import COMMANDS, found, read
from tests.pretend.device import available

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(not available(), reason="this version of torch has no devices written in Python")
def test_the_way_is_clear_and_nothing_is_said_to_be_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.gpu.proof", "--dry", "--out", tmp_path, "--lego", "nowhere"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    kept = json.loads((tmp_path / "proof.json").read_text())
    wrong = [row for row in kept["rows"] if row["outcome"] == "wrong"]
    assert (done.returncode, wrong) == (0, []), done.stderr[-3000:]
    assert not kept["measured"]
    assert kept["machine"]["gpu"] is None
    assert {row["value"] for row in kept["rows"]} == {None}
    assert kept["counts"]["ok"] == 0
    assert kept["counts"]["dry"] > 60
    assert {row["section"] for row in kept["rows"]} == {"ceiling", "op", "speed", "run", "sanitizer"}
    assert done.stdout.startswith("**Dry: nothing was measured on a GPU.**")


def bench(seconds: float = 100.0) -> Bench:
    return Bench(torch.device("cpu"), ("cpu",), True, Path("nowhere"), None, seconds)


def test_a_fault_is_a_row() -> None:
    def breaks() -> None:
        raise RuntimeError("an illegal memory access\nwas encountered")

    row = bench().figure("speed", "a kernel", breaks, 1.0, "G/s")
    assert (row.outcome, row.note) == ("wrong", "RuntimeError: an illegal memory access")
    assert bench(1.0).figure("speed", "a kernel", breaks, 1.0, "G/s").outcome == "not run"


def test_a_section_that_breaks_does_not_end_the_proof(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Bench):
        yield Row("first", "a row", "ok")
        raise ValueError("no more")

    def last(_: Bench):
        yield Row("last", "a row", "ok", 2.0, "s", "CPU: 3 s")

    monkeypatch.setattr("tests.gpu.proof.SECTIONS", (broken, last))
    rows = prove(bench(), lambda row: None)
    assert [row.outcome for row in rows] == ["ok", "wrong", "ok"]
    assert record(rows, bench())["counts"] == {"ok": 2, "wrong": 1, "not run": 0, "dry": 0}
    assert "| last | a row | 2 s | CPU: 3 s | ok |" in table(rows, False)
    assert len(SECTIONS) == 5


def test_figures_are_read_from_results(tmp_path: Path) -> None:
    results = {"images": {"psnr": 31.5}, "surface": {"chamfer_percent_of_diagonal": 0.1}}
    file = tmp_path / "scene" / "method" / "run" / "eval" / "results.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps(results))
    by_name = {figure.name: figure for figure in read(COMMANDS[0], tmp_path)}
    assert (by_name["PSNR"].value, by_name["PSNR"].outcome) == (31.5, "ok")
    file.write_text("{}")
    assert {figure.outcome for figure in read(COMMANDS[0], tmp_path)} == {"wrong"}
    assert found({"a": [1, {"b": 2}]}, ("a", "1", "b")) == 2.0
    assert found({"a": None}, ("a", "b")) is None
