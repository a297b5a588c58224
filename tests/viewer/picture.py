"""The README's picture of the live viewer: ``python -m tests.viewer.picture RUN docs/viewer.png [--mode normal]``. Needs Chromium."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import tyro

from recon.config.values import RunConfig
from recon.console import Reporter
from recon.errors import CapabilityError
from recon.opening import open_data
from tests.viewer.browser import visitors, why_not
from viewer.app import Viewer
from viewer.command import subject_of


@dataclass(frozen=True)
class Picture:
    """A screenshot of the page on a run, when its picture is finished."""

    run: tyro.conf.Positional[Path]
    out: tyro.conf.Positional[Path]
    mode: str = "color"
    tab: str = "Scene"
    mesh: bool = False
    width: int = 1280
    height: int = 760


def main() -> None:
    options = tyro.cli(Picture)
    missing = why_not()
    if missing is not None:
        raise CapabilityError(missing, "apt-get install chromium; pip install 'formfield[viewer,dev]'")
    reporter = Reporter(quiet=True)
    subject = subject_of(
        str(options.run),
        lambda run: open_data(run.scene.source, run.config),
        lambda: open_data(str(options.run), RunConfig()),
        reporter,
    )
    viewer = Viewer(subject, port=0)
    try:
        with visitors(options.width, options.height) as visit:
            visitor = visit()
            visitor.open(viewer.address)
            for button in visitor.page.locator(".mantine-Notification-closeButton").all():  # that the browser draws in software
                button.click()
            if viewer.painter.method is not None:
                visitor.wait_for_field()
                visitor.tab("Render")
                visitor.choose("mode", options.mode)
                visitor.choose("longest side", "800 px")
                visitor.tab("Scene")
            if options.mesh:
                visitor.tick("mesh")
            visitor.tab(options.tab)
            visitor.settled(viewer.loop.is_idle, most=200)
            visitor.save(options.out)
    finally:
        viewer.close()


if __name__ == "__main__":
    main()
