"""Atlas, baking from a function and from photographs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse
import trimesh

from recon.data.scene import Camera, View
from recon.errors import UsageError
from recon.surface import photographs, texel_equations
from recon.surface.atlas import fill_gutters, rasterize, unwrap
from recon.surface.mesh import Mesh, face_areas, vertex_normals
from recon.surface.photographs import best_texture, paint_from_photographs
from recon.surface.raycast import cast, ray_scene
from recon.surface.simplify import simplify
from recon.surface.texture import bake_texture, color_vertices, sample_texture, texture_color


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
    mesh = bake_texture(unwrap(simplify(BALL, 3000), 512), waves, resolution=512)
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


def test_what_has_no_atlas_has_no_texture():
    with pytest.raises(UsageError):
        bake_texture(BALL, waves)
    with pytest.raises(UsageError):
        paint_from_photographs(BALL, [], waves)
    with pytest.raises(UsageError):
        unwrap(Mesh.empty())


def test_vertices_have_the_colours_of_the_texture():
    colors = color_vertices(BALL, texture_color(bake_texture(unwrap(BALL, 512), waves, resolution=512))).colors
    assert colors is not None
    np.testing.assert_allclose(colors / 255.0, waves(BALL.vertices, BALL.vertices), atol=0.02)


@pytest.fixture(scope="module")
def views() -> list[View]:
    cameras = [look_at(eye) for eye in EYES]
    return [View(f"{i}.png", photograph(BALL, c, waves), c, "train") for i, c in enumerate(cameras)]


UNWRAPPED = unwrap(BALL, 256)


def grey(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
    return np.full((len(points), 3), 0.5)


def painted(views: list[View], mesh: Mesh = UNWRAPPED) -> tuple[Mesh, float]:
    """A grey mesh painted from photographs."""
    return paint_from_photographs(mesh, views, grey, resolution=256)


def points_and_colors(mesh: Mesh, count: int = 20_000) -> tuple[np.ndarray, np.ndarray]:
    """Random points of the surface, and the texture's colours there. [N, 3] each"""
    assert mesh.texture is not None
    assert mesh.uv is not None
    rng = np.random.default_rng(0)
    face, w = rng.integers(len(mesh.faces), size=count), rng.dirichlet([1, 1, 1], size=count)
    points, uv = (np.einsum("nk,nkd->nd", w, a[mesh.faces[face]]) for a in (mesh.vertices, mesh.uv))
    return points, sample_texture(mesh.texture, uv)


def test_photographs_give_back_the_colours(views):
    ball, unseen = painted(views)
    points, found = points_and_colors(ball)
    error = np.abs(found - waves(points, points))
    assert unseen < 0.02
    assert error.mean() < 4e-3
    assert np.quantile(error, 0.999) < 0.03


def test_the_best_texture_is_the_mean_of_what_photographs_show(views):
    """Every photograph is there again, half as bright: no gains and no doubts give 0.75 of the colours."""
    twice = [
        replace(v, name=f"{k}-{v.name}", image=(v.image * [f, f, f, 1.0]).astype(np.uint8)) for v in views for k, f in enumerate((1.0, 0.5))
    ]
    told = []
    best = best_texture(painted(views)[0], twice, lambda share, text: told.append(share))
    points, found = points_and_colors(best)
    error = np.abs(found - 0.75 * waves(points, points))
    assert error.mean() < 5e-3
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_one_wrong_photograph_leaves_little_trace(views):
    """Of five that look at a place one shows a black patch there; evenly averaged it would leave an error of 0.16."""
    others = [look_at(eye) for eye in ((2.4, 1.6, 1), (1.6, 2.4, 1), (2, 2, 1.8), (2, 2, 0.2))]
    wrong = views[6].image.copy()
    wrong[40:90, 40:90, :3] = 0
    spoiled = [*views[:6], replace(views[6], image=wrong), *(View(f"{c.center}", photograph(BALL, c, waves), c, "train") for c in others)]
    ball, _ = painted(spoiled)
    points, found = points_and_colors(ball)
    in_patch = points @ np.array([2, 2, 1]) / 3 > 0.96
    assert in_patch.sum() > 100
    assert np.median(np.abs(found - waves(points, points))[in_patch]) < 0.02


