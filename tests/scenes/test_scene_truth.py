"""Every built-in scene: its surface is closed, its curves lie on it and are all of its sharp edges."""

import numpy as np
import pytest
from scipy.spatial import KDTree

import scenes
from recon.errors import UsageError
from scenes.catalog import CATALOG
from scenes.making import organic
from scenes.making.solid import Solid, edge_counts, from_triangles, load_mesh, save_mesh, signed_volume

CAD = [e.name for e in CATALOG if e.kind == "cad"]
ORGANIC = [e.name for e in CATALOG if e.kind == "organic"]


def test_there_are_enough_scenes_and_names_are_unique():
    assert len(CAD) >= 12
    assert len(ORGANIC) >= 6
    assert len(set(scenes.names())) == len(CATALOG)
    kinds = {c.type for name in CAD for c in scenes.truth(name).curves}
    assert kinds == {"line", "arc", "circle", "ellipse", "bezier"}


@pytest.mark.parametrize("name", CAD)
def test_cad_mesh_is_closed_outward_and_smooth_normals_fit(name):
    solid = scenes.truth(name).solid
    assert edge_counts(solid.faces) == (0, 0, 0)
    assert signed_volume(solid.vertices, solid.faces) > 0
    corners = solid.vertices[solid.faces]
    flat = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(flat, axis=1)
    flat /= np.maximum(area, 1e-12)[:, None]
    smooth = solid.normals[solid.normal_faces]
    cosine = np.einsum("fi,fki->fk", flat, smooth).min(1)
    assert (area * (cosine < np.cos(0.2))).sum() < 1e-3 * area.sum()  # slivers next to trimming curves may lean more
    # not normalised: the world must matter
    assert solid.diagonal > 50
    assert np.linalg.norm(solid.center) > 10


def _sharp_mesh_edges(solid: Solid, threshold_rad: float) -> np.ndarray:
    """Segments [E, 2, 3] between triangles whose smooth normals differ at both ends."""
    turn = np.array([[0, 1], [1, 2], [2, 0]])
    ends = solid.faces[:, turn].reshape(-1, 2)
    normals = solid.normals[solid.normal_faces[:, turn].reshape(-1, 2)]
    order = np.argsort(ends, axis=1)
    ends, normals = np.take_along_axis(ends, order, 1), np.take_along_axis(normals, order[..., None], 1)
    sort = np.lexsort((ends[:, 1], ends[:, 0]))
    a, b = sort[0::2], sort[1::2]
    assert (ends[a] == ends[b]).all()
    bend = np.arccos(np.clip((normals[a].astype(float) * normals[b]).sum(-1), -1, 1))
    return solid.vertices[ends[a][(bend > threshold_rad).all(1)]]


@pytest.mark.parametrize("name", CAD)
def test_curves_are_exactly_the_sharp_edges_of_the_mesh(name):
    """Both ways: no curve off the mesh's creases, no crease without a curve."""
    known = scenes.truth(name)
    tolerance = 2e-4 * known.diagonal
    spacing = 2e-3 * known.diagonal
    points = np.concatenate([c.sample(spacing)[0] for c in known.curves])
    edges = _sharp_mesh_edges(known.solid, 0.06)
    middle = edges.mean(1)
    # crease -> curve: the polyline through dense samples is as near as half their spacing squared over the radius
    fine = np.concatenate([c.sample(spacing / 8)[0] for c in known.curves])
    assert KDTree(fine).query(middle)[0].max() < tolerance + spacing / 16
    # curve -> crease: points spread along the crease edges
    lengths = np.linalg.norm(edges[:, 1] - edges[:, 0], axis=1)
    count = np.maximum(np.ceil(lengths / (spacing / 8)).astype(int), 1)
    number = np.repeat(np.arange(len(edges)), count + 1)
    first = np.repeat(np.cumsum(count + 1) - count - 1, count + 1)
    t = (np.arange(len(number)) - first) / count[number]
    dense = edges[number, 0] + t[:, None] * (edges[number, 1] - edges[number, 0])
    assert KDTree(dense).query(points)[0].max() < tolerance + spacing / 16


@pytest.mark.parametrize("name", CAD)
def test_curves_meet_at_shared_vertices(name):
    known = scenes.truth(name)
    ends = known.solid.curve_vertices
    if len(ends) > 1:
        gap, _ = KDTree(ends).query(ends, k=2)
        assert gap[:, 1].min() > 1e-4 * known.diagonal  # no junction twice
    for curve in (*known.curves, *known.tangent_curves):
        first, last = curve.control_points[0], curve.control_points[-1]
        if curve.vertices is None:
            np.testing.assert_allclose(first, last, atol=1e-6 * known.diagonal)
        else:
            np.testing.assert_allclose([first, last], ends[list(curve.vertices)], atol=2e-6 * known.diagonal)
        assert (curve.dihedral_rad > 0.08) == (curve.label == "sharp")
        assert curve.length > 1e-3 * known.diagonal
    used = {v for c in (*known.curves, *known.tangent_curves) for v in c.vertices or ()}
    assert used == set(range(len(ends)))


