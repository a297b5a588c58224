"""From a trained run to the files a person opens: meshes, curves and cameras, in world units."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from recon.config.values import CurveFormat, ExportConfig, MeshFormat, Up
from recon.console import Reporter
from recon.curves.files.exports import export_curves
from recon.curves.files.wireframe import load
from recon.data.record import SceneRecord
from recon.data.scene import Scene, View, moved
from recon.device import from_numpy, to_numpy
from recon.errors import DataError, UsageError
from recon.geometry import Similarity
from recon.methods.base import Method, Surface
from recon.opening import open_data
from recon.rendering.orbit import upright
from recon.results.better import made_with
from recon.results.evaluation import view_stem
from recon.runs import Run
from recon.stereo.ends import LEAST_CLOSED, Ends, ends_of
from recon.surface import export as writers
from recon.surface.atlas import unwrap
from recon.surface.extract import extract_mesh
from recon.surface.mesh import Mesh, MeshReport, check_mesh, face_areas, largest_component, remove_small_components
from recon.surface.normals import with_field_normals
from recon.surface.photographs import paint_from_photographs
from recon.surface.reading import read_mesh
from recon.surface.simplify import simplify
from recon.surface.support import Plane, find_support
from recon.surface.texture import Color, bake_texture, color_vertices, texture_color
from recon.system.files import write_text_atomically

SPHERE_RADIUS = 1.0
"""The surface is looked for inside the unit sphere of scene space, where the rays were sampled."""
SUPPORT_RESOLUTION = 160
"""Cells along an axis when a flat support is looked for."""
CAMERA_SHARPNESS = 20.0
"""A camera that stands 18 degrees off the normal counts a third of one that stands on it."""
CAMERA_CHUNK = 2**14
"""Points whose directions to all cameras are held at one time: 24 bytes for each pair."""
SIMPLIFIED_FACES = 2_000_000
"""Larger meshes are not simplified, but extracted once more with larger cells; see ``_enough_resolution``."""


FULL: tuple[MeshFormat, ...] = ("ply", "stl", "3mf")
TEXTURED: tuple[MeshFormat, ...] = ("glb", "obj")
USUAL: tuple[MeshFormat, ...] = ("ply", "stl", "glb", "obj")


def export_mesh(
    run: Run,
    method: Method,
    settings: ExportConfig,
    reporter: Reporter,
    photographs: Sequence[View] = (),
    *,
    folder: Path | None = None,
    formats: Sequence[MeshFormat] = USUAL,
) -> MeshReport:
    """Extract, clean, check, colour, unwrap and write a run's surface.

    Writes ``mesh.ply``, ``mesh.stl`` and ``mesh.3mf`` (all faces; the .ply with the texture's colours, or the field's where no texture is
    made), ``mesh.glb`` and ``mesh.obj`` (simplified, with a texture), as far as they are asked for, and ``mesh.json`` (what was found, with
    remedies for what is wrong, and how it was made), in world units.

    Args:
        run: Whose surface it is.
        method: A trained model.
        settings: Resolution, what to keep, texture.
        reporter: Where progress and problems go.
        photographs: Those that a texture "photographs" is made of: the training views, so that held-out ones stay unseen.
        folder: Where files go; None: the run's exports.
        formats: Which files.
    Returns:
        What was found about the full mesh, scene units.
    Raises:
        UsageError: If the texture is to come from photographs and there are none.
    """
    if settings.texture == "photographs" and not photographs and set(formats) & set(TEXTURED):
        raise UsageError("a texture from the photographs needs them, and they are not at hand", "use --texture field")
    scene = run.scene
    support = support_plane(method, settings, scene, reporter)
    centers = scene.camera_centers
    ends = ends_of(run, settings.closed, scene.scene_from_world, scene.cameras_in_scene, support is not None)
    if ends is None and settings.closed == "no":
        raise UsageError("an open surface ends where stereo saw nothing, and this run has no stereo", "use --closed yes")
    mesh = surface(method, settings, reporter, support)
    invented = None if ends is None else ends.invented(mesh)
    mesh, trimmed, outline = trim_mesh(mesh, ends, reporter)
    report = check_mesh(mesh, sphere_radius=SPHERE_RADIUS)
    for problem in report.problems:
        if not (trimmed and problem.kind in ("open", "fragments")):
            reporter.warn(f"mesh: {problem.message}; {problem.remedy}")
    folder = folder or run.exports
    folder.mkdir(parents=True, exist_ok=True)
    found = {
        **report.to_json(),
        "made_with": made_with(run, settings),
        "support_plane": None if support is None else _plane_in_world(support, scene.world_from_scene),
        "trimmed": trimmed,
        "closed_outline_share": outline,
        "invented_area_share": invented,
    }
    write_text_atomically(folder / "mesh.json", json.dumps(found, indent=1))
    if report.faces == 0:
        return report
    full: list[MeshFormat] = [f for f in FULL if f in formats]
    textured_formats: list[MeshFormat] = [f for f in TEXTURED if f in formats]
    color, with_texture = field_color(method, centers), ""
    if textured_formats:
        enough, coarser = _enough_resolution(report.faces, settings), mesh
        if enough < settings.resolution:
            coarser = surface(method, replace(settings, resolution=enough), reporter, support)
            coarser = ends.trim(coarser) if ends is not None and trimmed else coarser
        textured = textured_surface(method, coarser, settings, reporter, centers, moved(photographs, scene.scene_from_world))
        write_mesh(textured, folder, textured_formats, scene, settings.up)
        color, with_texture = texture_color(textured), f", {len(textured.faces)} with texture"
    if "ply" in full:
        mesh = color_vertices(mesh, color)
        mesh = mesh if ends is None else replace(mesh, seen=ends.seen(mesh.vertices))
    _say_of_numbers(mesh, scene, full, reporter)
    write_mesh(mesh, folder, full, scene)
    reporter.say(f"mesh: {report.faces} faces{with_texture}, in {folder}")
    return report


def _say_of_numbers(mesh: Mesh, scene: SceneRecord, formats: Sequence[MeshFormat], reporter: Reporter) -> None:
    """Where a file's numbers are not the world's."""
    shift = writers.stl_shift(scene.world_from_scene.apply(mesh.vertices))
    if "stl" in formats and shift.any():
        where = ", ".join(f"{x:.10g}" for x in shift)
        reporter.warn(f"mesh.stl: too far from the origin for its 32-bit numbers, so ({where}) in the world is its origin; the others stay")
    if "3mf" in formats and scene.unit is None:
        reporter.warn("mesh.3mf: the world's unit is not known, so one counts as a millimetre; --unit says which it is")


def trim_mesh(mesh: Mesh, ends: Ends | None, reporter: Reporter) -> tuple[Mesh, bool, float | None]:
    """The surface trimmed to what was seen, if it is to be, whether it was, and the share of its outline that closes if that decided."""
    if ends is None or ends.open is False or len(mesh.faces) == 0:
        return mesh, False, None
    outline = None if ends.open else ends.closed_share(mesh)
    if outline is not None and outline > LEAST_CLOSED:
        reporter.say(f"mesh: closed: free space is seen behind {100 * outline:.0f} % of the outline of what was seen; --closed no trims it")
        return mesh, False, outline
    trimmed = ends.trim(mesh)
    if len(trimmed.faces) == 0:
        reporter.warn("mesh: nothing of the surface is near what stereo saw, so it is left closed; train longer")
        return mesh, False, outline
    share = 100.0 * (1.0 - face_areas(trimmed).sum() / face_areas(mesh).sum())
    reporter.say(f"mesh: open, trimmed to what was seen; {share:.0f} % of its area was not, and --closed yes keeps it")
    return trimmed, True, outline


def support_plane(method: Method, settings: ExportConfig, scene: SceneRecord, reporter: Reporter) -> Plane | None:
    """The flat support (table, wall) that is to be cut off, scene units; None if there is none, or it is to be kept.

    It is only looked for where neither masks nor alpha nor a constant colour told the object from the rest.
    """
    known = surface_of(method)
    if settings.support == "keep" or not known.support:
        return None
    reporter.progress("extract", 0.0, "looking for a table or wall")
    coarse = extract_mesh(
        known.value,
        resolution=min(SUPPORT_RESOLUTION, settings.resolution),
        sphere_radius=SPHERE_RADIUS,
        lipschitz=known.lipschitz,
        device=method.device,
    )
    plane = find_support(largest_component(coarse), scene.camera_centers, SPHERE_RADIUS)
    if plane is not None:
        normal = np.round(plane.normal, 3).tolist()
        reporter.say(f"mesh: cut off from the flat support that it stands on, whose normal is {normal}; --support keep leaves it on")
    return plane


def _plane_in_world(plane: Plane, world_from_scene: Similarity) -> dict[str, Any]:
    normal = world_from_scene.rotate(plane.normal)
    return {"normal": normal.tolist(), "offset": float(normal @ world_from_scene.apply(plane.offset * plane.normal))}


def surface(method: Method, settings: ExportConfig, reporter: Reporter, above: Plane | None = None) -> Mesh:
    """Extract and clean a model's surface, what is ``above`` a plane if one is given, with normals, scene units."""
    known = surface_of(method)
    mesh = extract_mesh(
        known.value,
        resolution=settings.resolution,
        sphere_radius=SPHERE_RADIUS,
        above=above,
        lipschitz=known.lipschitz,
        gradient=known.gradient,
        progress=lambda share, text: reporter.progress("extract", share, text),
        device=method.device,
    )
    return largest_component(mesh) if settings.keep == "largest" else remove_small_components(mesh, 1e-3)


