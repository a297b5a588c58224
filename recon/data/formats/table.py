"""All formats, in the order in which they are asked, and the search for a dataset."""

from __future__ import annotations

import os
from pathlib import Path

from recon.data import archive
from recon.data.formats import (
    blender,
    bundler,
    colmap,
    dtu,
    emap,
    llff,
    metashape,
    middlebury,
    mvsnet,
    nerfstudio,
    nvm,
    openmvg,
    opensfm,
    polycam,
    realitycapture,
    record3d,
)
from recon.data.formats.base import Claim, Format
from recon.data.formats.unread import refusal
from recon.data.listing import IMAGE_SUFFIXES, Findings, Listing
from recon.errors import DataError, recon_command

FORMATS: tuple[Format, ...] = (
    blender, nerfstudio, dtu, emap, polycam, record3d, colmap, llff, metashape, realitycapture, opensfm, openmvg, mvsnet, middlebury,
    bundler, nvm,
)  # fmt: skip
"""A converted dataset comes before what it was converted from: transforms.json before COLMAP, COLMAP before LLFF, which knows no lens."""
DEEPEST = 3
"""Folders below the one given in which a dataset is looked for."""
MOST_FOLDERS = 2000
"""Folders that are looked at."""


def read_listing(path: Path, findings: Findings) -> Listing:
    """Find the dataset that a path means and list it: a folder, a camera file, a .zip; one that lies deeper in the folder is found too.

    Raises:
        DataError: There is no such path, or nothing in it that is read: the message says what was found instead.
    """
    if not path.exists():
        raise DataError(f"there is no dataset at {path}: no such file or folder", hint="Check the path.")
    path = path.resolve()
    if path.is_file():
        if path.suffix.lower() == ".zip":
            path = archive.opened(path, findings)
        else:
            # Any .json may be a transforms.json, so nerfstudio's module is asked last.
            found = claims(path, (*(f for f in FORMATS if f is not nerfstudio), nerfstudio))
            if found:
                return found[0][0].read(found[0][1], findings)
            hint = "Give the dataset's folder, its transforms.json, its cameras_sphere.npz, or another of: " + "; ".join(
                f.FILES for f in FORMATS
            )
            raise refusal(path) or DataError(f"{path} is not a dataset", hint=hint)
    found = claims(path)
    if not found:
        found = _deeper(path, findings)
    if not found:
        raise _nothing(path)
    chosen, claim = found[0]
    others = [f"{c.source.relative_to(c.root) if c.source != c.root else c.source.name} ({f.FORMAT})" for f, c in found[1:]]
    if others:
        findings.notes.append(
            f"cameras: {claim.source.name} ({chosen.FORMAT}) is read; also there, and read if it is given: {', '.join(others)}"
        )
    return chosen.read(claim, findings)


def claims(path: Path, formats: tuple[Format, ...] = FORMATS) -> list[tuple[Format, Claim]]:
    """Every format that owns a folder or file, in order."""
    return [(f, claim) for f in formats if (claim := f.owns(path)) is not None]


def has_dataset(folder: Path) -> bool:
    """Whether :func:`read_listing` would find cameras in a folder or below it, readable or not, one dataset or several."""
    try:
        return bool(claims(folder) or _deeper(folder, Findings()))
    except DataError:
        return True


def pictures(path: Path) -> int:
    """How many pictures there are in a folder and below."""
    return sum(1 for _, _, names in os.walk(path) for name in names if name.lower().endswith(IMAGE_SUFFIXES))


def _deeper(path: Path, findings: Findings) -> list[tuple[Format, Claim]]:
    """The claims on the one folder below that somebody owns; the nearest level decides.

    Raises:
        DataError: If there are several.
    """
    level, looked = [path], 0
    for _ in range(DEEPEST):
        inside = [e for folder in level for e in _folders(folder)]
        looked += len(inside)
        if looked > MOST_FOLDERS:
            return []
        found = {folder: c for folder in inside if (c := claims(folder))}
        # A part of a dataset, such as COLMAP's sparse/0, is claimed for the dataset: several parts are one.
        roots = {c[0][1].root: c for c in found.values()}
        if len(roots) == 1:
            ((root, owned),) = roots.items()
            findings.notes.append(
                f"the dataset is in {root.relative_to(path).as_posix()}/" if root.is_relative_to(path) else f"the dataset is {root}"
            )
            return owned
        if roots:
            names = [r.relative_to(path).as_posix() if r.is_relative_to(path) else str(r) for r in sorted(roots)]
            shown = [f"{name}/" for name in names]
            raise DataError(f"{path} holds {len(roots)} datasets", shown, f"Give one of them: {recon_command('inspect', path / names[0])}")
        level = inside
    return []


def _folders(folder: Path) -> list[Path]:
    try:
        return sorted(e for e in folder.iterdir() if e.is_dir() and not e.is_symlink() and not e.name.startswith((".", "__MACOSX")))
    except OSError:
        return []


def _nothing(path: Path) -> DataError:
    expected = "; ".join(f.FILES for f in FORMATS)
    count = pictures(path)
    if count:
        known = refusal(path)
        hint = f"Find the cameras first: {recon_command('process', path, '--out')} DATA"
        if known is not None:
            # A project or database beside the photographs says more than that there are no cameras.
            return DataError(
                f"{path} holds {count} images, and {known.message}",
                hint=f"{known.hint} Or find them anew: {recon_command('process', path, '--out')} DATA",
            )
        return DataError(f"{path} holds {count} images but no cameras; expected one of {expected}", hint=hint)
    return refusal(path) or DataError(
        f"{path} is not a dataset: no images and none of {expected}", hint="Give the folder that holds the camera file."
    )
