"""Points of arcs, conics and circles, and their exact derivatives by all that the points depend on.

Written out by hand: refining a wireframe asks for them thousands of times, for a few points each, and automatic differentiation takes
milliseconds a time. A derivative of a vector [3] by L parameters is a matrix [3, L], that of a number a row [L].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Frame:
    """A circle in space with a start.

    Attributes:
        center: [3]
        e1, e2: Unit, in its plane, e1 towards the start. [3]
        radius, angle: Of the arc; 2 pi of a circle.
        d_center, d_e1, d_e2: [3, L]
        d_radius, d_angle: [L]
    """

    center: np.ndarray
    e1: np.ndarray
    e2: np.ndarray
    radius: float
    angle: float
    d_center: np.ndarray
    d_e1: np.ndarray
    d_e2: np.ndarray
    d_radius: np.ndarray
    d_angle: np.ndarray


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product along the first axis, of [3] and [3, L] in any combination."""
    if a.ndim < b.ndim:
        a = a[:, None]
    elif b.ndim < a.ndim:
        b = b[:, None]
    return np.stack([a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]])


def _normalized(v: np.ndarray, d: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """v / |v| and its derivative. [3], [3, L]"""
    size = np.sqrt(v @ v)
    unit = v / size
    return unit, (d - np.outer(unit, unit @ d)) / size


def arc_frame(x: np.ndarray) -> Frame:
    """Of the arc from A to B through M, ``x = (A, B, M)``. [9]; not finite where the three are on a line."""
    a, b, m = x[:3], x[3:6], x[6:9]
    eye, none = np.eye(3), np.zeros((3, 3))
    da, db, dm = np.hstack([eye, none, none]), np.hstack([none, eye, none]), np.hstack([none, none, eye])
    u, v, du, dv = m - a, b - a, dm - da, db - da
    w = cross(u, v)
    dw = cross(du, v) + cross(u, dv)
    with np.errstate(divide="ignore", invalid="ignore"):
        uu, vv, ww, wu, vw = u @ u, v @ v, w @ w, cross(w, u), cross(v, w)
        above = vv * wu + uu * vw
        d_above = (
            np.outer(wu, 2 * (v @ dv))
            + vv * (cross(dw, u) + cross(w, du))
            + np.outer(vw, 2 * (u @ du))
            + uu * (cross(dv, w) + cross(v, dw))
        )
        center = a + above / (2 * ww)
        d_center = da + d_above / (2 * ww) - np.outer(above, w @ dw) / ww**2
        start, d_start = a - center, da - d_center
        radius = float(np.sqrt(start @ start))
        e1, d_e1 = _normalized(start, d_start)
        normal, d_normal = _normalized(w, dw)
        e2, d_e2 = cross(normal, e1), cross(d_normal, e1) + cross(normal, d_e1)
        end, d_end = b - center, db - d_center
        along, aside = end @ e1, end @ e2
        d_along, d_aside = e1 @ d_end + end @ d_e1, e2 @ d_end + end @ d_e2
        d_angle = (along * d_aside - aside * d_along) / (along**2 + aside**2)
    angle = float(np.mod(np.arctan2(aside, along), 2 * np.pi))
    return Frame(center, e1, e2, radius, angle, d_center, d_e1, d_e2, e1 @ d_start, d_angle)


def circle_frame(x: np.ndarray) -> Frame:
    """Of the circle with ``x = (centre, normal of any length, radius)``. [7]"""
    eye = np.eye(3)
    n, dn = _normalized(x[3:6], np.hstack([np.zeros((3, 3)), eye, np.zeros((3, 1))]))
    reference = eye[int(np.abs(n).argmin())]
    e1, d_e1 = _normalized(cross(n, reference), cross(dn, reference))
    e2, d_e2 = cross(n, e1), cross(dn, e1) + cross(n, d_e1)
    d_center = np.hstack([eye, np.zeros((3, 4))])
    return Frame(x[:3], e1, e2, float(x[6]), 2 * np.pi, d_center, d_e1, d_e2, np.eye(7)[6], np.zeros(7))


def on_frame(f: Frame, t: np.ndarray) -> np.ndarray:
    """Points at t in [0, 1]. [S] -> [S, 3]"""
    turned = (t * f.angle)[:, None]
    return f.center + f.radius * (np.cos(turned) * f.e1 + np.sin(turned) * f.e2)


def frame_jacobian(f: Frame, t: np.ndarray) -> np.ndarray:
    """Derivatives of the points at t. [S] -> [S, 3, L]"""
    c, s = np.cos(t * f.angle)[:, None, None], np.sin(t * f.angle)[:, None, None]
    outward, onward = c[..., 0] * f.e1 + s[..., 0] * f.e2, c[..., 0] * f.e2 - s[..., 0] * f.e1
    turning = f.radius * t[:, None, None] * onward[:, :, None] * f.d_angle
    return f.d_center + outward[:, :, None] * f.d_radius + f.radius * (c * f.d_e1 + s * f.d_e2) + turning


def conic(x: np.ndarray, t: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Points of the rational quadratic from A to B with apex P and the apex's weight exp(q), ``x = (A, B, P, q)``, and their derivatives.

    Args:
        x: [10]
        t: In [0, 1]. [S]
    Returns:
        [S, 3], [S, 3, 10]
    """
    w = np.exp(x[9])
    weights = np.stack([(1 - t) ** 2, t**2, 2 * t * (1 - t) * w], axis=1)  # of A, B, P
    weights /= weights.sum(1, keepdims=True)
    points = weights @ x[:9].reshape(3, 3)
    by_corners = np.einsum("sk,ij->sikj", weights, np.eye(3)).reshape(len(t), 3, 9)
    by_weight = weights[:, 2:] * (x[6:9] - points)
    return points, np.concatenate([by_corners, by_weight[:, :, None]], axis=2)
