"""The panel "Views": step through the photographs, compare each with the field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import viser

from viewer.layers import thumbnail
from viewer.markdown import plain

if TYPE_CHECKING:
    from viewer.app import Viewer

OVERLAYS = {"field": "color", "photograph": "photograph", "half and half": "blend", "difference": "error"}


class ViewsPanel:
    """One view after the other: the visitor is put where it was taken, and sees the photograph, the field, both or the difference. Mesh
    and curves lie over it as their layers are switched."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        subject, gui = viewer.subject, viewer.server.viser.gui
        self._by_name = {} if subject.data is None else {v.name: v for v in subject.data.views}
        count = len(subject.cameras)
        self._index = gui.add_slider("view", 0, max(count - 1, 1), 1, 0)
        self._name = gui.add_markdown("")
        buttons: Any = gui.add_button_group("step", ["Previous", "Go there", "Next"])
        self._overlay = gui.add_dropdown(
            "seen from there", list(OVERLAYS), visible=viewer.painter.has_photographs and subject.run is not None
        )
        first = self._by_name.get(subject.names[0])
        self._picture = None if first is None else gui.add_image(thumbnail(first), label="photograph")
        self._index.on_update(lambda _: self._describe())
        buttons.on_click(self._step)
        self._overlay.on_update(lambda _: self._overlay_changed())
        self._describe()

    def reached(self, index: int) -> None:
        """A visitor was put at a view."""
        if self._index.value != index:
            self._index.value = index
        self._describe()

    def _step(self, event: viser.GuiEvent) -> None:
        count = len(self._viewer.subject.cameras)
        change = {"Previous": -1, "Go there": 0, "Next": 1}[event.target.value]
        index = (min(int(self._index.value), count - 1) + change) % count
        if event.client is not None:
            self._viewer.go_to_view(index, event.client)

    def _overlay_changed(self) -> None:
        mode = OVERLAYS[self._overlay.value]
        if mode in self._viewer.modes():
            self._viewer.choose_mode(mode)
        else:
            self._viewer.notify("Not for this run", f"its field cannot be shown as {mode}")

    def _describe(self) -> None:
        subject = self._viewer.subject
        index = min(int(self._index.value), len(subject.cameras) - 1)
        camera, name = subject.cameras[index], subject.names[index]
        self._name.content = f"**{plain(name)}** ({plain(subject.splits[index])}), {camera.width} x {camera.height}"
        view = self._by_name.get(name)
        if view is not None and self._picture is not None:
            self._picture.image = thumbnail(view)
