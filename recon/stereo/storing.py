"""Depth maps in a run's folder: ``stereo/000007.npz`` for training view 7, and ``stereo/stereo.json``."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.checkpoint import write_text_atomically
from recon.data.scene import Camera
from recon.errors import DataError
from recon.stereo.match import DepthMap

KEPT_BITS = np.uint32(0xFFFFFE00)
"""Of a depth: 14 bits of its fraction, 6e-5 of it, compress to half of what all take."""


def save_maps(folder: Path, maps: Sequence[DepthMap], near_views: Sequence[Sequence[int]], report: dict[str, Any]) -> None:
    """Write all maps, then the report that says they are whole."""
    folder.mkdir(parents=True, exist_ok=True)
    for m in maps:
        depth = ((m.depth.numpy().view(np.uint32) + np.uint32(0x100)) & KEPT_BITS).view(np.float32)
        path = folder / f"{m.view:06d}.npz"
        temporary = path.with_name(f"{path.name}.tmp")
        with open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                depth=depth,
                normal=np.rint(m.normal.numpy() * 127.0).astype(np.int8),
                confidence=np.rint(m.confidence.numpy() * 255.0).astype(np.uint8),
                angle=m.angle.numpy().astype(np.float16),
                count=m.count.numpy(),
            )
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    views = [{"view": m.view, "camera": m.camera.to_json(), "near_views": list(near_views[m.view])} for m in maps]
    write_text_atomically(folder / "stereo.json", json.dumps({**report, "views": views}, indent=1))


def load_maps(folder: Path) -> tuple[list[DepthMap], list[list[int]], dict[str, Any]] | None:
    """What was saved; None if nothing was, or not all of it.

    Raises:
        DataError: A file that is there cannot be read.
    """
    path = folder / "stereo.json"
    if not path.is_file():
        return None
    try:
        report = json.loads(path.read_text())
        maps = []
        for entry in report["views"]:
            path = folder / f"{entry['view']:06d}.npz"
            with np.load(path, allow_pickle=False) as arrays:
                depth, normal, confidence, angle, count = (arrays[k] for k in ("depth", "normal", "confidence", "angle", "count"))
            maps.append(
                DepthMap(
                    entry["view"],
                    Camera.from_json(entry["camera"]),
                    torch.from_numpy(depth),
                    torch.nn.functional.normalize(torch.from_numpy(normal).float(), dim=-1),
                    torch.from_numpy(confidence).float() / 255.0,
                    torch.from_numpy(angle).float(),
                    torch.from_numpy(count),
                )
            )
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path}: cannot be read ({error})", hint=f"delete {folder}: it is made again when the run goes on") from error
    return maps, [entry["near_views"] for entry in report["views"]], report
