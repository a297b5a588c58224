"""The table of the benchmark as text, JSON and part of a page."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kernels import KernelError, bench_report
from kernels.bench_report import BEGIN, END, Report, Row

REPORT = Report(
    {"processor": "x86_64", "threads": 2},
    [Row("encoding, forward", 5.712e6, 0.321e6), Row("Adam", 1230e6, 29.1e6, "copy bandwidth", 1.02), Row("knn", 6.55e6, 0.0017e6)],
    {"matrix product, operations": 201e9},
    {"training step": 56.4},
)
PAGE = f"# Title\n\nbefore\n\n{BEGIN}\nold\n{END}\n\nafter\n"


def test_json_keeps_everything():
    assert bench_report.from_json(json.loads(json.dumps(bench_report.as_json(REPORT)))) == REPORT


@pytest.mark.parametrize("values", [{}, {"machine": {}, "rows": [{"name": "x"}]}, {"machine": {}, "rows": 3}, []])
def test_other_json_is_refused(values):
    with pytest.raises(KernelError, match="not results of"):
        bench_report.from_json(values)


def test_a_row_in_every_form():
    text, table = bench_report.as_text(REPORT).splitlines(), bench_report.as_markdown(REPORT).splitlines()
    assert text[2].split() == ["encoding,", "forward", "5.71", "0.321", "17.8x"]
    assert table[2] == "| encoding, forward | 5.71 | 0.32 | 17.8 × |  |"
    assert table[3] == "| Adam | 1230 | 29.1 | 42.3 × | 102 % of copy bandwidth |"
    assert table[4] == "| knn | 6.55 | 0.002 | 3853 × |  |"
    assert table[-1].endswith("matrix product, operations 201 G/s. Peak extra memory with 2^18 samples: training step 56 MiB.")


def test_a_page_keeps_what_is_around_the_table(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    bench_report.write_page(page, REPORT)
    first = page.read_text()
    assert first.startswith(f"# Title\n\nbefore\n\n{BEGIN}\n\n| |")
    assert first.endswith(f"training step 56 MiB.\n\n{END}\n\nafter\n")
    assert "old" not in first
    bench_report.write_page(page, REPORT)
    assert page.read_text() == first


@pytest.mark.parametrize("text", ["", BEGIN, END, f"{END}\n{BEGIN}", f"{BEGIN}\n{BEGIN}\n{END}"])
def test_a_page_without_the_marks_is_refused(text, tmp_path):
    page = tmp_path / "page.md"
    page.write_text(text)
    with pytest.raises(KernelError, match="once each"):
        bench_report.write_page(page, REPORT)
    assert page.read_text() == text


def test_the_command_writes_results_into_a_page(tmp_path):
    page, results = tmp_path / "page.md", tmp_path / "results.json"
    page.write_text(PAGE)
    results.write_text(json.dumps(bench_report.as_json(REPORT)))
    command = [sys.executable, "-m", "kernels.bench", "--results", str(results), "--markdown"]
    done = subprocess.run([*command, str(page)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, bench_report.as_text(REPORT) + "\n"), done.stderr
    assert bench_report.as_markdown(REPORT) in page.read_text()
    failed = subprocess.run([*command, str(tmp_path / "none.md")], capture_output=True, text=True, check=False)
    assert failed.returncode == 2
    assert "cannot be read" in failed.stderr


def test_the_readme_has_the_table():
    page = Path(__file__).parents[2] / "README.md"
    bench_report.check_page(page)
    inside = page.read_text().partition(BEGIN)[2].partition(END)[0].strip().splitlines()
    assert inside[:2] == bench_report.as_markdown(REPORT).splitlines()[:2]
    assert inside[-1].startswith("Measured on: ")
