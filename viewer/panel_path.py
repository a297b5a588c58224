"""The panel "Path": keyframes from the visitor's camera, kept as a file, filmed."""

from __future__ import annotations

import shlex
import time
from typing import TYPE_CHECKING

import viser

from recon.data.scene import Scene
from recon.errors import DataError
from viewer.jobs import PageReporter
from viewer.markdown import paragraphs, plain
from viewer.paths import CameraPath, Keyframe, load_path, save_path
from viewer.render import RenderOptions, render

if TYPE_CHECKING:
    from viewer.app import Viewer


class PathPanel:
    """A camera path; the file is ``renders/camera_path.json`` of the run, the film lies beside it."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        run = viewer.subject.run
        assert run is not None
        self._run = run
        self._file = run.renders / "camera_path.json"
        self._keys: list[Keyframe] = []
        gui = viewer.server.viser.gui
        self._list = gui.add_markdown("")
        self._seconds = gui.add_number("seconds between keyframes", 2.0, min=0.1, max=60.0, step=0.1)
        self._closed = gui.add_checkbox("closed", False, hint="Go back to the first keyframe at the end")
        add = gui.add_button("Add keyframe", hint="Your camera as it is now")
        drop = gui.add_button("Remove last")
        play = gui.add_button("Preview", hint="Move your camera along the path")
        save = gui.add_button("Save path")
        self._mode = gui.add_dropdown("film of", list(viewer.modes()[:1]))
        self._size = gui.add_slider("film size, px", 128, 1280, 64, 512)
        self._film = gui.add_button("Film")
        self._cancel = gui.add_button("Cancel film", visible=False)
        self._bar = gui.add_progress_bar(0.0, visible=False)
        self._text = gui.add_markdown("")
        add.on_click(self._add)
        drop.on_click(lambda _: self._drop())
        play.on_click(self._play)
        save.on_click(self._save_clicked)
        self._film.on_click(lambda _: self._make_film())
        self._cancel.on_click(lambda _: viewer.jobs.cancel())
        if self._file.is_file():
            known = load_path(self._file)
            self._keys, self._closed.value = list(known.keyframes), known.closed
        self._show()

    def refresh(self) -> None:
        """A model came: it may have other modes."""
        modes = tuple(m for m in self._viewer.modes() if m not in ("error", "photograph", "blend"))
        if tuple(self._mode.options) != modes:
            self._mode.options = modes

    def _progress(self, share: float, text: str) -> None:
        self._bar.value = 100.0 * share
        self._text.content = paragraphs(text)

    def _path(self) -> CameraPath:
        return CameraPath(tuple(self._keys), closed=self._closed.value)

    def _add(self, event: viser.GuiEvent) -> None:
        if event.client is None:
            return
        camera = self._viewer.camera_of(event.client)
        when = self._keys[-1].time_s + float(self._seconds.value) if self._keys else 0.0
        self._keys.append(Keyframe(camera.world_from_camera, float(event.client.camera.fov), when))
        self._show()

    def _drop(self) -> None:
        del self._keys[-1:]
        self._show()

    def _show(self) -> None:
        length = self._keys[-1].time_s - self._keys[0].time_s if self._keys else 0.0
        self._list.content = f"{len(self._keys)} keyframes, {length:.1f} s"

    def _save_clicked(self, _: viser.GuiEvent) -> None:
        self._save()

    def _save(self) -> bool:
        if not self._keys:
            self._viewer.notify("No keyframes", "move to a good place and press Add keyframe")
            return False
        save_path(self._path(), self._file)
        self._text.content = plain(f"saved {self._file}")
        return True

    def _play(self, event: viser.GuiEvent) -> None:
        if event.client is None or len(self._keys) < 2:
            return
        client, path, subject = event.client, self._path(), self._viewer.subject
        began = time.monotonic()
        while (now := time.monotonic() - began) < path.duration_s and client in self._viewer.visitors():
            (pose,), (fov,) = path.at([path.keyframes[0].time_s + now])  # pyright: ignore[reportArgumentType]
            pose = subject.scene_from_world.apply_to_pose(pose)
            with client.atomic():
                client.camera.up_direction = -pose[:, 1]
                client.camera.position = pose[:, 3]
                client.camera.look_at = pose[:, 3] + pose[:, 2]
                client.camera.fov = float(fov)
            time.sleep(1.0 / 15.0)

    def _make_film(self) -> None:
        if not self._save():
            return
        options = RenderOptions(path=self._file, modes=(self._mode.value,), size=int(self._size.value))
        command = ["recon", "render", str(self._run.folder), "--path", str(self._file), "--modes", self._mode.value]
        command = shlex.join([*command, "--size", str(options.size)])

        def work(reporter: PageReporter) -> str:
            try:
                paths = render(self._run, options, self._data, reporter)
            finally:
                self._busy(False)
            return f"{', '.join(str(p) for p in paths)}\n\n{command}"

        self._busy(True)
        if not self._viewer.jobs.start("film", work, self._progress):
            self._busy(False)
            self._viewer.notify("Busy", "another export or film is being made")

    def _busy(self, busy: bool) -> None:
        self._film.disabled = busy
        self._bar.visible = self._cancel.visible = busy

    def _data(self) -> Scene:
        if self._viewer.subject.data is None:
            raise DataError(f"{self._viewer.subject.source}: the photographs are not here")
        return self._viewer.subject.data