def photographs_for(run: Run, settings: ExportConfig, formats: Sequence[MeshFormat] = USUAL, data: Scene | None = None) -> Sequence[View]:
    """The training photographs, if the files that are asked for are painted with them.

    Args:
        run: Whose they are.
        settings: Source of the texture.
        formats: Which files.
        data: The run's dataset, if it is open already.
    Raises:
        DataError: If the dataset is not where it was.
    """
    if settings.texture != "photographs" or not set(formats) & set(TEXTURED):
        return ()
    if data is None:
        try:
            data = open_data(run.scene.source, run.config)
        except DataError as error:
            hint = "the texture is made of the photographs; --texture field does without"
            raise DataError(error.message, hint=hint) from error
    return data.split("train")


def surface_of(method: Method) -> Surface:
    """A model's surface.

    Raises:
        UsageError: If it has none.
    """
    known = method.surface
    if known is None:
        raise UsageError("this method has no surface", "reconstruct with --method volsdf")
    return known


def toward_cameras(points: np.ndarray, normals: np.ndarray, centers: np.ndarray) -> np.ndarray:
    """From where each point of a surface is looked at: the directions to the cameras, averaged by how near they come to the normal.

    Where cameras stand all around this is about the normal. In front of a one-sided capture it is not: along normals that no camera comes
    near to a colour network was never trained, and makes up colours.

    Args:
        points: On the surface. [N, 3]
        normals: Unit, outwards. [N, 3]
        centers: Of the cameras, in the same frame. [V, 3]
    Returns:
        Unit directions away from the surface. [N, 3]
    """
    out = np.empty_like(normals)
    for part in (slice(start, start + CAMERA_CHUNK) for start in range(0, len(points), CAMERA_CHUNK)):
        to = centers[None] - points[part, None]  # [n, V, 3]
        to /= np.maximum(np.linalg.norm(to, axis=2, keepdims=True), 1e-12)
        cosine = np.einsum("nvk,nk->nv", to, normals[part])
        weights = np.exp(CAMERA_SHARPNESS * (cosine - cosine.max(1, keepdims=True)))
        mean = np.einsum("nv,nvk->nk", weights, to)
        out[part] = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-12)
    return out


