"""Regions of a noisy surface: the simplest primitive that the noise allows, found in smooth components and grown over what it explains.

Vertices near creases and curves belong to no component at first. A component that one primitive explains is a region; one of several
tangent faces is taken apart by random patches (Schnabel, Wahl and Klein, "Efficient RANSAC for point-cloud shape detection", CGF 2007);
what is left between gets regions of its own where it has an inside.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from recon.solid.edges import resampled
from recon.solid.fitting import fit, least_squares, rms
from recon.solid.mesh import Mesh
from recon.solid.model import Kind, Primitive
from recon.solid.primitives import COST, angle_to, cylindrical, distance, unit

ANGLE_RAD = np.radians(6.0)
"""Standard deviation of smoothed normals that is allowed for."""
PASSES, PASSES_ANGLE = 1.2, 1.15
"""A primitive explains a patch when its rms distance and angle are below so many standard deviations."""
CREASE_RAD = np.radians(14.0)
"""Normals within two rings differ by less than this where there is no crease."""
BARRIER, NEAR = 1.3, 1.8
"""Vertices within so many edge lengths of a curve are a barrier; no region starts within the second."""
WIDE = 60
"""Vertices inside what nothing explains, from which on it is a region without a primitive."""
ROUNDING = 2
"""Rings that are taken off what is left over: a surface rounds the part's edges by about as much, and that is no face."""
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
        normals: Smoothed over three rings; good in the middle of faces, the neighbour's too beside an edge. [V, 3]
        fine: Smoothed over one ring. [V, 3]
        crease: Near where normals change quickly, or near a curve. [V] bool
        near: Near a curve. [V] bool
        on_curve: Nearer to one than an edge of the mesh is long. [V] bool
        label: Region of each vertex, -1 for none. [V]
        primitives: Of the regions.
    """

    mesh: Mesh
    sigma: float
    step: float
    normals: np.ndarray
    fine: np.ndarray
    crease: np.ndarray
    near: np.ndarray
    on_curve: np.ndarray
    label: np.ndarray
    primitives: list[Primitive] = field(default_factory=list)

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
    """Smoothed normals, creases and barriers.

    A crease is where normals differ over a few rings by more than elsewhere: the length of their mean says by how much.
    """
    step = float(np.median(mesh.edge_lengths))
    matrix = mesh.neighbours
    degree = np.asarray(matrix.sum(1)).ravel()[:, None]

    def smoothed(x: np.ndarray, times: int) -> np.ndarray:
        for _ in range(times):
            x = (matrix @ x + x) / (degree + 1)
        return x

    normals = unit(smoothed(mesh.vertex_normals, 3))
    spread = 2 * np.arccos(np.minimum(np.linalg.norm(smoothed(mesh.vertex_normals, 2), axis=1), 1.0))
    crease = spread > max(CREASE_RAD, 3 * float(np.median(spread)))
    near, on_curve = np.zeros((2, len(mesh.vertices)), bool)
    if curves:
        lengths = [float(np.linalg.norm(np.diff(c, axis=0), axis=1).sum()) for c in curves]
        samples = np.concatenate([resampled(c, max(2, int(n / (0.5 * step)) + 1)) for c, n in zip(curves, lengths, strict=True)])
        away = KDTree(samples).query(mesh.vertices, distance_upper_bound=4 * step)[0]
        crease |= away < BARRIER * step
        near, on_curve = away < NEAR * step, away < step
    fine = unit(smoothed(mesh.vertex_normals, 1))
    return Scan(mesh, sigma, step, normals, fine, crease, near, on_curve, np.full(len(mesh.vertices), -1))


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
    return len(points) > 80 and values[1] > (0.2 if p.kind == "sphere" else 0.1)


def simplest(scan: Scan, vertices: np.ndarray, slack: float = 1.0, kinds: tuple[Kind, ...] = KINDS) -> Primitive | None:
    """The simplest primitive that explains some vertices; None if none does.

    The first kind within :data:`PASSES` is taken; else the best of those within 1.6 sigma, where a simpler one may be 15 % worse.
    """
    chosen = vertices if len(vertices) <= 900 else vertices[np.linspace(0, len(vertices) - 1, 900).astype(int)]
    x, n = scan.points[chosen], scan.normals[chosen]
    sigma, angle = scan.sigma * slack, ANGLE_RAD * slack
    fair: list[tuple[float, Primitive]] = []
    passing: list[tuple[float, Primitive]] = []
    for kind in kinds:
        if (len(vertices) < 25 and kind != "plane") or (passing and kind == "torus"):
            break
        p = fit(kind, x, n, most=350, goal=6 * sigma)
        if p is None or not observable(p, x, n):
            continue
        d = np.abs(distance(p, x))
        error, turn = float(np.sqrt(np.mean(d**2))), mean_turn(scan, p, chosen)
        far = float(np.quantile(d, 0.97)) < 4.2 * sigma
        if far and error < PASSES * sigma and turn < PASSES_ANGLE * angle:
            passing.append((error / sigma + turn / angle, p))
            # a narrow ring lies on a sphere as well as on a cone: of these two the better one
            if kind != "sphere":
                break
        if far and error < 1.6 * sigma and turn < 1.8 * angle:
            fair.append((error, p))
    if passing:
        return min(passing, key=lambda t: t[0])[1]
    if not fair:
        return None
    least = min(e for e, _ in fair)
    return next(p for e, p in fair if e <= 1.15 * least)


def turns(scan: Scan, p: Primitive, vertices: np.ndarray) -> np.ndarray:
    """Angles between a surface and the normals, radians: the better of the smoothed and the fine ones, which are good beside edges. [n]"""
    x = scan.points[vertices]
    return np.minimum(angle_to(p, x, scan.normals[vertices]), angle_to(p, x, scan.fine[vertices]))


def mean_turn(scan: Scan, p: Primitive, vertices: np.ndarray) -> float:
    """Root mean square of :func:`turns`."""
    return float(np.sqrt(np.mean(turns(scan, p, vertices) ** 2)))


def explains(scan: Scan, p: Primitive, vertices: np.ndarray, factor: float) -> np.ndarray:
    """Which vertices lie within ``factor`` standard deviations of a surface, in distance and angle."""
    near = np.abs(distance(p, scan.points[vertices])) < factor * scan.sigma
    return near & (turns(scan, p, vertices) < factor * ANGLE_RAD)


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
    """Every region takes the vertices beside it that it explains, ring by ring."""
    matrix = scan.mesh.neighbours
    front = np.flatnonzero(scan.label >= 0)
    while len(front):
        rows = matrix[front]
        source = np.repeat(front, np.diff(rows.indptr))
        target = rows.indices
        free = scan.label[target] < 0
        source, target = source[free], target[free]
        new = []
        for k in np.unique(scan.label[source]):
            reached = np.unique(target[scan.label[source] == k])
            reached = reached[scan.label[reached] < 0]
            reached = reached[explains(scan, scan.primitives[k], reached, factor)]
            scan.label[reached] = k
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
) -> None:
    """Regions of a component that no single primitive explains: the best of random patches is grown and taken, again and again."""
    rest = np.zeros(len(scan.points), bool)
    rest[vertices] = True
    failures = 0
    for _ in range(rounds):
        left = np.flatnonzero(rest)
        if len(left) < least or failures >= 2:
            return
        best = _best_patch(scan, left, rng, sizes, seeds)
        if best is None or len(best[0]) < least:
            failures += 1
            continue
        taken, p = best
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
    best: tuple[np.ndarray, Primitive] | None = None
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
            best = (group, p)
    return best


def _some(x: np.ndarray, most: int = 600) -> np.ndarray:
    return x[np.linspace(0, len(x) - 1, min(len(x), most)).astype(int)]


def _connected(scan: Scan, left: np.ndarray, p: Primitive, seed: int) -> np.ndarray | None:
    mask = np.zeros(len(scan.points), bool)
    mask[left[explains(scan, p, left, 2.5)]] = True
    if not mask[seed]:
        return None
    return next(g for g in scan.groups(mask) if (g == seed).any())


def find_regions(scan: Scan, seed: int) -> None:
    """Fill ``label`` and ``primitives`` of a prepared scan; vertices that nothing explains keep -1."""
    rng = np.random.default_rng(seed)
    components = scan.groups(~scan.crease)
    large = max(60, int(1.2e-3 * len(scan.points)))
    open_ones = []
    for group in components:
        if len(group) < large:
            break
        p = simplest(scan, group)
        if p is None:
            open_ones.append(group)
        else:
            scan.take(group, p)
    for group in open_ones:
        take_apart(scan, group, max(40, len(group) // 100), rng)
    grow(scan, 3.0)
    for group in components:
        group = group[scan.label[group] < 0]
        if 5 <= len(group) < large:
            start_region(scan, group, simplest(scan, group) or _small_plane(scan, group))
    grow(scan, 2.5)
    _leftovers(scan, rng)
    grow(scan, 2.5)
    for group in scan.groups((scan.label < 0) & ~scan.near):
        inside = np.zeros(len(scan.points), bool)
        inside[group] = True
        inside = np.flatnonzero(scan.shrunk(inside, ROUNDING))
        if len(inside) < 12:
            continue
        kinds = ("plane",) if len(inside) < 40 else ("plane", "cylinder")
        fits = [p for p in (fit(k, scan.points[inside], scan.normals[inside]) for k in kinds) if p is not None]
        p = min(fits, key=lambda q: rms(q, scan.points[inside])) if fits else None
        if p is not None and rms(p, scan.points[inside]) < 6 * scan.sigma:
            start_region(scan, inside, p)
        elif len(inside) >= WIDE and owner_of(scan, inside) is None:
            # never let neighbours grow across what they do not explain
            scan.take(group, Primitive("bspline", scan.points[inside].mean(0), np.zeros(3), patch=Unexplained(1.5 * scan.sigma)))
    if not scan.primitives:
        everything = Primitive("bspline", scan.points.mean(0), np.zeros(3), patch=Unexplained(1.5 * scan.sigma))
        scan.take(np.arange(len(scan.points)), everything)


def _small_plane(scan: Scan, vertices: np.ndarray) -> Primitive | None:
    """A plane through what a small face has inside its edges: smoothed normals there are the neighbours' too, so the mesh's own decide."""
    x = scan.points[vertices]
    p = fit("plane", x, scan.mesh.vertex_normals[vertices])
    if p is None or rms(p, x) > PASSES * scan.sigma:
        return None
    mean = unit(scan.mesh.vertex_normals[vertices].mean(0))
    return p if abs(mean @ p.axis) > np.cos(2 * ANGLE_RAD) else Primitive("plane", p.point, mean) if len(vertices) < 12 else None


def _leftovers(scan: Scan, rng: np.random.Generator) -> None:
    """Regions in what is not explained yet and is wide enough to have an inside: fillets, whose normals turn like a crease's."""
    free = scan.shrunk((scan.label < 0) & ~scan.near, ROUNDING)
    for group in scan.groups(free):
        if len(group) < 7:
            break
        p = simplest(scan, group)
        if p is not None or owner_of(scan, group) is not None:
            start_region(scan, group, p)
        elif len(group) > 40:
            take_apart(scan, group, 20, rng, (30, 90), 6, 8)
