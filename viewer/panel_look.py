"""Where a visitor stands, and a picture of what they see: buttons below the layers."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
import viser
from PIL import Image

from viewer.looking import FOV, LONG_LENS, Stand

if TYPE_CHECKING:
    from viewer.app import Viewer

PICTURE_SECONDS = 20.0


class LookPanel:
    """Start, front, top and right; a lens so long that it is nearly a parallel projection; a picture."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        gui = viewer.server.viser.gui
        sides: Any = gui.add_button_group("look from", ["start", "front", "top", "right"])
        self._flat = gui.add_checkbox("flat, as a drawing", False, hint="Through a very long lens: parallel edges stay parallel")
        picture = gui.add_button("Picture", hint="What you see, as a file")
        sides.on_click(lambda event: self._go(event, event.target.value))
        self._flat.on_update(lambda event: self._go(event, "start"))
        picture.on_click(self._save)

    def _go(self, event: viser.GuiEvent, name: str) -> None:
        if event.client is not None:
            stand_at(event.client, self._stand(name, event.client.camera.aspect))

    def _stand(self, name: str, aspect: float) -> Stand:
        fov, home = LONG_LENS if self._flat.value else FOV, self._viewer.home
        return home.start(fov, aspect) if name == "start" else home.side(name, self._viewer.right(), fov, aspect)

    def _save(self, event: viser.GuiEvent) -> None:
        client = event.client
        if client is None:
            return
        camera = client.camera
        shown = client.get_render(camera.image_height, camera.image_width, transport_format="png", timeout=PICTURE_SECONDS)
        file = io.BytesIO()
        Image.fromarray(np.asarray(shown)[..., :3]).save(file, "PNG")
        client.send_file_download("view.png", file.getvalue())


def stand_at(client: viser.ClientHandle, stand: Stand) -> None:
    """Put a visitor somewhere."""
    with client.atomic():
        client.camera.up_direction = stand.up
        client.camera.position = stand.eye
        client.camera.look_at = stand.target
        client.camera.fov = stand.fov
