"""Checks that are the same for every format: poses, missing files, duplicates, and whether the views can give 3D at all.

Nothing here raises; everything goes into :class:`~recon.data.listing.Findings` so that all problems are reported at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from recon.data.axes import MEANING, better_reading
from recon.data.listing import Findings, Frame, FrameProblem

# max |R^T R - I|: below the first, rounding of float32 files; up to the second, mended with a warning; beyond, refused.
ROUNDING_TOLERANCE = 1e-5
MENDING_TOLERANCE = 2e-2
MIN_VIEWS = 3
# No unit of length makes sense of more; beyond, squares lose all digits or overflow.
LARGEST_NUMBER = 1e9


def rigid(world_from_camera: np.ndarray) -> tuple[np.ndarray, str | None]:
    """The nearest rigid pose, and a remark if it is further away than rounding explains.

    Args:
        world_from_camera: [3, 4]
    Raises:
        FrameProblem: NaN or infinity, mirrored, scaled or sheared.
    """
    if not np.isfinite(world_from_camera).all():
        raise FrameProblem("the pose holds NaN or infinity: drop the frame or estimate the poses again")
    if np.abs(world_from_camera).max() > LARGEST_NUMBER:
        raise FrameProblem(f"the pose holds a number beyond {LARGEST_NUMBER:g}: drop the frame or estimate the poses again")
    rotation = world_from_camera[:, :3]
    u, s, vt = np.linalg.svd(rotation)
    if s[0] == 0 or s[2] < 1e-9 * s[0]:
        raise FrameProblem("the rotation part of the pose is singular")
    if np.linalg.det(rotation) < 0:
        raise FrameProblem("the pose is mirrored (determinant of its rotation is negative): one axis is flipped, convert the poses again")
    deviation = float(np.abs(rotation.T @ rotation - np.eye(3)).max())
    if deviation > MENDING_TOLERANCE:
        if s[0] / s[2] < 1 + MENDING_TOLERANCE:
            raise FrameProblem(f"the rotation part of the pose is scaled by {s.mean():.4g}: divide it by that, the position stays")
        raise FrameProblem(f"the pose is not a rotation (R^T R differs from the identity by {deviation:.2g}): estimate the poses again")
    remark = None
    if deviation > ROUNDING_TOLERANCE:
        remark = "the rotation was slightly off a rotation and was re-orthonormalised"
    return np.concatenate([u @ vt, world_from_camera[:, 3:]], axis=1), remark


def check_poses(frames: Sequence[Frame], findings: Findings) -> list[Frame | None]:
    """Every frame with a rigid pose, or None where the pose cannot be used."""
    out: list[Frame | None] = []
    for frame in frames:
        try:
            world_from_camera, remark = rigid(frame.world_from_camera)
        except FrameProblem as problem:
            findings.bad.append((frame.where, str(problem)))
            out.append(None)
            continue
        if remark:
            findings.mended.append((frame.where, remark))
        out.append(replace(frame, world_from_camera=world_from_camera))
    return out


def drop_duplicates(frames: Sequence[Frame], findings: Findings) -> list[Frame]:
    """Frames whose file no earlier frame has; the others are bad frames."""
    first: dict[str, str] = {}
    kept = []
    for frame in frames:
        if frame.name in first:
            findings.bad.append((frame.where, f"names the same file as {first[frame.name]}"))
        else:
            first[frame.name] = frame.where
            kept.append(frame)
    return kept


def drop_missing(frames: Sequence[Frame], findings: Findings, skip_bad_frames: bool) -> list[Frame]:
    """Frames whose file exists. Fewer than half missing is a warning (captures are often thinned out), more is a problem."""
    missing = [frame for frame in frames if not frame.file.is_file()]
    if not missing:
        return list(frames)
    names = ", ".join(frame.name for frame in missing[:3]) + (", ..." if len(missing) > 3 else "")
    line = f"{len(missing)} of the {len(frames)} images listed do not exist ({names})"
    kept = [frame for frame in frames if frame.file.is_file()]
    if 2 * len(missing) < len(frames) or (skip_bad_frames and kept):
        findings.warnings.append(f"{line}; the other {len(kept)} are used")
    else:
        remedy = "copy them into the dataset, or correct the paths"
        if kept:
            remedy += ", or use the rest with --skip-bad-frames"
        findings.fatal.append(f"{line}: {remedy}")
    return kept


def check_views(poses: Sequence[np.ndarray], findings: Findings, read_as: Literal["opencv", "opengl"]) -> None:
    """Whether there are enough views and whether they see the object from different places.

    Args:
        poses: ``world_from_camera`` of the usable frames, each [3, 4].
        findings: What is wrong goes there.
        read_as: Camera axes that the matrices were read with; where another reading gives different places, that is said.
    """
    if len(poses) < MIN_VIEWS:
        what = {0: "no usable image is left", 1: "only one view is usable"}.get(len(poses), f"only {len(poses)} views are usable")
        findings.fatal.append(f"{what}; a reconstruction needs at least {MIN_VIEWS} views from different places (20 or more to be good)")
        return
    stacked = np.stack(poses)
    centers = stacked[:, :, 3]
    spread = float(np.linalg.norm(centers - centers.mean(axis=0), axis=1).max())
    if spread <= 1e-9 * max(1.0, float(np.abs(centers).max())):
        if np.abs(stacked[:, :, :3] - stacked[0, :, :3]).max() < 1e-9:
            findings.fatal.append("all cameras are equal: the poses were not estimated, or were not written")
        else:
            line = "all cameras stand at the same point and only turn: there is no parallax, so no depth can be found"
            reading = better_reading(poses, read_as)
            if reading is not None:
                line += f"; but they look at one place from all around if their matrices are read as {MEANING[reading]}: --axes {reading}"
            findings.fatal.append(line)
