"""Pictures of a finished fit for the report: the signal, what was fitted, and the error."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recon.data.scene import Camera
from recon.fit.fit import read_signal
from recon.fit.raster import Raster, read_raster, shown
from recon.fit.run import FitRun
from recon.fit.truth import Shape
from recon.geometry import look_at
from recon.rendering.meshes import over, render_mesh
from recon.surface.raycast import RayScene, ray_scene
from recon.surface.reading import read_mesh
from scenes.benchmark.jobs import write_json
from scenes.benchmark.panels import JPEG_QUALITY, SIZE, error_picture
from scenes.benchmark.scale import ERROR_SHARE

SIDES = {"from one side": (1.6, 1.2, 2.4), "from the other side": (-2.0, 0.8, -2.0)}
"""Where shapes are seen from, scene units."""


def make_fit_panels(run: FitRun, folder: Path) -> dict[str, Any]:
    """Write JPEG pictures of a fit and ``pictures.json``, in the form of :func:`scenes.benchmark.panels.make_panels`.

    Args:
        run: Done.
        folder: Where they go.
    Returns:
        What ``pictures.json`` holds. Kinds are "signal", "fitted" and "fit_error" of a picture; "mesh", "true_mesh", "error" (of the mesh)
        and "missed" (truth, by its distance to the mesh) of a shape, distances in scene units.
    """
    folder.mkdir(parents=True, exist_ok=True)
    signal = read_signal(run)
    greatest = None
    if isinstance(signal, Raster):
        fitted = read_raster(run.folder / ("fitted.exr" if signal.hdr else "fitted.png"), None)
        pictures = {
            "signal": shown(signal.array(), signal.hdr),
            "fitted": shown(fitted.array(), signal.hdr),
            "fit_error": np.asarray(Image.open(run.folder / "error.png")),
        }
        views = {f"{signal.width} x {signal.height}": pictures}
    else:
        views = _of_shape(run, signal)
        greatest = None if signal.mesh is None else ERROR_SHARE * signal.mesh.diagonal()
    rows = []
    for number, (view, panels) in enumerate(views.items()):
        files = {}
        for kind, picture in panels.items():
            files[kind] = f"{number}-{kind}.jpg"
            image = Image.fromarray(picture)
            scale = SIZE / max(image.size)
            if scale < 1.0:
                image = image.resize((max(round(image.width * scale), 1), max(round(image.height * scale), 1)), Image.Resampling.BOX)
            image.save(folder / files[kind], quality=JPEG_QUALITY, subsampling=0)
        rows.append({"view": view, "panels": files})
    content = {"views": rows, "error_scale": greatest, "curve_error_scale": None, "unit": "scene units"}
    write_json(folder / "pictures.json", content)
    return content


def _of_shape(run: FitRun, shape: Shape) -> dict[str, dict[str, np.ndarray]]:
    """Pictures of the fitted and the true surface, and of the distances between them, for each of :data:`SIDES`."""
    path = run.folder / "mesh.ply"
    found: RayScene | None = None
    if path.is_file():  # a field without a surface has none
        mesh = read_mesh(path)
        found = ray_scene(replace(mesh, vertices=shape.world_from_scene.inverse().apply(mesh.vertices)))
    truth = None if shape.mesh is None else ray_scene(shape.mesh)
    views = {}
    for name, eye in SIDES.items():
        pose = look_at(np.array(eye), np.zeros(3), np.array([0.0, 1.0, 0.0]))
        camera = Camera(SIZE, SIZE, 1.3 * SIZE, 1.3 * SIZE, SIZE / 2, SIZE / 2, pose)
        panels = {}
        if found is not None:
            panels["mesh"] = over(render_mesh(found, camera, shading="clay"))
        if truth is not None:
            panels["true_mesh"] = over(render_mesh(truth, camera, shading="clay"))
        if found is not None and truth is not None:
            greatest = ERROR_SHARE * truth.mesh.diagonal()
            panels["error"] = error_picture(found, truth.mesh, camera, greatest)
            panels["missed"] = error_picture(truth, found.mesh, camera, greatest)
        views[name] = panels
    return views
