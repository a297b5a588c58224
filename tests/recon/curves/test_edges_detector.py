"""The detector against shapes whose edges are known exactly."""

from __future__ import annotations

import numpy as np
import pytest

from recon.curves.edges2d.detector import coherence, detect
from recon.curves.edges2d.maps import LINE_PX, draw_edges
from recon.curves.edges2d.ridges import KIND_INTENSITY, KIND_SILHOUETTE, EdgePoints, edge_points, gradient
from tests.recon.curves.edge_cases import covered, grey, half_plane, rgba

ANGLES = [0.0, 3.0, 17.0, 45.0, 71.0, 90.0]


def find(image: np.ndarray, **more) -> EdgePoints:
    alpha = image[..., 3].astype(np.float32) / 255 if image.shape[2] == 4 else None
    return detect(image, alpha, True, **more)


def away_from_border(points: np.ndarray, size: int, margin: float = 6) -> np.ndarray:
    return np.all((points > margin) & (points < size - margin), axis=1)


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("kind", ["silhouette", "step", "faint step"])
def test_straight_edges_are_found_to_a_fraction_of_a_pixel(angle: float, kind: str):
    """Mean error under 0.05 px and no bias, wherever the edge lies between the pixels; normals along the true one."""
    errors, dots = [], []
    for distance in np.linspace(-0.5, 0.5, 6):
        inside, normal = half_plane(angle, float(distance))
        cover = covered(inside, 64, 64)
        if kind == "silhouette":
            found = find(rgba(np.full((64, 64, 3), 128, np.uint8), cover))
        else:
            found = find(grey((204 / 255 if kind == "step" else 135 / 255, cover), base=128 / 255))
        assert set(found.kinds) == {KIND_SILHOUETTE if kind == "silhouette" else KIND_INTENSITY}
        keep = away_from_border(found.points, 64)
        assert 45 <= keep.sum() <= 106  # about one point per pixel that the edge crosses
        errors.append((found.points[keep] - 32) @ normal - distance)
        dots.append(np.abs(found.normals[keep] @ normal))
    error = np.concatenate(errors)
    limit = 0.12 if kind == "faint step" else 0.05  # seven grey levels, rounded
    assert np.abs(error).mean() < limit
    assert abs(error.mean()) < (0.02 if kind != "faint step" else 0.04)
    assert np.concatenate(dots).mean() > np.cos(np.radians(2 if kind != "faint step" else 6))


@pytest.mark.parametrize("radius", [8.0, 20.0, 45.3])
@pytest.mark.parametrize("kind", ["silhouette", "step"])
def test_circles(radius: float, kind: str):
    """The bias of a blurred circle is sigma^2 / (2 r), a few hundredths of a pixel on the smallest."""
    size = 110
    cover = covered(lambda x, y: np.hypot(x - 55.2, y - 54.7) < radius, size, size)
    image = rgba(np.full((size, size, 3), 90, np.uint8), cover) if kind == "silhouette" else grey((0.9, cover), base=0.3)
    found = find(image)
    error = np.hypot(found.points[:, 0] - 55.2, found.points[:, 1] - 54.7) - radius
    assert np.abs(error).mean() < 0.05 + 0.6 / radius
    assert abs(error.mean()) < 0.02 + 0.6 / radius
    angle = np.sort(np.arctan2(found.points[:, 1] - 54.7, found.points[:, 0] - 55.2))
    gaps = np.diff(np.concatenate([angle, angle[:1] + 2 * np.pi])) * radius
    assert gaps.max() < 2.0  # all the way round


def test_junctions_keep_their_ends():
    """Three faces meet in a point of the object's inside: each edge is found to about two pixels of it, and to the silhouette."""
    size = 90
    disc = covered(lambda x, y: np.hypot(x - 45, y - 45) < 36, size, size)
    above = covered(lambda x, y: y < 45.3, size, size)
    left = covered(lambda x, y: (y >= 45.3) & (x < 44.6), size, size)
    rgb = grey((0.75, above), (0.35, left), base=0.5)
    rgb[disc == 0] = 255 * np.random.default_rng(0).integers(0, 2, (int((disc == 0).sum()), 3))  # nothing may be read there
    found = find(rgba(rgb, disc))
    inner = found.points[found.kinds == KIND_INTENSITY]
    stem = inner[(inner[:, 1] > 46.2) & (np.abs(inner[:, 0] - 44.6) < 0.5)]
    assert stem[:, 1].min() < 45.3 + 2.3
    assert stem[:, 1].max() > 45 + 36 - 2.0
    bar = inner[np.abs(inner[:, 1] - 45.3) < 0.5]
    assert bar[:, 0].min() < 45 - 36 + 2.0
    assert bar[:, 0].max() > 45 + 36 - 2.0
    assert np.diff(np.sort(bar[:, 0])).max() < 3.0
    # and nothing else inside
    assert len(stem) + len(bar) >= 0.95 * len(inner)
    outline = found.points[found.kinds == KIND_SILHOUETTE]
    assert np.abs(np.hypot(*(outline - 45).T) - 36).max() < 0.3


def test_colours_under_transparent_pixels_mean_nothing():
    size = 60
    disc = covered(lambda x, y: np.hypot(x - 30, y - 30) < 20, size, size)
    half = covered(lambda x, y: x + 0.3 * y < 38, size, size)
    rgb = grey((0.7, half), base=0.5)
    results = []
    for fill in (0, 255):
        picture = rgb.copy()
        picture[disc < 0.05] = fill
        results.append(find(rgba(picture, disc)))
    assert len(results[0]) == len(results[1])
    np.testing.assert_allclose(results[0].points, results[1].points, atol=1e-5)


