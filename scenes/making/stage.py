"""Pictures of a solid among other things: on its table in a room, before a street. Every pixel shows something; there is no alpha."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import maximum_filter, minimum_filter

from recon.data.scene import Camera
from scenes.making.lighting import DAYLIGHT, Environment, shade
from scenes.making.materials import Material, albedo, hash_unit
from scenes.making.render import CHUNK_PIXELS, MAX_THREADS, RenderOptions, develop, ray_directions, sample_pattern
from scenes.making.solid import Solid
from scenes.making.tracing import Tracer, tracer


@dataclass(frozen=True)
class Part:
    """One of the things in a picture.

    Attributes:
        name: What it is.
        solid: Its surface, world units.
        material: What it is made of.
        glows: It is as bright as its colour, whatever the light, and casts no shadow: far walls and windows.
    """

    name: str
    solid: Solid
    material: Material
    glows: bool = False


@dataclass(frozen=True)
class Stage:
    """Parts made ready for ray casting. Build it with :func:`stage`.

    Attributes:
        parts: Which.
        tracer: Over the triangles of all parts, in units of the first part's radius about its centre.
        part: Of each triangle. [F] int32
    """

    parts: tuple[Part, ...]
    tracer: Tracer
    part: np.ndarray


def together(solids: Sequence[Solid]) -> Solid:
    """Several solids as one, without curves; ``patches`` is the number of the solid that each triangle is of."""
    corners = np.cumsum([0, *(len(s.vertices) for s in solids)])
    normals = np.cumsum([0, *(len(s.normals) for s in solids)])
    return Solid(
        np.concatenate([s.vertices for s in solids]),
        np.concatenate([s.faces + c for s, c in zip(solids, corners, strict=False)]).astype(np.int32),
        np.concatenate([s.normals for s in solids]),
        np.concatenate([s.normal_faces + n for s, n in zip(solids, normals, strict=False)]).astype(np.int32),
        np.repeat(np.arange(len(solids)), [len(s.faces) for s in solids]).astype(np.int32),
        np.zeros((0, 3)),
    )


def stage(parts: Sequence[Part]) -> Stage:
    """Make parts ready for ray casting; patterns are as large as they are on the first part alone."""
    whole, first = together([p.solid for p in parts]), parts[0].solid
    dark = ~np.array([p.glows for p in parts])[whole.patches]
    return Stage(tuple(parts), tracer(whole, (first.center, first.radius), dark), whole.patches)


def render_stage(ready: Stage, cameras: Sequence[Camera], options: RenderOptions, environment: Environment = DAYLIGHT) -> list[np.ndarray]:
    """Pictures from all cameras.

    Returns:
        sRGB, for each camera [H, W, 3] uint8.
    """
    threads = options.threads or min(os.cpu_count() or 1, MAX_THREADS)

    def one(item: tuple[int, Camera]) -> np.ndarray:
        number, camera = item
        color = stage_linear(ready, camera, options.supersampling, options.seed + 7919 * number, environment)
        return np.ascontiguousarray(develop(color, np.ones(color.shape[:2], np.float32), options, number)[..., :3])

    if threads == 1 or len(cameras) < 2:
        return [one(item) for item in enumerate(cameras)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, enumerate(cameras)))


def stage_linear(ready: Stage, camera: Camera, supersampling: int = 4, seed: int = 0, environment: Environment = DAYLIGHT) -> np.ndarray:
    """One picture in linear light. [H, W, 3] float32

    Four samples are looked at first. Where they, and those of the pixels around, meet one part that is not the first, they are enough;
    elsewhere all are cast, and shaded where parts meet; inside the first part half of them.
    """
    samples = sample_pattern(supersampling)
    index = np.arange(len(samples))
    halving = len(samples) > 4
    few = (len(samples) - 1) // 3 * np.arange(4) if halving else index
    half = np.bitwise_count(index) % 2 == 0 if halving else np.ones(len(samples), bool)
    color = np.zeros((camera.height * camera.width, 3), np.float32)
    rows = max(1, CHUNK_PIXELS // camera.width)
    for first in range(0, camera.height, rows):
        chunk = np.arange(first * camera.width, min(first + rows, camera.height) * camera.width)
        coarse = _cast(ready, camera, chunk, samples[few])
        low, high = (f(coarse.part, axis=1).reshape(-1, camera.width) for f in (np.min, np.max))
        alike = minimum_filter(low, 3, mode="constant", cval=-1) == maximum_filter(high, 3, mode="constant", cval=-1)
        plain = alike.ravel() & (coarse.part[:, 0] > 0)
        _add_light(color, ready, coarse, chunk, np.broadcast_to(plain[:, None], coarse.part.shape), few, len(samples), seed, environment)
        rest = chunk[~plain]
        fine = _cast(ready, camera, rest, samples)
        whole = (fine.part == fine.part[:, :1]).all(1)
        _add_light(color, ready, fine, rest, ~whole[:, None] | half, index, len(samples), seed, environment)
    return color.reshape(camera.height, camera.width, 3)


@dataclass(frozen=True)
class _Cast:
    """What the rays through some samples of some pixels meet; all [P, S], directions [P * S, 3]. The part after the last: nothing."""

    triangle: np.ndarray
    u: np.ndarray
    v: np.ndarray
    part: np.ndarray
    directions: np.ndarray


def _cast(ready: Stage, camera: Camera, pixels: np.ndarray, samples: np.ndarray) -> _Cast:
    corner = np.stack([pixels % camera.width, pixels // camera.width], 1)
    directions = ray_directions(camera, (corner[:, None] + samples).reshape(-1, 2))
    origin = ready.tracer.to_local(camera.center)
    triangle, u, v = ready.tracer.closest(np.broadcast_to(origin, directions.shape), directions)
    part = np.where(triangle >= 0, ready.part[triangle], len(ready.parts))
    shape = (len(pixels), len(samples))
    return _Cast(triangle.reshape(shape), u.reshape(shape), v.reshape(shape), part.reshape(shape), directions)


def _add_light(
    color: np.ndarray,
    ready: Stage,
    cast: _Cast,
    pixels: np.ndarray,
    shaded: np.ndarray,
    number: np.ndarray,
    per_pixel: int,
    seed: int,
    environment: Environment,
) -> None:
    """Add the mean light of the ``shaded`` samples [P, S] of pixels to ``color``; ``number`` [S] is each sample's among ``per_pixel``."""
    place = number // (2 if per_pixel > 4 else 1)
    last = (per_pixel - 1) // (2 if per_pixel > 4 else 1)
    lattice = np.stack([(place + 0.5) / (last + 1), place * 0.6180339887498949 % 1], 1).astype(np.float32)
    weight = 1.0 / np.maximum(shaded.sum(1), 1)
    for which in np.unique(cast.part):
        some = np.flatnonzero((shaded & (cast.part == which)).ravel())
        row, sample = some // len(number), some % len(number)
        hit = cast.triangle.ravel()[some], cast.u.ravel()[some], cast.v.ravel()[some]
        if which == len(ready.parts):
            light = environment.sky(cast.directions[some][:, 2])
        elif ready.parts[which].glows:
            points = ready.tracer.interpolate(*hit)[0]
            light = albedo(ready.parts[which].material, points, ready.tracer.to_world(points.astype(np.float64)))
        else:
            turn = np.stack([hash_unit(pixels, seed), hash_unit(pixels, seed + 1)], 1)[row]
            chance, lesser = np.modf(lattice[sample] + turn)[0], place[sample] % 2 == 0
            light = shade(ready.tracer, *hit, cast.directions[some], chance, lesser, ready.parts[which].material, environment)
        for k in range(3):
            total = np.bincount(row, weights=np.minimum(light[:, k], 4.0), minlength=len(pixels))
            color[pixels, k] += (total * weight).astype(np.float32)
