"""Record3D: ``metadata`` (or ``metadata.json``) beside ``rgb/`` or ``rgbd/`` with 0.jpg, 1.jpg, ...: ``poses`` (quaternion x y z w, then
place, camera-to-world with OpenGL axes), ``K`` by columns, ``w``, ``h``. ARKit's world: metres.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files, is_file
from recon.data.formats.numbers import floats, opencv_from_opengl, rotation_of
from recon.data.formats.transforms import intrinsics, read_json
from recon.data.listing import Findings, Frame, FrameProblem, Listing

FORMAT = "record3d"
FILES = "metadata beside rgb/ or rgbd/ (Record3D)"
NAMES = ("metadata", "metadata.json")
IMAGE_FOLDERS = ("rgb", "rgbd")


def owns(path: Path) -> Claim | None:
    root = path.parent if path.name in NAMES else path
    file = next((root / name for name in NAMES if is_file(root / name)), None)
    folder = any((root / name).is_dir() for name in IMAGE_FOLDERS)
    return Claim(root, file) if file is not None and folder else None


def read(claim: Claim, findings: Findings) -> Listing:
    data, file, files = read_json(claim.source, findings), claim.source, Files(claim.root)
    if data is None:
        return Listing(claim.root, FORMAT, ())
    poses, coefficients = data.get("poses"), data.get("perFrameIntrinsicCoeffs")
    if not isinstance(poses, list) or not poses:
        findings.fatal.append(f'{file.name}: has no list "poses"')
        return Listing(claim.root, FORMAT, ())
    own = coefficients if isinstance(coefficients, list) and len(coefficients) == len(poses) else [None] * len(poses)
    folder = next(name for name in IMAGE_FOLDERS if (claim.root / name).is_dir())
    frames = []
    for index, (raw, k) in enumerate(zip(poses, own, strict=True)):
        where = f"{file.name} pose {index}"
        try:
            name, path = files.locate(f"{folder}/{index}", "name", ".jpg")
            values = floats(raw if isinstance(raw, list) else [], where, 7)
            rotation = rotation_of(values[[3, 0, 1, 2]])
            matrix = opencv_from_opengl(np.concatenate([rotation, values[4:, None]], axis=1))
            frames.append(Frame(f"{where} ({name})", name, path, matrix, intrinsics(_shared(data, k), {})))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    findings.notes.append("unit: m, as ARKit's world is in metres")
    return Listing(claim.root, FORMAT, tuple(frames), unit="m", axes="opengl")


def _shared(data: dict, own: Any) -> dict:
    """The keys of a ``transforms.json``: from the frame's own fx, fy, cx, cy, else from K."""
    size = {"w": data.get("w"), "h": data.get("h")}
    if own is not None:
        fx, fy, cx, cy = floats(own if isinstance(own, list) else [], "perFrameIntrinsicCoeffs", 4).tolist()
        return {**size, "fl_x": fx, "fl_y": fy, "cx": cx, "cy": cy}
    k = floats(data["K"] if isinstance(data.get("K"), list) else [], "K", 9).reshape(3, 3).T
    return {**size, "fl_x": float(k[0, 0]), "fl_y": float(k[1, 1]), "cx": float(k[0, 2]), "cy": float(k[1, 2])}
