"""Regions of a noisy surface: the simplest primitive that the noise allows, found in smooth components and grown over what it explains.

Vertices near creases and curves belong to no component at first. A component that one primitive explains is a region; one of several
tangent faces is taken apart by random patches (Schnabel, Wahl and Klein, "Efficient RANSAC for point-cloud shape detection", CGF 2007);
what is left between gets regions of its own where it has an inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from recon.solid.basins import basins, distance_to_curves, rings_inside, turning
from recon.solid.fitting import fit, least_squares, robust_sigma
from recon.solid.mesh import Mesh
from recon.solid.model import Kind, Primitive
from recon.solid.primitives import COST, angle_to, cylindrical, distance, implicit, unit

LEAST_ANGLE_RAD, MOST_ANGLE_RAD = np.radians(2.0), np.radians(6.0)
"""Between these the standard deviation of smoothed normals is taken from the surface."""
OFF_BESIDE = np.array([2.6, 1.6, 1.2, 1.0])
ANGLE_BESIDE = np.array([12.0, 8.0, 4.0, 1.5, 1.0])
"""How many times larger errors of position and normal are 0, 1, 2 ... rings from an edge, which every surface rounds."""
PASSES, PASSES_ANGLE = 1.2, 1.15
"""A primitive explains a patch when its rms distance and angle are below so many standard deviations."""
INSIDE = 3
"""Vertices so many rings from every edge are not touched by its rounding."""
WIDE = 60
"""Vertices inside what nothing explains, from which on it is a region without a primitive."""
FEWER_SPHERES = 0.5
"""A sphere has to fit better than a cone by this, in standard deviations of distance and angle together."""
BENDS_RAD = np.radians(20.0)
"""A profile that bends less is no torus."""
MOSTLY = 0.5
"""What explains a larger part of some vertices than this is what they are."""
MEDIUM = 0.006
"""Faces with a smaller part of all vertices may have their surface in common with others: tips of teeth, bevels between flats."""
MOST_TRIES = 250
"""Patches grown to take components of several faces apart, of a whole part; each takes about 0.3 s."""
MOST_SIGMA = 5e-3
"""A basin that no plane, cylinder or cone follows within this part of the diagonal says nothing of the surface's errors."""
CURVED = 0.6
"""A basin is round if a round surface leaves less than this part of the plane's residuals."""
WIDER = 1.3
"""A less simple kind is taken for a group if it explains so many times more."""
ON_NEIGHBOUR = 0.8
"""A group with a larger part of its vertices within three sigma of a neighbour's surface belongs to it."""
KINDS: tuple[Kind, ...] = ("plane", "cylinder", "sphere", "cone", "torus")


