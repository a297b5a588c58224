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
    """The words to parse: without any, those that ask for help; ``latest`` is the run that was started last (``OUT/latest``: in OUT).

    Raises:
        UsageError: If the first word is no command, with the one that was meant.
        DataError: If there is no latest run.
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
            rest[i] = str(latest_run(Path(word).parent if Path(word).parent.name else OUT)) if _means_latest(word) else word
    return [first, *rest]


def latest_run(out: Path) -> Path:
    """The run or fit below a folder of runs that was started last.

    Raises:
        DataError: If there is none.
    """
    runs = [config.parent for name in ("config.yaml", "fit.yaml") for config in out.glob(f"*/*/*/{name}")]
    if not runs:
        raise DataError(f"{out}: there is no run yet, so none is the latest", hint="recon reconstruct DATA makes one")
    return max(runs, key=lambda run: (run.name, str(run)))


def _means_latest(word: str) -> bool:
    return Path(word).name == LATEST and not Path(word).exists()
