"""The Chamfer distance of the DTU benchmark (Jensen et al. 2014), as its users measure it: points against the laser scan, in mm.

Needs the official evaluation data: ``Points/stl/stl024_total.ply``, ``ObsMask/ObsMask24_10.mat`` and ``ObsMask/Plane24.mat``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.spatial import KDTree

from recon.data.scene import View
from recon.errors import DataError, UsageError
from recon.surface.mesh import Mesh, face_areas, keep_faces, largest_component
from recon.system.foreign import load_trimesh, reading

SCANS = (24, 37, 40, 55, 63, 65, 69, 83, 97, 105, 106, 110, 114, 118, 122)
DENSITY_MM, PATCH_MM, MAX_DISTANCE_MM = 0.2, 60.0, 20.0
CullName = Literal["none", "neus", "monosdf", "2dgs"]
CULL_RADIUS = {"neus": 50.0, "monosdf": 12.0, "2dgs": 24.0}
"""How far masks are grown before what lies outside them is cut off, pixels of a picture 1600 wide, by whose evaluation it is."""


@dataclass(frozen=True)
class DtuTruth:
    """The official data of one scan, in mm.

    Attributes:
        scan: Its number.
        points: Laser scan. [P, 3]
        observed: Voxels that the scanner saw. [X, Y, Z] bool
        box: Lower and upper corner of the voxels. [2, 3]
        voxel: Edge of a voxel.
        plane: The table; completeness counts points with ``plane @ (x, y, z, 1) > 0``. [4]
    """

    scan: int
    points: np.ndarray
    observed: np.ndarray
    box: np.ndarray
    voxel: float
    plane: np.ndarray


def is_dtu_truth(folder: Path) -> bool:
    """Whether a folder is laid out as DTU's evaluation data."""
    return (folder / "Points" / "stl").is_dir() or (folder / "ObsMask").is_dir()


def scan_number(name: str) -> int | None:
    """The scan that a dataset's path names ("DTU/scan24", "dtu_scan_105"), or None. Of several, the innermost."""
    found = re.findall(r"scan_?(\d+)", name.lower())
    return int(found[-1]) if found else None


def choose_scan(folder: Path, scan: int | None) -> int:
    """The scan to compare with: the one that is wanted, else the only one of which the folder has points.

    Raises:
        UsageError: If it is not known which.
    """
    if scan is not None:
        return scan
    there = sorted(int(m[1]) for p in folder.glob("Points/stl/stl*_total.ply") if (m := re.fullmatch(r"stl(\d+)_total", p.stem)))
    if len(there) == 1:
        return there[0]
    raise UsageError(f"{folder}: which scan of DTU is this?", "say it with --scan 24, or name the dataset's folder scan24")


def load_dtu_truth(folder: Path, scan: int) -> DtuTruth:
    """Read the official data of a scan.

    Raises:
        DataError: Naming every file that is missing.
    """
    paths = [folder / f"Points/stl/stl{scan:03}_total.ply", folder / f"ObsMask/ObsMask{scan}_10.mat", folder / f"ObsMask/Plane{scan}.mat"]
    missing = [f"{p} does not exist" for p in paths if not p.is_file()]
    if missing:
        raise DataError(
            f"the DTU evaluation data in {folder} is incomplete", missing, "download 'Points' and 'SampleSet' from the DTU MVS page"
        )
    from scipy.io import loadmat  # here: half a second that most commands have no use for

    points = np.asarray(load_trimesh(paths[0]).vertices, np.float64)
    with reading(paths[1], "DTU's observation mask"):
        mask = loadmat(paths[1])
        seen, box, cell = mask["ObsMask"].astype(bool), np.asarray(mask["BB"], np.float64), float(np.squeeze(mask["Res"]))
    with reading(paths[2], "DTU's ground plane"):
        plane = np.asarray(loadmat(paths[2])["P"], np.float64).ravel()
    return DtuTruth(scan, points, seen, box, cell, plane)


