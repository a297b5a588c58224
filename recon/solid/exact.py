"""Regions of a mesh whose vertices lie on the surfaces: a tessellation from a CAD program.

There a primitive either goes through all vertices of a patch or it does not, so regions are grown one after the other from small patches,
simplest kind first. What decides between a curved face and a few plane ones is counted: more vertices than the surface has freedom, and
facets as flat as a tessellation makes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from recon.solid.fitting import fit
from recon.solid.mesh import Mesh
from recon.solid.model import Kind, Primitive
from recon.solid.primitives import FREE, implicit, unit

TOLERANCE = 2e-6
"""Largest distance of a vertex from its surface, as a part of the diagonal."""
FACET_RAD = 0.2
"""Largest angle between a facet and its surface at one of its corners: facets of a tessellation turn by less than twice this."""
SAGITTA = 4e-4
"""Largest height of a curved face over its facets, as a part of the diagonal; two facets that bend more meet at an edge of planes."""
WIDELY = 100.0
"""Times the tolerance, within which a face may belong to the surface of another."""
STRAGGLING = 0.2
"""What is left beside a region is part of it only if it has less than this part of its area."""
SAME_CURVATURE = 1e-5
"""A neighbour that leaves a surface by less than this part of the diagonal in one facet goes on with the same curvature."""
SMOOTH_RAD = 0.45
"""Neighbouring facets that bend by less may belong to one curved face."""
TRIES = 3
"""So many patches around a triangle may fail before it is no seed any more."""
GIVE_UP = 30
"""After so many failures one after the other a smooth piece counts as free form."""
STRIP = 0.75
"""A facet with a larger part of its outline running on smoothly may be a strip of a curved face."""
PATCHES: tuple[tuple[int, tuple[Kind, ...]], ...] = (
    (4, ("cylinder",)),
    (12, ("cylinder", "sphere", "cone")),
    (40, ("cylinder", "sphere", "cone", "torus")),
    (120, ("cylinder", "sphere", "cone", "torus")),
    (400, ("torus",)),
)
"""Sizes of patches that regions are grown from, in triangles, and the kinds that so many can prove, simplest first."""


@dataclass(frozen=True)
class Segmentation:
    """Regions of a mesh.

    Attributes:
        labels: Number of its region for each triangle; every region is connected. [F]
        primitives: Of each region; None where nothing was found to explain it.
        facets: Regions that are single triangles, in the plane of their corners.
    """

    labels: np.ndarray
    primitives: list[Primitive | None]
    facets: frozenset[int] = frozenset()


def facets(mesh: Mesh, tolerance: float) -> np.ndarray:
    """Groups of neighbouring triangles that lie in one plane, as numbers. [F]

    Two triangles are one facet when each one's far corner is within the tolerance of the other's plane and their normals agree as far as
    the corners' tolerance lets them be known.
    """
    a, b, half = mesh.pairs
    far_b = mesh.vertices[mesh.faces[b, (mesh.opposite[half] % 3 + 2) % 3]]
    far_a = mesh.vertices[mesh.faces[a, (half % 3 + 2) % 3]]
    base = mesh.vertices[mesh.starts[half]]
    off = np.maximum(
        np.abs(np.einsum("ij,ij->i", far_b - base, mesh.normals[a])), np.abs(np.einsum("ij,ij->i", far_a - base, mesh.normals[b]))
    )
    height = 2 * np.minimum(mesh.areas[a], mesh.areas[b]) / np.maximum(mesh.edge_lengths, 1e-300)
    flat = (off < tolerance) & (mesh.bends < np.minimum(0.002 + 2 * tolerance / np.maximum(height, 1e-300), 0.5))
    n = len(mesh.faces)
    return connected_components(csr_matrix((np.ones(flat.sum(), np.int8), (a[flat], b[flat])), shape=(n, n)), directed=False)[1]


class _Grower:
    """What is known while regions are taken away one by one."""

    def __init__(self, mesh: Mesh, tolerance: float, runs_on: np.ndarray):
        self.mesh, self.tolerance, self.runs_on = mesh, tolerance, runs_on
        self.free = np.ones(len(mesh.faces), bool)
        self.smooth = mesh.bends < SMOOTH_RAD
        a, b, _ = mesh.pairs
        n = len(mesh.faces)
        keep = self.smooth
        graph = csr_matrix((np.ones(2 * keep.sum(), np.int8), (np.r_[a[keep], b[keep]], np.r_[b[keep], a[keep]])), shape=(n, n))
        self._start, self._next = graph.indptr, graph.indices
        # a sliver's normal is not known: its corners alone decide
        longest = np.max(
            [np.linalg.norm(mesh.vertices[mesh.faces[:, k]] - mesh.vertices[mesh.faces[:, k - 1]], axis=1) for k in range(3)], 0
        )
        self.sliver = mesh.areas < 4 * tolerance * longest

    def patch(self, seed: int, count: int) -> np.ndarray:
        """At most ``count`` free triangles around a seed, by rings of smooth neighbours."""
        seen, front = {seed}, [seed]
        while front and len(seen) < count:
            ring = []
            for t in front:
                for other in self._next[self._start[t] : self._start[t + 1]].tolist():
                    if other not in seen and self.free[other]:
                        seen.add(other)
                        ring.append(other)
            front = ring
        return np.fromiter(seen, int)[: count + count // 2]

    def ends(self, region: np.ndarray) -> bool:
        """Whether no free triangle runs on from a region."""
        member = np.zeros(len(self.free), bool)
        member[region] = True
        a, b, _ = self.mesh.pairs
        return not (self.runs_on & self.free[a] & self.free[b] & (member[a] != member[b])).any()

    def belongs(self, p: Primitive, triangles: np.ndarray, times: float = 1.0) -> np.ndarray:
        """Which triangles have their corners on the surface and face as it does there. [n] bool"""
        corners = self.mesh.vertices[self.mesh.faces[triangles]]
        d, n = implicit(p, corners.reshape(-1, 3))
        on = (np.abs(d).reshape(-1, 3) < times * self.tolerance).all(1)
        cosine = np.abs(np.einsum("tkj,tj->tk", n.reshape(-1, 3, 3), self.mesh.normals[triangles]))
        limit = np.cos(FACET_RAD if p.kind != "plane" else 0.01)
        return on & ((cosine > limit).all(1) | self.sliver[triangles])

    def grow(self, p: Primitive, seed: int) -> np.ndarray:
        """The connected free triangles on the surface that contain the seed; empty if the seed is not on it."""
        candidates = np.flatnonzero(self.free)
        on = np.zeros(len(self.free), bool)
        on[candidates[self.belongs(p, candidates)]] = True
        if not on[seed]:
            return np.zeros(0, int)
        label = self.mesh.components(on, self.smooth)
        return np.flatnonzero(label == label[seed])


def corner_points(mesh: Mesh, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of some triangles once each: their numbers, positions, and normals from those triangles alone. [k], [k, 3], [k, 3]"""
    used, inverse = np.unique(mesh.faces[triangles], return_inverse=True)
    normals = np.zeros((len(used), 3))
    weight = np.repeat(mesh.normals[triangles] * np.sqrt(mesh.areas[triangles])[:, None], 3, axis=0)
    np.add.at(normals, inverse.ravel(), weight)
    return used, mesh.vertices[used], unit(normals)


