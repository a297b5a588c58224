"""``transforms.json``: nerfstudio, instant-ngp, NeuS2, Neuralangelo, NeRFCapture and this program. OpenGL camera axes, pixel centres at
+0.5, lens distortion.

What dialects add: ``from_na`` (NeuS2: OpenCV axes), ``intrinsic_matrix``, ``x_fov`` in degrees, ``applied_transform`` and
``applied_scale``, ``sphere_center`` and ``sphere_radius`` (Neuralangelo: bounds), ``ply_file_path`` (sparse points), split lists, ``unit``
(this program's).
"""

from __future__ import annotations

import posixpath
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files, is_file
from recon.data.formats.transforms import frame_list, intrinsics, pose, read_json
from recon.data.listing import Findings, Frame, FrameProblem, Listing, Points
from recon.data.ply import read_points
from recon.data.units import METRES
from recon.errors import DataError
from recon.geometry import Similarity

FORMAT = "nerfstudio"
FILES = "transforms.json (nerfstudio, instant-ngp, NeuS2, Neuralangelo, NeRFCapture)"
FILE_NAMES = ("transforms.json", "transform.json")


def owns(path: Path) -> Claim | None:
    if path.is_file():
        # Any other .json is believed to be one if nobody else claims it: the table asks this module last for files.
        return Claim(path.parent, path) if path.suffix.lower() == ".json" else None
    name = next((name for name in FILE_NAMES if (path / name).is_file()), None)
    return None if name is None else Claim(path, path / name)


def read(claim: Claim, findings: Findings) -> Listing:
    """List a ``transforms.json`` dataset.

    The world is the one before ``applied_transform`` and ``applied_scale``, if the file records them, so that exports fit the
    reconstruction that the poses came from.
    """
    root, file = claim.root, claim.source
    data = read_json(file, findings)
    if data is None:
        return Listing(root, FORMAT, ())
    entries = frame_list(data, file, findings)
    if _beside(root, entries):
        findings.notes.append(f"{file.name} names pictures that lie beside its folder, in {root.parent.name}/")
        root = root.parent
    files = Files(root)
    world_from_file = _undo_applied(data, file, findings)
    assign = _split_lists(files, claim.root, data, findings)
    opengl = data.get("from_na") is not True
    if not opengl:
        findings.notes.append(f"camera axes: OpenCV's, because {file.name} says from_na (NeuS2)")
    frames, unlisted, unmasked = [], 0, 0
    for index, entry in enumerate(entries):
        where = f"{file.name} frame {index}"
        if not isinstance(entry, dict):
            findings.bad.append((where, "is not an object {...}"))
            continue
        raw = entry.get("file_path")
        if isinstance(raw, str):
            where = f"{where} ({raw})"
            raw = posixpath.normpath(posixpath.join(claim.root.name, raw.replace("\\", "/"))) if root != claim.root else raw
        try:
            name, path = files.locate(raw, "file_path", ".jpg")
            where = f"{file.name} frame {index} ({name})"
            # Some tools list bare file names although the images lie in a folder.
            split = assign.get(name) or assign.get(path.name)
            if assign and split is None:
                unlisted += 1
                continue
            mask = None
            if entry.get("mask_path") is not None:
                mask_raw = entry["mask_path"]
                if root != claim.root and isinstance(mask_raw, str):
                    mask_raw = posixpath.normpath(posixpath.join(claim.root.name, mask_raw.replace("\\", "/")))
                _, mask = files.locate(mask_raw, "mask_path")
                if not mask.is_file():
                    unmasked, mask = unmasked + 1, None
            with np.errstate(invalid="ignore"):  # NaN and infinity are reported later, for every format in the same way
                matrix = world_from_file.apply_to_pose(pose(entry.get("transform_matrix"), "transform_matrix", opengl=opengl))
            frames.append(Frame(where, name, path, matrix, intrinsics(data, entry), split, mask))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    if unlisted:
        findings.warnings.append(f"{unlisted} frames are in none of the split lists and are left out")
    if unmasked:
        findings.warnings.append(f"{unmasked} mask files named by {file.name} do not exist")
    if assign:
        findings.notes.append("split: kept from the dataset's own lists")
    files.remark(findings)
    return Listing(
        root,
        FORMAT,
        tuple(frames),
        has_split=bool(assign),
        world_from_scene=_sphere(data, world_from_file, file, findings),
        bounds_note=f"sphere_center and sphere_radius of {file.name}",
        unit=_unit(data, file, findings),
        points=_points(files, data, world_from_file, findings),
        axes="opengl" if opengl else "opencv",
    )


def _beside(root: Path, entries: list) -> bool:
    """Whether every picture is named ``../folder/...``, as instant-ngp's own script does: then the dataset's folder is the one above."""
    raws = [entry.get("file_path") for entry in entries if isinstance(entry, dict)]
    names = [posixpath.normpath(raw.replace("\\", "/")) for raw in raws if isinstance(raw, str) and "\0" not in raw]
    return (
        bool(names)
        and len(names) == len(entries)
        and all(n.startswith("../") and not n.startswith("../../") and n.count("/") > 1 for n in names)
    )


