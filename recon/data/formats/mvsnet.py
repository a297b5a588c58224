"""MVSNet and BlendedMVS: ``cams/00000000_cam.txt`` for each picture: ``extrinsic``, a 4x4 camera-from-world matrix with OpenCV axes, and
``intrinsic``, K with integer pixel centres. Pictures are in ``blended_images/`` or ``images/``, under the same number.
"""

from __future__ import annotations

import re
from pathlib import Path

from recon.data.formats.base import Claim
from recon.data.formats.files import Files, read_text
from recon.data.formats.numbers import floats, world_from
from recon.data.formats.transforms import from_matrix
from recon.data.listing import Findings, Frame, FrameProblem, Listing, natural_key

FORMAT = "mvsnet"
FILES = "cams/*_cam.txt (MVSNet, BlendedMVS)"
PLACES = ("cams", "cams_1", "Cameras", "cameras", "")
IMAGE_FOLDERS = ("blended_images", "images", "image", "")


def owns(path: Path) -> Claim | None:
    if path.is_file():
        if not path.name.endswith("_cam.txt"):
            return None
        inside = path.parent.name in PLACES
        return Claim(path.parent.parent if inside else path.parent, path.parent)
    place = next((place for place in PLACES if path.is_dir() and next((path / place).glob("*_cam.txt"), None)), None)
    return None if place is None else Claim(path, path / place)


def read(claim: Claim, findings: Findings) -> Listing:
    files = Files(claim.root)
    frames = []
    for file in sorted(claim.source.glob("*_cam.txt"), key=lambda f: natural_key(f.name)):
        stem = file.name.removesuffix("_cam.txt")
        options = [f"{folder}/{stem}" if folder else stem for folder in IMAGE_FOLDERS if (claim.root / folder).is_dir()]
        where = f"{claim.source.name}/{file.name}"
        try:
            found = next((name for option in options if (name := files.find(option)) is not None), None)
            name, path = (found, claim.root / found) if found else files.locate(options[0], "name", ".jpg")
            where = f"{where} ({name})"
            extrinsic, intrinsic = _read(file, findings)
            frames.append(
                Frame(where, name, path, world_from(extrinsic[:3, :3], extrinsic[:3, 3]), from_matrix(intrinsic, "K", None, None))
            )
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    return Listing(claim.root, FORMAT, tuple(frames))


def _read(file: Path, findings: Findings):
    """Extrinsic [4, 4] and intrinsic [3, 3] matrix."""
    text = re.sub(r"#.*", "", read_text(file, findings) or "")
    parts = re.split(r"\b(extrinsic|intrinsic)\b", text)
    named = dict(zip(parts[1::2], parts[2::2]))
    if not {"extrinsic", "intrinsic"} <= set(named):
        raise FrameProblem("has no extrinsic and intrinsic matrix")
    matrices = []
    for name, size in (("extrinsic", 4), ("intrinsic", 3)):
        matrices.append(floats(named[name].split()[: size * size], name, size * size).reshape(size, size))
    return matrices