def _sagitta(mesh: Mesh, triangles: np.ndarray, share: float) -> float:
    """Height of a curved surface over its facets, from their widths and the bends between them: width x bend / 8; a quantile of it."""
    a, b, _ = mesh.pairs
    member = np.zeros(len(mesh.faces), bool)
    member[triangles] = True
    inside = member[a] & member[b] & (mesh.bends > 0.003)
    if not inside.any():
        return 0.0
    width = 2 * np.maximum(mesh.areas[a[inside]], mesh.areas[b[inside]]) / mesh.edge_lengths[inside]
    return float(np.quantile(width * mesh.bends[inside] / 8, share))


def _grown(grower: _Grower, kind: Kind, patch: np.ndarray, seed: int) -> tuple[np.ndarray, Primitive] | None:
    """The region that a patch's primitive grows to, fitted again as it grows; None if the patch is not on one or proves none."""
    mesh = grower.mesh
    _, points, normals = corner_points(mesh, patch)
    p = fit(kind, points, normals, goal=200 * TOLERANCE * mesh.diagonal)
    if p is None or np.abs(implicit(p, points)[0]).max() > grower.tolerance:
        return None
    region = grower.grow(p, seed)
    for _ in range(3):
        if len(region) < 3:
            return None
        _, points, normals = corner_points(mesh, region)
        again = fit(kind, points, normals, most=3000)
        if again is None:
            break
        wider = grower.grow(again, seed)
        if len(wider) < len(region):
            break
        p, grew, region = again, len(wider) > len(region), wider
        if not grew:
            break
    # a torus may be found through two round corners and the flat wall between them, which is a wide facet
    flat_enough = _sagitta(mesh, region, 1.0 if kind == "torus" else 0.5) < SAGITTA * mesh.diagonal
    excess = len(np.unique(mesh.faces[region])) - FREE[kind]
    if kind == "cylinder":  # two strips always lie on one: then it must end where the surface ends
        proven = excess >= 7 or (flat_enough and excess >= 1 and (excess >= 5 or grower.ends(region)))
    else:
        proven = flat_enough and excess >= 3
    return (region, p) if proven else None


