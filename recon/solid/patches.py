"""Faces that no primitive explains, as B-splines: a profile drawn along a direction, or a height over a plane.

Both answer ``implicit(points)`` (signed distance to first order, unit normal) and ``surface()`` (OpenCASCADE's, the same function exactly).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.interpolate import BivariateSpline, BSpline, make_interp_spline, make_lsq_spline
from scipy.sparse import coo_matrix, diags_array, identity, kron, vstack
from scipy.sparse.linalg import spsolve
from scipy.spatial import KDTree

from recon.curves.files.occ import occ
from recon.solid.model import Primitive
from recon.solid.primitives import frame, unit

MARGIN = 0.08
"""Patches reach this part of their size beyond their points, so that neighbours' edges lie on them."""
STEEPEST = 0.2
"""Least cosine between a patch's normals and the direction over which it is a height."""
MOST_KNOTS = 20


def clamped_knots(low: float, high: float, pieces: int) -> np.ndarray:
    """Of a cubic spline with equal pieces. [pieces + 7]"""
    return np.concatenate([[low] * 3, np.linspace(low, high, pieces + 1), [high] * 3])


def _greville(knots: np.ndarray) -> np.ndarray:
    return np.stack([knots[k : len(knots) - 4 + k] for k in (1, 2, 3)]).mean(0)


def _occ_knots(knots: np.ndarray) -> tuple[Any, Any]:
    values, counts = np.unique(knots, return_counts=True)
    lists = occ("collections")
    a, b = lists.Array1_double(1, len(values)), lists.Array1_int(1, len(values))
    for k, (value, count) in enumerate(zip(values, counts, strict=True), 1):
        a.SetValue(k, float(value))
        b.SetValue(k, int(count))
    return a, b


