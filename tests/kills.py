"""Random kills over whole runs: ``python -m tests.kills [--count 100] [--seed 0]``; ``make kills``.

A child process trains, extracts, exports, evaluates and draws the tiny scene; SIGKILL comes at a random moment of the time that a whole run
takes. What is left is gone on with by another child, which may be killed too, until one ends. Every run must end like the one that nobody
killed: weights, optimiser, random state, figures, pictures, meshes, and no file more or less. Exit code 1 if one did not.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.console import Reporter
from recon.evaluation.truth.known import GroundTruth
from recon.runs import open_run, read_status
from tests.recon.test_crash_points import outcome
from tests.tiny import TINY_SETTINGS, tiny_scene

AGAIN = 0.3
"""Share of the children that go on with a killed run and are killed themselves."""


def child(work: Callable[[], None], kill_after: float | None) -> bool:
    """Do something in a process of its own, as a fork: no import is paid for again. Whether it ended by itself.

    Args:
        work: What to do.
        kill_after: Seconds; None: it is left in peace.
    Raises:
        RuntimeError: If it failed.
    """
    pid = os.fork()
    if pid == 0:
        try:
            work()
            os._exit(0)
        except BaseException as error:
            sys.stderr.write(f"{type(error).__name__}: {error}\n")
            os._exit(1)
    deadline = None if kill_after is None else time.monotonic() + kill_after
    while True:
        found, status = os.waitpid(pid, os.WNOHANG)
        if found:
            if os.waitstatus_to_exitcode(status):
                raise RuntimeError("a child failed; see above")
            return True
        if deadline is not None and time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            return False
        time.sleep(0.002)


def go_on(folder: Path) -> None:
    pipeline.reconstruct(open_run(folder), tiny_scene(), GroundTruth(), Reporter(quiet=True))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.kills")
    parser.add_argument("--count", type=int, default=100, help="kills")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    draw, wrong, kills, states = random.Random(given.seed), [], 0, {}
    with tempfile.TemporaryDirectory() as place:
        out = Path(place)
        config = with_overrides(preset_config("volsdf", "hashgrid", "fast"), TINY_SETTINGS)
        first = pipeline.start(tiny_scene(), "tiny", config, out / "start").folder  # of every run: their folders' names are no matter
        whole, run = out / "whole", out / "run"
        shutil.copytree(first, whole)
        began = time.monotonic()
        child(lambda: go_on(whole), None)
        lasts = time.monotonic() - began
        print(f"a whole run: {lasts:.1f} s", flush=True)
        expected = outcome(whole)
        while kills < given.count:
            shutil.copytree(first, run)
            ended = child(lambda: go_on(run), draw.uniform(0.0, lasts))
            while not ended:
                kills += 1
                state = f"{read_status(run)[0]} at {'an export' if (run / 'exports').is_dir() else 'training'}"
                states[state] = states.get(state, 0) + 1
                ended = child(lambda: go_on(run), draw.uniform(0.0, lasts) if draw.random() < AGAIN and kills < given.count else None)
            found = outcome(run)
            wrong += [f"kill {kills}: {part}" for part in expected if found[part] != expected[part]]
            shutil.rmtree(run)
            seconds = time.monotonic() - began
            about = seconds * given.count / max(kills, 1)
            print(f"{kills} of {given.count} kills, {len(wrong)} differences, {seconds:.0f} s of about {about:.0f}", flush=True)
    print(
        f"{kills} kills over runs of {lasts:.1f} s ({', '.join(f'{n} {s}' for s, n in sorted(states.items()))}); {len(wrong)} differences"
    )
    print("\n".join(wrong[:20]))
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
