"""What stands around an object: a table in a furnished room with windows, or the ground, houses and sky before a facade.

Lengths are in radii of the object, about its centre.
"""

from __future__ import annotations

import numpy as np

from scenes.making.materials import Color, Decal, Material
from scenes.making.solid import Solid, from_triangles
from scenes.making.stage import Part

GAP = 1e-3
"""Between the lowest point of the object and what it stands on: surfaces must not coincide."""
TABLE = Material(colors=((0.74, 0.58, 0.40), (0.46, 0.31, 0.19)), pattern="marble", scale=0.16, contrast=0.7, fleck=0.16, roughness=0.6)
CLOTH = Material(colors=((0.30, 0.42, 0.46), (0.62, 0.66, 0.60)), scale=0.30, contrast=1.2, fleck=0.2, specular=0.0)
FLOOR = Material(colors=((0.58, 0.46, 0.34), (0.36, 0.28, 0.22)), pattern="checker", scale=0.9, contrast=0.6, fleck=0.15, specular=0.0)
CEILING = Material(colors=((0.78, 0.77, 0.74), (0.70, 0.69, 0.66)), scale=0.5, fleck=0.05, specular=0.0)
PAPERS = (((0.62, 0.66, 0.62), (0.46, 0.52, 0.50)), ((0.70, 0.62, 0.50), (0.56, 0.46, 0.36)))
PAVING = Material(colors=((0.60, 0.57, 0.53), (0.42, 0.40, 0.38)), scale=0.09, contrast=1.2, fleck=0.2, specular=0.0)
PLASTER = Material(colors=((0.72, 0.60, 0.46), (0.56, 0.44, 0.34)), scale=0.13, contrast=1.0, fleck=0.15, specular=0.0)
SKY = Material(colors=((0.48, 0.62, 0.82), (0.86, 0.88, 0.90)), pattern="marble", scale=2.2, contrast=0.8, fleck=0.02, specular=0.0)


def box(low: np.ndarray, high: np.ndarray, sides: str = "all") -> Solid:
    """An axis-aligned box; ``sides`` names one of its faces ("-x", "+x", ... "+z"), turned inwards, or all of them, outwards."""
    corner = np.array([[low, high][b >> k & 1][k] for b in range(8) for k in range(3)]).reshape(8, 3)
    quads = {"-x": (0, 4, 6, 2), "+x": (1, 3, 7, 5), "-y": (0, 1, 5, 4), "+y": (2, 6, 7, 3), "-z": (0, 2, 3, 1), "+z": (4, 5, 7, 6)}
    chosen = [q for q in quads.values()] if sides == "all" else [quads[sides][::-1]]
    faces = np.array([f for a, b, c, d in chosen for f in ((a, b, c), (a, c, d))])
    used, faces = np.unique(faces, return_inverse=True)
    return from_triangles(corner[used], faces.reshape(-1, 3), 0.5)


def in_room(solid: Solid) -> tuple[Part, ...]:
    """A table under an object, furniture, and the six sides of a room about it; windows in two of its walls."""
    center, radius = solid.center, solid.radius
    top = (solid.vertices[:, 2].min() - center[2]) / radius - GAP

    def at(x: float, y: float, z: float) -> np.ndarray:
        """Of the room, whose origin is the middle of the table's top."""
        return center + radius * np.array([x, y, top + z])

    def block(name: str, low: Color, high: Color, material: Material) -> Part:
        return Part(name, box(at(*low), at(*high)), material)

    low, high = at(-6.2, -5.4, -2.0), at(6.2, 5.4, 4.2)

    def hang(picture: str, middle: Color, right: Color, size: tuple[float, float]) -> Decal:
        width, height = size
        return Decal(picture, tuple(at(*middle)), right, (0, 0, 1), (width * radius, height * radius), 0.05 * radius)

    shelf = hang("shelf", (4.8, 0.0, 0.0), (0, -1, 0), (3.6, 3.6))
    walls = {
        "-x": (
            PAPERS[0],
            (hang("window", (-6.2, -2.2, 1.5), (0, 1, 0), (2.0, 2.4)), hang("window", (-6.2, 1.6, 1.5), (0, 1, 0), (2.0, 2.4))),
        ),
        "+x": (PAPERS[0], (hang("label", (6.2, -3.6, 1.2), (0, -1, 0), (2.2, 1.5)), hang("dial", (6.2, 3.6, 1.8), (0, -1, 0), (1.6, 1.6)))),
        "-y": (
            PAPERS[1],
            (hang("panel", (-2.6, -5.4, 1.0), (-1, 0, 0), (2.4, 1.6)), hang("label", (3.0, -5.4, 1.4), (-1, 0, 0), (2.8, 1.8))),
        ),
        "+y": (PAPERS[1], (hang("window", (-1.2, 5.4, 1.5), (1, 0, 0), (2.4, 2.4)), hang("panel", (3.2, 5.4, 0.8), (1, 0, 0), (2.4, 1.6)))),
    }
    papers = [Part(f"wall {side}", box(low, high, side), _paper(colors, hung), glows=True) for side, (colors, hung) in walls.items()]
    return (
        block("table", (-2.5, -2.1, -0.14), (2.5, 2.1, 0.0), TABLE),
        block("leg", (-0.4, -0.4, -2.0), (0.4, 0.4, -0.14), TABLE),
        Part("shelf", box(at(4.8, -1.8, -2.0), at(6.2, 1.8, 1.8)), Material(**{**vars(TABLE), "decals": (shelf,)})),
        block("chest", (-1.4, 4.2, -2.0), (1.4, 5.4, -0.4), CLOTH),
        block("chair", (-4.6, -1.0, -2.0), (-3.6, 0.4, -1.0), CLOTH),
        *papers,
        Part("floor", box(low, high, "-z"), FLOOR, glows=True),
        Part("ceiling", box(low, high, "+z"), CEILING, glows=True),
    )


def outdoors(solid: Solid) -> tuple[Part, ...]:
    """Paving before a facade that looks towards -y, its neighbours to both sides, a bench, and the sky far behind."""
    low, high = solid.bounds
    middle, size = (low + high) / 2, high - low

    def block(name: str, x: tuple[float, float], y: tuple[float, float], z: tuple[float, float], material: Material) -> Part:
        """Widths and depths in widths of the facade from its middle and front, heights in its heights."""
        corners = [
            np.array([middle[0] + x[k] * size[0], low[1] + y[k] * size[0], low[2] + z[k] * size[2] - GAP * solid.radius]) for k in (0, 1)
        ]
        return Part(name, box(corners[0], corners[1]), material)

    far = 12.0 * solid.radius
    return (
        block("paving", (-2.5, 2.5), (-2.5, 1.5), (-0.06, 0.0), PAVING),
        block("left neighbour", (-1.6, -0.56), (0.22, 1.2), (0.0, 0.82), PLASTER),
        block("right neighbour", (0.58, 1.7), (0.14, 1.2), (0.0, 1.12), PLASTER),
        block("bench", (-0.34, -0.16), (-0.16, -0.11), (0.0, 0.08), TABLE),
        *(Part(f"sky {side}", box(middle - far, middle + far, side), SKY, glows=True) for side in ("-x", "+x", "-y", "+y", "-z", "+z")),
    )


def _paper(colors: tuple[Color, Color], hung: tuple[Decal, ...]) -> Material:
    return Material(colors=colors, scale=0.36, contrast=1.1, fleck=0.14, specular=0.0, decals=hung)
