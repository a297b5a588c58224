"""Metrics as plain JSON: nothing that a strict reader refuses, and never a figure without its protocol."""

from __future__ import annotations

import math
from typing import Any

import numpy as np


def to_plain(value: Any) -> Any:
    """Dicts, lists, numbers and strings that ``json.dumps(..., allow_nan=False)`` accepts.

    JSON has no infinities: they become the strings "inf" and "-inf" (the PSNR of two equal pictures), and NaN becomes null (not measured).
    """
    if isinstance(value, dict):
        return {str(k): to_plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [to_plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return to_plain(value.tolist())
    if isinstance(value, np.generic):
        return to_plain(value.item())
    if isinstance(value, float):
        if math.isnan(value):
            return None
        return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no plain form")


def mean(values: list[float]) -> float:
    """Mean over images or scenes; NaN for none. One infinite value makes it infinite: it is not left out."""
    return float(np.mean(values)) if values else math.nan