def test_the_bracket_is_what_the_drawing_says():
    known = scenes.truth("scenes:bracket")
    assert known.unit == "mm"
    np.testing.assert_allclose(known.solid.bounds, [[70, -75, 60], [170, -15, 145]], atol=1e-4)
    radii = sorted(round(c.parameters["radius"], 6) for c in known.curves if c.type == "circle")
    # two rims each of four holes (4.5) and four counterbores (8), of the bore (13), its chamfers (14.5) and the boss (20)
    assert radii == [4.5] * 8 + [8.0] * 8 + [13.0] * 2 + [14.5] * 2 + [20.0] * 2
    assert {c.label for c in known.tangent_curves} == {"fillet_boundary"}
    # the bore: vertices exactly on its cylinder, edges' middles within the chord error
    offset = known.vertices - (120, 0, 115)
    bore = np.flatnonzero((np.abs(np.hypot(offset[:, 0], offset[:, 2]) - 13) < 1e-3) & (np.abs(offset[:, 1] + 26) < 15))
    assert len(bore) > 80
    inside = np.isin(known.faces, bore).all(1)
    middle = known.vertices[known.faces[inside][:, [0, 1, 1, 2, 2, 0]]].reshape(-1, 2, 3).mean(1) - (120, 0, 115)
    assert (13 - np.hypot(middle[:, 0], middle[:, 2])).max() < 1e-4 * known.diagonal


@pytest.mark.parametrize(("name", "cells"), [*((n, 72) for n in ORGANIC), ("knot", 144), ("rings", 144)])
def test_organic_mesh_is_closed_and_lies_on_its_formula(name, cells):
    solid = organic.solid(name, cells)
    assert edge_counts(solid.faces) == (0, 0, 0)
    assert signed_volume(solid.vertices, solid.faces) > 0
    error = organic.facet_errors(name, solid) / solid.diagonal
    assert np.quantile(error, 0.99) < 3e-4 * (144 / cells) ** 2
    shape = organic.SHAPES[name]
    local = (solid.vertices - np.array(shape.place)) / shape.scale
    assert np.abs(shape.formula(local)).max() < 1e-6
    assert (np.abs(local).max(0) < np.array(shape.half)).all()  # the box cuts nothing off
    outward = shape.formula(local + 1e-3 * solid.normals[_one_corner(solid)])
    assert (outward > 0).all()


def _one_corner(solid: Solid) -> np.ndarray:
    """For each vertex the number of one of its normals."""
    result = np.zeros(len(solid.vertices), int)
    result[solid.faces.ravel()] = solid.normal_faces.ravel()
    return result


def test_organic_scenes_are_served_like_the_others():
    known = scenes.truth("rings")
    assert known.curves == ()
    assert known.step is None
    assert known.unit == "mm"


def test_the_ball_about_a_solid_is_nearly_the_smallest():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(500, 3))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points[points[:, 2] < -0.2] *= 0.4  # the box's centre is off
    faces = np.array([[0, 1, 2]], np.int32)
    solid = Solid(points + 7, faces, np.zeros((1, 3), np.float32), faces * 0, np.zeros(1, np.int32), np.zeros((0, 3)))
    assert 1 - 1e-9 < solid.radius / np.linalg.norm(points, axis=1).max() < 1.01
    assert np.linalg.norm(solid.center - 7) < 0.02


def test_mesh_file_keeps_positions_and_normals(tmp_path):
    solid = scenes.truth("nut").solid
    save_mesh(tmp_path / "mesh.npz", solid)
    back = load_mesh(tmp_path / "mesh.npz")
    np.testing.assert_allclose(back.vertices, solid.vertices, atol=1e-5)
    np.testing.assert_array_equal(back.faces, solid.faces)
    np.testing.assert_allclose(back.normals, solid.normals, atol=5e-5)


def test_normals_of_a_bare_mesh_are_smooth_on_a_ball_and_flat_on_a_box():
    import trimesh

    ball = trimesh.creation.icosphere(subdivisions=4)
    solid = from_triangles(ball.vertices, ball.faces, 0.6)
    assert np.abs(solid.normals[solid.normal_faces] - ball.vertices[ball.faces]).max() < 0.01
    box = trimesh.creation.box()
    solid = from_triangles(box.vertices, box.faces, 0.6)
    np.testing.assert_allclose(solid.normals[solid.normal_faces], np.repeat(box.face_normals[:, None], 3, 1), atol=1e-4)


@pytest.mark.parametrize("name", ["scenes:nothing", "", "../bracket"])
def test_unknown_names_are_refused_and_the_known_listed(name):
    with pytest.raises(UsageError, match="bracket"):
        scenes.truth(name)
