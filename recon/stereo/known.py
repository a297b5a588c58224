"""What stereo knows of a scene that a run is made of: found once, kept in the run's folder, and said."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import kernels
from recon.config.values import StereoConfig
from recon.console import Reporter, duration
from recon.data.scene import Scene
from recon.device import CPU
from recon.errors import DataError
from recon.runs import Run
from recon.stereo.evidence import Evidence
from recon.stereo.fusion import fuse_distance, start_distance
from recon.stereo.match import DepthMap, match_views
from recon.stereo.points import Points, fuse, write_points
from recon.stereo.storing import load_maps, save_maps
from recon.system.files import whole

LEAST_SHARE = 0.05
"""Of the object's pixels that must have depth: with less there is too little texture, or too few views, for a surface."""
LEAST_POINTS = 2000


@dataclass(frozen=True)
class Known:
    """Depth maps of the training views, and the points fused from them, in the world."""

    maps: list[DepthMap]
    points: Points


def wanted(config: StereoConfig, scene: Scene) -> bool:
    """Whether depth is looked for: where nothing is known of the object's outline, unless the configuration says."""
    if config.use == "auto":
        return scene.background not in ("alpha", "masks")
    return config.use == "on"


def kept(run: Run) -> bool:
    """Whether the run has its depth already."""
    return (run.folder / "stereo" / "stereo.json").is_file()


def find_depth(run: Run, scene: Scene, reporter: Reporter) -> Known | None:
    """The depth maps of a run, read, or made on its device; ``stereo/`` and ``exports/points.ply`` are written.

    Returns:
        None where stereo finds too little to go by, which is said.
    """
    views = scene.split("train")
    folder = run.folder / "stereo"
    found = load_maps(folder)
    if found is None:
        began = time.perf_counter()
        maps, near_views = find_maps(scene, run.config.stereo, run.config.seed, reporter, torch.device(run.device))
        share = share_found(scene, maps)
        save_maps(folder, maps, near_views, {"share": share, "seconds": round(time.perf_counter() - began, 1)})
        found = load_maps(folder)  # as it will be read when the run goes on
        assert found is not None
    maps, near_views, report = found
    points = fuse(maps, near_views, views)
    share = report["share"]
    if share < LEAST_SHARE or len(points) < LEAST_POINTS:
        reporter.say(f"depth: found for {100 * share:.1f} % of the pixels only: too little texture, or too few views, for a shape from it")
        return None
    run.exports.mkdir(parents=True, exist_ok=True)
    write_points(points, run.exports / "points.ply", scene.unit)
    took = f" in {duration(report['seconds'])}"
    reporter.say(f"depth: {100 * share:.0f} % of the pixels agree in three views, {len(points)} points{took}")
    return Known(maps, points)


def find_maps(
    scene: Scene, config: StereoConfig, seed: int, reporter: Reporter, device: torch.device = CPU
) -> tuple[list[DepthMap], list[list[int]]]:
    """Depth maps of the training views, and for each the views that may agree with it; on a device if it has kernels for that."""
    if kernels.backend("patch_match", device) == "reference":
        device = CPU
    return match_views(scene, config.pixels, config.max_size, seed, lambda share, text: reporter.progress("depth", share, text), device)


def export_points(run: Run, scene: Scene, reporter: Reporter, out: Path | None = None) -> Path:
    """Write ``exports/points.ply`` of a run, of the depth it was trained with or of depth found now; ``out``: to that folder too.

    Raises:
        DataError: Stereo finds too little.
    """
    if find_depth(run, scene, reporter) is None:
        raise DataError(
            f"{run.folder}: the photographs give no points", hint="more texture, or more photographs with 5 to 15 degrees between them"
        )
    path = run.exports / "points.ply"
    if out is None:
        return path
    out.mkdir(parents=True, exist_ok=True)
    with whole(out / path.name) as part:
        shutil.copyfile(path, part)
    return out / path.name


def start_of(known: Known, scene: Scene, resolution: int, hull: Tensor | None, reporter: Reporter) -> Tensor:
    """A signed distance on the grid to start a field from. [resolution, resolution, resolution]"""
    fused = fuse_distance(known.maps, scene.scene_from_world, resolution)
    distance, shares = start_distance(fused, hull)
    said = ", ".join(f"{100 * value:.0f} % {name}" for name, value in shares.items())
    reporter.say(f"depth: of the sphere {said}")
    return distance


def evidence_of(known: Known, scene: Scene) -> Evidence:
    """The points as evidence in training."""
    return Evidence(known.points, np.stack([v.camera.center for v in scene.split("train")]), scene.scene_from_world)


def share_found(scene: Scene, maps: list[DepthMap]) -> float:
    """Share of the pixels that have depth; of those on the object, where it is known."""
    found = sum(int((m.depth > 0).sum()) for m in maps)
    total = sum(m.depth.numel() for m in maps)
    if scene.background == "alpha":
        inside = [float((v.image[..., 3] > 127).mean()) for v in scene.split("train")]
        total *= float(np.mean(inside))
    if scene.background == "masks":
        inside = [float((v.mask > 127).mean()) if v.mask is not None else 1.0 for v in scene.split("train")]
        total *= float(np.mean(inside))
    return found / max(total, 1.0)
