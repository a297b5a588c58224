"""Middlebury's multi-view stereo: ``NAME_par.txt``, a count, then for each picture its name, K, R and t (P = K [R | t]), row by row.

OpenCV camera axes, integer pixel centres. Source: vision.middlebury.edu/mview/data.
"""

from __future__ import annotations

from pathlib import Path

from recon.data.formats.base import Claim
from recon.data.formats.files import Files, read_text
from recon.data.formats.numbers import floats, world_from
from recon.data.formats.transforms import from_matrix
from recon.data.listing import Findings, Frame, FrameProblem, Listing

FORMAT = "middlebury"
FILES = "*_par.txt (Middlebury)"


def owns(path: Path) -> Claim | None:
    if path.is_file():
        return Claim(path.parent, path) if path.name.endswith("_par.txt") else None
    files = sorted(path.glob("*_par.txt")) if path.is_dir() else []
    return Claim(path, files[0]) if files else None


def read(claim: Claim, findings: Findings) -> Listing:
    file, files = claim.source, Files(claim.root)
    lines = [line.split() for line in (read_text(file, findings) or "").splitlines() if line.strip()]
    if lines and len(lines[0]) == 1:
        lines = lines[1:]
    folder = files.image_folder([words[0] for words in lines], ("", "images", "image"))
    frames = []
    for number, words in enumerate(lines):
        where = f"{file.name} line {number + 2} ({words[0]})"
        try:
            name, path = files.locate(f"{folder}/{words[0]}", "name")
            values = floats(words[1:], "K, R and t", 21)
            k, r, t = values[:9].reshape(3, 3), values[9:18].reshape(3, 3), values[18:]
            frames.append(Frame(where, name, path, world_from(r, t), from_matrix(k, "K", None, None)))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    return Listing(claim.root, FORMAT, tuple(frames))
