"""``load_scene``: any supported dataset, understood, checked and converted."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from recon.data import masks
from recon.data.axes import MEANING, reinterpret
from recon.data.formats.files import REDUCED, Files
from recon.data.formats.table import read_listing
from recon.data.images import Picture
from recon.data.listing import Axes, Findings, Frame, Listing, MaskMeaning, natural_key
from recon.data.placing import place, warn_unseen
from recon.data.reading import LONGEST_SIDE, chosen_size, gather_remarks, read_all, shrunk
from recon.data.scene import Scene, View
from recon.data.silhouettes import detect_background, note_premultiplied, unify_alpha
from recon.data.splits import assign_split
from recon.data.units import METRES
from recon.data.validate import check_poses, check_views, drop_duplicates, drop_missing
from recon.errors import UsageError
from recon.geometry import Similarity


def load_scene(
    path: Path | str,
    *,
    downscale: float = 1.0,
    max_size: int | None = None,
    usual_size: int = LONGEST_SIDE,
    holdout: int = 8,
    split: Literal["auto", "every", "all"] = "auto",
    use_masks: bool = True,
    mask_source: str | None = None,
    mask_meaning: MaskMeaning | None = None,
    axes: Axes | None = None,
    unit: str | None = None,
    scale: float = 1.0,
    world_from_scene: Similarity | None = None,
    skip_bad_frames: bool = False,
    progress: Callable[[float, str], None] | None = None,
) -> Scene:
    """Load a dataset of any format of :mod:`recon.data.formats`; which one is found from the files.

    Images are decoded in a few threads and kept as uint8; lens distortion is undone once; cameras fit the pixels exactly. Memory: the
    final images (3 or 4 bytes per pixel each; beyond 900 MiB in a file), and at most 1.5 GiB while they are decoded, or what one takes.

    Args:
        path: The dataset's folder, its camera file, or a .zip of it.
        downscale: Divide image sizes by this (>= 1).
        max_size: Shrink images further until their longer side is at most this, pixels. None: ``usual_size`` if ``downscale`` is 1.
        usual_size: See there, pixels.
        holdout: Where the dataset has no split of its own: hold out every ``holdout``-th view by name, 0 for none.
        split: "auto": the dataset's own split, else every ``holdout``-th; "every": always every ``holdout``-th; "all": train on all.
        use_masks: Whether object masks separate the object from the background (they are kept in the views either way).
        mask_source: A folder of masks; "auto": made from plain backgrounds; "none": none at all; None: the dataset's.
        mask_meaning: What they mean; None: what the dataset says, or what they look like.
        axes: Read the poses' matrices so, instead of as the format has them.
        unit: Name of the world unit, overriding the dataset's.
        scale: The world's lengths are the dataset's times this.
        world_from_scene: Bounds in the (scaled) world, overriding what would be found.
        skip_bad_frames: Leave out frames that cannot be used, with a warning, instead of failing.
        progress: Hears the share that is read, and a text.
    Raises:
        UsageError: An argument is out of range.
        DataError: The dataset cannot be used; every problem found is listed.
        MemoryLimitError: The images would not fit into memory.
    """
    _check_arguments(downscale, max_size, holdout, split, world_from_scene)
    _check_meaning(mask_meaning, axes, unit, scale)
    findings = Findings()
    listing = _converted(read_listing(Path(path), findings), axes, unit, scale, findings)
    listed = len(listing.frames) + len(findings.bad)
    frames = drop_duplicates(listing.frames, findings)
    if frames:
        frames = drop_missing(_reduced(frames, listing.root, findings), findings, skip_bad_frames)
    elif not findings.fatal and not findings.bad:
        findings.fatal.append("no images are listed")
    frames = masks.assign(frames, listing.root, mask_source, findings)

    target_size = chosen_size(frames, downscale, max_size, usual_size, findings)
    poses = check_poses(frames, findings)
    pictures = read_all(frames, target_size, findings, progress)
    usable = [(f, p) for f, p in zip(poses, pictures, strict=True) if f is not None and p is not None]
    if skip_bad_frames:
        findings.skip_bad()
    # With bad frames reported already, "too few views" would only repeat them.
    if not findings.fatal and not findings.bad:
        check_views([frame.world_from_camera for frame, _ in usable], findings, listing.axes)
    findings.raise_if_any(listing.root, listed)

    gather_remarks(usable, findings)
    usable.sort(key=lambda pair: natural_key(pair[0].name))
    views = _views(usable, assign_split(usable, listing.has_split, split, holdout, findings))
    views = unify_alpha(views, findings)
    note_premultiplied(views, findings)
    views = masks.classify(views, {frame.name: frame.mask_meaning for frame in frames}, mask_meaning, findings)
    if mask_source == "auto":
        views = masks.automatic(views, findings)
    if use_masks:
        views = masks.complete(views, findings)
    background = detect_background(views, use_masks, findings)
    similarity = place(listing, views, background, use_masks, world_from_scene, findings)
    warn_unseen(views, similarity, findings)
    return Scene(
        name=re.sub(r"[^\w.-]+", "_", listing.root.name) or "scene",
        source=listing.root,
        format=listing.format,
        views=views,
        world_from_scene=similarity,
        background=background,
        unit=listing.unit,
        notes=findings.all_notes(),
        warnings=findings.all_warnings(),
        points=None if listing.points is None else listing.points.xyz,
        point_colors=None if listing.points is None else listing.points.rgb,
    )


def _converted(listing: Listing, axes: Axes | None, unit: str | None, scale: float, findings: Findings) -> Listing:
    """The listing with what the user says about axes, unit and scale."""
    frames = listing.frames
    if axes is not None:
        with np.errstate(invalid="ignore"):  # NaN is reported later
            frames = tuple(replace(f, world_from_camera=reinterpret(f.world_from_camera, listing.axes, axes)) for f in frames)
        findings.notes.append(f"poses read as {MEANING[axes]}, as asked")
    world_from_file = Similarity(scale)
    if scale != 1.0:
        with np.errstate(invalid="ignore", over="ignore"):
            frames = tuple(replace(f, world_from_camera=world_from_file.apply_to_pose(f.world_from_camera)) for f in frames)
        findings.notes.append(f"world: the dataset's times {scale:g}, as asked")
    bounds, points = listing.world_from_scene, listing.points
    if bounds is not None:
        bounds = replace(bounds, scale=bounds.scale * scale, translation=bounds.translation * scale)
    if points is not None:
        points = replace(points, xyz=points.xyz * scale)
    if unit is not None:
        if listing.unit is not None and listing.unit != unit:
            findings.notes[:] = [note for note in findings.notes if not note.startswith("unit:")]
        findings.notes.append(f"unit: {unit}, as given")
    elif scale != 1.0:
        # What the dataset says of its unit no longer holds.
        findings.notes[:] = [note for note in findings.notes if not note.startswith("unit:")]
    own = listing.unit if scale == 1.0 else None
    return replace(listing, frames=frames, unit=unit or own, world_from_scene=bounds, points=points, axes=_read_as(axes, listing))


def _read_as(axes: Axes | None, listing: Listing) -> Literal["opencv", "opengl"]:
    if axes is None:
        return listing.axes
    return "opengl" if axes.startswith("opengl") else "opencv"


def _reduced(frames: Sequence[Frame], root: Path, findings: Findings) -> list[Frame]:
    """Frames whose picture is missing, with the one of the same name in ``images_2``, ``images_4`` or ``images_8`` where that exists."""
    files, out, used = Files(root), [], {}
    for frame in frames:
        folder, _, rest = frame.name.rpartition("/")
        if frame.file.is_file() or not rest:
            out.append(frame)
            continue
        above = posixpath.dirname(folder)
        stem = rest.rpartition(".")[0] or rest
        options = (posixpath.join(above, reduced, name) for reduced in REDUCED for name in (rest, stem))
        found = next((name for option in options if (name := files.find(option)) is not None), None)
        if found is not None:
            used[posixpath.dirname(found)] = used.get(posixpath.dirname(found), 0) + 1
            frame = replace(frame, name=found, file=root / found)
        out.append(frame)
    for folder, count in used.items():
        findings.notes.append(f"{count} pictures are missing where they should be; those of {folder}/ with the same names are used")
    return out


def _views(usable: Sequence[tuple[Frame, Picture]], splits: Sequence[Literal["train", "test"]]) -> tuple[View, ...]:
    """Training views first, each part in order of names; cameras get the checked pose."""
    views = []
    for (frame, picture), split in zip(usable, splits, strict=True):
        camera = replace(picture.camera, world_from_camera=frame.world_from_camera)
        views.append(View(frame.name, picture.image, camera, split, picture.mask))
    return tuple(sorted(views, key=lambda view: view.split == "test"))


def _check_arguments(downscale: float, max_size: int | None, holdout: int, split: str, world_from_scene: Similarity | None) -> None:
    if not (np.isfinite(downscale) and downscale >= 1):
        raise UsageError(f"downscale must be 1 or more, found {downscale}", "Use 2 for half the width and height.")
    if max_size is not None and max_size < 1:
        raise UsageError(f"max_size must be a positive number of pixels, found {max_size}")
    if holdout < 0 or holdout == 1:
        raise UsageError(f"holdout must be 0 (none) or at least 2, found {holdout}", "Use 8 to hold out every 8th view.")
    if split not in ("auto", "every", "all"):
        raise UsageError(f"split must be auto, every or all, found {split}")
    if world_from_scene is not None:
        s = world_from_scene
        finite = np.isfinite(s.scale) and np.isfinite(s.rotation).all() and np.isfinite(s.translation).all()
        if not finite or s.scale <= 0 or not np.allclose(s.rotation.T @ s.rotation, np.eye(3), atol=1e-6) or np.linalg.det(s.rotation) < 0:
            raise UsageError("world_from_scene must have a positive scale, a proper rotation and finite numbers")


def _check_meaning(mask_meaning: str | None, axes: str | None, unit: str | None, scale: float) -> None:
    if mask_meaning not in (None, *get_args(MaskMeaning)):
        raise UsageError(f"mask_meaning must be object or ignore, found {mask_meaning}")
    if axes not in (None, *get_args(Axes)):
        raise UsageError(f"axes must be one of {', '.join(get_args(Axes))}, found {axes}")
    if unit not in (None, *METRES):
        raise UsageError(f"the unit must be one of {', '.join(METRES)}, found {unit}")
    if not (np.isfinite(scale) and 1e-12 <= scale <= 1e12):
        raise UsageError(f"scale must be a positive number, found {scale}", "Use 0.001 to turn millimetres into metres.")


__all__ = ["load_scene", "read_listing", "shrunk"]
