"""Wireframes as DXF (extra ``[cad]``): exact entities in 3D."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from recon.curves.files.curve import Curve
from recon.curves.files.projection import TYPE_COLORS
from recon.curves.files.wireframe import Wireframe
from recon.errors import require_extra
from recon.system.files import whole

UNIT_CODES = {"in": 1, "ft": 2, "mm": 4, "cm": 5, "m": 6, "um": 13, "dm": 14, "km": 7}
"""DXF's ``$INSUNITS``; 0 where the unit is not known."""


def write_dxf(wireframe: Wireframe, path: Path) -> None:
    """Write LINE, ARC, CIRCLE, ELLIPSE and rational SPLINE entities (DXF R2010), a layer for each type.

    Arcs and circles lie in the plane of their own normal (their object coordinate system); nothing is flattened.

    Raises:
        CapabilityError: Without ezdxf.
    """
    ezdxf = require_extra("ezdxf", "cad", "Writing DXF")
    document = ezdxf.new("R2010")
    document.units = UNIT_CODES.get(wireframe.unit or "", 0)
    for kind, color in TYPE_COLORS.items():
        document.layers.add(kind).rgb = color
    space = document.modelspace()
    for curve in wireframe.curves:
        _add(space, curve, ezdxf)
    if wireframe.curves:
        # Programs open a drawing at the place and size that it says, wherever its lines are.
        points = np.concatenate([curve.control_points for curve in wireframe.curves])
        low, high = points.min(0), points.max(0)
        space.reset_extents(low.tolist(), high.tolist())
        middle, height = (low + high) / 2, float((high - low)[:2].max())
        document.set_modelspace_vport(1.1 * height if height > 0 else 1.0, (float(middle[0]), float(middle[1])))
    with whole(path) as part:
        document.saveas(part)


def _add(space: Any, curve: Curve, ezdxf: Any) -> None:
    p, attributes = curve.parameters, {"layer": curve.type}
    if curve.type == "line":
        space.add_line(curve.control_points[0].tolist(), curve.control_points[-1].tolist(), attributes)
        return
    if curve.type == "bezier":
        knots = np.concatenate([[0], np.repeat(np.arange(curve.pieces + 1), 3), [curve.pieces]]).astype(float)
        spline = space.add_spline(degree=3, dxfattribs=attributes)
        spline.control_points, spline.knots = curve.control_points.tolist(), knots.tolist()
        if np.ptp(curve.weights) > 0:
            spline.weights = curve.weights.tolist()
        return
    center, x, normal = (np.array(p[key]) for key in ("center", "x_axis", "normal"))
    start, end = p["angles_rad"]
    if curve.type == "ellipse":
        major, ratio, turn = _major_axis(p)
        angles = {"start_param": start - turn, "end_param": end - turn}
        space.add_ellipse(center.tolist(), major.tolist(), ratio, dxfattribs={**attributes, "extrusion": normal.tolist()}, **angles)
        return
    system = ezdxf.math.OCS(normal.tolist())
    local_center = system.from_wcs(center.tolist())
    local_x = system.from_wcs(x.tolist())
    attributes["extrusion"] = normal.tolist()
    if curve.type == "circle":
        space.add_circle(local_center, p["radius"], attributes)
        return
    offset = math.atan2(local_x[1], local_x[0])
    space.add_arc(local_center, p["radius"], math.degrees(start + offset), math.degrees(end + offset), dxfattribs=attributes)


def _major_axis(parameters: dict) -> tuple[np.ndarray, float, float]:
    """The longer half axis, the ratio of the shorter to it, and the angle at which the curve's own angles see that axis."""
    first, second = parameters["radii"]
    if first >= second:
        return first * np.array(parameters["x_axis"]), second / first, 0.0
    return second * np.array(parameters["y_axis"]), first / second, math.pi / 2
