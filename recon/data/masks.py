"""Masks: where they are, and what they mean. Object masks are white on the object; ignore masks (nerfstudio's, instant-ngp's) mark pixels
that are to be left out of the loss. Both come as pictures that look alike, so what they say about the scene decides.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
from scipy import ndimage

from recon.data.bounds import from_silhouettes, hull_voxels
from recon.data.listing import Findings, Frame, MaskMeaning
from recon.data.scene import Camera, View
from recon.data.silhouettes import masks_are_silhouettes
from recon.errors import DataError

FOLDERS = ("masks", "mask", "segmentation", "segmentations", "alpha", "mattes")
"""Looked at beside the pictures' folder and in the dataset's, if the dataset names no masks."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")
MOSTLY = 0.5
"""A folder is one of masks if it has one for this share of the pictures. Masks for this share of the views are used as masks; fewer only
bound the object."""
IGNORED_BELOW = 192
"""Pixels of an ignore mask darker than this are left out: also those that resampling mixed with such."""
AGREES = 0.5
"""Least overlap (IoU) of a mask with what the others' visual hull looks like from there; the hull's cells are coarse."""


def assign(frames: Sequence[Frame], root: Path, wanted: str | None, findings: Findings) -> list[Frame]:
    """Give every frame its mask file.

    Args:
        frames: As listed, with the masks that the dataset names.
        root: The dataset's folder.
        wanted: None: the dataset's, or those found beside the pictures. "none" and "auto": no files. Else a folder.
    Raises:
        DataError: The folder does not exist or holds no mask of any of the pictures.
    """
    if wanted in ("none", "auto"):
        return [replace(frame, mask=None, mask_meaning=None) for frame in frames]
    if wanted is not None:
        folder = Path(wanted)
        if not folder.is_dir():
            raise DataError(f"there is no folder of masks {folder}", hint="Give a folder, or auto, or none: --masks DIR")
        found = _in_folder(folder, frames)
        if not found:
            sample = PurePosixPath(frames[0].name).name if frames else "NAME.jpg"
            raise DataError(
                f"{folder} holds no mask of any of the {len(frames)} pictures",
                hint=f"For {sample} it is looked for as {', '.join(_options(sample)[:5])} and the like.",
            )
        findings.notes.append(f"masks: {len(found)} of {len(frames)} from {folder}")
        return [replace(f, mask=found.get(f.name), mask_meaning=None) for f in frames]
    if not any(frame.mask is not None for frame in frames):
        beside = _beside(frames)
        if beside:
            found, meaning = beside
            what = f"{len(found)} of {len(frames)}, which the dataset does not name, found beside the pictures"
            findings.notes.append(f"masks: {what} ({next(iter(found.values())).relative_to(root.parent).as_posix()}, ...)")
            return [replace(f, mask=found.get(f.name), mask_meaning=meaning) for f in frames]
    return list(frames)


def _options(name: str) -> list[str]:
    """Names that a picture's mask can have."""
    stem = name.rpartition(".")[0] or name
    bases = [
        name,
        stem,
        f"{stem}_mask",
        f"{stem}.mask",
        f"mask_{stem}",
        f"{stem}-mask",
        f"{stem}_foreground_mask",
        f"{stem}_alpha",
        f"{stem}_seg",
    ]
    return [base + suffix for base in bases for suffix in SUFFIXES]


def _in_folder(folder: Path, frames: Sequence[Frame]) -> dict[str, Path]:
    """Masks by picture: by name, in the same folders or without them; else, all by their last number, if those are all different."""
    pictures = {frame.file.resolve() for frame in frames}
    files = [f for f in folder.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file() and f.resolve() not in pictures]
    by_name = {f.relative_to(folder).as_posix().lower(): f for f in reversed(files)}
    by_base = {f.name.lower(): f for f in reversed(files)}
    found = {}
    for frame in frames:
        parts = PurePosixPath(frame.name).parts
        tails = ["/".join(parts[k:-1]) for k in range(len(parts))]
        options = _options(parts[-1].lower())
        paths = (f"{tail.lower()}/{o}" if tail else o for tail in tails for o in options)
        path = next((by_name[p] for p in paths if p in by_name), None) or next((by_base[o] for o in options if o in by_base), None)
        if path is not None:
            found[frame.name] = path
    if found or len({f.suffix for f in files}) != 1:
        return found
    numbered, numbers = _by_number(files), _by_number([Path(frame.name) for frame in frames])
    if len(numbered) != len(files) or len(numbers) != len(frames):
        return {}
    return {numbers[n].as_posix(): mask for n, mask in numbered.items() if n in numbers}


