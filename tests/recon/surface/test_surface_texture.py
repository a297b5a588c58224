"""Atlas, baking from a function and from photographs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from recon.data.scene import Camera, View
from recon.errors import DataError, UsageError
from recon.surface.atlas import fill_gutters, rasterize, unwrap
from recon.surface.mesh import Mesh, face_areas, vertex_normals
from recon.surface.photographs import photograph_color
from recon.surface.raycast import cast, ray_scene
from recon.surface.simplify import simplify
from recon.surface.texture import bake_texture, color_vertices, sample_texture, textured_mesh


def from_trimesh(m: trimesh.Trimesh) -> Mesh:
    mesh = Mesh(np.array(m.vertices, np.float64), np.array(m.faces, np.int32))
    return replace(mesh, normals=vertex_normals(mesh))


def waves(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    return 0.5 + 0.4 * np.sin(3 * points)


def look_at(eye, target=(0.0, 0.0, 0.0), size=128, focal=150.0) -> Camera:
    eye, target = np.asarray(eye, np.float64), np.asarray(target, np.float64)
    z = (target - eye) / np.linalg.norm(target - eye)
    x = np.cross(z, [0.0, 0.0, 1.0])
    x /= np.linalg.norm(x)
    pose = np.stack([x, np.cross(z, x), z, eye], axis=1)
    return Camera(size, size, focal, focal, size / 2, size / 2, pose)


def photograph(mesh: Mesh, camera: Camera, color) -> np.ndarray:
    """RGBA by ray casting, independent of the project's own mesh renderer."""
    pixels = np.stack(np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5), axis=-1).reshape(-1, 2)
    origins, directions = camera.rays(pixels)
    hits = cast(ray_scene(mesh), origins, directions)
    points = origins + np.where(np.isfinite(hits.distance), hits.distance, 0)[:, None] * directions
    rgba = np.zeros((len(pixels), 4))
    rgba[hits.hit, :3] = color(points[hits.hit], points[hits.hit])
    rgba[:, 3] = hits.hit
    return np.rint(rgba * 255).astype(np.uint8).reshape(camera.height, camera.width, 4)


BALL = from_trimesh(trimesh.creation.icosphere(4))
EYES = [(3, 0, 0.1), (-3, 0, 0.1), (0, 3, 0.1), (0, -3, 0.1), (0.1, 0, 3), (0.1, 0, -3), (2, 2, 1), (-2, -2, 1), (2, -2, -1), (-2, 2, -1)]


def test_rasterised_area_matches_the_atlas():
    mesh = unwrap(BALL, 256)
    assert mesh.uv is not None
    texels = rasterize(mesh.uv, mesh.faces, 256)
    triangles = Mesh(np.concatenate([mesh.uv, np.zeros((len(mesh.uv), 1))], axis=1), mesh.faces)
    assert len(texels.face) == pytest.approx(face_areas(triangles).sum() * 256**2, rel=0.02)
    # The weights give back the texel's own centre.
    uv = np.einsum("nk,nkd->nd", texels.barycentric, mesh.uv[mesh.faces[texels.face]])
    np.testing.assert_allclose(uv[:, 0], (texels.column + 0.5) / 256, atol=1e-6)
    np.testing.assert_allclose(uv[:, 1], 1 - (texels.row + 0.5) / 256, atol=1e-6)


def test_rasterise_two_triangles_exactly():
    uv = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])
    texels = rasterize(uv, np.array([[0, 1, 2], [0, 2, 3]]), 8)
    assert len(texels.face) == 64
    on_or_above = (8 - texels.row) >= texels.column + 1  # the diagonal itself goes to the face with the greater index
    np.testing.assert_array_equal(texels.face, on_or_above.astype(np.int32))


def test_unwrapping_keeps_the_surface():
    mesh = unwrap(BALL, 256)
    np.testing.assert_array_equal(mesh.vertices[mesh.faces].reshape(-1, 9).round(12), BALL.vertices[BALL.faces].reshape(-1, 9).round(12))
    assert mesh.uv is not None
    assert mesh.uv.min() >= 0
    assert mesh.uv.max() <= 1