def field_color(method: Method, centers: np.ndarray) -> Color:
    """A model's colours at points of its surface, seen from about where its cameras are (``centers`` [V, 3]); scene units."""

    known = surface_of(method)

    def color(points: np.ndarray, normals: np.ndarray) -> np.ndarray:
        toward = toward_cameras(points, normals, centers)
        return to_numpy(known.color(from_numpy(points, method.device), from_numpy(toward, method.device)))

    return color


def textured_surface(
    method: Method,
    mesh: Mesh,
    settings: ExportConfig,
    reporter: Reporter,
    centers: np.ndarray,
    photographs: Sequence[View] = (),
) -> Mesh:
    """Simplify, and give a texture.

    Args:
        method: A trained model.
        mesh: Its surface, scene units.
        settings: Face budget, source and size of the texture.
        reporter: Where progress goes.
        centers: Of the cameras that the field's colours are looked at from, scene units. [V, 3]
        photographs: What a texture "photographs" is made of; cameras in scene units.
    """

    def progress(share: float, text: str) -> None:
        reporter.progress("texture", share, text)

    progress(0.0, f"simplifying {len(mesh.faces)} faces")
    gradient = surface_of(method).gradient
    small = with_field_normals(simplify(mesh, settings.texture_faces), gradient, sphere_radius=SPHERE_RADIUS, device=method.device)
    progress(0.2, f"atlas of {len(small.faces)} faces")
    mesh, size, learnt = unwrap(small, settings.texture_size), settings.texture_size, field_color(method, centers)

    def coloring(share: float, text: str) -> None:
        progress(0.4 + 0.6 * share, text)

    if settings.texture == "field":
        return bake_texture(mesh, learnt, resolution=size, progress=coloring)
    painted, unseen = paint_from_photographs(mesh, photographs, learnt, resolution=size, progress=coloring)
    reporter.say(f"texture: {100 * unseen:.1f} % of the surface is seen by no photograph, and has the field's colours")
    return painted


