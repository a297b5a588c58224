"""The drawing of a solid beside its report: written, read, and refused when it is damaged."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("OCP")

from recon.errors import DataError
from recon.solid.anatomy import anatomy
from recon.solid.facets import facets
from recon.solid.viewing import FILE, REPORT, face_words, has_view, load_view, save_view
from scenes.modelling import box, cut, cylinder

FACE = {
    "kind": "plane", "region": 0, "hollow": None, "sizes": {}, "sigma_offset": 0.01, "axis": [0, 0, 1], "area": 6.0,
    "deviation_mean": 0.01, "deviation_q95": 0.02, "photographs": 0, "forced": False, "constraints": ["parallel with 1"],
}  # fmt: skip


def written(folder: Path) -> Path:
    """A bored block, drawn in centimetres."""
    shape = cut(box((0, 0, 0), (30, 20, 10)), cylinder((15, 10, -1), (0, 0, 1), 4, 20))
    parts, found = anatomy(shape), facets(shape, 0.01, "a block")
    shown = type(found)(found.vertices / 10, found.normals, found.triangles, found.face)
    save_view(folder, shown, parts, 10.0, 0.05)
    faces = [{**FACE, "region": k, "kind": face.kind} for k, face in enumerate(parts.faces)]
    (folder / REPORT).write_text(json.dumps({"faces": faces, "status": "solid"}))
    return folder


def test_what_was_written_is_read(tmp_path: Path):
    assert not has_view(tmp_path)
    view = load_view(written(tmp_path))
    assert has_view(tmp_path)
    assert (len(view.kinds), view.kinds.count("cylinder"), view.solid, view.reach) == (7, 1, True, 0.05)
    assert np.allclose(view.facets.vertices.max(0), [3, 2, 1])
    assert np.allclose(np.max([edge.max(0) for edge in view.edges], 0), [3, 2, 1])
    assert len(view.edges) == 14  # twelve of the block, two of the bore
    assert len(np.unique(view.colors, axis=0)) == 2


def test_a_face_that_no_photograph_sees_is_said():
    words = face_words(FACE)
    assert words[0] == "plane 0"
    assert "seen in no photograph: not measured" in words
    assert "relations: 1" in words


DAMAGES = [
    pytest.param(lambda a: a.pop("face"), "face is missing", id="an array is missing"),
    pytest.param(lambda a: a.update(triangles=a["triangles"] + 10**6), "do not belong together", id="vertices that are not there"),
    pytest.param(lambda a: a.update(face=a["face"] + 7), "do not belong together", id="faces that the report does not know"),
    pytest.param(lambda a: a.update(edge_lengths=a["edge_lengths"] + 1), "do not belong together", id="edges longer than their points"),
    pytest.param(lambda a: a.update(vertices=a["vertices"][:, :2]), r"vertices: \(", id="flat"),
]


@pytest.mark.parametrize(("damage", "said"), DAMAGES)
def test_a_damaged_drawing_is_refused(damage, said: str, tmp_path: Path):
    arrays = dict(np.load(written(tmp_path) / FILE))
    damage(arrays)
    np.savez(tmp_path / FILE, **arrays)
    with pytest.raises(DataError, match=said):
        load_view(tmp_path)
