"""A run's solid on the live page: it comes by itself, and a click on a face reads it."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("viser")
pytest.importorskip("OCP")

from tests.recon.solid.test_viewing import written
from tests.viewer.runs import tiny_run, tiny_subject
from viewer.app import Viewer


def test_a_click_reads_a_face(tmp_path: Path):
    run = tiny_run(tmp_path)
    run.solid.mkdir()
    written(run.solid)
    viewer = Viewer(tiny_subject(run), port=0)
    try:
        layers, place = viewer.layers, viewer.subject.scene_from_world
        assert "solid" in layers.present
        assert "deviation" not in layers.present  # no coloured mesh is beside it
        above = place.apply(np.array([0.5, 0.5, 9.0]))  # over the block's top, beside its bore
        down = place.rotate(np.array([0.0, 0.0, -1.0]))
        face = layers.face_at(above, down)
        assert face is not None
        assert layers.solid_view is not None
        view = layers.solid_view
        assert view.kinds[face] == "plane"
        own = view.facets.normals[view.facets.triangles[view.facets.face == face]].reshape(-1, 3)
        assert np.allclose(own, [0, 0, 1])
        layers.highlight_face(face)
        viewer.panels.picked_face(face)
        assert view.words[face][0] in unescape(viewer.panels.scene._picked.content)
        assert layers.face_at(place.apply(np.array([1.5, 1.0, 9.0])), down) is None  # through the bore
        viewer.panels.picked_face(None)
        assert not viewer.panels.scene._picked.visible
    finally:
        viewer.close()
