"""Some hundred mutants of every kind of file that is read, and all that ever failed; ``make fuzz`` reads 20,000."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.run import run_mutants
from tests.fuzz.targets import TARGETS, make_whole

EACH = 25
FOUND: dict[str, tuple[int, ...]] = {"edges": (28,)}
"""Mutants that a reader once did not bear."""


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    make_whole(folder)
    return folder


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t.name)
def test_mutants_are_read_or_refused(target, whole):
    found = run_mutants(target, whole, [*range(EACH), *FOUND.get(target.name, ())])
    assert found.failures == []
    assert found.refused > 0 or target.name == "status_json", "no mutant was wrong: the target mutates nothing that is read"
