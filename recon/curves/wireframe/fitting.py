"""From an ordered chain of points to shapes: which primitives, by an information criterion, with their parameters fitted.

The price of a shape is what ``segment`` asks of its pieces: PRICE_LINE and another PRICE_FREEDOM for every degree of freedom. Points are
in pixels at the scene's centre throughout, so that residuals can be weighed against the noise of traced points.
"""

from __future__ import annotations

import numpy as np

from recon.curves.wireframe.segment import MAX_RMS_PX, NOISE_PX, PRICE_ARC, PRICE_LINE, Piece, cut
from recon.curves.wireframe.shapes import Shape, clamped_basis, evaluate, evaluate_with_jacobian, periodic_basis, tangents

PRICE_FREEDOM = (PRICE_ARC - PRICE_LINE) / 2
SMOOTH_RAD = np.radians(18.0)
"""Pieces that meet at a smaller angle may be parts of one smooth curve."""
MAX_SPLINE_CONTROLS = 16
FLAT_PX = 0.5
"""A spline whose control points scatter less about their plane is a plane curve."""

Fitted = tuple[Shape, np.ndarray, float]
"""A shape, its two ends [2, 3] (closed: [0, 3]), and its cost. Its ``ends`` are (0, 1) until it gets vertices."""


def price(shape: Shape, ends: np.ndarray) -> float:
    """What the criterion asks for a shape. A control point of a spline can move it in two directions; in a plane, as most are, in one."""
    freedom = shape.freedom
    if shape.kind == "spline":
        controls = np.concatenate([ends, shape.parameters.reshape(-1, 3)])
        thickness = np.linalg.svd(controls - controls.mean(0), compute_uv=False)[2] / np.sqrt(len(controls))
        if thickness < FLAT_PX:
            freedom = len(shape.parameters) // 3 + 3  # and the plane's own three
    return PRICE_LINE + PRICE_FREEDOM * freedom


def shapes_of_chain(points_px: np.ndarray, closed: bool) -> list[Fitted]:
    """The cheapest shapes for a chain, in order; each begins where the one before ends.

    Args:
        points_px: Ordered points. [N, 3]
        closed: The chain comes back to its start.
    Returns:
        One or more shapes; a single one without ends where the whole chain is a closed smooth curve.
    """
    if not closed:
        return _open_shapes(points_px)
    whole = closed_shape(points_px)
    joints = cut(np.concatenate([points_px, points_px[:1]]))
    start = joints[0].last % len(points_px)
    rolled = np.roll(points_px, -start, axis=0)
    parts = _open_shapes(np.concatenate([rolled, rolled[:1]]))
    return [whole] if whole is not None and whole[2] <= sum(p[2] for p in parts) else parts


def closed_shape(points_px: np.ndarray) -> Fitted | None:
    """The cheapest single closed shape through a closed chain, if any fits. [N, 3]"""
    return _best([_fit_circle(points_px), _fit_ellipse(points_px), *_closed_splines(points_px)])


def _open_shapes(points: np.ndarray) -> list[Fitted]:
    pieces = cut(points)
    fitted = [_fit_piece(points, p) for p in pieces]
    runs: list[list[int]] = []
    for k in range(len(pieces)):
        if runs and _turn(fitted[runs[-1][-1]], fitted[k]) < SMOOTH_RAD:
            runs[-1].append(k)
        else:
            runs.append([k])
    shapes: list[Fitted] = []
    for run in runs:
        parts = [fitted[k] for k in run]
        chain = points[pieces[run[0]].first : pieces[run[-1]].last + 1]
        one = _best([_fit_conic(chain), *_open_splines(chain)]) if len(run) > 1 and len(chain) >= 8 else None
        shapes += [one] if one is not None and one[2] < sum(p[2] for p in parts) else parts
    return shapes


