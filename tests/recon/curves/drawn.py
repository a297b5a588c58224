"""2D edges drawn from known 3D curves: exact projections with chosen noise, so that everything after the detector can be tested alone."""

from __future__ import annotations

import numpy as np

from recon.curves.edges2d.edges import KIND_INTENSITY, KIND_SILHOUETTE, Edges, EdgeView
from recon.curves.files.curve import Curve, ellipse, line
from recon.curves.wireframe.evidence import Evidence, gather_evidence
from recon.data.scene import Camera
from recon.geometry import Similarity

SIZE, FOCAL, DISTANCE = 400, 500.0, 4.0


def cameras(count: int) -> list[Camera]:
    """Cameras on a sphere around the origin (Fibonacci), looking at it."""
    k = np.arange(count) + 0.5
    z = 1 - 2 * k / count
    angle = np.pi * (1 + 5**0.5) * k
    found = []
    for x, y, h in zip(np.cos(angle) * np.sqrt(1 - z**2), np.sin(angle) * np.sqrt(1 - z**2), z, strict=True):
        forward = -np.array([x, y, h])
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        rotation = np.stack([right, np.cross(forward, right), forward], axis=1)
        pose = np.concatenate([rotation, (-DISTANCE * forward)[:, None]], axis=1)
        found.append(Camera(SIZE, SIZE, FOCAL, FOCAL, SIZE / 2, SIZE / 2, pose))
    return found


def draw(curves: list[Curve], count: int = 24, noise_px: float = 0.0, seed: int = 0, step_px: float = 0.7) -> Edges:
    """All curves in all views, nothing hidden."""
    rng = np.random.default_rng(seed)
    samples = [c.sample(step_px * DISTANCE / FOCAL) for c in curves]
    points, directions = (np.concatenate([s[i] for s in samples]) for i in (0, 1))
    views = []
    for i, camera in enumerate(cameras(count)):
        uv, z = camera.project(points)
        ahead = camera.project(points + 1e-5 * directions)[0]
        flow = (ahead - uv) / np.maximum(np.linalg.norm(ahead - uv, axis=1, keepdims=True), 1e-12)
        normals = np.stack([-flow[:, 1], flow[:, 0]], axis=1)
        uv = uv + rng.normal(scale=noise_px, size=(len(uv), 1)) * normals if noise_px else uv
        assert (z > 0).all()
        kinds = np.full(len(uv), KIND_INTENSITY, np.uint8)
        ones = np.ones(len(uv), np.float32)
        strength = np.zeros((SIZE, SIZE), np.float32)
        row, column = np.clip(uv[:, 1].astype(int), 0, SIZE - 1), np.clip(uv[:, 0].astype(int), 0, SIZE - 1)
        strength[row, column] = 1.0
        views.append(EdgeView(f"{i}.png", camera, strength, uv.astype(np.float32), normals.astype(np.float32), ones, kinds))
    return Edges(tuple(views), "drawn", False, ())


def draw_contours(radius: float, count: int, half_height: float = 0.4) -> Edges:
    """The two outlines of a cylinder about the z axis in every view, normals outwards; radius 0: one sharp edge. Views from nearly above
    are left out."""
    views = []
    for i, camera in enumerate(cameras(count)):
        flat = camera.center * np.array([1.0, 1.0, 0.0])
        distance = np.linalg.norm(flat)
        if distance < 2 * radius + 0.5:
            continue
        points, normals = [], []
        for side in (1, -1) if radius else (1,):
            angle = np.arctan2(flat[1], flat[0]) + side * np.arccos(radius / distance)  # where the plane through the eye touches
            out = np.array([np.cos(angle), np.sin(angle), 0.0])
            p = radius * out + np.linspace(-half_height, half_height, 160)[:, None] * np.array([0, 0, 1.0])
            uv = camera.project(p)[0]
            away = camera.project(p + 1e-4 * out)[0] - uv
            along = camera.project(p + np.array([0, 0, 1e-4]))[0] - uv
            normal = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
            points.append(uv)
            normals.append(normal * np.sign((normal * away).sum(1, keepdims=True)))
        uv, normal = np.concatenate(points).astype(np.float32), np.concatenate(normals).astype(np.float32)
        kinds = np.full(len(uv), KIND_SILHOUETTE, np.uint8)
        strength = np.zeros((SIZE, SIZE), np.float32)
        views.append(EdgeView(f"{i}.png", camera, strength, uv, normal, np.ones(len(uv), np.float32), kinds))
    return Edges(tuple(views), "contours", False, ())


def pixel_frame(edges: Edges) -> tuple[Evidence, Similarity]:
    """Evidence in pixels at the centre, and frame_from_world."""
    pixel = gather_evidence(edges, Similarity()).pixel
    frame = Similarity(1.0 / pixel)
    return gather_evidence(edges, frame), frame


def box_edges(half: float = 0.5) -> list[Curve]:
    """The twelve edges of a cube."""
    corners = half * np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], np.float64)
    pairs = [(i, j) for i in range(8) for j in range(i) if np.isclose(np.linalg.norm(corners[i] - corners[j]), 2 * half)]
    return [line(corners[i], corners[j], vertices=(0, 1)) for i, j in pairs]


def circle_edge(center=(0.0, 0.0, 0.0), radius: float = 0.4, normal_tilt: float = 0.3) -> Curve:
    """A tilted circle."""
    x = np.array([np.cos(normal_tilt), 0.0, np.sin(normal_tilt)])
    return ellipse(np.array(center), x, np.array([0.0, 1.0, 0.0]), (radius, radius), (0.0, 2 * np.pi), True, vertices=None)
