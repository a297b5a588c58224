"""Projected truth against rendered pictures, to a part of a pixel."""

import numpy as np
import pytest
from scipy.ndimage import map_coordinates

import scenes
from recon.data.scene import Camera
from scenes import library
from scenes.edges import VisiblePoints, draw_lines, visible_points
from scenes.library import SceneOptions
from scenes.making.materials import PLAIN
from scenes.making.render import render_geometry, render_linear
from scenes.making.tracing import Tracer, tracer

OPTIONS = SceneOptions(400, 400, train=5, test=1)
REACH, STEP = 3.0, 0.05


def profiles(image: np.ndarray, pixels: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Values of a picture along short lines across points. [H, W], [N, 2] x 2 -> [N, S]"""
    s = np.arange(-REACH, REACH + STEP / 2, STEP)
    at = pixels[:, None] + s[None, :, None] * normals[:, None] - 0.5
    return map_coordinates(image.astype(float), [at[..., 1], at[..., 0]], order=1, mode="constant", cval=np.nan)


def outline(ready: Tracer, camera: Camera, solid) -> tuple[np.ndarray, np.ndarray]:
    """Points on the mesh's outline (edges between facets that face the camera and facets that do not) and their normals in the picture."""
    turn = np.array([[0, 1], [1, 2], [2, 0]])
    ends = solid.faces[:, turn].reshape(-1, 2)
    facing = np.repeat(((ready.corners[:, 0] - ready.to_local(camera.center)) * ready.flat).sum(1) < 0, 3)
    order = np.sort(ends, axis=1)
    sort = np.lexsort((order[:, 1], order[:, 0]))
    a, b = sort[0::2], sort[1::2]
    edges = order[a][facing[a] != facing[b]]
    start, end = solid.vertices[edges[:, 0]], solid.vertices[edges[:, 1]]
    points = np.concatenate([start + t * (end - start) for t in (0.25, 0.5, 0.75)])
    pixels, _ = camera.project(points)
    along = np.concatenate([camera.project(end)[0] - camera.project(start)[0]] * 3)
    size = np.linalg.norm(along, axis=1)
    keep = size > 1e-6
    return pixels[keep], np.stack([along[:, 1], -along[:, 0]], 1)[keep] / size[keep, None]


@pytest.mark.parametrize("name", ["bracket", "gear", "elbow", "ellipses", "saddle", "rings"])
def test_outline_of_the_mesh_agrees_with_alpha(name):
    known = scenes.truth(name)
    ready = tracer(known.solid)
    errors = []
    for camera in library.cameras(known, OPTIONS)[0][:3]:
        _, alpha = render_linear(ready, camera, PLAIN, 4)
        line = profiles(alpha, *outline(ready, camera, known.solid))
        flip = line[:, 0] < line[:, -1]
        line[flip] = line[flip, ::-1]
        clean = (line[:, :20] > 0.999).all(1) & (line[:, -20:] < 0.001).all(1)  # one crossing, from inside to outside
        offset = line[clean].sum(1) * STEP - REACH - STEP / 2
        errors.append(np.abs(offset))
    errors = np.concatenate(errors)
    assert len(errors) > 200
    # among the few larger ones are folds that lie just inside the outline and belong to it only nearly
    assert errors.mean() < 0.1
    assert np.quantile(errors, 0.8) < 0.08
    np.testing.assert_allclose(np.median(errors), 0, atol=0.03)


@pytest.mark.parametrize("name", ["bracket", "gear", "ellipses", "cam", "ribs"])
def test_projected_curves_agree_with_the_edge_map(name):
    known = scenes.truth(name)
    ready = tracer(known.solid)
    errors = []
    for camera in library.cameras(known, OPTIONS)[0][:3]:
        seen = visible_points(ready, camera, known.curves)
        picture = draw_lines(seen, camera.width, camera.height)
        line = profiles(picture, seen.pixels[::7], np.stack([seen.tangents[::7, 1], -seen.tangents[::7, 0]], 1))
        alone = (line[:, :15] == 0).all(1) & (line[:, -15:] == 0).all(1) & (line.sum(1) > 0)
        s = np.arange(-REACH, REACH + STEP / 2, STEP)
        errors.append(np.abs((line[alone] * s).sum(1) / line[alone].sum(1)))
    errors = np.concatenate(errors)
    assert len(errors) > 100
    assert errors.mean() < 0.1


def test_visible_curves_are_where_depth_says_they_are():
    """A point of a curve is called visible exactly when the rendered depth beside it does not lie before it."""
    known = scenes.truth("bracket")
    ready = tracer(known.solid)
    camera = library.cameras(known, OPTIONS)[0][2]
    seen = visible_points(ready, camera, known.curves)
    total = sum(len(c.sample(0.5)[0]) for c in known.curves)
    assert 0.1 * total < len(seen.pixels)
    hidden = np.array([k not in set(seen.curve) for k in range(len(known.curves))])
    assert 5 < hidden.sum() < len(known.curves) - 5  # the underside's or the back's curves
    depth = render_geometry(ready, camera).depth_z
    for number in np.flatnonzero(hidden):
        points, _ = known.curves[number].sample(1.0)
        pixel, z = camera.project(points)
        column, row = np.floor(pixel).astype(int).T
        patch = np.stack([depth[np.clip(row + dy, 0, 399), np.clip(column + dx, 0, 399)] for dy in (-1, 0, 1) for dx in (-1, 0, 1)])
        assert (patch.min(0) < z).mean() > 0.9


def test_lines_keep_their_strength_at_any_slope():
    t = np.arange(0, 60, 0.25)
    for angle in (0.0, 0.3, 0.8, 1.4):
        d = np.array([np.cos(angle), np.sin(angle)])
        pixels = np.array([5.2, 5.7]) + t[:, None] * d
        points = VisiblePoints(pixels, np.tile(d, (len(t), 1)), np.zeros(len(t), int))
        picture = draw_lines(points, 80, 80, line_px=1.5)
        across = profiles(picture, pixels[60:-60], np.tile([d[1], -d[0]], (len(t) - 120, 1)))
        np.testing.assert_allclose(across.sum(1) * STEP, 255 * 1.5, rtol=0.08)