def dtu_chamfer(mesh_mm: Mesh, truth: DtuTruth, *, seed: int = 0) -> dict:
    """Accuracy, completeness and their mean.

    Distances of 20 mm and more are left out of the means, not clamped, as in the reference evaluation. Whether the mesh was culled by
    masks beforehand changes the figures by up to 0.1 mm: say it beside them.

    Args:
        mesh_mm: In the world frame of DTU, mm.
        truth: From :func:`load_dtu_truth`.
        seed: Of the order in which points are thinned.
    Returns:
        Accuracy ("d2s"), completeness ("s2d"), "overall", counts and the protocol.
    Raises:
        DataError: If the mesh is empty, or not where the scan is.
    """
    if len(mesh_mm.faces) == 0:
        raise DataError("the mesh has no surface to evaluate", hint="look at the extraction's messages")
    points = np.concatenate([mesh_mm.vertices, grid_on_triangles(mesh_mm, DENSITY_MM)])
    points = points[((points >= truth.box[0] - PATCH_MM) & (points < truth.box[1] + 2 * PATCH_MM)).all(1)]
    points = thin(points, DENSITY_MM, np.random.default_rng(seed))
    index = np.around((points - truth.box[0]) / truth.voxel).astype(np.int64)
    inside = ((index >= 0) & (index < truth.observed.shape)).all(1)
    observed = np.zeros(len(points), bool)
    observed[inside] = truth.observed[tuple(index[inside].T)]
    above = truth.points @ truth.plane[:3] + truth.plane[3] > 0
    if not observed.any() or not above.any():
        raise DataError("the mesh does not lie in the region that the DTU scanner saw", hint="export it in world units (mm)")
    d2s = KDTree(truth.points).query(points[observed], workers=-1)[0]
    s2d = KDTree(points).query(truth.points[above], workers=-1)[0]
    accuracy, completeness = d2s[d2s < MAX_DISTANCE_MM], s2d[s2d < MAX_DISTANCE_MM]
    if len(accuracy) == 0 or len(completeness) == 0:
        raise DataError(f"no point of the mesh is within {MAX_DISTANCE_MM:g} mm of the scan", hint="export it in world units (mm)")
    return {
        "d2s": float(accuracy.mean()),
        "s2d": float(completeness.mean()),
        "overall": float(accuracy.mean() + completeness.mean()) / 2,
        "unit": "mm",
        "points": len(points),
        "points_observed": int(observed.sum()),
        "seed": seed,
        "protocol": "DTU: points every 0.2 mm, observation mask, plane, distances below 20 mm, scan points against mesh points",
    }


def evaluate_dtu(mesh_mm: Mesh, truth: DtuTruth, views: Sequence[View], cull: CullName, *, seed: int = 0) -> dict:
    """The protocol with its culling, and both named in the result.

    Args:
        mesh_mm: In the world frame of DTU, mm.
        truth: From :func:`load_dtu_truth`.
        views: Whose masks cut the mesh, if ``cull`` says so.
        cull: "none" (as for results with masks), or whose radius of mask dilation; then also only the largest component is kept.
        seed: See :func:`dtu_chamfer`.
    Raises:
        UsageError: If the mesh is to be culled, and no view has a mask.
        DataError: See :func:`dtu_chamfer`.
    """
    culling: dict = {"name": cull}
    if cull != "none":
        masks = [v.mask for v in views if v.mask is not None]
        if not masks:
            raise UsageError("the mesh is to be culled by masks, and the dataset has none", "--cull none")
        radius = CULL_RADIUS[cull] * masks[0].shape[1] / 1600
        before = len(mesh_mm.faces)
        mesh_mm = largest_component(cull_by_masks(mesh_mm, views, radius))
        culling |= {
            "dilation_px": radius,
            "dilation_px_at_1600": CULL_RADIUS[cull],
            "views": len(masks),
            "faces_removed": before - len(mesh_mm.faces),
            "rule": "faces whose vertices lie in all grown masks (outside of a picture counts as inside); then the largest component",
        }
    return {"scan": truth.scan, **dtu_chamfer(mesh_mm, truth, seed=seed), "culling": culling}


