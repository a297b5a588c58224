"""All regions of a prepared scan: basins that one primitive explains, basins that are taken apart, small faces, and what is left."""

from __future__ import annotations

import numpy as np

from recon.solid.basins import FEWEST
from recon.solid.fitting import fit, rms
from recon.solid.model import Primitive
from recon.solid.primitives import unit
from recon.solid.revolved import known_axes, revolved
from recon.solid.scan import (
    INSIDE,
    KINDS,
    MEDIUM,
    ON_NEIGHBOUR,
    PASSES,
    WIDE,
    Scan,
    Unexplained,
    explains,
    grow,
    misfit,
    owner_of,
    simplest,
    start_region,
    take_apart,
)  # fmt: skip


def find_regions(scan: Scan, seed: int) -> None:
    """Fill ``label`` and ``primitives`` of a prepared scan; vertices that nothing explains keep -1."""
    rng = np.random.default_rng(seed)
    order = np.argsort(scan.basin, kind="stable")
    pieces = np.split(order, np.flatnonzero(np.diff(scan.basin[order])) + 1)
    cores = []
    for piece in pieces:
        if scan.basin[piece[0]] < 0:
            continue
        deep = scan.rings[piece]
        core = piece[deep >= min(INSIDE, max(1, int(deep.max()) // 2))]
        if len(core) >= FEWEST:
            cores.append(core)
    cores.sort(key=len, reverse=True)
    medium = max(60, int(MEDIUM * len(scan.points)))
    open_ones = []
    for core in (c for c in cores if len(c) >= medium):
        p = simplest(scan, core)
        if p is not None:
            scan.take(core, p)
        else:
            open_ones.append(core)
    for core in open_ones:
        take_apart(scan, core, max(40, len(core) // 100), rng)
    grow(scan, 3.0)
    axes = known_axes(scan, medium)
    _small_faces(scan, [c for c in cores if len(c) < medium], axes)
    grow(scan, 3.0)
    for group in scan.groups((scan.label < 0) & (scan.rings > 0)):
        if len(group) < 12:
            break
        about = revolved(scan, group, axes, 0.5)
        if about is not None and owner_of(scan, about[1]) is None:
            scan.take(about[1], about[0])
            continue
        p = simplest(scan, group)
        if p is not None or owner_of(scan, group) is not None:
            start_region(scan, group, p)
        elif len(group) > 40:
            take_apart(scan, group, 20, rng, (30, 90), 6, 8, narrow=True)
    grow(scan, 2.5)
    for group in scan.groups((scan.label < 0) & (scan.rings > 1)):
        if len(group) < 12:
            break
        kinds = ("plane",) if len(group) < 40 else ("plane", "cylinder")
        fits = [p for p in (fit(k, scan.points[group], scan.normals[group]) for k in kinds) if p is not None]
        p = min(fits, key=lambda q: rms(q, scan.points[group])) if fits else None
        if p is not None and rms(p, scan.points[group]) < 6 * scan.sigma:
            start_region(scan, group, p)
        elif len(group) >= WIDE and owner_of(scan, group) is None:
            # never let neighbours grow across what they do not explain
            scan.take(group, Primitive("bspline", scan.points[group].mean(0), np.zeros(3), patch=Unexplained(1.5 * scan.sigma)))
    if not scan.primitives:
        everything = Primitive("bspline", scan.points.mean(0), np.zeros(3), patch=Unexplained(1.5 * scan.sigma))
        scan.take(np.arange(len(scan.points)), everything)


def _small_faces(scan: Scan, cores: list[np.ndarray], axes: list[Primitive]) -> None:
    """Regions of small basins, largest first.

    A narrow face may be in pieces, and one curved surface may be cut into small faces that are as good as plane: what several of them have
    in common comes first.
    """
    middles = np.array([scan.points[c].mean(0) for c in cores])
    pending = [True] * len(cores)
    for k, core in enumerate(cores):
        if not pending[k]:
            continue
        pending[k] = False
        owner = owner_of(scan, core)
        if owner is not None:
            scan.label[core] = owner
            continue
        alone = simplest(scan, core) or _small_plane(scan, core)
        about = revolved(scan, core, axes, ON_NEIGHBOUR)
        if about is not None and (alone is None or sum(misfit(scan, about[0], core)[:2]) < sum(misfit(scan, alone, core)[:2])):
            scan.take(core, about[0])
            continue
        others = np.flatnonzero(pending)
        near = others[np.argsort(np.linalg.norm(middles[others] - middles[k], axis=1))]
        members, p = _in_common(scan, cores, k, near, alone)
        if p is None:
            start_region(scan, core, alone)
            continue
        together = np.concatenate([core, *(cores[j] for j in members)])
        scan.take(together, simplest(scan, together) or p)
        for j in members:
            pending[j] = False


def _in_common(
    scan: Scan, cores: list[np.ndarray], k: int, near: np.ndarray, alone: Primitive | None
) -> tuple[list[int], Primitive | None]:
    """Other small basins on one surface with the k-th, and that surface; a kind that it is not alone needs two others."""
    for count in (6, 3, 2):
        if len(near) < count:
            continue
        p = simplest(scan, np.concatenate([cores[k], *(cores[j] for j in near[:count])]), kinds=KINDS[:4])
        if p is None or explains(scan, p, cores[k], 2.5).mean() <= ON_NEIGHBOUR:
            continue
        if alone is not None and p.kind != alone.kind and sum(misfit(scan, p, cores[k])[:2]) > sum(misfit(scan, alone, cores[k])[:2]):
            continue
        members = [int(j) for j in near if explains(scan, p, cores[j], 2.5).mean() > ON_NEIGHBOUR]
        if len(members) >= (1 if alone is not None and p.kind == alone.kind else 2):
            return members, p
    return [], None


def _small_plane(scan: Scan, vertices: np.ndarray) -> Primitive | None:
    """A plane through what a small face has inside its edges: smoothed normals there are the neighbours' too, so the mesh's own decide."""
    x = scan.points[vertices]
    p = fit("plane", x, scan.mesh.vertex_normals[vertices])
    if p is None or misfit(scan, p, vertices)[0] > PASSES:
        return None
    mean = unit(scan.mesh.vertex_normals[vertices].mean(0))
    if abs(mean @ p.axis) > np.cos(np.radians(12.0)):
        return p
    return Primitive("plane", p.point, mean) if len(vertices) < 12 else None