@dataclass(frozen=True)
class Unexplained:
    """What stands for the surface of a region that nothing explains: it is a little off everywhere and faces nowhere, so it wins only
    vertices that no neighbour explains."""

    off: float

    def implicit(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.full(len(points), self.off), np.zeros_like(points)


@dataclass
class Scan:
    """A noisy surface and what is found on it so far.

    Attributes:
        mesh: The surface.
        sigma: Its standard deviation, world units.
        step: Median edge length.
        normals: Smoothed over as many rings as there are to the nearest edge, at most three. [V, 3]
        off: Standard deviation of the position of each vertex, world units. [V]
        angle: That of its normal, radians. [V]
        rings: Number of rings to the nearest edge. [V]
        basin: Smooth piece of the surface that a vertex is in, -1 for none. [V]
        on_curve: Nearer to a curve than an edge of the mesh is long. [V] bool
        label: Region of each vertex, -1 for none. [V]
        primitives: Of the regions.
        tries: Patches that may still be grown to take components apart, so that hopeless ones end.
    """

    mesh: Mesh
    sigma: float
    step: float
    normals: np.ndarray
    off: np.ndarray
    angle: np.ndarray
    rings: np.ndarray
    basin: np.ndarray
    on_curve: np.ndarray
    label: np.ndarray
    primitives: list[Primitive] = field(default_factory=list)
    tries: int = MOST_TRIES

    @property
    def points(self) -> np.ndarray:
        return self.mesh.vertices

    def take(self, vertices: np.ndarray, p: Primitive) -> None:
        self.label[vertices] = len(self.primitives)
        self.primitives.append(p)

    def groups(self, mask: np.ndarray) -> list[np.ndarray]:
        """Connected groups of the vertices in a mask, largest first."""
        index = np.flatnonzero(mask)
        if not len(index):
            return []
        count, number = connected_components(self.mesh.neighbours[index][:, index], directed=False)
        size = np.bincount(number, minlength=count)
        order = np.argsort(number, kind="stable")
        parts = np.split(index[order], np.cumsum(size)[:-1])
        return sorted(parts, key=len, reverse=True)

    def shrunk(self, mask: np.ndarray, rings: int) -> np.ndarray:
        """A mask without the vertices within ``rings`` of its outside."""
        for _ in range(rings):
            mask = mask & (self.mesh.neighbours @ (~mask).astype(np.float32) == 0)
        return mask


def prepare(mesh: Mesh, curves: tuple[np.ndarray, ...], sigma: float) -> Scan:
    """Basins, smoothed normals, and how well positions and normals are known."""
    step = float(np.median(mesh.edge_lengths))
    turn, away = turning(mesh), distance_to_curves(mesh, curves, step)
    basin = basins(mesh, turn, away, step)
    rings = rings_inside(mesh, basin, away, step)
    matrix = mesh.neighbours
    degree = np.asarray(matrix.sum(1)).ravel()[:, None]
    normals = sums = mesh.vertex_normals.copy()
    for times in (1, 2, 3):
        sums = (matrix @ sums + sums) / (degree + 1)
        normals = np.where((rings > times)[:, None], unit(sums), normals)
    angle = float(np.clip(1.5 * np.quantile(turn, 0.25), LEAST_ANGLE_RAD, MOST_ANGLE_RAD))
    off = sigma * OFF_BESIDE[np.minimum(rings, len(OFF_BESIDE) - 1)]
    angles = angle * ANGLE_BESIDE[np.minimum(rings, len(ANGLE_BESIDE) - 1)]
    return Scan(mesh, sigma, step, normals, off, angles, rings, basin, away < step, np.full(len(rings), -1))


def with_sigma(scan: Scan, sigma: float) -> Scan:
    """The same scan with another standard deviation of its positions."""
    return replace(scan, sigma=sigma, off=scan.off * (sigma / scan.sigma))


def measured_sigma(scan: Scan, least: float) -> float:
    """Standard deviation of a surface's positions, world units: the median over its larger basins, of what the best plane, cylinder or cone
    leaves there; ``least`` if most of the surface is of another form, or is better than that."""
    order = np.argsort(scan.basin, kind="stable")
    own, sizes, unknown = [], [], 0
    for piece in np.split(order, np.flatnonzero(np.diff(scan.basin[order])) + 1):
        core = piece[scan.rings[piece] >= INSIDE]
        if scan.basin[piece[0]] < 0 or len(core) < 0.5 * MEDIUM * len(order):
            continue
        fits = [fit(kind, scan.points[core], scan.normals[core], most=350) for kind in ("plane", "cylinder", "cone")]
        flat, *round_ones = (np.inf if p is None else robust_sigma(distance(p, scan.points[core])) for p in fits)
        best = min(round_ones) if min(round_ones) < CURVED * flat else flat
        if best < MOST_SIGMA * scan.mesh.diagonal:
            own.append(best)
            sizes.append(len(core))
        else:
            unknown += len(core)
    if sum(sizes) <= unknown:
        return least
    ranked = np.argsort(own)
    total = np.cumsum(np.array(sizes)[ranked])
    return max(least, float(np.array(own)[ranked[np.searchsorted(total, 0.5 * total[-1])]]))


def observable(p: Primitive, points: np.ndarray, normals: np.ndarray) -> bool:
    """Whether the points bend enough to tell this kind from a simpler one."""
    if p.kind == "plane":
        return True
    if p.kind == "cylinder":
        away = cylindrical(p, points)[2]
        return bool(np.linalg.norm(away.mean(0)) < np.cos(np.radians(4.0)))
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(np.cov(normals.T)), 0))
    if p.kind == "cone":
        return len(points) > 50 and values[2] > 0.15
    if p.kind == "sphere":
        return len(points) > 80 and values[0] > 0.08
    # a torus is a cone or a cylinder as long as its profile does not bend
    profile = np.arcsin(np.clip(implicit(p, points)[1] @ p.axis, -1, 1))
    return len(points) > 80 and values[1] > 0.1 and bool(np.ptp(np.quantile(profile, (0.05, 0.95))) > BENDS_RAD)


