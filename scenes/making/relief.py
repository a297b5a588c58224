"""A facade: a wall with base, columns, niches, a doorway, window frames and cornices, as a depth over its plane. Metres, z up.

The mesh is the truth: its grid has lines on both sides of every step, so that edges are sharp to :data:`STEP`.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from scenes.making.solid import Solid, from_triangles

WIDTH, HEIGHT, THICKNESS = 12.0, 8.0, 1.2
CELL = 0.05
"""Of the grid, metres."""
STEP = 1e-3
"""Horizontal length of a step, metres."""
PLACE = np.array([30.0, 55.0, 12.0])
"""Of the middle of the wall's foot in the world."""
COLUMNS = (-5.2, -2.6, 2.6, 5.2)
BAYS = (-3.9, 3.9)
"""Middles of the bays between columns, which have a niche below and a window above."""
SHAFT, FLUTES = 0.36, 12
ROWS = (0.0, 0.7, 5.55, 6.0, 6.9, 7.15, 7.6, HEIGHT)
"""Heights at which base, capitals, architrave and cornices begin and end."""


def depth(x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """How far the facade stands out of the plane of its wall, metres; negative in niches. [N], [N] -> [N]"""
    d = np.where(z < 0.7, 0.30, 0.0)
    for low, high, out in ((5.55, 6.0, 0.42), (6.9, 7.15, 0.38), (7.15, 7.6, 0.55)):
        d = np.maximum(d, np.where((z >= low) & (z < high), out, -9.0))
    for at in COLUMNS:
        off = np.abs(x - at)
        shaft = SHAFT * (1.0 - 0.03 * (z - 0.7))  # columns taper
        flutes = 0.02 * np.cos(FLUTES * np.arcsin(np.clip((x - at) / shaft, -1, 1)))
        round_ = np.sqrt(np.maximum(shaft**2 - off**2, 0.0)) + 0.1 + flutes
        d = np.where((off < shaft) & (z >= 0.7) & (z < 5.55), np.maximum(d, round_), d)
        block = (off < 0.52) & (((z >= 0.7) & (z < 1.0)) | ((z >= 5.25) & (z < 5.55)))
        d = np.where(block, np.maximum(d, 0.58), d)
    for at in BAYS:
        # A niche is half a cylinder under a quarter of a ball.
        off, up = np.abs(x - at), np.maximum(z - 2.6, 0.0)
        inside = (np.hypot(off, up) < 0.62) & (z >= 1.1)
        d = np.where(inside, -0.9 * np.sqrt(np.maximum(0.62**2 - off**2 - up**2, 0.0)), d)
        frame = (off < 0.78) & (z >= 3.7) & (z < 5.1)
        d = np.where(frame, 0.12, d)
        pane = (off < 0.62) & (z >= 3.86) & (z < 4.94)
        d = np.where(pane, np.where((off < 0.05) | (np.abs(z - 4.4) < 0.05), 0.0, -0.18), d)
    # The doorway: three arches, one in the other.
    for reach, out in ((1.6, 0.22), (1.3, 0.0), (1.05, -0.45)):
        d = np.where((np.hypot(x, np.maximum(z - 2.9, 0.0)) < reach) & (z >= 0.0), out, d)
    rose = np.hypot(x, z - 6.45)
    return np.where(rose < 0.34, 0.10 + 0.08 * np.cos(rose * 30.0), d)


@lru_cache(maxsize=1)
def facade() -> Solid:
    """The facade as a closed slab, looking towards -y; world units."""
    x = _lines(-WIDTH / 2, WIDTH / 2, [c + s * r for c in COLUMNS for s in (-1, 1) for r in (SHAFT, 0.52)]
               + [b + s * r for b in BAYS for s in (-1, 1) for r in (0.05, 0.62, 0.78)])  # fmt: skip
    z = _lines(0.0, HEIGHT, [*ROWS, 1.0, 5.25, 1.1, 3.7, 5.1, 3.86, 4.94, 4.35, 4.45])
    gx, gz = np.meshgrid(x, z, indexing="ij")
    front = np.stack([gx, -depth(gx.ravel(), gz.ravel()).reshape(gx.shape), gz], -1).reshape(-1, 3)
    back = np.stack([gx, np.full_like(gx, THICKNESS), gz], -1).reshape(-1, 3)
    index = np.arange(gx.size).reshape(gx.shape)
    a, b, c, d = index[:-1, :-1].ravel(), index[1:, :-1].ravel(), index[1:, 1:].ravel(), index[:-1, 1:].ravel()
    sheet = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    rim = np.concatenate([index[:, 0], index[-1, 1:], index[-2::-1, -1], index[0, -2:0:-1]])
    ahead, count = np.roll(rim, -1), gx.size
    sides = np.concatenate([np.stack([ahead, rim, rim + count], 1), np.stack([ahead, rim + count, ahead + count], 1)])
    faces = np.concatenate([sheet, sheet[:, ::-1] + count, sides])
    return from_triangles(np.concatenate([front, back]) + PLACE, faces, 0.5)


def _lines(low: float, high: float, steps: list[float]) -> np.ndarray:
    """Places of grid lines: even ones, and a pair about each step."""
    even = np.linspace(low, high, round((high - low) / CELL) + 1)
    beside = np.array([s + o for s in steps for o in (-STEP / 2, STEP / 2)])
    beside = beside[(beside > low) & (beside < high)]
    kept = [e for e in even if np.abs(beside - e).min() > 0.2 * CELL or e in (low, high)]
    return np.unique(np.concatenate([kept, beside]))