def _curved(grower: _Grower, seed: int, patches: Sequence[tuple[int, tuple[Kind, ...]]]) -> tuple[np.ndarray, Primitive] | None:
    """The curved region around a seed and its primitive, if vertices and facets prove one: the simplest of those that grow far."""
    best: tuple[np.ndarray, Primitive] | None = None
    before = 0
    for count, kinds in patches:
        patch = grower.patch(seed, count)
        if len(patch) <= before:
            break
        before = len(patch)
        for kind in kinds:
            found = _grown(grower, kind, patch, seed)
            if found is not None and (best is None or len(found[0]) > len(best[0])):
                best = found
        if best is not None and len(best[0]) >= 200:
            break
    return best


def exact_segmentation(mesh: Mesh, seed: int = 0) -> Segmentation:
    """Regions of a tessellation; triangles that no primitive explains form regions without one, split at sharp edges."""
    tolerance = TOLERANCE * mesh.diagonal
    rng = np.random.default_rng(seed)
    group = facets(mesh, tolerance)
    runs_on = _runs_on(mesh, group)
    grower = _Grower(mesh, tolerance, runs_on)
    labels = np.full(len(mesh.faces), -1)
    found: list[Primitive | None] = []

    def take(region: np.ndarray, p: Primitive | None) -> None:
        labels[region] = len(found)
        grower.free[region] = False
        found.append(p)

    for g in np.flatnonzero((np.bincount(group) > 4) & (_smooth_share(mesh, group, runs_on) < STRIP)):
        region = np.flatnonzero(group == g)
        take(region, _plane_through(mesh, region))
    # twice: what ends at its neighbours is known when they are
    for patches in (PATCHES, PATCHES[:1]):
        tried = np.zeros(len(mesh.faces), int)
        piece = mesh.components(grower.free.copy(), runs_on)
        failures = np.zeros(piece.max(initial=-1) + 1, int)
        for t in _by_area(mesh, np.flatnonzero(grower.free), rng):
            if not grower.free[t] or grower.sliver[t] or tried[t] >= TRIES or failures[piece[t]] >= GIVE_UP:
                continue
            curved = _curved(grower, int(t), patches)
            failures[piece[t]] = 0 if curved is not None else failures[piece[t]] + 1
            if curved is not None:
                take(*curved)
            else:
                tried[grower.patch(int(t), patches[len(patches) // 2][0])] += 1
    _cut_apart(grower, labels, found, take)
    _stragglers(mesh, grower, labels, found, runs_on)
    _dissolve(mesh, grower, labels, found, runs_on)
    _rest(mesh, grower, group, runs_on, take)
    labels = _absorbed(grower, _slivers(mesh, labels), found)
    return connected_regions(mesh, labels, found)


def _by_area(mesh: Mesh, triangles: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Triangles in a random order, those of large area sooner: faces of free form have thousands of small ones, others a few large ones.

    Efraimidis and Spirakis, "Weighted random sampling with a reservoir" (2006).
    """
    return triangles[np.argsort(rng.exponential(size=len(triangles)) / np.maximum(mesh.areas[triangles], 1e-300))]


def _plane_through(mesh: Mesh, region: np.ndarray) -> Primitive | None:
    _, points, normals = corner_points(mesh, region)
    return fit("plane", points, normals, most=3000)


def _runs_on(mesh: Mesh, group: np.ndarray) -> np.ndarray:
    """Edges across which a curved face could run: they bend no more than a tessellation lets them. [E] bool"""
    a, b, _ = mesh.pairs
    width = 2 * np.minimum(mesh.areas[a], mesh.areas[b]) / np.maximum(mesh.edge_lengths, 1e-300)
    return (mesh.bends < SMOOTH_RAD) & ((width * mesh.bends / 8 < SAGITTA * mesh.diagonal) | (group[a] == group[b]))


def _smooth_share(mesh: Mesh, group: np.ndarray, runs_on: np.ndarray) -> np.ndarray:
    """Part of each facet's outline across which the surface runs on: nearly all of it for a strip of a curved face. [G]"""
    a, b, _ = mesh.pairs
    outline = group[a] != group[b]
    count = group.max() + 1
    whole = sum(np.bincount(group[x[outline]], weights=mesh.edge_lengths[outline], minlength=count) for x in (a, b))
    on = outline & runs_on
    return sum(np.bincount(group[x[on]], weights=mesh.edge_lengths[on], minlength=count) for x in (a, b)) / np.maximum(whole, 1e-300)


def _cut_apart(grower: _Grower, labels: np.ndarray, found: list[Primitive | None], take: Callable) -> None:
    """Faces of one surface that something cuts apart: what the small ones do not prove by themselves they prove with the others.

    A surface is known less well far from its region, so candidates are looked for widely, and the common fit decides.
    """
    mesh = grower.mesh
    for k, p in enumerate(list(found)):
        if p is None or p.kind == "plane":
            continue
        free = np.flatnonzero(grower.free & ~grower.sliver)
        on = np.zeros(len(mesh.faces), bool)
        on[free[grower.belongs(p, free, WIDELY)]] = True
        number = mesh.components(on, grower.smooth)
        for n in range(number.max(initial=-1) + 1):
            piece = np.flatnonzero(number == n)
            _, points, normals = corner_points(mesh, np.concatenate([np.flatnonzero(labels == k), piece]))
            common = fit(p.kind, points, normals, most=3000)
            if common is not None and np.abs(implicit(common, points)[0]).max() < grower.tolerance:
                take(piece, common)


def _stragglers(mesh: Mesh, grower: _Grower, labels: np.ndarray, found: list[Primitive | None], runs_on: np.ndarray) -> None:
    """Few triangles left beside a region, with their corners on its surface, are its, however badly they stand to it."""
    a, b, _ = mesh.pairs
    piece = mesh.components(grower.free.copy(), runs_on)
    areas = np.bincount(labels[labels >= 0], weights=mesh.areas[labels >= 0], minlength=len(found))
    for n in range(piece.max(initial=-1) + 1):
        mine = np.flatnonzero(piece == n)
        edge = runs_on & ((piece[a] == n) != (piece[b] == n))
        beside = labels[np.where(piece[a[edge]] == n, b[edge], a[edge])]
        for k in np.unique(beside[beside >= 0]):
            p = found[k]
            if p is None or mesh.areas[mine].sum() > STRAGGLING * areas[k]:
                continue
            if np.abs(implicit(p, mesh.vertices[np.unique(mesh.faces[mine])])[0]).max() < 5 * grower.tolerance:
                labels[mine] = k
                grower.free[mine] = False
                break


def _dissolve(mesh: Mesh, grower: _Grower, labels: np.ndarray, found: list[Primitive | None], runs_on: np.ndarray) -> None:
    """Give back regions that run on into what is not explained with their curvature: circles that follow a free curve for a while.

    Where a primitive really ends on a tangent face, the curvature jumps, and the far corner of the first triangle beyond is off by half the
    jump times its squared width; where it does not, by the third power only.
    """
    a, b, half = mesh.pairs
    corners = ((a, b, mesh.faces[b, (mesh.opposite[half] % 3 + 2) % 3]), (b, a, mesh.faces[a, (half % 3 + 2) % 3]))
    for _ in range(20):
        dissolved = False
        for mine, other, far in corners:
            edge = runs_on & (labels[mine] >= 0) & grower.free[other] & ~grower.sliver[other]
            for k in np.unique(labels[mine[edge]]):
                p = found[k]
                if p is None or p.kind == "plane":
                    continue
                off = np.abs(implicit(p, mesh.vertices[far[edge & (labels[mine] == k)]])[0])
                if np.median(off) < SAME_CURVATURE * mesh.diagonal:
                    grower.free[labels == k] = True
                    labels[labels == k] = -1
                    dissolved = True
        if not dissolved:
            return


def _rest(mesh: Mesh, grower: _Grower, group: np.ndarray, runs_on: np.ndarray, take: Callable) -> None:
    """What is left: plane facets where they bend more than a tessellation would let them, else faces of free form."""
    label = mesh.components(grower.free.copy(), runs_on)
    for k in range(label.max(initial=-1) + 1):
        region = np.flatnonzero(label == k)
        if grower.sliver[region].all():
            continue
        take(region, _plane_through(mesh, region) if len(np.unique(group[region])) == 1 else None)


def _slivers(mesh: Mesh, labels: np.ndarray) -> np.ndarray:
    """Triangles without a label take that of the neighbour with the longest common edge."""
    labels = labels.copy()
    a, b, _ = mesh.pairs
    order = np.argsort(mesh.edge_lengths)
    for _ in range(100):
        if (labels >= 0).all():
            break
        for x, y in ((a[order], b[order]), (b[order], a[order])):
            give = (labels[x] >= 0) & (labels[y] < 0)
            labels[y[give]] = labels[x[give]]
    return labels


def _absorbed(grower: _Grower, labels: np.ndarray, found: list[Primitive | None]) -> np.ndarray:
    """Small regions that lie wholly on a larger neighbour's surface join it."""
    mesh = grower.mesh
    a, b, _ = mesh.pairs
    for k in np.argsort(-np.bincount(labels, minlength=len(found))):
        p = found[k]
        size = np.bincount(labels, minlength=len(found))
        border = labels[a] != labels[b]
        near = np.unique(np.r_[labels[b[border & (labels[a] == k)]], labels[a[border & (labels[b] == k)]]])
        if p is None or size[k] == 0:
            continue
        for other in near:
            if size[other] < size[k] and grower.belongs(p, np.flatnonzero(labels == other)).all():
                labels[labels == other] = k
    return labels


def connected_regions(mesh: Mesh, labels: np.ndarray, primitives: list[Primitive | None]) -> Segmentation:
    """Number every connected piece of a label by itself."""
    a, b, _ = mesh.pairs
    number = mesh.components(np.ones(len(mesh.faces), bool), labels[a] == labels[b])
    first = np.full(number.max() + 1, -1)
    first[number] = labels
    return Segmentation(number, [primitives[k] for k in first])