def simplest(scan: Scan, vertices: np.ndarray, slack: float = 1.0, kinds: tuple[Kind, ...] = KINDS) -> Primitive | None:
    """The simplest primitive that explains some vertices; None if none does.

    The first kind within :data:`PASSES` is taken; else the best of those within 1.6 sigma, where a simpler one may be 15 % worse.
    """
    chosen = _some(vertices, 900)
    x, n = scan.points[chosen], scan.normals[chosen]
    fair: list[tuple[float, Primitive]] = []
    passing: list[tuple[float, Primitive]] = []
    for kind in kinds:
        if (len(vertices) < 25 and kind != "plane") or (passing and kind == "torus"):
            break
        p = fit(kind, x, n, (scan.sigma / scan.off[chosen]) ** 2, most=350, goal=6 * scan.sigma * slack)
        if p is None or not observable(p, x, n):
            continue
        error, turn, far = (value / slack for value in misfit(scan, p, chosen))
        if far < 4.2 and error < PASSES and turn < PASSES_ANGLE:
            # a narrow ring lies on a sphere as well as on a cone, and parts have more cones
            passing.append((error + turn + (FEWER_SPHERES if kind == "sphere" else 0.0), p))
            if kind != "sphere":
                break
        if far < 4.2 and error < 1.6 and turn < 1.8:
            fair.append((error, p))
    if passing:
        return min(passing, key=lambda t: t[0])[1]
    if not fair:
        return None
    least = min(e for e, _ in fair)
    return next(p for e, p in fair if e <= 1.15 * least)


def mostly_simpler(scan: Scan, p: Primitive, vertices: np.ndarray) -> Primitive | None:
    """A cylinder or a cone that explains most of a torus's vertices: with the rounded edge beside it, it looks like one."""
    profile = np.argsort(scan.normals[vertices] @ p.axis)
    third = len(vertices) // 3
    for kind in ("cylinder", "cone"):
        for part in (profile[: 2 * third], profile[third:], profile):
            mine = vertices[part]
            for _ in range(3):
                q = fit(kind, scan.points[mine], scan.normals[mine], (scan.sigma / scan.off[mine]) ** 2)
                mine = vertices[explains(scan, q, vertices, 2.5)] if q is not None else mine[:0]
                if len(mine) < 0.25 * len(vertices):
                    break
                if len(mine) > MOSTLY * len(vertices):
                    return q
    return None


def misfit(scan: Scan, p: Primitive, vertices: np.ndarray) -> tuple[float, float, float]:
    """Root mean square of distances and of angles, and the 97 % quantile of distances, in standard deviations."""
    d = np.abs(distance(p, scan.points[vertices])) / scan.off[vertices]
    return float(np.sqrt(np.mean(d**2))), float(np.sqrt(np.mean(turns(scan, p, vertices) ** 2))), float(np.quantile(d, 0.97))


def turns(scan: Scan, p: Primitive, vertices: np.ndarray) -> np.ndarray:
    """Angles between a surface and the normals, in standard deviations. [n]"""
    return angle_to(p, scan.points[vertices], scan.normals[vertices]) / scan.angle[vertices]


def explains(scan: Scan, p: Primitive, vertices: np.ndarray, factor: float) -> np.ndarray:
    """Which vertices lie within ``factor`` standard deviations of a surface, in distance and angle."""
    near = np.abs(distance(p, scan.points[vertices])) < factor * scan.off[vertices]
    return near & (turns(scan, p, vertices) < factor)


def owner_of(scan: Scan, vertices: np.ndarray) -> int | None:
    """The region that some vertices belong to: one on whose surface most of them lie and face as it does, wherever it is (a narrow face is
    found in pieces); or one beside them on whose surface most lie, whatever their normals say beside an edge."""
    for k, p in enumerate(scan.primitives):
        if float(explains(scan, p, vertices, 2.5).mean()) > ON_NEIGHBOUR:
            return k
    around = scan.label[scan.mesh.neighbours[vertices].indices]
    best, share = None, ON_NEIGHBOUR
    for k in np.unique(around[around >= 0]).tolist():
        if scan.primitives[k].kind == "bspline":
            continue
        on = float((np.abs(distance(scan.primitives[k], scan.points[vertices])) < 3 * scan.sigma).mean())
        if on > share:
            best, share = k, on
    return best


def start_region(scan: Scan, vertices: np.ndarray, p: Primitive | None) -> None:
    """Give vertices to the neighbour on whose surface they lie, else to a region of their own if there is a primitive."""
    beside = owner_of(scan, vertices)
    if beside is not None:
        scan.label[vertices] = beside
    elif p is not None:
        scan.take(vertices, p)


