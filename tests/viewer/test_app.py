"""The whole viewer without a browser: visitors at the level of the protocol, layers, jobs, training."""

from __future__ import annotations

import asyncio
import html
import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

pytest.importorskip("viser", reason="the live viewer's extra [viewer] is not installed")
import websockets

from recon import pipeline
from recon.checkpoint import load_checkpoint
from recon.console import Reporter
from recon.data.scene import Scene
from recon.errors import DataError, Interrupted, UsageError
from recon.runs import Run
from tests.tiny import WORLD_FROM_SCENE, cameras, tiny_scene
from tests.viewer.runs import tiny_run, tiny_subject, training_subject
from viewer.app import Viewer
from viewer.command import opened, subject_of
from viewer.jobs import Jobs, PageReporter
from viewer.layers import MOST_FRUSTA, frustum_segments, thumbnail
from viewer.paths import Keyframe, load_path
from viewer.subject import data_subject
from viewer.trial import ScriptedVisitor, camera_message

WAIT = 60.0


def until(condition: Callable[[], bool], seconds: float = WAIT) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.01)
    return condition()


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return tiny_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def viewer(run: Run) -> Iterator[Viewer]:
    opened_viewer = Viewer(tiny_subject(run), port=0)
    opened_viewer.panels.render.size(256)
    yield opened_viewer
    opened_viewer.close()


def test_a_visitor_gets_pictures_and_two_get_their_own(viewer: Viewer):
    first, second = ScriptedVisitor(viewer.address, moves=(0.5, 60.0)), ScriptedVisitor(viewer.address, moves=(0.5, 60.0))
    with first.present(), second.present():
        assert until(lambda: min(first.pictures, second.pictures) >= 2)
        assert until(lambda: len(viewer.visitors()) == 2)
    assert first.failure is None
    assert second.failure is None
    assert until(lambda: not viewer.visitors())


def test_a_broken_model_is_a_notice_and_the_page_lives(viewer: Viewer):
    method, told = viewer.painter.method, []

    class Broken:
        device = torch.device("cpu")

        def render(self, rays) -> None:
            raise RuntimeError("not today")

    viewer._tell = lambda client, title, text: told.append(text)
    with ScriptedVisitor(viewer.address, moves=(0.3, 60.0)).present() as visitor:
        assert until(lambda: visitor.pictures >= 1)
        viewer.painter.method = Broken()  # pyright: ignore[reportAttributeAccessIssue]
        viewer.redraw()
        assert until(lambda: bool(told))
        assert "not today" in told[0]
        viewer.painter.method = method
        seen = visitor.pictures
        viewer.redraw()
        assert until(lambda: visitor.pictures > seen)


def test_a_hundred_visitors_leave_no_thread_and_no_memory_of_them(viewer: Viewer):
    address = viewer.address.partition("/?")[0].replace("http", "ws")
    cookie = f"{viewer.server.access.cookie}={viewer.server.access.cookie_value}"
    import viser

    async def visit() -> None:
        async with websockets.connect(
            address,
            origin=websockets.Origin(address.replace("ws", "http")),
            additional_headers={"Cookie": cookie},
            subprotocols=[websockets.Subprotocol(f"viser-v{viser.__version__}")],
            max_size=None,
        ) as page:
            await page.send(camera_message(0.1))
            await asyncio.wait_for(page.recv(), WAIT)

    async def visits(count: int) -> None:
        for _ in range(count):
            await visit()

    asyncio.run(visits(2))
    assert until(lambda: not viewer.visitors())
    before = {t.name for t in threading.enumerate()}
    asyncio.run(visits(100))
    assert until(lambda: not viewer.visitors() and not viewer.loop._visits)
    assert {t.name for t in threading.enumerate()} <= before


def test_closing_ends_all_threads(run: Run):
    before = set(threading.enumerate())
    Viewer(tiny_subject(run), port=0).close()
    assert until(lambda: not set(threading.enumerate()) - before, 5)


def test_picking_a_curve_shows_what_is_known_of_it(viewer: Viewer):
    viewer.layers.highlight(1)
    viewer.panels.picked(1)
    text = html.unescape(viewer.panels.scene._picked.content)
    assert "circle" in text
    assert "8 views" in text
    assert f"{2 * np.pi * 1.15 * 3:.4g}"[:4] in text
    viewer.panels.picked(None)
    assert not viewer.panels.scene._picked.visible


