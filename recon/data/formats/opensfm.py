"""OpenSfM: ``reconstruction.json``, a list of reconstructions with cameras, shots and points; pictures in ``images/``.

A shot's ``rotation`` (an axis times an angle) and ``translation`` are camera-from-world, OpenCV axes. Cameras are in normalised
coordinates: from the picture's middle, in units of its longer side. Source: OpenSfM's documentation, "Dataset structure" and "Geometric
models".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files
from recon.data.formats.numbers import floats, rotation_about, world_from
from recon.data.formats.transforms import read_json
from recon.data.listing import Findings, Frame, FrameProblem, Intrinsics, Lens, Listing, Points

FORMAT = "opensfm"
FILES = "reconstruction.json (OpenSfM)"


def owns(path: Path) -> Claim | None:
    file = path if path.name == "reconstruction.json" else path / "reconstruction.json"
    return Claim(file.parent, file) if file.is_file() else None


def read(claim: Claim, findings: Findings) -> Listing:
    """List the reconstruction with the most shots."""
    file, files = claim.source, Files(claim.root)
    all_of_them = read_json(file, findings, list)
    if all_of_them is None:
        return Listing(claim.root, FORMAT, ())
    models = [m for m in all_of_them if isinstance(m, dict) and isinstance(m.get("shots"), dict) and isinstance(m.get("cameras"), dict)]
    if not models:
        findings.fatal.append(f"{file.name}: holds no reconstruction with shots and cameras")
        return Listing(claim.root, FORMAT, ())
    model = max(models, key=lambda m: len(m["shots"]))
    if len(models) > 1:
        rest = ", ".join(str(len(m["shots"])) for m in models if m is not model)
        findings.warnings.append(
            f"{file.name}: {len(models)} reconstructions, which share no frame: the largest is read ({len(model['shots'])} pictures); "
            f"the others have {rest}"
        )
    folder = files.image_folder(list(model["shots"]), ("images", ""))
    frames = []
    for raw, shot in model["shots"].items():
        where = f"{file.name} ({raw})"
        try:
            name, path = files.locate(f"{folder}/{raw}" if folder else raw, "shot", ".jpg")
            if not isinstance(shot, dict):
                raise FrameProblem("is not an object {...}")
            rotation = rotation_about(floats(_list(shot.get("rotation")), "rotation", 3))
            pose = world_from(rotation, floats(_list(shot.get("translation")), "translation", 3))
            frames.append(Frame(where, name, path, pose, _intrinsics(model["cameras"].get(shot.get("camera")))))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    return Listing(claim.root, FORMAT, tuple(frames), points=_points(model.get("points")))


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _intrinsics(camera: Any) -> Intrinsics:
    if not isinstance(camera, dict):
        raise FrameProblem("its camera is missing")
    kind = camera.get("projection_type", "perspective")

    def number(*names: str) -> float:
        return float(floats([next((camera[n] for n in names if n in camera), 0.0)], names[0])[0])

    width, height = (int(v) for v in floats([camera.get("width"), camera.get("height")], "width and height"))
    size = float(max(width, height))
    fx, fy = number("focal_x", "focal") * size, number("focal_y", "focal", "focal_x") * size
    k = (number("k1"), number("k2"), number("k3"), number("k4"), 0.0, 0.0)
    p = (number("p1"), number("p2"))
    lenses = {
        "perspective": Lens(k=(k[0], k[1], 0.0, 0.0, 0.0, 0.0)),
        "simple_radial": Lens(k=(k[0], 0.0, 0.0, 0.0, 0.0, 0.0)),
        "radial": Lens(k=(k[0], k[1], 0.0, 0.0, 0.0, 0.0)),
        "brown": Lens(k=(k[0], k[1], k[2], 0.0, 0.0, 0.0), p=p),
        "fisheye": Lens("fisheye", (k[0], k[1], 0.0, 0.0, 0.0, 0.0)),
        "fisheye_opencv": Lens("fisheye", k),
    }
    if kind not in lenses:
        raise FrameProblem(f'projection_type "{kind}" is not read: supported are {", ".join(lenses)}')
    return Intrinsics(
        fx=fx, fy=fy, cx=width / 2 + number("c_x") * size, cy=height / 2 + number("c_y") * size,
        width=width, height=height, lens=lenses[kind],
    )  # fmt: skip


def _points(raw: Any) -> Points | None:
    if not isinstance(raw, dict):
        return None
    rows = [p for p in raw.values() if isinstance(p, dict) and len(_list(p.get("coordinates"))) == 3]
    try:
        xyz = floats([v for p in rows for v in p["coordinates"]], "points").reshape(-1, 3)
        rgb = floats([v for p in rows for v in (*_list(p.get("color")), 120, 120, 120)[:3]], "colours").reshape(-1, 3)
    except FrameProblem:
        return None
    return Points(xyz, np.clip(np.nan_to_num(rgb), 0, 255).astype(np.uint8)) if len(xyz) else None
