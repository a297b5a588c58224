"""What a solid's ``report.json`` says: every face with its numbers and their uncertainty, distances, angles, constraints, holes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import numpy as np

from recon.curves.files.occ import distinct, subshapes
from recon.solid.anatomy import FREEFORM, Anatomy
from recon.solid.deviation import Deviation
from recon.solid.model import Constraint, Primitive, Region, SolidResult
from recon.solid.rounding import Suggestion, suggest
from recon.solid.step import FaceMark, Rgb, Written

COLORS: dict[str, Rgb] = {
    "plane": (0.62, 0.68, 0.75),
    "cylinder": (0.34, 0.63, 0.83),
    "cone": (0.90, 0.62, 0.10),
    "sphere": (0.80, 0.47, 0.65),
    "torus": (0.10, 0.62, 0.45),
    "bspline": (0.84, 0.37, 0.10),
}
"""sRGB of faces by their kind, in files and pictures."""
PARALLEL_RAD = 2e-3
MOST_PAIRS = 400
"""At most so many distances and angles are listed, those between the largest faces."""
VERSION = 1


def face_regions(result: SolidResult) -> list[int]:
    """The number of the region of each of ``subshapes(result.shape, "FACE")``."""
    known, index = distinct([face for face, _ in result.faces])
    region = {k: result.faces[i][1] for i, k in enumerate(index)}
    faces = subshapes(result.shape, "FACE")
    _, place = distinct([*known, *faces])
    return [region[k] for k in place[len(known) :]]


def face_marks(result: SolidResult, regions: Sequence[int], millimetres: float) -> list[FaceMark]:
    """Name and colour of each face: "cylinder 12 R4.503" (mm)."""
    marks = []
    for number in regions:
        p = result.regions[number].primitive
        size = {
            "cylinder": f" R{p.radius * millimetres:.4g}",
            "sphere": f" R{p.radius * millimetres:.4g}",
            "torus": f" R{p.radius * millimetres:.4g} r{p.tube_radius * millimetres:.4g}",
            "cone": f" {np.degrees(2 * p.half_angle):.4g} deg",
        }.get(p.kind, "")
        marks.append(FaceMark(f"{p.kind} {number}{size}", COLORS[p.kind]))
    return marks


def offset_sigma(region: Region) -> float:
    """Standard deviation of a fitted plane's place along its normal, world units."""
    return region.sigma / float(np.sqrt(max(region.n_eff, 1.0)))


def report(
    result: SolidResult,
    written: Written,
    regions: Sequence[int],
    parts: Anatomy,
    near: Deviation | None,
    unit: str | None,
    millimetres: float,
) -> dict[str, Any]:
    """Everything that is known of a solid, lengths in millimetres.

    Args:
        result: What was reconstructed, world units.
        written: The files.
        regions: Of each face of the file.
        parts: The file's shape, taken apart, in millimetres.
        near: Deviation of the mesh from the file's shape, world units.
        unit: Of the world, or None.
        millimetres: Of one world unit.
    """
    faces = [_face(k, number, result, parts, unit, millimetres) for k, number in enumerate(regions)]
    _add_deviation(faces, near, millimetres)
    free = sum(f["area"] for f in faces if f["forced"] or f["kind"] == "bspline")
    total = sum(f["area"] for f in faces)
    return {
        "version": VERSION,
        "status": written.status,
        "step": written.step.name,
        "brep": written.brep.name,
        "unit": "mm",
        "world_unit": unit,
        "millimetres_per_world_unit": millimetres,
        "reasons": [*dict.fromkeys([*result.reasons, *written.reasons])],
        "notes": list(result.notes),
        "faces_given": len(result.faces),
        "checks": {"memory": _plain_check(written.memory), "reread": _plain_check(written.reread)},
        "volume_error_of_mesh": result.volume_error,
        "sigma": result.sigma * millimetres,
        "freeform_or_forced_share": free / total if total > 0 else 0.0,
        "unseen_share": _unseen_share(faces),
        "deviation_of_mesh": None if near is None else {k: v * millimetres for k, v in near.figures().items()},
        "faces": faces,
        "distances": _distances(result, regions, faces, unit, millimetres),
        "angles_deg": _angles(result, regions, parts),
        "constraints": [_constraint(c, millimetres) for c in result.constraints],
        "holes": [
            {"length": h.length * millimetres, "reason": h.reason, "center": (np.mean(h.points, 0) * millimetres).tolist()}
            for h in result.holes
        ],
    }


def _face(number: int, region_number: int, result: SolidResult, parts: Anatomy, unit: str | None, mm: float) -> dict[str, Any]:
    region = result.regions[region_number]
    p, there = region.primitive, parts.faces[number]
    sigma_radius = None if p.sigma_radius is None else p.sigma_radius * mm
    sizes: dict[str, Any] = {}
    if p.kind in ("cylinder", "sphere"):
        sizes = {"radius": _length(p.radius * mm, sigma_radius, unit, doubled=True)}
    elif p.kind == "torus":
        sizes = {"radius": _length(p.radius * mm, None, unit), "tube_radius": _length(p.tube_radius * mm, sigma_radius, unit)}
    elif p.kind == "cone":
        sizes = {"half_angle_deg": {"measured": float(np.degrees(p.half_angle)), "sigma": None, "suggestion": None}}
    return {
        "face": number,
        "region": region_number,
        "kind": p.kind,
        "hollow": there.hollow if there.kind not in ("plane", FREEFORM) else None,
        "point": (np.asarray(p.point, np.float64) * mm).tolist(),
        "axis": (np.asarray(p.axis, np.float64) + 0.0).round(12).tolist(),
        "sizes": sizes,
        "sigma_axis_deg": None if p.sigma_axis_rad is None else float(np.degrees(p.sigma_axis_rad)),
        "sigma_offset": offset_sigma(region) * mm if p.kind == "plane" else None,
        "area": there.area,
        "rms": region.sigma * mm,
        "n_eff": region.n_eff,
        "photographs": region.views,
        "forced": region.forced,
        "constraints": [_words(c, region_number) for c in result.constraints if c.kept and region_number in (c.a, c.b, *c.others)],
    }