@dataclass(frozen=True)
class Height:
    """z = s(u, v) over a plane, s a tensor product of cubic B-splines with clamped knots. ``axes``: rows u, v, z."""

    origin: np.ndarray
    axes: np.ndarray
    knots: tuple[np.ndarray, np.ndarray]
    coefficients: np.ndarray

    def implicit(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        local = (points - self.origin) @ self.axes.T
        (tu, tv), c = self.knots, self.coefficients
        spline = BivariateSpline._from_tck((tu, tv, c.ravel(), 3, 3))
        u, v = np.clip(local[:, 0], tu[0], tu[-1]), np.clip(local[:, 1], tv[0], tv[-1])
        slope = np.stack([-spline.ev(u, v, dx=1), -spline.ev(u, v, dy=1), np.ones(len(u))], 1)
        # beyond its rectangle the patch goes on along its tangents
        height = spline.ev(u, v) - slope[:, 0] * (local[:, 0] - u) - slope[:, 1] * (local[:, 1] - v)
        length = np.linalg.norm(slope, axis=1)
        return (local[:, 2] - height) / length, slope / length[:, None] @ self.axes

    def surface(self) -> Any:
        tu, tv = self.knots
        u, v = _greville(tu), _greville(tv)
        poles = occ("collections").Array2_gp_Pnt(1, len(u), 1, len(v))
        for i in range(len(u)):
            for j in range(len(v)):
                x = self.origin + np.array([u[i], v[j], self.coefficients[i, j]]) @ self.axes
                poles.SetValue(i + 1, j + 1, occ("gp").gp_Pnt(*map(float, x)))
        (ku, mu), (kv, mv) = _occ_knots(tu), _occ_knots(tv)
        return occ("Geom").Geom_BSplineSurface(poles, ku, kv, mu, mv, 3, 3)


@dataclass(frozen=True)
class Extrusion:
    """A plane curve drawn along a direction. ``axes``: rows x, y of the curve's plane, and the direction."""

    origin: np.ndarray
    axes: np.ndarray
    profile: BSpline
    closed: bool

    def _nearest(self, local: np.ndarray) -> np.ndarray:
        """Parameters of the nearest points of the profile, by samples and Newton's steps. [N, 2] -> [N]"""
        low, high = self.profile.t[0], self.profile.t[-1]
        grid = np.linspace(low, high, 40 * (len(self.profile.c) + 1))
        s = grid[KDTree(self.profile(grid)).query(local)[1]]
        first, second = self.profile.derivative(1), self.profile.derivative(2)
        reach = (high - low) / len(grid)
        for _ in range(8):
            r, d = self.profile(s) - local, first(s)
            gradient = np.einsum("ij,ij->i", r, d)
            curvature = np.einsum("ij,ij->i", d, d) + np.einsum("ij,ij->i", r, second(s))
            s = np.clip(s - np.clip(gradient / np.where(curvature > 0, curvature, np.inf), -reach, reach), low, high)
        return s

    def implicit(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        local = ((points - self.origin) @ self.axes.T)[:, :2]
        s = self._nearest(local)
        tangent = unit(self.profile.derivative(1)(s))
        normal = np.stack([tangent[:, 1], -tangent[:, 0]], 1)
        return np.einsum("ij,ij->i", local - self.profile(s), normal), normal @ self.axes[:2]

    def surface(self) -> Any:
        gp, c = occ("gp"), np.asarray(self.profile.c)
        poles = occ("collections").Array1_gp_Pnt(1, len(c))
        for k, (x, y) in enumerate(c):
            poles.SetValue(k + 1, gp.gp_Pnt(*map(float, self.origin + x * self.axes[0] + y * self.axes[1])))
        curve = occ("Geom").Geom_BSplineCurve(poles, *_occ_knots(self.profile.t), 3)
        return occ("Geom").Geom_SurfaceOfLinearExtrusion(curve, gp.gp_Dir(*map(float, self.axes[2])))


def height_patch(points: np.ndarray, normals: np.ndarray, sigma: float) -> Primitive | None:
    """A height over the plane across the mean normal, as smooth as the points' noise allows; None where the points turn away from it.

    Least squares with a weight on second differences of the coefficients (P-splines: Eilers and Marx, Statistical Science 11, 1996); pieces
    are doubled until the residual is the noise.
    """
    axis = unit(normals.mean(0))
    if np.quantile(normals @ axis, 0.01) < STEEPEST:
        return None
    e, f = frame(axis)
    origin = points.mean(0)
    axes = np.stack([e, f, axis])
    local = (points - origin) @ axes.T
    low, high = local[:, :2].min(0), local[:, :2].max(0)
    margin = MARGIN * (high - low).max()
    low, high = low - margin, high + margin
    best = None
    for pieces in (2, 4, 8, 14, MOST_KNOTS):
        tu, tv = clamped_knots(low[0], high[0], pieces), clamped_knots(low[1], high[1], pieces)
        bu, bv = (BSpline.design_matrix(local[:, k], t, 3).tocsr() for k, t in ((0, tu), (1, tv)))
        n = len(tu) - 4
        rows = np.repeat(np.arange(len(local)), 16)
        iu, iv = bu.indices.reshape(-1, 4), bv.indices.reshape(-1, 4)
        columns = (iu[:, :, None] * n + iv[:, None, :]).ravel()
        values = (bu.data.reshape(-1, 4)[:, :, None] * bv.data.reshape(-1, 4)[:, None, :]).ravel()
        basis = coo_matrix((values, (rows, columns)), shape=(len(local), n * n)).tocsr()
        second = diags_array([1.0, -2.0, 1.0], offsets=[0, 1, 2], shape=(n - 2, n))  # pyright: ignore[reportArgumentType]
        one = identity(n)
        rough = vstack([kron(second, one), kron(one, second)])
        weight = 1e-6 * len(local) / n**2
        system = basis.T @ basis + weight * rough.T @ rough + 1e-12 * len(local) * identity(n * n)
        c = np.asarray(spsolve(system.tocsc(), basis.T @ local[:, 2]))
        rms = float(np.sqrt(np.mean((basis @ c - local[:, 2]) ** 2)))
        if best is None or rms < 0.8 * best[0]:
            best = (rms, Height(origin, axes, (tu, tv), c.reshape(n, n)))
        if rms < sigma or len(local) < 4 * n * n:
            break
    return Primitive("bspline", origin, axis, patch=best[1])


def extrusion_direction(normals: np.ndarray, weights: np.ndarray, limit: float) -> np.ndarray | None:
    """The direction that all normals are across, within ``limit`` radians (root mean square); None if there is none. [3]"""
    values, vectors = np.linalg.eigh((normals * weights[:, None]).T @ normals / weights.sum())
    return vectors[:, 0] if np.sqrt(max(values[0], 0)) < limit and values[1] > 4 * max(values[0], limit**2) else None


def extrusion_patch(
    points: np.ndarray, direction: np.ndarray, guide: np.ndarray, closed: bool, exact: bool, pieces: int
) -> Primitive | None:
    """A profile drawn along a direction.

    Args:
        points: On the face. [N, 3]
        direction: Unit.
        guide: A polyline that runs once along the whole profile (an outline of the face). [n, 3]
        closed: The profile runs back into itself.
        exact: Interpolate the guide (its points are on the face) instead of fitting all points.
        pieces: Of the fitted profile.
    """
    e, f = frame(direction)
    origin = guide.mean(0)
    axes = np.stack([e, f, direction])
    path = ((guide - origin) @ axes.T)[:, :2]
    keep = np.concatenate([[True], np.linalg.norm(np.diff(path, axis=0), axis=1) > 1e-9 * np.ptp(path)])
    path = path[keep]
    way = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(path, axis=0), axis=1))])
    if len(path) < 5:
        return None
    if exact:
        if closed:
            path[-1] = path[0]
        spline = make_interp_spline(way, path, 3, bc_type="periodic" if closed else None)
    else:
        local = ((points - origin) @ axes.T)[:, :2]
        grid = np.linspace(0, way[-1], 20 * len(path))
        dense = np.stack([np.interp(grid, way, path[:, k]) for k in range(2)], 1)
        at = grid[KDTree(dense).query(local)[1]]
        order = np.argsort(at, kind="stable")
        at, local = at[order], local[order]
        spline = make_lsq_spline(at + 1e-12 * np.arange(len(at)), local, clamped_knots(0.0, max(way[-1], at[-1] + 1e-9), pieces), 3)
    if not closed:
        spline = _extended(spline, MARGIN * way[-1])
    elif exact:
        spline = _clamped(spline)
    return Primitive("bspline", origin, direction, patch=Extrusion(origin, axes, spline, closed))


def _extended(spline: BSpline, by: float) -> BSpline:
    """The same cubic spline on a domain that is longer at both ends: its first and last pieces go on."""
    knots = spline.t.copy()
    knots[:4] -= by
    knots[-4:] += by
    at = _greville(knots)
    return make_interp_spline(at, spline(at, extrapolate=True), 3, t=knots)


def _clamped(spline: BSpline) -> BSpline:
    """A periodic spline as a clamped one that begins and ends at the same point."""
    inner = np.unique(np.clip(spline.t, spline.t[3], spline.t[-4]))
    knots = np.concatenate([[inner[0]] * 3, inner, [inner[-1]] * 3])
    at = _greville(knots)
    return make_interp_spline(at, spline(at, extrapolate="periodic"), 3, t=knots)
