"""VTK's pictures against the project's own ray caster and against projected points, from cameras with every parameter at work."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from recon.curves import Wireframe
from recon.curves.files.curve import ellipse, line
from recon.data.scene import Camera
from recon.errors import DataError
from recon.geometry import look_at
from recon.rendering.colormaps import curve_rgb
from recon.rendering.meshes import render_mesh
from recon.surface.mesh import Mesh, vertex_normals
from tests.viewer.offscreen import why_not
from viewer.stills import stage

pytestmark = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

FAR_OFF = np.array([4.0e5, -2.0e5, 1.0e4])  # as in surveyed coordinates: float32 alone would lose a tenth of a unit here
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-0.6, 0.6) for z in (-0.8, 0.8)], float)
QUADS = ((0, 1, 3, 2), (4, 6, 7, 5), (0, 4, 5, 1), (2, 3, 7, 6), (0, 2, 6, 4), (1, 5, 7, 3))


def box() -> Mesh:
    """Every face with vertices of its own, so that each has one normal and one part of the texture."""
    vertices = np.concatenate([CORNERS[list(q)] for q in QUADS])
    faces = np.concatenate([[[4 * i, 4 * i + 1, 4 * i + 2], [4 * i, 4 * i + 2, 4 * i + 3]] for i in range(6)]).astype(np.int32)
    columns = np.arange(6) % 3 / 3
    rows = np.arange(6) // 3 / 2
    square = np.array([[0.02, 0.03], [0.31, 0.03], [0.31, 0.47], [0.02, 0.47]])
    uv = np.concatenate([square + np.array(cell) for cell in zip(columns, rows, strict=True)])
    mesh = Mesh(FAR_OFF + vertices, faces, uv=uv, texture=smooth_picture())
    return replace(mesh, normals=vertex_normals(mesh))


def smooth_picture() -> np.ndarray:
    """Different along both axes and in every corner."""
    y, x = np.mgrid[0:128, 0:192] / 128
    return np.rint(255 * np.stack([x / 1.5, y, 0.5 + 0.5 * np.sin(5 * x + 3 * y)], -1)).astype(np.uint8)


def camera(width: int = 161, height: int = 120) -> Camera:
    """Principal point far from the middle, focal lengths that differ, rolled."""
    pose = look_at(FAR_OFF + np.array([3.5, 2.0, 1.5]), FAR_OFF, np.array([0.2, 0.1, 1.0]))
    return Camera(width, height, 1.15 * width, 1.4 * height, 0.56 * width, 0.43 * height, pose)


def test_a_still_is_the_ray_casters_picture():
    """Silhouette, texture, normals and depth agree with another renderer, which shares nothing but the camera."""
    mesh, view = box(), camera()
    with stage(mesh, None, shadings=("color", "normals", "clay")) as look:
        still = look(view)
    cast = render_mesh(mesh, view, shading="color", supersample=3)
    outline = ((cast["alpha"] > 0) & (cast["alpha"] < 1)).sum()
    assert outline > 100
    # The difference of coverage summed over the outline is its shift in pixels.
    assert np.abs(still.alpha - cast["alpha"]).sum() / outline < 0.05
    inside = (still.alpha == 1) & (cast["alpha"] == 1)
    assert np.abs(still.colors["color"][inside] - cast["rgb"][inside]).mean() < 0.004
    np.testing.assert_allclose(still.depth[inside], cast["depth"][inside], rtol=2e-4)
    assert (still.depth[still.alpha == 0] == 0).all()
    normals = render_mesh(mesh, view, shading="normals", supersample=3)["rgb"]
    assert np.abs(still.colors["normals"][inside] - normals[inside]).mean() < 0.004
    clay = still.colors["clay"][inside]
    assert 0.05 < clay.mean() < 0.95
    assert clay.std() > 0.05, "faces that look elsewhere are lit differently"
    np.testing.assert_array_equal(still.colors["color"][still.alpha == 0], 1.0)


def test_points_project_to_a_fifth_of_a_pixel():
    """Small balls (vertices of the wireframe) lie where the camera says: centroid of what is drawn."""
    view = camera(320, 240)
    for place in ([0.0, 0.0, 0.0], [0.9, -0.3, 0.5], [-0.6, 0.7, -0.4]):
        point = FAR_OFF + place
        ends = point + np.array([[-0.01, 0, 0], [0.01, 0, 0]])
        with stage(None, Wireframe(ends, (line(*ends, vertices=(0, 1)),)), supersample=4, tube_radius=0.02) as look:
            alpha = look(view).alpha
        y, x = np.mgrid[0:240, 0:320] + 0.5
        found = np.array([(alpha * x).sum(), (alpha * y).sum()]) / alpha.sum()
        assert np.linalg.norm(found - view.project(point)[0]) < 0.2


def test_curves_are_drawn_where_they_are_in_the_color_of_their_type():
    ends = FAR_OFF + np.array([[-1.0, 0, 0], [1.0, 0, 0]])
    ring = ellipse(FAR_OFF, [1, 0, 0], [0, 1, 0], (0.8, 0.8), (0, 2 * np.pi), True, vertices=None)
    wireframe = Wireframe(ends, (line(*ends, vertices=(0, 1)), ring))
    view = camera(320, 240)
    with stage(None, wireframe, tube_radius=0.015) as look:
        still = look(view)
    covered = np.argwhere(still.alpha > 0.99)[:, ::-1] + 0.5
    on = np.concatenate([view.project(c.sample(0.002)[0])[0] for c in wireframe.curves])
    distance = np.linalg.norm(covered[:, None] - on[None], axis=-1).min(1)
    assert len(covered) > 300
    assert distance.max() < 4  # tubes are about three pixels wide, balls a little more
    pixel = view.project(ring.at(np.array(0.4)))[0].astype(int)
    color = still.colors["color"][pixel[1], pixel[0]]
    wanted = np.array(curve_rgb("circle"))
    assert np.dot(color, wanted) / np.linalg.norm(color) / np.linalg.norm(wanted) > 0.98


def test_the_surface_hides_curves_behind_it():
    mesh, view = box(), camera()
    behind = FAR_OFF + np.array([[-1.05, -0.55, -0.5], [-1.05, 0.55, 0.5]])
    front = FAR_OFF + np.array([[1.02, -0.5, -0.5], [1.02, 0.5, 0.5]])
    pictures = []
    for ends in (behind, front):
        with stage(mesh, Wireframe(ends, (line(*ends, vertices=(0, 1)),))) as look, stage(mesh, None) as bare:
            middle = view.project(ends.mean(0))[0].astype(int)
            pictures.append([s(view).colors["color"][middle[1], middle[0]] for s in (look, bare)])
    np.testing.assert_allclose(*pictures[0], atol=0.01)
    assert np.abs(pictures[1][0] - pictures[1][1]).max() > 0.1


def test_over_a_photograph():
    """Where nothing is drawn the photograph stays as it is; where the mesh covers all, it is not seen."""
    rng = np.random.default_rng(0)
    photograph = rng.integers(0, 256, (120, 161, 3), np.uint8)
    with stage(box(), None) as look:
        still = look(camera())
    laid = still.over(photograph / 255.0, "color")
    np.testing.assert_array_equal(laid[still.alpha == 0], photograph[still.alpha == 0])
    full = still.alpha == 1
    np.testing.assert_array_equal(laid[full], still.over_white("color")[full])
    half = still.over(photograph / 255.0, "color", opacity=0.5)
    assert np.abs(half[full] - (laid[full].astype(float) + photograph[full]) / 2).max() <= 1


def test_one_stage_draws_many_sizes_and_the_same_bits_again():
    with stage(box(), None) as look:
        small, large, again = (look(camera(w, h)) for w, h in ((40, 30), (161, 120), (40, 30)))
    assert large.alpha.shape == (120, 161)
    np.testing.assert_array_equal(small.colors["color"], again.colors["color"])
    shrunk = np.asarray(Image.fromarray((255 * large.alpha).astype(np.uint8)).resize((40, 30), Image.Resampling.BOX)) / 255
    assert np.abs(shrunk - small.alpha).mean() < 0.01


def test_nothing_to_show():
    with pytest.raises(DataError, match="nothing to show"), stage(Mesh.empty(), None):
        pass