def test_thresholds_follow_the_noise():
    """Two grey levels count in a clean picture; noise, texture and smooth shading give nothing of their own, and strong edges stay."""
    size = 100
    inside, normal = half_plane(20, 0.2, size)
    cover = covered(inside, size, size)
    clean = find(grey((0.5 + 4 / 255, cover), base=0.5))
    assert len(clean) > 80
    rng = np.random.default_rng(3)
    noise = rng.normal(0, 8, (size, size, 3))
    alone = np.clip(128 + noise, 0, 255).astype(np.uint8)
    assert len(find(alone)) < 0.01 * size**2
    both = np.clip(grey((0.8, cover), base=0.4) + noise, 0, 255).astype(np.uint8)
    found = find(both)
    on_edge = np.abs((found.points - size / 2) @ normal - 0.2) < 1.0
    assert on_edge.sum() > 85
    assert on_edge.mean() > 0.85
    x = np.linspace(-0.8, 0.8, size)
    cylinder = np.repeat(np.rint(255 * np.sqrt(1 - x**2)).astype(np.uint8)[None], size, 0)
    assert len(find(np.repeat(cylinder[..., None], 3, 2))) == 0


def test_mask_outline_takes_the_place_of_the_photographs_edge():
    """A drawn mask is off by a pixel and a half: the photograph's edge counts, and the mask's where the photograph shows nothing."""
    size = 90
    disc = covered(lambda x, y: np.hypot(x - 45, y - 45) < 25, size, size)
    drawn = covered(lambda x, y: np.hypot(x - 45, y - 45) < 26.5, size, size)
    upper = covered(lambda x, y: y < 45, size, size)
    image = grey((0.8, disc * upper), base=0.3)
    found = detect(image, (drawn > 0.5).astype(np.float32), False)
    outline = found[found.kinds == KIND_SILHOUETTE]
    radius = np.hypot(*(outline.points - 45).T)
    top = outline.points[:, 1] < 42
    assert np.abs(radius[top] - 25).mean() < 0.1
    bottom = outline.points[:, 1] > 48
    assert bottom.sum() > 40
    assert np.abs(radius[bottom] - 26.5).mean() < 0.5
    assert outline.weights[bottom].max() < outline.weights[top].min() + 1e-6


@pytest.mark.parametrize("masked", [False, True])
def test_gradient_of_a_plane_is_its_slope(masked: bool):
    """Also at the border of a mask, which must be no edge itself."""
    x, y = np.meshgrid(np.arange(30.0), np.arange(30.0))
    image = np.stack([0.02 * x - 0.01 * y + 0.1] * 3, -1).astype(np.float32)
    weight = (np.hypot(x - 15, y - 15) < 10).astype(np.float32) if masked else None
    if weight is not None:
        image[weight == 0] = 7
    g = gradient(image, weight, 1.0)
    where = g.valid & (weight > 0) if weight is not None else np.s_[5:-5, 5:-5]
    np.testing.assert_allclose(g.magnitude[where], np.sqrt(3) * np.hypot(0.02, 0.01), rtol=2e-3)


def test_coherence_tells_lines_from_scatter():
    rng = np.random.default_rng(0)
    line = np.stack([np.arange(40.0), 0.3 * np.arange(40.0)], 1) / np.hypot(1, 0.3)
    normals = np.tile(np.array([-0.3, 1.0]) / np.hypot(1, 0.3), (40, 1))
    value = coherence(line, normals, np.ones(40))
    assert (np.abs(value[15:25] - 1) < 0.1).all()
    assert (value[[0, -1]] > 0.45).all()
    angle = 2 * np.pi * np.arange(94) / 94
    circle = np.stack([np.cos(angle), np.sin(angle)], 1)
    assert (coherence(15 * circle, circle, np.ones(94)) > 0.8).all()
    spots, turn = rng.uniform(0, 60, (700, 2)), rng.uniform(0, np.pi, 700)
    scattered = coherence(spots, np.stack([np.cos(turn), np.sin(turn)], 1), np.ones(700))
    assert np.median(scattered) < 0.4
    assert len(coherence(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))) == 0


@pytest.mark.parametrize("image", [np.zeros((40, 50, 4), np.uint8), np.full((40, 50, 3), 77, np.uint8), np.zeros((3, 3, 3), np.uint8)])
def test_pictures_without_edges(image: np.ndarray):
    assert len(find(image)) == 0


def test_drawn_maps_are_lines():
    """The value is the weight times the overlap of the pixel with a line, by distance; nothing elsewhere."""
    x = np.arange(5.0, 35.0)
    points = np.stack([x, np.full(30, 12.3)], 1)
    weights = np.where(x < 20, 1.0, 0.5)
    image = draw_edges(edge_points(points, np.tile([0.0, 1.0], (30, 1)), weights, KIND_INTENSITY), 40, 24)
    rows = np.arange(24) + 0.5
    expected = np.clip(LINE_PX / 2 + 0.5 - np.abs(rows - 12.3), 0, 1)
    np.testing.assert_allclose(image[:, 10], expected, atol=1e-5)
    np.testing.assert_allclose(image[:, 30], 0.5 * expected, atol=1e-5)
    assert image[:, :3].max() == 0
    assert image[:, 37:].max() == 0
