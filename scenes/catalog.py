"""What scenes there are, and what they are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scenes.materials import Decal, Material


@dataclass(frozen=True)
class Entry:
    """A built-in scene.

    Attributes:
        name: As in ``scenes:NAME``.
        kind: "cad" has feature curves and a STEP file; "organic" is smooth, with a surface only.
        about: One line.
        material: What it is made of.
        unit: World unit.
    """

    name: str
    kind: Literal["cad", "organic"]
    about: str
    material: Material
    unit: str = "mm"


CATALOG = (
    Entry(
        "bracket",
        "cad",
        "bearing bracket with counterbored holes, slot, ribs, fillets and printed faces",
        Material(
            decals=(
                Decal("label", (120, -15, 79.5), (-1, 0, 0), (0, 0, 1), (50, 32.14)),
                Decal("panel", (120, -36, 60), (1, 0, 0), (0, -1, 0), (54, 36)),
                Decal("dial", (120, -37, 115), (1, 0, 0), (0, 0, 1), (40, 40)),
            )
        ),
    ),
)
"""All built-in scenes, in the order in which they are listed."""
