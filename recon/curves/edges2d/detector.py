"""Edges of a photograph, to a fraction of a pixel: its silhouette, and what changes inside it.

The silhouette is the line on which half of a pixel is covered. Inside, edges are ridges of the colour gradient (Canny 1986; Di Zenzo
1986), found with colours of the object only, so that an edge that runs into the silhouette is found to its end and the silhouette is found
once. Thresholds follow what the picture shows by itself: a clean rendering keeps steps of two grey levels, a photograph does not.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage
from scipy.spatial import KDTree

from recon.curves.edges2d.ridges import (
    KIND_INTENSITY,
    KIND_SILHOUETTE,
    PICTURE_BLUR,
    EdgePoints,
    connected_to_strong,
    edge_points,
    gradient,
    joined,
    level_points,
    no_points,
    ridge_points,
)

# Steps in colour, 1 = from black to white in one channel. Below the first nothing is followed; a chain must reach the second somewhere.
LOWEST_STEP, SURE_STEP = 1.6 / 255, 3.5 / 255
# The same in standard deviations of what noise and texture make of such a step.
LOWEST_NOISE, SURE_NOISE, LOCAL_NOISE = 2.5, 5.0, 7.0
# From this step on a point has full weight.
FULL_STEP = 24 / 255
# Factor of the thresholds for faint edges.
FAINT = 0.5
# Side of the window in which noise is looked at.
NOISE_WINDOW_PX = 18
SILHOUETTE_SIGMA = 0.6
SHORTEST_PX = 6
# How far a line is followed to see whether it is one, and how many points that is at most.
NEIGHBOUR_PX, NEIGHBOURS = 5.0, 50


def detect(
    image: np.ndarray, coverage: np.ndarray | None, exact_coverage: bool, region: np.ndarray | None = None, faint: bool = False
) -> EdgePoints:
    """Edge points of a picture.

    Args:
        image: sRGB; a fourth channel is ignored. [H, W, 3 or 4] uint8
        coverage: Share of each pixel that is object, where known. [H, W] float32 in [0, 1]
        exact_coverage: ``coverage`` is alpha: its level line is the silhouette, and colours outside mean nothing. Otherwise it is a
            mask that somebody drew or computed: edges of the picture near its outline are the silhouette.
        region: Where edges are wanted at all. [H, W] bool
        faint: Find weaker edges too, and with them much that is none: for when a surface tells which are.
    Returns:
        About one point per pixel along each edge.
    """
    wanted = np.ones(image.shape[:2], bool) if region is None else region
    if coverage is not None:
        reach = ndimage.maximum_filter(coverage, size=9) > 0.02
        wanted = wanted & reach
    box = _box(wanted)
    if box is None:
        return no_points()
    part = image[box][..., :3].astype(np.float32) / 255
    cover = None if coverage is None else coverage[box]
    silhouette = _silhouette(cover) if cover is not None and exact_coverage else no_points()
    # Colours of pixels that are half covered are rounded to few levels and mixed by some renderers with what is behind.
    weight = np.where(cover > 0.6, cover, 0).astype(np.float32) if cover is not None and exact_coverage else None
    inside = inner_edges(part, weight, wanted[box], FAINT if faint else 1.0)
    if len(silhouette) and len(inside):
        inside = inside[~near_parallel(inside, silhouette, 1.6, 30.0)]
    if cover is not None and not exact_coverage:
        inside = _outlined(inside, cover)
    found = joined([silhouette, inside])
    origin = np.array([box[1].start, box[0].start], np.float32)
    keep = wanted[box][_cell(found.points, cover if cover is not None else wanted[box])]
    return EdgePoints(found.points + origin, found.normals, found.weights, found.kinds)[keep]


def inner_edges(image: np.ndarray, weight: np.ndarray | None, wanted: np.ndarray, thresholds: float = 1.0) -> EdgePoints:
    """Ridges of the colour gradient, with thresholds from the picture itself.

    Args:
        image: [H, W, 3] float32 in [0, 1]
        weight: As in :func:`recon.curves.edges2d.ridges.gradient`. [H, W] float32
        wanted: Where points may be. [H, W] bool
        thresholds: Multiplies them.
    """
    sigma = 0.9
    g = gradient(image, weight, sigma)
    usable = wanted & g.valid if weight is None else wanted & g.valid & (weight > 0)
    noise = step_noise(g.curvature[usable], sigma)
    if noise > 1.0 / 255:
        # Noise falls with the window, and so does what a fine texture makes of a step.
        sigma = 1.3
        g = gradient(image, weight, sigma)
        usable = wanted & g.valid if weight is None else wanted & g.valid & (weight > 0)
        noise = step_noise(g.curvature[usable], sigma)
    low, high = thresholds * max(LOWEST_STEP, LOWEST_NOISE * noise), thresholds * max(SURE_STEP, SURE_NOISE * noise)
    per_step = 1 / (np.sqrt(2 * np.pi) * np.hypot(sigma, PICTURE_BLUR))
    ridge = ridge_points(g.magnitude, g.direction, 0.5 * low * per_step, usable, side_px=3 * sigma)
    # A step stands out against both sides; the steepest place of a smooth shade does not.
    step = (ridge.values - ridge.sides) / per_step
    # Where the picture is noisier than on the whole (the grain of a soft shadow), a step counts for less in proportion.
    local = local_noise(g.curvature, usable, sigma)
    rows, columns = ridge.cells[:, 0], ridge.cells[:, 1]
    step = step / np.maximum(thresholds * LOCAL_NOISE * local[rows, columns] / high, 1.0)
    keep = step > 0.5 * low
    points, normals, cells, step = ridge.points[keep], ridge.normals[keep], ridge.cells[keep], step[keep]
    coherent = coherence(points, normals, step)
    # the end of a line has neighbours on one side only
    keep = coherent > 0.5 * low
    points, normals, cells, coherent = points[keep], normals[keep], cells[keep], coherent[keep]
    chained = connected_to_strong(cells, coherent, image.shape[:2], high, SHORTEST_PX)
    full = max(FULL_STEP, 4 * high)
    weights = np.clip(0.5 + 0.5 * (coherent - 0.5 * low) / (full - 0.5 * low), 0.5, 1)
    return edge_points(points[chained], normals[chained], weights[chained], KIND_INTENSITY)


def coherence(points: np.ndarray, normals: np.ndarray, step: np.ndarray) -> np.ndarray:
    """Mean step along the smooth line through each point, as far as its neighbours form one; texture forms none.

    A neighbour counts by how near it is, and by how well its direction is that of a circle through both points that continues the
    point's own direction (tensor voting's saliency, Medioni et al. 2000, simplified).

    Args:
        points: [N, 2] pixels; normals: [N, 2]; step: [N]
    Returns:
        The step itself in the middle of a straight or gently curved line, half of it at the line's end. [N]
    """
    if not len(points):
        return step
    count = min(NEIGHBOURS, len(points))
    distance, index = KDTree(points).query(points, k=count, distance_upper_bound=2.5 * NEIGHBOUR_PX)
    distance, index = distance.reshape(len(points), count), index.reshape(len(points), count)
    there = np.isfinite(distance)
    index = np.where(there, index, 0)
    distance = np.where(there, distance, 0)
    apart = points[index] - points[:, None]
    tangents = np.stack([-normals[:, 1], normals[:, 0]], 1)
    along = (apart * tangents[:, None]).sum(-1)
    across = (apart * normals[:, None]).sum(-1)
    off = np.arctan2(across, np.abs(along) + 1e-9) * np.sign(along)  # of the chord, seen from the point
    turned = (tangents[index] * normals[:, None]).sum(-1) / ((tangents[index] * tangents[:, None]).sum(-1) + 1e-9)
    bend = np.arctan(turned) - 2 * off
    near = np.exp(-(distance**2) / (2 * NEIGHBOUR_PX**2))
    # next to the point a fraction of a pixel across is a large angle
    off = np.where(distance < 1.5, 0, off)
    bend = np.where(distance < 1.5, np.arctan(turned), bend)
    weight = np.where(there, near * np.exp(-(off**2 + bend**2) / (2 * np.radians(20.0) ** 2)), 0)
    # a line whose points are a pixel apart has this much weight
    whole = float(np.exp(-(np.arange(-2.5 * NEIGHBOUR_PX, 2.5 * NEIGHBOUR_PX + 1) ** 2) / (2 * NEIGHBOUR_PX**2)).sum())
    return np.minimum((weight * step[index]).sum(1) / whole, 1.5 * (weight * step[index]).sum(1) / np.maximum(weight.sum(1), 1e-9))


def step_noise(curvature: np.ndarray, sigma: float) -> float:
    """Standard deviation of the height of steps that noise feigns, from the median Laplacian, which few edges and no smooth shade change.

    For white noise of standard deviation s the Gaussian derivative scaled to a step has ``s / (2 sigma)``,
    the Laplacian ``0.4 s / sigma^3``.
    """
    if not len(curvature):
        return 0.0
    return 1.25 * sigma**2 * float(np.median(curvature)) / 1.2  # 1.2: median of the length of three normal variables is 1.54, of one 0.67


def local_noise(curvature: np.ndarray, usable: np.ndarray, sigma: float) -> np.ndarray:
    """:func:`step_noise` around each pixel, in windows of NOISE_WINDOW_PX; of the curvature the median, which few edges change.

    Args:
        curvature: Length of the three channels' Laplacian. [H, W]
        usable: Where it means something. [H, W] bool
        sigma: Of the derivatives.
    """
    filled = np.where(usable, curvature, np.median(curvature[usable]) if usable.any() else 0.0)[::2, ::2]
    middle = ndimage.median_filter(filled, size=NOISE_WINDOW_PX // 2, mode="nearest")
    whole = np.repeat(np.repeat(middle, 2, axis=0), 2, axis=1)[: curvature.shape[0], : curvature.shape[1]]
    return 1.25 * sigma**2 * whole / 1.2


def near_parallel(points: EdgePoints, others: EdgePoints, reach_px: float, angle_deg: float) -> np.ndarray:
    """Whether one of the nearest others is within reach and runs in about the same direction. [N] bool"""
    return nearest_parallel(points, others, reach_px, angle_deg) >= 0


def nearest_parallel(points: EdgePoints, others: EdgePoints, reach_px: float, angle_deg: float) -> np.ndarray:
    """Index of the nearest other point within reach whose edge has about the same direction, -1 if there is none. [N] int64

    Of each point's eight nearest neighbours; more than eight within a few pixels belong to the same edges again.
    """
    if not len(points) or not len(others):
        return np.full(len(points), -1)
    count = min(8, len(others))
    distance, index = KDTree(others.points).query(points.points, k=count, distance_upper_bound=reach_px)
    distance, index = distance.reshape(len(points), count), index.reshape(len(points), count)
    safe = np.minimum(index, len(others) - 1)
    aligned = np.abs((points.normals[:, None] * others.normals[safe]).sum(-1)) >= np.cos(np.radians(angle_deg))
    fits = aligned & np.isfinite(distance)
    first = np.argmax(fits, axis=1)
    rows = np.arange(len(points))
    return np.where(fits[rows, first], safe[rows, first], -1)


def _silhouette(coverage: np.ndarray) -> EdgePoints:
    points, normals, _ = level_points(coverage, SILHOUETTE_SIGMA)
    return edge_points(points, normals, np.ones(len(points)), KIND_SILHOUETTE)


def _outlined(found: EdgePoints, coverage: np.ndarray) -> EdgePoints:
    """Mark edges along a mask's outline as silhouette; where the picture has none there, the outline itself counts, for less."""
    points, normals, _ = level_points(coverage, 1.0)
    outline = edge_points(points, normals, np.full(len(points), 0.5), KIND_SILHOUETTE)
    on_outline = near_parallel(found, outline, 3.0, 30.0)
    outside = coverage[_cell(found.points, coverage)] < 0.5
    kinds = np.where(on_outline, KIND_SILHOUETTE, found.kinds).astype(np.uint8)
    kept = EdgePoints(found.points, found.normals, found.weights, kinds)[on_outline | ~outside]
    return joined([kept, outline[~near_parallel(outline, kept, 4.0, 40.0)]])


def _cell(points: np.ndarray, like: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column of the pixel that holds each point."""
    cell = np.floor(points).astype(np.int64)
    return np.clip(cell[:, 1], 0, like.shape[0] - 1), np.clip(cell[:, 0], 0, like.shape[1] - 1)


def _box(mask: np.ndarray, margin: int = 6) -> tuple[slice, slice] | None:
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    h, w = mask.shape
    return slice(max(rows[0] - margin, 0), min(rows[-1] + margin + 1, h)), slice(
        max(columns[0] - margin, 0), min(columns[-1] + margin + 1, w)
    )
