"""Lens distortion: forward, inverse, and the pinhole camera that a distorted photograph is resampled to.

Source: OpenCV, "Camera Calibration and 3D Reconstruction" (Brown-Conrady and rational models; Kannala-Brandt for fisheye);
Devernay and Faugeras 2001 (fov), Fitzgibbon 2001 (division), Khomutenko et al. 2016 (eucm), Project Aria's fisheye624.
All functions are vectorised, float64, in normalised coordinates x = X/Z, y = Y/Z.
"""

from __future__ import annotations

import numpy as np

from recon.data.listing import FrameProblem, Lens

# Beyond this angle from the optical axis a pinhole image is mostly stretched border.
MAX_FISHEYE_ANGLE_RAD = np.deg2rad(75.0)
# A displacement nobody can see is not worth resampling (and softening) an image for.
NEGLIGIBLE_PX = 0.01


def _radial(lens: Lens, r2: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Radial factor and its derivative with respect to r^2."""
    k1, k2, k3, k4, k5, k6 = lens.k
    if lens.model == "fisheye624":
        factor = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * (k4 + r2 * (k5 + r2 * k6)))))
        return factor, k1 + r2 * (2 * k2 + r2 * (3 * k3 + r2 * (4 * k4 + r2 * (5 * k5 + r2 * 6 * k6))))
    if lens.model != "rational":
        factor = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
        return factor, k1 + r2 * (2 * k2 + r2 * (3 * k3 + r2 * 4 * k4))
    top, d_top = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)), k1 + r2 * (2 * k2 + r2 * 3 * k3)
    bottom, d_bottom = 1 + r2 * (k4 + r2 * (k5 + r2 * k6)), k4 + r2 * (2 * k5 + r2 * 3 * k6)
    return top / bottom, (d_top * bottom - top * d_bottom) / bottom**2


def _theta(lens: Lens, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distorted fisheye angle and its derivative."""
    factor, slope = _radial(lens, theta**2)
    return theta * factor, factor + 2 * theta**2 * slope


def distort(lens: Lens, xy: np.ndarray) -> np.ndarray:
    """Ideal to distorted normalised coordinates. [..., 2] -> [..., 2]"""
    xy = np.asarray(xy, np.float64)
    if lens.is_perspective:
        return _shift(lens, xy)
    r = np.linalg.norm(xy, axis=-1)
    if lens.model in ("fisheye", "fisheye624"):
        q = xy * np.where(r > 1e-12, np.arctan(r) / np.maximum(r, 1e-12), 1.0)[..., None]
        return _shift(lens, q)
    k1, k2 = lens.k[:2]
    with np.errstate(invalid="ignore", divide="ignore"):
        if lens.model == "fov":
            factor = np.where(r > 1e-9, np.arctan(2 * r * np.tan(k1 / 2)) / (k1 * np.maximum(r, 1e-9)), 2 * np.tan(k1 / 2) / k1)
        elif lens.model == "division":
            factor = 2 / (1 + np.sqrt(1 - 4 * k1 * r**2))
        else:
            factor = 1 / (k1 * np.sqrt(k2 * r**2 + 1) + 1 - k1)
    return xy * factor[..., None]


def _shift(lens: Lens, q: np.ndarray) -> np.ndarray:
    """Radial, tangential and prism terms at points of the plane. [..., 2] -> [..., 2]"""
    x, y = q[..., 0], q[..., 1]
    factor, _ = _radial(lens, x**2 + y**2)
    p1, p2 = lens.p
    s1, s2, s3, s4 = lens.s
    rx, ry = x * factor, y * factor
    if lens.model == "fisheye624":
        x, y = rx, ry
        p1, p2 = p2, p1  # its p1 goes with x
    r2 = x**2 + y**2
    return np.stack(
        [
            rx + 2 * p1 * x * y + p2 * (r2 + 2 * x**2) + r2 * (s1 + r2 * s2),
            ry + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y + r2 * (s3 + r2 * s4),
        ],
        axis=-1,
    )


def jacobian(lens: Lens, q: np.ndarray) -> np.ndarray:
    """Derivative of :func:`distort` for the perspective models, of its second step (on the equidistant plane) for the fisheye ones.
    [..., 2] -> [..., 2, 2]"""
    x, y = q[..., 0], q[..., 1]
    factor, slope = _radial(lens, x**2 + y**2)
    radial = _matrix(factor + 2 * x**2 * slope, 2 * x * y * slope, 2 * x * y * slope, factor + 2 * y**2 * slope)
    p1, p2 = lens.p
    s1, s2, s3, s4 = lens.s
    if lens.model == "fisheye624":
        x, y = x * factor, y * factor
        p1, p2 = p2, p1
    r2 = x**2 + y**2
    u, v = 2 * s1 + 4 * s2 * r2, 2 * s3 + 4 * s4 * r2
    rest = _matrix(
        2 * p1 * y + 6 * p2 * x + u * x, 2 * p1 * x + 2 * p2 * y + u * y, 2 * p1 * x + 2 * p2 * y + v * x, 6 * p1 * y + 2 * p2 * x + v * y
    )
    return radial + rest @ radial if lens.model == "fisheye624" else radial + rest


def _matrix(xx: np.ndarray, xy: np.ndarray, yx: np.ndarray, yy: np.ndarray) -> np.ndarray:
    return np.stack([np.stack([xx, xy], -1), np.stack([yx, yy], -1)], -2)


def undistort(lens: Lens, xy: np.ndarray) -> np.ndarray:
    """Distorted to ideal normalised coordinates by Newton's method, to rounding error. [..., 2] -> [..., 2]

    Points that the lens cannot produce (beyond the fold of its polynomial, or outside a fisheye's forward half-space) become NaN.
    """
    xy = np.asarray(xy, np.float64)
    with np.errstate(all="ignore"):
        if lens.is_perspective:
            return _unshift(lens, xy)
        if lens.model == "fisheye" and not any(lens.p) and not any(lens.s):
            return _undistort_fisheye(lens, xy)
        r2 = (xy**2).sum(-1)
        k1, k2 = lens.k[:2]
        if lens.model in ("fisheye", "fisheye624"):
            q = _unshift(lens, xy)
            theta = np.linalg.norm(q, axis=-1)
            factor = np.where(theta > 1e-12, np.tan(theta) / np.maximum(theta, 1e-12), 1.0)
            return np.where((theta < np.pi / 2)[..., None], q * factor[..., None], np.nan)
        if lens.model == "fov":
            r = np.sqrt(r2)
            angle = r * k1
            factor = np.where(r > 1e-9, np.tan(angle) / (2 * np.tan(k1 / 2) * np.maximum(r, 1e-9)), k1 / (2 * np.tan(k1 / 2)))
            factor = np.where(angle < np.pi / 2, factor, np.nan)
        elif lens.model == "division":
            # Beyond r^2 = 1 / |k| the distorted radius turns round (k > 0) or the ray leaves the half-space (k < 0).
            factor = np.where(np.abs(k1) * r2 < 1, 1 / (1 + k1 * r2), np.nan)
        else:
            # z of the point on the unit depth's ellipsoid, from Khomutenko et al. 2016, equation 20.
            root = 1 - (2 * k1 - 1) * k2 * r2
            z = (1 - k1**2 * k2 * r2) / (k1 * np.sqrt(root) + 1 - k1)
            factor = np.where((root >= 0) & (z > 0), 1 / z, np.nan)
        return xy * factor[..., None]


def _unshift(lens: Lens, xy: np.ndarray) -> np.ndarray:
    """Inverse of :func:`_shift` by Newton's method; NaN where there is none on the centre's branch. [..., 2] -> [..., 2]"""
    with np.errstate(all="ignore"):
        guess = xy.copy()
        for _ in range(60):
            residual = _shift(lens, guess) - xy
            j = jacobian(lens, guess)
            det = j[..., 0, 0] * j[..., 1, 1] - j[..., 0, 1] * j[..., 1, 0]
            step = (
                np.stack(
                    [
                        j[..., 1, 1] * residual[..., 0] - j[..., 0, 1] * residual[..., 1],
                        j[..., 0, 0] * residual[..., 1] - j[..., 1, 0] * residual[..., 0],
                    ],
                    axis=-1,
                )
                / det[..., None]
            )
            # A step is kept below a quarter of the radius so that it cannot jump over a fold onto another branch.
            length = np.linalg.norm(step, axis=-1, keepdims=True)
            limit = 0.25 * np.linalg.norm(guess, axis=-1, keepdims=True) + 1e-3
            guess = guess - step * np.minimum(1.0, limit / np.maximum(length, 1e-300))
            if np.nanmax(length, initial=0.0) < 1e-15:
                break
        off = ~(np.abs(_shift(lens, guess) - xy).max(axis=-1) < 1e-9)
        # The branch that holds the image centre has a positive determinant all the way from the centre out.
        folded = np.zeros_like(off)
        for t in np.linspace(0.1, 1.0, 10):
            j = jacobian(lens, guess * t)
            folded |= ~(j[..., 0, 0] * j[..., 1, 1] - j[..., 0, 1] * j[..., 1, 0] > 0)
    guess[off | folded] = np.nan
    return guess


def _undistort_fisheye(lens: Lens, xy: np.ndarray) -> np.ndarray:
    target = np.linalg.norm(xy, axis=-1)
    theta = np.minimum(target, np.pi / 2)
    for _ in range(60):
        value, slope = _theta(lens, theta)
        step = np.clip((value - target) / slope, -0.2, 0.2)
        theta = theta - step
        if np.nanmax(np.abs(step), initial=0.0) < 1e-15:
            break
    value, slope = _theta(lens, theta)
    bad = ~((np.abs(value - target) < 1e-9) & (slope > 0) & (theta < np.pi / 2) & (theta >= 0))
    theta = np.where(bad, np.nan, theta)
    return xy * np.where(target > 1e-12, np.tan(theta) / np.maximum(target, 1e-12), 1.0)[..., None]


def pinhole_for(
    lens: Lens, fx: float, fy: float, cx: float, cy: float, skew: float, width: int, height: int
) -> tuple[float, float, float, float]:
    """The pinhole camera of the same image size that sees the largest axis-aligned rectangle with no empty border.

    Args:
        lens, fx, fy, cx, cy, skew, width, height: The distorted camera, pixels.
    Returns:
        fx, fy, cx, cy of the undistorted image, pixels.
    Raises:
        FrameProblem: If the distortion cannot be inverted on the image's border.
    """
    t = np.linspace(0.0, 1.0, 257)
    edges = np.stack(
        [
            np.stack([0 * t, t * height], -1),
            np.stack([0 * t + width, t * height], -1),
            np.stack([t * width, 0 * t], -1),
            np.stack([t * width, 0 * t + height], -1),
        ]
    )
    y = (edges[..., 1] - cy) / fy
    ideal = undistort(lens, np.stack([(edges[..., 0] - cx - skew * y) / fx, y], -1))
    if not lens.is_perspective:
        # Border rays that leave the forward half-space, or come close, bound nothing; the rectangle is then cut at the largest angle.
        limit = np.tan(MAX_FISHEYE_ANGLE_RAD) / np.sqrt(2.0)
        ideal = np.where(np.isfinite(ideal), ideal, np.array([[[-limit, -limit]], [[limit, limit]], [[-limit, -limit]], [[limit, limit]]]))
        ideal = np.clip(ideal, -limit, limit)
    elif not np.isfinite(ideal).all():
        raise FrameProblem(
            f"the lens distortion ({_describe(lens)}) folds back inside the image, so it cannot be undone: check the sign and order of the "
            "coefficients and the focal length"
        )
    x0, x1 = ideal[0, :, 0].max(), ideal[1, :, 0].min()
    y0, y1 = ideal[2, :, 1].max(), ideal[3, :, 1].min()
    if not (x1 > x0 and y1 > y0):
        raise FrameProblem(f"the lens distortion ({_describe(lens)}) leaves no rectangular picture: check the coefficients")
    for _ in range(1000):
        xs, ys = x0 + t * (x1 - x0), y0 + t * (y1 - y0)
        sides = [(x0 + 0 * t, ys), (x1 + 0 * t, ys), (xs, y0 + 0 * t), (xs, y1 + 0 * t)]
        border = np.concatenate([np.stack(side, -1) for side in sides])
        px = to_pixels(lens, fx, fy, cx, cy, skew, border)
        if (px >= -1e-6).all() and (px[:, 0] <= width + 1e-6).all() and (px[:, 1] <= height + 1e-6).all():
            break
        xm, ym = (x0 + x1) / 2, (y0 + y1) / 2
        x0, x1, y0, y1 = xm + 0.999 * (x0 - xm), xm + 0.999 * (x1 - xm), ym + 0.999 * (y0 - ym), ym + 0.999 * (y1 - ym)
    else:
        raise FrameProblem(f"the lens distortion ({_describe(lens)}) leaves no rectangular picture: check the coefficients")
    new_fx, new_fy = width / (x1 - x0), height / (y1 - y0)
    return float(new_fx), float(new_fy), float(-x0 * new_fx), float(-y0 * new_fy)


def to_pixels(lens: Lens, fx: float, fy: float, cx: float, cy: float, skew: float, xy: np.ndarray) -> np.ndarray:
    """Ideal normalised coordinates to pixels of the distorted photograph. [..., 2] -> [..., 2]"""
    d = distort(lens, xy)
    return np.stack([fx * d[..., 0] + skew * d[..., 1] + cx, fy * d[..., 1] + cy], axis=-1)


def is_negligible(lens: Lens, fx: float, fy: float, cx: float, cy: float, skew: float, width: int, height: int) -> bool:
    """Whether lens and skew together move no point of the image by more than 0.01 px."""
    if lens.is_pinhole and skew == 0:
        return True
    u, v = np.meshgrid(np.linspace(0, width, 33), np.linspace(0, height, 33))
    xy = np.stack([(u - cx) / fx, (v - cy) / fy], -1)
    return bool(np.abs(to_pixels(lens, fx, fy, cx, cy, skew, xy) - np.stack([u, v], -1)).max() < NEGLIGIBLE_PX)


def _describe(lens: Lens) -> str:
    named = [(f"k{i + 1}", v) for i, v in enumerate(lens.k)] + [("p1", lens.p[0]), ("p2", lens.p[1])]
    named += [(f"s{i + 1}", v) for i, v in enumerate(lens.s)]
    return f"{lens.model} " + ", ".join(f"{name} {value:g}" for name, value in named if value)
