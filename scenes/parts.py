"""The built-in CAD parts, written with :mod:`scenes.modelling`. Millimetres, z up, placed away from the origin on purpose."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from scenes.modelling import (
    arc,
    box,
    chamfer,
    common,
    cone,
    cut,
    cylinder,
    extrude,
    fillet,
    moved,
    oval,
    polygon,
    polyhedron,
    revolve,
    segment,
    spline,
    sweep,
    torus,
    union,
    wire,
)
from scenes.modelling import circle as ring

Z = (0, 0, 1)


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
            body = cut(body, cylinder((x, y, -1), Z, 4.5, 20), cylinder((x, y, 8), Z, 8, 10))
    body = cut(body, union(box((-10, -22, -1), (10, -14, 20)), *(cylinder((x, -18, -1), Z, 4, 21) for x in (-10, 10))))
    return moved(body, (120, -45, 60))


def flange() -> Any:
    """A welding-neck flange: bolt circle, raised face, conical neck with a fillet, through bore."""
    profile = [(14, 0), (45, 0), (45, 10), (25, 10), (19, 30), (19, 38), (14, 38)]
    body = revolve(polygon([(r, 0, z) for r, z in profile]), (0, 0, 0), Z)
    body = fillet(body, 5, lambda m, t: abs(m[2] - 10) < 1e-6 and abs(np.hypot(m[0], m[1]) - 25) < 1e-6)
    body = union(body, cut(cylinder((0, 0, -2), Z, 28, 2), cylinder((0, 0, -3), Z, 14, 5)))
    for k in range(6):
        a = math.pi / 3 * k + 0.2
        body = cut(body, cylinder((36 * math.cos(a), 36 * math.sin(a), -5), Z, 4, 30))
    return moved(body, (-200, 80, 30))


def gear() -> Any:
    """A spur wheel with twelve straight-flanked teeth, a hub, a keyway and lightening holes."""
    edges, teeth = [], 12
    corners = []
    for k in range(teeth):
        a = 2 * math.pi * k / teeth
        for radius, turn in ((32, -0.16), (42, -0.075), (42, 0.075), (32, 0.16)):
            corners.append((radius, a + turn))
    for k, (radius, a) in enumerate(corners):
        following, b = corners[(k + 1) % len(corners)]
        b += 2 * math.pi if b < a else 0
        start, end = ((r * math.cos(t), r * math.sin(t), 0) for r, t in ((radius, a), (following, b)))
        middle = (radius * math.cos((a + b) / 2), radius * math.sin((a + b) / 2), 0)
        edges.append(arc(start, middle, end) if radius == following else segment(start, end))
    body = union(extrude(wire(edges), (0, 0, 14)), cylinder((0, 0, 0), Z, 15, 24))
    body = cut(body, cylinder((0, 0, -1), Z, 8, 40), box((-2.5, 0, -1), (2.5, 10.5, 40)))
    body = cut(body, *(cylinder((23 * math.cos(a), 23 * math.sin(a), -1), Z, 4.5, 30) for a in np.arange(6) * math.pi / 3 + 0.26))
    return moved(body, (60, 60, 60), (1, 0, 0), 0.4)


def elbow() -> Any:
    """A quarter pipe bend with a round flange at each end."""
    quarter = arc((0, 0, 0), (40 * (1 - math.sqrt(0.5)), 0, 40 * math.sqrt(0.5)), (40, 0, 40))
    outer, inner = (sweep(wire([ring((0, 0, 0), Z, r)]), wire([quarter])) for r in (14, 10))
    straight = [cylinder((0, 0, -15), Z, 14, 15), cylinder((40, 0, 40), (1, 0, 0), 14, 15)]
    hollow = [cylinder((0, 0, -16), Z, 10, 16), cylinder((40, 0, 40), (1, 0, 0), 10, 16)]
    rims = [cylinder((0, 0, -21), Z, 26, 8), cylinder((53, 0, 40), (1, 0, 0), 26, 8)]
    body = cut(union(outer, *straight, *rims), inner, *hollow, cylinder((0, 0, -30), Z, 10, 20), cylinder((50, 0, 40), (1, 0, 0), 10, 20))
    for k in range(4):
        a = math.pi / 2 * k + math.pi / 4
        c, s = 20 * math.cos(a), 20 * math.sin(a)
        body = cut(body, cylinder((c, s, -30), Z, 2.8, 25), cylinder((45, c, 40 + s), (1, 0, 0), 2.8, 25))
    return moved(body, (10, -150, 75))


def chamfered() -> Any:
    """A block with chamfered edges, a stepped pocket and a V groove."""
    body = chamfer(box((-40, -28, 0), (40, 28, 36)), 4, lambda m, t: abs(t[2]) > 0.9 or m[2] > 35)
    body = cut(body, box((-26, -14, 20), (6, 14, 40)), box((-20, -8, 10), (0, 8, 40)))
    body = cut(body, extrude(polygon([(16, -40, 40), (30, -40, 40), (23, -40, 26)]), (0, 80, 0)))
    return moved(body, (33, 44, -55), Z, 0.3)


def filleted() -> Any:
    """A pillow block whose outer edges are all rounded; the sharp edges are those of a pocket and a bore."""
    body = fillet(box((-40, -25, 0), (40, 25, 30)), 7, lambda m, t: True)
    body = union(body, cylinder((0, 0, 20), Z, 16, 28))
    body = fillet(body, 5, lambda m, t: abs(m[2] - 30) < 1e-6 and abs(np.hypot(m[0], m[1]) - 16) < 1e-6)
    body = cut(body, cylinder((0, 0, 12), Z, 9, 50), cylinder((-60, 0, 15), (1, 0, 0), 5, 120))
    return moved(body, (-70, 20, 110))


def ellipses() -> Any:
    """An oval plate with an oval window, and a round post cut off obliquely: whole ellipses and elliptical arcs."""
    plate = extrude(wire([oval((0, 0, 0), Z, (1, 0, 0), (48, 30))]), (0, 0, 10))
    plate = cut(plate, extrude(wire([oval((22, 0, -1), Z, (0, 1, 0), (14, 8))]), (0, 0, 20)))
    post = cylinder((-16, 0, 5), Z, 14, 60)
    post = cut(post, moved(box((-60, -60, 0), (60, 60, 80)), (-16, 0, 40), (0, 1, 0), 0.62))
    body = union(plate, post)
    body = cut(body, cylinder((-70, 0, 22), (0.8, 0, 0.25), 4, 120))
    return moved(body, (5, 5, 400), Z, -0.5)


def cam() -> Any:
    """A disc cam: free outline (periodic cubic spline), hub, bore with a keyway."""
    a = np.arange(10) * 2 * math.pi / 10
    r = np.array([30, 31, 36, 46, 52, 47, 38, 32, 34, 33])
    outline = wire([spline([(x, y, 0) for x, y in zip(r * np.cos(a), r * np.sin(a), strict=True)], closed=True)])
    body = union(extrude(outline, (0, 0, 12)), cylinder((0, 0, -6), Z, 15, 24))
    body = cut(body, cylinder((0, 0, -10), Z, 8, 40), box((-2, 0, -10), (2, 10, 30)))
    return moved(body, (-30, -60, 15), (0, 1, 0), 0.35)


def saddle() -> Any:
    """A block under a wave (cubic spline), with two bores that leave it in space curves."""
    outline = wire([segment((-45, -25, 18), (-45, -25, 0)), segment((-45, -25, 0), (45, -25, 0)), segment((45, -25, 0), (45, -25, 18)),
                    spline([(45, -25, 18), (30, -25, 32), (12, -25, 38), (-8, -25, 10), (-25, -25, 38), (-45, -25, 18)])])  # fmt: skip
    body = extrude(outline, (0, 50, 0))
    return moved(cut(body, cylinder((-27, 0, -5), Z, 7, 60), cylinder((25, 0, -5), Z, 9, 60)), (70, -10, 210))


def ribs() -> Any:
    """A heat sink: thin fins (1.6 mm on 84 mm) on a base with slots."""
    body = box((-42, -26, 0), (42, 26, 6))
    body = union(body, *(box((x - 0.8, -26, 5), (x + 0.8, 26, 34)) for x in np.linspace(-38, 38, 9)))
    body = cut(body, cylinder((0, -60, 40), (0, 1, 0), 18, 120))
    return moved(body, (-15, 300, 20))


def near_tangent() -> Any:
    """Faces that nearly run on into each other: roofs of 8, 14 and 24 degrees, and a drum that comes out of a plane at 15 degrees."""
    profile, height = [(-45.0, 0.0), (45.0, 0.0), (45.0, 16.0)], 16.0
    x = 45.0
    for width, slope in ((18, 8), (18, 22), (18, 0), (18, -12)):
        x -= width
        height += width * math.tan(math.radians(slope))
        profile.append((x, height))
    profile.append((-45.0, height + 18 * math.tan(math.radians(-30))))
    body = extrude(polygon([(px, -26, pz) for px, pz in profile]), (0, 52, 0))
    radius = 30.0
    drum = cylinder((-60, 0, radius * math.cos(math.radians(15))), (1, 0, 0), radius, 120)
    drum = common(drum, box((-45, -26, -10), (45, 26, 0.0)))
    return moved(union(body, drum), (100, 100, -100), Z, 0.7)


def shaft() -> Any:
    """A stepped shaft: shoulders, groove, cone, a flat and a keyway with round ends."""
    profile = [(0, 0), (9, 0), (10, 1), (10, 20), (15, 20), (15, 38), (12, 40), (12, 46), (15, 48), (15, 60), (11, 60), (7, 92), (0, 92)]
    body = revolve(polygon([(r, 0, z) for r, z in profile]), (0, 0, 0), Z)
    body = cut(body, box((11.5, -20, 48), (30, 20, 60)))
    key = union(box((-2.5, -20, 6), (2.5, -6.5, 14)), *(cylinder((0, -20, z), (0, 1, 0), 2.5, 13.5) for z in (6, 14)))
    return moved(cut(body, key), (0, 90, 40), (0.6, 0.8, 0), 1.1)


def nut() -> Any:
    """A hexagon nut on a washer face; the cones cut its flanks in hyperbolas."""
    hexagon = [(24 * math.cos(a), 24 * math.sin(a), 0) for a in np.arange(6) * math.pi / 3]
    body = extrude(polygon(hexagon), (0, 0, 20))
    cap = revolve(polygon([(0, 0, -1), (21, 0, -1), (29, 0, 4), (29, 0, 14), (19.5, 0, 22), (0, 0, 22)]), (0, 0, 0), Z)
    body = union(common(body, cap), cylinder((0, 0, -3), Z, 26, 4))
    body = cut(body, cylinder((0, 0, -10), Z, 11, 40), cone((0, 0, 17), Z, 9, 16, 7))
    return moved(body, (-90, -90, 15), (1, 0, 0), -0.3)


def tee() -> Any:
    """A pipe tee: two tubes of unequal radius that meet in space curves, inside and outside."""
    body = union(cylinder((-42, 0, 0), (1, 0, 0), 17, 84), cylinder((0, 0, 0), Z, 13, 40))
    body = cut(body, union(cylinder((-50, 0, 0), (1, 0, 0), 13, 100), cylinder((0, 0, 0), Z, 9, 60)))
    return moved(body, (0, 0, 95), Z, 0.5)


def crystal() -> Any:
    """A cut stone: facets around an eight-sided girdle and a notch, straight edges only."""
    turns = np.arange(8) * math.pi / 4 + 0.2
    levels = ((10, 0), (38, 26), (38, 34), (22, 50))
    points = [(r * math.cos(a), r * math.sin(a), z) for r, z in levels for a in turns]
    around = [(k, (k + 1) % 8) for k in range(8)]
    sides = [(8 * row + a, 8 * row + b, 8 * row + 8 + b, 8 * row + 8 + a) for row in range(3) for a, b in around]
    body = polyhedron(points, [tuple(range(7, -1, -1)), *sides, tuple(range(24, 32))])
    body = cut(body, extrude(polygon([(-60, 0, 22), (-60, -14, 60), (-60, 14, 60)]), (36, 0, 0)))
    return moved(body, (250, -30, 5))


def link() -> Any:
    """A connecting rod: two eyes, a waisted web with pockets, rounded transitions."""
    body = union(cylinder((-35, 0, 0), Z, 20, 18), cylinder((38, 0, 0), Z, 13, 18))
    web = extrude(polygon([(-35, -14, 4), (38, -9, 4), (38, 9, 4), (-35, 14, 4)]), (0, 0, 10))
    body = fillet(union(body, web), 3, lambda m, t: abs(t[2]) > 0.9 and 4 < m[2] < 14 and -30 < m[0] < 38)
    body = cut(body, cylinder((-35, 0, -1), Z, 12, 30), cylinder((38, 0, -1), Z, 7, 30))
    pocket = polygon([(-9, -6.5, 11), (20, -4.5, 11), (20, 4.5, 11), (-9, 6.5, 11)])
    return moved(cut(body, extrude(pocket, (0, 0, 10))), (-10, 20, -300), (0, 1, 0), 0.25)


def knob() -> Any:
    """A control knob: a domed cap (sphere), a grooved grip (tori), a spindle with a flat."""
    middle, rim, top = -6.0, -6 + math.sqrt(38**2 - 26**2), 32.0
    side = (38 * math.sin(0.4), 0, middle + 38 * math.cos(0.4))
    outline = [segment((0, 0, 0), (26, 0, 0)), segment((26, 0, 0), (26, 0, rim)), arc((26, 0, rim), side, (0, 0, top))]
    body = revolve(wire([*outline, segment((0, 0, top), (0, 0, 0))]), (0, 0, 0), Z)
    body = cut(body, *(torus((0, 0, z), Z, 27.5, 3.2) for z in (5, 12)))
    body = cut(body, *(cylinder((30 * math.cos(a), 30 * math.sin(a), 19), Z, 7, 30) for a in np.arange(6) * math.pi / 3))
    spindle = cut(cylinder((0, 0, -24), Z, 8, 25), box((4.5, -20, -30), (20, 20, -8)))
    return moved(union(body, spindle), (140, 0, 40), (1, 0, 0), 0.5)


PARTS = {
    "bracket": bracket,
    "flange": flange,
    "gear": gear,
    "elbow": elbow,
    "chamfered": chamfered,
    "filleted": filleted,
    "ellipses": ellipses,
    "cam": cam,
    "saddle": saddle,
    "ribs": ribs,
    "near_tangent": near_tangent,
    "shaft": shaft,
    "nut": nut,
    "tee": tee,
    "crystal": crystal,
    "link": link,
    "knob": knob,
}
"""Builder of each CAD scene, by the scene's name."""
