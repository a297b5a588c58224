"""Colours for distances. (Apart from the pictures, so that reports can show the scale without torch.)"""

from __future__ import annotations

import numpy as np

ERROR_SHARE = 0.01
"""Distances of this share of the truth's diagonal and more have the last colour."""
CURVE_ERROR_SHARE = 0.01
"""The same for curves, as a share of the object's longest side: 10 mm of the curve protocols."""
# Blue (none) over pale yellow (half) to red (the greatest): ordered by lightness from the middle, so it reads without colours too.
SCALE = np.array([(44, 75, 160), (116, 173, 209), (255, 250, 200), (244, 130, 70), (165, 0, 38)], np.float64)


def scale_color(share: np.ndarray) -> np.ndarray:
    """Colours of the scale. [...] in [0, 1], clamped -> [..., 3] in 0..255 float64"""
    x = np.clip(share, 0.0, 1.0) * (len(SCALE) - 1)
    lower = np.minimum(x.astype(np.int64), len(SCALE) - 2)
    weight = (x - lower)[..., None]
    return (1.0 - weight) * SCALE[lower] + weight * SCALE[lower + 1]
