"""Numbers as colours: the maps of rendered pictures, and the colour of every type of curve."""

from __future__ import annotations

from typing import Literal

import numpy as np

MapName = Literal["viridis", "magma", "gray"]


def _rows(text: str) -> np.ndarray:
    """Hexadecimal sRGB colours to rows of [0, 1]."""
    return np.array([[int(color[k : k + 2], 16) / 255 for k in (0, 2, 4)] for color in text.split()])


_MAPS = {
    # Nine of the 256 colours of each map (S. van der Walt and N. Smith, CC0), linear in between: even, safe for the colour-blind.
    "viridis": _rows("440154 472d7b 3b528b 2c728e 21918c 28ae80 5ec962 addc30 fde725"),
    "magma": _rows("000004 1d1147 51127c 832681 b73779 e75263 fc8961 fec488 fcfdbf"),
    "gray": _rows("000000 ffffff"),
}

CURVE_COLORS = {"line": "#0072b2", "arc": "#e69f00", "circle": "#d55e00", "ellipse": "#009e73", "bezier": "#cc79a7"}
"""sRGB of curves by type (Okabe and Ito's palette, told apart by the colour-blind)."""


def apply_colormap(values: np.ndarray, name: MapName) -> np.ndarray:
    """Colours of values in [0, 1]; what lies outside takes the end's colour. [...] -> [..., 3] float32, sRGB in [0, 1]"""
    table = _MAPS[name]
    position = np.clip(np.nan_to_num(values), 0.0, 1.0) * (len(table) - 1)
    return np.stack([np.interp(position, np.arange(len(table)), table[:, k]) for k in range(3)], axis=-1).astype(np.float32)


def curve_rgb(kind: str) -> tuple[float, float, float]:
    """The colour of a type of curve, sRGB in [0, 1]."""
    r, g, b = _rows(CURVE_COLORS[kind].removeprefix("#"))[0]
    return float(r), float(g), float(b)
