"""All pictures of a dataset: the size that they are kept at, the memory that this takes, and reading them in parallel."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from recon.data.images import WORKING_PIXELS, Picture, header_size, read_picture
from recon.data.listing import Findings, Frame, FrameProblem
from recon.data.shelf import PICTURES_IN_MEMORY, Shelf
from recon.errors import MemoryLimitError

Size = tuple[int, int]
LONGEST_SIDE = 2000
"""Pictures are kept no larger unless it is asked for, pixels. The finest fields have 1024 to 2048 cells across the object's sphere,
which takes up most of a picture: more pixels than that say nothing more to them."""
WORKING_MEMORY = 3 * 2**29
"""What all threads together may take while they decode, bytes; never fewer than one thread."""


def shrunk(width: int, height: int, downscale: float, max_size: int | None) -> Size:
    """Image size after ``downscale`` and ``max_size``, rounded to whole pixels, at least 1."""
    factor = downscale
    if max_size is not None:
        factor = max(factor, max(width, height) / max_size)
    return max(1, int(width / factor + 0.5)), max(1, int(height / factor + 0.5))


def chosen_size(
    frames: Sequence[Frame], downscale: float, max_size: int | None, usual_size: int, findings: Findings
) -> Callable[[int, int], Size]:
    """Maps the size of a photograph to the one that it is kept at: as asked for, else no longer than ``usual_size``."""
    limit = usual_size if max_size is None and downscale == 1 else max_size
    if max_size is None and limit is not None:
        longest = max((max(size) for frame in frames if (size := header_size(frame.file)) is not None), default=0)
        if longest > limit:
            findings.notes.append(
                f"photographs of {longest} pixels are kept at {limit}, which the preset can use; --max-size {longest} keeps all of them"
            )
    return lambda width, height: shrunk(width, height, downscale, limit)


def read_all(
    frames: Sequence[Frame],
    target_size: Callable[[int, int], Size],
    findings: Findings,
    progress: Callable[[float, str], None] | None = None,
) -> list[Picture | None]:
    """Decode all frames in a few threads; None where a frame is bad. Beyond :data:`PICTURES_IN_MEMORY` they are kept in a file.

    Raises:
        MemoryLimitError: They do not fit.
    """
    sizes = [size for frame in frames if (size := header_size(frame.file)) is not None]
    kept = sum(4 * w * h for w, h in (target_size(*size) for size in sizes))
    threads = _threads(sizes)
    _check_memory(sizes, min(kept, PICTURES_IN_MEMORY), threads)
    shelf = Shelf() if kept > PICTURES_IN_MEMORY else None
    if shelf is not None:
        findings.notes.append(f"pictures take {kept / 2**30:.1f} GiB, so they are kept in a file and not in memory")

    def work(frame: Frame) -> tuple[Picture | str, tuple[int, tuple[int, ...]] | None]:
        try:
            picture = read_picture(frame, target_size)
        except FrameProblem as problem:
            return str(problem), None
        if shelf is None:
            return picture, None
        place = shelf.put(picture.image)
        return replace(picture, image=np.empty((0, 0, 3), np.uint8)), place

    out: list[Picture | None] = []
    places = []
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for number, (frame, (result, place)) in enumerate(zip(frames, pool.map(work, frames), strict=True), 1):
            if isinstance(result, str):
                findings.bad.append((frame.where, result))
            out.append(None if isinstance(result, str) else result)
            places.append(place)
            if progress is not None:
                progress(number / len(frames), f"picture {number} of {len(frames)}")
    if shelf is None:
        return out
    return [p if p is None or place is None else replace(p, image=shelf.get(*place)) for p, place in zip(out, places, strict=True)]


def gather_remarks(usable: Sequence[tuple[Frame, Picture]], findings: Findings) -> None:
    """Fold what was done to single pictures into notes and warnings."""
    for frame, picture in usable:
        findings.mended += [(frame.where, remark) for remark in picture.remarks]
    counts = Counter(note for _, picture in usable for note in picture.notes)
    for note, count in counts.items():
        findings.notes.append(note if count == len(usable) else f"{note} ({count} of {len(usable)} images)")


def _working(size: Size) -> int:
    """Bytes that one photograph takes while it is read."""
    pixels = size[0] * size[1]
    return 60 * pixels if pixels <= WORKING_PIXELS else 13 * pixels + 60 * WORKING_PIXELS


def _threads(sizes: Sequence[Size]) -> int:
    largest = max((_working(size) for size in sizes), default=1)
    return max(1, min(8, os.cpu_count() or 1, WORKING_MEMORY // largest))


def _check_memory(sizes: Sequence[Size], kept: int, threads: int) -> None:
    """Refuse what cannot fit before decoding it, where the operating system says how much memory there is."""
    if not sizes or "SC_AVPHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    needed = kept + threads * max(_working(size) for size in sizes)
    # Pages that the system can reclaim do not count as free, so only a clear excess is refused.
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if needed > max(free, 0.8 * total):
        factor = int(np.ceil(np.sqrt(needed / (0.5 * total))))
        raise MemoryLimitError(
            f"{len(sizes)} images need about {needed / 2**30:.1f} GiB, the machine has {total / 2**30:.1f} GiB",
            f"Use smaller images: --downscale {max(2, factor)}",
        )
