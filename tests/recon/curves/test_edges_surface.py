"""Edges of a surface: creases, steps and outlines of meshes whose edges are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import trimesh

from recon.curves.edges2d.edges import KIND_CREASE, KIND_SILHOUETTE, KIND_STEP, find_edges
from recon.curves.edges2d.ridges import edge_points, joined, no_points
from recon.curves.edges2d.surface_given import OUTLINE_ONLY, SURFACE_ONLY, explained, prepare, surface_points
from recon.data.scene import Camera, Scene, View
from recon.errors import UsageError
from recon.geometry import Similarity, look_at
from recon.rendering.meshes import render_mesh
from recon.surface.mesh import Mesh

CENTER = np.array([3.0, -2.0, 5.0])
EVERYWHERE = np.ones((160, 160), bool)


def camera(eye: tuple[float, float, float], size: int = 160) -> Camera:
    return Camera(
        size, size, 1.6 * size, 1.6 * size, size / 2, size / 2, look_at(CENTER + np.array(eye), CENTER, np.array([0.0, 0.0, 1.0]))
    )


def mesh_of(shape: trimesh.Trimesh) -> Mesh:
    return Mesh(np.asarray(shape.vertices) + CENTER, np.asarray(shape.faces, np.int32))


def joined_mesh(a: Mesh, b: Mesh) -> Mesh:
    return Mesh(np.concatenate([a.vertices, b.vertices]), np.concatenate([a.faces, b.faces + len(a.vertices)]).astype(np.int32))


def box_edges(half: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Points on the twelve edges of a cube, and the direction of each."""
    t = np.linspace(-half, half, 400)
    points, directions = [], []
    for axis in range(3):
        others = [k for k in range(3) if k != axis]
        for a in (-half, half):
            for b in (-half, half):
                p = np.zeros((400, 3))
                p[:, axis], p[:, others[0]], p[:, others[1]] = t, a, b
                points.append(p)
                directions.append(np.tile(np.eye(3)[axis], (400, 1)))
    return np.concatenate(points) + CENTER, np.concatenate(directions)


@pytest.mark.parametrize("eye", [(3.0, 2.0, 1.5), (0.5, 3.0, 2.2)])
@pytest.mark.parametrize("fine", [True, False])
def test_all_edges_of_a_cube(eye: tuple[float, float, float], fine: bool):
    """A cube of twelve triangles, and one as marching cubes would give it: the nine visible edges, and nothing else."""
    box = trimesh.creation.box((1, 1, 1))
    shape = trimesh.Trimesh(*trimesh.remesh.subdivide_to_size(box.vertices, box.faces, 0.02)[:2]) if fine else box
    view = camera(eye)
    found = surface_points(prepare(mesh_of(shape)), view, EVERYWHERE)
    points, directions = box_edges()
    # an edge of a convex solid is seen if one of its faces is
    local = points - CENTER
    seen = np.zeros(len(points), bool)
    for axis in range(3):
        for side in (-0.5, 0.5):
            face = np.abs(local[:, axis] - side) < 1e-9
            seen |= face & (np.sign(side) * (np.array(eye)[axis] - side * np.sign(side) * np.sign(side)) > 0)
    true, ahead = view.project(points[seen])[0], view.project(points[seen] + 1e-4 * directions[seen])[0]
    distance = np.linalg.norm(found.points[:, None] - true[None], axis=2)
    assert distance.min(1).max() < 1.0
    assert distance.min(1).mean() < 0.25
    assert np.quantile(distance.min(0), 0.98) < 2.0
    tangent = (ahead - true) / np.linalg.norm(ahead - true, axis=1, keepdims=True)
    assert np.median(np.abs((tangent[distance.argmin(1)] * found.normals).sum(1))) < 0.1
    # the outline of a cube runs along creases
    assert (found.kinds == KIND_CREASE).mean() > 0.9


def test_outlines_of_smooth_surfaces_are_told_from_creases():
    """A cylinder: its two sides are outlines that slide over it, the rims of its ends are creases."""
    cylinder = mesh_of(trimesh.creation.cylinder(radius=0.4, height=1.0, sections=64))
    view = camera((0.0, 3.0, 1.2))
    found = surface_points(prepare(cylinder), view, EVERYWHERE)
    angle = np.linspace(0, 2 * np.pi, 800)
    rims = [np.stack([0.4 * np.cos(angle), 0.4 * np.sin(angle), np.full(800, z)], 1) + CENTER for z in (-0.5, 0.5)]
    to_rim = np.linalg.norm(found.points[:, None] - view.project(np.concatenate(rims))[0][None], axis=2).min(1)
    smooth = found.kinds == KIND_SILHOUETTE
    assert smooth.sum() > 100
    assert (to_rim[smooth] > 3).mean() > 0.85
    assert (found.kinds[to_rim > 8] == KIND_SILHOUETTE).mean() > 0.9
    assert (found.kinds[to_rim < 1] == KIND_SILHOUETTE).mean() < 0.15
    sphere = surface_points(prepare(mesh_of(trimesh.creation.icosphere(4, 0.5))), view, EVERYWHERE)
    assert (sphere.kinds == KIND_SILHOUETTE).all()
    assert len(sphere) > 200


