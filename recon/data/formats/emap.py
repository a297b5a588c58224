"""EMAP and sdfstudio: ``meta_data.json``, OpenCV camera axes, integer pixel centres, photographs in ``color/`` or beside the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from recon.data.formats.base import Claim
from recon.data.formats.files import Files
from recon.data.formats.transforms import SUPPORTED_MODELS, frame_list, from_matrix, pose, read_json
from recon.data.listing import Findings, Frame, FrameProblem, Listing

FORMAT = "emap"
IMAGE_FOLDERS = ("", "color", "image", "images", "rgb")


FILES = "meta_data.json (EMAP, sdfstudio)"


def owns(path: Path) -> Claim | None:
    file = path if path.name == "meta_data.json" else path / "meta_data.json"
    return Claim(file.parent, file) if file.is_file() else None


def read(claim: Claim, findings: Findings) -> Listing:
    """List a ``meta_data.json`` dataset. ``scene_box`` is ignored: bounds are found from silhouettes or cameras, as everywhere."""
    root, file, files = claim.root, claim.source, Files(claim.root)
    data = read_json(file, findings)
    if data is None:
        return Listing(root, FORMAT, ())
    model = data.get("camera_model", "OPENCV")
    if not isinstance(model, str) or model.upper() not in SUPPORTED_MODELS:
        findings.fatal.append(f'{file.name}: unknown camera_model "{model}": supported are {", ".join(SUPPORTED_MODELS)}')
    size: list[int | None] = []
    for key in ("width", "height"):
        value = data.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float) or not 1 <= value < 1e6):
            findings.fatal.append(f'{file.name}: "{key}" must be the image size in pixels, found {value!r}')
            value = None
        size.append(None if value is None else int(value))
    frames = []
    for index, entry in enumerate(frame_list(data, file, findings)):
        where = f"{file.name} frame {index}"
        if not isinstance(entry, dict):
            findings.bad.append((where, "is not an object {...}"))
            continue
        if isinstance(entry.get("rgb_path"), str):
            where = f"{where} ({entry['rgb_path']})"
        try:
            name, path = _locate(files, entry.get("rgb_path"))
            where = f"{file.name} frame {index} ({name})"
            mask = None
            if isinstance(entry.get("foreground_mask"), str):
                _, mask = files.locate(entry["foreground_mask"], "foreground_mask")
                mask = mask if mask.is_file() else None
            k = from_matrix(entry.get("intrinsics"), "intrinsics", size[0], size[1])
            meaning = None if mask is None else "object"
            frames.append(Frame(where, name, path, pose(entry.get("camtoworld"), "camtoworld", opengl=False), k, None, mask, meaning))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    to_truth = data.get("worldtogt")
    if to_truth is not None and not np.array_equal(np.array(to_truth, dtype=object), np.eye(4)):
        findings.notes.append(
            f'{file.name} records "worldtogt", another frame for its ground truth; exports stay in the frame of the cameras'
        )
    files.remark(findings)
    return Listing(root, FORMAT, tuple(frames))


def _locate(files: Files, raw) -> tuple[str, Path]:
    """The image may lie beside the file or in one of the usual folders; a missing one is named where the others are."""
    options = []
    for folder in IMAGE_FOLDERS:
        if folder and not (files.root / folder).is_dir():
            continue
        option = files.locate(f"{folder}/{raw}" if folder and isinstance(raw, str) else raw, "rgb_path")
        if option[1].is_file():
            return option
        options.append(option)
    return options[-1]
