"""The panel "Measure": distances between points, what picked curves say, angles; and the scale, from a length that is known."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import viser

from recon.curves.files.curve import Curve
from viewer.markdown import code, plain
from viewer.measuring import Measured, angle, curve_at, described, distance, of_curve, point_under
from viewer.picking import pick

if TYPE_CHECKING:
    from viewer.app import Viewer

OFF, POINTS, CURVE, ANGLE = "nothing", "two points", "a curve", "angle of two curves"
TOLD = {
    OFF: "Choose what to measure.",
    POINTS: "Click two places of the surface; curves are caught.",
    CURVE: "Click a curve: circles and arcs tell their diameter, all their length.",
    ANGLE: "Click two curves: lines tell their direction, circles their axis.",
}


class MeasurePanel:
    """What is clicked here is measured, not chosen."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        self._points: list[np.ndarray] = []
        self._curves: list[Curve] = []
        self._found: list[Measured] = []
        self._factor, self._unit = 1.0, viewer.subject.unit
        gui = viewer.server.viser.gui
        self._what = gui.add_dropdown("measure", list(TOLD))
        self._result = gui.add_markdown(TOLD[OFF])
        self._clear = gui.add_button("Clear", visible=False)
        with gui.add_folder("Known length", expand_by_default=False):
            gui.add_markdown("What was measured first above is known to be:")
            self._known = gui.add_number("true length", 0.0, min=0.0, step=0.001)
            self._known_unit = gui.add_dropdown("unit", ["mm", "cm", "m", "in", "ft"], initial_value=self._known_unit_at_first())
            self._rescale = gui.add_button("Use as the scale")
            self._told = gui.add_markdown("")
        self._what.on_update(lambda _: self.clear())
        self._clear.on_click(lambda _: self.clear())
        self._rescale.on_click(self._use)

    @property
    def active(self) -> bool:
        """Whether a click is this panel's."""
        return self._what.value != OFF

    def refresh(self) -> None:
        """Curves or a mesh came: what can be measured."""
        has_curves = self._viewer.layers.lines is not None
        options = (OFF, POINTS, CURVE, ANGLE) if has_curves else (OFF, POINTS)
        if tuple(self._what.options) != options:
            self._what.options = options

    def clicked(self, origin: np.ndarray, direction: np.ndarray) -> None:
        """A visitor clicked into the scene, along a ray in scene units."""
        lines, wireframe = self._viewer.layers.lines, self._viewer.layers.wireframe
        if self._what.value == POINTS:
            point = point_under(origin, direction, self._viewer.rays(), lines)
            if point is not None:
                self._points = [*self._points, point] if len(self._points) < 2 else [point]
            if len(self._points) == 2:
                self._found = [distance(self._points[0], self._points[1], self._viewer.subject.world_from_scene.scale)]
            elif point is not None:
                self._found = []
        elif lines is not None:
            curve = curve_at(wireframe, pick(lines, origin, direction))
            if curve is None:
                return
            if self._what.value == CURVE:
                self._found = of_curve(curve)
            else:
                self._curves = [*self._curves, curve] if len(self._curves) < 2 else [curve]
                both = angle(self._curves[0], self._curves[1]) if len(self._curves) == 2 else None
                self._found = [] if both is None else [both]
        self._show()

    def clear(self) -> None:
        """Forget what was clicked."""
        self._points, self._curves, self._found = [], [], []
        self._show()

    def _show(self) -> None:
        lines = [described(f, self._factor, self._unit) for f in self._found]
        if not lines:
            waiting = {POINTS: len(self._points), ANGLE: len(self._curves)}.get(self._what.value, 0)
            lines = ["and the second"] if waiting == 1 else []
            if waiting == 2:
                lines = ["one of these has no direction"]
        self._result.content = "\n\n".join(f"**{plain(line)}**" for line in lines) or TOLD[self._what.value]
        self._clear.visible = bool(self._points or self._curves or self._found)
        self._viewer.layers.marks(np.array(self._points).reshape(-1, 3), lines[0] if len(self._points) == 2 else "")

    def _use(self, event: viser.GuiEvent) -> None:
        known = next((f for f in self._found if f.scales), None)
        if known is None or self._known.value <= 0.0 or known.value <= 0.0:
            if event.client is not None:
                event.client.add_notification(
                    "Nothing to scale by", "measure a length and type what it is", color="red", auto_close_seconds=10.0
                )
            return
        self._factor, self._unit = float(self._known.value) / known.value, self._known_unit.value
        config = self._viewer.subject.run.config.data.scale if self._viewer.subject.run is not None else 1.0
        command = f"--scale {config * self._factor:.8g} --unit {self._unit}"
        self._told.content = (
            f"Lengths on this page are multiplied by {self._factor:.6g} now. A new reconstruction has them so with\n\n{code(command)}"
        )
        self._show()

    def _known_unit_at_first(self) -> str:
        unit = self._viewer.subject.unit
        return unit if unit in ("mm", "cm", "m", "in", "ft") else "mm"