def grow(scan: Scan, factor: float) -> None:
    """Every region takes the vertices beside it that it explains, ring by ring, as far as the ridges."""
    matrix = scan.mesh.neighbours
    open_to = (scan.rings > 0) & (scan.label < 0)
    front = np.flatnonzero(scan.label >= 0)
    while len(front):
        rows = matrix[front]
        source = np.repeat(front, np.diff(rows.indptr))
        target = rows.indices
        free = open_to[target] & (scan.basin[target] == scan.basin[source])
        source, target = source[free], target[free]
        new = []
        for k in np.unique(scan.label[source]):
            reached = np.unique(target[scan.label[source] == k])
            reached = reached[open_to[reached]]
            reached = reached[explains(scan, scan.primitives[k], reached, factor)]
            scan.label[reached] = k
            open_to[reached] = False
            new.append(reached)
        front = np.concatenate(new) if new else np.zeros(0, int)


def take_apart(
    scan: Scan,
    vertices: np.ndarray,
    least: int,
    rng: np.random.Generator,
    sizes: tuple[int, ...] = (60, 200),
    seeds: int = 8,
    rounds: int = 40,
    narrow: bool = False,
) -> None:
    """Regions of a component that no single primitive explains: the best of random patches is grown and taken, again and again."""
    rest = np.zeros(len(scan.points), bool)
    rest[vertices] = True
    failures = 0
    for _ in range(rounds):
        left = np.flatnonzero(rest)
        if len(left) < least or failures >= 2 or not scan.tries:
            return
        scan.tries -= 1
        best = _best_patch(scan, left, rng, sizes, seeds)
        if best is None or len(best[0]) < least:
            failures += 1
            continue
        taken, p = best
        simpler = mostly_simpler(scan, p, taken) if narrow and p.kind == "torus" else None
        if simpler is not None:
            taken, p = taken[explains(scan, simpler, taken, 2.5)], simpler
        scan.take(taken, simplest(scan, taken) or p)
        rest[taken] = False


def _best_patch(
    scan: Scan, left: np.ndarray, rng: np.random.Generator, sizes: tuple[int, ...], seeds: int
) -> tuple[np.ndarray, Primitive] | None:
    tree = KDTree(scan.points[left])
    sample = left if len(left) < 1500 else rng.choice(left, 1500, replace=False)
    found: list[tuple[float, int, Primitive]] = []
    for seed in rng.choice(left, min(seeds, len(left)), replace=False):
        for size in sizes:
            if size > 1.2 * len(left):
                continue
            patch = left[tree.query(scan.points[seed], min(size, len(left)))[1]]
            patch = patch[scan.normals[patch] @ scan.normals[seed] > -0.2]
            p = simplest(scan, patch, 1.15) if len(patch) >= 12 else None
            if p is not None:
                share = float(explains(scan, p, sample, 2.5).mean())
                found.append((share * (1 - 0.05 * COST[p.kind]), int(seed), p))
    found.sort(key=lambda t: -t[0])
    best: tuple[np.ndarray, Primitive, int] | None = None
    for _, seed, p in found[:3]:
        group = _connected(scan, left, p, seed)
        if group is None:
            continue
        again = least_squares(p, _some(scan.points[group])) if len(group) > 12 else None
        if again is not None:
            wider = _connected(scan, left, again, seed)
            if wider is not None and len(wider) >= 0.9 * len(group):
                group, p = wider, again
        if best is None or len(group) * (1 - 0.04 * COST[p.kind]) > len(best[0]) * (1 - 0.04 * COST[best[1].kind]):
            best = (group, p, seed)
    return None if best is None else _wider(scan, left, *best)


def _wider(scan: Scan, left: np.ndarray, group: np.ndarray, p: Primitive, seed: int) -> tuple[np.ndarray, Primitive]:
    """The same group, or the larger one of a less simple kind: a strip of a cone lies on a cylinder as far as the noise lets it."""
    best = (group, p)
    for kind in KINDS:
        if COST[kind] <= COST[p.kind] or len(group) < 40:
            continue
        reached, found = group, None
        for _ in range(4):
            chosen = _some(reached, 600)
            q = fit(kind, scan.points[chosen], scan.normals[chosen], (scan.sigma / scan.off[chosen]) ** 2)
            wider = None if q is None else _connected(scan, left, q, seed)
            if wider is None or len(wider) < 1.02 * len(reached):
                break
            reached, found = wider, q
        if found is not None and len(reached) > WIDER * len(best[0]):
            best = (reached, found)
    return best


def _some(x: np.ndarray, most: int = 600) -> np.ndarray:
    return x[np.linspace(0, len(x) - 1, min(len(x), most)).astype(int)]


def _connected(scan: Scan, left: np.ndarray, p: Primitive, seed: int) -> np.ndarray | None:
    mask = np.zeros(len(scan.points), bool)
    mask[left[explains(scan, p, left, 2.5)]] = True
    if not mask[seed]:
        return None
    return next(g for g in scan.groups(mask) if (g == seed).any())
