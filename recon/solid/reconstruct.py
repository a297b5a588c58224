"""The one function: a closed surface, and curves where there are any, to a solid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from recon.solid.certainty import independent_samples, pooled_sigmas
from recon.solid.collapse import collapsed, met
from recon.solid.constraints import Evidence, constrained
from recon.solid.contacts import meeting_point, with_contacts
from recon.solid.edges import EdgeCurve, edge_curve, free_edge
from recon.solid.exact import Segmentation, corner_points, exact_segmentation
from recon.solid.fitting import robust_sigma
from recon.solid.freeform import as_facets, patch_for
from recon.solid.graph import Graph, outlines
from recon.solid.mesh import Mesh, closed_mesh
from recon.solid.model import Constraint, Primitive, Progress, Region, SolidInput, SolidOptions, SolidResult
from recon.solid.pinches import without_pinches
from recon.solid.primitives import distance
from recon.solid.repair import Checked, repaired
from recon.solid.scanned import is_tessellation, on_zero_set, scan_segmentation
from recon.solid.shapes import compound, holes_of, largest_tolerance, regions_of_faces
from recon.solid.shell import attempted, make_shell
from recon.solid.surrender import surrendered
from recon.solid.thinning import thinned, whole

TESSELLATION_SIGMA = 2e-5
"""Standard deviation that the vertices of a tessellation are given, as a part of the diagonal: about what its edges are worth."""
LARGEST_TOLERANCE = 2.0
"""A solid's edges and vertices have tolerances below this many sigma."""
LARGEST_VOLUME_ERROR = 0.01
PRECISION = 1e-6
TOGETHER = 0.05
"""Vertices nearer than this part of three sigma are one."""
RETRIES = 3
"""So many times faces that could not be joined are given up."""


def silent(share: float, text: str) -> None:
    """Progress that nobody wants to hear of."""


def reconstruct_solid(surface: SolidInput, options: SolidOptions, progress: Progress = silent) -> SolidResult:
    """See :class:`SolidInput`, :class:`SolidOptions` and :class:`SolidResult`; ``progress`` is told a share in [0, 1] and the stage.

    Raises:
        CapabilityError: Without OpenCASCADE (extra ``[cad]``).
        DataError: If the mesh is empty, not finite or not closed.
    """
    mesh = closed_mesh(surface.vertices, surface.faces)
    surface = _as_used(surface, mesh)
    exact = is_tessellation(mesh)
    if exact:
        progress(0.1, f"faces of {len(mesh.faces)} triangles")
        found, sigma, correlation = exact_segmentation(mesh, options.seed), TESSELLATION_SIGMA * mesh.diagonal, 0.0
        points = [corner_points(mesh, np.flatnonzero(found.labels == k))[1] for k in range(len(found.primitives))]
    else:
        progress(0.0, f"thinning {len(mesh.faces)} triangles")
        fine = thinned(mesh)
        if surface.views is not None:
            surface = replace(surface, views=surface.views[fine.nearest])
        if surface.distance is not None:
            fine = whole(on_zero_set(fine.mesh, surface.distance))
        mesh = fine.mesh
        progress(0.2, f"faces of {len(mesh.faces)} triangles")
        surface = replace(surface, vertices=mesh.vertices, faces=mesh.faces)
        found, points, sigma, correlation = scan_segmentation(fine, surface, options.seed)
    if options.freeform == "facets":
        found, points = as_facets(mesh, found, points)
    progress(0.7, f"relations between {len(found.primitives)} faces")
    result = _from_regions(mesh, found, points, sigma, correlation, exact, surface, options, progress)
    for _ in range(0 if exact or found.facets else RETRIES):
        sound = {k for _, k in result.faces}
        again = surrendered(mesh, found, points, set(range(len(result.regions))) - sound) if result.status == "open_shell" else None
        if again is None:
            break
        progress(0.95, f"{len(sound)} of {len(result.regions)} faces join; once more with the others of free form")
        found, points = again
        other = _from_regions(mesh, found, points, sigma, correlation, exact, surface, options, silent)
        if other.status != "solid" and _sound_area(other) <= _sound_area(result):
            break
        result = other
    return result


def _sound_area(result: SolidResult) -> float:
    return sum(result.regions[k].area for k in {k for _, k in result.faces})


