"""What the search is given: photographs decoded, what cannot be read or would do harm set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recon.errors import DataError
from recon.photos import leave_out
from recon.photos.decode import Photo, prepare_all
from recon.photos.gates import OVERLAP, Finding
from recon.photos.gather import PHOTO_SUFFIXES, Found
from recon.photos.options import PhotoOptions
from recon.photos.search import Clock
from recon.photos.tries import Settings
from recon.photos.video import frames_of

UNREADABLE_SHARE = 0.2


@dataclass(frozen=True)
class Input:
    """What the search is given, and what not.

    Attributes:
        photos: In order.
        left_out: Reason of each photograph that is not used, by name.
        unreadable: How many of those cannot be read.
        notes: For the user.
    """

    photos: tuple[Photo, ...]
    left_out: dict[str, str]
    unreadable: int
    notes: tuple[str, ...]

    @property
    def given(self) -> int:
        return len(self.photos) + len(self.left_out)


def check_found(source: Path, found: Found) -> None:
    """Refuse what holds no photographs, and say what it holds.

    Raises:
        DataError: Nothing to work on.
    """
    if found.photographs or found.videos:
        return
    if found.raw:
        raise DataError(
            f"{source}: its {len(found.raw)} files are camera raw ({found.raw[0].suffix}), which is not read",
            hint="develop them all with the same settings into JPEG, without cropping or correcting the lens",
        )
    if found.set_aside:
        raise DataError(
            f"{source}: only masks, depth maps or thumbnails ({', '.join(found.set_aside[:3])})", hint="give the folder of photographs"
        )
    raise DataError(
        f"{source}: no photographs and no video in it", hint=f"photographs are {', '.join(PHOTO_SUFFIXES)} files; a video .mp4 or .mov"
    )


def read_input(found: Found, work: Path, options: PhotoOptions, clock: Clock) -> Input:
    """Decode everything; set aside what cannot be read, copies, and blurred photographs."""
    files: list[tuple[Path, str, float | None]] = [(path, path.relative_to(found.root).as_posix(), None) for path in found.photographs]
    notes = []
    if found.videos and found.photographs:
        notes.append(f"{len(found.videos)} videos beside the photographs are not used")
    elif found.videos:
        for video in found.videos:
            folder = work / "frames" / video.stem
            picked = frames_of(video, folder, max(3, options.frames // len(found.videos)), clock)
            prefix = f"{video.stem}/" if len(found.videos) > 1 else ""
            files += [(path, prefix + name, seconds) for path, name, seconds in picked]
    if found.set_aside:
        notes.append(f"not taken for photographs: {', '.join(found.set_aside[:5])}{', ...' if len(found.set_aside) > 5 else ''}")
    if found.raw:
        notes.append(f"{len(found.raw)} camera raw files are not read")
    photos, unreadable = prepare_all(files, work, Settings().size, lambda done, total: clock("photographs", done, total))
    left_out = dict(unreadable)
    left_out |= leave_out.copies(photos)
    left_out |= leave_out.blurred([photo for photo in photos if photo.name not in left_out])
    kept = tuple(photo for photo in photos if photo.name not in left_out)
    return Input(kept, left_out, len(unreadable), tuple(notes))


def _files(photos: Sequence[Photo]) -> list[tuple[Path, str, float | None]]:
    return [(Path(photo.file), photo.name, photo.time_s) for photo in photos]


def prepare_copies(photos: Sequence[Photo], work: Path, size: int, clock: Clock) -> None:
    """Small copies of another size."""
    if size != Settings().size:
        prepare_all(_files(photos), work, size, lambda done, total: clock("photographs", done, total))


def input_findings(given: Input) -> list[Finding]:
    """What forbids to start."""
    findings = []
    if given.unreadable > UNREADABLE_SHARE * given.given:
        findings.append(
            Finding(
                "unreadable",
                True,
                f"{given.unreadable} of {given.given} files cannot be read",
                "copy the photographs again, or take those files out",
            )
        )
    if len(given.photos) < 3:
        copies = sum(reason.startswith("the same") for reason in given.left_out.values())
        text = f"{len(given.photos)} photograph{'s' * (len(given.photos) != 1)} of {given.given} can be used; a shape needs at least three"
        if copies:
            text += f" ({copies} are copies of another one: seen from one place, nothing has depth)"
        findings.append(Finding("count", True, text, f"take 20 to 60 photographs; {OVERLAP}"))
    return findings
