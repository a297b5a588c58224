"""The renderer against shapes whose pictures are known."""

import math

import numpy as np
import pytest
import trimesh

from recon.curves.files.curve import line
from recon.data.scene import Camera
from recon.errors import ReconError, UsageError
from scenes.edges import draw_lines, visible_points
from scenes.making import cameras, render
from scenes.making.lighting import DAYLIGHT
from scenes.making.materials import PLAIN, Material, hash_unit, noise, to_linear, to_srgb
from scenes.making.render import RenderOptions, render_geometry, render_linear, render_views, sample_pattern
from scenes.making.solid import from_triangles
from scenes.making.tracing import tracer

OFFSET = np.array([300.0, -20.0, 55.0])


def ball(radius=10.0, subdivisions=5):
    mesh = trimesh.creation.icosphere(subdivisions=subdivisions, radius=radius)
    return from_triangles(mesh.vertices + OFFSET, mesh.faces, 1.0)


def cube(side=8.0):
    mesh = trimesh.creation.box((side,) * 3)
    return from_triangles(mesh.vertices + OFFSET, mesh.faces, 0.5)


def facing(distance=40.0, size=64, focal=120.0, cx=None, cy=None):
    """Looks along +x at the offset."""
    pose = cameras.look_at(OFFSET - [distance, 0, 0], OFFSET)
    return Camera(size, size, focal, focal, size / 2 if cx is None else cx, size / 2 if cy is None else cy, pose)


def test_look_at_is_a_rotation_with_z_up_in_the_picture():
    pose = cameras.look_at(np.array([3.0, 1.0, 2.0]), np.zeros(3))
    np.testing.assert_allclose(pose[:, :3].T @ pose[:, :3], np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:, :3]) == pytest.approx(1)
    assert pose[2, 1] < 0  # the picture's y axis, down, goes against world z
    for straight in ([0, 0, 5.0], [0, 0, -5.0]):
        assert np.linalg.det(cameras.look_at(np.array(straight), np.zeros(3))[:, :3]) == pytest.approx(1)


@pytest.mark.parametrize(("fovs", "jitter"), [((0.6,), 0.0), ((0.4, 0.9), 0.0), ((0.6,), 4.0)])
def test_cameras_see_the_whole_sphere(fovs, jitter):
    directions = cameras.fibonacci_directions(30)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1)
    assert np.linalg.norm(directions.mean(0)) < 0.02
    placed = cameras.surround(OFFSET, 7.0, directions, 100, 80, fovs, principal_jitter_px=jitter)
    surface = OFFSET + 7 * cameras.fibonacci_directions(2000)
    for camera in placed:
        uv, z = camera.project(surface)
        assert (z > 0).all()
        reach = np.abs(uv - [camera.cx, camera.cy]).max(0)
        assert reach.max() == pytest.approx(0.94 * 80 / 2, abs=0.3)


def test_cube_depth_and_normal_are_exact():
    camera = facing()
    seen = render_geometry(tracer(cube()), camera)
    row, column = np.mgrid[:64, :64] + 0.5
    half = 120 * 4 / 36  # the near face is 36 away
    inside = (np.abs(row - 32) < half - 0.01) & (np.abs(column - 32) < half - 0.01)
    np.testing.assert_allclose(seen.depth_z[inside], 36, rtol=1e-12)
    slant = np.sqrt(1 + ((row - 32) / 120) ** 2 + ((column - 32) / 120) ** 2)
    np.testing.assert_allclose(seen.distance[inside], (36 * slant)[inside], rtol=1e-6)
    np.testing.assert_allclose(seen.normal[inside], np.broadcast_to([-1, 0, 0], (inside.sum(), 3)), atol=1e-4)
    outside = (np.abs(row - 32) > half + 0.01) | (np.abs(column - 32) > half + 0.01)
    assert np.isinf(seen.depth_z[outside]).all()
    assert (seen.normal[outside] == 0).all()


def test_ball_depth_agrees_with_the_quadratic():
    camera = facing(cx=29.3, cy=35.1)
    seen = render_geometry(tracer(ball(subdivisions=6)), camera)
    row, column = np.mgrid[:64, :64] + 0.5
    origins, directions = camera.rays(np.stack([column, row], -1))
    along = ((OFFSET - origins) * directions).sum(-1)
    squared = 100 - (((OFFSET - origins) ** 2).sum(-1) - along**2)
    middle = squared > 15  # away from the outline
    exact = along - np.sqrt(np.maximum(squared, 0))
    np.testing.assert_allclose(seen.distance[middle], exact[middle], atol=3e-3)  # chord error of the mesh is 1.1e-3
    normal = (origins + directions * exact[..., None] - OFFSET) / 10
    assert np.abs(seen.normal - normal)[middle].max() < 5e-3
    assert (np.isfinite(seen.distance) == (squared > 0))[np.abs(squared) > 0.5].all()


