"""From a trained run to the files a person opens: meshes, curves and cameras, in world units."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from recon.checkpoint import write_text_atomically
from recon.config import CurveFormat, ExportConfig
from recon.console import Reporter
from recon.curves.exports import export_curves
from recon.curves.wireframe import load
from recon.data.scene import Camera
from recon.errors import DataError
from recon.evaluate import view_stem
from recon.geometry import Similarity
from recon.methods.radiance import Radiance
from recon.methods.volsdf import VolSDF
from recon.runs import Run
from recon.surface import export as writers
from recon.surface.extract import extract_mesh
from recon.surface.mesh import Mesh, check_mesh, largest_component, remove_small_components
from recon.surface.reading import read_mesh
from recon.surface.texture import color_vertices, textured_mesh

SPHERE_RADIUS = 1.0
"""The surface is looked for inside the unit sphere of scene space, where the rays were sampled."""


def export_mesh(run: Run, method: VolSDF | Radiance, settings: ExportConfig, reporter: Reporter) -> Mesh:
    """Extract, clean, check, colour, unwrap and write a run's surface.

    Writes ``mesh.ply`` and ``mesh.stl`` (all faces; the .ply with colours), ``mesh.glb`` and ``mesh.obj`` (simplified, with a texture) and
    ``mesh.json`` (what was found, with remedies for what is wrong), in world units.

    Args:
        run: Where files go.
        method: A trained model.
        settings: Resolution, what to keep, texture sizes.
        reporter: Where progress and problems go.
    Returns:
        The full mesh with vertex colours, scene units.
    """
    info = run.scene_info()
    world_from_scene = Similarity.from_json(info["world_from_scene"])

    def progress(stage: str):
        return lambda share, text: reporter.progress(stage, share, text)

    mesh = extract_mesh(
        method.surface_value,
        resolution=settings.resolution,
        sphere_radius=SPHERE_RADIUS,
        lipschitz=2.0 if isinstance(method, VolSDF) else None,
        gradient=method.surface_value_and_gradient if isinstance(method, VolSDF) else None,
        progress=progress("extract"),
    )
    mesh = largest_component(mesh) if settings.keep == "largest" else remove_small_components(mesh, 1e-3)
    report = check_mesh(mesh, sphere_radius=SPHERE_RADIUS)
    for problem in report.problems:
        reporter.warn(f"mesh: {problem.message}; {problem.remedy}")
    run.exports.mkdir(parents=True, exist_ok=True)
    write_text_atomically(run.exports / "mesh.json", json.dumps(report.to_json(), indent=1))
    if len(mesh.faces) == 0:
        return mesh

    def color(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        return method.surface_color(torch.from_numpy(points).float(), torch.from_numpy(normals).float()).numpy()

    mesh = color_vertices(mesh, color)
    _write(mesh, run.exports, ("ply", "stl"), world_from_scene, info)
    textured = textured_mesh(mesh, color, max_faces=settings.texture_faces, resolution=settings.texture_size, progress=progress("texture"))
    _write(textured, run.exports, ("glb", "obj"), world_from_scene, info)
    reporter.say(f"mesh: {len(mesh.faces)} faces, {len(textured.faces)} with texture, in {run.exports}")
    return mesh


def _write(mesh: Mesh, folder: Path, suffixes: tuple[str, ...], world_from_scene: Similarity, info: dict[str, Any]) -> None:
    for suffix in suffixes:
        writers.export_mesh(mesh, folder / f"mesh.{suffix}", world_from_scene, unit=info["unit"])


def export_curves_again(run: Run, formats: Sequence[CurveFormat] | None, reporter: Reporter) -> list[Path]:
    """Write the curves that a run has found once more, or in other formats; its mesh, if it has one, hides lines in drawings.

    Args:
        run: Its ``exports/curves.json`` is read.
        formats: Which; None for all whose packages are installed.
        reporter: Hears what is left out.
    Returns:
        Files written.
    Raises:
        DataError: If the run has no curves.
        CapabilityError: If a format is asked for whose package is missing.
    """
    path, mesh = run.exports / "curves.json", run.exports / "mesh.ply"
    if not path.is_file():
        raise DataError(f"{run.folder}: this run has no curves", hint="curves come from --method nef; recon resume RUN finishes a run")
    cameras = {view_stem(v["name"]): Camera.from_json(v["camera"]) for v in run.scene_info()["views"]}
    written, left_out = export_curves(run.exports, load(path), cameras, read_mesh(mesh) if mesh.is_file() else None, formats)
    for line in left_out:
        reporter.say(line)
    return written


def export_cameras(run: Run) -> Path:
    """Write the run's cameras as ``exports/transforms.json`` (nerfstudio's format: OpenGL axes, pixel centres at +0.5, world units)."""
    frames = []
    for view in run.scene_info()["views"]:
        camera = Camera.from_json(view["camera"])
        pose = np.eye(4)
        pose[:3] = camera.world_from_camera
        pose[:3, 1:3] *= -1.0
        frames.append(
            {
                "file_path": view["name"],
                "split": view["split"],
                "w": camera.width,
                "h": camera.height,
                "fl_x": camera.fx,
                "fl_y": camera.fy,
                "cx": camera.cx,
                "cy": camera.cy,
                "transform_matrix": pose.tolist(),
            }
        )
    run.exports.mkdir(parents=True, exist_ok=True)
    path = run.exports / "transforms.json"
    write_text_atomically(path, json.dumps({"camera_model": "PINHOLE", "frames": frames}, indent=1))
    return path
