"""nerfstudio and instant-ngp: ``transforms.json``, OpenGL camera axes, pixel centres at +0.5, lens distortion."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np

from recon.data.formats.transforms import frame_list, intrinsics, is_file, locate, pose, read_json
from recon.data.listing import Findings, Frame, FrameProblem, Listing
from recon.geometry import Similarity

FORMAT = "nerfstudio"


def recognises(root: Path) -> bool:
    return (root / "transforms.json").is_file()


def read(root: Path, findings: Findings, file_name: str = "transforms.json") -> Listing:
    """List a ``transforms.json`` dataset.

    The world is the one before ``applied_transform`` and ``applied_scale``, if the file records them, so that exports fit the
    reconstruction that the poses came from.
    """
    file = root / file_name
    data = read_json(file, findings)
    if data is None:
        return Listing(root, FORMAT, ())
    world_from_file = _undo_applied(data, file, findings)
    assign = _split_lists(root, data, findings)
    frames, unlisted, unmasked = [], 0, 0
    for index, entry in enumerate(frame_list(data, file, findings)):
        where = f"{file.name} frame {index}"
        if not isinstance(entry, dict):
            findings.bad.append((where, "is not an object {...}"))
            continue
        try:
            name, path = locate(root, entry.get("file_path"), "file_path", ".jpg")
            where = f"{where} ({name})"
            # Some tools list bare file names although the images lie in a folder.
            split = assign.get(name) or assign.get(path.name)
            if assign and split is None:
                unlisted += 1
                continue
            mask = None
            if entry.get("mask_path") is not None:
                _, mask = locate(root, entry["mask_path"], "mask_path")
                if not mask.is_file():
                    unmasked, mask = unmasked + 1, None
            with np.errstate(invalid="ignore"):  # NaN and infinity are reported later, for every format in the same way
                matrix = world_from_file.apply_to_pose(pose(entry.get("transform_matrix"), "transform_matrix", opengl=True))
            frames.append(Frame(where, name, path, matrix, intrinsics(data, entry), split, mask))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    if unlisted:
        findings.warnings.append(f"{unlisted} frames are in none of the split lists and are left out")
    if unmasked:
        findings.warnings.append(f"{unmasked} mask files named by {file.name} do not exist")
    if assign:
        findings.notes.append("split: kept from the dataset's own lists")
    return Listing(root, FORMAT, tuple(frames), has_split=bool(assign))


def _split_lists(root: Path, data: dict, findings: Findings) -> dict[str, Literal["train", "test"]]:
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
                found, _ = locate(root, name, f"{key} list", ".jpg")
            except FrameProblem as problem:
                findings.fatal.append(f'split list "{key}": {problem}')
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
