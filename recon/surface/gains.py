"""How bright photographs are beside each other."""

from __future__ import annotations

import numpy as np

DARK, BRIGHT = 0.05, 0.98
"""Pixels between these tell of brightness."""
FEWEST = 4
"""Pixels of a photograph at a place, at least."""
SPREAD = 0.2
"""Difference of the logarithm at which a photograph keeps a quarter of its say on a place."""
MOST_GAIN = 3.0


def photograph_gains(color: np.ndarray, view: np.ndarray, place: np.ndarray) -> np.ndarray:
    """How bright each photograph is beside the others that show the same places, per channel; the mean of the logarithms is 0.

    ``log color = log gain of the photograph + log color of the place``, solved robustly: what differs in a part of a photograph is no gain.

    Args:
        color: Of pixels, in [0, 1]. [P, 3]
        view: Which photograph each is of. int [P]
        place: Where on the surface it is. int [P]
    Returns:
        float32 [V, 3]
    """
    views, places = int(view.max()) + 1, int(place.max()) + 1
    lit = ((color > DARK) & (color < BRIGHT)).all(1)
    cell = view[lit].astype(np.int64) * places + place[lit]
    count = np.bincount(cell, minlength=views * places).reshape(views, places)
    known = count >= FEWEST
    known &= known.sum(0) > 1  # a place that one photograph shows says nothing of it
    out = np.zeros((views, 3))
    for c in range(3):
        total = np.bincount(cell, np.log(color[lit, c]), minlength=views * places).reshape(views, places)
        seen = np.where(known, total / np.maximum(count, 1), 0.0)
        weight = known.astype(np.float64)
        for _ in range(4):
            share = weight / np.maximum(weight.sum(0), 1e-9)
            system = np.diag(weight.sum(1) + 1.0) - share @ weight.T  # the places' colours taken out; 1: towards no gain
            out[:, c] = np.linalg.solve(system, (weight * (seen - (share * seen).sum(0))).sum(1))
            left = seen - out[:, c : c + 1]
            weight = known / (1.0 + ((left - (share * left).sum(0)) / SPREAD) ** 2) ** 2
    return np.exp(np.clip(out - out.mean(0), -np.log(MOST_GAIN), np.log(MOST_GAIN))).astype(np.float32)