def _as_used(surface: SolidInput, mesh: Mesh) -> SolidInput:
    """The input with the mesh that regions count in: without vertices that no triangle uses, turned outward."""
    views = surface.views
    if views is not None and len(views) != len(mesh.vertices):
        f = np.asarray(surface.faces)
        views = views[np.unique(f[(f[:, 0] != f[:, 1]) & (f[:, 1] != f[:, 2]) & (f[:, 2] != f[:, 0])])]
    return replace(surface, vertices=mesh.vertices, faces=mesh.faces, views=views)


def _from_regions(mesh: Mesh, found: Segmentation, points: list[np.ndarray], sigma: float, correlation: float, exact: bool,
                  surface: SolidInput, options: SolidOptions, progress: Progress) -> SolidResult:  # fmt: skip
    graph = outlines(mesh, found.labels)
    forced = {k for k, p in enumerate(found.primitives) if p is None or k in found.facets}
    primitives = list(found.primitives)
    if options.freeform == "bspline":
        for k in sorted(forced):
            primitives[k] = patch_for(mesh, graph, found.labels, k, sigma, exact)
    missing = {k: "no primitive and no patch explains this part of the surface" for k, p in enumerate(primitives) if p is None}
    areas = np.bincount(found.labels, weights=mesh.areas, minlength=len(primitives))
    spreads = [robust_sigma(distance(p, x)) if p is not None and len(x) else 0.0 for p, x in zip(primitives, points, strict=True)]
    samples = [independent_samples(float(a), max(len(x), 1), correlation) for a, x in zip(areas, points, strict=True)]
    sigmas = spreads if exact else pooled_sigmas(spreads, areas, samples)
    evidence = [Evidence(x, float(s), n) for x, s, n in zip(points, sigmas, samples, strict=True)]
    if not exact and not found.facets:
        graph = collapsed(graph, mesh, primitives, float(np.median(mesh.edge_lengths)), sigma)
    floor = PRECISION * mesh.diagonal if exact else 0.1 * sigma
    primitives, constraints = constrained(mesh, graph, primitives, evidence, floor, found.facets)
    regions = _regions(mesh, found.labels, primitives, evidence, forced, surface, areas)
    if all(p is None for p in primitives):
        reasons = ["no part of the surface is a plane, cylinder, cone, sphere or torus, and no patch follows it"]
        return SolidResult("none", None, regions, [], constraints, holes_of(mesh, graph, missing), reasons, surface, sigma)
    near = 1e-5 * mesh.diagonal if exact else 3 * sigma
    if not exact and not found.facets:
        found, graph = _without_pinches(mesh, found, graph, primitives, near, sigma)
    progress(0.85, f"{len(graph.chains)} edges")
    graph = _junctions(graph, primitives, near, mesh.diagonal)
    if not exact and not found.facets:
        graph = met(graph, TOGETHER * near)  # where relations let four surfaces meet, two nodes of three came to be one place
    made, why = attempted(lambda: make_shell(mesh, found.labels, primitives, graph, _curves(mesh, graph, primitives, near)))
    if made is None:
        reasons = [f"no shell can be made of the faces ({why})"]
        return SolidResult("none", None, regions, [], constraints, holes_of(mesh, graph, missing), reasons, surface, sigma)
    shell, unmade = made
    missing |= unmade
    progress(0.9, "OpenCASCADE joins the faces")
    shape, known = repaired(shell, PRECISION * mesh.diagonal, options.seconds)
    return _judged(shape, known, mesh, found.labels, primitives, graph, regions, constraints, missing, sigma, surface)


def _without_pinches(mesh: Mesh, found: Segmentation, graph: Graph, primitives: Sequence[Primitive | None], near: float,
                     sigma: float) -> tuple[Segmentation, Graph]:  # fmt: skip
    """The regions and their graph after what meets only in the mesh is parted."""
    step = float(np.median(mesh.edge_lengths))
    for _ in range(3):
        labels = without_pinches(mesh, found.labels, graph, primitives, near, step)
        if labels is None:
            break
        found = replace(found, labels=labels)
        graph = collapsed(outlines(mesh, labels), mesh, primitives, step, sigma)
    return found, graph


