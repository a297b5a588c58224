"""Bundler's ``bundle.out`` with its list of pictures (``list.txt``): focal length, k1, k2, R and t of each camera, which looks along -z
with y up; the principal point is the picture's centre. Source: Bundler's user manual (Snavely), "Output format".
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files, first_line, is_file, read_text
from recon.data.formats.numbers import floats, opencv_from_opengl, world_from
from recon.data.listing import Findings, Frame, FrameProblem, Intrinsics, Lens, Listing, Points

FORMAT = "bundler"
FILES = "bundle.out (Bundler)"
NAMES = ("bundle.rd.out", "bundle.out", "bundle/bundle.out", "bundler/bundle.out")
LISTS = ("list.rd.txt", "list.txt", "bundle.out.list.txt", "bundle.list.txt", "image_list.txt", "images.txt")


def owns(path: Path) -> Claim | None:
    if path.is_file():
        if path.suffix != ".out" or not _is_bundle(path):
            return None
        return Claim(path.parent.parent if path.parent.name in ("bundle", "bundler") else path.parent, path)
    file = next((path / name for name in NAMES if is_file(path / name) and _is_bundle(path / name)), None)
    return None if file is None else Claim(path, file)


def read(claim: Claim, findings: Findings) -> Listing:
    """List a bundle; cameras without a focal length were not registered and are left out with a warning."""
    file, files = claim.source, Files(claim.root)
    listed = next((p for folder in (file.parent, claim.root) for name in LISTS if is_file(p := folder / name)), None)
    if listed is None:
        findings.fatal.append(f"{file.name}: the list of its pictures is missing: one of {', '.join(LISTS)}")
        return Listing(claim.root, FORMAT, ())
    # A line may end with a number and the focal length of the picture's EXIF.
    lines = [line for line in (read_text(listed, findings) or "").splitlines() if line.strip()]
    names = [line.split()[0] if not is_file(claim.root / line.strip()) else line.strip() for line in lines]
    words = [line for line in (read_text(file, findings) or "").splitlines() if line.strip() and not line.startswith("#")]
    try:
        count, points = (int(v) for v in floats(words[0].split() if words else [], "numbers of cameras and points", 2))
        if count < 0 or points < 0 or len(words) < 1 + 5 * count:
            raise FrameProblem(f"ends before its {count} cameras")
    except (FrameProblem, ValueError, OverflowError) as problem:
        findings.fatal.append(f"{file.name}: {problem}")
        return Listing(claim.root, FORMAT, ())
    if len(names) != count:
        findings.fatal.append(f"{file.name} has {count} cameras, {listed.name} {len(names)} pictures: they do not belong together")
        return Listing(claim.root, FORMAT, ())
    folder = files.image_folder(names, ("", "images", "image"))
    frames, unregistered = [], 0
    for index, raw in enumerate(names):
        where = f"{file.name} camera {index} ({raw})"
        try:
            name, path = files.locate(f"{folder}/{raw}" if folder else raw, "name", ".jpg")
            values = floats(" ".join(words[1 + 5 * index : 6 + 5 * index]).split(), "f, k1, k2, R and t", 15)
            focal, k1, k2 = values[:3].tolist()
            if focal == 0:
                unregistered += 1
                continue
            pose = opencv_from_opengl(world_from(values[3:12].reshape(3, 3), values[12:]))
            lens = Lens(k=(k1, k2, 0.0, 0.0, 0.0, 0.0))
            frames.append(Frame(where, name, path, pose, Intrinsics(fx=focal, fy=focal, lens=lens)))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    if unregistered:
        findings.warnings.append(f"{unregistered} of {count} pictures were not registered by Bundler and are left out")
    return Listing(claim.root, FORMAT, tuple(frames), points=_points(words[1 + 5 * count :], points, file, findings), axes="opengl")


def _points(lines: list[str], count: int, file: Path, findings: Findings) -> Points | None:
    """Three lines each: place, colour, track."""
    lines = lines[: 3 * count]
    lines = lines[: len(lines) // 3 * 3]
    if not lines:
        return None
    try:
        xyz = floats(" ".join(lines[0::3]).split(), "points", len(lines)).reshape(-1, 3)
        rgb = floats(" ".join(lines[1::3]).split(), "colours", len(lines)).reshape(-1, 3)
        track = floats([line.split(maxsplit=1)[0] for line in lines[2::3]], "tracks").astype(int)
    except FrameProblem as problem:
        findings.warnings.append(f"{file.name}: its points are not used: {problem}")
        return None
    return Points(xyz, np.clip(rgb, 0, 255).astype(np.uint8), track)


def _is_bundle(file: Path) -> bool:
    with open(file, "rb") as f:
        return f.read(13).startswith(b"# Bundle file") or len(first_line(file).split()) == 2
