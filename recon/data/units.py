"""Units of length: their names, and how long they are."""

from __future__ import annotations

METRES = {"mm": 1e-3, "cm": 1e-2, "dm": 0.1, "m": 1.0, "km": 1e3, "um": 1e-6, "in": 0.0254, "ft": 0.3048}
"""Length of each unit that a world can have, metres."""


def factor(target: str, source: str | None) -> float:
    """``target`` units in one ``source`` unit; 1 where the source is not known: nothing can be converted then."""
    return 1.0 if source is None else METRES[source] / METRES[target]