def _by_number(files: Sequence[Path]) -> dict[int, Path]:
    return {int(digits[-1]): f for f in files if (digits := re.findall(r"\d+", f.stem))}


def _beside(frames: Sequence[Frame]) -> tuple[dict[str, Path], MaskMeaning | None] | None:
    """Masks that lie where they usually do, and what they mean where their name says it."""
    if not frames:
        return None
    folders = {frame.file.parent for frame in frames}
    parents = [*folders, *dict.fromkeys(folder.parent for folder in folders)]
    for place in parents:
        for name in FOLDERS:
            if (place / name).is_dir() and place / name not in folders:
                found = _in_folder(place / name, frames)
                if len(found) >= MOSTLY * len(frames):
                    return found, None
    # instant-ngp: what is not black in dynamic_mask_NAME.png is left out.
    dynamic = {f.name: p for f in frames if (p := f.file.parent / f"dynamic_mask_{f.file.stem}.png").is_file()}
    if dynamic:
        return dynamic, "ignore"
    own = {f.name: p for f in frames for p in (f.file.parent / f"{f.file.stem}{end}" for end in (".mask.png", "_mask.png")) if p.is_file()}
    return (own, None) if len(own) >= MOSTLY * len(frames) else None


def classify(
    views: tuple[View, ...], meanings: dict[str, MaskMeaning | None], wanted: MaskMeaning | None, findings: Findings
) -> tuple[View, ...]:
    """Views whose masks are object masks, white inside, or else ignore masks; those that are neither are taken away.

    Args:
        views: With masks as they were read (of frames that mean "ignore": black is left out).
        meanings: What the dataset says that each view's mask means.
        wanted: What the user says.
        findings: Says what was found.
    """
    masked = [view for view in views if view.mask is not None]
    if not masked:
        return views
    said = {meanings.get(view.name) for view in masked}
    meaning = wanted or (said.pop() if len(said) == 1 else None)
    if meaning == "ignore":
        return _ignoring(views, findings, "as is said of them")
    if masks_are_silhouettes(masked):
        return views
    turned = [replace(view, mask=255 - view.mask) for view in masked if view.mask is not None]
    if masks_are_silhouettes(turned) and _one_object(turned):
        findings.notes.append("masks: they are black on an object that all views agree on, so black is taken for the object")
        by_name = {view.name: view for view in turned}
        return tuple(by_name.get(view.name, view) for view in views)
    if meaning is None and any((view.mask < IGNORED_BELOW).any() for view in masked if view.mask is not None):
        return _ignoring(views, findings, "as they reach the borders nearly everywhere and outline no object")
    findings.warnings.append("the masks reach the images' borders nearly everywhere, so they do not outline an object and are not used")
    return views


def _ignoring(views: tuple[View, ...], findings: Findings, why: str) -> tuple[View, ...]:
    out = tuple(replace(v, mask=None, ignore=None if v.mask is None else v.mask < IGNORED_BELOW) for v in views)
    share = float(np.mean([v.ignore.mean() for v in out if v.ignore is not None]))
    findings.notes.append(f"masks: their black pixels ({100 * share:.1f} % of all) are left out of the loss, {why}")
    if share > 0.5:
        findings.warnings.append(
            "more than half of the pixels are left out by the masks: if white marks what is to be left out, turn them round"
        )
    return out


def _one_object(views: Sequence[View]) -> bool:
    """Whether masks outline one object in space: they bound a visual hull, and nearly all agree with it."""
    masks = [view.mask >= 128 for view in views if view.mask is not None]
    cameras = [view.camera for view in views]
    if np.mean([mask.any() for mask in masks]) < 0.8 or from_silhouettes(cameras, masks) is None:
        return False
    return float(np.mean([iou >= AGREES for iou in _agreement(cameras, masks)])) >= 0.8


def _agreement(cameras: Sequence[Camera], masks: Sequence[np.ndarray]) -> list[float]:
    """Overlap (IoU) of each mask with the visual hull of all, seen from there; 0 if there is no hull."""
    found = hull_voxels(cameras, masks)
    if found is None:
        return [0.0] * len(masks)
    points, half, _ = found
    drawn = [_seen(camera, points, half) for camera in cameras]
    return [float((d & m).sum() / max((d | m).sum(), 1)) for d, m in zip(drawn, masks, strict=True)]


def _seen(camera: Camera, points: np.ndarray, half: float) -> np.ndarray:
    """Picture of voxels: their centres, grown by half a voxel's diagonal. [H, W] bool"""
    uv, depth = camera.project(points)
    front = depth > half
    out = np.zeros((camera.height, camera.width), bool)
    if not front.any():
        return out
    column, row = np.floor(uv[front]).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column < camera.width) & (row < camera.height)
    out[row[inside], column[inside]] = True
    reach = max(camera.fx, camera.fy) * half / float(np.median(depth[front]))
    return np.asarray(ndimage.distance_transform_edt(~out)) <= reach if out.any() else out


