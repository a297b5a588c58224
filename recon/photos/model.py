"""A sparse reconstruction as plain arrays: what the search for cameras gives, and everything after it works on."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from recon.geometry import Similarity
from recon.system.files import whole


@dataclass(frozen=True)
class SparseModel:
    """Photographs with cameras, points that they see, and which sees which, in any frame.

    Attributes:
        names: File names of the photographs in the search. [N]
        world_from_camera: OpenCV axes. [N, 3, 4] float64
        camera: Which camera took a photograph: a row of ``params``. [N] int64
        params: Focal length, principal point x and y (pixels, centres at +0.5), k1, k2: x_distorted = x (1 + k1 r^2 + k2 r^4).
            [C, 5] float64
        sizes: Width and height that ``params`` belong to, pixels. [C, 2] int64
        points: [M, 3] float64
        colors: [M, 3] uint8
        errors: Mean reprojection error of a point, pixels. [M] float64
        seen_by, seen, pixels: An observation each: photograph [K] int64, point [K] int64, where [K, 2] float64.
    """

    names: tuple[str, ...]
    world_from_camera: np.ndarray
    camera: np.ndarray
    params: np.ndarray
    sizes: np.ndarray
    points: np.ndarray
    colors: np.ndarray
    errors: np.ndarray
    seen_by: np.ndarray
    seen: np.ndarray
    pixels: np.ndarray

    @property
    def centers(self) -> np.ndarray:
        """Camera centres. [N, 3]"""
        return self.world_from_camera[:, :, 3]

    @property
    def tracks(self) -> np.ndarray:
        """In how many photographs each point was seen. [M] int64"""
        return np.bincount(self.seen, minlength=len(self.points))

    @property
    def reprojection_error(self) -> float:
        """Mean over all observations, pixels."""
        return float((self.errors * self.tracks).sum() / max(1, len(self.seen)))

    def transformed(self, target_from_source: Similarity) -> SparseModel:
        """The same in another frame."""
        rotation = target_from_source.rotation @ self.world_from_camera[:, :, :3]
        centers = target_from_source.apply(self.centers)
        poses = np.concatenate([rotation, centers[:, :, None]], axis=2)
        return replace(self, world_from_camera=poses, points=target_from_source.apply(self.points))

    def keep(self, photographs: np.ndarray) -> SparseModel:
        """Only some photographs ([N] bool), and the points that two of them still see."""
        index = np.cumsum(photographs) - 1
        observed = photographs[self.seen_by]
        left = np.bincount(self.seen[observed], minlength=len(self.points)) >= 2
        renumbered = np.cumsum(left) - 1
        observed &= left[self.seen]
        return replace(
            self,
            names=tuple(name for name, kept in zip(self.names, photographs, strict=True) if kept),
            world_from_camera=self.world_from_camera[photographs],
            camera=self.camera[photographs],
            points=self.points[left],
            colors=self.colors[left],
            errors=self.errors[left],
            seen_by=index[self.seen_by[observed]],
            seen=renumbered[self.seen[observed]],
            pixels=self.pixels[observed],
        )

    def reordered(self, order: np.ndarray) -> SparseModel:
        """The same photographs in another order: row i is what was row ``order[i]``. [N] int"""
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        return replace(
            self,
            names=tuple(self.names[i] for i in order),
            world_from_camera=self.world_from_camera[order],
            camera=self.camera[order],
            seen_by=place[self.seen_by],
        )

    def project(self, photograph: int, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """World points [P, 3] to pixels [P, 2] of a photograph, lens included, and their depth along the axis [P]."""
        pose = self.world_from_camera[photograph]
        local = (points - pose[:, 3]) @ pose[:, :3]
        f, cx, cy, k1, k2 = self.params[self.camera[photograph]]
        with np.errstate(divide="ignore", invalid="ignore"):
            x = local[:, :2] / local[:, 2:]
            r2 = (x**2).sum(axis=1, keepdims=True)
        return f * x * (1 + r2 * (k1 + r2 * k2)) + np.array([cx, cy]), local[:, 2]

    def residuals(self) -> np.ndarray:
        """Distance of every observation from its point's projection, pixels. [K]"""
        pose = self.world_from_camera[self.seen_by]
        local = np.einsum("kij,ki->kj", pose[:, :, :3], self.points[self.seen] - pose[:, :, 3])
        p = self.params[self.camera[self.seen_by]]
        with np.errstate(divide="ignore", invalid="ignore"):
            x = local[:, :2] / local[:, 2:]
            r2 = (x**2).sum(axis=1, keepdims=True)
        return np.linalg.norm(p[:, :1] * x * (1 + r2 * (p[:, 3:4] + r2 * p[:, 4:])) + p[:, 1:3] - self.pixels, axis=1)


def save_model(model: SparseModel, path: Path) -> None:
    """Write as .npz of plain arrays, whole or not at all."""
    arrays = {f.name: getattr(model, f.name) for f in fields(model) if f.name != "names"}
    with whole(path) as part:
        np.savez_compressed(part, names=np.frombuffer(json.dumps(model.names).encode(), np.uint8), **arrays)


def load_model(path: Path) -> SparseModel:
    """Read what :func:`save_model` wrote."""
    with np.load(path, allow_pickle=False) as stored:
        arrays = {f.name: stored[f.name] for f in fields(SparseModel) if f.name != "names"}
        names = tuple(json.loads(stored["names"].tobytes().decode()))
    return SparseModel(names, **arrays)
