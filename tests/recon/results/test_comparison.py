"""Runs side by side, in every form of a table, and what a finished run says at its end."""

from __future__ import annotations

import csv
import io
import json
import shlex

import pytest

from recon.errors import DataError
from recon.results.comparison import compare
from recon.results.summary import file_lines, next_lines

HOSTILE = "a|b & 50% _x_ \x1b[2J"


@pytest.fixture
def runs(tmp_path):
    """Two reconstructions, of which one has a surface to compare, and a fit."""
    results = {
        "one": {"scene": HOSTILE, "method": "volsdf", "field": "hashgrid", "preset": "fast", "training_seconds": 61.0,
                "images": {"psnr": 30.126, "ssim": 0.9, "psnr_masked": None}, "surface": {"chamfer_percent_of_diagonal": 0.25}},
        "two": {"scene": "=1+1", "method": "radiance", "field": "mlp", "preset": "fast", "training_seconds": None,
                "images": {"psnr": "Infinity", "ssim": 1.0}},
        "fit": {"source": "/a/kodim.png", "field": "neurbf", "psnr": 40.0, "training_seconds": 5},
    }  # fmt: skip
    for name, found in results.items():
        (tmp_path / name / "eval").mkdir(parents=True)
        (tmp_path / name / "eval" / "results.json").write_text(json.dumps(found))
    return [tmp_path / name for name in results]


def test_text(runs):
    lines = compare(runs, "text").splitlines()
    assert lines[1][: lines[0].index("SSIM") + len("SSIM")].endswith("0.9000"), "columns stand below each other"
    assert "PSNR [dB]" in lines[0]
    assert "PSNR inside" not in lines[0], "nobody has it"
    assert "30.13" in lines[1]
    assert "1 min 01 s" in lines[1]
    assert "inf" in lines[2]
    assert "kodim" in lines[3]
    assert "\x1b" not in "".join(lines)


def test_csv_reads_back(runs):
    rows = list(csv.DictReader(io.StringIO(compare(runs, "csv"))))
    assert [r["run"] for r in rows] == ["one", "two", "fit"]
    assert (rows[0]["PSNR [dB]"], rows[0]["training [s]"], rows[0]["scene"]) == ("30.13", "61.0", HOSTILE)
    assert rows[1]["scene"] == "'=1+1", "no formula for a spreadsheet"
    assert rows[2]["PSNR of the fit [dB]"] == "40.00"


@pytest.mark.parametrize(("form", "cell", "ends"), [("markdown", "|", ("\\|",)), ("latex", "&", (r"\&",))])
def test_no_name_ends_a_cell(runs, form, cell, ends):
    rows = [line for line in compare(runs, form).splitlines() if cell in line]
    for end in ends:
        rows = [row.replace(end, "") for row in rows]
    assert len({row.count(cell) for row in rows}) == 1


def test_a_run_without_results(runs, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"no eval/results\.json"):
        compare([*runs, tmp_path / "empty"], "text")
    (runs[0] / "eval" / "results.json").write_text("[1]")
    with pytest.raises(DataError, match="a list instead of an object"):
        compare(runs, "text")


def test_the_end_of_a_run(tmp_path):
    folder = tmp_path / "a run"
    (folder / "exports").mkdir(parents=True)
    (folder / "exports" / "mesh.glb").write_bytes(b"x" * 1_500_000)
    (folder / "preview.png").write_bytes(b"x" * 1500)
    lines = file_lines(folder, "mm")
    assert len(lines) == 2
    assert "mesh.glb" in lines[0]
    assert "1.5 MB" in lines[0]
    assert lines[0].endswith("in mm")
    assert "1.5 kB" in lines[1]
    assert "mm" not in lines[1]
    assert shlex.split(next_lines(folder)[1]) == ["recon", "view", str(folder)]
