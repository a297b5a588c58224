"""Lens distortion: forward, inverse, and the pinhole camera that a distorted photograph is resampled to.

Source: OpenCV, "Camera Calibration and 3D Reconstruction" (Brown-Conrady and rational models; Kannala-Brandt for fisheye).
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
    if lens.model == "polynomial":
        factor = 1 + r2 * (k1 + r2 * (k2 + r2 * (k3 + r2 * k4)))
        return factor, k1 + r2 * (2 * k2 + r2 * (3 * k3 + r2 * 4 * k4))
    top, d_top = 1 + r2 * (k1 + r2 * (k2 + r2 * k3)), k1 + r2 * (2 * k2 + r2 * 3 * k3)
    bottom, d_bottom = 1 + r2 * (k4 + r2 * (k5 + r2 * k6)), k4 + r2 * (2 * k5 + r2 * 3 * k6)
    return top / bottom, (d_top * bottom - top * d_bottom) / bottom**2


def _theta(lens: Lens, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Distorted fisheye angle and its derivative."""
    k1, k2, k3, k4 = lens.k[:4]
    t2 = theta**2
    value = theta * (1 + t2 * (k1 + t2 * (k2 + t2 * (k3 + t2 * k4))))
    return value, 1 + t2 * (3 * k1 + t2 * (5 * k2 + t2 * (7 * k3 + t2 * 9 * k4)))


def distort(lens: Lens, xy: np.ndarray) -> np.ndarray:
    """Ideal to distorted normalised coordinates. [..., 2] -> [..., 2]"""
    xy = np.asarray(xy, np.float64)
    x, y = xy[..., 0], xy[..., 1]
    if lens.model == "fisheye":
        r = np.hypot(x, y)
        value, _ = _theta(lens, np.arctan(r))
        return xy * np.where(r > 1e-12, value / np.maximum(r, 1e-12), 1.0)[..., None]
    r2 = x**2 + y**2
    factor, _ = _radial(lens, r2)
    p1, p2 = lens.p
    return np.stack([x * factor + 2 * p1 * x * y + p2 * (r2 + 2 * x**2), y * factor + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y], axis=-1)


def jacobian(lens: Lens, xy: np.ndarray) -> np.ndarray:
    """Derivative of :func:`distort` for the perspective models. [..., 2] -> [..., 2, 2]"""
    x, y = xy[..., 0], xy[..., 1]
    factor, slope = _radial(lens, x**2 + y**2)
    p1, p2 = lens.p
    xx = factor + 2 * x**2 * slope + 2 * p1 * y + 6 * p2 * x
    yy = factor + 2 * y**2 * slope + 6 * p1 * y + 2 * p2 * x
    cross = 2 * x * y * slope + 2 * p1 * x + 2 * p2 * y
    return np.stack([np.stack([xx, cross], -1), np.stack([cross, yy], -1)], -2)


def undistort(lens: Lens, xy: np.ndarray) -> np.ndarray:
    """Distorted to ideal normalised coordinates by Newton's method, to rounding error. [..., 2] -> [..., 2]

    Points that the lens cannot produce (beyond the fold of its polynomial, or outside a fisheye's forward half-space) become NaN.
    """
    xy = np.asarray(xy, np.float64)
    with np.errstate(all="ignore"):
        if lens.model == "fisheye":
            return _undistort_fisheye(lens, xy)
        guess = xy.copy()
        for _ in range(60):
            residual = distort(lens, guess) - xy
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
        off = ~(np.abs(distort(lens, guess) - xy).max(axis=-1) < 1e-9)
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
    if lens.model == "fisheye":
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
    return f"{lens.model} " + ", ".join(f"{name} {value:g}" for name, value in named if value)