def _junctions(graph: Graph, primitives: Sequence[Primitive | None], near: float, diagonal: float) -> Graph:
    """Every node where its surfaces meet; one whose surfaces meet nowhere near stays where the mesh has it."""
    positions = {}
    for node, around in graph.nodes.items():
        there = [p for p in (primitives[k] for k in sorted(around)) if p is not None]
        start = graph.positions[node]
        positions[node] = start
        # surfaces that cross at a small angle say little of where along it they meet: only asked if they must be
        for cut in (0.1, 0.02) if there else ():
            x, off = meeting_point(start, with_contacts(there, near), cut)
            if np.linalg.norm(x - start) < 0.05 * diagonal:
                positions[node] = x
                if off < 0.05 * near:
                    break
    return replace(graph, positions=positions)


def _curves(mesh: Mesh, graph: Graph, primitives: Sequence[Primitive | None], near: float) -> list[EdgeCurve | None]:
    """Of every chain; along a hole on the one surface that is there, None between two holes."""
    curves: list[EdgeCurve | None] = []
    for chain in graph.chains:
        line = mesh.vertices[chain.vertices].copy()
        if chain.ends is not None:
            line[0], line[-1] = (graph.positions[e] for e in chain.ends)
        p, q = primitives[chain.left], primitives[chain.right]
        if p is not None and q is not None:
            curves.append(edge_curve(line, p, q, chain.ends is None, mesh.diagonal, near))
        else:
            there = q if p is None else p
            curves.append(None if there is None else free_edge(line, there, chain.ends is None))
    return curves


def _regions(mesh: Mesh, labels: np.ndarray, primitives: Sequence[Primitive | None], evidence: Sequence[Evidence], forced: set[int],
             surface: SolidInput, areas: np.ndarray) -> list[Region]:  # fmt: skip
    made = []
    for k, p in enumerate(primitives):
        triangles = np.flatnonzero(labels == k)
        vertices = np.unique(mesh.faces[triangles])
        views = None if surface.views is None or not len(vertices) else float(np.median(surface.views[vertices]))
        shown = p or Primitive("bspline", mesh.vertices[vertices].mean(0), np.zeros(3))
        made.append(Region(shown, vertices, triangles, float(areas[k]), evidence[k].sigma, evidence[k].n_eff, views, k in forced))
    return made


def _judged(shape, known: Checked, mesh: Mesh, labels: np.ndarray, primitives: Sequence[Primitive | None], graph: Graph,
            regions: list[Region], constraints: list[Constraint], missing: dict[int, str], sigma: float,
            surface: SolidInput) -> SolidResult:  # fmt: skip
    """Called a solid only if it passes every gate; else the faces that are sound, and what is missing."""
    if shape is None:
        return SolidResult("none", None, regions, [], constraints, holes_of(mesh, graph, missing), [known.problem], surface, sigma)
    error = known.volume / mesh.volume - 1
    limit = LARGEST_TOLERANCE * sigma
    reasons = [f"{len(missing)} parts of the surface have no face"] if missing else []
    reasons += gates(known, error, limit)
    faces = regions_of_faces(shape, mesh, labels, primitives)
    if not reasons:
        return SolidResult("solid", shape, regions, faces, constraints, [], [], surface, sigma, known.tolerance, error)
    bad = {k for k in known.bad_faces} | {k for k, (face, _) in enumerate(faces) if largest_tolerance(face) > limit}
    missing = missing | {faces[k][1]: "its face is not valid, or only within too large a tolerance" for k in sorted(bad)}
    present = {region for _, region in faces}
    missing |= {k: "no face was made" for k in range(len(primitives)) if k not in present and k not in missing}
    kept = [faces[k] for k in range(len(faces)) if k not in bad]
    holes = holes_of(mesh, graph, missing)
    status = "open_shell" if kept else "none"
    shell = compound([face for face, _ in kept]) if kept else None
    return SolidResult(status, shell, regions, kept, constraints, holes, reasons, surface, sigma, known.tolerance, error)


def gates(known: Checked, volume_error: float, tolerance: float) -> list[str]:
    """Why a shape is no solid, one sentence each; empty if it is one."""
    reasons = []
    if not known.valid:
        reasons.append(f"OpenCASCADE's check fails on {len(known.bad_faces)} faces")
    if not known.closed:
        reasons.append("the shell is not closed")
    if known.shells != 1:
        reasons.append(f"it has {known.shells} shells instead of one")
    if not known.tolerance < tolerance:
        reasons.append(f"its largest tolerance is {known.tolerance:.2g}, more than {tolerance:.2g}")
    if not abs(volume_error) < LARGEST_VOLUME_ERROR:
        reasons.append(f"its volume is {100 * volume_error:+.2f} % off the mesh's")
    return reasons
