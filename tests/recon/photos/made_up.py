"""Reconstructions with a known answer: points and cameras chosen, pixels projected."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recon.data.scene import Camera
from recon.geometry import Similarity
from recon.photos.cameras import Group
from recon.photos.decode import Photo
from recon.photos.model import SparseModel
from tests.recon.photos.studio import around

LENS = (900.0, 505.0, 370.0, 0.04, -0.02)
SIZE = (1000, 750)


def photo(name: str, **changes) -> Photo:
    """A photograph as a file would have been described."""
    usual = Photo(
        name=name,
        file=f"/pictures/{name}",
        work=f"{name}.work.jpg",
        width=2 * SIZE[0],
        height=2 * SIZE[1],
        orientation=1,
        camera="",
        focal_px=None,
        focal_trusted=False,
        sharpness=100.0,
        sha1=name,
        thumbnail="80" * 1024,
        alpha=False,
    )
    return replace(usual, **changes)


def photos(count: int, **changes) -> list[Photo]:
    return [photo(f"{i:02d}.jpg", **changes) for i in range(count)]


def group(members: list[Photo], focal: float | None = None, trusted: bool = False) -> Group:
    return Group("a camera", tuple(members), focal, trusted)


def seen_from(cameras: list[Camera], points: np.ndarray, lens: tuple[float, ...] = LENS) -> SparseModel:
    """A model in which every camera sees every point before it, whether in its frame or not, without error."""
    poses = np.stack([camera.world_from_camera for camera in cameras])
    model = SparseModel(
        names=tuple(f"{i:02d}.jpg.work.jpg" for i in range(len(cameras))),
        world_from_camera=poses,
        camera=np.zeros(len(cameras), np.int64),
        params=np.array([lens]),
        sizes=np.array([SIZE]),
        points=points,
        colors=np.full((len(points), 3), 90, np.uint8),
        errors=np.full(len(points), 0.3),
        seen_by=np.zeros(0, np.int64),
        seen=np.zeros(0, np.int64),
        pixels=np.zeros((0, 2)),
    )
    rows, columns, pixels = [], [], []
    for i in range(len(cameras)):
        uv, depth = model.project(i, points)
        front = np.flatnonzero(depth > 0)
        rows.append(np.full(len(front), i))
        columns.append(front)
        pixels.append(uv[front])
    return replace(model, seen_by=np.concatenate(rows), seen=np.concatenate(columns), pixels=np.concatenate(pixels))


def ball(count: int, radius: float, center=(0.0, 0.0, 0.0), seed: int = 0) -> np.ndarray:
    """Points on a sphere."""
    v = np.random.default_rng(seed).normal(size=(count, 3))
    return radius * v / np.linalg.norm(v, axis=1, keepdims=True) + np.asarray(center)


def usual_model(count: int = 12) -> SparseModel:
    """A ball of radius 1 from twelve places around it, at distance 5."""
    return seen_from(around((0, 0, 0), 5.0, (10, 35, 60), count, *SIZE, 50.0), ball(300, 1.0))


def some_similarity() -> Similarity:
    """A turn about no axis of the frame, a scale and a shift."""
    from scipy.spatial.transform import Rotation

    return Similarity(3.7, Rotation.from_rotvec([0.7, -0.4, 1.1]).as_matrix(), np.array([10.0, -20.0, 5.0]))


def usual_facts(names, inliers: int = 200, still: float = 0.0, pairs: int = 60) -> dict:
    rows = {name: {"features": 900, "best": names[0], "inliers": inliers, "partners": 5} for name in names}
    return {"photographs": rows, "verified_pairs": pairs, "still_share": still}
