"""``python -m tests.fuzz [--each N] [--first K] [--only NAME]``: mutants of every kind of file, read by its reader.

A mutant is its target's name and a number: ``--only mesh_ply --first 17 --each 1`` makes the same one again. What fails is printed, and
belongs into ``FOUND`` of tests/test_fuzz.py. Exit code 1 if anything failed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.run import run_mutants
from tests.fuzz.targets import TARGETS, make_whole


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    parser.add_argument("--each", type=int, default=1000, help="mutants of each target")
    parser.add_argument("--first", type=int, default=0, help="number of the first one")
    parser.add_argument("--only", choices=[t.name for t in TARGETS], default=None, help="one target")
    given = parser.parse_args()
    failures, count, began = [], 0, time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        make_whole(Path(folder))
        for target in TARGETS:
            if given.only in (None, target.name):
                found = run_mutants(target, Path(folder), range(given.first, given.first + given.each))
                failures += found.failures
                count += given.each
                print(f"{target.name}: {given.each} mutants, {found.read} read, {found.refused} refused, {len(found.failures)} failures,"
                      f" slowest {found.slowest:.2f} s, memory +{found.grown / 2**20:.0f} MiB")  # fmt: skip
    print(f"{count} mutants, {len(failures)} failures, {time.monotonic() - began:.0f} s")
    for failure in failures:
        print(failure)
    sys.exit(bool(failures))


main()
