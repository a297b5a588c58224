"""The built-in CAD parts, written with :mod:`scenes.modelling`. Millimetres, z up, placed away from the origin on purpose."""

from __future__ import annotations

from typing import Any

import numpy as np

from scenes.modelling import box, chamfer, cut, cylinder, extrude, fillet, moved, polygon, union


def bracket() -> Any:
    """A bearing bracket: rounded base with counterbored holes and a slot, a wall with a bored boss, two ribs, a filleted foot."""
    base = fillet(box((-50, -30, 0), (50, 30, 12)), 12, lambda m, t: abs(t[2]) > 0.9)
    wall = union(box((-30, 18, 0), (30, 30, 55)), cylinder((0, 18, 55), (0, 1, 0), 30, 12))
    body = fillet(union(base, wall), 6, lambda m, t: abs(m[2] - 12) < 1e-6 and abs(m[1] - 18) < 1e-6)
    body = union(body, cylinder((0, 8, 55), (0, 1, 0), 20, 12))
    for x in (-25, 19):
        body = union(body, extrude(polygon([(x, 19, 11), (x, -14, 11), (x, 19, 44)]), (6, 0, 0)))
    body = cut(body, cylinder((0, 0, 55), (0, 1, 0), 13, 40))
    body = chamfer(body, 1.5, lambda m, t: abs(np.hypot(m[0], m[2] - 55) - 13) < 1e-6)
    for x in (-40, 40):
        for y in (-18, 18):
            body = cut(body, cylinder((x, y, -1), (0, 0, 1), 4.5, 20), cylinder((x, y, 8), (0, 0, 1), 8, 10))
    body = cut(body, union(box((-10, -22, -1), (10, -14, 20)), *(cylinder((x, -18, -1), (0, 0, 1), 4, 21) for x in (-10, 10))))
    return moved(body, (120, -45, 60))


PARTS = {"bracket": bracket}
"""Builder of each CAD scene, by the scene's name."""
