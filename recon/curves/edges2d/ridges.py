"""Where a picture changes most: gradients that respect a mask, ridges of them to a fraction of a pixel, and the level line of a mask.

Pixel coordinates are (x, y) with pixel centres at +0.5, as everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

KIND_INTENSITY, KIND_SILHOUETTE, KIND_CREASE, KIND_STEP, KIND_GIVEN = range(5)

# A picture of a sharp edge is itself blurred, by the pixel and by the renderer's or the lens's filter: standard deviation, about, pixels.
PICTURE_BLUR = 0.4


@dataclass(frozen=True)
class EdgePoints:
    """Points on edges of one picture.

    Attributes:
        points: (x, y), pixels. [N, 2] float32
        normals: Unit normals of the edge; only the line matters, not the sign. [N, 2] float32
        weights: Confidence in (0, 1]. [N] float32
        kinds: One of the KIND_ constants. [N] uint8
    """

    points: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, rows: np.ndarray) -> EdgePoints:
        return EdgePoints(self.points[rows], self.normals[rows], self.weights[rows], self.kinds[rows])


def edge_points(points: np.ndarray, normals: np.ndarray, weights: np.ndarray, kinds: int | np.ndarray) -> EdgePoints:
    """The same with the types of :class:`EdgePoints`."""
    kinds = np.broadcast_to(np.asarray(kinds, np.uint8), len(points)).copy()
    return EdgePoints(points.astype(np.float32), normals.astype(np.float32), weights.astype(np.float32), kinds)


def no_points() -> EdgePoints:
    return edge_points(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), KIND_INTENSITY)


def joined(parts: list[EdgePoints]) -> EdgePoints:
    """One after the other."""
    if not parts:
        return no_points()
    return EdgePoints(
        np.concatenate([p.points for p in parts]),
        np.concatenate([p.normals for p in parts]),
        np.concatenate([p.weights for p in parts]),
        np.concatenate([p.kinds for p in parts]),
    )


@dataclass(frozen=True)
class Gradient:
    """Gradient of a picture, over all channels together.

    Attributes:
        magnitude: Square root of the greater eigenvalue of the sum over channels of ``g g^T`` (Di Zenzo 1986), per pixel. [H, W] float32
        direction: Its eigenvector, along which the picture changes most. [H, W, 2] float32 (x, y)
        curvature: Root of the summed squared Laplacians of the smoothed channels, per pixel squared: what is left of noise and texture
            where shading is smooth. [H, W] float32
        valid: Whether the weights near the pixel define a plane. [H, W] bool
    """

    magnitude: np.ndarray
    direction: np.ndarray
    curvature: np.ndarray
    valid: np.ndarray


def gradient(image: np.ndarray, weight: np.ndarray | None, sigma: float) -> Gradient:
    """Slope of the weighted least-squares plane through each pixel's surroundings, under a Gaussian window.

    Where all weights are equal this is the derivative of the Gaussian-smoothed picture; at the border of a mask only pixels inside count
    (normalised convolution, Knutsson and Westin 1993, first order), so that the mask itself is no edge.

    Args:
        image: [H, W, C] float32
        weight: Non-negative weight of each pixel, None for 1. [H, W] float32
        sigma: Of the window, pixels.
    """
    reach = int(np.ceil(3.5 * sigma))
    t = np.arange(-reach, reach + 1)
    g = np.exp(-(t**2) / (2 * sigma**2))
    g /= g.sum()
    kernels = [g, t * g, t**2 * g]
    if weight is None:
        # continued beyond the border with its slope, or the slope would end there and the border be an edge
        image = np.pad(image, ((reach, reach), (reach, reach), (0, 0)), mode="reflect", reflect_type="odd")
    mode = "nearest" if weight is None else "constant"
    ones = np.ones(image.shape[:2], np.float32) if weight is None else weight.astype(np.float32)

    def moments(values: np.ndarray, orders: list[tuple[int, int]]) -> list[np.ndarray]:
        rows = {ky: ndimage.correlate1d(values, kernels[ky], axis=0, mode=mode) for ky in {o[1] for o in orders}}
        return [ndimage.correlate1d(rows[ky], kernels[kx], axis=1, mode=mode) for kx, ky in orders]

    if weight is None:
        variance = float((t**2 * g).sum())
        total = ones
        xx = yy = np.full_like(ones, variance)
        xy = mx = my = np.zeros_like(ones)
    else:
        total, m10, m01, m20, m11, m02 = moments(ones, [(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)])
        safe = np.maximum(total, 1e-6)
        mx, my = m10 / safe, m01 / safe
        xx, xy, yy = m20 / safe - mx**2, m11 / safe - mx * my, m02 / safe - my**2
    determinant = xx * yy - xy**2
    # a half plane under the window has 0.36 of the variance across; a thin sliver does not define a slope
    valid = (total > 0.08) & (determinant > 0.06 * sigma**4)
    inverse = np.where(valid, 1 / np.where(valid, determinant, 1), 0)
    safe = np.maximum(total, 1e-6)
    jxx, jxy, jyy, curvature = (np.zeros(image.shape[:2], np.float32) for _ in range(4))
    for channel in range(image.shape[2]):
        values = image[..., channel] if weight is None else image[..., channel] * ones
        a00, a10, a01 = moments(values, [(0, 0), (1, 0), (0, 1)])
        mean = a00 / safe
        cx, cy = a10 / safe - mx * mean, a01 / safe - my * mean
        gx, gy = (yy * cx - xy * cy) * inverse, (xx * cy - xy * cx) * inverse
        jxx += gx * gx
        jxy += gx * gy
        jyy += gy * gy
        curvature += (_central(gx, 1) + _central(gy, 0)) ** 2
    half, difference = (jxx + jyy) / 2, (jxx - jyy) / 2
    magnitude = np.sqrt(half + np.sqrt(difference**2 + jxy**2))
    angle = 0.5 * np.arctan2(jxy, difference)
    direction = np.stack([np.cos(angle), np.sin(angle)], -1).astype(np.float32)
    own = np.s_[:, :] if weight is not None else np.s_[reach:-reach, reach:-reach]
    return Gradient(magnitude.astype(np.float32)[own], direction[own], np.sqrt(curvature)[own], valid[own])


def _central(values: np.ndarray, axis: int) -> np.ndarray:
    return ndimage.correlate1d(values, [-0.5, 0.0, 0.5], axis=axis, mode="nearest")


@dataclass(frozen=True)
class Ridge:
    """Ridge points of a map.

    Attributes:
        points: (x, y), pixels. [N, 2] float64
        normals: Unit, across the ridge. [N, 2] float64
        values: Height of the map there. [N]
        sides: Mean of the map on the two sides, ``side_px`` away. [N]
        cells: Row and column of the pixel each point was found from. [N, 2] int64
    """

    points: np.ndarray
    normals: np.ndarray
    values: np.ndarray
    sides: np.ndarray
    cells: np.ndarray


def ridge_points(height: np.ndarray, direction: np.ndarray, lowest: float, valid: np.ndarray | None = None, side_px: float = 3.0) -> Ridge:
    """Maxima of a map along given directions: non-maximum suppression, then a parabola through three logarithms along the normal, twice.

    The profile across a blurred step is a Gaussian, whose logarithm is a parabola: the fit is exact for it at any phase. Values between
    pixels come from a cubic spline.

    Args:
        height: Non-negative map. [H, W] float32
        direction: Unit direction across the ridge at each pixel. [H, W, 2]
        lowest: Ridges lower than this are not looked at.
        valid: Where points may be. [H, W] bool
        side_px: Distance at which ``sides`` is read.
    """
    candidate = height > lowest
    if valid is not None:
        candidate &= valid
    candidate[[0, -1]] = candidate[:, [0, -1]] = False
    rows, columns = np.nonzero(candidate)
    normals = direction[rows, columns].astype(np.float64)
    here = height[rows, columns]

    def linear(step: float) -> np.ndarray:
        at = [rows + step * normals[:, 1], columns + step * normals[:, 0]]
        return ndimage.map_coordinates(height, at, order=1, mode="nearest")

    top = (here >= linear(1.0)) & (here >= linear(-1.0))
    rows, columns, normals = rows[top], columns[top], normals[top]
    spline = _spline(height)

    def cubic(along: np.ndarray | float) -> np.ndarray:
        at = [rows + along * normals[:, 1], columns + along * normals[:, 0]]
        return ndimage.map_coordinates(spline, at, order=3, mode="nearest", prefilter=False)

    offset = np.zeros(len(rows))
    floor = 0.02 * lowest + 1e-12
    for step in (1.0, 0.7):
        left, middle, right = (np.log(np.maximum(cubic(offset + k * step), floor)) for k in (-1, 0, 1))
        bend = 2 * middle - left - right
        offset = offset + np.clip(step * 0.5 * (right - left) / np.maximum(bend, 1e-6), -0.8, 0.8)
    values = cubic(offset)
    sides = 0.5 * (cubic(offset - side_px) + cubic(offset + side_px))
    keep = (np.abs(offset) < 0.9) & (values > lowest)
    points = np.stack([columns + 0.5, rows + 0.5], 1) + offset[:, None] * normals
    return Ridge(points[keep], normals[keep], values[keep], np.maximum(sides[keep], 0), np.stack([rows, columns], 1)[keep])


def _spline(image: np.ndarray) -> np.ndarray:
    """Coefficients of the cubic spline through the pixels, for map_coordinates. [H, W] float32"""
    return ndimage.spline_filter(image, order=3).astype(np.float32)


def connected_to_strong(cells: np.ndarray, values: np.ndarray, shape: tuple[int, int], high: float, shortest: int) -> np.ndarray:
    """Hysteresis: points of 8-connected chains that reach ``high`` somewhere and have at least ``shortest`` pixels. [N] bool

    Args:
        cells: Row and column of each point. [N, 2]
        values: Its strength; all are above the low threshold. [N]
        shape: Of the picture.
    """
    if not len(cells):
        return np.zeros(0, bool)
    mask = np.zeros(shape, bool)
    mask[cells[:, 0], cells[:, 1]] = True
    labels = np.zeros(shape, np.int32)
    count = int(ndimage.label(mask, np.ones((3, 3)), output=labels))  # pyright: ignore[reportArgumentType]
    own = labels[cells[:, 0], cells[:, 1]]
    strongest = np.zeros(count + 1)
    np.maximum.at(strongest, own, values)
    pixels = np.bincount(labels.ravel(), minlength=count + 1)
    return (strongest[own] >= high) & (pixels[own] >= shortest)


def level_points(values: np.ndarray, sigma: float, level: float = 0.5) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points on the line where a smoothed map takes a value.

    Args:
        values: Share of each pixel that is covered. [H, W] float32
        sigma: Of the smoothing, pixels. On a circle of radius r the line moves inward by about ``sigma^2 / (2 r)``.
        level: The value.
    Returns:
        Points [N, 2], unit normals towards greater values [N, 2], and rows and columns of the pixels they were found from [N, 2].
        About one point per pixel along the line.
    """
    smooth = ndimage.gaussian_filter(values.astype(np.float32), sigma, mode="nearest")
    above = smooth >= level
    border = np.zeros(above.shape, bool)
    for axis in (0, 1):
        changed = np.diff(above, axis=axis)
        border |= np.pad(changed, [(1, 0) if k == axis else (0, 0) for k in (0, 1)])
        border |= np.pad(changed, [(0, 1) if k == axis else (0, 0) for k in (0, 1)])
    rows, columns = np.nonzero(border)
    if not len(rows):
        return np.zeros((0, 2)), np.zeros((0, 2)), np.zeros((0, 2), np.int64)
    spline = _spline(smooth)
    # directions need a wider window than positions: differences of a sharp raster depend on the angle to it
    wide = ndimage.gaussian_filter(values.astype(np.float32), np.hypot(sigma, 0.9), mode="nearest")
    gx, gy = _central(wide, 1)[rows, columns], _central(wide, 0)[rows, columns]
    steep = np.maximum(np.hypot(gx, gy), 1e-9)
    nx, ny = (gx / steep).astype(np.float64), (gy / steep).astype(np.float64)

    def at(along: np.ndarray) -> np.ndarray:
        return ndimage.map_coordinates(spline, [rows + along * ny, columns + along * nx], order=3, mode="nearest", prefilter=False)

    offset = np.zeros(len(rows))
    for _ in range(4):
        slope = np.maximum(2 * (at(offset + 0.25) - at(offset - 0.25)), 0.02)
        offset = np.clip(offset + np.clip((level - at(offset)) / slope, -0.5, 0.5), -1.5, 1.5)
    # every pixel beside the line gave a point: a point that lies in another pixel is that one's
    keep = (np.maximum(np.abs(offset * nx), np.abs(offset * ny)) <= 0.52) & (np.abs(at(offset) - level) < 0.02)
    normals = np.stack([nx, ny], 1)[keep]
    points = np.stack([columns + 0.5, rows + 0.5], 1)[keep] + offset[keep, None] * normals
    return points, normals, np.stack([rows, columns], 1)[keep]
