"""Pictures of a finished run for the report: photograph, render, normals, mesh, curves, and distances to the truth as colours."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from recon.curves.drawing import overlay
from recon.curves.files.wireframe import Wireframe, load
from recon.data.scene import Camera, Scene
from recon.evaluation.curves_exact import SPACING, distances
from recon.evaluation.surfaces import point_to_mesh
from recon.evaluation.truth.curves import CurveTruth
from recon.evaluation.truth.known import GroundTruth
from recon.methods.base import Method
from recon.rendering.image import normal_picture, render_view, to_uint8
from recon.rendering.meshes import over, render_mesh
from recon.results.evaluation import photograph
from recon.runs import Run
from recon.surface.mesh import Mesh, face_cross
from recon.surface.raycast import RayScene, cast, ray_scene
from recon.surface.reading import read_mesh
from scenes.benchmark.jobs import write_json
from scenes.benchmark.scale import CURVE_ERROR_SHARE, ERROR_SHARE, scale_color

VIEWS = 2
SIZE = 320
"""Longer side of the pictures, pixels; at most about 100,000 rays each."""
JPEG_QUALITY = 88
LINE_DARKNESS = 0.8
"""Lines are darker than the scale by this factor: its middle is too pale for them."""


def make_panels(run: Run, method: Method, scene: Scene, truth: GroundTruth, folder: Path) -> dict:
    """Write JPEG pictures of a few held-out views (training views if none are held out) and ``pictures.json``.

    Args:
        run: Its exported mesh is shown if there is one.
        method: The trained model.
        scene: Its data.
        truth: What is known of the object.
        folder: Where they go.
    Returns:
        What ``pictures.json`` holds: ``{"views": [{"view": name, "panels": {kind: file}}], "error_scale": greatest coloured distance in
        world units or None, "unit": name or None}``; kinds are
        "photograph", "render", "normals", "mesh", "error" (of the mesh), "missed" (truth, by its distance to the mesh), "curves" (by type),
        "curve_error" (by distance to the true curves, over those). ``curve_error_scale`` is the greatest coloured distance of curves.
    """
    folder.mkdir(parents=True, exist_ok=True)
    views = scene.split("test") or scene.split("train")
    places = np.unique(np.linspace(0, len(views) - 1, VIEWS + 2)[1:-1].round().astype(int))
    mesh_path = run.exports / "mesh.ply"
    mesh = ray_scene(read_mesh(mesh_path)) if mesh_path.is_file() else None
    known = None if truth.surface is None else ray_scene(truth.surface)
    greatest = None if known is None or mesh is None else ERROR_SHARE * known.mesh.diagonal()
    curves_path = run.exports / "curves.json"
    curves = load(curves_path) if curves_path.is_file() else None
    compared = None if curves is None or truth.curves is None else compared_curves(curves, truth.curves)
    hiding = known or mesh
    rows = []
    for number, view in enumerate(views[i] for i in places):
        camera = shrunk(view.camera)
        rendered = render_view(method, camera, scene.scene_from_world)
        photo = Image.fromarray(to_uint8(photograph(view, scene))).resize((camera.width, camera.height), Image.Resampling.BOX)
        pictures = {"photograph": np.asarray(photo), "render": to_uint8(rendered.rgb)}
        if rendered.normal is not None:
            pictures["normals"] = normal_picture(rendered.normal)
        if mesh is not None:
            pictures["mesh"] = over(render_mesh(mesh, camera, shading="clay"))
        if mesh is not None and known is not None and greatest is not None:
            pictures["error"] = error_picture(mesh, known.mesh, camera, greatest)
            pictures["missed"] = error_picture(known, mesh.mesh, camera, greatest)
        if curves is not None:
            pictures["curves"] = overlay(pictures["photograph"], curves, camera, hiding)
        if compared is not None:
            pictures["curve_error"] = overlay(np.full_like(pictures["photograph"], 255), compared[0], camera, hiding, compared[1])
        files = {}
        for kind, picture in pictures.items():
            files[kind] = f"{number}-{kind}.jpg"
            Image.fromarray(picture).save(folder / files[kind], quality=JPEG_QUALITY, subsampling=0)
        rows.append({"view": view.name, "panels": files})
    curve_scale = None if compared is None or truth.curves is None else CURVE_ERROR_SHARE / truth.curves.normalised_from_world.scale
    content = {"views": rows, "error_scale": greatest, "curve_error_scale": curve_scale, "unit": scene.unit}
    write_json(folder / "pictures.json", content)
    return content


def compared_curves(found: Wireframe, truth: CurveTruth) -> tuple[Wireframe, list[tuple[int, int, int]]] | None:
    """True curves in black and over them those that were found, in the (darkened) colours of their mean distance to the truth.

    Returns:
        Both as one wireframe, world units, and the colour of each curve; None if the truth is points only.
    """
    if truth.wireframe is None:
        return None
    to_normalised = truth.normalised_from_world
    points, _, index = found.transformed(to_normalised).samples(SPACING)
    away = distances(points, truth.wireframe.transformed(to_normalised))
    mean = np.bincount(index, away, len(found.curves)) / np.maximum(np.bincount(index, minlength=len(found.curves)), 1)
    shown = np.rint(LINE_DARKNESS * scale_color(mean / CURVE_ERROR_SHARE)).astype(int)
    colors = [(0, 0, 0)] * len(truth.wireframe.curves) + [(int(r), int(g), int(b)) for r, g, b in shown]
    both = Wireframe(np.zeros((0, 3)), tuple(replace(c, vertices=None) for c in (*truth.wireframe.curves, *found.curves)))
    return both, colors


def shrunk(camera: Camera) -> Camera:
    """The same camera with at most :data:`SIZE` pixels on the longer side."""
    scale = min(1.0, SIZE / max(camera.width, camera.height))
    return camera.resized(max(round(camera.width * scale), 1), max(round(camera.height * scale), 1))


def surface_distances(shown: RayScene, other: Mesh, camera: Camera) -> tuple[np.ndarray, np.ndarray]:
    """Where each pixel's centre hits a surface, and how far that is from another one.

    Args:
        shown: The surface that is seen.
        other: The one that distances go to, in the same world units.
        camera: In the world.
    Returns:
        Distance to ``other``, NaN where nothing is hit, and |cos| between ray and face normal, 0 there. Both [H, W] float64.
    """
    x, y = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    origins, directions = (a.reshape(-1, 3) for a in camera.rays(np.stack([x, y], -1)))
    hits = cast(shown, origins, directions)
    distance, facing = np.full(len(origins), np.nan), np.zeros(len(origins))
    if hits.hit.any() and len(other.faces):
        points = origins[hits.hit] + hits.distance[hits.hit, None] * directions[hits.hit]
        distance[hits.hit] = point_to_mesh(points, other)[0]
        normals = face_cross(shown.mesh)[hits.face[hits.hit]]
        normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
        facing[hits.hit] = np.abs((normals * directions[hits.hit]).sum(1))
    shape = (camera.height, camera.width)
    return distance.reshape(shape), facing.reshape(shape)


def error_picture(shown: RayScene, other: Mesh, camera: Camera, greatest: float) -> np.ndarray:
    """A surface in the colours of its distance to another, lightly shaded so that its shape is seen; white behind. [H, W, 3] uint8

    Args:
        shown, other, camera: As in :func:`surface_distances`.
        greatest: Distance of the last colour, world units.
    """
    distance, facing = surface_distances(shown, other, camera)
    colors = scale_color(np.nan_to_num(distance) / greatest) * (0.7 + 0.3 * facing[..., None])
    return np.rint(np.where(np.isfinite(distance)[..., None], colors, 255.0)).astype(np.uint8)
