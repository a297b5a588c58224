"""`recon ...` in a process of its own, without paying for its imports each time.

A process that has imported what commands import, and does nothing else, forks a child for each: what is asked of it is what a fresh
process does, from ``main()`` on, with its own folder, output and exit code. Where the start of the process is what matters (signals,
limits, variables that are read at import), use :func:`fresh`.
"""

from __future__ import annotations

import atexit
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
Done = subprocess.CompletedProcess[str]
SECONDS = 300


def fresh(*args: str | Path, cwd: Path, **options: Any) -> Done:
    """Run a command in a new interpreter."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "recon", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment, timeout=SECONDS, **options)


def recon(*args: str | Path, cwd: Path) -> Done:
    """Run a command as a fork of the process that has everything imported."""
    words = [str(a) for a in args]
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        request = {"args": words, "cwd": str(cwd), "out": str(out), "err": str(err), "env": dict(os.environ)}
        code = _parent().ask(request)
        return Done(["recon", *words], code, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"))


class _Parent:
    """The process that forks, seen from the tests."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            cwd=ROOT,
        )
        atexit.register(self.process.kill)

    def ask(self, request: dict[str, Any]) -> int:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(request), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        assert answer, "the process that runs commands ended"
        return int(answer)


_PARENTS: list[_Parent] = []


def _parent() -> _Parent:
    if not _PARENTS:
        _PARENTS.append(_Parent())
    return _PARENTS[0]


def _child(request: dict[str, Any]) -> None:
    """What the command does, until the process ends."""
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    for number, path in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    signal.alarm(SECONDS)
    sys.argv = ["recon", *request["args"]]
    from recon.cli.main import main

    main()


def _serve() -> None:
    """Read a request a line, answer with an exit code."""
    import recon.pipeline  # noqa: F401  (what is imported here no child imports again)

    for line in sys.stdin:
        pid = os.fork()
        if pid == 0:
            _child(json.loads(line))
            return  # the interpreter ends as it does after a command: its exit code, its last words
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    _serve()