def _fit_piece(points: np.ndarray, piece: Piece) -> Fitted:
    chain = points[piece.first : piece.last + 1]
    if piece.kind == "line":
        mean = chain.mean(0)
        direction = np.linalg.svd(chain - mean, full_matrices=False)[2][0]
        ends = mean + ((chain[[0, -1]] - mean) @ direction)[:, None] * direction
        return _priced(Shape("line", (0, 1), np.zeros(0)), ends, chain)
    middle = chain[len(chain) // 2]
    return polished(Shape("arc", (0, 1), middle.copy()), chain[[0, -1]].copy(), chain)


def _turn(before: Fitted, after: Fitted) -> float:
    """Angle between the end of one shape and the start of the next."""
    a = tangents(before[0], before[1], np.array([1.0]))[0]
    b = tangents(after[0], after[1], np.array([0.0]))[0]
    return float(np.arccos(np.clip(a @ b, -1, 1)))


def _best(options: list[Fitted | None]) -> Fitted | None:
    found = [o for o in options if o is not None and np.isfinite(o[2])]
    return min(found, key=lambda o: o[2]) if found else None


def _priced(shape: Shape, ends: np.ndarray, chain: np.ndarray) -> Fitted:
    rss = (distances(shape, ends, chain) ** 2).sum()
    fits = rss <= len(chain) * MAX_RMS_PX**2
    return shape, ends, rss / NOISE_PX**2 + price(shape, ends) if fits else np.inf


def distances(shape: Shape, ends: np.ndarray, chain: np.ndarray) -> np.ndarray:
    """Distances of points from a shape. [N]"""
    t = nearest_parameter(shape, ends, chain)
    gap = chain - evaluate(shape, ends, t)
    along = tangents(shape, ends, t)
    inside = (t > 0) & (t < 1) if shape.ends is not None else np.ones(len(t), bool)
    across = gap - np.where(inside, (gap * along).sum(1), 0.0)[:, None] * along
    return np.linalg.norm(across, axis=1)


def nearest_parameter(shape: Shape, ends: np.ndarray, chain: np.ndarray) -> np.ndarray:
    """Parameter of the nearest point, to a 400th of the curve. [N]"""
    t = np.linspace(0, 1, 401)
    p = evaluate(shape, ends, t)
    return t[((chain[:, None] - p[None]) ** 2).sum(-1).argmin(1)]


def polished(shape: Shape, ends: np.ndarray, chain: np.ndarray, iterations: int = 6) -> Fitted:
    """Gauss-Newton on the distances between a chain and a shape; the ends stay near where they are along the curve."""
    for _ in range(iterations):
        t = nearest_parameter(shape, ends, chain)
        at, jacobian = evaluate_with_jacobian(shape, ends, t)
        along = tangents(shape, ends, t)
        across = np.eye(3) - along[:, :, None] * along[:, None]
        j = (across @ jacobian).reshape(-1, jacobian.shape[2])
        r = np.einsum("sij,sj->si", across, at - chain).reshape(-1)
        h = j.T @ j
        step = np.linalg.solve(h + (1e-3 * np.trace(h) / len(h) + 1e-9) * np.eye(len(h)), -(j.T @ r))
        if not np.isfinite(step).all():
            return shape, ends, np.inf
        if shape.ends is not None:
            ends, step = ends + step[:6].reshape(2, 3), step[6:]
        shape = Shape(shape.kind, shape.ends, shape.parameters + step)
    return _priced(shape, ends, chain) if np.isfinite(shape.parameters).all() else (shape, ends, np.inf)


def plane_circle(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
    """Centre, normal and radius of the circle nearest to points (plane by principal axes, circle by Kasa's algebraic fit)."""
    mean = points.mean(0)
    axes = np.linalg.svd(points - mean, full_matrices=False)[2]
    y = (points - mean) @ axes[:2].T
    solution = np.linalg.lstsq(np.column_stack([2 * y, np.ones(len(y))]), (y**2).sum(1), rcond=None)[0]
    return mean + solution[:2] @ axes[:2], axes[2], float(np.sqrt(max(solution[2] + solution[:2] @ solution[:2], 1e-12)))


def _fit_circle(points: np.ndarray) -> Fitted | None:
    center, normal, radius = plane_circle(points)
    return polished(Shape("circle", None, np.concatenate([center, normal, [radius]])), np.zeros((0, 3)), points)


def _fit_ellipse(points: np.ndarray) -> Fitted | None:
    center = plane_circle(points)[0]
    axes = np.linalg.svd(points - center, full_matrices=False)[2][:2]
    y = (points - center) @ axes.T
    angle = np.arctan2(y[:, 1] / np.std(y[:, 1]), y[:, 0] / np.std(y[:, 0]))
    basis = np.stack([np.ones_like(angle), np.cos(angle), np.sin(angle)], axis=1)
    start = np.linalg.lstsq(basis, points, rcond=None)[0]
    return polished(Shape("ellipse", None, start.reshape(-1)), np.zeros((0, 3)), points, 10)


def _fit_conic(chain: np.ndarray) -> Fitted | None:
    """An open elliptic arc: the apex is where the end tangents meet, the weight from the height of the middle."""
    ends, mean = chain[[0, -1]], chain.mean(0)
    axes = np.linalg.svd(chain - mean, full_matrices=False)[2]
    y = (chain - mean) @ axes[:2].T
    k = max(len(chain) // 8, 2)
    first, last = y[k] - y[0], y[-1 - k] - y[-1]
    system = np.stack([first, -last], axis=1)
    if abs(np.linalg.det(system)) < 0.05 * np.linalg.norm(first) * np.linalg.norm(last):
        return None  # nearly half an ellipse or an S: not one rational quadratic
    s = np.linalg.solve(system, y[-1] - y[0])
    if s.min() <= 0:
        return None
    apex = mean + (y[0] + s[0] * first) @ axes[:2]
    middle = ends.mean(0)
    # affine coordinates: along the median to the apex, and along half the chord; the shoulder is where the second is 0
    frame = np.stack([apex - middle, (ends[1] - ends[0]) / 2], axis=1)
    affine = np.linalg.lstsq(frame, (chain - middle).T, rcond=None)[0]
    height = float(affine[0, np.abs(affine[1]).argmin()])
    if not 0 < height < 1:
        return None
    weight = np.clip(height / (1 - height), 0.02, 20.0)
    return polished(Shape("conic", (0, 1), np.append(apex, np.log(weight))), ends.copy(), chain, 10)


def _open_splines(chain: np.ndarray) -> list[Fitted | None]:
    s = _chord_parameter(chain)
    found: list[Fitted | None] = []
    for inner in range(2, min(MAX_SPLINE_CONTROLS, len(chain) // 3) + 1):
        basis = clamped_basis(inner + 2, s)
        controls = np.linalg.lstsq(basis, chain, rcond=None)[0]
        found.append(_priced(Shape("spline", (0, 1), controls[1:-1].reshape(-1)), controls[[0, -1]], chain))
    return found


def _closed_splines(points: np.ndarray) -> list[Fitted | None]:
    s = _chord_parameter(np.concatenate([points, points[:1]]))[:-1]
    found: list[Fitted | None] = []
    for count in range(4, min(MAX_SPLINE_CONTROLS, len(points) // 3) + 1):
        controls = np.linalg.lstsq(periodic_basis(count, s), points, rcond=None)[0]
        found.append(_priced(Shape("spline", None, controls.reshape(-1)), np.zeros((0, 3)), points))
    return found


def _chord_parameter(chain: np.ndarray) -> np.ndarray:
    s = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(chain, axis=0), axis=1))])
    return s / s[-1]
