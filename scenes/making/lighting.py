"""Light from a sky with soft lamps on a solid: shadows, ambient occlusion, diffuse and glossy reflection.

All radiances are linear; a white matt surface that faces a lamp of strength 1 head on has radiance 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from scenes.making.materials import Color, Material, albedo
from scenes.making.tracing import SURFACE_OFFSET, Tracer, dot


@dataclass(frozen=True)
class Lamp:
    """A distant round lamp.

    Attributes:
        direction: Towards it, any length, world axes.
        color: Strength, linear.
        spread: Tangent of its angular radius: softness of its shadows.
    """

    direction: Color
    color: Color
    spread: float


@dataclass(frozen=True)
class Environment:
    """A sky that goes from ground over horizon to zenith (along world z), and lamps. The first lamp is sampled most."""

    ground: Color = (0.30, 0.285, 0.27)
    horizon: Color = (0.42, 0.43, 0.44)
    zenith: Color = (0.38, 0.43, 0.50)
    lamps: tuple[Lamp, Lamp, Lamp] = (
        Lamp((0.55, -0.62, 0.75), (0.86, 0.81, 0.73), 0.14),
        Lamp((-0.85, -0.25, 0.10), (0.22, 0.26, 0.31), 0.30),
        Lamp((0.15, 0.90, -0.30), (0.34, 0.31, 0.28), 0.30),
    )
    bounce: float = 0.35

    def sky(self, z: np.ndarray) -> np.ndarray:
        """Radiance from directions with this z component. [N] -> [N, 3] float32"""
        up = np.clip(z, 0, 1)
        down = np.clip(-4 * z, 0, 1)
        result = np.empty((len(z), 3), np.float32)
        for k in range(3):
            result[:, k] = self.horizon[k] + up * (self.zenith[k] - self.horizon[k]) + down * (self.ground[k] - self.horizon[k])
        return result


DAYLIGHT = Environment()


def shade(
    tracer: Tracer,
    triangle: np.ndarray,
    u: np.ndarray,
    v: np.ndarray,
    directions: np.ndarray,
    chance: np.ndarray,
    even: np.ndarray,
    material: Material,
    environment: Environment,
) -> np.ndarray:
    """Radiance towards the camera of points seen by rays.

    Args:
        tracer: The solid.
        triangle, u, v: What each ray hit. [N] each
        directions: Of the rays, unit length. [N, 3] float32
        chance: Two numbers in [0, 1) a ray, well spread over the rays of one pixel. [N, 2] float32
        even: Which of the two lesser lamps the ray looks at. [N] bool
        material, environment: What it is made of and lit by.
    Returns:
        Linear colour. [N, 3] float32
    """
    points, normals, lifted = tracer.interpolate(triangle, u, v)
    count = len(points)
    start = lifted + tracer.flat[triangle] * np.float32(SURFACE_OFFSET)
    color = albedo(material, points, tracer.to_world(points.astype(np.float64)))

    sky_rays = [_around(normals, chance, k) for k in range(2)]
    lamps = environment.lamps
    key = _towards(lamps[0], chance)
    lesser = np.where(even[:, None], _towards(lamps[1], chance), _towards(lamps[2], chance))
    facing = [np.maximum(dot(normals, light), 0) for light in (key, lesser)]
    lit = [np.flatnonzero(f > 0) for f in facing]
    blocked = tracer.occluded(
        np.concatenate([start, start, start[lit[0]], start[lit[1]]]), np.concatenate([*sky_rays, key[lit[0]], lesser[lit[1]]])
    )
    open_sky = ~blocked[: 2 * count].reshape(2, count)
    mean_bounce = environment.bounce * np.array(environment.horizon, np.float32) * color
    ambient = np.zeros((count, 3), np.float32)
    for free, ray in zip(open_sky, sky_rays, strict=True):
        ambient += np.where(free[:, None], environment.sky(ray[:, 2]), mean_bounce)
    diffuse = 0.5 * ambient

    view = -directions
    toward = np.maximum(dot(normals, view), 1e-3)
    exponent = np.float32(2 / material.roughness**4 - 2) if material.roughness < 1 else np.float32(0)
    gloss = np.zeros((count, 3), np.float32)
    offset = 2 * count
    strengths = (np.array(lamps[0].color, np.float32), None)
    for number, (light, cosine, index) in enumerate(zip((key, lesser), facing, lit, strict=True)):
        seen = np.zeros(count, np.float32)
        seen[index] = ~blocked[offset : offset + len(index)]
        offset += len(index)
        strength = strengths[number]
        if strength is None:  # one of two lamps is looked at, so it counts twice
            strength = 2 * np.where(even[:, None], np.array(lamps[1].color, np.float32), np.array(lamps[2].color, np.float32))
        arriving = (seen * cosine)[:, None] * strength
        diffuse += arriving
        if material.specular > 0:
            half = light + view
            half /= np.sqrt(dot(half, half) + np.float32(1e-12))[:, None]
            lobe = np.maximum(dot(half, normals), 1e-6) ** exponent * ((exponent + 8) / 8)
            gloss += arriving * (lobe * _fresnel(material.specular, dot(half, view)))[:, None]
    result = color * diffuse
    if material.specular > 0:
        mirrored_z = 2 * toward * normals[:, 2] - view[:, 2]
        grazing = _fresnel(material.specular, toward) * (1 - 0.6 * material.roughness) * open_sky.mean(0, dtype=np.float32)
        result += gloss + grazing[:, None] * environment.sky(mirrored_z)
    return result


def _fresnel(normal_incidence: float, cosine: np.ndarray) -> np.ndarray:
    """Schlick's approximation."""
    return (normal_incidence + (1 - normal_incidence) * np.clip(1 - cosine, 0, 1) ** 5).astype(np.float32)


def _around(normals: np.ndarray, chance: np.ndarray, number: int) -> np.ndarray:
    """Directions with density proportional to the cosine with the normal: normal plus a point of the unit sphere. [N, 3] float32"""
    # the second direction of a sample sits half a period away from the first
    z = 1 - 2 * np.modf(chance[:, 0] + np.float32(0.5 * number))[0]
    turn = (chance[:, 1] + np.float32(0.25 * number)) * np.float32(2 * math.pi)
    r = np.sqrt(np.maximum(1 - z * z, 0))
    d = normals + np.float32(0.999) * np.stack([r * np.cos(turn), r * np.sin(turn), z], 1)
    return d / np.sqrt(dot(d, d))[:, None]


def _towards(lamp: Lamp, chance: np.ndarray) -> np.ndarray:
    """Unit directions spread evenly over the disc of a lamp. [N, 3] float32"""
    axis = np.array(lamp.direction) / np.linalg.norm(lamp.direction)
    across = np.cross(axis, [0.0, 0.0, 1.0] if abs(axis[2]) < 0.9 else [1.0, 0.0, 0.0])
    across /= np.linalg.norm(across)
    other = np.cross(axis, across)
    r = np.sqrt(chance[:, 0]) * np.float32(lamp.spread)
    turn = chance[:, 1] * np.float32(2 * math.pi)
    size = 1 / np.sqrt(1 + r * r)
    local = (r * np.cos(turn) * size, r * np.sin(turn) * size, size)
    result = np.empty((len(r), 3), np.float32)
    for k in range(3):
        result[:, k] = local[0] * np.float32(across[k]) + local[1] * np.float32(other[k]) + local[2] * np.float32(axis[k])
    return result
