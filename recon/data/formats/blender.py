"""NeRF's Blender scenes: ``transforms_{train,test,val}.json``, OpenGL camera axes, RGBA images, one horizontal field of view.

Also NEF's ABC scenes, which add ``camera_intrinsics`` per frame (integer pixel centres) and keep the photographs in ``train_img`` while
``file_path`` names the edge maps in ``train``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from recon.data.formats.transforms import frame_list, intrinsics, locate, pose, read_json
from recon.data.listing import Findings, Frame, FrameProblem, Listing

FORMAT = "blender"


def recognises(root: Path) -> bool:
    return (root / "transforms_train.json").is_file()


def read(root: Path, findings: Findings) -> Listing:
    """List a Blender scene. ``test`` is held out; ``val`` only if there is no ``test``; other files are not read."""
    frames = list(_read_split(root, "train", findings))
    held_out = next((name for name in ("test", "val") if (root / f"transforms_{name}.json").is_file()), None)
    if held_out is not None:
        frames += [replace(frame, split="test") for frame in _read_split(root, held_out, findings)]
        findings.notes.append(f"split: kept from transforms_train.json and transforms_{held_out}.json")
    else:
        frames = [replace(frame, split=None) for frame in frames]
    return Listing(root, FORMAT, tuple(frames), has_split=held_out is not None)


def _read_split(root: Path, split: str, findings: Findings) -> list[Frame]:
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
        try:
            name, path = locate(root, entry.get("file_path"), "file_path")
            folder, _, rest = name.partition("/")
            if "camera_intrinsics" in entry and rest and (root / f"{folder}_img").is_dir():
                name, path = locate(root, f"{folder}_img/{rest}", "file_path")
                beside = True
            where = f"{where} ({name})"
            matrix = pose(entry.get("transform_matrix"), "transform_matrix", opengl=True)
            frames.append(Frame(where, name, path, matrix, intrinsics(data, entry, "PINHOLE"), split="train"))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    if beside:
        findings.notes.append(f"{file.name}: its file_path names edge maps; the photographs beside them ({split}_img) are used")
    return frames
