"""NeRF's Blender scenes: ``transforms_{train,test,val}.json``, OpenGL camera axes, RGBA images, one horizontal field of view.

Also NEF's ABC scenes, which add ``camera_intrinsics`` per frame (integer pixel centres) and keep the photographs in ``train_img`` while
``file_path`` names the edge maps in ``train``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recon.data.formats.base import Claim
from recon.data.formats.files import Files
from recon.data.formats.transforms import frame_list, intrinsics, pose, read_json
from recon.data.listing import Findings, Frame, FrameProblem, Listing

FORMAT = "blender"


FILES = "transforms_train.json (Blender)"


def owns(path: Path) -> Claim | None:
    if path.name in ("transforms_train.json", "transforms_test.json", "transforms_val.json") and path.is_file():
        path = path.parent
    file = path / "transforms_train.json"
    return Claim(path, file) if file.is_file() else None


def read(claim: Claim, findings: Findings) -> Listing:
    """List a Blender scene. ``test`` is held out; ``val`` only if there is no ``test``; other files are not read."""
    files = Files(claim.root)
    frames = _read_split(files, "train", findings)
    held_out = None
    for name in ("test", "val"):
        if not (claim.root / f"transforms_{name}.json").is_file():
            continue
        others = _read_split(files, name, findings)
        if others and not any(frame.file.is_file() for frame in others):
            findings.warnings.append(f"transforms_{name}.json lists {len(others)} images, none of which exists: it is left aside")
            continue
        held_out = name
        frames += [replace(frame, split="test") for frame in others]
        findings.notes.append(f"split: kept from transforms_train.json and transforms_{name}.json")
        break
    files.remark(findings)
    if held_out is None:
        frames = [replace(frame, split=None) for frame in frames]
    return Listing(claim.root, FORMAT, tuple(frames), has_split=held_out is not None, axes="opengl")


def _read_split(files: Files, split: str, findings: Findings) -> list[Frame]:
    root = files.root
    file = root / f"transforms_{split}.json"
    data = read_json(file, findings)
    if data is None:
        return []
    frames, beside = [], False
    for index, entry in enumerate(frame_list(data, file, findings)):
        where = f"{file.name} frame {index}"
        if not isinstance(entry, dict):
            findings.bad.append((where, "is not an object {...}"))
            continue
        if isinstance(entry.get("file_path"), str):
            where = f"{where} ({entry['file_path']})"
        try:
            name, path = files.locate(entry.get("file_path"), "file_path")
            folder, _, rest = name.partition("/")
            if "camera_intrinsics" in entry and rest and (root / f"{folder}_img").is_dir():
                name, path = files.locate(f"{folder}_img/{rest}", "file_path")
                beside = True
            where = f"{file.name} frame {index} ({name})"
            matrix = pose(entry.get("transform_matrix"), "transform_matrix", opengl=True)
            frames.append(Frame(where, name, path, matrix, intrinsics(data, entry, "PINHOLE"), split="train"))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    if beside:
        findings.notes.append(f"{file.name}: its file_path names edge maps; the photographs beside them ({split}_img) are used")
    return frames
