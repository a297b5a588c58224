"""The page in a headless browser: what stands in it, and that it does what its controls say."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.viewer.browser import chromium, difference, visitors, why_not

if TYPE_CHECKING:
    from tests.viewer.browser import Visitor

needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


def test_the_browser_is_used_where_there_is_one():
    """The skip above must not fire where everything is installed."""
    if chromium() is None:
        pytest.skip("no Chromium is installed")
    missing = [m for m in ("viser", "playwright") if subprocess.run([sys.executable, "-c", f"import {m}"], capture_output=True).returncode]
    assert (why_not() is None) == (not missing)


@pytest.fixture(scope="module")
def visit() -> Iterator[Callable[[], Visitor]]:
    with visitors() as make:
        yield make


@needs_browser
def test_a_run(visit: Callable[[], Visitor], tmp_path: Path):
    from tests.viewer.runs import tiny_run, tiny_subject, tiny_wireframe
    from viewer.app import Viewer

    run = tiny_run(tmp_path)
    viewer = Viewer(tiny_subject(run), port=0)
    viewer.panels.render.size(256)
    try:
        visitor = visit()
        visitor.open(viewer.address)
        visitor.wait_for_field()
        visitor.page.wait_for_function("() => window.__viserMutable.nodeRefFromName['/mesh/exported']")
        assert "token" not in visitor.page.url
        nodes = visitor.nodes()
        assert {"/bounds/box", "/mesh/exported", "/curves/all", "/cameras/000", "/cameras/009"} <= set(nodes)

        def settled():
            return visitor.settled(viewer.loop.is_idle)

        colored = settled()
        assert colored.std() > 5
        visitor.tick("mesh")
        meshed = settled()
        assert difference(colored, meshed) > 1
        visitor.tick("mesh")
        assert difference(colored, settled()) < 0.5 * difference(colored, meshed)

        # A click on a curve, where this program's camera model says that the browser draws it.
        camera = viewer.camera_of(viewer.visitors()[0])
        points = tiny_wireframe().curves[1].sample(0.2)[0]
        uv, _ = camera.project(points)
        u, v = uv[np.argmax(uv[:, 1])]  # the nearest part of the circle, in front of the sphere
        visitor.page.mouse.click(float(u), float(v))
        visitor.has_text("support: 8 views")
        assert "/curves/picked" in visitor.nodes()
        assert viewer.panels.scene._picked.content.startswith("**Curve 1**")
        visitor.page.mouse.click(5, 550)
        visitor.page.wait_for_function("() => !window.__viserMutable.nodeRefFromName['/curves/picked']")

        visitor.tab("Render")
        visitor.choose("mode", "normal")
        normals = settled()
        assert difference(colored, normals) > 2
        visitor.choose("mode", "color")
        visitor.tab("Scene")
        visitor.page.get_by_text("Crop", exact=True).click()
        visitor.tick("crop")
        viewer.panels.scene._sides[0].value = (-1.0, 0.0)  # a slider with two thumbs; the rest of the way is the visitor's
        viewer.panels.scene._crop_changed()
        cropped = settled()
        assert difference(colored, cropped) > 2
        assert "/bounds/crop" in visitor.nodes()
        visitor.tick("crop")
        assert difference(colored, settled()) < 0.5 * difference(colored, cropped)

        frames = viewer.loop.frames_done
        visitor.orbit(120)
        moved = settled()
        assert viewer.loop.frames_done > frames
        assert difference(colored, moved) > 1

        visitor.tab("Export")
        before = (run.exports / "mesh.glb").stat().st_mtime_ns
        visitor.press("Export")
        visitor.has_text("wrote ")
        assert (run.exports / "mesh.glb").stat().st_mtime_ns > before
        assert viewer.panels.export is not None
        assert f"recon export {run.folder} mesh --resolution 32 --faces 500" in viewer.panels.export.command()

        visitor.tab("Path")
        visitor.press("Add keyframe")
        visitor.has_text("1 keyframes")
        visitor.orbit(-60)
        visitor.press("Add keyframe")
        visitor.has_text("2 keyframes")
        visitor.press("Save path")
        visitor.has_text("saved")
        assert (run.renders / "camera_path.json").is_file()
        assert visitor.errors == []
        assert visitor.foreign == []
        visitor.page.context.close()
    finally:
        viewer.close()


@needs_browser
def test_training_pauses_and_stops(visit: Callable[[], Visitor], tmp_path: Path):
    from recon import pipeline
    from recon.console import Reporter
    from recon.errors import Interrupted
    from tests.tiny import tiny_scene
    from tests.viewer.runs import training_subject
    from viewer.app import Viewer

    run, subject = training_subject(tmp_path, "train.steps=1000000", "train.checkpoint_every=100000")
    viewer = Viewer(subject, port=0)
    ended: list[BaseException] = []

    def work() -> None:
        try:
            pipeline.fit(run, tiny_scene(), Reporter(quiet=True), viewer)
        except Interrupted as stop:
            ended.append(stop)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        visitor = visit()
        visitor.open(viewer.address)
        visitor.wait_for_field()
        visitor.tab("Train")
        visitor.has_text("training")
        visitor.press("Pause")
        visitor.has_text("paused")
        held = viewer.step
        time.sleep(1.0)
        assert viewer.step == held
        visitor.press("Resume")
        visitor.has_text("training")
        time.sleep(0.5)
        assert viewer.step > held
        visitor.press("Stop")
        thread.join(timeout=60)
        assert not thread.is_alive()
        assert [type(e) for e in ended] == [Interrupted]
        assert any(run.checkpoints.glob("step_*"))
        assert visitor.errors == []
        visitor.page.context.close()
    finally:
        viewer.gate.stop()
        thread.join(timeout=60)
        viewer.close()


@needs_browser
@pytest.mark.parametrize(("width", "folded"), [(390, True), (640, True), (900, False)])
def test_the_panel_begins_folded_on_a_phone(visit: Callable[..., Visitor], width: int, folded: bool):
    """Where viser shows it as a sheet from below, and in windows a little wider; a tap on its title unfolds it."""
    from tests.tiny import tiny_scene
    from viewer.app import Viewer
    from viewer.subject import data_subject

    viewer = Viewer(data_subject(tiny_scene(), "tiny"), port=0)
    try:
        visitor = visit(width, 780)
        visitor.open(viewer.address)
        visitor.has_text("Formfield")
        visitor.page.wait_for_timeout(2500)
        tab = visitor.page.get_by_role("tab", name="Views")
        tab.wait_for(state="hidden" if folded else "visible")
        (client,) = viewer.server.viser.get_clients().values()
        ball, camera = viewer.home, client.camera  # all of it is seen, also where the window is narrower than high
        half = np.arctan(np.tan(camera.fov / 2) * min(camera.aspect, 1.0))
        assert np.linalg.norm(camera.position - ball.target) * np.sin(half) == pytest.approx(1.08 * ball.radius, rel=1e-3)
        if folded:
            visitor.page.get_by_text("Formfield:").first.click()
            tab.wait_for(state="visible")
        assert visitor.errors == []
    finally:
        viewer.close()
