"""Pictures with exact depth for tests of stereo: planes, squares and spheres, all of them made of one solid texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Eye:
    """A pinhole camera: fx = fy = f, pixel centres at +0.5."""

    width: int
    height: int
    f: float
    world_from_camera: np.ndarray

    @property
    def intrinsics(self) -> tuple[float, float, float, float]:
        return self.f, self.f, self.width / 2, self.height / 2

    def rays(self, samples: int = 1) -> np.ndarray:
        """Directions of depth 1 in camera axes, ``samples`` x ``samples`` to a pixel. [H s, W s, 3]"""
        u = (np.arange(self.width * samples) + 0.5) / samples
        v = (np.arange(self.height * samples) + 0.5) / samples
        x, y = np.meshgrid((u - self.width / 2) / self.f, (v - self.height / 2) / self.f)
        return np.stack([x, y, np.ones_like(x)], -1)


def looking_at(eye: np.ndarray, target: np.ndarray) -> np.ndarray:
    """World pose of a camera with y down. [3, 4]"""
    forward = (target - eye) / np.linalg.norm(target - eye)
    right = np.cross(np.array([0.0, 1.0, 0.0]), forward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(forward, right), forward, eye], 1)


@dataclass(frozen=True)
class Plane:
    """Through a point; ``half`` bounds it to a square about the point, with sides along the world's x and y."""

    point: np.ndarray
    normal: np.ndarray
    half: float | None = None

    def meet(self, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with np.errstate(divide="ignore"):
            t = ((self.point - origin) @ self.normal) / (directions @ self.normal)
        t = np.where(t > 0, t, np.inf)
        if self.half is not None:
            with np.errstate(invalid="ignore"):
                at = origin + t[..., None] * directions - self.point
                t = np.where((np.abs(at[..., :2]) <= self.half).all(-1), t, np.inf)
        return t, np.broadcast_to(self.normal, directions.shape)


@dataclass(frozen=True)
class Sphere:
    center: np.ndarray
    radius: float

    def meet(self, origin: np.ndarray, directions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        a = (directions**2).sum(-1)
        b = directions @ (origin - self.center)
        c = ((origin - self.center) ** 2).sum() - self.radius**2
        root = b * b - a * c
        t = np.where(root > 0, (-b - np.sqrt(np.maximum(root, 0))) / a, np.inf)
        with np.errstate(invalid="ignore"):
            normal = np.nan_to_num((origin + t[..., None] * directions - self.center) / self.radius, posinf=0.0, neginf=0.0)
        return t, normal


def texture(points: np.ndarray, shortest: float, seed: int = 0, waves: int = 48) -> np.ndarray:
    """Grey 0..255 of a solid: a sum of waves of lengths between ``shortest`` and 16 times it. [..., 3] -> [...]"""
    random = np.random.default_rng(seed)
    directions = random.normal(size=(waves, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    k = directions * (2 * np.pi / (shortest * 16 ** random.random(waves)))[:, None]
    phase = random.random(waves) * 2 * np.pi
    total = sum(np.cos(points @ k[i] + phase[i]) for i in range(waves))
    return np.clip(128 + 60 * total / np.sqrt(waves / 2), 0, 255)


@dataclass(frozen=True)
class Shot:
    """grey uint8 [H, W]; depth along the axis float64 [H, W]; outward normal in camera axes [H, W, 3]."""

    eye: Eye
    grey: np.ndarray
    depth: np.ndarray
    normal: np.ndarray


def shoot(eye: Eye, things: list, shortest: float | None, plain: Plane | None = None, seed: int = 0) -> Shot:
    """What a camera sees of some things; ``plain`` is one without texture. 2 x 2 samples to a pixel; depth at its centre.

    ``shortest``: of the texture's waves; None: no picture is made, grey is 0.
    """

    def look(samples: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        directions = eye.rays(samples) @ eye.world_from_camera[:, :3].T
        origin = eye.world_from_camera[:, 3]
        met = [thing.meet(origin, directions) for thing in [*things, *([plain] if plain else [])]]
        depths = np.stack([m[0] for m in met])
        first = depths.argmin(0)
        depth = np.take_along_axis(depths, first[None], 0)[0]
        normal = np.take_along_axis(np.stack([m[1] for m in met]), first[None, ..., None], 0)[0]
        if shortest is None:
            return depth, normal, np.zeros_like(depth)
        grey = texture(origin + depth[..., None] * directions, shortest, seed)
        if plain:
            grey = np.where(first == len(things), 128.0, grey)
        return depth, normal, grey

    depth, normal, grey = look(1)
    if shortest is None:
        return Shot(eye, grey.astype(np.uint8), depth, normal @ eye.world_from_camera[:, :3])
    fine = look(2)[2]
    grey = fine.reshape(eye.height, 2, eye.width, 2).mean((1, 3))
    return Shot(eye, np.rint(grey).astype(np.uint8), depth, normal @ eye.world_from_camera[:, :3])


def around(target: np.ndarray, distance: float, degrees: float, size: int, f: float) -> list[Eye]:
    """A camera before the target and four turned by some degrees to either side, up and down."""
    eyes = []
    for x, y in [(0, 0), (-1, 0), (1, 0), (0, -1), (0, 1)]:
        a, b = np.radians(degrees) * x, np.radians(degrees) * y
        direction = np.array([np.sin(a), np.sin(b), -np.cos(a) * np.cos(b)])
        eyes.append(Eye(size, size, f, looking_at(target + distance * direction / np.linalg.norm(direction), target)))
    return eyes
