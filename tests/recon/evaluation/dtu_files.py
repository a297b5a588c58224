"""Made-up files in the layout of DTU's evaluation data: a ball that a scanner saw."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import trimesh
from scipy.io import savemat


def write_dtu(folder: Path, scan: int, center: np.ndarray, radius: float, *, plane=(0.0, 0.0, 0.0, 1.0), seen=None, count=60_000) -> Path:
    """Write the scan of a ball.

    Args:
        folder: Where ``Points/`` and ``ObsMask/`` go.
        scan: Its number.
        center, radius: Of the ball, mm.
        plane: The table; by default everything is above it.
        seen: Voxel centres [N, 3] -> whether the scanner saw them; None: all.
        count: Points.
    """
    rng = np.random.default_rng(scan)
    points = rng.standard_normal((count, 3))
    points = center + radius * points / np.linalg.norm(points, axis=1, keepdims=True)
    (folder / "Points/stl").mkdir(parents=True, exist_ok=True)
    (folder / "ObsMask").mkdir(exist_ok=True)
    trimesh.PointCloud(points).export(folder / f"Points/stl/stl{scan:03}_total.ply")
    voxel, low = radius / 10, center - 1.5 * radius
    grid = low + voxel * np.stack(np.meshgrid(*[np.arange(31)] * 3, indexing="ij"), -1)
    observed = np.ones((31,) * 3, bool) if seen is None else seen(grid.reshape(-1, 3)).reshape(31, 31, 31)
    box = np.stack([low, low + 30 * voxel])
    savemat(folder / f"ObsMask/ObsMask{scan}_10.mat", {"ObsMask": observed.astype(np.uint8), "BB": box, "Res": np.array([[voxel]])})
    savemat(folder / f"ObsMask/Plane{scan}.mat", {"P": np.array(plane)[:, None]})
    return folder
