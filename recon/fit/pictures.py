"""Pictures about a fit: error maps, crops side by side, a curve over time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw


def heat(values: np.ndarray, most: float) -> np.ndarray:
    """Errors as colours: black 0, red, yellow, white at ``most`` and above. [H, W] -> uint8 [H, W, 3]"""
    out = np.empty((*values.shape, 3), np.uint8)
    for rows in range(0, len(values), 256):  # of a large picture, only a strip is held in floats
        t = np.clip(values[rows : rows + 256] / most, 0.0, 1.0).astype(np.float32) * 3.0
        for channel in range(3):
            out[rows : rows + 256, :, channel] = np.rint(np.clip(t - channel, 0.0, 1.0) * 255)
    return out


def zoom_crops(
    original: np.ndarray, fitted: np.ndarray, errors: np.ndarray, shown: Callable[[np.ndarray], np.ndarray], rows: int = 3
) -> np.ndarray:
    """Original, fitted and error of a few windows, enlarged: the window with the largest error, and others apart from it.

    Args:
        original, fitted: [H, W, C]
        errors: [H, W]
        shown: Makes what is looked at from a window: [h, w, C] -> uint8 [h, w, 3].
        rows: Number of windows.
    Returns:
        uint8 [h, w, 3]
    """
    height, width = errors.shape
    side = min(64, height, width)
    tall, wide = height // side, width // side
    blocks = errors[: tall * side, : wide * side].reshape(tall, side, wide, side).mean((1, 3))
    strips = []
    for _ in range(min(rows, blocks.size)):
        i, j = np.unravel_index(int(blocks.argmax()), blocks.shape)
        blocks[max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2] = -1.0
        window = np.s_[i * side : (i + 1) * side, j * side : (j + 1) * side]
        panels = [shown(original[window]), shown(fitted[window]), heat(errors[window], 0.05)]
        scale = max(256 // side, 1)
        strips.append(np.concatenate([np.kron(p, np.ones((scale, scale, 1), np.uint8)) for p in panels], axis=1))
    return np.concatenate(strips)


def plot(x: list[float], y: list[float], x_name: str, y_name: str, size: tuple[int, int] = (640, 360)) -> Image.Image:
    """A curve with its axes' least and greatest values."""
    width, height = size
    image = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(image)
    left, top, right, bottom = 60, 20, width - 20, height - 40
    draw.rectangle((left, top, right, bottom), outline="black")
    draw.text((left, 4), y_name, fill="black")
    draw.text((right - 60, bottom + 18), x_name, fill="black")
    if not x:
        return image
    low, high = min(y), max(y)
    span_x, span_y = max(x) or 1.0, (high - low) or 1.0
    points = [(left + a / span_x * (right - left), bottom - (b - low) / span_y * (bottom - top)) for a, b in zip(x, y, strict=True)]
    draw.line(points, fill=(30, 80, 200), width=2)
    for value, at in ((high, top), (low, bottom - 10)):
        draw.text((6, at), f"{value:.4g}", fill="black")
    draw.text((left, bottom + 4), "0", fill="black")
    draw.text((right - 40, bottom + 4), f"{max(x):.4g}", fill="black")
    return image