def test_new_exports_appear_by_themselves(run: Run, tmp_path: Path):
    """Curves that are written while the page is open become a layer."""
    other = Run(tmp_path / "copy", run.config)
    other.folder.mkdir()
    (other.folder / "scene.json").write_text((run.folder / "scene.json").read_text())
    viewer = Viewer(tiny_subject(other), port=0)
    try:
        assert "curves" not in viewer.layers.present
        other.exports.mkdir()
        (other.exports / "curves.json").write_text((run.exports / "curves.json").read_text())
        assert until(lambda: "curves" in viewer.layers.present, 10)
        (other.exports / "curves.json").write_text("{")
        assert until(lambda: viewer._watch_thread.is_alive(), 2)
    finally:
        viewer.close()


def test_data_alone(tmp_path: Path):
    viewer = Viewer(data_subject(tiny_scene(), "tiny"), port=0)
    try:
        assert viewer.layers.present == {"bounds", "axes", "cameras"}
        assert viewer.panels.export is None
        with ScriptedVisitor(viewer.address, moves=(0.2, 60.0)).present():
            assert until(lambda: len(viewer.visitors()) == 1)
    finally:
        viewer.close()


def test_many_cameras_are_one_node():
    scene = tiny_scene()
    many = cameras(MOST_FRUSTA + 20)
    views = tuple(replace(scene.views[0], name=f"{i}.png", camera=c) for i, c in enumerate(many))
    viewer = Viewer(data_subject(Scene("many", Path("many"), "test", views, WORLD_FROM_SCENE, "alpha"), "many"), port=0)
    try:
        names = [n for n in viewer.server.viser.scene._handle_from_node_name if n.startswith("/cameras/")]
        assert names == ["/cameras/all"]
    finally:
        viewer.close()


def test_frusta_are_where_the_cameras_are():
    camera = cameras(3)[1]
    segments = frustum_segments(camera, WORLD_FROM_SCENE.inverse(), 0.2)
    eye = WORLD_FROM_SCENE.inverse().apply(camera.center)
    np.testing.assert_allclose(segments[:4, 0], np.tile(eye, (4, 1)), atol=1e-6)
    corners = WORLD_FROM_SCENE.apply(segments[:4, 1].astype(np.float64))
    uv, depth = camera.project(corners)
    np.testing.assert_allclose(uv, [[0, 0], [24, 0], [24, 24], [0, 24]], atol=1e-3)
    np.testing.assert_allclose(depth, 0.2 * WORLD_FROM_SCENE.scale, rtol=1e-5)


def test_thumbnails_are_small_and_opaque():
    picture = thumbnail(tiny_scene().views[0])
    assert picture.shape == (24, 24, 3)
    assert (picture[0, 0] == 225).all()


def test_going_to_a_view_is_seeing_its_picture(viewer: Viewer):
    """A visitor at a view's place has its camera: pose and vertical field of view."""
    sent = {}

    class Camera:
        def __setattr__(self, name: str, value) -> None:
            sent[name] = value

    class Client:
        camera = Camera()
        client_id = 0

        def atomic(self):
            import contextlib

            return contextlib.nullcontext()

    viewer.go_to_view(3, Client())  # pyright: ignore[reportArgumentType]
    camera = viewer.subject.cameras[3]
    scene_from_world = viewer.subject.scene_from_world
    np.testing.assert_allclose(sent["position"], scene_from_world.apply(camera.center), atol=1e-9)
    axis = sent["look_at"] - sent["position"]
    np.testing.assert_allclose(axis / np.linalg.norm(axis), camera.world_from_camera[:, 2], atol=1e-9)
    assert sent["fov"] == pytest.approx(2 * np.arctan(0.5 * 24 / camera.fy))
    assert viewer.panels.views._index.value == 3
    assert [not f.visible for f in viewer.layers._frusta] == [i == 3 for i in range(10)]  # it would hide everything
    viewer.layers.hide_camera(None)
    assert all(f.visible for f in viewer.layers._frusta)


def test_watching_does_not_change_the_training(tmp_path: Path):
    """Bit for bit, with a visitor who moves all the time."""
    models = []
    for watched in (False, True):
        run, subject = training_subject(tmp_path / str(watched), "train.steps=24")
        if watched:
            viewer = Viewer(subject, port=0)
            viewer.gate.share = 0.5
            try:
                with ScriptedVisitor(viewer.address, moves=(60.0, 0.1)).present() as visitor:
                    assert until(lambda v=viewer: len(v.visitors()) == 1)
                    pipeline.fit(run, tiny_scene(), Reporter(quiet=True), viewer)
                    assert until(lambda v=visitor: v.pictures > 0)
            finally:
                viewer.close()
        else:
            pipeline.fit(run, tiny_scene(), Reporter(quiet=True))
        models.append(load_checkpoint(run.checkpoints)[0].model)
    for name, tensor in models[0].items():
        assert (tensor == models[1][name]).all(), name