def _sphere(data: dict, world_from_file: Similarity, file: Path, findings: Findings) -> Similarity | None:
    """Bounds that the file states, world."""
    if data.get("sphere_center") is None or data.get("sphere_radius") is None:
        return None
    try:
        center, radius = np.array(data["sphere_center"], np.float64), float(data["sphere_radius"])
    except (TypeError, ValueError, OverflowError):
        center, radius = np.zeros(0), 0.0
    if center.shape != (3,) or not (np.abs(center) < 1e12).all() or not 1e-12 < radius < 1e12:
        findings.warnings.append(
            f'{file.name}: "sphere_center" and "sphere_radius" are no sphere, and not used; bounds are found otherwise'
        )
        return None
    return Similarity(world_from_file.scale * radius, np.eye(3), world_from_file.apply(center))


def _unit(data: dict, file: Path, findings: Findings) -> str | None:
    unit = data.get("unit")
    if unit is None or unit in METRES:
        return unit
    findings.warnings.append(f'{file.name}: "unit" is {unit!r}, none of {", ".join(METRES)}, and not used')
    return None


def _points(files: Files, data: dict, world_from_file: Similarity, findings: Findings) -> Points | None:
    if data.get("ply_file_path") is None:
        return None
    try:
        _, path = files.locate(data["ply_file_path"], "ply_file_path")
        path = path if path.is_file() else path.with_suffix("")
        if not path.is_file():
            return None
        xyz, rgb = read_points(path)
    except (FrameProblem, DataError) as problem:
        findings.warnings.append(f"sparse points are not used: {problem}")
        return None
    return Points(world_from_file.apply(xyz), rgb)


def _split_lists(files: Files, root: Path, data: dict, findings: Findings) -> dict[str, Literal["train", "test"]]:
    """File name -> split, from train_filenames/test_filenames/val_filenames, train_test_lists.json, or train.txt and test.txt."""
    lists: dict[str, Any] = {key: data[f"{key}_filenames"] for key in ("train", "test", "val") if data.get(f"{key}_filenames")}
    if not lists and (root / "train_test_lists.json").is_file():
        lists = read_json(root / "train_test_lists.json", findings) or {}
    if not lists and all(is_file(root / f"{key}.txt") for key in ("train", "test")):
        lists = {key: (root / f"{key}.txt").read_text(encoding="utf-8", errors="replace").split("\n") for key in ("train", "test")}
    held_out = "test" if lists.get("test") else "val"
    wanted: tuple[tuple[str, Literal["train", "test"]], ...] = (("train", "train"), (held_out, "test"))
    assign: dict[str, Literal["train", "test"]] = {}
    for key, split in wanted:
        names = lists.get(key) or []
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            findings.fatal.append(f'the split list "{key}" must be a list of file names')
            continue
        for name in (name.strip() for name in names):
            if not name:
                continue
            try:
                found, _ = files.locate(name, f"{key} list", ".jpg")
            except FrameProblem as problem:
                findings.fatal.append(f'split list "{key}" ({name}): {problem}')
                continue
            if assign.get(found, split) != split:
                findings.fatal.append(f"{found} is in the training list and in the held-out list")
            assign[found] = split
    if assign and "train" not in assign.values():
        findings.fatal.append("the split lists name no training image")
    return assign


def _undo_applied(data: dict, file: Path, findings: Findings) -> Similarity:
    """``original_from_file``: undoes x_file = applied_scale * applied_transform(x_original)."""
    raw, raw_scale = data.get("applied_transform"), data.get("applied_scale", 1.0)
    if raw is None and raw_scale == 1.0:
        return Similarity()
    try:
        matrix = np.eye(4)[:3] if raw is None else np.atleast_2d(np.array(raw, np.float64))[:3]
        factor = float(raw_scale)
    except (TypeError, ValueError, OverflowError):
        matrix, factor = np.zeros(0), 1.0
    if matrix.shape != (3, 4) or not (np.abs(matrix) < 1e12).all() or not 1e-12 < factor < 1e12:
        findings.fatal.append(f'{file.name}: "applied_transform" must be a 3x4 matrix and "applied_scale" a positive number')
        return Similarity()
    determinant = np.linalg.det(matrix[:, :3])
    size = float(np.cbrt(abs(determinant)))
    if determinant < 0 and np.allclose(matrix[:, :3].T @ matrix[:, :3], size**2 * np.eye(3), atol=1e-4 * size**2):
        findings.warnings.append(
            f"{file.name}: its applied_transform is a mirror image and is not undone; exports are in the file's own frame"
        )
        return Similarity()
    scale = float(np.cbrt(determinant)) if determinant > 0 else 0.0
    if scale <= 0 or not np.allclose(matrix[:, :3].T @ matrix[:, :3], scale**2 * np.eye(3), atol=1e-4 * scale**2):
        findings.fatal.append(f'{file.name}: "applied_transform" is not a rotation with a scale and a shift, so it cannot be undone')
        return Similarity()
    if not np.array_equal(matrix, np.eye(4)[:3]) or factor != 1.0:
        findings.notes.append(
            f"world: the frame before the applied_transform that {file.name} records; exports fit the original reconstruction"
        )
    u, _, vt = np.linalg.svd(matrix[:, :3])
    return Similarity(factor * scale, u @ vt, factor * matrix[:, 3]).inverse()
