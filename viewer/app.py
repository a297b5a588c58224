"""The live viewer: one page with the field, the mesh, the curves and the cameras, for a run, for data, or while a run trains."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import viser

from recon import pipeline
from recon.console import Reporter
from recon.curves import Wireframe
from recon.curves import load as load_curves
from recon.data.scene import Camera
from recon.methods.base import Method
from recon.model import METHODS
from recon.results.figures import read_results
from recon.runs import read_status
from recon.solid.viewing import REPORT, load_view
from recon.surface.mesh import Mesh, transform_mesh
from recon.surface.raycast import RayScene, ray_scene
from recon.train import Progress
from viewer.gate import Gate
from viewer.index import PHONE_PX
from viewer.jobs import Jobs
from viewer.layers import Layers
from viewer.loading import solid_folder, surface_file, surface_geometry
from viewer.looking import home
from viewer.loop import Frame, RenderLoop
from viewer.painter import Look, Order, Painter, picture_size, window_camera
from viewer.panel_look import stand_at
from viewer.panels import Panels
from viewer.picking import pick
from viewer.points import sparse_points
from viewer.server import start_server
from viewer.subject import Subject

WATCH_SECONDS = 1.0
"""How often files of the run are looked at, and pictures of a model in training are drawn again."""
QUALITY = {"moving": 50, "still": 75, "full": 88}
"""Of the JPEG, by level."""
DEPTH_STEP = {"moving": 2.56e-3, "still": 6.4e-4, "full": 6.4e-4}
"""Rounding of the depth that is sent, scene units: fewer digits make smaller files."""
DEPTH_BEHIND = 0.012
"""The field is put this much further away than it is, scene units, so that curves and meshes on its surface are not hidden by it."""
PANEL_PX = 440
LEFT_VIEW = 0.05
"""Who is further than this from a photograph's place, scene units, has left it: its camera is shown again."""

_log = logging.getLogger(__name__)