def test_baked_texture_gives_back_the_function():
    mesh = textured_mesh(simplify(BALL, 3000), waves, resolution=512)
    assert mesh.texture is not None
    assert mesh.uv is not None
    assert len(mesh.faces) <= 3000
    rng = np.random.default_rng(0)
    face = rng.integers(len(mesh.faces), size=20_000)
    w = rng.dirichlet([1, 1, 1], size=len(face))
    points = np.einsum("nk,nkd->nd", w, mesh.vertices[mesh.faces[face]])
    uv = np.einsum("nk,nkd->nd", w, mesh.uv[mesh.faces[face]])
    error = np.abs(sample_texture(mesh.texture, uv) - waves(points, points))
    assert error.mean() < 4e-3
    assert error.max() < 0.06  # also across the seams: the gutters are filled


def test_gutters_take_the_nearest_texel():
    picture = np.zeros((5, 5, 1), np.uint8)
    covered = np.zeros((5, 5), bool)
    picture[0, 0], picture[4, 4] = 10, 20
    covered[0, 0] = covered[4, 4] = True
    filled = fill_gutters(picture, covered)[..., 0]
    assert filled[1, 1] == 10
    assert filled[3, 3] == 20
    assert set(np.unique(filled)) == {10, 20}


def test_unknown_colours_come_from_the_nearest_known_point():
    def half(points, normals):
        out = np.tile(np.where(points[:, :1] > 0, [[1.0, 0.0, 0.0]], [[0.0, 0.0, 1.0]]), 1)
        out[np.abs(points[:, 0]) < 0.5] = np.nan
        return out

    colors = color_vertices(BALL, half).colors
    assert colors is not None
    np.testing.assert_array_equal(colors[BALL.vertices[:, 0] > 0.05][:, 0], 255)
    np.testing.assert_array_equal(colors[BALL.vertices[:, 0] < -0.05][:, 2], 255)
    with pytest.raises(DataError):
        color_vertices(BALL, lambda p, n: np.full((len(p), 3), np.nan))
    with pytest.raises(DataError):
        bake_texture(unwrap(BALL, 64), lambda p, n: np.full((len(p), 3), np.nan), resolution=64)
    with pytest.raises(UsageError):
        bake_texture(BALL, waves)
    with pytest.raises(UsageError):
        unwrap(Mesh.empty())


@pytest.fixture(scope="module")
def views() -> list[View]:
    cameras = [look_at(eye) for eye in EYES]
    return [View(f"{i}.png", photograph(BALL, c, waves), c, "train") for i, c in enumerate(cameras)]


def test_photographs_give_back_the_colours(views):
    points = BALL.vertices
    assert BALL.normals is not None
    colors = photograph_color(BALL, views)(points, BALL.normals)
    assert np.isfinite(colors).all()
    error = np.abs(colors - waves(points, points))
    assert error.mean() < 5e-3
    assert error.max() < 0.04


def test_one_wrong_photograph_leaves_little_trace(views):
    wrong = views[6].image.copy()
    wrong[..., :3] = 255
    spoiled = [*views[:6], replace(views[6], image=wrong), *views[7:]]
    points = BALL.vertices
    assert BALL.normals is not None
    seen_by_three = (points @ np.array([2, 2, 1]) / 3 > 0.8) & (points.min(1) > 0.2)
    assert seen_by_three.sum() > 10
    error = np.abs(photograph_color(BALL, spoiled)(points, BALL.normals) - waves(points, points))[seen_by_three]
    assert error.max() < 0.05


def test_hidden_points_take_nothing_from_what_hides_them(views):
    """A wall between the ball and the first camera: the ball is not coloured with the wall."""
    wall = from_trimesh(trimesh.creation.box((0.1, 4, 4), transform=trimesh.transformations.translation_matrix((2, 0, 0))))
    both = Mesh(np.concatenate([BALL.vertices, wall.vertices]), np.concatenate([BALL.faces, wall.faces + len(BALL.vertices)]))
    grey = View("wall.png", np.full((128, 128, 3), 128, np.uint8), look_at((4, 0, 0.1)), "train")
    colors = photograph_color(both, [grey])(np.array([[1.0, 0, 0], [2.05, 0, 0]]), np.array([[1.0, 0, 0], [1.0, 0, 0]]))
    assert np.isnan(colors[0]).all()
    np.testing.assert_allclose(colors[1], 128 / 255, atol=1e-6)