def _length(measured: float, sigma: float | None, unit: str | None, doubled: bool = False) -> dict[str, Any]:
    """A length with its uncertainty; of a diameter the round number is looked for where that is what drawings give."""
    factor = 2.0 if doubled else 1.0
    found = suggest(factor * measured, None if sigma is None else factor * sigma, unit)
    halved = None if found is None else Suggestion(found.value / factor, found.step / factor, found.chance)
    return {"measured": measured, "sigma": sigma, "suggestion": None if halved is None else vars(halved)}


def _words(c: Constraint, own: int) -> str:
    others = ", ".join(str(k) for k in dict.fromkeys((c.a, c.b, *c.others)) if k != own)
    return f"{c.kind.replace('_', ' ')} with {others}"


def _constraint(c: Constraint, mm: float) -> dict[str, Any]:
    length = c.kind not in ("parallel", "perpendicular", "angle")
    residual = c.residual * mm if length else float(np.degrees(c.residual))
    regions = list(dict.fromkeys((c.a, c.b, *c.others)))
    return {"kind": c.kind, "regions": regions, "residual": residual, "unit": "mm" if length else "deg", "kept": c.kept, "reason": c.reason}


def _distances(result: SolidResult, regions: Sequence[int], faces: list[dict], unit: str | None, mm: float) -> list[dict[str, Any]]:
    """Between parallel planes, each pair of regions once."""
    planes = [k for k in dict.fromkeys(regions) if result.regions[k].primitive.kind == "plane"]
    found = []
    for a, b in combinations(planes, 2):
        first, second = (result.regions[k] for k in (a, b))
        normal = np.asarray(first.primitive.axis, np.float64)
        if np.linalg.norm(np.cross(normal, second.primitive.axis)) > PARALLEL_RAD:
            continue
        middle = [_middle(result, r) for r in (first, second)]
        away = abs(_height(first.primitive, second.primitive, *middle)) * mm
        sigma = float(np.hypot(offset_sigma(first), offset_sigma(second))) * mm
        if away <= max(sigma, 1e-9):
            continue  # coplanar
        length = _length(away, sigma, unit)
        found.append({"regions": [a, b], **length, "weight": min(first.area, second.area)})
    found.sort(key=lambda d: -d["weight"])
    return [{k: v for k, v in d.items() if k != "weight"} for d in found[:MOST_PAIRS]]


def _middle(result: SolidResult, region: Region) -> np.ndarray:
    """Mean of a region's vertices: where its plane is known best."""
    return result.mesh.vertices[region.vertices].mean(0) if len(region.vertices) else np.asarray(region.primitive.point)


def _height(a: Primitive, b: Primitive, at_a: np.ndarray, at_b: np.ndarray) -> float:
    first = at_a - ((at_a - a.point) @ a.axis) * a.axis
    second = at_b - ((at_b - b.point) @ b.axis) * b.axis
    normal = a.axis + b.axis * np.sign(a.axis @ b.axis)
    return float((second - first) @ normal / np.linalg.norm(normal))


def _angles(result: SolidResult, regions: Sequence[int], parts: Anatomy) -> list[dict[str, Any]]:
    """Between planes and axes of faces that share an edge, where they are neither parallel nor at right angles."""
    found: dict[tuple[int, int], float] = {}
    for edge in parts.edges:
        if len(edge.faces) != 2:
            continue
        a, b = sorted(regions[k] for k in edge.faces)
        first = np.asarray(result.regions[a].primitive.axis, np.float64)
        second = np.asarray(result.regions[b].primitive.axis, np.float64)
        if a == b or any(result.regions[k].primitive.kind in ("bspline", "sphere") for k in (a, b)):
            continue
        angle = float(np.arctan2(np.linalg.norm(np.cross(first, second)), abs(first @ second)))
        if PARALLEL_RAD < angle < np.pi / 2 - PARALLEL_RAD:
            found[a, b] = float(np.degrees(angle))
    return [{"regions": list(pair), "measured": value} for pair, value in list(found.items())[:MOST_PAIRS]]


def _add_deviation(faces: list[dict[str, Any]], near: Deviation | None, mm: float) -> None:
    for face in faces:
        rows = np.zeros(0, bool) if near is None else near.face == face["face"]
        if near is None or not rows.any():
            face |= {"deviation_mean": None, "deviation_q95": None}
            continue
        own = Deviation(near.distance[rows], near.face[rows], near.weights[rows])
        face |= {"deviation_mean": own.figures()["mean"] * mm, "deviation_q95": own.quantile(0.95) * mm}


def _unseen_share(faces: list[dict[str, Any]]) -> float | None:
    """Share of the area that no photograph sees; None where that is not known."""
    known = [f for f in faces if f["photographs"] is not None]
    total = sum(f["area"] for f in known)
    return sum(f["area"] for f in known if f["photographs"] < 1) / total if total > 0 else None


def _plain_check(found: Any) -> dict[str, Any]:
    return {**vars(found), "problems": list(found.problems)}
