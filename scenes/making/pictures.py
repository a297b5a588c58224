"""Pictures printed on scenes: a label, a calibration panel, a dial, a window, a shelf. Drawn here from formulas; linear RGBA in
[0, 1]."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np

from recon.errors import DataError, UsageError
from scenes.making.materials import hash_unit, to_linear

_GLYPHS = {
    "F": "11111 10000 10000 11110 10000 10000 10000",
    "O": "01110 10001 10001 10001 10001 10001 01110",
    "R": "11110 10001 10001 11110 10100 10010 10001",
    "M": "10001 11011 10101 10101 10001 10001 10001",
    "I": "01110 00100 00100 00100 00100 00100 01110",
    "E": "11111 10000 10000 11110 10000 10000 11111",
    "L": "10000 10000 10000 10000 10000 10000 11111",
    "D": "11110 10001 10001 10001 10001 10001 11110",
    "0": "01110 10001 10011 10101 11001 10001 01110",
    "1": "00100 01100 00100 00100 00100 00100 01110",
    "2": "01110 10001 00001 00110 01000 10000 11111",
    "3": "11110 00001 00001 01110 00001 00001 11110",
    "4": "00010 00110 01010 10010 11111 00010 00010",
    "5": "11111 10000 11110 00001 00001 10001 01110",
    "6": "00110 01000 10000 11110 10001 10001 01110",
}

_INK = np.array([0.10, 0.13, 0.20])
_PAPER = np.array([0.93, 0.91, 0.84])
_ORANGE = np.array([0.90, 0.42, 0.10])
_TEAL = np.array([0.06, 0.48, 0.52])
_RED = np.array([0.75, 0.14, 0.16])


def _stamp(text: str, cell: int) -> np.ndarray:
    """Boolean picture of a text in 5x7 letters, ``cell`` pixels a dot."""
    letters = [np.array([[c == "1" for c in row] for row in _GLYPHS[t].split()]) for t in text]
    padded = [np.pad(letter, ((0, 0), (0, 1))) for letter in letters]
    return np.kron(np.concatenate(padded, 1), np.ones((cell, cell), bool))


def _put(canvas: np.ndarray, mask: np.ndarray, row: int, column: int, color: np.ndarray) -> None:
    window = canvas[row : row + mask.shape[0], column : column + mask.shape[1]]
    window[mask[: window.shape[0], : window.shape[1]]] = color


def _label() -> np.ndarray:
    """A type plate: name, ruler, bars, and tiles that no two places have alike. 288 x 448"""
    canvas = np.tile(_PAPER, (288, 448, 1))
    canvas[:10], canvas[-10:], canvas[:, :10], canvas[:, -10:] = _INK, _INK, _INK, _INK
    canvas[18:96, 18:-18] = _TEAL
    _put(canvas, _stamp("FORMFIELD", 7), 32, 35, _PAPER)
    for k in range(41):
        column = 24 + 10 * k
        canvas[104 : 134 if k % 10 == 0 else 122 if k % 5 == 0 else 114, column : column + 3] = _INK
    for k in range(4):
        _put(canvas, _stamp(str(k), 3), 138, 18 + 100 * k + (6 if k == 0 else 0), _INK)
    tiles = np.kron(hash_unit(np.arange(6 * 13), 11).reshape(6, 13), np.ones((16, 16)))
    block = np.where((tiles < 0.45)[..., None], _INK, np.where((tiles < 0.62)[..., None], _ORANGE, _PAPER))
    canvas[172 : 172 + 96, 22 : 22 + 208] = block
    y, x = np.mgrid[:288, :448] + 0.5
    radius, angle = np.hypot(x - 352, y - 214), np.arctan2(y - 214, x - 352)
    canvas[radius < 56] = _INK
    canvas[(radius < 50) & (np.floor(angle / (np.pi / 8)) % 2 == 0)] = _PAPER
    canvas[(radius < 50) & (np.floor(angle / (np.pi / 8)) % 4 == 1)] = _RED
    canvas[radius < 14] = _ORANGE
    return canvas


def _panel() -> np.ndarray:
    """A checkerboard with a few coloured fields and numbers. 256 x 384"""
    tiles = np.add.outer(np.arange(8), np.arange(12)) % 2
    board = np.kron(tiles, np.ones((32, 32)))[..., None]
    canvas = _PAPER * (1 - board) + _INK * board
    chance = hash_unit(np.arange(96), 5).reshape(8, 12)
    colors = (_ORANGE, _TEAL, _RED)
    for row, column in zip(*np.nonzero((tiles == 0) & (chance < 0.35)), strict=True):
        number = int(chance[row, column] * 20) % 7
        corner = (32 * row, 32 * column)
        canvas[corner[0] : corner[0] + 32, corner[1] : corner[1] + 32] = colors[number % 3]
        _put(canvas, _stamp(str(number), 3), corner[0] + 5, corner[1] + 8, _PAPER)
    canvas[:6], canvas[-6:], canvas[:, :6], canvas[:, -6:] = _INK, _INK, _INK, _INK
    return canvas


def _dial() -> np.ndarray:
    """A round scale; transparent outside. 320 x 320"""
    y, x = np.mgrid[:320, :320] + 0.5 - 160
    radius, angle = np.hypot(x, y) / 160, (np.arctan2(y, x) / (2 * np.pi)) % 1
    canvas = np.tile(_PAPER, (320, 320, 1))
    fine, coarse = (angle * 60) % 1 < 0.35, (angle * 12) % 1 < 0.14
    canvas[(radius > 0.86) & fine] = _INK
    canvas[(radius > 0.74) & coarse] = _INK
    canvas[(radius > 0.60) & (radius < 0.70) & (angle < 0.62)] = _TEAL
    canvas[(radius > 0.60) & (radius < 0.70) & (angle >= 0.62) & (angle < 0.85)] = _ORANGE
    canvas[(radius > 0.60) & (radius < 0.70) & (angle >= 0.85)] = _RED
    canvas[(radius > 0.96) | ((radius > 0.42) & (radius < 0.46))] = _INK
    sector = np.floor(angle * 10).astype(int)
    canvas[(radius < 0.42) & (sector % 2 == 0)] = _INK
    canvas[(radius < 0.42) & (sector % 5 == 1)] = _ORANGE
    return np.concatenate([canvas, (radius < 1)[..., None].astype(float)], -1)


def _window() -> np.ndarray:
    """A window with six panes: sky, clouds, and trees below. 384 x 320"""
    y, x = np.mgrid[:384, :320] + 0.5
    cloud = 0.5 + 0.25 * np.sin(x / 31 + 2 * np.sin(y / 23)) + 0.25 * np.sin(y / 17 - x / 47)
    sky = np.array([0.72, 0.86, 1.0]) + cloud[..., None] * np.array([0.28, 0.14, 0.0])
    top = 250 + 26 * np.sin(x / 19) + 14 * np.sin(x / 7 + 1)
    leaves = 0.5 + 0.5 * hash_unit((y // 4 * 80 + x // 4).astype(np.int64).ravel(), 3).reshape(y.shape)
    trees = leaves[..., None] * np.array([0.30, 0.44, 0.22])
    canvas = np.where((y > top)[..., None], trees, sky)
    bars = (np.abs(x - 160) < 6) | (np.abs(y - 128) < 6) | (np.abs(y - 256) < 6)
    rim = (x < 16) | (x > 304) | (y < 16) | (y > 368)
    canvas[bars | rim] = _PAPER
    return canvas


def _shelf() -> np.ndarray:
    """Four boards of books. 384 x 512"""
    canvas = np.tile(_INK, (384, 512, 1))
    colors = np.stack([_ORANGE, _TEAL, _RED, _PAPER, np.array([0.35, 0.30, 0.22]), np.array([0.28, 0.36, 0.56])])
    for row in range(4):
        column, number = 12, 0
        while column < 490:
            chance = hash_unit(np.arange(4) + 4 * (97 * row + number), 23)
            width, height = 10 + int(chance[0] * 22), 52 + int(chance[1] * 30)
            bottom = 96 * row + 88
            canvas[bottom - height : bottom, column : column + width - 2] = colors[int(chance[2] * 6)] * (0.7 + 0.3 * chance[3])
            canvas[bottom - height + 8 : bottom - height + 14, column + 2 : column + width - 4] = _PAPER
            column, number = column + width, number + 1
        canvas[96 * row + 88 : 96 * row + 96] = np.array([0.50, 0.36, 0.22])
    return canvas


def _from_file(path: Path) -> np.ndarray:
    from PIL import Image

    try:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGBA"), np.float32) / 255
    except (OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{path}: cannot be read as a picture ({error})") from error
    return np.concatenate([to_linear(pixels[..., :3]), pixels[..., 3:]], -1).astype(np.float32)


@lru_cache(maxsize=8)
def picture(name: str) -> np.ndarray:
    """A picture by its name ("label", "panel", "dial", "window", "shelf") or from an image file.

    Returns:
        [H, W, 4] float32, linear colour, straight alpha.
    Raises:
        UsageError: If it is neither a known name nor a file name with a suffix.
        DataError: If the file is missing or is no image.
    """
    drawings = {"label": _label, "panel": _panel, "dial": _dial, "window": _window, "shelf": _shelf}
    if name not in drawings and Path(name).suffix:
        return _from_file(Path(name))
    if name not in drawings:
        raise UsageError(f"there is no picture {name!r}", f"Pictures: {', '.join(drawings)}, or an image file.")
    canvas = drawings[name]()
    alpha = canvas[..., 3:] if canvas.shape[2] == 4 else np.ones((*canvas.shape[:2], 1))
    return np.concatenate([to_linear(canvas[..., :3]), alpha], -1).astype(np.float32)
