"""What the words of a command line stand for, before they are parsed: help, the version, the command that was meant, the latest run."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from recon.errors import DataError, UsageError

OUT = Path("runs")
"""Where runs are kept unless --out says otherwise."""
LATEST = "latest"
OF_RUNS = ("resume", "evaluate", "render", "export", "swap", "view", "compare", "solid")
"""Commands whose first words are runs."""


def prepared(words: Sequence[str], commands: Sequence[str]) -> list[str]:
    """The words to parse: without any, those that ask for help.

    Of the commands about runs ``latest`` is the run that was started last, and a name that was given by ``--name`` is that run's folder
    (``OUT/latest``, ``OUT/NAME``: in OUT).

    Raises:
        UsageError: If the first word is no command, with the one that was meant.
        DataError: If there is no latest run, or several have that name.
    """
    if not words:
        return ["--help"]
    first, *rest = words
    if not first.startswith("-") and first not in commands:
        close = difflib.get_close_matches(first, commands, 1, 0.5)
        hint = f"did you mean recon {close[0]}?" if close else f"commands: {', '.join(commands)}"
        raise UsageError(f"recon {first}: there is no such command", hint)
    if first in OF_RUNS:
        for i, word in enumerate(rest):
            if word.startswith("-"):
                break
            rest[i] = _run_of(word)
    return [first, *rest]


def latest_run(out: Path) -> Path:
    """The run or fit below a folder of runs that was started last.

    Raises:
        DataError: If there is none.
    """
    runs = [config for name in ("config.yaml", "fit.yaml") for config in out.glob(f"*/*/*/{name}")]
    if not runs:
        raise DataError(f"{out}: there is no run yet, so none is the latest", hint="recon reconstruct DATA makes one")
    # Written once, when a run is made. Clocks of files are coarse: of two that seem to be of one moment, names tell the time.
    return max(runs, key=lambda config: (config.stat().st_mtime_ns, config.parent.name, str(config))).parent


def _run_of(word: str) -> str:
    """The folder that a word names; the word itself if it is no name."""
    path = Path(word)
    out = path.parent if path.parent.name else OUT
    if path.exists() or not path.name:
        return word
    if path.name == LATEST:
        return str(latest_run(out))
    named = sorted(run for run in out.glob("*/*/*") if run.name == path.name)
    if len(named) > 1:
        raise DataError(f"{word}: {len(named)} runs have this name", [str(run) for run in named], "give the folder of one of them")
    return str(named[0]) if named else word
