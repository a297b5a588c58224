"""Which relations hold between the regions of a part, and the primitives that fulfil them exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recon.solid.certainty import Certainty, certainty
from recon.solid.contacts import across, parallel
from recon.solid.directions import SIGMAS, aligned
from recon.solid.fitting import sensible
from recon.solid.graph import Graph
from recon.solid.mesh import Mesh
from recon.solid.model import Constraint, Primitive
from recon.solid.primitives import AXIAL, angle_to, centred, implicit
from recon.solid.relations import EXACT, Relation, coaxial, concurrent, coplanar, equal, tangency
from recon.solid.solve import solve

TANGENT_RAD = np.radians(20.0)
"""Neighbours whose normals differ by less along their common outline may be tangent."""

ALIKE = 0.1
"""Radii that differ by a larger part are not the same, however little is known of them."""


@dataclass(frozen=True)
class Evidence:
    """What a region's primitive rests on: points [N, 3], their standard deviation, and the number of independent ones."""

    points: np.ndarray
    sigma: float
    n_eff: float


def constrained(mesh: Mesh, graph: Graph, given: Sequence[Primitive | None], evidence: Sequence[Evidence],
                floor: float, fixed: frozenset[int] = frozenset()) -> tuple[list[Primitive | None], list[Constraint]]:  # fmt: skip
    """Primitives that fulfil all relations which their points allow.

    Args:
        mesh: The surface.
        graph: Outlines of the regions.
        given: Of the regions; patches stay as they are, None too.
        evidence: Of the regions.
        floor: Smallest distance that counts, world units.
        fixed: Regions that take no part.
    """
    moving = {k: p for k, p in enumerate(given) if p is not None and p.kind != "bspline" and k not in fixed}
    sure = {k: certainty(p, evidence[k].points, max(evidence[k].sigma, 0.1 * floor), evidence[k].n_eff) for k, p in moving.items()}
    directed = [k for k, p in moving.items() if p.kind in ("plane", *AXIAL)]
    found: list[Constraint] = []
    alone: set[int] = set()
    if directed:
        alike = aligned(np.array([moving[k].axis for k in directed]), [sure[k].axis for k in directed], directed, floor / mesh.diagonal)
        found += alike.constraints
        alone = {k for k, free in zip(directed, alike.alone, strict=True) if free and moving[k].kind == "plane"}
        for k, axis in zip(directed, alike.axes, strict=True):
            moving[k] = replace(centred(moving[k], evidence[k].points), axis=axis)
    points = {k: evidence[k].points for k in moving}
    sigmas = {k: max(evidence[k].sigma, 0.1 * floor) for k in moving}
    weights = {k: evidence[k].n_eff / sigmas[k] ** 2 for k in moving}
    samples = {k: evidence[k].n_eff for k in moving}
    # a surface that was turned lies elsewhere now
    moving = solve(moving, points, weights, sigmas, samples, [], mesh.diagonal)[0]
    relations = _relations(mesh, graph, moving, sure, evidence, floor)
    # a plane that is in no relation with another direction may turn until its corners fit
    tilting = alone - {k for r in relations if r.kind != "concurrent" for k in r.regions}
    solved, tried = solve(moving, points, weights, sigmas, samples, relations, mesh.diagonal, frozenset(tilting))
    primitives = list(given)
    for k, p in solved.items():
        known = sure[k]
        if not sensible(p):  # hardly determined: as it was found
            continue
        primitives[k] = replace(p, sigma_radius=known.radius or None, sigma_axis_rad=known.axis if np.isfinite(known.axis) else None)
    return primitives, found + tried


def _relations(mesh: Mesh, graph: Graph, g: Mapping[int, Primitive], sure: Mapping[int, Certainty], evidence: Sequence[Evidence],
               floor: float) -> list[Relation]:  # fmt: skip
    found = _tangent(mesh, graph, g, evidence, floor)
    found += _pairs(g, sure, floor)
    for regions in {tuple(sorted(r)) for r in graph.nodes.values()}:
        planes = tuple(k for k in regions if k in g and g[k].kind == "plane")
        if len(planes) > 3:
            value = concurrent(planes, g)
            size = SIGMAS * max(max(sure[k].offset for k in planes), floor)
            if value is not None and np.abs(value(g)).max() < 4 * max(size, evidence[planes[0]].sigma):
                found.append(Relation("concurrent", planes, value, size))
    return found


def _tangent(mesh: Mesh, graph: Graph, g: Mapping[int, Primitive], evidence: Sequence[Evidence], floor: float) -> list[Relation]:
    found = []
    for a, b in sorted({(min(c.left, c.right), max(c.left, c.right)) for c in graph.chains}):
        if a not in g or b not in g or a == b:
            continue
        x = np.concatenate([mesh.vertices[c.vertices] for c in graph.chains if {c.left, c.right} == {a, b}])
        if np.median(angle_to(g[a], x, implicit(g[b], x)[1])) > TANGENT_RAD:
            continue
        value = tangency(a, b, g)
        sigma = max(evidence[a].sigma, evidence[b].sigma, floor)
        if value is not None and np.abs(value(g)).max() < 6 * sigma:
            found.append(Relation("tangent", (a, b), value, sigma))
    return found


def _pairs(g: Mapping[int, Primitive], sure: Mapping[int, Certainty], floor: float) -> list[Relation]:
    """Coaxial, equal radii, coplanar: each with the nearest earlier region that fits (transitivity makes the rest)."""
    found = []
    order = sorted(g, key=lambda k: (sure[k].offset, k))
    for n, i in enumerate(order):
        done: set[str] = set()
        for j in order[:n]:
            p, q = g[i], g[j]
            limit = max(SIGMAS * float(np.hypot(sure[i].offset, sure[j].offset)), floor)
            axes = [k for k in (p, q) if k.kind in AXIAL]
            if "coaxial" not in done and axes and {p.kind, q.kind} <= {*AXIAL, "sphere"}:
                same = len(axes) == 1 or parallel(p.axis, q.axis, EXACT)
                base, other = (p, q) if p.kind in AXIAL else (q, p)
                if same and np.linalg.norm(across(base, other.point)) < limit:
                    found.append(Relation("coaxial", (j, i), coaxial(j, i, g), limit))
                    done.add("coaxial")
            if "equal_radius" not in done and p.kind == q.kind and p.kind in ("cylinder", "sphere"):
                limit_r = max(min(SIGMAS * float(np.hypot(sure[i].radius, sure[j].radius)), ALIKE * min(p.radius, q.radius)), floor)
                if abs(p.radius - q.radius) < limit_r:
                    found.append(Relation("equal_radius", (j, i), equal(j, i), limit_r))
                    done.add("equal_radius")
            planes = p.kind == q.kind == "plane" and parallel(p.axis, q.axis, EXACT)
            if "coplanar" not in done and planes and abs((p.point - q.point) @ p.axis) < limit:
                found.append(Relation("coplanar", (j, i), coplanar(j, i), limit))
                done.add("coplanar")
    return found
