"""The panels of the page: what is shown, and how. All visitors share them; each has a camera of their own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from recon.curves import Wireframe
from recon.rendering.colormaps import MapName
from recon.results.figures import Results
from recon.runs import Run
from recon.solid.viewing import SolidView
from recon.train import Progress
from viewer.layers import NAMES, describe_curve, describe_face, legend
from viewer.loop import Frame
from viewer.markdown import plain
from viewer.painter import Crop
from viewer.panel_export import ExportPanel
from viewer.panel_look import LookPanel
from viewer.panel_measure import MeasurePanel
from viewer.panel_path import PathPanel
from viewer.panel_train import MetricsPanel, TrainPanel
from viewer.panel_views import ViewsPanel
from viewer.section import Section

if TYPE_CHECKING:
    from viewer.app import Viewer

COLORED_MODES = ("depth", "opacity", "edge", "error")
HIDDEN = ("axes", "mesh", "solid", "deviation")
"""Layers that are not shown at first: the field is in their place."""
SIZES = (256, 384, 512, 640, 800, 1024, 1600)


def has_model(run: Run) -> bool:
    """Whether there is a model to wait for."""
    return any(run.checkpoints.glob("step_*"))


class ScenePanel:
    """Switches of the layers, the picked curve, and the crop box."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        gui = viewer.server.viser.gui
        run = viewer.subject.run
        self._loading = gui.add_markdown("**Loading** the model and drawing its first picture.", visible=run is not None and has_model(run))
        self._field = gui.add_checkbox("field", True, hint="The trained model, rendered from your camera")
        self._field.on_update(lambda _: self._field_changed())
        self._boxes: dict[str, Any] = {}
        for name in NAMES:
            box = gui.add_checkbox(name, name not in HIDDEN and not (run is not None and name in ("cameras", "bounds")))
            box.on_update(lambda _, name=name, box=box: viewer.layers.show(name, box.value))
            viewer.layers.show(name, box.value)
            self._boxes[name] = box
        self._depth = gui.add_checkbox("hide behind the field", True, hint="Mesh, curves and cameras behind the field's surface are hidden")
        self._depth.on_update(lambda _: self._depth_changed())
        self._legend = gui.add_markdown("")
        self._picked = gui.add_markdown("", visible=False)
        with gui.add_folder("Crop", expand_by_default=False, visible=viewer.subject.run is not None):
            self._crop_on = gui.add_checkbox("crop", False, hint="Show only what is inside a box")
            self._sides = [gui.add_multi_slider(f"crop {axis}", -1.0, 1.0, 0.01, (-1.0, 1.0)) for axis in "xyz"]
            self._crop_text = gui.add_markdown("")
        with gui.add_folder("Section", expand_by_default=False, visible=run is not None) as self._section:
            self._section_on = gui.add_checkbox("section", False, hint="Cut field and mesh by a plane")
            self._axis = gui.add_dropdown("across", list("xyz"))
            self._at = gui.add_slider("place", -1.0, 1.0, 0.01, 0.0)
            self._flip = gui.add_checkbox("other side", False)
        for control in (self._crop_on, *self._sides, self._section_on, self._axis, self._at, self._flip):
            control.on_update(lambda _: self._crop_changed())
        self.refresh()

    def refresh(self) -> None:
        """Layers came."""
        present = self._viewer.layers.present
        for name, box in self._boxes.items():
            box.visible = name in present
        self._field.visible = self._depth.visible = self._viewer.painter.method is not None
        wireframe = self._viewer.layers.wireframe
        self._legend.content = legend(wireframe) if wireframe is not None else ""

    def drawn(self) -> None:
        """The first picture is there."""
        if self._loading.visible:
            self._loading.visible = False

    def picked(self, wireframe: Wireframe, index: int | None) -> None:
        self._picked.visible = index is not None
        if index is not None:
            self._picked.content = describe_curve(wireframe, index)

    def picked_face(self, view: SolidView, index: int | None) -> None:
        self._picked.visible = index is not None
        if index is not None:
            self._picked.content = describe_face(view, index)

    def show_mesh(self) -> None:
        """Without a field, the mesh is what there is to see."""
        if self._viewer.painter.method is None:
            self._boxes["mesh"].value = True
            self._viewer.layers.show("mesh", True)

    def _field_changed(self) -> None:
        self._viewer.field_visible = self._field.value
        self._viewer.redraw()

    def _depth_changed(self) -> None:
        self._viewer.hide_by_depth = self._depth.value
        self._viewer.redraw()

    def _crop_changed(self) -> None:
        crop = None
        if self._crop_on.value:
            # Sliders may touch: a box without thickness would show nothing at all.
            pairs = [(s.value[0], max(s.value[1], s.value[0] + 0.01)) for s in self._sides]
            (x0, x1), (y0, y1), (z0, z1) = pairs
            crop = Crop((x0, y0, z0), (x1, y1, z1))
        viewer = self._viewer
        viewer.layers.crop(crop)
        self._cut(Section("xyz".index(self._axis.value), float(self._at.value), self._flip.value) if self._section_on.value else None, crop)
        if crop is not None:
            s = viewer.subject.world_from_scene
            low, high = s.apply(np.array(crop.low)), s.apply(np.array(crop.high))
            corners = [", ".join(f"{v:.4g}" for v in corner) for corner in (low, high)]
            self._crop_text.content = plain(f"from ({corners[0]}) to ({corners[1]}) {viewer.painter.unit}")

    def _cut(self, section: Section | None, crop: Crop | None) -> None:
        viewer = self._viewer
        viewer.set_look(replace(viewer.look, crop=crop if section is None else section.crop(crop)))
        cut = (None, None) if section is None or viewer.surface is None else section.cut(viewer.surface)
        viewer.layers.section(*cut)


