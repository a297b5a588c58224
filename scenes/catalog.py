"""What scenes there are, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scenes.making.materials import Decal, Material


@dataclass(frozen=True)
class Entry:
    """A built-in scene.

    Attributes:
        name: As in ``scenes:NAME``.
        kind: "cad" has feature curves and a STEP file; "organic" is smooth, with a surface only; "relief" is a facade, photographed
            where it stands, from one side.
        about: One line.
        material: What it is made of.
        unit: World unit.
    """

    name: str
    kind: Literal["cad", "organic", "relief"]
    about: str
    material: Material
    unit: str = "mm"


BRACKET = Material(
    decals=(
        Decal("label", (120, -15, 79.5), (-1, 0, 0), (0, 0, 1), (50, 32.14)),
        Decal("panel", (120, -36, 60), (1, 0, 0), (0, -1, 0), (54, 36)),
        Decal("dial", (120, -37, 115), (1, 0, 0), (0, 0, 1), (40, 40)),
    )
)
STEEL = Material()
BRONZE = Material(colors=((0.78, 0.60, 0.34), (0.50, 0.36, 0.20)), scale=0.07, contrast=0.9, roughness=0.32)
OXIDE = Material(colors=((0.70, 0.34, 0.24), (0.46, 0.20, 0.16)), pattern="marble", scale=0.22)
OLIVE = Material(colors=((0.58, 0.62, 0.42), (0.36, 0.42, 0.28)), scale=0.08)
STONE = Material(colors=((0.80, 0.77, 0.71), (0.52, 0.50, 0.49)), scale=0.07, contrast=1.3, roughness=0.6)
JADE = Material(colors=((0.50, 0.76, 0.62), (0.20, 0.50, 0.42)), pattern="marble", scale=0.25, roughness=0.3)
SLATE = Material(colors=((0.48, 0.50, 0.60), (0.26, 0.28, 0.38)), pattern="marble", scale=0.18)
BOARD = Material(colors=((0.86, 0.82, 0.72), (0.24, 0.34, 0.50)), pattern="checker", scale=0.22, contrast=1.0)
WOOD = Material(colors=((0.80, 0.62, 0.42), (0.58, 0.40, 0.24)), pattern="rings", scale=0.16, roughness=0.5)
BANDS = Material(colors=((0.92, 0.86, 0.74), (0.66, 0.28, 0.20)), pattern="stripes", scale=0.14)
YELLOW = Material(colors=((0.95, 0.78, 0.22), (0.86, 0.56, 0.14)), scale=0.11, contrast=1.3, roughness=0.35)
ROSE = Material(colors=((0.84, 0.32, 0.36), (0.58, 0.14, 0.22)), pattern="marble", scale=0.3, roughness=0.3)

CATALOG = (
    Entry("bracket", "cad", "bearing bracket with counterbored holes, slot, ribs, fillets and printed faces", BRACKET),
    Entry("flange", "cad", "welding-neck flange: circles, a cone, a fillet", BRONZE),
    Entry("gear", "cad", "spur wheel with hub, keyway and lightening holes: many short arcs and lines", STEEL),
    Entry("elbow", "cad", "quarter pipe bend with two flanges", OXIDE),
    Entry("chamfered", "cad", "chamfered block with stepped pocket and V groove: lines only", OLIVE),
    Entry("filleted", "cad", "pillow block with all outer edges rounded: few sharp edges, many tangent ones", JADE),
    Entry("ellipses", "cad", "oval plate and window, obliquely cut post: ellipses", BANDS),
    Entry("cam", "cad", "disc cam with a free outline: periodic spline", BRONZE),
    Entry("saddle", "cad", "block under a wave with two bores: splines", WOOD),
    Entry("ribs", "cad", "heat sink with thin fins", SLATE),
    Entry("near_tangent", "cad", "faces that bend by 8 to 30 degrees only", STEEL),
    Entry("shaft", "cad", "stepped shaft with groove, flat and keyway", STEEL),
    Entry("nut", "cad", "hexagon nut with conical chamfers: hyperbolas", BRONZE),
    Entry("tee", "cad", "pipe tee: intersections of cylinders", OLIVE),
    Entry("crystal", "cad", "faceted stone with a notch: straight edges", ROSE),
    Entry("link", "cad", "connecting rod with pocket and rounded transitions", SLATE),
    Entry("knob", "cad", "control knob: sphere, tori, notches", BOARD),
    Entry("duck", "organic", "bath duck, smooth union of ellipsoids", YELLOW),
    Entry("heart", "organic", "Taubin's heart surface", ROSE),
    Entry("knot", "organic", "tube about a trefoil knot", BANDS),
    Entry("gyroid", "organic", "thick gyroid inside a ball: twelve handles, deep holes", JADE),
    Entry("vase", "organic", "fluted hollow vase", BOARD),
    Entry("asteroid", "organic", "cratered lump", STONE),
    Entry("rings", "organic", "three blended rings: three handles", WOOD),
    Entry("facade", "relief", "house front with columns, niches, windows and cornices, before neighbours and sky", STONE, "m"),
)
"""All built-in scenes, in the order in which they are listed."""
