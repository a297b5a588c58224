"""RealityCapture's CSV "Internal/External camera parameters": ``#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2``.

``f``, ``px`` and ``py`` are for a frame 36 mm wide, the principal point from the picture's middle. Angles in degrees: heading turns
clockwise about the world's z, which is up, then pitch about x, then roll about y; the camera with all three at zero looks down with its top
to the north (+y), OpenGL axes.
"""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files, decoded, read_text
from recon.data.formats.numbers import floats, opencv_from_opengl
from recon.data.images import header_size
from recon.data.listing import Findings, Frame, FrameProblem, Intrinsics, Lens, Listing

FORMAT = "realitycapture"
FILES = "*.csv with #name,x,y,alt,heading,pitch,roll (RealityCapture)"
NEEDED = ("x", "y", "alt", "heading", "pitch", "roll", "f")
MORE = ("px", "py", "k1", "k2", "k3", "k4", "t1", "t2")


def owns(path: Path) -> Claim | None:
    if path.is_file():
        return Claim(path.parent, path) if path.suffix.lower() == ".csv" and _is_export(path) else None
    files = sorted(path.glob("*.csv")) if path.is_dir() else []
    file = next((f for f in files if _is_export(f)), None)
    return None if file is None else Claim(path, file)


def read(claim: Claim, findings: Findings) -> Listing:
    file, files = claim.source, Files(claim.root)
    text = (read_text(file, findings) or "").lstrip("#")
    rows = [row for row in csv.DictReader(text.splitlines(), skipinitialspace=True) if row.get("name")]
    folder = files.image_folder([row["name"] for row in rows], ("images", "image", ""))
    frames = []
    for number, row in enumerate(rows):
        where = f"{file.name} row {number + 1} ({row['name']})"
        try:
            name, path = files.locate(f"{folder}/{row['name']}" if folder else row["name"], "name", ".jpg")
            x, y, z, heading, pitch, roll, f = floats([row.get(k) for k in NEEDED], "x .. roll, f", 7).tolist()
            px, py, k1, k2, k3, k4, t1, t2 = floats([row.get(k) or 0 for k in MORE], ", ".join(MORE)).tolist()
            pose = np.concatenate([_rotation(-heading, pitch, roll), np.array([[x], [y], [z]])], axis=1)
            size = header_size(path)
            if size is None:
                # What is wrong with the picture is found when it is read.
                size = (36, 24)
            scale = max(size) / 36.0
            intrinsics = Intrinsics(
                fx=f * scale, fy=f * scale, cx=size[0] / 2 + px * scale, cy=size[1] / 2 + py * scale,
                lens=Lens(k=(k1, k2, k3, k4, 0.0, 0.0), p=(t1, t2)),
            )  # fmt: skip
            frames.append(Frame(where, name, path, opencv_from_opengl(pose), intrinsics))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    return Listing(claim.root, FORMAT, tuple(frames), axes="opengl")


def _rotation(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """About z, then x, then y, degrees. [3, 3]"""
    (sz, sx, sy), (cz, cx, cy) = np.sin(np.radians([yaw, pitch, roll])), np.cos(np.radians([yaw, pitch, roll]))
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return about_z @ about_x @ about_y


def _is_export(file: Path) -> bool:
    try:
        with open(file, "rb") as f:
            head = decoded(f.read(512), strict=False).splitlines()
    except OSError:
        return False
    columns = [c.strip().lower() for c in head[0].lstrip("#").split(",")] if head else []
    return "name" in columns and set(NEEDED) <= set(columns)