def grid_on_triangles(mesh: Mesh, density: float) -> np.ndarray:
    """Points on a regular grid along two edges of each triangle, about ``density`` apart. [N, 3]

    The steps are ``density * sqrt(l1 l2 / |e1 x e2|)`` along the edges of lengths l1 and l2, so that a cell of the grid has area density².
    """
    a, b, c = (mesh.vertices[mesh.faces[:, k]] for k in range(3))
    e1, e2 = b - a, c - a
    l1, l2 = np.linalg.norm(e1, axis=1), np.linalg.norm(e2, axis=1)
    area2 = 2 * face_areas(mesh)
    keep = area2 > 0
    a, e1, e2, l1, l2, area2 = a[keep], e1[keep], e2[keep], l1[keep], l2[keep], area2[keep]
    step = density * np.sqrt(l1 * l2 / area2)
    n1, n2 = np.floor(l1 / step).astype(np.int64), np.floor(l2 / step).astype(np.int64)
    counts = n1 * n2
    face = np.repeat(np.arange(len(a)), counts)
    local = np.arange(len(face)) - np.repeat(np.cumsum(counts) - counts, counts)
    u, v = (local // n2[face] + 0.5) / n1[face], (local % n2[face] + 0.5) / n2[face]
    inside = u + v < 1
    face, u, v = face[inside], u[inside, None], v[inside, None]
    return a[face] + u * e1[face] + v * e2[face]


def thin(points: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Points at least ``radius`` apart: in a random order, each point that is left removes its neighbours.

    The rounds below give exactly what going through the points one by one would: a point is settled as soon as it comes before all of
    its neighbours that are not settled. Memory: about 40 bytes for each pair of neighbours.
    """
    points = points[rng.permutation(len(points))]
    pairs = KDTree(points).query_pairs(radius, output_type="ndarray")  # first index < second: the first comes first in the order
    keep = np.ones(len(points), bool)
    while len(pairs):
        has_earlier = np.zeros(len(points), bool)
        has_earlier[pairs[:, 1]] = True
        removed = pairs[~has_earlier[pairs[:, 0]], 1]
        gone = np.zeros(len(points), bool)
        gone[removed] = True
        keep &= ~gone
        # Pairs with a removed point are done; so are those of a settled first point, whose seconds are all removed.
        pairs = pairs[~gone[pairs[:, 0]] & ~gone[pairs[:, 1]]]
    return points[keep]


def cull_by_masks(mesh_world: Mesh, views: Sequence[View], dilation_px: float) -> Mesh:
    """Keep the faces whose vertices lie in all masks; a projection outside a picture counts as inside (the convention of NeuS).

    Args:
        mesh_world: In world units.
        views: Those without a mask are left out.
        dilation_px: Masks are first grown by a disk of this radius; NeuS uses 50 for pictures 1600 pixels wide.
    """
    keep = np.ones(len(mesh_world.vertices), bool)
    for view in views:
        if view.mask is None:
            continue
        grown = np.asarray(distance_transform_edt(view.mask <= 127)) <= dilation_px
        uv, z = view.camera.project(mesh_world.vertices)
        pixel = np.floor(np.nan_to_num(uv, nan=-1.0, posinf=-1.0, neginf=-1.0)).astype(np.int64)
        inside = (z > 0) & (pixel >= 0).all(1) & (pixel[:, 0] < view.camera.width) & (pixel[:, 1] < view.camera.height)
        keep[inside] &= grown[pixel[inside, 1], pixel[inside, 0]]
    return keep_faces(mesh_world, np.asarray(keep[mesh_world.faces].all(1)))