def test_one_part_before_another_is_a_step():
    """A small plate in front of a large one: its four sides are steps, where neither the outline nor a crease of one face is."""
    back = trimesh.creation.box((1.2, 0.05, 1.2))
    front = trimesh.creation.box((0.5, 0.05, 0.5), transform=trimesh.transformations.translation_matrix([0, 0.5, 0]))
    view = camera((0.0, 4.0, 0.0))
    found = surface_points(prepare(joined_mesh(mesh_of(back), mesh_of(front))), view, EVERYWHERE)
    corner = view.project(CENTER + np.array([[0.25, 0.525, 0.25]]))[0][0]
    reach = abs(corner - 80)
    away = np.abs(np.abs(found.points - 80) - reach)
    near = (np.minimum(away[:, 0], away[:, 1]) < 1) & (np.abs(found.points - 80) < reach + 1).all(1)
    steps = found.kinds == KIND_STEP
    assert steps.sum() > 4 * 2 * reach.mean() * 0.85
    assert near[steps].mean() > 0.97


def test_the_photograph_decides_where_and_the_surface_which():
    x = np.arange(10.0, 60.0)
    across = np.tile([0.0, 1.0], (50, 1))
    rough = edge_points(np.stack([x, 30 + 0.8 * np.sin(x)], 1), across, np.ones(50), KIND_CREASE)
    unseen = edge_points(np.stack([x, np.full(50, 45.0)], 1), across, np.ones(50), KIND_STEP)
    sharp = edge_points(np.stack([x, np.full(50, 30.2)], 1), across, np.full(50, 0.9), 0)
    painted = edge_points(np.stack([x, np.full(50, 12.0)], 1), across, np.ones(50), 0)
    crossing = edge_points(np.stack([np.full(40, 80.0), np.arange(40.0)], 1), np.tile([1.0, 0.0], (40, 1)), np.ones(40), 1)
    seen = joined([sharp, painted, crossing])
    found = explained(joined([rough, unseen]), seen, np.arange(len(seen)) >= 100)
    at_30 = np.abs(found.points[:, 1] - 30.2) < 1e-3
    assert (found.kinds[at_30 & (found.points[:, 0] < 79)] == KIND_CREASE).all()
    assert (at_30 & (found.points[:, 0] < 79)).sum() == 50
    assert not (np.abs(found.points[:, 1] - 12.0) < 1e-3)[found.points[:, 0] < 79].any()
    alone = np.abs(found.points[:, 1] - 45.0) < 1e-3
    np.testing.assert_allclose(found.weights[alone & (found.points[:, 0] < 79)], SURFACE_ONLY)
    outline = found.points[:, 0] == 80
    assert outline.sum() == 40
    np.testing.assert_allclose(found.weights[outline], OUTLINE_ONLY)
    assert len(explained(no_points(), no_points(), np.zeros(0, bool))) == 0


def box_scene(folder: Path, box: Mesh) -> Scene:
    views = []
    for i in range(4):
        c = camera((3 * np.cos(i), 3 * np.sin(i), 1.0 + 0.3 * i))
        picture = render_mesh(box, c, supersample=3, ambient_rays=0)
        pixels = np.concatenate([picture["rgb"], picture["alpha"][..., None]], 2)
        views.append(View(f"{i}.png", np.rint(255 * pixels).astype(np.uint8), c, "train"))
    return Scene("box", folder, "test", tuple(views), Similarity(1.0, np.eye(3), CENTER), "alpha")


def test_a_run_guides_the_edges_of_a_scene(tmp_path: Path):
    box = trimesh.creation.box((1, 1, 1))
    scene = box_scene(tmp_path, mesh_of(box))
    # the run's surface is a little off
    rough = trimesh.Trimesh(box.vertices * 0.99 + CENTER, box.faces, process=False)
    (tmp_path / "run" / "exports").mkdir(parents=True)
    rough.export(tmp_path / "run" / "exports" / "mesh.ply")
    edges = find_edges(scene, f"surface:{tmp_path / 'run'}")
    assert edges.mesh == (tmp_path / "run" / "exports" / "mesh.ply").resolve()
    assert edges.source.startswith("surface: ")
    assert not edges.offset_free
    points, _ = box_edges()
    for view in edges.views:
        strong = view.weights > SURFACE_ONLY + 0.01
        assert strong.mean() > 0.6  # two faces of a view may be equally bright
        distance = np.linalg.norm(view.points[strong][:, None] - view.camera.project(points)[0][None], axis=2).min(1)
        assert distance.mean() < 0.3  # samples of the truth are a third of a pixel apart; the mesh is a pixel off
        assert view.strength.max() == 1
    away = replace(scene, world_from_scene=Similarity(1.0, np.eye(3), CENTER + 10))
    with pytest.raises(UsageError, match="not a surface of this scene"):
        find_edges(away, f"surface:{tmp_path / 'run'}")


def test_a_mesh_out_of_sight_has_no_edges():
    guide = prepare(mesh_of(trimesh.creation.box((1, 1, 1))))
    behind = replace(camera((3.0, 0.0, 0.0)), world_from_camera=look_at(CENTER + 3 * np.eye(3)[0], CENTER + 9 * np.eye(3)[0], np.eye(3)[2]))
    assert len(surface_points(guide, behind, EVERYWHERE)) == 0
    assert len(surface_points(guide, camera((3.0, 0.0, 0.0)), ~EVERYWHERE)) == 0
