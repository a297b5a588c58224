"""COLMAP and GLOMAP models: ``cameras``, ``images`` and ``points3D`` as .bin or .txt in ``sparse/0``, ``sparse`` or ``colmap/sparse/0``.

Poses are camera-from-world with OpenCV axes, pixel centres at +0.5: nothing is converted but their inverse. ``rigs`` and ``frames`` of
newer versions repeat what ``images`` says and are not needed. Of several models the one with the most images is read.
"""

from __future__ import annotations

import posixpath
import struct
from pathlib import Path

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.colmap_models import MODELS, NAMES, UNREADABLE, intrinsics
from recon.data.formats.files import Files, read_text
from recon.data.formats.numbers import floats, rotation_of, world_from
from recon.data.listing import Findings, Frame, FrameProblem, Intrinsics, Listing, Points

FORMAT = "colmap"
FILES = "sparse/0/cameras.bin or .txt (COLMAP)"
PLACES = ("sparse", "colmap/sparse", "colmap/dense/sparse", "dense/sparse", "distorted/sparse", "")
MEMBERS = ("cameras", "images", "points3D", "rigs", "frames")
LONGEST_NAME = 4096
MOST_POINTS = 5_000_000
"""Further points of a model are not read."""


def owns(path: Path) -> Claim | None:
    if path.is_file():
        return owns(path.parent) if path.stem in MEMBERS and path.suffix in (".bin", ".txt") and _suffix(path.parent) else None
    for place in PLACES:
        models = _models(path / place) if place else ([path] if _suffix(path) else [])
        if models:
            return Claim(path if place else _root(path), path / place if place else path)
    return None


def read(claim: Claim, findings: Findings) -> Listing:
    """List a COLMAP model; its points come along, for bounds."""
    folder = _largest(claim, findings)
    suffix = _suffix(folder)
    cameras: dict[int, Intrinsics | str] = {}
    rows: list[tuple[str, int, np.ndarray]] = []
    try:
        if suffix == ".bin":
            cameras = _cameras_bin((folder / "cameras.bin").read_bytes())
            rows = _images_bin((folder / "images.bin").read_bytes())
        else:
            cameras = _cameras_txt(read_text(folder / "cameras.txt", findings) or "")
            rows = _images_txt(read_text(folder / "images.txt", findings) or "")
    except (struct.error, OSError, UnicodeDecodeError, FrameProblem) as error:
        reason = str(error) if isinstance(error, FrameProblem) else f"is truncated or damaged ({type(error).__name__}): copy it again"
        findings.fatal.append(f"{_relative(folder, claim.root)}/cameras{suffix}, images{suffix}: {reason}")
        return Listing(claim.root, FORMAT, ())
    files = Files(claim.root)
    images = files.image_folder([name for name, _, _ in rows])
    if images.startswith("images_"):
        findings.notes.append(f"pictures: those of {images}/, because images/ is not there")
    frames = []
    for name, camera_id, pose in rows:
        where = f"{folder.name}/images{suffix} ({name})"
        try:
            found, path = files.locate(posixpath.join(images, name.replace("\\", "/").lstrip("/")), "name")
            camera = cameras.get(camera_id, f"camera {camera_id} is not in cameras{suffix}")
            if isinstance(camera, str):
                raise FrameProblem(camera)
            frames.append(Frame(where, found, path, world_from(rotation_of(pose[:4]), pose[4:]), camera))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    return Listing(claim.root, FORMAT, tuple(frames), points=_points(folder, suffix, findings))


def _suffix(folder: Path) -> str:
    """ ".bin" or ".txt", as which the folder holds a model; "" if it does not."""
    return next((s for s in (".bin", ".txt") if all((folder / f"{n}{s}").is_file() for n in ("cameras", "images"))), "")


