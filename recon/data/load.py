"""``load_scene``: any supported dataset, understood, checked and converted."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal

import numpy as np

from recon.data import bounds
from recon.data.formats import blender, dtu, emap, nerfstudio
from recon.data.images import Picture, header_size, read_picture
from recon.data.listing import IMAGE_SUFFIXES, Findings, Frame, FrameProblem, Listing, natural_key
from recon.data.scene import Scene, View
from recon.data.silhouettes import Background, detect_background, masks_are_silhouettes, silhouettes_of, unify_alpha
from recon.data.validate import check_poses, check_views, drop_duplicates, drop_missing
from recon.errors import DataError, MemoryLimitError, UsageError
from recon.geometry import Similarity

# Fewer views than this are too few to hold any out.
MIN_VIEWS_FOR_HOLDOUT = 8


def load_scene(
    path: Path | str,
    *,
    downscale: float = 1.0,
    max_size: int | None = None,
    holdout: int = 8,
    split: Literal["auto", "every", "all"] = "auto",
    use_masks: bool = True,
    world_from_scene: Similarity | None = None,
    skip_bad_frames: bool = False,
) -> Scene:
    """Load a dataset: Blender, nerfstudio or instant-ngp, DTU/IDR/NeuS, NEF's and EMAP's; the format is found from the files.

    Images are decoded in a few threads and kept as uint8; lens distortion is undone once; cameras fit the pixels exactly. Memory: the
    final images (3 or 4 bytes per pixel each) plus about 60 bytes per source pixel for each of at most eight threads.

    Args:
        path: The dataset's folder, or its camera file.
        downscale: Divide image sizes by this (>= 1).
        max_size: Shrink images further until their longer side is at most this, pixels.
        holdout: Where the dataset has no split of its own: hold out every ``holdout``-th view by name, 0 for none.
        split: "auto": the dataset's own split, else every ``holdout``-th; "every": always every ``holdout``-th; "all": train on all.
        use_masks: Whether masks separate the object from the background (they are kept in the views either way).
        world_from_scene: Bounds, overriding what would be found.
        skip_bad_frames: Leave out frames that cannot be used, with a warning, instead of failing.
    Raises:
        UsageError: An argument is out of range.
        DataError: The dataset cannot be used; every problem found is listed.
        MemoryLimitError: The images would not fit into memory.
    """
    _check_arguments(downscale, max_size, holdout, split, world_from_scene)
    findings = Findings()
    listing = read_listing(Path(path), findings)
    frames = drop_duplicates(listing.frames, findings)
    if frames:
        frames = drop_missing(frames, findings, skip_bad_frames)
    elif not findings.fatal and not findings.bad:
        findings.fatal.append("no images are listed")

    def target_size(width: int, height: int) -> tuple[int, int]:
        return shrunk(width, height, downscale, max_size)

    _check_memory(frames, target_size)
    poses = check_poses(frames, findings)
    pictures = _read_all(frames, target_size, findings)
    usable = [(f, p) for f, p in zip(poses, pictures, strict=True) if f is not None and p is not None]
    if skip_bad_frames:
        findings.skip_bad()
    # With bad frames reported already, "too few views" would only repeat them.
    if not findings.fatal and not findings.bad:
        check_views([frame.world_from_camera for frame, _ in usable], findings)
    findings.raise_if_any(listing.root)

    _gather_remarks(usable, findings)
    usable.sort(key=lambda pair: natural_key(pair[0].name))
    views = _views(usable, _assign_split([frame for frame, _ in usable], listing.has_split, split, holdout, findings))
    views = unify_alpha(views, findings)
    background = detect_background(views, use_masks, findings)
    similarity = _bounds(listing, views, background, use_masks, world_from_scene, findings)
    _warn_unseen(views, similarity, findings)
    return Scene(
        name=re.sub(r"[^\w.-]+", "_", listing.root.name) or "scene",
        source=listing.root,
        format=listing.format,
        views=views,
        world_from_scene=similarity,
        background=background,
        unit=listing.unit,
        notes=tuple(findings.notes),
        warnings=findings.all_warnings(),
    )


def read_listing(path: Path, findings: Findings) -> Listing:
    """Sniff the format of a folder or camera file and list it.

    Raises:
        DataError: There is no such path, or no supported format in it.
    """
    if not path.exists():
        raise DataError(f"there is no dataset at {path}: no such file or folder", hint="Check the path.")
    path = path.resolve()
    if path.is_file():
        root = path.parent
        if path.name in dtu.CAMERA_FILES:
            return dtu.read(root, findings, path.name)
        if path.name in ("transforms_train.json", "transforms_test.json", "transforms_val.json"):
            path = root
        elif path.name == "meta_data.json":
            return emap.read(root, findings)
        elif path.suffix.lower() == ".json":
            return nerfstudio.read(root, findings, path.name)
        else:
            raise DataError(f"{path} is not a dataset", hint="Give the dataset's folder, its transforms.json or its cameras_sphere.npz.")
    for module in (blender, nerfstudio, dtu, emap):
        if module.recognises(path):
            return module.read(path, findings)
    expected = (
        "transforms_train.json (Blender), transforms.json (nerfstudio, instant-ngp), "
        "cameras_sphere.npz (DTU, NeuS) or meta_data.json (EMAP)"
    )
    pictures = sum(1 for f in path.rglob("*") if f.suffix.lower() in IMAGE_SUFFIXES)
    if pictures:
        raise DataError(
            f"{path} holds {pictures} images but no cameras; expected {expected}",
            hint=f"Find the cameras first: recon process {path} --out DATA",
        )
    raise DataError(f"{path} is not a dataset: no images and none of {expected}", hint="Give the folder that holds the camera file.")


def shrunk(width: int, height: int, downscale: float, max_size: int | None) -> tuple[int, int]:
    """Image size after ``downscale`` and ``max_size``, rounded to whole pixels, at least 1."""
    factor = downscale
    if max_size is not None:
        factor = max(factor, max(width, height) / max_size)
    return max(1, int(width / factor + 0.5)), max(1, int(height / factor + 0.5))


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


def _read_all(frames: Sequence[Frame], target_size, findings: Findings) -> list[Picture | None]:
    """Decode all frames in a thread pool; None where a frame is bad."""

    def work(frame: Frame) -> Picture | str:
        try:
            return read_picture(frame, target_size)
        except FrameProblem as problem:
            return str(problem)

    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        results = list(pool.map(work, frames))
    out: list[Picture | None] = []
    for frame, result in zip(frames, results, strict=True):
        if isinstance(result, str):
            findings.bad.append((frame.where, result))
        out.append(None if isinstance(result, str) else result)
    return out


def _check_memory(frames: Sequence[Frame], target_size) -> None:
    """Refuse what cannot fit before decoding it, where the operating system says how much memory there is."""
    sizes = [size for size in (header_size(frame.file) for frame in frames) if size is not None]
    if not sizes or "SC_AVPHYS_PAGES" not in getattr(os, "sysconf_names", {}):
        return
    free = os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    kept = sum(4 * w * h for w, h in (target_size(*size) for size in sizes))
    working = 60 * max(w * h for w, h in sizes) * min(8, os.cpu_count() or 1)
    # Pages that the system can reclaim do not count as free, so only a clear excess is refused.
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if kept + working > max(free, 0.8 * total):
        factor = int(np.ceil(np.sqrt((kept + working) / (0.5 * total))))
        raise MemoryLimitError(
            f"{len(sizes)} images need about {(kept + working) / 2**30:.1f} GiB, the machine has {total / 2**30:.1f} GiB",
            f"Use smaller images: --downscale {max(2, factor)}",
        )


def _gather_remarks(usable: Sequence[tuple[Frame, Picture]], findings: Findings) -> None:
    """Fold what was done to single pictures into notes and warnings."""
    for frame, picture in usable:
        findings.mended += [(frame.where, remark) for remark in picture.remarks]
    counts = Counter(note for _, picture in usable for note in picture.notes)
    for note, count in counts.items():
        findings.notes.append(note if count == len(usable) else f"{note} ({count} of {len(usable)} images)")


def _assign_split(frames: Sequence[Frame], has_split: bool, split: str, holdout: int, findings: Findings) -> list[Literal["train", "test"]]:
    """Split of each frame; the frames are sorted by name."""
    if split == "auto" and has_split:
        own: list[Literal["train", "test"]] = ["test" if frame.split == "test" else "train" for frame in frames]
        if "train" in own:
            return own
        raise DataError("none of the dataset's training images can be used", hint="Mend the training images named in the warnings.")
    # The format's own line about the split no longer holds.
    findings.notes[:] = [note for note in findings.notes if not note.startswith("split:")]
    if split == "all" or holdout == 0:
        findings.notes.append("split: all views are trained on, none held out")
    elif len(frames) < MIN_VIEWS_FOR_HOLDOUT:
        findings.notes.append(f"split: only {len(frames)} views, so none is held out")
    else:
        held = len(range(0, len(frames), holdout))
        findings.notes.append(f"split: every {holdout}th view by name is held out ({held} of {len(frames)}), starting with the first")
        return ["test" if i % holdout == 0 else "train" for i in range(len(frames))]
    return ["train"] * len(frames)


def _views(usable: Sequence[tuple[Frame, Picture]], splits: Sequence[Literal["train", "test"]]) -> tuple[View, ...]:
    """Training views first, each part in order of names; cameras get the checked pose."""
    views = []
    for (frame, picture), split in zip(usable, splits, strict=True):
        c = picture.camera
        camera = type(c)(c.width, c.height, c.fx, c.fy, c.cx, c.cy, frame.world_from_camera)
        views.append(View(frame.name, picture.image, camera, split, picture.mask))
    return tuple(sorted(views, key=lambda view: view.split == "test"))


def _bounds(
    listing: Listing, views: tuple[View, ...], background: Background, use_masks: bool, given: Similarity | None, findings: Findings
) -> Similarity:
    """Choose ``world_from_scene`` and say how."""

    def said(similarity: Similarity, how: str) -> Similarity:
        x, y, z = similarity.translation
        unit = f" {listing.unit}" if listing.unit else ""
        findings.notes.append(f"{how}; unit sphere = centre ({x:.4g}, {y:.4g}, {z:.4g}), radius {similarity.scale:.4g}{unit} in the world")
        return similarity

    if given is not None:
        return said(given, "bounds: as given")
    if listing.world_from_scene is not None:
        return said(listing.world_from_scene, f"bounds: {listing.bounds_note}")
    cameras = [view.camera for view in views]
    kind = "masks" if background != "alpha" and use_masks and masks_are_silhouettes(views) else background
    silhouettes = silhouettes_of(views, kind)
    if silhouettes is not None:
        hull = bounds.from_silhouettes(cameras, silhouettes)
        if hull is not None:
            return said(
                hull,
                f"bounds: visual hull of the {'silhouettes before the plain background' if isinstance(kind, tuple) else kind}, 10 % margin",
            )
        findings.warnings.append(
            "the silhouettes do not bound an object in space (do masks or poses contradict each other?); cameras are used instead"
        )
    similarity, note, warning = bounds.from_cameras(cameras)
    if warning:
        findings.warnings.append(warning)
    return said(similarity, note)


def _warn_unseen(views: tuple[View, ...], world_from_scene: Similarity, findings: Findings) -> None:
    """Name the views whose frame does not touch the projected unit sphere."""
    # 200 points spread evenly over the sphere (Fibonacci lattice) and its centre.
    i = np.arange(200) + 0.5
    z, phi = 1 - i / 100, np.pi * (1 + 5**0.5) * i
    r = np.sqrt(1 - z**2)
    sphere = world_from_scene.apply(np.concatenate([np.stack([r * np.cos(phi), r * np.sin(phi), z], 1), np.zeros((1, 3))]))
    unseen = []
    for view in views:
        inside = np.linalg.norm(view.camera.center - world_from_scene.translation) < world_from_scene.scale
        uv, depth = view.camera.project(sphere)
        touches = (depth > 0) & (uv >= 0).all(axis=1) & (uv[:, 0] <= view.camera.width) & (uv[:, 1] <= view.camera.height)
        if not inside and not touches.any():
            unseen.append(view.name)
    if unseen:
        names = ", ".join(unseen[:3]) + (", ..." if len(unseen) > 3 else "")
        findings.warnings.append(
            f"{len(unseen)} views do not see the bounding sphere at all ({names}): wrong poses, or bounds to be given with --bounds"
        )
