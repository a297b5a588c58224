"""The whole program on an accelerator that is not there: everything stays together, and waits as seldom as promised."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pretend import checks
from tests.pretend.device import available

pytestmark = pytest.mark.skipif(not available(), reason="this version of torch has no devices written in Python")


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    """All checks, in one process: the device is registered for the whole of it, and for good."""
    command = [sys.executable, "-m", "tests.pretend.checks"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, cwd=Path(__file__).parents[2], check=False)
    found = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"name"')]
    assert done.returncode == 0, done.stderr[-4000:]
    return {row["name"]: row["outcome"] for row in found}


@pytest.mark.parametrize("name", checks.NAMES)
def test_on_the_pretend_device(outcomes: dict[str, str], name: str) -> None:
    assert outcomes[name] == "ok", outcomes[name]
