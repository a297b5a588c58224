"""Rays and pictures of meshes against analytic spheres and boxes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from recon.data.scene import Camera
from recon.geometry import Similarity
from recon.rendering.meshes import over, render_mesh, turntable_cameras
from recon.surface.mesh import Mesh, transform_mesh, vertex_normals
from recon.surface.raycast import cast, ray_scene, visible


def from_trimesh(m: trimesh.Trimesh) -> Mesh:
    mesh = Mesh(np.array(m.vertices, np.float64), np.array(m.faces, np.int32))
    return replace(mesh, normals=vertex_normals(mesh))


BALL = from_trimesh(trimesh.creation.icosphere(6))
BOX = from_trimesh(trimesh.creation.box((2.0, 2.0, 2.0)))
# Looks along +x from (-5, 0, 0): image right is -y, image down is -z.
CAMERA = Camera(120, 90, 200.0, 200.0, 63.0, 41.0, np.array([[0, 0, 1.0, -5], [-1, 0, 0, 0], [0, -1, 0, 0]]))


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_depth_and_normals_of_a_ball(offset):
    mesh = transform_mesh(BALL, Similarity(translation=np.array([offset, 0, 0])))
    camera = replace(CAMERA, world_from_camera=CAMERA.world_from_camera + np.array([[0, 0, 0, offset], [0] * 4, [0] * 4]))
    picture = render_mesh(mesh, camera)
    hit = picture["face"] >= 0
    y, x = np.mgrid[:90, :120] + 0.5
    _, d = CAMERA.rays(np.stack([x, y], axis=-1))
    b = d @ np.array([5.0, 0, 0])
    discriminant = b * b - 24
    inner = discriminant > 0.05
    assert hit[inner].all()
    assert not hit[discriminant < 0].any()
    t = b - np.sqrt(np.maximum(discriminant, 0))
    np.testing.assert_allclose(picture["depth"][inner], t[inner], atol=2e-3)
    points = t[..., None] * d - [5.0, 0, 0]
    np.testing.assert_allclose(picture["normal"][inner], points[inner], atol=0.01)
    assert (picture["depth"][~hit] == 0).all()


def test_alpha_is_the_covered_area():
    """A square of 2 x 2 at distance 4 covers 100 x 100 pixels, from 13 to 113 across and from -9 to 91 down: its sides cut no pixel."""
    camera = replace(CAMERA, cx=63.25)
    picture = render_mesh(BOX, camera, supersample=4, ambient_rays=0)
    np.testing.assert_allclose(picture["alpha"][45, 12:15], [0, 0.75, 1])
    np.testing.assert_allclose(picture["alpha"][45, 112:115], [1, 0.25, 0])
    assert picture["alpha"][:, 20:100].min() == 1


def test_colors_are_looked_up_where_they_are():
    """Right in the picture is -y in the world."""
    colors = np.where(BOX.vertices[:, 1:2] < 0, [[255, 0, 0]], [[0, 0, 255]]).astype(np.uint8)
    picture = render_mesh(replace(BOX, colors=colors), CAMERA, shading="color")
    assert picture["rgb"][41, 110, 0] > 0.9
    assert picture["rgb"][41, 16, 2] > 0.9
    uv = np.stack([(1 - BOX.vertices[:, 1]) / 2, (BOX.vertices[:, 2] + 1) / 2], axis=1)
    texture = np.zeros((4, 4, 3), np.uint8)
    texture[0, 3] = 255  # top right
    picture = render_mesh(replace(BOX, uv=uv, texture=texture), CAMERA, shading="color")
    assert picture["rgb"][5, 108].min() > 0.5
    assert picture["rgb"][70, 30].max() == 0


@pytest.mark.parametrize("shading", ["normals", "clay", "color"])
def test_every_shading_of_every_mesh(shading):
    picture = render_mesh(BALL, CAMERA, shading=shading)
    assert picture["rgb"].min() >= 0
    assert picture["rgb"].max() <= 1
    assert over(picture)[0, 0].tolist() == [255, 255, 255]
    assert over(picture)[41, 63].tolist() != [255, 255, 255]
    empty = render_mesh(Mesh.empty(), CAMERA, shading=shading)
    assert empty["alpha"].max() == 0


def test_same_picture_twice():
    np.testing.assert_array_equal(render_mesh(BALL, CAMERA)["rgb"], render_mesh(BALL, CAMERA)["rgb"])


def test_turntable_shows_all_of_the_mesh():
    mesh = transform_mesh(BOX, Similarity(30.0, np.eye(3), np.array([500.0, 0, 0])))
    cameras = turntable_cameras(mesh, 5, size=64, elevation_deg=25)
    assert len(cameras) == 5
    for camera in cameras:
        alpha = render_mesh(mesh, camera, shading="normals")["alpha"]
        border = np.concatenate([alpha[0], alpha[-1], alpha[:, 0], alpha[:, -1]])
        assert border.max() == 0
        assert (alpha > 0).mean() > 0.15
        assert camera.world_from_camera[2, 1] < 0  # image down is world down


def test_hits():
    scene = ray_scene(BOX)
    hits = cast(scene, np.array([[-5.0, 0.3, 0.2], [-5, 3, 0]]), np.array([[1.0, 0, 0], [1, 0, 0]]))
    assert hits.distance.tolist() == [4.0, np.inf]
    assert hits.hit.tolist() == [True, False]
    corner = BOX.vertices[BOX.faces[hits.face[0]]]
    np.testing.assert_allclose(hits.barycentric[0] @ corner, [-1, 0.3, 0.2], atol=1e-12)
    assert len(cast(scene, np.zeros((0, 3)), np.zeros((0, 3))).face) == 0


def test_rays_meet_no_gap_between_faces():
    """Rays from outside at points very near the vertices and the edges of a fine ball hit its near side."""
    corners = BALL.vertices[BALL.faces]
    targets = np.concatenate([BALL.vertices, (corners[:, 0] + corners[:, 1]) / 2])
    targets = targets + 1e-4 * np.random.default_rng(0).standard_normal(targets.shape)
    hits = cast(ray_scene(BALL), targets * 4, -targets / np.linalg.norm(targets, axis=1, keepdims=True))
    assert hits.hit.all()
    np.testing.assert_allclose(hits.distance, 3, atol=2e-3)


def test_visibility():
    points = np.array([[-1.0, 0.1, 0.2], [1.0, 0.1, 0.2]])
    assert visible(ray_scene(BOX), points, np.array([-5.0, 0, 0]), 1e-6).tolist() == [True, False]