def test_masks_can_be_ignored(views):
    masked = replace(views[0], mask=np.zeros(views[0].image.shape[:2], np.uint8))
    point, normal = np.array([[1.0, 0, 0]]), np.array([[1.0, 0, 0]])
    assert np.isnan(photograph_color(BALL, [masked])(point, normal)).all()
    assert np.isfinite(photograph_color(BALL, [masked], use_masks=False)(point, normal)).all()


def ramp(width: int, height: int) -> np.ndarray:
    """A picture whose every channel is column + 10 row: between the centres of its pixels it is linear, and off by half a pixel nowhere
    equal to itself. [height, width, 3] uint8"""
    rows, columns = np.mgrid[:height, :width]
    return np.repeat((columns + 10 * rows)[..., None], 3, axis=2).astype(np.uint8)


# Continuous positions in a picture of 20 x 12, pixels: centres, between centres, and the outermost centres.
PLACES = np.array([[0.5, 0.5], [7.5, 3.5], [8.0, 3.5], [7.5, 4.0], [12.31, 6.87], [1.02, 11.4], [19.5, 11.5]])
SHOWN = (PLACES[:, 0] - 0.5 + 10.0 * (PLACES[:, 1] - 0.5)) / 255.0


def test_photographs_are_looked_up_to_the_hundredth_of_a_pixel():
    """A square in front of an oblique camera with its principal point aside; where a point falls in the picture is worked out here."""
    rotation = np.array([[2.0, -2.0, 1.0], [1.0, 2.0, 2.0], [-2.0, -1.0, 2.0]]) / 3.0  # columns: the camera's axes in the world
    center, fx, fy, cx, cy, depth = np.array([3.0, -1.0, 2.0]), 31.0, 29.0, 9.2, 6.7, 5.0
    view = View("ramp.png", ramp(20, 12), Camera(20, 12, fx, fy, cx, cy, np.column_stack([rotation, center])), "train")

    def in_world(pixels: np.ndarray) -> np.ndarray:
        x, y = (pixels[:, 0] - cx) / fx, (pixels[:, 1] - cy) / fy
        return center + depth * np.stack([x, y, np.ones_like(x)], axis=1) @ rotation.T

    corners = in_world(np.array([[-5.0, -5.0], [25.0, -5.0], [25.0, 17.0], [-5.0, 17.0]]))
    square = Mesh(corners, np.array([[0, 2, 1], [0, 3, 2]], np.int32))
    normals = np.tile(-rotation[:, 2], (len(PLACES), 1))
    found = photograph_color(square, [view])(in_world(PLACES), normals)
    np.testing.assert_allclose(found, np.repeat(SHOWN[:, None], 3, axis=1), atol=0.01 / 255.0)
    # Beyond the outermost centres there is nothing to interpolate between.
    outside = np.array([[0.49, 6.0], [19.51, 6.0], [10.0, 0.49], [10.0, 11.51]])
    assert np.isnan(photograph_color(square, [view])(in_world(outside), normals[:4])).all()


def test_textures_are_looked_up_to_the_hundredth_of_a_texel():
    """The texel in column i and row j from the top has its centre at u = (i + 0.5) / width, v = 1 - (j + 0.5) / height."""
    uv = np.stack([PLACES[:, 0] / 20.0, 1.0 - PLACES[:, 1] / 12.0], axis=1)
    np.testing.assert_allclose(sample_texture(ramp(20, 12), uv), np.repeat(SHOWN[:, None], 3, axis=1), atol=0.01 / 255.0)
    corners = sample_texture(ramp(20, 12), np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]))[:, 0] * 255.0
    np.testing.assert_allclose(corners, [0.0, 19.0, 110.0, 129.0], atol=1e-9)  # up to the rim the outermost texel goes on
