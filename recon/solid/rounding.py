"""Round numbers near measured ones: suggestions, never silent changes."""

from __future__ import annotations

from dataclasses import dataclass

MILLIMETRE_STEPS = (1.0, 0.5, 0.25, 0.1)
INCH_STEPS = tuple(25.4 / n for n in (4, 8, 16, 32, 64))
INCHES = ("in", "ft")
"""Worlds in these units are rounded to fractions of an inch."""
FINEST = 5.0
"""A step of less than so many standard deviations is not asked for: any number would be near one of its multiples."""
FLOOR_MM = 1e-6
"""A number is known no better than this."""


@dataclass(frozen=True)
class Suggestion:
    """A round number within one standard deviation of a measured one.

    Attributes:
        value: The round number, mm.
        step: It is a multiple of this, mm.
        chance: Share of all numbers that would lie as near to a multiple of the step: small where the suggestion means something.
    """

    value: float
    step: float
    chance: float


def suggest(measured: float, sigma: float | None, unit: str | None) -> Suggestion | None:
    """The roundest number within one standard deviation of a length, if there is one.

    Args:
        measured: mm.
        sigma: Standard deviation, mm; None: not known, so nothing is suggested.
        unit: Of the world: says whether round means millimetres or inches.
    """
    if sigma is None:
        return None
    near = max(sigma, FLOOR_MM)
    for step in INCH_STEPS if unit in INCHES else MILLIMETRE_STEPS:
        value = round(measured / step) * step
        if step >= FINEST * near and value > 0 and abs(measured - value) <= near:
            return Suggestion(value, step, min(1.0, 2 * near / step))
    return None
