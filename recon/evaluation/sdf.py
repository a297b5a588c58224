"""How near a fitted signed distance is to the true shape: the figures of the NeuRBF paper, and what its released code computes instead."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

import kernels
from recon.errors import DataError
from recon.evaluation.surfaces import sample_surface
from recon.surface.mesh import Mesh, face_cross

PROTOCOL = {
    "iou_inside": "intersection over union of where the field is negative and of the true inside, at uniform points of [-1, 1]^3 in "
    "scene units (object centred, farthest vertex at 0.99)",
    "iou_outside_released": "the same of the outside: what NeuRBF's released code reports; near 1 for any field, as most is outside",
    "nae_deg": "NeuRBF's eq. 12: angle between the normals of a sampled point and of the nearest sampled point of the other surface, "
    "mean over both directions, degrees; normals of faces, turned-over ones count as such",
    "nae_released": "(mean angle from truth to mesh in degrees + mean |cos| from mesh to truth) / 2: what the released code reports",
}


@dataclass(frozen=True)
class NormalErrors:
    """Normal angular errors, see ``PROTOCOL``; ``floor_deg`` is that of two samplings of the truth: no mesh can be expected below."""

    nae_deg: float
    nae_released: float
    floor_deg: float


def intersection_over_union(found: np.ndarray, truth: np.ndarray) -> float:
    """Of two sets given by membership, bool [N] each; 1 if both are empty."""
    union = int((found | truth).sum())
    return float((found & truth).sum()) / union if union else 1.0


def normal_errors(mesh: Mesh, truth: Mesh, samples: int = 1_000_000, seed: int = 0) -> NormalErrors:
    """Compare the normals of two surfaces.

    Args:
        mesh, truth: In the same frame, oriented outwards.
        samples: Points on each.
        seed: Of the points.
    Raises:
        DataError: If a mesh is empty.
    """
    for name, m in (("mesh", mesh), ("true mesh", truth)):
        if len(m.faces) == 0:
            raise DataError(f"the {name} has no surface to evaluate")
    rng = np.random.default_rng(seed)
    center, scale = truth.vertices.mean(0), max(truth.diagonal(), 1e-300)
    found, true, again = (_oriented_samples(m, samples, rng, center, scale) for m in (mesh, truth, truth))
    to_truth, to_mesh, floor = _cosines(found, true), _cosines(true, found), _cosines(again, true)
    degrees = lambda c: float(np.degrees(np.arccos(np.clip(c, -1.0, 1.0))).mean())  # noqa: E731
    return NormalErrors(
        nae_deg=(degrees(to_truth) + degrees(to_mesh)) / 2,
        nae_released=(degrees(np.abs(to_mesh)) + float(np.abs(to_truth).mean())) / 2,
        floor_deg=degrees(floor),
    )


def _oriented_samples(mesh: Mesh, count: int, rng: np.random.Generator, center: np.ndarray, scale: float):
    """Points [count, 3] float32 in a frame where float32 is fine enough, and unit normals of their faces [count, 3]."""
    points, faces = sample_surface(mesh, count, rng)
    cross = face_cross(mesh)
    normals = cross / np.maximum(np.linalg.norm(cross, axis=1, keepdims=True), 1e-300)
    return ((points - center) / scale).astype(np.float32), normals[faces]


def _cosines(source, target) -> np.ndarray:
    """Cosine between each source normal and that of the nearest target point. [N]"""
    nearest, _ = kernels.knn(torch.from_numpy(target[0]), torch.from_numpy(source[0]), 1)
    return (source[1] * target[1][nearest[:, 0].numpy()]).sum(1)
