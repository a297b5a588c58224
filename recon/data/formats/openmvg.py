"""OpenMVG: ``sfm_data.json`` with views, intrinsics, extrinsics (camera-from-world rotation, centre; OpenCV axes) and structure.

OpenMVG puts integer coordinates at pixel centres, so half a pixel is added to the principal point. Its Brown model's t1 and t2 are OpenCV's
p1 and p2. Source: OpenMVG's documentation, "Cameras" and "sfm_data.json".
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files
from recon.data.formats.numbers import floats, world_from
from recon.data.formats.transforms import read_json
from recon.data.listing import Findings, Frame, FrameProblem, Intrinsics, Lens, Listing, Points

FORMAT = "openmvg"
FILES = "sfm_data.json (OpenMVG)"
NAMES = ("sfm_data.json", "sfm_data_expanded.json")


def owns(path: Path) -> Claim | None:
    if path.is_file():
        return Claim(path.parent, path) if path.name.startswith("sfm_data") and path.suffix == ".json" else None
    name = next((name for name in NAMES if (path / name).is_file()), None)
    return None if name is None else Claim(path, path / name)


def read(claim: Claim, findings: Findings) -> Listing:
    """List a reconstruction; views without a pose were not registered and are left out with a warning."""
    file, files = claim.source, Files(claim.root)
    data = read_json(file, findings)
    if data is None:
        return Listing(claim.root, FORMAT, ())
    tables = {}
    for key in ("views", "intrinsics", "extrinsics"):
        if not isinstance(data.get(key), list):
            findings.fatal.append(f'{file.name}: has no list "{key}"')
            return Listing(claim.root, FORMAT, ())
        tables[key] = [(e.get("key"), e.get("value")) for e in data[key] if isinstance(e, dict) and isinstance(e.get("value"), dict)]
    kinds: dict[Any, Any] = {}
    cameras = {key: _camera(value, kinds) for key, value in tables["intrinsics"]}
    poses = dict(tables["extrinsics"])
    views = [_flat(value) for _, value in tables["views"]]
    names = [posixpath.join(str(v.get("local_path") or ""), str(v.get("filename") or "")) for v in views]
    folder = files.image_folder(names, ("", "images", "image"))
    frames, unregistered = [], 0
    for view, raw in zip(views, names, strict=True):
        where = f"{file.name} view {view.get('id_view')} ({raw})"
        pose = poses.get(view.get("id_pose"))
        if pose is None:
            unregistered += 1
            continue
        try:
            name, path = files.locate(f"{folder}/{raw}" if folder else raw, "filename", ".jpg")
            rotation = floats([v for row in _list(pose.get("rotation")) for v in _list(row)], "rotation", 9).reshape(3, 3)
            center = floats(_list(pose.get("center")), "center", 3)
            camera = cameras.get(view.get("id_intrinsic"), "its intrinsics are missing")
            if isinstance(camera, str):
                raise FrameProblem(camera)
            frames.append(Frame(where, name, path, world_from(rotation, -rotation @ center), camera))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    if unregistered:
        findings.warnings.append(f"{unregistered} of {len(views)} pictures were not registered by OpenMVG and are left out")
    return Listing(claim.root, FORMAT, tuple(frames), points=_points(data.get("structure")))


def _list(value: Any) -> list:
    return value if isinstance(value, list) else []


def _flat(value: Any) -> dict[str, Any]:
    """All members of nested objects by name: the serialiser wraps them in ptr_wrapper, data and value0, differently in each version."""
    out: dict[str, Any] = {}
    if isinstance(value, dict):
        for key, inner in value.items():
            out |= _flat(inner) if isinstance(inner, dict) else {key: inner}
    return out


def _camera(value: dict, kinds: dict[Any, Any]) -> Intrinsics | str:
    """Intrinsics, or why there are none. The kind's name comes only with its first camera, later ones refer to it by number."""
    number = value.get("polymorphic_id")
    if isinstance(number, int) and value.get("polymorphic_name"):
        kinds[number & 0x7FFFFFFF] = value["polymorphic_name"]
    kind = str(value.get("polymorphic_name") or kinds.get(number if isinstance(number, int) else None, "pinhole"))
    flat = _flat(value)
    try:
        width, height, f = floats([flat.get("width"), flat.get("height"), flat.get("focal_length")], "width, height, focal_length")
        cx, cy = floats(_list(flat.get("principal_point")), "principal_point", 2) + 0.5
        if kind == "pinhole":
            lens = Lens()
        elif kind in ("pinhole_radial_k1", "pinhole_radial_k3"):
            more = floats(_list(flat.get(f"disto_{kind[-2:]}")), "distortion", int(kind[-1])).tolist()
            k1, k2, k3 = (*more, 0.0, 0.0)[:3]
            lens = Lens(k=(k1, k2, k3, 0.0, 0.0, 0.0))
        elif kind == "pinhole_brown_t2":
            k1, k2, k3, t1, t2 = floats(_list(flat.get("disto_t2")), "distortion", 5).tolist()
            lens = Lens(k=(k1, k2, k3, 0.0, 0.0, 0.0), p=(t1, t2))
        elif kind == "fisheye":
            k1, k2, k3, k4 = floats(_list(flat.get("fisheye")), "distortion", 4).tolist()
            lens = Lens("fisheye", (k1, k2, k3, k4, 0.0, 0.0))
        else:
            return f'its camera is of the kind "{kind}", which is not read'
        return Intrinsics(fx=float(f), fy=float(f), cx=float(cx), cy=float(cy), width=int(width), height=int(height), lens=lens)
    except (FrameProblem, ValueError, OverflowError) as problem:
        return str(problem)


def _points(raw: Any) -> Points | None:
    rows = [_flat(e) for e in _list(raw) if isinstance(e, dict)]
    rows = [row for row in rows if len(_list(row.get("X"))) == 3]
    try:
        xyz = floats([v for row in rows for v in row["X"]], "structure").reshape(-1, 3)
    except FrameProblem:
        return None
    track = np.array([len(_list(row.get("observations"))) for row in rows])
    return Points(xyz, None, track) if len(xyz) else None