def test_what_can_be_looked_at(run: Run, tmp_path: Path):
    reporter = Reporter(quiet=True)

    def gone(_: Run | None = None) -> Scene:
        raise DataError("the photographs are gone")

    subject = subject_of(str(run.folder), gone, gone, reporter)
    assert subject.data is None
    assert subject.run is not None
    assert subject_of("tiny", gone, tiny_scene, reporter).run is None  # pyright: ignore[reportArgumentType]
    empty = tmp_path / "empty"
    empty.mkdir()
    for name in ("config.yaml", "scene.json"):
        (empty / name).write_text((run.folder / name).read_text())
    with pytest.raises(DataError, match="nothing to see"):
        subject_of(str(empty), gone, gone, reporter)
    with pytest.raises(UsageError, match="token"), opened(subject, "0.0.0.0", None, None, reporter):
        pass


def test_jobs_run_one_at_a_time_and_tell():
    told: list[tuple[float, str]] = []
    notices: list[tuple[str, str]] = []
    jobs = Jobs(lambda title, text: notices.append((title, text)))
    hold = threading.Event()

    def tell(share: float, text: str) -> None:
        told.append((share, text))

    def work(reporter: PageReporter) -> str:
        reporter.progress("stage", 0.5, "half")
        assert hold.wait(WAIT)
        reporter.warn("careful")
        return "written"

    def fails(reporter: PageReporter) -> str:
        raise DataError("no surface", hint="train longer")

    def cancelled(reporter: PageReporter) -> str:
        for _ in range(1000):
            time.sleep(0.01)
            reporter.progress("long", 0.1, "still")
        return "never"

    assert jobs.start("first", work, tell)
    assert until(lambda: (0.5, "stage: half") in told)
    assert not jobs.start("second", work, tell)
    hold.set()
    assert until(lambda: not jobs.busy)
    assert told[-1] == (1.0, "written\n\nwarning: careful")
    assert jobs.start("third", fails, tell)
    assert until(lambda: not jobs.busy)
    assert notices[0][0] == "third failed"
    assert "train longer" in notices[0][1]
    assert jobs.start("fourth", cancelled, tell)
    jobs.cancel()
    assert until(lambda: not jobs.busy)
    assert told[-1] == (0.0, "long was cancelled")
    assert len(notices) == 1
    jobs.close()


def test_stopping_from_the_page_saves_a_checkpoint(tmp_path: Path):
    run, subject = training_subject(tmp_path, "train.steps=100000", "train.checkpoint_every=100000")
    viewer = Viewer(subject, port=0)
    try:
        threading.Timer(0.5, viewer.gate.stop).start()
        with pytest.raises(Interrupted):
            pipeline.fit(run, tiny_scene(), Reporter(quiet=True), viewer)
    finally:
        viewer.close()
    assert json.loads((run.folder / "status.json").read_text())["state"] == "interrupted"
    assert load_checkpoint(run.checkpoints)[0].step > 0


def test_a_film_along_keyframes(viewer: Viewer, run: Run):
    """What the panel writes is a path and a film, and the command it shows takes that path."""
    panel = viewer.panels.path
    assert panel is not None
    poses = [c.world_from_camera for c in cameras(3)]
    panel._keys = [Keyframe(pose, 0.6, 0.1 * i) for i, pose in enumerate(poses)]
    panel._size.value = 128
    panel._make_film()
    assert until(lambda: not viewer.jobs.busy)
    films = [p for p in run.renders.iterdir() if p.suffix in (".mp4", ".gif")]
    assert len(films) == 1
    assert films[0].stat().st_size > 500
    shown = html.unescape(panel._text.content)
    assert str(films[0]) in shown
    assert f"recon render {run.folder} --path {run.renders / 'camera_path.json'} --modes color --size 128" in shown
    assert not panel._film.disabled
    np.testing.assert_allclose(load_path(run.renders / "camera_path.json").keyframes[2].world_from_camera, poses[2])


def test_no_export_while_the_run_writes_its_own(viewer: Viewer, run: Run):
    told: list[str] = []
    viewer.notify = lambda title, text: told.append(title)
    status = (run.folder / "status.json").read_text()
    viewer._trained_here = True
    try:
        (run.folder / "status.json").write_text(status.replace('"done"', '"running"'))
        assert viewer.panels.export is not None
        viewer.panels.export._start()
        assert told == ["Not now"]
        assert not viewer.jobs.busy
    finally:
        (run.folder / "status.json").write_text(status)
