"""Pictures of meshes by ray casting on the CPU: no OpenGL, no display, the same pixels on every machine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from recon.data.scene import Camera
from recon.geometry import look_at
from recon.surface.mesh import Mesh, vertex_normals
from recon.surface.raycast import RayScene, cast, ray_scene
from recon.surface.texture import sample_texture

Shading = Literal["normals", "clay", "color"]
_RAYS = 2**18  # rays at once; about 150 MB with everything that is computed for them
_CLAY = np.array([0.78, 0.76, 0.73])


def render_mesh(
    mesh_world: Mesh | RayScene,
    camera: Camera,
    *,
    shading: Shading = "clay",
    supersample: int = 2,
    ambient_rays: int = 4,
) -> dict[str, np.ndarray]:
    """Render a mesh.

    Args:
        mesh_world: The mesh in world units, or :func:`recon.surface.raycast.ray_scene` of it if several pictures are wanted.
        camera: In the world.
        shading: "normals": ``(n + 1) / 2`` in world axes. "clay": a light at the camera's upper left and ambient occlusion. "color": the
            texture if there is one, else the vertex colours, without light; a mesh that has neither is shown as clay.
        supersample: Rays per pixel along each axis for ``rgb`` and ``alpha``.
        ambient_rays: Occlusion rays for each of these, for clay; 0 for none.
    Returns:
        ``rgb`` [H, W, 3] float32, sRGB in [0, 1], straight; ``alpha`` [H, W] float32, the share of the pixel that the mesh covers; and at
        the pixel's centre ``depth`` [H, W] float32, the distance along the ray in world units, 0 where there is nothing; ``normal``
        [H, W, 3] float32, unit, world axes, 0 where there is nothing; ``face`` [H, W] int32, -1 where there is nothing.
    """
    scene = mesh_world if isinstance(mesh_world, RayScene) else ray_scene(mesh_world)
    mesh = scene.mesh
    normals = mesh.normals if mesh.normals is not None else vertex_normals(mesh)
    if shading == "color" and mesh.texture is None and mesh.colors is None:
        shading = "clay"
    height, width = camera.height, camera.width
    out = {
        "rgb": np.zeros((height, width, 3), np.float32),
        "alpha": np.zeros((height, width), np.float32),
        "depth": np.zeros((height, width), np.float32),
        "normal": np.zeros((height, width, 3), np.float32),
        "face": np.full((height, width), -1, np.int32),
    }
    for rows in _strips(camera, 1):
        origins, directions = camera.rays(_pixels(camera, rows, 1))
        hits = cast(scene, origins.reshape(-1, 3), directions.reshape(-1, 3))
        shape = (len(rows), width)
        out["face"][rows] = hits.face.reshape(shape)
        out["depth"][rows] = np.where(hits.hit, hits.distance, 0).reshape(shape)
        n = np.zeros((len(hits.face), 3))
        n[hits.hit] = _shading_normals(mesh, normals, hits.face[hits.hit], hits.barycentric[hits.hit])
        out["normal"][rows] = n.reshape(*shape, 3)
    for rows in _strips(camera, supersample):
        origins, directions = (a.reshape(-1, 3) for a in camera.rays(_pixels(camera, rows, supersample)))
        hits = cast(scene, origins, directions)
        face, weights = hits.face[hits.hit], hits.barycentric[hits.hit]
        n = _shading_normals(mesh, normals, face, weights)
        if shading == "normals":
            color = 0.5 + 0.5 * n
        elif shading == "color":
            color = _surface_color(mesh, face, weights)
        else:
            points = origins[hits.hit] + hits.distance[hits.hit, None] * directions[hits.hit]
            color = _clay(scene, camera, points, directions[hits.hit], n, ambient_rays)
        rgba = np.zeros((len(hits.face), 4))
        rgba[hits.hit, :3], rgba[hits.hit, 3] = color, 1
        # The mean over a pixel's rays, of the covered ones for the colour.
        rgba = rgba.reshape(len(rows), supersample, width, supersample, 4).mean((1, 3))
        out["alpha"][rows] = rgba[..., 3]
        out["rgb"][rows] = rgba[..., :3] / np.maximum(rgba[..., 3:], 1e-9)
    return out


def over(picture: dict[str, np.ndarray], background: tuple[float, float, float] = (1.0, 1.0, 1.0)) -> np.ndarray:
    """``rgb`` over a plain background. [H, W, 3] uint8"""
    alpha = picture["alpha"][..., None]
    return np.rint(255 * np.clip(picture["rgb"] * alpha + np.asarray(background) * (1 - alpha), 0, 1)).astype(np.uint8)


def turntable_cameras(
    mesh_world: Mesh,
    frames: int,
    *,
    size: int = 512,
    up: Sequence[float] | np.ndarray = (0.0, 0.0, 1.0),
    elevation_deg: float = 20.0,
    first: np.ndarray | None = None,
) -> list[Camera]:
    """Square cameras around a mesh that show all of it.

    Args:
        mesh_world: The mesh in world units.
        frames: How many, evenly spaced over the full turn.
        size: Side of the pictures, pixels.
        up: World direction that is up in the pictures.
        elevation_deg: Height of the cameras above the mesh's middle, degrees, between -90 and 90.
        first: World direction from the mesh towards the first camera, but for its height; None, or along ``up``: any. [3]
    """
    axis = np.asarray(up, np.float64) / np.linalg.norm(up)
    a = np.zeros(3) if first is None else first - (first @ axis) * axis
    if np.linalg.norm(a) < 1e-6:
        a = np.cross(axis, [1.0, 0.0, 0.0] if abs(axis[0]) < 0.9 else [0.0, 1.0, 0.0])
    a /= np.linalg.norm(a)
    b = np.cross(axis, a)
    center = (mesh_world.vertices.min(0) + mesh_world.vertices.max(0)) / 2
    radius = max(float(np.linalg.norm(mesh_world.vertices - center, axis=1).max()), 1e-12)
    half_angle = np.radians(18.0)
    distance = radius / np.sin(half_angle)
    focal = size / 2 / np.tan(half_angle) * 0.96  # a narrow margin
    elevation = np.radians(elevation_deg)
    cameras = []
    for angle in 2 * np.pi * np.arange(frames) / frames:
        toward = np.cos(elevation) * (np.cos(angle) * a + np.sin(angle) * b) + np.sin(elevation) * axis
        pose = look_at(center + distance * toward, center, axis)
        cameras.append(Camera(size, size, focal, focal, size / 2, size / 2, pose))
    return cameras


def _strips(camera: Camera, supersample: int) -> Iterator[np.ndarray]:
    count = max(1, _RAYS // (camera.width * supersample**2))
    for start in range(0, camera.height, count):
        yield np.arange(start, min(start + count, camera.height))


def _pixels(camera: Camera, rows: np.ndarray, supersample: int) -> np.ndarray:
    """Ray positions in the order row, subrow, column, subcolumn. [R * S, W * S, 2]"""
    sub = (np.arange(supersample) + 0.5) / supersample
    y = (rows[:, None] + sub).ravel()
    x = (np.arange(camera.width)[:, None] + sub).ravel()
    return np.stack(np.meshgrid(x, y), axis=-1)


def _shading_normals(mesh: Mesh, normals: np.ndarray, face: np.ndarray, weights: np.ndarray) -> np.ndarray:
    n = np.einsum("nk,nkd->nd", weights, normals[mesh.faces[face]])
    return n / np.maximum(np.linalg.norm(n, axis=1, keepdims=True), 1e-12)


def _surface_color(mesh: Mesh, face: np.ndarray, weights: np.ndarray) -> np.ndarray:
    corners = mesh.faces[face]
    if mesh.texture is not None and mesh.uv is not None:
        return sample_texture(mesh.texture, np.einsum("nk,nkd->nd", weights, mesh.uv[corners]))
    assert mesh.colors is not None
    return np.einsum("nk,nkd->nd", weights, mesh.colors[corners] / 255.0)


def _clay(scene: RayScene, camera: Camera, points: np.ndarray, directions: np.ndarray, n: np.ndarray, ambient_rays: int) -> np.ndarray:
    n = np.where((n * directions).sum(1, keepdims=True) > 0, -n, n)  # the inside of an open mesh is lit too
    pose = camera.world_from_camera
    key = pose[:, :3] @ (np.array([-0.5, -0.7, -0.8]) / np.linalg.norm([0.5, 0.7, 0.8]))
    sky = -pose[:, 1]
    light = 0.62 * np.clip(n @ key, 0, None) + 0.15 * np.clip(-(n * directions).sum(1), 0, None)
    ambient = 0.34 * (0.75 + 0.25 * (n @ sky))
    if ambient_rays > 0 and len(points):
        ambient *= _ambient_occlusion(scene, points, n, ambient_rays)
    linear = _CLAY**2.2 * (light + ambient)[:, None] * 1.15
    return np.clip(linear, 0, 1) ** (1 / 2.2)


def _ambient_occlusion(scene: RayScene, points: np.ndarray, n: np.ndarray, count: int) -> np.ndarray:
    """Share of cosine-weighted directions in which nothing is near. [N] in [0, 1]"""
    reach = 0.35 * scene.scale
    origins = points + 1e-4 * scene.scale * n
    rng = np.random.default_rng(0)
    free = np.zeros(len(points))
    for _ in range(count):
        # A uniform direction on the sphere added to the normal is distributed by the cosine.
        v = rng.standard_normal((len(points), 3))
        v = n + v / np.linalg.norm(v, axis=1, keepdims=True)
        v /= np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-12)
        free += np.clip(cast(scene, origins, v).distance / reach, 0, 1)
    return free / count