@pytest.mark.parametrize("supersampling", [1, 2, 4, 8])
def test_samples_fill_every_row_and_column_once(supersampling):
    points = sample_pattern(supersampling)
    count = supersampling**2
    for axis in range(2):
        np.testing.assert_allclose(np.sort(points[:, axis]), (np.arange(count) + 0.5) / count)
    np.testing.assert_allclose(points.mean(0), 0.5)


@pytest.mark.parametrize("supersampling", [2, 4, 8])
def test_coverage_of_a_square_is_its_area(supersampling):
    """Along an edge every row of samples counts once: the error is at most half a sample. In a corner it is the pattern's discrepancy."""
    tolerance = 0.5 / supersampling**2 + 1e-6
    camera = facing(cx=31.83, cy=32.21)
    half = 120 * 4 / 36
    _, alpha = render_linear(tracer(cube()), camera, PLAIN, supersampling)
    edges = np.arange(65)

    def cover(center):
        low, high = np.clip([center - half, center + half], edges[:-1, None], edges[1:, None]).T.reshape(2, 64)
        return high - low

    exact = np.outer(cover(32.21), cover(31.83))
    # only the near face is seen: the others lie inside its outline
    error = np.abs(alpha - exact)
    corner = (np.abs(exact - 0.5) < 0.5) & (cover(32.21)[:, None] < 1) & (cover(31.83)[None] < 1)
    assert 0 < corner.sum() <= 4
    assert error[~corner].max() <= tolerance
    assert error[corner].max() <= 3 * tolerance * np.log2(2 * supersampling)
    assert alpha.sum() == pytest.approx((2 * half) ** 2, rel=tolerance / 3)


def test_disc_of_a_ball_has_the_right_area():
    camera = facing(size=96, focal=150.0)
    _, alpha = render_linear(tracer(ball()), camera, PLAIN, 4)
    exact = math.pi * (150 * math.tan(math.asin(10 / 40))) ** 2
    assert alpha.sum() == pytest.approx(exact, rel=2e-3)


def test_pictures_do_not_depend_on_threads_nor_on_the_other_views():
    ready, options = tracer(ball(subdivisions=3)), RenderOptions(2, exposure_jitter=0.2, noise=0.02, blur_px=0.5, seed=3)
    placed = cameras.surround(OFFSET, 10.0, cameras.fibonacci_directions(4), 40, 40)
    one = render_views(ready, placed, Material(), RenderOptions(**{**vars(options), "threads": 1}))
    two = render_views(ready, placed, Material(), RenderOptions(**{**vars(options), "threads": 3}))
    first = render_views(ready, placed[:2], Material(), options)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one[0], first[0])
    other = render_views(ready, placed[:1], Material(), RenderOptions(2, noise=0.02, seed=4))
    assert (other[0] != one[0]).any()


def test_alpha_is_straight_and_colour_is_zero_where_nothing_is():
    ready = tracer(cube())
    (picture,) = render_views(ready, [facing()], PLAIN, RenderOptions(4))
    alpha = picture[..., 3]
    assert (picture[alpha == 0] == 0).all()
    rim, inner = (alpha > 20) & (alpha < 235), alpha == 255
    assert rim.any()
    # straight alpha: a half covered pixel is as bright as its neighbours, not half as bright
    assert picture[rim][:, :3].mean() == pytest.approx(picture[inner][:, :3].mean(), rel=0.15)


def test_white_matt_ball_under_an_even_sky_is_even():
    from scenes.making.lighting import Environment, Lamp

    grey = (0.5, 0.5, 0.5)
    dark = Lamp((0, 0, 1), (0, 0, 0), 0.1)
    even = Environment(ground=grey, horizon=grey, zenith=grey, lamps=(dark, dark, dark), bounce=0.0)
    white = Material(colors=((1, 1, 1), (1, 1, 1)), pattern="plain", specular=0.0)
    color, alpha = render_linear(tracer(ball()), facing(), white, 4, environment=even)
    inner = alpha == 1
    np.testing.assert_allclose(color[inner], 0.5, atol=0.02)  # nothing hides any of the sky from a convex body


def test_a_lamp_casts_a_shadow_and_lights_by_the_cosine():
    from scenes.making.lighting import Environment, Lamp

    none = (0.0, 0.0, 0.0)
    off = Lamp((0, 0, 1), none, 0.1)
    white = Material(colors=((1, 1, 1), (1, 1, 1)), pattern="plain", specular=0.0)
    front = Environment(none, none, none, (Lamp((-1, 0, 1), (0.8, 0.8, 0.8), 0.01), off, off), 0.0)
    color, alpha = render_linear(tracer(cube()), facing(), white, 4, environment=front)
    np.testing.assert_allclose(color[alpha == 1], 0.8 * math.sqrt(0.5), atol=0.01)
    behind = Environment(none, none, none, (Lamp((1, 0, 0), (0.8, 0.8, 0.8), 0.01), off, off), 0.0)
    assert render_linear(tracer(cube()), facing(), white, 4, environment=behind)[0].max() == 0
    # a small cube between lamp and big cube: the middle of the face is dark
    screen = trimesh.creation.box((1, 3, 3))
    screen.apply_translation((-9, 0, 6))
    screen = trimesh.creation.box((1, 3, 3))
    screen.apply_translation((-9, 0, 6))
    pair = trimesh.util.concatenate([trimesh.creation.box((8, 8, 8)), screen])
    shaded = from_triangles(pair.vertices + OFFSET, pair.faces, 0.5)
    lit = Environment(none, none, none, (Lamp((-1, 0, 1.2), (0.8, 0.8, 0.8), 0.01), off, off), 0.0)
    picture, _ = render_linear(tracer(shaded), facing(), white, 4, environment=lit)
    assert picture[32, 32].max() < 0.02
    assert picture[32, 42].min() > 0.4


