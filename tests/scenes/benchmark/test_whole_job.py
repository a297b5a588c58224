"""The main job's ruler: what it reads of a run, and the table it makes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from scenes.benchmark.whole_job import Job, read_job, table

RESULTS = {"images": {"psnr": 30.5}, "surface": {"truth_diagonal": 100.0, "thresholds": [0.5], "fscore": [0.9], "accuracy": 0.1,
           "completeness": 0.2, "chamfer_percent_of_diagonal": 0.15}}  # fmt: skip


def test_rates_are_those_of_the_last_quarter_by_cpu_seconds(tmp_path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "results.json").write_text(json.dumps(RESULTS))
    lines = [{"step": 20 * k, "samples_per_second": 1e5 if k < 6 else 3e5, "sdf_queries_per_ray": 9.0 if k < 6 else 5.0} for k in range(8)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    costs = {"stages": {"training": {"wall": 10.0, "cpu": 20.0}, "surface": {"wall": 5.0, "cpu": 6.0}}, "peak_gib": 1.5}
    (tmp_path / "costs.json").write_text(json.dumps(costs))
    job = read_job("bracket", tmp_path, 30.0, 17.0)
    assert job.samples == pytest.approx(150.0)  # 3e5 a second by two threads
    assert job.queries == pytest.approx(5.0)
    assert (job.psnr, job.chamfer, job.stages) == (30.5, 0.15, {"training": 20.0, "surface": 6.0, "rest": 4.0})


def test_a_revision_that_tells_no_costs_leaves_cells_empty(tmp_path):
    (tmp_path / "eval").mkdir()
    (tmp_path / "eval" / "results.json").write_text(json.dumps(RESULTS))
    job = read_job("bracket", tmp_path, 30.0, 17.0)
    assert (job.samples, job.queries, job.stages) == (None, None, {})


def test_the_table_puts_both_beside_each_other():
    job = Job("duck", 90.0, 60.0, {"training": 70.0}, 250.0, 5.5, 1.2, 31.0, 0.1)
    rows = table([job], {"duck": replace(job, cpu=180.0, stages={}, samples=None)}, "v1")
    assert len({row.count("|") for row in rows}) == 1
    assert rows[0].startswith("| scene | CPU s | wall s | training |")
    assert rows[2].endswith("| 0.50 × |")
    assert rows[3].startswith("| duck, v1 | 180 |")
