"""Pictures of every tab, as on a desk and on a phone: ``python -m tests.viewer.tabs RUN|DATA FOLDER``. Needs Chromium."""

from __future__ import annotations

import sys
from pathlib import Path

from recon.config.values import RunConfig
from recon.console import Reporter
from recon.opening import open_data
from tests.viewer.browser import visitors, why_not
from viewer.app import Viewer
from viewer.command import subject_of

SIZES = {"desk": (1280, 760), "phone": (390, 780)}


def pictures(viewer: Viewer, out: Path) -> list[Path]:
    """Of every tab at every size; also what the page says is wrong.

    Raises:
        AssertionError: If the page reported an error.
    """
    written = []
    for size, (width, height) in SIZES.items():
        with visitors(width, height) as visit:
            visitor = visit()
            visitor.open(viewer.address)
            visitor.settled(viewer.loop.is_idle, most=200)
            written.append(out / f"{size}-start.png")
            visitor.save(written[-1])
            if size == "phone":
                visitor.page.get_by_text("Formfield:").first.click()  # unfold
                visitor.page.wait_for_timeout(700)
            for tab in [t.inner_text() for t in visitor.page.get_by_role("tab").all()]:
                visitor.tab(tab)
                visitor.page.wait_for_timeout(500)
                written.append(out / f"{size}-{tab.lower()}.png")
                visitor.save(written[-1])
            assert visitor.errors == [], visitor.errors
    return written


def main() -> None:
    what, out = sys.argv[1], Path(sys.argv[2])
    if (missing := why_not()) is not None:
        raise SystemExit(missing)
    opened = lambda run: open_data(run.scene.source, run.config)  # noqa: E731
    viewer = Viewer(subject_of(what, opened, lambda: open_data(what, RunConfig()), Reporter(quiet=True)), port=0)
    try:
        print("\n".join(str(path) for path in pictures(viewer, out)))
    finally:
        viewer.close()


if __name__ == "__main__":
    main()