@pytest.mark.parametrize("channel", [0, 2])
def test_photographs_of_different_brightness_leave_no_patches(views, channel):
    """Each photograph has a gain of its own; what is left is one brightness for all of the ball."""
    gains = np.exp(np.random.default_rng(3).uniform(-0.3, 0.3, len(views)))
    gains /= np.exp(np.log(gains).mean())
    darker = [replace(v, image=scaled(v.image, 0.6 * g, channel)) for v, g in zip(views, gains, strict=True)]
    ball, _ = painted(darker)
    points, found = points_and_colors(ball)
    ratio = found[:, channel] / (0.6 * waves(points, points)[:, channel])
    assert np.quantile(ratio, 0.9) / np.quantile(ratio, 0.1) < 1.2  # 1.8 between the photographs


def scaled(image: np.ndarray, gain: float, channel: int) -> np.ndarray:
    out = image.copy()
    out[..., channel] = np.rint(out[..., channel] * gain)
    return out


def test_what_no_photograph_sees_stays_as_it_was(views):
    ball, unseen = painted(views[:1])
    points, found = points_and_colors(ball)
    behind = points @ views[0].camera.center / np.linalg.norm(views[0].camera.center) < 0.0
    assert 0.5 < unseen < 0.75
    np.testing.assert_allclose(found[behind], 0.5, atol=0.02)


def test_hidden_points_take_nothing_from_what_hides_them():
    """A wall between the ball and the camera: the ball is not coloured with the wall."""
    wall = from_trimesh(trimesh.creation.box((0.1, 4, 4), transform=trimesh.transformations.translation_matrix((2, 0, 0))))
    both = Mesh(np.concatenate([BALL.vertices, wall.vertices]), np.concatenate([BALL.faces, wall.faces + len(BALL.vertices)]))
    red = View("wall.png", np.full((128, 128, 3), (255, 0, 0), np.uint8), look_at((4, 0, 0.1)), "train")
    ball, _ = painted([red], unwrap(both, 256))
    points, found = points_and_colors(ball, 200_000)
    on_ball, front = points[:, 0] < 1.5, (points[:, 0] > 2.04) & (np.abs(points[:, 1:]).max(1) < 1.0)
    np.testing.assert_allclose(found[on_ball], 0.5, atol=0.01)
    np.testing.assert_allclose(np.median(found[front], 0), [1.0, 0.0, 0.0], atol=0.01)


@pytest.mark.parametrize(
    "without",
    [
        {"mask": np.zeros((128, 128), np.uint8)},
        {"ignore": np.ones((128, 128), bool)},
        {"image": np.full((128, 128, 4), 128, np.uint8)},
    ],
)
def test_pixels_that_do_not_show_the_object_do_not_count(views, without):
    ball, unseen = painted([replace(views[0], **without)])
    assert unseen == 1.0
    assert ball.texture is not None
    assert (ball.texture == 128).all()


@pytest.mark.parametrize("most", [10_000, 2**23])
def test_more_pixels_than_there_is_room_for_are_thinned(views, monkeypatch, most):
    monkeypatch.setattr(photographs, "MOST_PIXELS", most)
    ball, _ = painted(views)
    points, found = points_and_colors(ball)
    assert np.abs(found - waves(points, points)).mean() < 0.02


def test_the_solution_is_that_of_the_whole_system():
    """A small system of random rows, with all that holds the unknowns, against dense least squares."""
    g, size, rows = np.random.default_rng(0), 30, 40
    dense = np.where(g.random((rows, size)) < 0.2, g.random((rows, size)), 0.0)
    dense[:, -3:] = 0.0  # of the last three nothing is known
    weight, wanted = g.random(rows).astype(np.float32), g.random((rows, 3)).astype(np.float32)
    before = g.random((size, 3)).astype(np.float32)
    first, second = np.array([*range(size - 1), 0, 0, 5]), np.array([*range(1, size), 7, 9, 9])
    difference = np.zeros((len(first), size))
    difference[np.arange(len(first)), first], difference[np.arange(len(first)), second] = 1.0, -1.0
    held = [np.sqrt(texel_equations.NEARNESS) * np.eye(size), np.sqrt(texel_equations.SMOOTHNESS) * difference]
    holds = np.concatenate(held)
    system = np.concatenate([np.sqrt(weight)[:, None] * dense, holds])
    start = g.random((size, 3)).astype(np.float32)
    right = np.concatenate([np.sqrt(weight)[:, None] * (wanted - dense @ (start + before)), -holds @ before])
    expected = np.linalg.lstsq(system, right, rcond=None)[0]
    parts = [scipy.sparse.csr_matrix(d.astype(np.float32)) for d in (dense[:15], dense[15:])]
    beside = texel_equations.laplacian(first, second, size)
    found = texel_equations.least_squares_step(texel_equations.Equations(parts, wanted), weight, start, beside, before, 200)
    np.testing.assert_allclose(found, expected, atol=2e-3)


