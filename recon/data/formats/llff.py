"""LLFF: ``poses_bounds.npy``, a row of 17 numbers for each picture of ``images/`` in order of names.

The first fifteen are a 3x5 matrix: rotation whose columns are the camera's down, right and backwards, its place, and height, width and
focal length in pixels; then nearest and farthest depth. The principal point is the picture's centre. Source: LLFF, README (Mildenhall et
al. 2019).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files
from recon.data.listing import Findings, Frame, Intrinsics, Listing

FORMAT = "llff"
FILES = "poses_bounds.npy (LLFF)"
LARGEST = 64 * 2**20


def owns(path: Path) -> Claim | None:
    file = path if path.name == "poses_bounds.npy" else path / "poses_bounds.npy"
    return Claim(file.parent, file) if file.is_file() else None


def read(claim: Claim, findings: Findings) -> Listing:
    file, files = claim.source, Files(claim.root)
    try:
        table = read_array(file)
    except (OSError, ValueError, EOFError) as error:
        findings.fatal.append(f"{file.name}: is truncated or no array of numbers ({error}): copy it again")
        return Listing(claim.root, FORMAT, ())
    if table.ndim != 2 or table.shape[1] not in (17, 14) or table.dtype.kind not in "fiu":
        findings.fatal.append(f"{file.name}: must be a table of 17 numbers for each picture, found shape {table.shape}")
        return Listing(claim.root, FORMAT, ())
    if table.shape[1] == 14:
        findings.fatal.append(f"{file.name}: has 14 numbers for each picture and no intrinsics, as SpaceNet's have: use 17")
        return Listing(claim.root, FORMAT, ())
    counts = {folder: files.pictures_in(folder) for folder in ("images", "images_2", "images_4", "images_8", "")}
    folder = next((f for f, names in counts.items() if len(names) == len(table)), None)
    if folder is None:
        found = ", ".join(f"{len(names)} in {f or 'the folder itself'}" for f, names in counts.items() if names) or "none"
        findings.fatal.append(f"{file.name}: has {len(table)} cameras, one for each picture in order of names, but there are {found}")
        return Listing(claim.root, FORMAT, ())
    frames = []
    for index, (row, name) in enumerate(zip(table.astype(np.float64), counts[folder], strict=True)):
        down, right, back, place, (height, width, focal) = row[:15].reshape(3, 5).T
        pose = np.stack([right, down, -back, place], axis=1)
        size = (round(v) if np.isfinite(v) and 0 < v < 1e6 else None for v in (width, height))
        w, h = size
        intrinsics = Intrinsics(fx=float(focal), fy=float(focal), width=w, height=h)
        frames.append(Frame(f"{file.name} row {index} ({name})", name, claim.root / name, pose, intrinsics))
    return Listing(claim.root, FORMAT, tuple(frames))


def read_array(file: Path) -> np.ndarray:
    """A .npy of numbers, its size looked at first, never unpickled."""
    if file.stat().st_size > LARGEST:
        raise ValueError(f"larger than {LARGEST // 2**20} MiB")
    array = np.load(file, mmap_mode="r", allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise ValueError("an archive, not an array")
    return np.array(array)
