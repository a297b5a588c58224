"""Built-in signals to fit without any data: a picture with flat parts, edges and fine waves, and the organic shapes of the scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from recon.errors import UsageError
from scenes.making import organic

PREFIX = "signals:"
PICTURE = "picture"
SHAPES = ("knot", "asteroid")
"""Of :data:`scenes.making.organic.SHAPES`, those with the finest detail."""
SIDE = 256
CELLS, WAVES = 60, 24


def names() -> tuple[str, ...]:
    """Names of the built-in signals."""
    return (PICTURE, *SHAPES)


def file_of(name: str) -> str:
    """The file that a signal is written to; its ending says whether it is a picture or a shape.

    Args:
        name: With or without the prefix ``signals:``.
    Raises:
        UsageError: If there is no such signal.
    """
    base = name.removeprefix(PREFIX)
    if base not in names():
        raise UsageError(f"there is no built-in signal '{base}'", f"signals: {', '.join(names())}")
    return f"{base}.png" if base == PICTURE else f"{base}.ply"


def write_signal(name: str, folder: Path) -> Path:
    """Write a built-in signal; always the same bits.

    Args:
        name: As in :func:`file_of`.
        folder: Made if it is missing.
    Returns:
        The file.
    Raises:
        UsageError: If there is no such signal.
    """
    path = folder / file_of(name)
    folder.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(picture(SIDE)).save(path)
    else:
        import trimesh

        solid = organic.solid(path.stem)
        trimesh.Trimesh(solid.vertices, solid.faces, process=False).export(path)
    return path


def picture(side: int) -> np.ndarray:
    """Coloured cells with dark borders and soft shading, fine waves in half of them, and rings that grow finer outwards in a corner.

    Args:
        side: Pixels; the same picture at any resolution, but for what is too fine for it.
    Returns:
        uint8 [side, side, 3], sRGB
    """
    rng = np.random.default_rng(7)
    y, x = (np.mgrid[:side, :side] + 0.5) / side
    sites, colors, grainy = rng.random((CELLS, 2)), rng.random((CELLS, 3)), rng.random(CELLS) < 0.5
    distance = np.sqrt((x - sites[:, :1, None]) ** 2 + (y - sites[:, 1:, None]) ** 2)
    owner = distance.argmin(0)
    nearest, second = np.partition(distance, 1, axis=0)[:2]
    grain = np.zeros((side, side))
    for _ in range(WAVES):
        direction, period, phase = rng.uniform(0, 2 * np.pi), 2.0 ** rng.uniform(-6, -3), rng.uniform(0, 2 * np.pi)
        grain += np.sin(2 * np.pi * (x * np.cos(direction) + y * np.sin(direction)) / period + phase)
    shading = 0.75 + 0.25 * np.cos(9.0 * nearest / (second + 1e-6))
    values = colors[owner] * (shading + 0.15 * grain / np.sqrt(WAVES) * grainy[owner])[..., None]
    values[second - nearest < 0.006] *= 0.2
    corner = (x - 0.8) ** 2 + (y - 0.8) ** 2
    rings = 0.5 + 0.5 * np.cos(2500.0 * corner)
    values = np.where((corner < 0.03)[..., None], rings[..., None], values)
    return np.rint(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
