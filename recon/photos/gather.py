"""Which files of a folder are photographs, and what of them is a video."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from recon.data.listing import IMAGE_SUFFIXES, natural_key
from recon.errors import DataError

PHOTO_SUFFIXES = tuple(dict.fromkeys((*(kind for kind in IMAGE_SUFFIXES if kind != ".exr"), ".heic", ".heif", ".avif")))
VIDEO_SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".3gp")
RAW_SUFFIXES = (".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2")
OTHER_FOLDERS = re.compile(r"(object_|dynamic_)?masks?(_.*)?|depths?|normals?|images_\d+|thumb(nail)?s?|sparse|__macosx", re.IGNORECASE)
"""Folders beside photographs that hold pictures of another kind."""
OTHER_FILES = re.compile(r"(dynamic_)?mask[_.].*|.*[_.]mask\.[a-z]+|.*\.(jpe?g|png)\.png", re.IGNORECASE)


@dataclass(frozen=True)
class Found:
    """What a user named.

    Attributes:
        root: The folder that names are relative to.
        photographs: Files, in natural order of their names.
        videos: Video files.
        raw: Camera raw files, which are not read.
        set_aside: Folders and files that look like masks, depth maps or smaller copies, relative to ``root``.
    """

    root: Path
    photographs: tuple[Path, ...]
    videos: tuple[Path, ...]
    raw: tuple[Path, ...] = ()
    set_aside: tuple[str, ...] = ()


def gather(source: Path) -> Found:
    """Photographs and videos of a folder with its subfolders, or one file of either kind.

    Raises:
        DataError: There is no such path.
    """
    if not source.exists():
        raise DataError(f"there is nothing at {source}: no such file or folder", hint="check the path")
    source = source.resolve()
    if source.is_file():
        kind = source.suffix.lower()
        return Found(source.parent, (source,) if kind in PHOTO_SUFFIXES else (), (source,) if kind in VIDEO_SUFFIXES else ())
    photographs, videos, raw, aside = [], [], [], set()
    for path in sorted(source.rglob("*"), key=lambda p: natural_key(p.relative_to(source).as_posix())):
        relative = path.relative_to(source)
        kind = path.suffix.lower()
        if any(part.startswith(".") for part in relative.parts) or not path.is_file():
            continue
        other = next((i for i, part in enumerate(relative.parts[:-1]) if OTHER_FOLDERS.fullmatch(part)), None)
        if kind in PHOTO_SUFFIXES and other is not None:
            aside.add("/".join(relative.parts[: other + 1]) + "/")
        elif kind in PHOTO_SUFFIXES and OTHER_FILES.fullmatch(path.name):
            aside.add(relative.as_posix())
        elif kind in PHOTO_SUFFIXES:
            photographs.append(path)
        elif kind in VIDEO_SUFFIXES:
            videos.append(path)
        elif kind in RAW_SUFFIXES:
            raw.append(path)
    return Found(source, tuple(photographs), tuple(videos), tuple(raw), tuple(sorted(aside)))
