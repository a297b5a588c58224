"""Kinds of files that are not read, by name: what they are, and what to do instead. So that nobody is told that they are damaged."""

from __future__ import annotations

import shlex
from pathlib import Path

from recon.errors import DataError

VIDEO = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mts", ".3gp")
RAW = (".cr2", ".cr3", ".nef", ".arw", ".dng", ".raf", ".orf", ".rw2", ".pef", ".srw")
_SCAN = ("a laser scan", "Photographs with cameras are needed.")
_MODEL = ("a model, not photographs of one", "recon scene {path} --out DATA renders photographs of it.")
_METASHAPE = ("a Metashape project", "In Metashape: File, Export, Export Cameras, as XML; put it beside the photographs.")
_REALITY = ("a RealityCapture project", "Export its registration (Internal/External camera parameters, a CSV) beside the photographs.")
_ARCHIVE = ("an archive of a kind that is not opened", "Unpack it, or make a .zip of it.")
_DATABASE = ("a COLMAP database: features and matches, but no cameras yet", "Run colmap mapper on it.")
KINDS: dict[str, tuple[str, str]] = {
    **dict.fromkeys(VIDEO, ("a video, which has no cameras yet", "Find the cameras first: recon process {path} --out DATA")),
    **dict.fromkeys((".psx", ".psz"), _METASHAPE),
    **dict.fromkeys((".rcproj", ".rsproj"), _REALITY),
    ".sfm": ("a Meshroom scene", "Export it to COLMAP (node ExportColmap), and give that folder."),
    ".abc": ("an Alembic file", "Export the cameras as COLMAP, or as transforms.json."),
    ".db": _DATABASE,
    **dict.fromkeys((".e57", ".las", ".laz"), _SCAN),
    **dict.fromkeys((".usdz", ".usdc", ".reality"), ("a finished model", "Photographs with cameras are needed.")),
    **dict.fromkeys((".ply", ".obj", ".stl", ".glb", ".gltf", ".step", ".stp"), _MODEL),
    **dict.fromkeys((".7z", ".rar", ".tar", ".gz", ".tgz", ".bz2", ".xz"), _ARCHIVE),
    **dict.fromkeys(RAW, ("a camera's raw picture", "Develop it to JPEG, PNG or TIFF first.")),
}


def refusal(path: Path) -> DataError | None:
    """What a file is that is not read, or the first such file of a folder that holds nothing else of use; None if nothing is known of
    it."""
    file = path
    if path.is_dir():
        entries = sorted(path.iterdir())
        known = [e for e in entries if e.is_file() and e.suffix.lower() in KINDS]
        if not known:
            return None
        file = min(known, key=lambda e: list(KINDS).index(e.suffix.lower()))
    found = KINDS.get(file.suffix.lower())
    if found is None:
        return None
    what, hint = found
    return DataError(f"{file} is {what}", hint=hint.format(path=shlex.quote(str(file))))
