"""VisualSFM's ``.nvm``: for each picture its name, focal length, quaternion (w x y z, camera from world, OpenCV axes), centre and radial
distortion; the principal point is the picture's centre.

VisualSFM's distortion goes the other way round: a measured point m (over the focal length) is the ideal one (1 + r |m|^2) m. Its inverse is
written as a series in the ideal radius. Source: VisualSFM's documentation of NVM (Wu).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files, first_line, read_text
from recon.data.formats.numbers import floats, rotation_of, world_from
from recon.data.listing import Findings, Frame, FrameProblem, Intrinsics, Lens, Listing, Points

FORMAT = "nvm"
FILES = "*.nvm (VisualSFM)"
# m = u (1 + a1 v + a2 v^2 + ...) with v = r |u|^2 solves u = m (1 + r |m|^2): a_n = (-1)^n binomial(3 n, n) / (2 n + 1), by Lagrange's
# inversion.
SERIES = (-1.0, 3.0, -12.0, 55.0)


def owns(path: Path) -> Claim | None:
    if path.is_file():
        return Claim(path.parent, path) if path.suffix.lower() == ".nvm" else None
    files = sorted(path.glob("*.nvm")) if path.is_dir() else []
    return Claim(path, files[0]) if files else None


def read(claim: Claim, findings: Findings) -> Listing:
    """List the first model of the file."""
    file, files = claim.source, Files(claim.root)
    if not first_line(file).startswith("NVM_V3"):
        findings.fatal.append(f"{file.name}: does not begin with NVM_V3")
        return Listing(claim.root, FORMAT, ())
    lines = [line for line in (read_text(file, findings) or "").splitlines() if line.strip() and not line.startswith("#")][1:]
    try:
        count = int(floats(lines[:1], "number of cameras", 1)[0])
        if not 0 <= count < len(lines):
            raise FrameProblem(f"ends before its {count} cameras")
    except (FrameProblem, ValueError, OverflowError) as problem:
        findings.fatal.append(f"{file.name}: {problem}")
        return Listing(claim.root, FORMAT, ())
    rows = [re.match(r'"([^"]+)"\s+(.*)|(\S+)\s+(.*)', line.strip()) for line in lines[1 : 1 + count]]
    named = [(m[1] or m[3], m[2] or m[4]) for m in rows if m]
    folder = files.image_folder([name.replace("\\", "/") for name, _ in named], ("", "images", "image"))
    frames = []
    for raw, rest in named:
        where = f"{file.name} ({raw})"
        try:
            name, path = files.locate(f"{folder}/{raw}" if folder and not raw.startswith(("/", "\\")) else raw, "name", ".jpg")
            values = floats(rest.split()[:9], "focal length, quaternion, centre and distortion", 9)
            rotation = rotation_of(values[1:5])
            frames.append(
                Frame(
                    where,
                    name,
                    path,
                    world_from(rotation, -rotation @ values[5:8]),
                    Intrinsics(fx=float(values[0]), fy=float(values[0]), lens=_lens(float(values[8]))),
                )
            )
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    return Listing(claim.root, FORMAT, tuple(frames), points=_points(lines[1 + count :], file, findings))


def _lens(r: float) -> Lens:
    if not np.isfinite(r) or abs(r) > 0.1:
        raise FrameProblem(f"a distortion of {r:g} is too strong for the series that turns it round: undistort the pictures in VisualSFM")
    a, b, c, d = (s * r ** (n + 1) for n, s in enumerate(SERIES))
    return Lens(k=(a, b, c, d, 0.0, 0.0))


def _points(lines: list[str], file: Path, findings: Findings) -> Points | None:
    try:
        count = int(floats(lines[:1], "number of points", 1)[0]) if lines else 0
        rows = [line.split(maxsplit=7) for line in lines[1 : 1 + max(count, 0)]]
        if not rows:
            return None
        table = floats([word for row in rows for word in row[:7]], "points", 7 * len(rows)).reshape(-1, 7)
    except (FrameProblem, ValueError, OverflowError) as problem:
        findings.warnings.append(f"{file.name}: its points are not used: {problem}")
        return None
    return Points(table[:, :3], np.clip(table[:, 3:6], 0, 255).astype(np.uint8), table[:, 6].astype(int))