def write_mesh(mesh: Mesh, folder: Path, suffixes: Sequence[str], scene: SceneRecord, up: Up | None = None) -> list[Path]:
    """Write a mesh in scene units as ``mesh.SUFFIX`` in world units.

    Args:
        mesh: Scene units.
        folder: Where to.
        suffixes: Which files.
        scene: The run's: unit and similarity.
        up: What is up in a .glb, as :class:`~recon.config.values.ExportConfig` has it.
    """
    written = []
    for suffix in suffixes:
        direction = up_direction(up, scene) if suffix == "glb" else None
        written += writers.export_mesh(mesh, folder / f"mesh.{suffix}", scene.world_from_scene, unit=scene.unit, up=direction)
    return written


def up_direction(up: Up | None, scene: SceneRecord) -> np.ndarray | None:
    """The direction in the world that a .glb has upward; None for the world's own axes and place. [3]"""
    if up == "world":
        return None
    if up is None:
        return upright([v.camera for v in scene.views])
    axis = np.zeros(3)
    axis["xyz".index(up[1])] = 1.0 if up[0] == "+" else -1.0
    return axis


def _enough_resolution(faces: int, settings: ExportConfig) -> int:
    """The resolution at which the surface is extracted for simplification.

    Quadric simplification takes half a kilobyte for a face and a minute for two million, and a mesh with sixteen times the faces of the
    textured one already holds all that is left in it: of a finer mesh a coarser one is made, whose faces go as the resolution squared.
    """
    most = max(SIMPLIFIED_FACES, 16 * settings.texture_faces)
    return settings.resolution if faces <= most else max(int(settings.resolution * (most / 2 / faces) ** 0.5), 16)


def export_curves_again(run: Run, formats: Sequence[CurveFormat] | None, reporter: Reporter, folder: Path | None = None) -> list[Path]:
    """Write the curves that a run has found once more, or in other formats; its mesh, if it has one, hides lines in drawings.

    Args:
        run: Its ``exports/curves.json`` is read.
        formats: Which; None for all whose packages are installed.
        reporter: Hears what is left out.
        folder: Where they go; None: the run's exports.
    Returns:
        Files written.
    Raises:
        DataError: If the run has no curves.
        CapabilityError: If a format is asked for whose package is missing.
    """
    path, mesh = run.exports / "curves.json", run.exports / "mesh.ply"
    if not path.is_file():
        raise DataError(f"{run.folder}: this run has no curves", hint="curves come from --method nef; recon resume RUN finishes a run")
    cameras = {view_stem(v.name): v.camera for v in run.scene.views}
    surface = read_mesh(mesh) if mesh.is_file() else None
    written, left_out = export_curves(folder or run.exports, load(path), cameras, surface, formats, run.scene.name)
    for line in left_out:
        reporter.say(line)
    return written