def ramp(width: int, height: int) -> np.ndarray:
    """A picture whose every channel is column + 10 row: between the centres of its pixels it is linear, and off by half a pixel nowhere
    equal to itself. [height, width, 3] uint8"""
    rows, columns = np.mgrid[:height, :width]
    return np.repeat((columns + 10 * rows)[..., None], 3, axis=2).astype(np.uint8)


# Continuous positions in a picture of 20 x 12, pixels: centres, between centres, and the outermost centres.
PLACES = np.array([[0.5, 0.5], [7.5, 3.5], [8.0, 3.5], [7.5, 4.0], [12.31, 6.87], [1.02, 11.4], [19.5, 11.5]])
SHOWN = (PLACES[:, 0] - 0.5 + 10.0 * (PLACES[:, 1] - 0.5)) / 255.0


def test_photographs_are_looked_up_to_the_fraction_of_a_pixel():
    """A square in front of an oblique camera with its principal point aside; where a point falls in the picture is worked out here."""
    rotation = np.array([[2.0, -2.0, 1.0], [1.0, 2.0, 2.0], [-2.0, -1.0, 2.0]]) / 3.0  # columns: the camera's axes in the world
    center, fx, fy, cx, cy, depth = np.array([3.0, -1.0, 2.0]), 31.0, 29.0, 9.2, 6.7, 5.0
    view = View("ramp.png", ramp(20, 12), Camera(20, 12, fx, fy, cx, cy, np.column_stack([rotation, center])), "train")

    def in_world(pixels: np.ndarray) -> np.ndarray:
        x, y = (pixels[:, 0] - cx) / fx, (pixels[:, 1] - cy) / fy
        return center + depth * np.stack([x, y, np.ones_like(x)], axis=1) @ rotation.T

    corners = in_world(np.array([[-5.0, -5.0], [25.0, -5.0], [25.0, 17.0], [-5.0, 17.0]]))
    uv = np.array([[0.0, 1.0], [1.0, 1.0], [1.0, 0.0], [0.0, 0.0]])
    square = Mesh(corners, np.array([[0, 2, 1], [0, 3, 2]], np.int32), uv=uv)
    square, _ = paint_from_photographs(square, [view], grey, resolution=16)
    inner = np.stack(np.meshgrid(np.linspace(2, 18, 9), np.linspace(2, 10, 7)), -1).reshape(-1, 2)
    assert square.texture is not None
    found = sample_texture(square.texture, np.stack([(inner[:, 0] + 5) / 30, 1 - (inner[:, 1] + 5) / 22], 1)) * 255.0
    shown = inner[:, 0] - 0.5 + 10.0 * (inner[:, 1] - 0.5)
    assert abs(float((found[:, 0] - shown).mean())) < 0.3  # half a pixel down would be 5, half a pixel aside 0.5
    assert float(np.abs(found[:, 0] - shown).max()) < 5.0


def test_textures_are_looked_up_to_the_hundredth_of_a_texel():
    """The texel in column i and row j from the top has its centre at u = (i + 0.5) / width, v = 1 - (j + 0.5) / height."""
    uv = np.stack([PLACES[:, 0] / 20.0, 1.0 - PLACES[:, 1] / 12.0], axis=1)
    np.testing.assert_allclose(sample_texture(ramp(20, 12), uv), np.repeat(SHOWN[:, None], 3, axis=1), atol=0.01 / 255.0)
    corners = sample_texture(ramp(20, 12), np.array([[0.0, 1.0], [1.0, 1.0], [0.0, 0.0], [1.0, 0.0]]))[:, 0] * 255.0
    np.testing.assert_allclose(corners, [0.0, 19.0, 110.0, 129.0], atol=1e-9)  # up to the rim the outermost texel goes on
