"""What importing the packages sets for torch, which reads it when it is loaded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

SETTINGS = {"OMP_WAIT_POLICY": "PASSIVE", "THP_MEM_ALLOC_ENABLE": "1"}


def settings_after(statement: str, given: dict[str, str]) -> list[str]:
    clean = {key: value for key, value in os.environ.items() if key not in SETTINGS}
    code = f"import os, sys; {statement}; print('torch' in sys.modules, *(os.environ[k] for k in {list(SETTINGS)}))"
    return subprocess.run([sys.executable, "-c", code], env={**clean, **given}, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.parametrize(("statement", "torch_too"), [("import recon", "False"), ("import kernels", "True")])
def test_set_before_torch_is_loaded(statement, torch_too):
    assert settings_after(statement, {}) == [torch_too, *SETTINGS.values()]


def test_what_the_user_set_stays():
    assert settings_after("import recon", {"OMP_WAIT_POLICY": "ACTIVE", "THP_MEM_ALLOC_ENABLE": "0"}) == ["False", "ACTIVE", "0"]
