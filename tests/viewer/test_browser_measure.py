"""Measuring on the page, by clicks: the bracket's bore, as its drawing has it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.viewer.browser import visitors, why_not

if TYPE_CHECKING:
    from tests.viewer.browser import Visitor

needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))


@pytest.fixture(scope="module")
def visit() -> Iterator[Callable[[], Visitor]]:
    with visitors(1100, 700) as make:
        yield make


def measured(visitor: Visitor, word: str) -> float:
    visitor.has_text(f"{word} ")
    found = re.search(rf"{word} ([0-9.e+-]+)", visitor.page.evaluate("() => document.body.innerText"))
    assert found is not None
    return float(found[1])


@needs_browser
def test_the_bore_of_the_bracket(visit: Callable[[], Visitor], tmp_path: Path):
    """Its curve, picked, and two clicks on opposite sides of it both give the diameter within 0.5 %; a known length scales what follows."""
    from tests.viewer.runs import bracket_subject
    from viewer.app import Viewer
    from viewer.picking import pick_point

    viewer = Viewer(bracket_subject(tmp_path), port=0)
    try:
        visitor = visit()
        visitor.open(viewer.address)
        visitor.page.wait_for_function("() => window.__viserMutable.nodeRefFromName['/curves/all']")
        assert "bracket" in visitor.page.title()
        visitor.settled(viewer.loop.is_idle)
        camera = viewer.camera_of(viewer.visitors()[0])
        wireframe, lines, rays = viewer.layers.wireframe, viewer.layers.lines, viewer.rays()
        assert wireframe is not None
        assert lines is not None
        assert rays is not None
        from viewer.measuring import point_under

        # The largest circle of which two opposite points are seen, where no other curve is as near to the click.
        best = None
        scene_from_world = viewer.subject.scene_from_world
        for index in sorted((i for i, c in enumerate(wireframe.curves) if c.type == "circle"), key=lambda i: -wireframe.curves[i].length):
            p, count = wireframe.curves[index].parameters, 24
            turn = np.arange(count) * 2 * np.pi / count
            ring = np.array(p["center"]) + p["radius"] * (np.outer(np.cos(turn), p["x_axis"]) + np.outer(np.sin(turn), p["y_axis"]))
            uv, _ = camera.project(ring)
            good = []
            for k in range(count):
                pixel = np.floor(uv[k])  # a mouse knows whole pixels
                origin, direction = (scene_from_world.apply(camera.center), scene_from_world.rotate(camera.rays(pixel + 0.0)[1]))
                at = point_under(origin, direction, rays, lines)
                near = pick_point(lines, origin, direction)
                seen = at is not None and near is not None and near[0] == index and np.allclose(at, near[1])
                good.append(seen and 20 < pixel[0] < 620 and 20 < pixel[1] < 680)
            pairs = [k for k in range(count // 2) if good[k] and good[k + count // 2]]
            if pairs:
                best = index, np.floor(uv[pairs[0]]), np.floor(uv[pairs[0] + count // 2])
                break
        assert best is not None
        index, one, other = best
        diameter = 2 * wireframe.curves[index].parameters["radius"]

        visitor.tab("Measure")
        visitor.choose("measure", "a curve")
        visitor.page.mouse.click(*map(float, one))
        assert measured(visitor, "diameter") == pytest.approx(diameter, rel=0.005)
        visitor.choose("measure", "two points")
        visitor.page.mouse.click(*map(float, one))
        visitor.has_text("and the second")
        visitor.page.mouse.click(*map(float, other))
        assert measured(visitor, "distance") == pytest.approx(diameter, rel=0.005)
        visitor.save(tmp_path / "measure.png")

        visitor.page.get_by_text("Known length", exact=True).click()
        viewer.panels.measure._known.value = 2 * diameter
        visitor.press("Use as the scale")
        visitor.has_text("--unit mm")
        assert measured(visitor, "--scale") == pytest.approx(2.0, rel=0.005)
        assert measured(visitor, "distance") == pytest.approx(2 * diameter, rel=0.005)
        visitor.press("Clear")
        visitor.has_text("Click two places")
        assert "/marks/points" not in visitor.nodes()
        assert visitor.errors == []
        assert visitor.foreign == []
    finally:
        viewer.close()