class Viewer:
    """Serves the page until it is closed. Also a :class:`recon.train.Watcher`.

    Args:
        subject: What is looked at.
        host, port, token: See :func:`viewer.server.start_server`.
    """

    def __init__(self, subject: Subject, host: str = "127.0.0.1", port: int | None = None, token: str | None = None):
        self.subject = subject
        self.server = start_server(host, port, token, f"{subject.title} - Formfield")
        self.gate = Gate()
        self.painter = Painter(subject.world_from_scene, subject.data, subject.unit)
        self.loop: RenderLoop[Order] = RenderLoop(
            self.painter.paint, picture_size, self.gate.turn, lambda: self.gate.training and not self.gate.paused
        )
        self.look = Look()
        self.field_visible = True
        self.hide_by_depth = True
        self._visitors: dict[int, viser.ClientHandle] = {}
        self._lock = threading.Lock()
        self._seen: dict[str, int] = {}
        self._at_view: tuple[int, np.ndarray] | None = None
        self._arrived = False
        self.surface: Mesh | None = None
        self._rays: RayScene | None = None
        self.home = home([], self.subject.up())
        self._trained_here = False
        self.step = -1
        self._closed = threading.Event()
        self.layers = Layers(self.server.viser, subject.scene_from_world, self.go_to_view)
        self.jobs = Jobs(self.notify)
        self._dress()
        self.panels = Panels(self)
        self._look_at_files()
        self.start_from_home()
        self.server.viser.on_client_connect(self._arrive)
        self.server.viser.on_client_disconnect(self._leave)
        self.server.viser.scene.on_click()(self._click)  # pyright: ignore[reportArgumentType]  # viser awaits coroutines
        self._watch_thread = threading.Thread(target=self._watch, name="viewer-watch", daemon=True)
        self._watch_thread.start()

    @property
    def address(self) -> str:
        """To open in a browser; holds the token."""
        return self.server.address

    def close(self) -> None:
        """Disconnect everybody and end all threads."""
        self._closed.set()
        self.gate.end()
        self.jobs.close()
        self.loop.close()
        self._watch_thread.join(timeout=10.0)
        self.server.stop()

    def rays(self) -> RayScene | None:
        """The exported mesh, ready to be clicked at, scene units."""
        if self._rays is None and self.surface is not None:
            self._rays = ray_scene(self.surface)
        return self._rays

    def right(self) -> np.ndarray:
        """What is to the right as seen from the front: the world's x, or its y where x is up; scene axes. [3]"""
        x, y = (self.subject.scene_from_world.rotate(np.eye(3)[k]) for k in (0, 1))
        return x if abs(float(x @ self.home.up)) < 0.9 else y

    def start_from_home(self) -> None:
        """Let who comes see everything, upright, from a corner: as the static page begins. Of data the cameras are what there is to see."""
        up, from_world = self.subject.up(), self.subject.scene_from_world
        parts = [] if self.surface is None else [self.surface.vertices]
        if self.layers.lines is not None:
            parts.append(self.layers.lines.segments.reshape(-1, 3).astype(np.float64))
        if self.subject.run is None:
            parts.append(np.stack([from_world.apply(c.center) for c in self.subject.cameras]))
        self.home = home(parts, up)
        stand, camera = self.home.start(), self.server.viser.initial_camera
        camera.position, camera.look_at, camera.up, camera.fov, camera.near = stand.eye, stand.target, stand.up, stand.fov, 0.01

    def use_model(self, method: Method) -> None:
        """Show a model."""
        with self.gate.turn():
            self.painter.method = method
        self.panels.model_changed()
        self.redraw()

    def modes(self) -> tuple[str, ...]:
        """What the field can be shown as."""
        run = self.subject.run
        if run is None or self.painter.method is None:
            return ("color",)
        modes: tuple[str, ...] = METHODS[run.config.method].modes
        if not self.painter.has_photographs:
            return tuple(m for m in modes if m != "error")
        return (*modes, "photograph", "blend")

    def is_finishing(self) -> bool:
        """Whether this process has trained the run and is writing its results."""
        if self.subject.run is None or not self._trained_here or self.gate.training:
            return False
        return read_status(self.subject.run.folder)[0] == "running"

    def choose_mode(self, mode: str) -> None:
        """Show the field as another panel asks for."""
        if self.panels.render is not None:
            self.panels.render.choose(mode)

    def set_look(self, look: Look) -> None:
        """Show the field another way, to everybody."""
        self.look = look
        self.redraw()

    def redraw(self) -> None:
        """Draw everybody's picture again."""
        for client in self.visitors():
            self._order(client)

    def visitors(self) -> list[viser.ClientHandle]:
        with self._lock:
            return list(self._visitors.values())

    def notify(self, title: str, text: str) -> None:
        """A notice on everybody's page."""
        for client in self.visitors():
            client.add_notification(title, text, auto_close_seconds=15.0, color="red")

    def camera_of(self, client: viser.ClientHandle) -> Camera:
        """A visitor's camera in the world, at the size of their window."""
        camera = self._window(client)
        pose = self.subject.world_from_scene.apply_to_pose(camera.world_from_camera)
        return Camera(camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy, pose)

    def go_to_view(self, index: int, client: viser.ClientHandle) -> None:
        """Put a visitor where a photograph was taken."""
        camera = self.subject.cameras[index]
        pose = self.subject.scene_from_world.apply_to_pose(camera.world_from_camera)
        distance = max(float(-pose[:, 3] @ pose[:, 2]), 0.2)  # turns are about the point of the axis that is nearest to the object's centre
        self.layers.hide_camera(index)
        self._at_view, self._arrived = (client.client_id, pose[:, 3]), False
        with client.atomic():
            client.camera.up_direction = -pose[:, 1]
            client.camera.position = pose[:, 3]
            client.camera.look_at = pose[:, 3] + distance * pose[:, 2]
            client.camera.fov = 2.0 * float(np.arctan(0.5 * camera.height / camera.fy))
        self.panels.view_reached(index)

    # Watcher: called by the training thread.

    def began(self, method: Method, step: int) -> None:
        self._trained_here, self.step = True, step
        self.gate.begin()
        self.painter.method = method
        self.panels.model_changed()
        self.redraw()

    def between_steps(self, step: int, stopping: Callable[[], bool]) -> bool:
        self.step = step
        return self.gate.between_steps(stopping)

    def report(self, progress: Progress) -> None:
        self.panels.training(progress)

    def ended(self) -> None:
        self.gate.end()
        self.panels.training_ended()
        self.redraw()

    # Visitors. These run in the server's event loop and only hand on, so that no visitor needs a thread.

    async def _arrive(self, client: viser.ClientHandle) -> None:
        with self._lock:
            self._visitors[client.client_id] = client
        if 0 < client.camera.image_width < PHONE_PX:
            client.gui.main_panel.minimize()  # it would cover all there is to see
            client.add_notification("One finger turns, two move and come nearer", "Tap the title for the panel.", auto_close_seconds=8)
        self.loop.add(client.client_id, lambda frame: self._show(client, frame), lambda t, x: self._tell(client, t, x))

        begun = self.home.start()

        def see_all() -> None:
            """Until they move: the first place is for a window that is wider than high, and the panel takes its share of it later."""
            nonlocal begun
            wanted = self.home.start(aspect=client.camera.aspect)
            near = lambda eye: np.linalg.norm(eye - begun.eye) < 1e-4 * self.home.radius  # noqa: E731
            if near(client.camera.position) and not near(wanted.eye):
                begun = wanted
                stand_at(client, wanted)

        async def moved(camera: viser.CameraHandle) -> None:
            see_all()
            self._watch_view(client.client_id, camera.position)
            self._order(client)

        client.camera.on_update(moved)
        see_all()
        self._order(client)

    def _watch_view(self, visitor: int, position: np.ndarray) -> None:
        """Show the camera of a photograph again when the visitor who stood in its place has left."""
        if self._at_view is None or self._at_view[0] != visitor:
            return
        near = np.linalg.norm(position - self._at_view[1]) <= LEFT_VIEW
        if near:
            self._arrived = True  # until then, messages still tell where the visitor was before
        elif self._arrived:
            self._at_view = None
            self.layers.hide_camera(None)

    async def _leave(self, client: viser.ClientHandle) -> None:
        self.loop.remove(client.client_id)
        with self._lock:
            self._visitors.pop(client.client_id, None)

    async def _click(self, event: viser.SceneClickEvent) -> None:
        if self.panels.measure.active:
            self.panels.measure.clicked(np.array(event.ray_origin), np.array(event.ray_direction))
            return
        if self.layers.solid_view is not None and self.layers.parents["solid"].visible:
            face = self.layers.face_at(np.array(event.ray_origin), np.array(event.ray_direction))
            self.layers.highlight_face(face)
            self.panels.picked_face(face)
            return
        lines = self.layers.lines
        if lines is None or not self.layers.parents["curves"].visible:
            return
        index = pick(lines, np.array(event.ray_origin), np.array(event.ray_direction))
        self.layers.highlight(index)
        self.panels.picked(index)

    def _order(self, client: viser.ClientHandle) -> None:
        if self.painter.method is None or not self.field_visible:
            self.loop.look(client.client_id, None)
            client.scene.set_background_image(None)
            return
        self.loop.look(client.client_id, Order(self._window(client), self.look))

    def _window(self, client: viser.ClientHandle) -> Camera:
        c = client.camera
        return window_camera(c.position, c.wxyz, c.fov, max(c.image_width, 1), max(c.image_height, 1))

    def _show(self, client: viser.ClientHandle, frame: Frame) -> None:
        depth = None
        if frame.depth_z is not None and self.hide_by_depth:
            step = DEPTH_STEP[frame.level]
            depth = np.ceil((frame.depth_z + DEPTH_BEHIND) / step) * step
        client.scene.set_background_image(frame.image, format="jpeg", jpeg_quality=QUALITY[frame.level], depth=depth)
        client.flush()
        self.panels.drawn(frame)

    def _tell(self, client: viser.ClientHandle, title: str, text: str) -> None:
        client.add_notification(title, text, auto_close_seconds=15.0, color="red")

    # The scene.

    def _dress(self) -> None:
        page, subject = self.server.viser, self.subject
        page.gui.configure_theme(show_logo=False, show_share_button=False, control_width="large")
        page.gui.main_panel.dock_right()
        page.gui.main_panel.set_width(PANEL_PX)
        page.scene.set_up_direction(subject.up())
        page.scene.configure_environment_map(None)
        page.scene.add_light_ambient("/light", intensity=1.5)
        self.layers.bounds()
        views = None if subject.data is None else {v.name: v for v in subject.data.views}
        self.layers.cameras(subject.cameras, subject.splits, None if views is None else [views[n] for n in subject.names])
        points = None if subject.data is None else sparse_points(subject.data)
        if points is not None:
            self.layers.points(*points)

    def _watch(self) -> None:
        """Look at the run's files every second, and keep pictures of a model in training up to date."""
        drawn_step = -1
        while not self._closed.wait(WATCH_SECONDS):
            try:
                self._look_at_files()
                if self.gate.training and self.step != drawn_step:
                    drawn_step = self.step
                    self.loop.refresh()
                self.panels.tick()
            except Exception as error:
                # A file that is being written, or a broken one: said once a second at most, and looked at again.
                _log.warning("the run's files cannot be read: %s", error)
                self.notify("The run's files cannot be read", str(error))
                self._closed.wait(10.0)

    def _look_at_files(self) -> None:
        run = self.subject.run
        if run is None:
            return
        if not self._trained_here:
            self._when_new("model", run.checkpoints / "latest.json", lambda _: self._load_model())
        surface = surface_file(run)
        if surface is not None:
            self._when_new("mesh", surface, self._mesh_came)
        self._when_new("curves", run.exports / "curves.json", lambda path: self._curves_came(load_curves(path)))
        folder = solid_folder(run)
        if folder is not None:
            self._when_new("solid", folder / REPORT, lambda path: self._solid_came(path.parent))
        self._when_new("results", run.eval / "results.json", self._results_came)
        self._when_new("metrics", run.folder / "metrics.jsonl", self.panels.history)

    def _mesh_came(self, path: Path) -> None:
        self.layers.mesh(path)
        self.surface, self._rays = transform_mesh(surface_geometry(path), self.subject.scene_from_world), None
        self.start_from_home()
        self.panels.mesh_changed()

    def _curves_came(self, wireframe: Wireframe) -> None:
        self.layers.curves(wireframe)
        self.start_from_home()
        self.panels.curves_changed()

    def _solid_came(self, folder: Path) -> None:
        painted = folder / "deviation.ply"
        self.layers.solid(load_view(folder), painted if painted.is_file() else None)
        self.panels.solid_changed()

    def _results_came(self, path: Path) -> None:
        self.panels.results(read_results(path))

    def _load_model(self) -> None:
        assert self.subject.run is not None
        self.use_model(pipeline.load_method(self.subject.run, Reporter(quiet=True)))

    def _when_new(self, name: str, path: Path, act: Callable[[Path], None]) -> None:
        try:
            changed = path.stat().st_mtime_ns
        except FileNotFoundError:
            return
        if self._seen.get(name) != changed:
            self._seen[name] = changed
            act(path)