def test_lines_are_drawn_where_the_curve_is_and_hidden_ones_are_not():
    ready, camera = tracer(cube()), facing()
    corner = OFFSET + np.array([[-4, -4, 4], [-4, 4, 4], [4, -4, 4], [4, 4, 4]], float)
    near, far = line(corner[0], corner[1], vertices=(0, 1)), line(corner[2], corner[3], vertices=(2, 3))
    seen = visible_points(ready, camera, [near, far])
    assert set(seen.curve) == {0}  # the far edge is behind the near face
    picture = draw_lines(seen, 64, 64, line_px=1.5)
    half = 120 * 4 / 36
    rows = np.arange(64) + 0.5
    expected = np.clip(1.25 - np.abs(rows - (32 - half)), 0, 1) * 255
    np.testing.assert_allclose(picture[:, 32], expected, atol=1.0)
    assert visible_points(ready, camera, []).pixels.shape == (0, 2)


@pytest.mark.parametrize("options", [{"supersampling": 3}, {"noise": -1.0}, {"threads": 0}])
def test_bad_options_are_refused(options):
    with pytest.raises(UsageError):
        RenderOptions(**options)


def test_colour_space_round_trip_and_noise_statistics():
    values = np.linspace(0, 1, 256)
    np.testing.assert_allclose(to_srgb(to_linear(values)), values, atol=1e-12)
    assert to_linear(np.array(0.5)) == pytest.approx(0.21404114)
    chance = hash_unit(np.arange(100000), 1)
    assert chance.mean() == pytest.approx(0.5, abs=0.005)
    assert chance.var() == pytest.approx(1 / 12, abs=0.002)
    field = noise(np.random.default_rng(0).uniform(-5, 5, (20000, 3)), 0.3)
    assert abs(field.mean()) < 0.1
    assert 0.7 < field.std() < 1.1


def test_pixels_that_are_left_out_are_empty():
    """The tiles that are traced hold every pixel with anything in it."""
    ready = tracer(ball(subdivisions=2))
    for camera in cameras.surround(OFFSET, 10.0, cameras.fibonacci_directions(5), 61, 45, (0.9,), principal_jitter_px=9.0):
        traced = render.covered_pixels(ready, camera)
        hit = np.isfinite(render_geometry(ready, camera).distance)
        assert traced.shape == hit.shape
        assert not (hit & ~traced).any()
        assert not traced.all()
    assert DAYLIGHT.sky(np.array([1.0]))[0] == pytest.approx(DAYLIGHT.zenith)


def test_decals_are_printed_upright_where_they_should_be(tmp_path):
    """A file's picture on the near face: its colours arrive at the projected places, and nowhere else."""
    from PIL import Image

    from scenes.making.materials import Decal, albedo
    from scenes.making.pictures import picture

    pixels = np.zeros((40, 60, 4), np.uint8)
    pixels[:20, :30], pixels[:20, 30:], pixels[20:, :30] = (255, 0, 0, 255), (0, 255, 0, 255), (0, 0, 255, 255)
    Image.fromarray(pixels).save(tmp_path / "four.png")
    # seen along +x with z up, the picture's right is -y
    decal = Decal(str(tmp_path / "four.png"), tuple(OFFSET - [4, 0, 0]), (0, -1, 0), (0, 0, 1), (6, 4))
    grey = Material(colors=((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)), pattern="plain", decals=(decal,))
    spots = OFFSET + np.array([[-4, 1.5, 1], [-4, -1.5, 1], [-4, 1.5, -1], [-4, -1.5, -1], [-4, 3.5, 0], [4, 1.5, 1]])
    base = to_linear(np.array([0.5] * 3))
    expected = [[1, 0, 0], [0, 1, 0], [0, 0, 1], base, base, base]  # the last quarter is transparent
    np.testing.assert_allclose(albedo(grey, spots / 10, spots), expected, atol=1e-6)
    (seen,) = render_views(tracer(cube()), [facing()], grey, RenderOptions(2))
    for column, row, channel in ((27, 28, 0), (37, 28, 1), (27, 35, 2)):
        assert seen[row, column, :3].argmax() == channel
    for bad in (str(tmp_path / "none.png"), "unknown"):
        with pytest.raises(ReconError):
            picture(bad)
