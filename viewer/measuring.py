"""What is measured on the page: points on the surface or on curves, distances, diameters, angles. Knows no browser."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recon.curves import Wireframe
from recon.curves.files.curve import Curve
from recon.surface.raycast import RayScene, cast
from viewer.picking import CurveLines, pick_point

IN_FRONT = 0.02
"""A curve counts as before the surface if it is no further behind it than this, scene units: curves lie on the surface."""


@dataclass(frozen=True)
class Measured:
    """A figure.

    Attributes:
        what: "distance", "diameter", "radius", "length", "angle".
        value: World units of the run, or degrees.
        scales: Whether it changes with the world's scale: all but angles do.
    """

    what: str
    value: float
    scales: bool = True


def point_under(origin: np.ndarray, direction: np.ndarray, surface: RayScene | None, lines: CurveLines | None) -> np.ndarray | None:
    """Where a click points to: the nearest curve within its tolerance, unless the surface hides it; else the surface; None if neither.

    Args:
        origin, direction: The ray of the click, scene units. [3], [3]
        surface: The mesh, scene units.
        lines: The drawn curves, scene units.
    """
    d = np.asarray(direction, np.float64) / np.linalg.norm(direction)
    reach = np.inf if surface is None else float(cast(surface, np.asarray(origin)[None], d[None]).distance[0])
    picked = None if lines is None else pick_point(lines, origin, direction)
    if picked is not None and (picked[1] - origin) @ d <= reach + IN_FRONT:
        return picked[1]
    return None if not np.isfinite(reach) else np.asarray(origin, np.float64) + reach * d


def distance(a: np.ndarray, b: np.ndarray, world_scale: float) -> Measured:
    """Between two points of the scene; ``world_scale``: world units in a scene unit."""
    return Measured("distance", world_scale * float(np.linalg.norm(np.asarray(a) - np.asarray(b))))


def of_curve(curve: Curve) -> list[Measured]:
    """What can be measured on a curve, world units: of circles and arcs the diameter, of an ellipse both, of all the length."""
    length = Measured("length", curve.length)
    if "radius" in curve.parameters:
        return [Measured("diameter", 2.0 * float(curve.parameters["radius"])), length]
    if "radii" in curve.parameters:
        return [*(Measured("diameter", 2.0 * float(r)) for r in sorted(curve.parameters["radii"], reverse=True)), length]
    return [length]


def angle(a: Curve, b: Curve) -> Measured | None:
    """Between two curves that have a direction: of lines theirs, of circles, arcs and ellipses their axis. 0 to 90 degrees; else None."""
    first, second = _direction(a), _direction(b)
    if first is None or second is None:
        return None
    cosine = abs(float(first @ second))
    return Measured("angle", float(np.degrees(np.arctan2(np.linalg.norm(np.cross(first, second)), cosine))), scales=False)


def _direction(curve: Curve) -> np.ndarray | None:
    if curve.type == "line":
        along = curve.control_points[-1] - curve.control_points[0]
    elif "normal" in curve.parameters:
        along = np.asarray(curve.parameters["normal"], np.float64)
    else:
        return None
    return along / np.linalg.norm(along)


def described(found: Measured, factor: float, unit: str | None) -> str:
    """A figure as text; ``factor`` by a known distance, ``unit`` of the result."""
    if not found.scales:
        return f"{found.what} {found.value:.2f} degrees"
    return f"{found.what} {found.value * factor:.5g} {unit or 'world units'}"


def curve_at(wireframe: Wireframe | None, index: int | None) -> Curve | None:
    """A curve by its number; None if there is none."""
    return None if wireframe is None or index is None else wireframe.curves[index]