class RenderPanel:
    """Mode, colours, range and size of the field's picture."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        gui = viewer.server.viser.gui
        self._mode = gui.add_dropdown("mode", list(viewer.modes()))
        self._colors = gui.add_dropdown("colour map", ["usual", "viridis", "magma", "gray"], visible=False)
        self._auto = gui.add_checkbox("depth range from what is seen", True, visible=False)
        distance = viewer.subject.world_from_scene.scale
        self._near = gui.add_number("near", 0.0, min=0.0, step=distance / 50, visible=False)
        self._far = gui.add_number("far", 4.0 * distance, min=0.0, step=distance / 50, visible=False)
        self._side = gui.add_dropdown("longest side", [f"{s} px" for s in SIZES], initial_value="640 px")
        self._caption = gui.add_markdown("")
        self._speed = gui.add_markdown("")
        for control in (self._mode, self._colors, self._auto, self._near, self._far, self._side):
            control.on_update(lambda _: self._changed())

    def choose(self, mode: str) -> None:
        """Another panel asks for a mode."""
        self._mode.value = mode
        self._changed()

    def size(self, side: int) -> None:
        """Longest side of the picture, one of :data:`SIZES`."""
        self._side.value = f"{side} px"
        self._changed()

    def refresh(self) -> None:
        """A model came: it may have other modes."""
        modes = self._viewer.modes()
        if tuple(self._mode.options) != modes:
            self._mode.options = modes
            self._changed()

    def drawn(self, frame: Frame, rays_per_second: float) -> None:
        caption = plain(frame.caption)
        if self._caption.content != caption:
            self._caption.content = caption
        text = f"{frame.level}: {frame.image.shape[1]} x {frame.image.shape[0]}, {rays_per_second / 1e3:.0f} k rays/s"
        if frame.level != "moving" and self._speed.content != text:
            self._speed.content = text

    def _changed(self) -> None:
        auto, look = self._auto.value, self._viewer.look
        self._colors.visible, self._auto.visible = self._mode.value in COLORED_MODES, self._mode.value == "depth"
        self._near.visible = self._far.visible = not auto and self._mode.value == "depth"
        depth_range = None if auto or self._far.value <= self._near.value else (float(self._near.value), float(self._far.value))
        colors = cast(MapName, self._colors.value)
        side = int(self._side.value.split()[0])
        self._viewer.set_look(replace(look, mode=self._mode.value, colors=colors, depth_range=depth_range, side=side))


class Panels:
    """All panels, and what the rest of the viewer tells them."""

    def __init__(self, viewer: Viewer):
        self._viewer = viewer
        gui = viewer.server.viser.gui
        gui.set_panel_label(f"Formfield: {viewer.subject.title}")
        tabs = gui.add_tab_group()
        has_run = viewer.subject.run is not None
        with tabs.add_tab("Scene"):
            self.look = LookPanel(viewer)
            self.scene = ScenePanel(viewer)
        self.render: RenderPanel | None = None
        if has_run:  # data have no field
            with tabs.add_tab("Render"):
                self.render = RenderPanel(viewer)
        with tabs.add_tab("Measure"):
            self.measure = MeasurePanel(viewer)
        with tabs.add_tab("Views"):
            self.views = ViewsPanel(viewer)
        self.train: TrainPanel | None = None
        self.path: PathPanel | None = None
        self.export: ExportPanel | None = None
        self.metrics: MetricsPanel | None = None
        if has_run:
            with tabs.add_tab("Train"):
                self.train = TrainPanel(viewer)
            with tabs.add_tab("Path"):
                self.path = PathPanel(viewer)
            with tabs.add_tab("Export"):
                self.export = ExportPanel(viewer)
            with tabs.add_tab("Metrics"):
                self.metrics = MetricsPanel(viewer)

    def model_changed(self) -> None:
        self.scene.refresh()
        if self.render is not None:
            self.render.refresh()
        if self.train is not None:
            self.train.refresh()
        if self.path is not None:
            self.path.refresh()

    def curves_changed(self) -> None:
        self.scene.refresh()
        self.measure.refresh()
        self.picked(None)

    def solid_changed(self) -> None:
        self.scene.refresh()
        self.picked_face(None)

    def picked_face(self, index: int | None) -> None:
        view = self._viewer.layers.solid_view
        if view is not None:
            self.scene.picked_face(view, index)

    def mesh_changed(self) -> None:
        self.scene.refresh()
        self.scene.show_mesh()

    def picked(self, index: int | None) -> None:
        wireframe = self._viewer.layers.wireframe
        if wireframe is not None:
            self.scene.picked(wireframe, index)

    def drawn(self, frame: Frame) -> None:
        self.scene.drawn()
        if self.render is not None:
            self.render.drawn(frame, self._viewer.loop.rays_per_second)

    def view_reached(self, index: int) -> None:
        self.views.reached(index)

    def training(self, progress: Progress) -> None:
        if self.train is not None:
            self.train.report(progress)

    def training_ended(self) -> None:
        if self.train is not None:
            self.train.refresh()

    def history(self, path: Path) -> None:
        if self.train is not None:
            self.train.history(path)

    def results(self, results: Results) -> None:
        if self.metrics is not None:
            self.metrics.show(results)

    def tick(self) -> None:
        if self.train is not None:
            self.train.tick()
