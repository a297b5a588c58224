"""What closes, and what goes on: shapes by formula, seen from one side."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from skimage.measure import marching_cubes

import kernels
from recon.console import Reporter
from recon.data.scene import Camera
from recon.results.mesh import trim_mesh
from recon.stereo.ends import LEAST_CLOSED, Ends
from recon.stereo.outline import closed_share
from recon.surface.mesh import Mesh, face_cross
from recon.surface.raycast import ray_scene, visible
from tests.stereo_scenes import looking_at

OPEN_FOR = {"auto": None, "yes": False, "no": True}
Formula = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]


def mesh_of(formula: Formula) -> Mesh:
    """Cut off at the unit sphere, as an extracted surface is."""
    axis = np.linspace(-1, 1, 64)
    x, y, z = np.meshgrid(axis, axis, axis, indexing="ij")
    value = np.maximum(formula(x, y, z), np.sqrt(x * x + y * y + z * z) - 0.985)
    vertices, faces, _, _ = marching_cubes(value, 0.0)
    return Mesh(vertices / 63 * 2 - 1, faces.astype(np.int32))


def camera_at(direction: list[float], focal: float = 150.0) -> Camera:
    eye = 3.0 * np.array(direction) / np.linalg.norm(direction)
    return Camera(128, 128, focal, focal, 64.0, 64.0, looking_at(eye, np.zeros(3)))


def front(focal: float = 150.0) -> list[Camera]:
    """Nine cameras on the side of -z."""
    return [camera_at([x, y, -1.0], focal) for x in (-0.8, 0.0, 0.8) for y in (-0.5, 0.0, 0.5)]


def seen_faces(mesh: Mesh, cameras: list[Camera]) -> np.ndarray:
    """Faces that two cameras see, less aslant than 75 degrees, in their pictures and within 0.95 of the sphere."""
    middle, normal = mesh.vertices[mesh.faces].mean(1), face_cross(mesh)
    normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    if ((middle - middle.mean(0)) * normal).sum(1).mean() < 0:
        normal = -normal
    scene, count = ray_scene(mesh), np.zeros(len(middle), int)
    for camera in cameras:
        to = camera.center - middle
        facing = (to * normal).sum(1) > np.cos(np.radians(75)) * np.linalg.norm(to, axis=1)
        uv, z = camera.project(middle)
        inside = (z > 0) & (uv > 2).all(1) & (uv < 126).all(1)
        count += facing & inside & visible(scene, middle, camera.center, 0.02)
    return (count >= 2) & (np.linalg.norm(middle, axis=1) < 0.95)


def ball(x, y, z, radius=0.45):
    return np.sqrt(x * x + y * y + z * z) - radius


def box(x, y, z, half=(0.4, 0.3, 0.35)):
    return np.maximum(np.maximum(np.abs(x) - half[0], np.abs(y) - half[1]), np.abs(z) - half[2])


def relief(x, y, z):
    """A wall through the sphere, with columns."""
    return 0.2 - z - 0.12 * (np.abs(np.abs(x) - 0.4) < 0.1)


def street(x, y, z):
    """A house front, the wall that it stands in, and the ground before both (y is down in these pictures)."""
    return np.minimum(box(x, y, z - 0.45, (0.5, 0.45, 0.3)), np.minimum(0.4 - y, 0.55 - z))


CLOSED = [("ball", ball, 0.7), ("box", box, 0.7), ("small ball", lambda x, y, z: ball(x, y, z, 0.2), 0.7)]
OPEN = [
    ("relief", relief, 0.15),
    ("ball in a wall", lambda x, y, z: np.minimum(ball(x, y, z), 0.1 - z), 0.3),
    ("street", street, 0.5),
]


@pytest.mark.parametrize(("name", "formula", "least"), CLOSED, ids=[c[0] for c in CLOSED])
def test_an_object_closes(name: str, formula: Formula, least: float) -> None:
    mesh, cameras = mesh_of(formula), front()
    assert closed_share(mesh, seen_faces(mesh, cameras), cameras) > least


@pytest.mark.parametrize(("name", "formula", "most"), OPEN, ids=[c[0] for c in OPEN])
def test_what_goes_on_does_not(name: str, formula: Formula, most: float) -> None:
    mesh, cameras = mesh_of(formula), front()
    assert closed_share(mesh, seen_faces(mesh, cameras), cameras) < most


def test_a_missing_half_counts_by_its_border() -> None:
    """One half of a ball had nothing to match: of the border of what is left half a circle is its outline, a meridian mostly is not."""
    mesh, cameras = mesh_of(ball), [camera_at([x, 0.0, -1.0]) for x in (-0.2, 0.0, 0.2)]
    seen = seen_faces(mesh, cameras)
    half = seen & (mesh.vertices[mesh.faces].mean(1)[:, 0] > 0)
    assert 0.4 < closed_share(mesh, half, cameras) < 0.85 < closed_share(mesh, seen, cameras)


def test_what_pictures_cut_off_goes_on() -> None:
    """The same ball, larger than every picture."""
    mesh, cameras = mesh_of(ball), front(700.0)
    assert closed_share(mesh, seen_faces(mesh, cameras), cameras) < 0.2


@pytest.mark.parametrize(("whole", "share"), [(True, 1.0), (False, 0.0)])
def test_without_a_border(whole: bool, share: float) -> None:
    mesh = mesh_of(ball)
    assert closed_share(mesh, np.full(len(mesh.faces), whole), front()) == share


@pytest.mark.parametrize(
    ("formula", "closed", "trimmed"), [(ball, "auto", False), (relief, "auto", True), (ball, "no", True), (relief, "yes", False)]
)
def test_the_mesh_is_trimmed_where_it_goes_on(formula: Formula, closed: str, trimmed: bool) -> None:
    mesh, cameras = mesh_of(formula), front()
    points = mesh.vertices[mesh.faces[seen_faces(mesh, cameras)].ravel()].astype(np.float32)
    ends = Ends(kernels.knn_index(torch.from_numpy(points)), np.full(len(points), 3, np.uint8), 0.02, cameras, OPEN_FOR[closed])
    with Reporter(quiet=True) as reporter:
        left, was, outline = trim_mesh(mesh, ends, reporter)
    assert was == trimmed
    assert (len(left.faces) < len(mesh.faces)) == trimmed
    assert (outline is None) == (closed != "auto")
    assert outline is None or (outline > LEAST_CLOSED) != trimmed
