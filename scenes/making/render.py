"""Posed pictures of a solid by ray casting: colour with exact coverage, depth and normals.

Every view depends only on its own arguments: not on the number of threads, nor on the other views.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from recon.data.scene import Camera
from recon.errors import UsageError
from scenes.making.lighting import DAYLIGHT, Environment, shade
from scenes.making.materials import Material, hash_unit, to_srgb
from scenes.making.tracing import Tracer, dot

CHUNK_PIXELS = 16384
"""Pixels shaded at a time; with 16 samples a pixel that takes about 100 MB a thread."""
MAX_THREADS = 8
"""Most views rendered at once unless told otherwise; Embree's binding holds the interpreter's lock, so more gain little."""
_TILE = 8


@dataclass(frozen=True)
class RenderOptions:
    """How pictures are taken.

    Attributes:
        supersampling: Samples a pixel along each axis: 1, 2, 4 or 8. They average over the pixel (box filter).
        exposure_jitter: Standard deviation of the exposure from view to view, in stops.
        noise: Standard deviation of sensor noise, in parts of the full range of sRGB.
        blur_px: Standard deviation of a Gaussian blur, pixels.
        seed: For jitter and noise, and for the pattern of shadow rays.
        threads: Views rendered at once; None for one a core, at most :data:`MAX_THREADS`.
    """

    supersampling: int = 4
    exposure_jitter: float = 0.0
    noise: float = 0.0
    blur_px: float = 0.0
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        if self.supersampling not in (1, 2, 4, 8):
            raise UsageError(f"supersampling {self.supersampling} is not 1, 2, 4 or 8")
        if min(self.exposure_jitter, self.noise, self.blur_px) < 0 or (self.threads is not None and self.threads < 1):
            raise UsageError("exposure jitter, noise and blur must not be negative, threads must be at least 1")


def render_views(
    tracer: Tracer,
    cameras: Sequence[Camera],
    material: Material,
    options: RenderOptions = RenderOptions(),
    environment: Environment = DAYLIGHT,
) -> list[np.ndarray]:
    """Pictures from all cameras.

    Returns:
        sRGB with straight alpha, for each camera [H, W, 4] uint8. Where alpha is 0, colour is 0.
    """
    threads = options.threads or min(os.cpu_count() or 1, MAX_THREADS)

    def one(item: tuple[int, Camera]) -> np.ndarray:
        number, camera = item
        color, alpha = render_linear(tracer, camera, material, options.supersampling, options.seed + 7919 * number, environment)
        return develop(color, alpha, options, number)

    if threads == 1 or len(cameras) < 2:
        return [one(item) for item in enumerate(cameras)]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(one, enumerate(cameras)))


def render_linear(
    tracer: Tracer, camera: Camera, material: Material, supersampling: int = 4, seed: int = 0, environment: Environment = DAYLIGHT
) -> tuple[np.ndarray, np.ndarray]:
    """One picture in linear light.

    Returns:
        Premultiplied colour [H, W, 3] float32 and coverage [H, W] float32, both averaged over the area of the pixel: coverage, and
        colour where the object covers a part of the pixel, from all samples; colour inside the object from half of them.
    """
    samples = sample_pattern(supersampling)
    per_pixel = len(samples)
    halving = per_pixel > 4
    # of every pair of samples (2k, 2k + 1) one has an even number of bits; pairs share their place in the lattice of shadow rays
    half = np.bitwise_count(np.arange(per_pixel)) % 2 == 0 if halving else np.ones(per_pixel, bool)
    index = np.arange(per_pixel) // (2 if halving else 1)
    lattice = np.stack([(index + 0.5) / (index.max() + 1), index * 0.6180339887498949 % 1], 1).astype(np.float32)
    lesser = index % 2 == 0
    color = np.zeros((camera.height * camera.width, 3), np.float32)
    alpha = np.zeros(camera.height * camera.width, np.float32)
    pixels = np.flatnonzero(covered_pixels(tracer, camera))
    origin = tracer.to_local(camera.center)
    for first in range(0, len(pixels), CHUNK_PIXELS):
        chunk = pixels[first : first + CHUNK_PIXELS]
        corner = np.stack([chunk % camera.width, chunk // camera.width], 1)
        directions = ray_directions(camera, (corner[:, None] + samples).reshape(-1, 2))
        triangle, u, v = tracer.closest(np.broadcast_to(origin, directions.shape), directions)
        hits = (triangle >= 0).reshape(-1, per_pixel)
        count = hits.sum(1)
        # inside the object half of the samples, every other one in both axes, are enough for its texture and its light
        shaded = hits & ((count < per_pixel)[:, None] | half)
        hit = np.flatnonzero(shaded.ravel())
        sample, pixel = hit % per_pixel, hit // per_pixel
        turn = np.stack([hash_unit(chunk, seed), hash_unit(chunk, seed + 1)], 1)[pixel]
        chance = np.modf(lattice[sample] + turn)[0]
        light = shade(tracer, triangle[hit], u[hit], v[hit], directions[hit], chance, lesser[sample], material, environment)
        weight = count / np.maximum(shaded.sum(1), 1) / per_pixel
        for k in range(3):
            color[chunk, k] = np.bincount(pixel, weights=np.minimum(light[:, k], 4.0), minlength=len(chunk)) * weight
        alpha[chunk] = count / per_pixel
    shape = (camera.height, camera.width)
    return color.reshape(*shape, 3), alpha.reshape(shape)


def ray_directions(camera: Camera, pixels: np.ndarray) -> np.ndarray:
    """:meth:`Camera.rays` for many rays: worked out in float64, unit directions in float32. [N, 2] -> [N, 3]"""
    x, y = (pixels[:, 0] - camera.cx) / camera.fx, (pixels[:, 1] - camera.cy) / camera.fy
    size = 1 / np.sqrt(x * x + y * y + 1)
    result = np.empty((len(pixels), 3), np.float32)
    for k in range(3):
        a, b, c = camera.world_from_camera[k, :3]
        result[:, k] = (a * x + b * y + c) * size
    return result


def sample_pattern(supersampling: int) -> np.ndarray:
    """Places in the unit pixel, one in every row and every column of an S² x S² raster: an edge along either axis is
    resolved to 1/S². [S², 2]"""
    count = supersampling**2
    bits = count.bit_length() - 1
    index = np.arange(count)
    reversed_index = sum(((index >> b) & 1) << (bits - 1 - b) for b in range(bits)) + np.zeros(count, int)
    return (np.stack([index, reversed_index], 1) + 0.5) / count


def covered_pixels(tracer: Tracer, camera: Camera) -> np.ndarray:
    """Pixels that the solid may touch: tiles under the bounding boxes of its projected triangles. [H, W] bool, never too few"""
    uv, z = camera.project(tracer.to_world(tracer.corners.reshape(-1, 3)))
    if (z <= 0).any():
        return np.ones((camera.height, camera.width), bool)
    rows, columns = -(-camera.height // _TILE), -(-camera.width // _TILE)
    tile = np.floor(uv.reshape(-1, 3, 2) / _TILE).astype(np.int64)
    low, high = tile.min(1), tile.max(1) + 1
    bound = np.array([columns, rows])
    low, high = np.clip(low, 0, bound), np.clip(high, 0, bound)
    # a difference table: +1 at the first tile of a box, -1 after its last, summed up along both axes
    table = np.zeros((rows + 1, columns + 1), np.int64)
    for y, x, sign in ((low[:, 1], low[:, 0], 1), (low[:, 1], high[:, 0], -1), (high[:, 1], low[:, 0], -1), (high[:, 1], high[:, 0], 1)):
        np.add.at(table, (y, x), sign)
    active = table.cumsum(0).cumsum(1)[:rows, :columns] > 0
    return np.kron(active, np.ones((_TILE, _TILE), bool))[: camera.height, : camera.width]


def develop(color: np.ndarray, alpha: np.ndarray, options: RenderOptions, number: int) -> np.ndarray:
    """From linear premultiplied colour and coverage to an 8-bit picture.

    Blur acts on premultiplied colour and on coverage; exposure on linear light; highlights above 0.8 are rolled off; noise is added in
    sRGB inside the object.

    Returns:
        sRGB with straight alpha. [H, W, 4] uint8
    """
    chance = np.random.default_rng([options.seed, number])
    if options.blur_px > 0:
        from scipy.ndimage import gaussian_filter

        color = np.stack([gaussian_filter(color[..., k], options.blur_px, mode="constant") for k in range(3)], -1)
        alpha = gaussian_filter(alpha, options.blur_px, mode="constant")
    gain = 2.0 ** (options.exposure_jitter * chance.standard_normal())
    straight = gain * color / np.maximum(alpha, 1e-6)[..., None]
    over = np.maximum(straight - 0.8, 0)
    srgb = to_srgb(np.minimum(straight, 0.8) + 0.2 * over / (over + 0.2))
    if options.noise > 0:
        srgb = srgb + options.noise * chance.standard_normal(srgb.shape)
    coverage = np.round(alpha * 255)
    picture = np.concatenate([np.round(np.clip(srgb, 0, 1) * 255) * (coverage > 0)[..., None], coverage[..., None]], -1)
    return picture.astype(np.uint8)


@dataclass(frozen=True)
class Geometry:
    """What the surface looks like through the centres of the pixels.

    Attributes:
        distance: Along the ray from the camera's centre, world units; infinite where nothing is hit. [H, W] float64
        depth_z: Along the optical axis, world units; infinite where nothing is hit. [H, W] float64
        normal: Outward unit normal of the smooth surface in the world; 0 where nothing is hit. [H, W, 3] float32
    """

    distance: np.ndarray
    depth_z: np.ndarray
    normal: np.ndarray


def render_geometry(tracer: Tracer, camera: Camera) -> Geometry:
    """Depth and normals through the pixels' centres, exact for the mesh (planes intersected in float64)."""
    row, column = np.mgrid[: camera.height, : camera.width]
    _, directions = camera.rays(np.stack([column + 0.5, row + 0.5], -1).reshape(-1, 2))
    origins = np.broadcast_to(tracer.to_local(camera.center), directions.shape)
    local, triangle = tracer.distance(origins, directions)
    hit = triangle >= 0
    normal = np.zeros((len(directions), 3), np.float32)
    points = origins[hit] + directions[hit] * local[hit, None]
    corner = tracer.corners[triangle[hit]]
    a, b, c = corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0], points - corner[:, 0]
    aa, ab, bb, ac, bc = dot(a, a), dot(a, b), dot(b, b), dot(a, c), dot(b, c)
    determinant = np.maximum(aa * bb - ab * ab, 1e-300)
    u, v = (bb * ac - ab * bc) / determinant, (aa * bc - ab * ac) / determinant
    normal[hit] = tracer.interpolate(triangle[hit], u, v)[1]
    distance = (local * tracer.radius).reshape(row.shape)
    cosine = (directions @ camera.world_from_camera[:, 2]).reshape(row.shape)
    return Geometry(distance, distance * cosine, normal.reshape(*row.shape, 3))
