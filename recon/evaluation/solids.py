"""How near a solid is to the true one, as a CAD user asks it: are its faces there, of the right kind and size, and does the file open.

Needs OpenCASCADE (extra ``[cad]``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.curves.files.occ import box_diagonal, read_step, unify
from recon.errors import DataError
from recon.evaluation.curves import harmonic
from recon.evaluation.solid_dimensions import FaceSigma, dimensions
from recon.evaluation.solid_matching import (
    EDGE_NEAR,
    FACE_COS_DEG,
    FACE_NEAR,
    FACE_SAMPLES,
    IOU,
    VERTEX_NEAR,
    edge_overlap,
    face_overlap,
    face_samples,
    one_to_one,
    vertex_matches,
)  # fmt: skip
from recon.evaluation.surfaces import surface_metrics
from recon.solid.anatomy import Anatomy, Check, anatomy, check
from recon.solid.facets import Facets, facets
from recon.system.foreign import read_object, reading

CHORD = 1e-4
"""Largest distance between a facet and its surface, as a share of the diagonal."""
SURFACE_SAMPLES = 40_000

PROTOCOL = (
    "faces of one surface that touch, and edges of one kind between the same two faces, count as one on both sides; seams are no edges; "
    f"{FACE_SAMPLES} points on each face, a point is shared with the nearest face of the other solid within {100 * FACE_NEAR:g} % of the "
    f"true diagonal whose normal differs by less than {FACE_COS_DEG:g} degrees; a true face is found if one face has intersection over "
    f"union of area of at least {IOU:g} with it and is of the same kind, one to one; types: share of the pairs found without asking for "
    f"the kind whose kind agrees; edges: the same by length within {100 * EDGE_NEAR:g} % of the diagonal, of any kind; vertices: mutually "
    f"nearest within {100 * VERTEX_NEAR:g} %; face_edge and edge_vertex: pairs that touch, both found, and that touch in the other solid "
    "too; radii: of cylinders, spheres and both of tori; distances: between parallel planes of the true solid; angles: between the normals "
    "and axes of any two faces; all only of faces found; within_2_sigma: share of the errors below twice the stated standard deviation; "
    "volume_error: volume / true volume - 1"
)


@dataclass(frozen=True)
class Part:
    """A solid made ready to be compared.

    Attributes:
        label: Where it comes from.
        check: What OpenCASCADE says of the shape as it is.
        anatomy: Of the shape with what is in pieces joined.
        facets: Of the same.
        diagonal: Of its box.
    """

    label: str
    check: Check
    anatomy: Anatomy
    facets: Facets
    diagonal: float


def part_of(shape: Any, label: str) -> Part:
    """Take a shape apart.

    Args:
        shape: OpenCASCADE shape.
        label: What to call it in messages.
    Raises:
        CapabilityError: Without OpenCASCADE.
        DataError: If it has no face that can be meshed.
    """
    diagonal, found = box_diagonal(shape), check(shape)
    if not (np.isfinite(diagonal) and diagonal > 0):
        raise DataError(f"{label}: it is empty or infinite", hint="export the solid, not a sketch or an empty assembly")
    joined = unify(shape) if found.valid else shape  # joining the faces of a broken shape may never end
    return Part(label, found, anatomy(joined), facets(joined, CHORD * diagonal, label), diagonal)


def read_part(path: Path) -> Part:
    """The solid of a STEP file, millimetres.

    Raises:
        CapabilityError: Without OpenCASCADE.
        DataError: If the file is missing, is no STEP, or holds no faces.
    """
    return part_of(read_step(path), str(path))


def stated_sigmas(path: Path) -> list[FaceSigma]:
    """What a ``report.json`` states of the faces of the solid beside it.

    Raises:
        DataError: If it is no such report.
    """
    stated = []
    for face in read_object(path, "a solid's report", {"faces": list})["faces"]:
        with reading(path, "a solid's report"):
            size = face["sizes"].get("tube_radius") or face["sizes"].get("radius") or {"measured": 0.0, "sigma": None}
            point, axis = np.array(face["point"], np.float64), np.array(face["axis"], np.float64)
            stated.append(FaceSigma(face["kind"], point, axis, float(size["measured"]), size["sigma"], face["sigma_offset"]))
    return stated


def evaluate_solid(found: Part, truth: Part, sigmas: Sequence[FaceSigma] = (), seed: int = 0) -> dict[str, Any]:
    """All figures of :data:`PROTOCOL`; lengths in the shapes' unit (millimetres, from STEP).

    Args:
        found, truth: In one frame and unit.
        sigmas: Standard deviations that the solid's report states for its faces, if there is one.
        seed: Of the points.
    """
    rng = np.random.default_rng(seed)
    here, there = face_samples(found, rng), face_samples(truth, rng)
    overlap, off_found, off_truth = face_overlap(found, truth, here, there, truth.diagonal)
    kinds_truth, kinds_found = ([f.kind for f in p.anatomy.faces] for p in (truth, found))
    same = np.array([[a == b for b in kinds_found] for a in kinds_truth], bool).reshape(overlap.shape)
    matches, anywhere = one_to_one(np.where(same, overlap, 0.0)), one_to_one(overlap)
    edges = one_to_one(edge_overlap(found.anatomy, truth.anatomy, truth.diagonal))
    vertices = vertex_matches(found.anatomy.vertices, truth.anatomy.vertices, truth.diagonal)
    near = surface_metrics(found.facets.mesh, truth.facets.mesh, samples=SURFACE_SAMPLES, seed=seed)
    volume = found.check.volume / truth.check.volume - 1 if found.check.closed and truth.check.closed else None
    return {
        "status": "solid" if found.check.is_solid else "open or broken",
        "problems": list(found.check.problems),
        "valid": found.check.valid,
        "tolerance": found.check.tolerance,
        "faces": _scores(len(matches), len(kinds_found), len(kinds_truth)),
        "types": {
            "agreement": float(np.mean([same[a, b] for a, b in anywhere.items()])) if anywhere else None,
            "by_kind": {
                kind: _scores(sum(kinds_truth[a] == kind for a in matches), kinds_found.count(kind), kinds_truth.count(kind))
                for kind in sorted(set(kinds_truth) | set(kinds_found))
            },
        },
        "edges": _scores(len(edges), len(found.anatomy.edges), len(truth.anatomy.edges)),
        "vertices": _scores(len(vertices), len(found.anatomy.vertices), len(truth.anatomy.vertices)),
        "face_edge": _incidence(_face_edge(found.anatomy), _face_edge(truth.anatomy), matches, edges),
        "edge_vertex": _incidence(_edge_vertex(found.anatomy), _edge_vertex(truth.anatomy), edges, vertices),
        **dimensions(found, truth, matches, there, sigmas),
        "volume_error": volume,
        "chamfer": near.chamfer_l1,
        "chamfer_percent_of_diagonal": near.chamfer_percent,
        "hausdorff": near.hausdorff,
        "q95": max(off_found, off_truth),
        "analytic_share": found.anatomy.analytic_share,
        "truth": {"label": truth.label, "diagonal": truth.diagonal, "valid": truth.check.valid},
        "missed": [{"face": a, "kind": kinds_truth[a], "best_iou": float(overlap[a].max(initial=0.0))}
                   for a in range(len(kinds_truth)) if a not in matches],
        "protocol": PROTOCOL,
    }  # fmt: skip


def solid_lines(figures: dict[str, Any]) -> list[str]:
    """The figures that matter, for the terminal."""
    faces, edges, radii, types = (figures[k] for k in ("faces", "edges", "radii", "types"))
    state = "valid, one closed solid" if figures["status"] == "solid" else "; ".join(figures["problems"])
    found = f"{faces['matched']} of {faces['truth']} true faces ({faces['found']} in all), F1 {faces['f1']:.3f}, edges F1 {edges['f1']:.3f}"
    lines = [f"solid: {state}; largest tolerance {figures['tolerance']:.2g} mm", f"solid: {found}"]
    if types["agreement"] is not None:
        lines[-1] += f", right kind {100 * types['agreement']:.0f} %"
    if radii["count"]:
        lines.append(f"solid: radii off by {radii['median']:.2g} mm in the median, 95 % below {radii['q95']:.2g} mm ({radii['count']})")
    share = f"Chamfer-L1 {figures['chamfer']:.4g} mm = {figures['chamfer_percent_of_diagonal']:.4f} % of the diagonal"
    volume = "" if figures["volume_error"] is None else f", volume {100 * figures['volume_error']:+.3f} %"
    return [*lines, f"solid: {share}{volume}"]


def _scores(matched: int, found: int, truth: int) -> dict[str, Any]:
    precision, recall = matched / found if found else 0.0, matched / truth if truth else 0.0
    if found == truth == 0:  # nothing to find, and nothing found
        precision = recall = 1.0
    return {
        "matched": matched, "found": found, "truth": truth,
        "precision": precision, "recall": recall, "f1": harmonic(precision, recall),
    }  # fmt: skip


def _face_edge(part: Anatomy) -> set[tuple[int, int]]:
    return {(face, number) for number, edge in enumerate(part.edges) for face in edge.faces}


def _edge_vertex(part: Anatomy) -> set[tuple[int, int]]:
    return {(number, vertex) for number, edge in enumerate(part.edges) for vertex in edge.vertices}


def _incidence(found: set[tuple[int, int]], truth: set[tuple[int, int]], first: dict[int, int], second: dict[int, int]) -> dict[str, Any]:
    """How many pairs that touch in the truth are found, and touch there too; ``first`` and ``second`` are from truth to found."""
    matched = sum((first.get(a, -1), second.get(b, -1)) in found for a, b in truth)
    return _scores(matched, len(found), len(truth))
