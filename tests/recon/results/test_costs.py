"""What a run costs."""

from __future__ import annotations

import json
import time

import pytest

from recon.errors import DataError
from recon.results.costs import NAME, costs_line, peak_gib, read_costs, stage


def busy(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


def test_work_and_waiting_are_told_apart(tmp_path):
    with stage(tmp_path, "work"):
        busy(0.2)
    with stage(tmp_path, "wait"):
        time.sleep(0.2)
    stages = read_costs(tmp_path)["stages"]
    assert list(stages) == ["work", "wait"]
    assert 0.18 <= stages["work"]["cpu"] < 0.5
    assert stages["wait"]["cpu"] < 0.1
    assert stages["wait"]["wall"] >= 0.19


def test_a_stage_that_was_stopped_goes_on_counting(tmp_path):
    def stopped() -> None:
        with stage(tmp_path, "training"):
            busy(0.1)
            raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            stopped()
    assert 0.18 <= read_costs(tmp_path)["stages"]["training"]["cpu"] < 0.5  # times are rounded


def test_the_most_memory_of_all_stages_is_kept(tmp_path):
    (tmp_path / NAME).write_text(json.dumps({"stages": {}, "peak_gib": 1e6}))
    with stage(tmp_path, "little"):
        pass
    assert read_costs(tmp_path)["peak_gib"] == 1e6
    assert 0.01 < (peak_gib() or 0.0) < 64.0


def test_a_run_without_costs_has_none(tmp_path):
    assert costs_line(read_costs(tmp_path)) == "time: less than a second (0 CPU seconds in all)"


def test_what_is_said_at_the_end():
    costs = {"stages": {"training": {"wall": 200.0, "cpu": 380.0}, "surface": {"wall": 31.2, "cpu": 40.0}}, "peak_gib": 1.31}
    assert costs_line(costs) == "time: 3 min 20 s of training, 31 s of surface (420 CPU seconds in all); 1.3 GiB of memory at most"


@pytest.mark.parametrize("text", ["[]", "{", '{"stages": 3, "peak_gib": null}', '{"stages": {}}'])
def test_another_shape_is_a_named_error(tmp_path, text):
    (tmp_path / NAME).write_text(text)
    with pytest.raises(DataError, match="costs"):
        read_costs(tmp_path)
