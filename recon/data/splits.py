"""Which views are trained on and which are held out; equal pictures are never on both sides."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal

import numpy as np

from recon.data.images import Picture
from recon.data.listing import Findings, Frame
from recon.errors import DataError

Split = Literal["train", "test"]
MIN_VIEWS_FOR_HOLDOUT = 8
"""Fewer views than this are too few to hold any out."""


def assign_split(usable: Sequence[tuple[Frame, Picture]], has_split: bool, split: str, holdout: int, findings: Findings) -> list[Split]:
    """Split of each frame; the frames are sorted by name.

    Raises:
        DataError: None of the images that the dataset trains on can be used.
    """
    names = [frame.name for frame, _ in usable]
    originals = _originals(usable)
    copies = [(name, names[first]) for name, k, first in zip(names, range(len(names)), originals, strict=True) if first != k]
    if copies:
        shown = ", ".join(f"{a} = {b}" for a, b in copies[:3]) + (", ..." if len(copies) > 3 else "")
        findings.warnings.append(
            f"{len(copies)} pictures are there twice ({shown}): copies are kept on one side of the split; better leave them out"
        )
    if split == "auto" and has_split:
        own: list[Split] = ["test" if frame.split == "test" else "train" for frame, _ in usable]
        # A picture that is trained on is not held out under another name.
        trained = {first for first, side in zip(originals, own, strict=True) if side == "train"}
        own = ["train" if first in trained else side for first, side in zip(originals, own, strict=True)]
        if "train" in own:
            return own
        raise DataError("none of the dataset's training images can be used", hint="Mend the training images named in the warnings.")
    # The format's own line about the split no longer holds.
    findings.notes[:] = [note for note in findings.notes if not note.startswith("split:")]
    if split == "all" or holdout == 0:
        findings.notes.append("split: all views are trained on, none held out")
    elif len(usable) < MIN_VIEWS_FOR_HOLDOUT:
        findings.notes.append(f"split: only {len(usable)} views, so none is held out")
    else:
        # Copies count as one.
        rank = {first: k for k, first in enumerate(dict.fromkeys(originals))}
        sides: list[Split] = ["test" if rank[first] % holdout == 0 else "train" for first in originals]
        held = sides.count("test")
        findings.notes.append(f"split: every {holdout}th view by name is held out ({held} of {len(usable)}), starting with the first")
        return sides
    return ["train"] * len(usable)


def _originals(usable: Sequence[tuple[Frame, Picture]]) -> list[int]:
    """For each picture the first one that is equal to it, pixel by pixel, with an equal pose: of an object that is round or square, views
    from different places can be equal, too."""
    alike: dict[bytes, list[int]] = {}
    poses = np.stack([frame.world_from_camera for frame, _ in usable])
    tolerance = 1e-6 * max(float(np.linalg.norm(poses[:, :, 3] - poses[:, :, 3].mean(axis=0), axis=1).max()), 1e-300)
    out = []
    for k, (_, picture) in enumerate(usable):
        image = picture.image
        digest = hashlib.blake2b(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes(), digest_size=16).digest()
        earlier = alike.setdefault(digest, [])
        same = (
            j
            for j in earlier
            if np.abs(poses[j, :, 3] - poses[k, :, 3]).max() <= tolerance and np.abs(poses[j, :, :3] - poses[k, :, :3]).max() <= 1e-6
        )
        first = next(same, k)
        if first == k:
            earlier.append(k)
        out.append(first)
    return out
