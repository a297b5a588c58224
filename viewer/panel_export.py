"""The panel "Export": writes the same files as ``recon export``, with progress, and shows the equal command line."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import viser

from recon import pipeline
from recon.config.values import CurveFormat
from recon.errors import DataError
from recon.model import METHODS
from recon.opening import open_data
from recon.results.better import refuse_worse
from recon.results.cameras import export_cameras
from recon.results.mesh import export_curves_again, export_mesh, photographs_for
from viewer.jobs import PageReporter
from viewer.markdown import code, paragraphs

if TYPE_CHECKING:
    from viewer.app import Viewer

MOST_DOWNLOAD = 200 << 20
"""Larger files stay in the run's folder: the browser would have to hold them in memory."""


class ExportPanel:
    """From the newest checkpoint, as the command does; of a run in training that is a moment ago."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        run = viewer.subject.run
        assert run is not None
        self._run = run
        settings = run.config.export
        gui = viewer.server.viser.gui
        self._what = gui.add_dropdown("what", [*METHODS[run.config.method].exports, "cameras"])
        self._resolution = gui.add_number("resolution", settings.resolution, min=8, max=4096, step=1)
        self._faces = gui.add_number("textured faces", settings.texture_faces, min=4, max=10_000_000, step=1)
        self._all = gui.add_checkbox("keep all components", settings.keep == "all")
        self._format = gui.add_dropdown("formats", ["all", *get_args(CurveFormat)])
        self._command = gui.add_markdown("")
        self._export = gui.add_button("Export")
        self._cancel = gui.add_button("Cancel export", visible=False)
        self._bar = gui.add_progress_bar(0.0, visible=False)
        self._text = gui.add_markdown("")
        self._files = gui.add_dropdown("file", ["none yet"])
        download = gui.add_button("Download")
        for control in (self._what, self._resolution, self._faces, self._all, self._format):
            control.on_update(lambda _: self._changed())
        self._export.on_click(lambda _: self._start())
        self._cancel.on_click(lambda _: viewer.jobs.cancel())
        download.on_click(self._download)
        self._changed()
        self.list_files()

    def list_files(self) -> None:
        """What can be downloaded."""
        files = sorted(p.name for p in self._run.exports.iterdir() if p.is_file()) if self._run.exports.is_dir() else []
        options = tuple(files) or ("none yet",)
        if tuple(self._files.options) != options:
            self._files.options = options

    def command(self) -> str:
        """What does the same on the command line."""
        words = ["recon", "export", str(self._run.folder), self._what.value]
        if self._what.value == "mesh":
            words += ["--resolution", str(int(self._resolution.value)), "--faces", str(int(self._faces.value))]
            words += ["--keep", "all" if self._all.value else "largest"]
        elif self._what.value == "curves" and self._format.value != "all":
            words += ["--formats", self._format.value]
        return shlex.join(words)

    def _changed(self) -> None:
        for control in (self._resolution, self._faces, self._all):
            control.visible = self._what.value == "mesh"
        self._format.visible = self._what.value == "curves"
        self._command.content = code(self.command())

    def _start(self) -> None:
        if self._viewer.is_finishing():
            self._viewer.notify("Not now", "the run is writing its own exports; try again when it is done")
            return
        settings = replace(
            self._run.config.export,
            resolution=int(self._resolution.value),
            texture_faces=int(self._faces.value),
            keep="all" if self._all.value else "largest",
        )
        what, wanted = self._what.value, self._format.value
        formats = None if wanted == "all" else (cast(CurveFormat, wanted),)

        def work(reporter: PageReporter) -> str:
            try:
                if what == "cameras":
                    scene = self._viewer.subject.data or open_data(self._run.scene.source, self._run.config)
                    return f"wrote {export_cameras(self._run, scene, reporter)}"
                if what == "curves":
                    return "wrote " + ", ".join(str(p) for p in export_curves_again(self._run, formats, reporter))
                refuse_worse(self._run, settings, self._run.exports)
                photographs = photographs_for(self._run, settings, data=self._viewer.subject.data)
                if export_mesh(self._run, pipeline.load_surface(self._run, reporter), settings, reporter, photographs).faces == 0:
                    raise DataError("the surface is empty", hint="let it train longer, or look at it with another crop")
                written = sorted(p for p in self._run.exports.glob("mesh.*"))
                return "wrote " + ", ".join(str(p) for p in written)
            finally:
                self._busy(False)
                self.list_files()

        self._busy(True)
        if not self._viewer.jobs.start("export", work, self._progress):
            self._busy(False)
            self._viewer.notify("Busy", "another export or film is being made")

    def _progress(self, share: float, text: str) -> None:
        self._bar.value = 100.0 * share
        self._text.content = paragraphs(text)

    def _busy(self, busy: bool) -> None:
        self._export.disabled = busy
        self._bar.visible = self._cancel.visible = busy

    def _download(self, event: viser.GuiEvent) -> None:
        if event.client is None:
            return
        path = self._run.exports / Path(self._files.value).name  # a name of this folder, whatever a page sends
        if not path.is_file():
            event.client.add_notification("Nothing to download", "export something first", color="red", auto_close_seconds=10.0)
        elif path.stat().st_size > MOST_DOWNLOAD:
            event.client.add_notification("Too large to send", f"it is here: {path}", color="red", auto_close_seconds=30.0)
        else:
            event.client.send_file_download(path.name, path.read_bytes())
