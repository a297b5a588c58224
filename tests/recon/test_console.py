"""What is said never steers the terminal, and work goes on when nobody listens."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from recon.console import Reporter, Terminal, describe_training
from recon.train import Progress


class Gone(io.StringIO):
    """A terminal that was closed."""

    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")


def heard(reporter: Reporter) -> io.StringIO:
    out = io.StringIO()
    reporter.console = Console(file=out, soft_wrap=True)
    return out


def test_names_do_not_steer_the_terminal():
    reporter = Reporter()
    out = heard(reporter)
    reporter.say("read a\x1b[2Jb.png [bold]")
    reporter.warn("c\x07d")
    reporter.progress("train", 1.0, "e\x1b]0;title\x07f")
    assert out.getvalue().splitlines() == [
        "read a\\x1b[2Jb.png [bold]", "warning: c\\x07d", "train: e\\x1b]0;title\\x07f"
    ]  # fmt: skip


@pytest.mark.parametrize("what", ["say", "warn", "progress"])
def test_work_goes_on_when_nobody_listens(what):
    with Reporter() as reporter:
        reporter.console = Terminal(file=Gone())
        for _ in range(3):
            reporter.progress("train", 1.0, "x") if what == "progress" else getattr(reporter, what)("x")
        assert reporter.quiet


@pytest.mark.parametrize(
    ("step", "share", "said"),
    [
        (25, 0.0, "ETA 1 min 30 s"),
        (25, 0.5, "ETA 1 min 30 s of training, 2 min 30 s in all"),
        (100, 0.5, "ETA 0 s of training"),
    ],
)
def test_the_time_left_counts_what_follows_training(step, share, said):
    """100 steps at 1.2 s are 2 minutes of training; half as long follows."""
    progress = Progress(step, 100, {}, {}, 20.0, 1e3, 1e4, 1.2 * (100 - step))
    assert describe_training(progress, share).endswith(said)
