"""The vector code of another processor: NEON, built by a cross compiler and run in an emulator, against the scalar bodies in float64.

``apt-get install g++-aarch64-linux-gnu qemu-user`` brings both. The same program on this machine's own baseline shows that the check itself
is right.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
from pathlib import Path

import pytest

NATIVE = Path(__file__).resolve().parents[2] / "kernels" / "native"
SOURCES = [*(NATIVE / "cpu" / "simd" / f"{name}_simd.cpp" for name in ("field", "adam", "laplace")), Path(__file__).with_name("tiles.cpp")]
OPTIONS = ("-std=c++17", "-O2", "-ffp-contract=fast", "-fno-math-errno", "-Wall", "-Wno-psabi", "-static", "-DFORMFIELD_ISA=isa_baseline")
MACHINES = {
    "neon": ("aarch64-linux-gnu-g++", ("qemu-aarch64",)),
    "own": ("g++", ()),
}


@pytest.mark.parametrize("machine", MACHINES)
def test_tiles(machine, tmp_path):
    compiler, runner = MACHINES[machine]
    if missing := [tool for tool in (compiler, *runner) if shutil.which(tool) is None]:
        pytest.skip(f"{' and '.join(missing)} not installed")
    if machine == "own" and platform.machine() not in ("x86_64", "aarch64"):
        pytest.skip("no baseline of this processor")
    program = tmp_path / "tiles"
    subprocess.run([compiler, *OPTIONS, f"-I{NATIVE}", *map(str, SOURCES), "-o", str(program)], check=True)
    done = subprocess.run([*runner, str(program)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) > 100
    assert all(line.startswith("ok ") for line in lines[:-1])
    assert lines[-1] == "0 wrong"
