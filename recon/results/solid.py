"""`recon solid`: from a run or a mesh to a CAD solid's files, its report and its pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy.spatial import KDTree

from recon.config.values import Unit
from recon.console import Reporter
from recon.curves.files.occ import box_diagonal, read_step, require_cad
from recon.curves.files.wireframe import Wireframe
from recon.data.scene import Camera, View
from recon.data.units import factor
from recon.errors import DataError
from recon.evaluation.report import to_plain
from recon.evaluation.truth.step import feature_curves
from recon.geometry import Similarity
from recon.solid.anatomy import anatomy
from recon.solid.deviation import Deviation, colored, deviation
from recon.solid.facets import Facets, facets
from recon.solid.model import SolidInput, SolidOptions, SolidResult
from recon.solid.page import report_page
from recon.solid.picture import Shown, write_solid_picture
from recon.solid.reconstruct import reconstruct_solid
from recon.solid.report import face_marks, face_regions, report
from recon.solid.step import Gate, Written, write_solid
from recon.solid.viewing import save_view
from recon.surface.export import export_mesh
from recon.surface.mesh import Mesh, signed_volume
from recon.surface.raycast import ray_scene, visible
from recon.system.files import write_text_atomically

Snap = Literal["off", "suggest"]
CHORD = 1e-4
"""Of the triangles by which a solid is drawn and compared, as a share of its diagonal."""
LEAST_TOLERANCE = 1e-5
"""A tolerance of this share of the diagonal is allowed however exact the surface is."""
MOST_SEEN = 60_000
"""In how many photographs a vertex is seen is asked of so many; a second for a photograph of ten times as many."""
FACING = 0.2
"""A camera sees a face only from within 78 degrees of its normal."""


@dataclass(frozen=True)
class SolidSource:
    """What a solid is made of, and what is shown beside it; world units.

    Attributes:
        label: What to call it in messages.
        product: Name of the part.
        given: For the reconstruction.
        unit: Of the world, None if it is not known: then one is taken as a millimetre.
        views: Photographs for the picture; may be empty.
    """

    label: str
    product: str
    given: SolidInput
    unit: Unit | None
    views: Sequence[View] = ()

    @property
    def mesh(self) -> Mesh:
        return Mesh(self.given.vertices, np.asarray(self.given.faces, np.int32))


def make_solid(source: SolidSource, options: SolidOptions, snap: Snap, folder: Path, reporter: Reporter) -> dict[str, Any]:
    """Reconstruct a solid and write its files.

    ``solid.step`` and ``solid.brep``, or ``partial.step`` and ``partial.brep`` if it is none; ``report.json``, ``report.html``,
    ``deviation.ply`` (the mesh coloured by its distance from the solid) and ``solid.png``.

    Args:
        source: The surface.
        options: How free-form faces are made, time limit.
        snap: Whether round numbers are suggested.
        folder: Where files go; made if it is missing.
        reporter: Where progress goes.
    Returns:
        What ``report.json`` holds.
    Raises:
        CapabilityError: Without OpenCASCADE.
        DataError: If the mesh is not closed, or no face could be made of it.
    """
    require_cad()
    result = reconstruct_solid(source.given, options, lambda share, text: reporter.progress("solid", 0.05 + 0.65 * share, text))
    if result.status == "none" or result.shape is None:
        raise DataError(
            f"{source.label}: no solid could be made of it",
            list(result.reasons),
            "it needs flat or round faces; --freeform facets takes any",
        )
    folder.mkdir(parents=True, exist_ok=True)
    return write_result(result, source, snap, folder, reporter, options.seconds)


def write_result(result: SolidResult, source: SolidSource, snap: Snap, folder: Path, reporter: Reporter, seconds: float) -> dict[str, Any]:
    """All files of a result; see :func:`make_solid`."""
    millimetres, mesh = factor("mm", source.unit), source.mesh
    regions = face_regions(result)
    gate = Gate(
        max(2 * result.sigma, LEAST_TOLERANCE * mesh.diagonal()) * millimetres,
        signed_volume(mesh) * millimetres**3,
    )
    reporter.progress("solid", 0.7, "writing STEP and reading it again")
    marks = face_marks(result, regions, millimetres)
    wanted = result.status == "solid"
    written = write_solid(folder, result.shape, marks, source.product, millimetres, gate, solid=wanted, seconds=max(seconds, 60.0))
    kept = [regions[k] for k in written.kept]
    reporter.progress("solid", 0.85, "comparing it with the mesh")
    shape = read_step(written.step)
    shown = _in_world(facets(shape, CHORD * box_diagonal(shape), str(written.step)), millimetres)
    near = deviation(mesh, shown, bare_vertices(result, kept, mesh))
    parts = anatomy(shape)
    found = report(result, written, kept, parts, near, source.unit, millimetres)
    found = to_plain(found if snap == "suggest" else _without_suggestions(found))
    found |= {"source": source.label, "product": source.product}
    painted = colored(mesh, near)
    export_mesh(painted, folder / "deviation.ply", unit=source.unit)
    save_view(folder, shown, parts, millimetres, near.reach)
    _picture(shape, shown, [result.regions[k].primitive.kind for k in kept], painted, near, millimetres, source, folder / "solid.png")
    page = report_page(found, f"Solid: {source.product}", folder / "solid.png")
    write_text_atomically(folder / "report.html", page)
    write_text_atomically(folder / "report.json", json.dumps(found, indent=1, allow_nan=False))
    reporter.progress("solid", 1.0, "done")
    _say(found, written, reporter)
    return found


def _picture(
    shape: Any,
    shown: Facets,
    kinds: Sequence[str],
    painted: Mesh,
    near: Deviation,
    millimetres: float,
    source: SolidSource,
    path: Path,
) -> None:
    vertices, sharp, tangent = feature_curves(shape, box_diagonal(shape))
    edges = Wireframe(vertices, (*sharp, *tangent), "mm").transformed(Similarity(1 / millimetres), source.unit)
    drawn = Shown(shown, kinds, edges, painted, near.reach, source.unit or "world units")
    write_solid_picture(drawn, source.views, path)


def bare_vertices(result: SolidResult, kept: Sequence[int], mesh: Mesh) -> np.ndarray:
    """Which vertices of a mesh belong to regions that have no face in what was written. bool [V]"""
    with_face = np.zeros(len(result.mesh.vertices), bool)
    for number in set(kept):
        with_face[result.regions[number].vertices] = True
    return ~with_face[KDTree(result.mesh.vertices).query(mesh.vertices)[1]]


def _in_world(found: Facets, millimetres: float) -> Facets:
    return Facets(found.vertices / millimetres, found.normals, found.triangles, found.face, found.missing)


def _without_suggestions(found: dict[str, Any]) -> dict[str, Any]:
    """The report of a user who does not want to hear of round numbers."""
    faces = [{**f, "sizes": {k: {**v, "suggestion": None} for k, v in f["sizes"].items()}} for f in found["faces"]]
    return {**found, "faces": faces, "distances": [{**d, "suggestion": None} for d in found["distances"]]}


def _say(found: dict[str, Any], written: Written, reporter: Reporter) -> None:
    for reason in found["reasons"]:
        reporter.warn(f"solid: {reason}")
    for note in found["notes"]:
        reporter.say(f"solid: {note}")
    if found["status"] != "solid":
        holes = len(found["holes"])
        reporter.warn(f"solid: not a solid but an open shell, {written.step}" + (f", with {holes} holes" if holes else ""))


def photograph_counts(mesh: Mesh, cameras: Sequence[Camera]) -> np.ndarray:
    """In how many photographs each vertex is seen: inside the picture, from in front, with nothing in between. [V]

    Of a mesh with more than :data:`MOST_SEEN` vertices that many are looked at, and the others are seen as the nearest of these.
    """
    from recon.surface.mesh import vertex_normals

    scene, tolerance = ray_scene(mesh), 1e-3 * mesh.diagonal()
    some = np.linspace(0, len(mesh.vertices) - 1, min(len(mesh.vertices), MOST_SEEN)).astype(int)
    points, normals = mesh.vertices[some], vertex_normals(mesh)[some]
    counts = np.zeros(len(some), np.int32)
    for camera in cameras:
        uv, z = camera.project(points)
        inside = (z > 0) & (uv >= 0).all(1) & (uv[:, 0] <= camera.width) & (uv[:, 1] <= camera.height)
        toward = camera.center - points
        toward /= np.maximum(np.linalg.norm(toward, axis=1, keepdims=True), 1e-300)
        rows = np.flatnonzero(inside & ((toward * normals).sum(1) > FACING))
        counts[rows[visible(scene, points[rows], camera.center, tolerance)]] += 1
    return counts if len(some) == len(mesh.vertices) else counts[KDTree(points).query(mesh.vertices)[1]]


def solid_result_lines(found: dict[str, Any]) -> list[str]:
    """What a solid's report says, for the terminal."""
    kinds = [f["kind"] for f in found["faces"]]
    counts = ", ".join(f"{kinds.count(k)} {k}" for k in dict.fromkeys(sorted(kinds, key=lambda k: -kinds.count(k))))
    state = "a valid closed solid" if found["status"] == "solid" else "an open shell, not a solid"
    lines = [f"solid: {state} of {len(kinds)} faces ({counts})"]
    near, tolerance = found["deviation_of_mesh"], found["checks"]["memory"]["tolerance"]
    beside = "" if found["status"] == "solid" else " beside its holes"
    lines.append(f"solid: largest tolerance {tolerance:.2g} mm; 95 % of the mesh{beside} lies within {near['q95']:.3g} mm of it")
    kept = sum(c["kept"] for c in found["constraints"])
    lines.append(f"solid: {kept} of {len(found['constraints'])} relations hold exactly (parallel, coaxial, tangent and so on)")
    rounds = sum(v["suggestion"] is not None for f in found["faces"] for v in f["sizes"].values())
    rounds += sum(d["suggestion"] is not None for d in found["distances"])
    if rounds:
        lines.append(f"solid: {rounds} sizes and distances lie near round numbers; report.html says which, and nothing was changed")
    return lines