def _models(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    inside = sorted(f for f in place.iterdir() if f.is_dir() and _suffix(f))
    return inside or ([place] if _suffix(place) else [])


def _root(model: Path) -> Path:
    """The folder above a model that holds pictures, at most four up; else the model's own."""
    for folder in (model, *list(model.parents)[:4]):
        if any((folder / name).is_dir() for name in ("images", "input", "image", "images_2", "images_4", "images_8")):
            return folder
    return model


def _largest(claim: Claim, findings: Findings) -> Path:
    models = _models(claim.source) or [claim.source]
    if len(models) == 1:
        return models[0]
    counts = {model: _count(model) for model in models}
    best = max(models, key=lambda model: counts[model])
    others = ", ".join(f"{m.name}: {n}" for m, n in counts.items() if m != best)
    findings.warnings.append(
        f"{len(models)} COLMAP models, which share no frame: the largest is read ({_relative(best, claim.root)}, {counts[best]} images); "
        f"the others have {others}"
    )
    return best


def _count(model: Path) -> int:
    try:
        if _suffix(model) == ".bin":
            with open(model / "images.bin", "rb") as file:
                return int(struct.unpack("<Q", file.read(8))[0])
        text = read_text(model / "images.txt", Findings()) or ""
        return sum(1 for line in text.splitlines() if line.strip() and not line.startswith("#")) // 2
    except (OSError, struct.error):
        return 0


def _relative(folder: Path, root: Path) -> str:
    return folder.relative_to(root).as_posix() if folder.is_relative_to(root) else folder.name


def _camera(name: str, width: int, height: int, parameters: list[float]) -> Intrinsics | str:
    """Intrinsics, or why there are none: cameras that no image uses do no harm."""
    try:
        if not (0 < width < 10**6 and 0 < height < 10**6):
            raise FrameProblem(f"the camera's image size is {width}x{height}")
        return intrinsics(name, width, height, parameters)
    except FrameProblem as problem:
        return str(problem)


def _cameras_bin(data: bytes) -> dict[int, Intrinsics | str]:
    (count,) = struct.unpack_from("<Q", data)
    at, out = 8, {}
    for _ in range(count):
        camera_id, number, width, height = struct.unpack_from("<iiQQ", data, at)
        name = NAMES.get(number)
        if name is None:
            unread = UNREADABLE.get(number, f"number {number}")
            raise FrameProblem(f"the camera model {unread} is not read: undistort the images first (colmap image_undistorter)")
        parameters = MODELS[name].focals + 2 + MODELS[name].more
        out[camera_id] = _camera(name, width, height, list(struct.unpack_from(f"<{parameters}d", data, at + 24)))
        at += 24 + 8 * parameters
    return out


def _images_bin(data: bytes) -> list[tuple[str, int, np.ndarray]]:
    """Name, camera, and quaternion and translation (camera from world, [7]) of each image."""
    (count,) = struct.unpack_from("<Q", data)
    at, out = 8, []
    for _ in range(count):
        pose = np.frombuffer(data, "<f8", 7, at + 4) if at + 60 <= len(data) else np.zeros(0)
        (camera_id,) = struct.unpack_from("<i", data, at + 60)
        end = data.find(b"\0", at + 64, at + 64 + LONGEST_NAME)
        if end < 0:
            raise FrameProblem("is truncated or damaged (an image's name has no end): copy it again")
        out.append((data[at + 64 : end].decode("utf-8", "replace"), camera_id, pose))
        (points,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * points
        if at > len(data):
            raise FrameProblem(f"is truncated: {len(out)} of {count} images are there: copy it again")
    return out


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith("#")]


def _cameras_txt(text: str) -> dict[int, Intrinsics | str]:
    out = {}
    for line in _lines(text):
        words = line.split()
        if len(words) >= 4:
            numbers = floats([words[0], *words[2:]], f'the line "{line[:60]}"')
            out[int(numbers[0])] = _camera(words[1], int(numbers[1]), int(numbers[2]), numbers[3:].tolist())
    return out


def _images_txt(text: str) -> list[tuple[str, int, np.ndarray]]:
    """Every image takes two lines, the second, with its features, may be empty."""
    lines = _lines(text)
    while lines and not lines[0].strip():
        lines.pop(0)
    out = []
    for line in lines[::2]:
        words = line.strip().split(maxsplit=9)
        if len(words) == 10:
            numbers = floats(words[:9], f'the line "{line[:60]}"')
            out.append((words[9], int(numbers[8]), numbers[1:8]))
    return out


def _points(folder: Path, suffix: str, findings: Findings) -> Points | None:
    file = folder / f"points3D{suffix}"
    if not file.is_file():
        return None
    try:
        if suffix == ".bin":
            return _points_bin(file.read_bytes())
        rows = [line.split(maxsplit=8) for line in _lines(read_text(file, findings) or "")[:MOST_POINTS] if line.strip()]
        if not rows:
            return None
        table = floats([word for row in rows for word in row[:8]], file.name, 8 * len(rows)).reshape(-1, 8)
        track = np.array([len(row[8].split()) // 2 if len(row) > 8 else 0 for row in rows])
    except (struct.error, OSError, FrameProblem) as error:
        findings.warnings.append(f"{file.name}: is truncated or damaged, its points are not used ({error})")
        return None
    return Points(table[:, 1:4], table[:, 4:7].astype(np.uint8), track, table[:, 7])


def _points_bin(data: bytes) -> Points | None:
    """Records are as long as their tracks, so where each starts is known only from the one before: that alone is a loop."""
    (count,) = struct.unpack_from("<Q", data)
    count = min(count, MOST_POINTS)
    length = struct.Struct("<Q")
    starts, tracks, at = np.empty(count, np.int64), np.empty(count, np.int64), 8
    for i in range(count):
        (tracks[i],) = length.unpack_from(data, at + 43)
        starts[i] = at
        at += 51 + 8 * int(tracks[i])
        if at > len(data):
            raise FrameProblem(f"{i} of {count} points are there")
    if count == 0:
        return None
    raw = np.frombuffer(data, np.uint8)
    record = np.dtype([("id", "<u8"), ("xyz", "<f8", 3), ("rgb", "u1", 3), ("error", "<f8")])
    table = raw[starts[:, None] + np.arange(43)].copy().view(record)[:, 0]
    return Points(table["xyz"].copy(), table["rgb"].copy(), tracks, table["error"].copy())
