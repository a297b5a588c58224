"""Reads mutants, and says which of them a reader did not bear."""

from __future__ import annotations

import logging
import random
import resource
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from recon.errors import ReconError
from tests.fuzz.mutants import mutant
from tests.fuzz.targets import Target

MOST_SECONDS = 10.0
MOST_BYTES = 512 * 2**20
"""That reading a mutant of a file of some kilobytes may take."""
MOST_LINES = 24
"""Of a message: the head, 20 problems, how many more, and the remedy."""


@dataclass
class Found:
    """How mutants of a target were borne: how many were read and refused, what failed, the slowest, and how far memory grew."""

    read: int = 0
    refused: int = 0
    failures: list[str] = field(default_factory=list)
    slowest: float = 0.0
    grown: int = 0


def run_mutants(target: Target, folder: Path, numbers: Iterable[int]) -> Found:
    """Mutate the target's file, read, and put the whole file back.

    Args:
        target: What is read.
        folder: Of whole files, from :func:`tests.fuzz.targets.make_whole`.
        numbers: Of the mutants.
    """
    paths, found = target.files(folder), Found()
    wholes = {path: path.read_bytes() for path in paths}
    logging.disable(logging.WARNING)  # the readers' own, which say what they mend
    try:
        target.read(folder)
        for number in numbers:
            path = paths[number % len(paths)]
            path.write_bytes(mutant(wholes[path], random.Random(f"{target.name} {number}")))
            _read(target, folder, number, found)
            path.write_bytes(wholes[path])
    finally:
        for path, whole in wholes.items():
            path.write_bytes(whole)
        logging.disable(logging.NOTSET)
    return found


def _read(target: Target, folder: Path, number: int, found: Found) -> None:
    began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.read(folder)
        found.read += 1
    except ReconError as error:
        found.refused += 1
        if len(str(error).splitlines()) > MOST_LINES:
            found.failures.append(f"{target.name} {number}: {len(str(error).splitlines())} lines")
    except Exception as error:
        found.failures.append(f"{target.name} {number}: {type(error).__name__}: {str(error)[:200]}")
    seconds, grown = time.monotonic() - began, 1024 * (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
    found.slowest, found.grown = max(found.slowest, seconds), max(found.grown, grown)
    if seconds > MOST_SECONDS:
        found.failures.append(f"{target.name} {number}: {seconds:.0f} s")
    if grown > MOST_BYTES:
        found.failures.append(f"{target.name} {number}: {grown / 2**20:.0f} MiB")