def complete(views: tuple[View, ...], findings: Findings) -> tuple[View, ...]:
    """Object masks for a part of the views: what the others say about the rest.

    Where at least half of the views have one, a view without is taken for background wherever it does not see the others' visual hull; what
    it shows of the hull is left out, as nobody knows which part of it is the object. With fewer masks nothing is changed.
    """
    masked = [view for view in views if view.mask is not None]
    if not masked or len(masked) == len(views):
        return views
    few = f"only {len(masked)} of {len(views)} views have a mask"
    found = None
    if len(masked) >= MOSTLY * len(views) and masks_are_silhouettes(masked):
        found = hull_voxels([view.camera for view in masked], [view.mask >= 128 for view in masked if view.mask is not None])
    if found is None:
        findings.warnings.append(f"{few}: they bound the object, but the background is learned, in all views")
        return views
    points, half, _ = found
    out = []
    for view in views:
        if view.mask is None:
            seen = _seen(view.camera, points, 2 * half)
            view = replace(
                view, mask=np.where(seen, np.uint8(255), np.uint8(0)), ignore=seen if view.ignore is None else seen | view.ignore
            )
        out.append(view)
    findings.warnings.append(f"{few}: of the rest only that is used which the masks prove to be background; give them masks, too")
    return tuple(out)


def automatic(views: tuple[View, ...], findings: Findings) -> tuple[View, ...]:
    """Masks of one object before a plain background: what differs from the colour of the picture's border.

    The border's ring (5 % of the shorter side) gives a median colour and its median deviation in CIELAB. A picture is plain if the
    deviation is small; its object is the largest part farther away than four deviations, with its holes filled. Pictures that are not
    plain, and masks that contradict the visual hull of the others, get none.
    """
    masks = [_before_plain(view.image) for view in views]
    plain = [k for k, mask in enumerate(masks) if mask is not None and mask.any()]
    if len(plain) < PLAIN_PICTURES * len(views):
        findings.warnings.append(
            f"--masks auto: only {len(plain)} of {len(views)} pictures have a plain background, so none is masked; --masks DIR takes yours"
        )
        return views
    cameras, chosen = [views[k].camera for k in plain], [m for k in plain if (m := masks[k]) is not None]
    agree = _agreement(cameras, chosen)
    good = {k: mask for k, mask, iou in zip(plain, chosen, agree, strict=True) if iou >= AGREES}
    if len(good) < PLAIN_PICTURES * len(views):
        findings.warnings.append("--masks auto: what differs from the plain background is no one object in space, so nothing is masked")
        return views
    left_out = len(views) - len(good)
    findings.notes.append(
        f"masks: made from the plain background of {len(good)} pictures" + (f"; {left_out} contradict the rest" if left_out else "")
    )
    return tuple(replace(v, mask=255 * good[k].astype(np.uint8)) if k in good else v for k, v in enumerate(views))


PLAIN_PICTURES = 0.9
RING = 0.05
PLAIN_DEVIATION = 3.0
"""Median deviation of a plain border's colours, CIELAB units: a just noticeable difference is about 2.3."""
LEAST_DISTANCE = 6.0
"""An object differs by at least so much, however even the border is: JPEG noise does not."""


def _before_plain(image: np.ndarray) -> np.ndarray | None:
    """The object's mask [H, W] bool, or None if the border is not plain."""
    from skimage.color import rgb2lab
    from skimage.measure import label

    h, w = image.shape[:2]
    ring = max(1, round(RING * min(h, w)))
    lab = rgb2lab(image[..., :3]).astype(np.float32)
    inner = np.zeros((h, w), bool)
    inner[ring : h - ring, ring : w - ring] = True
    border = lab[~inner]
    middle = np.median(border, axis=0)
    off = np.linalg.norm(border - middle, axis=1)
    deviation = float(np.median(off))
    if deviation > PLAIN_DEVIATION:
        return None
    limit = max(4 * deviation, LEAST_DISTANCE)
    if float((off <= limit).mean()) < 0.7:
        return None
    differs = np.linalg.norm(lab - middle, axis=2) > limit
    labels = np.asarray(label(ndimage.binary_opening(differs, iterations=1), connectivity=1))
    if labels.max() == 0:
        return np.zeros((h, w), bool)
    largest = 1 + int(np.argmax(np.bincount(labels.ravel())[1:]))
    return np.asarray(ndimage.binary_fill_holes(labels == largest), dtype=bool)
