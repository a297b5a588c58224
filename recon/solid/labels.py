"""From vertices that some regions explain to a region for every triangle: fronts, a smoothing of labels, merging, and no islands."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict

import numpy as np

from recon.solid.exact import Segmentation, connected_regions
from recon.solid.fitting import fit, rms
from recon.solid.model import Primitive
from recon.solid.primitives import COST, angle_to, distance
from recon.solid.scan import ANGLE_RAD, KINDS, Scan, mean_turn

SMOOTH = 7.0
"""Weight of the part of a vertex's neighbours that have another label, beside |d| / (2 sigma)."""
WEAK = 0.6
"""A small region with less of its border on curves than this is absorbed by neighbours."""
MERGE = 1.35
ISLAND = 30


def settle(scan: Scan) -> Segmentation:
    """A region for every triangle; all regions connected."""
    fill(scan)
    _absorb_weak(scan)
    for _ in range(2):
        _smooth(scan)
        if not _merge(scan):
            break
    labels = _triangles(scan)
    labels = _without_islands(scan, labels)
    return connected_regions(scan.mesh, labels, list(scan.primitives))


def fill(scan: Scan) -> None:
    """Fronts run from labelled vertices over the others, nearest to their surface first."""
    matrix = scan.mesh.neighbours
    start, other = matrix.indptr, matrix.indices
    label = scan.label
    free = np.flatnonzero(label < 0)
    if not len(free):
        return
    where = np.full(len(label), -1)
    where[free] = np.arange(len(free))
    off = np.stack([np.abs(distance(p, scan.points[free])) for p in scan.primitives], 1)
    heap: list[tuple[float, int, int]] = []

    def offer(vertex: int, k: int, floor: float) -> None:
        for j in other[start[vertex] : start[vertex + 1]].tolist():
            if label[j] < 0:
                heapq.heappush(heap, (float(max(off[where[j], k], 0.5 * floor)), j, k))

    border = np.unique(matrix[free].indices)
    for i in border[label[border] >= 0].tolist():
        offer(i, int(label[i]), 0.0)
    while heap:
        d, j, k = heapq.heappop(heap)
        if label[j] < 0:
            label[j] = k
            offer(j, k, d)


def _borders(scan: Scan) -> tuple[np.ndarray, np.ndarray]:
    """Edges (vertex pairs, both ways) whose ends have different labels."""
    matrix = scan.mesh.neighbours
    rows = np.repeat(np.arange(len(scan.label)), np.diff(matrix.indptr))
    differ = scan.label[rows] != scan.label[matrix.indices]
    return rows[differ], matrix.indices[differ]


def _absorb_weak(scan: Scan) -> None:
    """Small regions that no curve bounds were invented by noise: their vertices go to the neighbours."""
    if not scan.near.any():
        return
    a, b = _borders(scan)
    count = len(scan.primitives)
    whole = np.bincount(scan.label[a], minlength=count)
    on_curve = np.bincount(scan.label[a], weights=scan.near[a] | scan.near[b], minlength=count)
    size = np.bincount(scan.label, minlength=count)
    weak = (size > 0) & (size < 0.004 * len(scan.label)) & (on_curve < WEAK * whole)
    # a weak neighbour of good ones only if they explain it nearly
    for k in np.flatnonzero(weak):
        mine = np.flatnonzero(scan.label == k)
        others = [j for j in np.unique(scan.label[b[scan.label[a] == k]]) if not weak[j]]
        off = [np.abs(distance(scan.primitives[j], scan.points[mine])) for j in others]
        if not off or np.median(np.min(off, axis=0)) > 3 * scan.sigma:
            weak[k] = False
    if weak.any():
        scan.label[weak[scan.label]] = -1
        fill(scan)


def _smooth(scan: Scan, rounds: int = 8) -> None:
    """Iterated conditional modes (Besag 1986) on the vertices at borders: distance, angle, and a Potts term."""
    matrix = scan.mesh.neighbours
    start, other = matrix.indptr, matrix.indices
    cost: dict[int, dict[int, float]] = defaultdict(dict)

    def need(vertices: np.ndarray, k: int) -> None:
        x = scan.points[vertices]
        d = np.minimum(np.abs(distance(scan.primitives[k], x)) / (2 * scan.sigma), 6)
        turn = 0.5 * np.minimum(angle_to(scan.primitives[k], x, scan.normals[vertices]) / (3 * ANGLE_RAD), 3)
        for i, value in zip(vertices.tolist(), (d + turn).tolist(), strict=True):
            cost[i][k] = value

    for _ in range(rounds):
        a, b = _borders(scan)
        pairs = np.unique(np.concatenate([np.stack([a, scan.label[b]], 1), np.stack([a, scan.label[a]], 1)]), axis=0)
        for k in np.unique(pairs[:, 1]):
            wanted = pairs[pairs[:, 1] == k, 0]
            wanted = np.array([i for i in wanted.tolist() if k not in cost[i]], int)
            if len(wanted):
                need(wanted, int(k))
        changed = 0
        for i in np.unique(a).tolist():
            around = scan.label[other[start[i] : start[i + 1]]]
            best, least = int(scan.label[i]), np.inf
            for k in {*around.tolist(), best}:
                value = cost[i].get(k, 9.0) + SMOOTH * float(np.mean(around != k))
                if value < least - 1e-12:
                    best, least = k, value
            if best != scan.label[i]:
                scan.label[i] = best
                changed += 1
        if not changed:
            break


def _core(scan: Scan, k: int) -> np.ndarray:
    mine = np.flatnonzero(scan.label == k)
    inner = mine[~scan.crease[mine]]
    return inner if len(inner) >= 10 else mine


def _merge(scan: Scan) -> bool:
    """Join neighbours that one primitive explains as well as two do; True if any were joined."""
    a, b = _borders(scan)
    counts = Counter(zip(scan.label[a].tolist(), scan.label[b].tolist(), strict=True))
    on_curve = Counter(zip(scan.label[a[scan.on_curve[a]]].tolist(), scan.label[b[scan.on_curve[a]]].tolist(), strict=True))
    joined = False
    parent = list(range(len(scan.primitives)))

    def root(k: int) -> int:
        while parent[k] != k:
            k = parent[k]
        return k

    for (i, j), n in counts.most_common():
        i, j = root(i), root(j)
        if i >= j or n < 4 or on_curve[(i, j)] > 0.7 * n:
            continue
        p = _common(scan, i, j)
        if p is not None:
            scan.label[scan.label == j] = i
            scan.primitives[i] = p
            parent[j] = i
            joined = True
    return joined


def _common(scan: Scan, i: int, j: int) -> Primitive | None:
    ci, cj = _core(scan, i), _core(scan, j)
    if min(len(ci), len(cj)) < 3:
        return None
    p, q = scan.primitives[i], scan.primitives[j]
    if "bspline" in (p.kind, q.kind):
        return None
    big, small, of_small = (p, q, cj) if len(ci) >= len(cj) else (q, p, ci)
    x, n = scan.points, scan.normals
    slight = len(of_small) < 0.25 * max(len(ci), len(cj))
    if slight and rms(big, x[of_small]) < 2 * scan.sigma and mean_turn(scan, big, of_small) < 2 * ANGLE_RAD:
        return big
    both = np.concatenate([_few(ci), _few(cj)])
    for kind in KINDS:
        if COST[kind] > max(COST[big.kind], COST[small.kind]):
            break
        found = fit(kind, x[both], n[both], goal=4 * scan.sigma)
        if found is None:
            continue
        if all(rms(found, x[c]) < MERGE * scan.sigma and mean_turn(scan, found, c) < 1.3 * ANGLE_RAD for c in (_few(ci), _few(cj))):
            return found
    return None


def _few(vertices: np.ndarray, most: int = 300) -> np.ndarray:
    return vertices[np.linspace(0, len(vertices) - 1, min(len(vertices), most)).astype(int)]


def _triangles(scan: Scan) -> np.ndarray:
    """The label that two corners have; of three, the one whose surface is nearest to the middle."""
    corner = scan.label[scan.mesh.faces]
    labels = np.where(corner[:, 1] == corner[:, 2], corner[:, 1], corner[:, 0])
    split = np.flatnonzero((corner[:, 0] != corner[:, 1]) & (corner[:, 1] != corner[:, 2]) & (corner[:, 0] != corner[:, 2]))
    middle, three = scan.points[scan.mesh.faces[split]].mean(1), corner[split]
    off = np.empty(three.shape)
    for k in np.unique(three):
        rows, columns = np.nonzero(three == k)
        off[rows, columns] = np.abs(distance(scan.primitives[k], middle[rows]))
    labels[split] = three[np.arange(len(split)), off.argmin(1)]
    return labels


def _without_islands(scan: Scan, labels: np.ndarray) -> np.ndarray:
    """Pieces of fewer than :data:`ISLAND` triangles take the label of the neighbour with the longest common border."""
    mesh, labels = scan.mesh, labels.copy()
    a, b, _ = mesh.pairs
    everything = np.ones(len(labels), bool)
    for _ in range(30):
        piece = mesh.components(everything, labels[a] == labels[b])
        size = np.bincount(piece)
        small = size < ISLAND
        if not small.any():
            break
        x, y = np.r_[a, b], np.r_[b, a]
        edge = (piece[x] != piece[y]) & small[piece[x]]
        lengths: dict[int, defaultdict[int, float]] = defaultdict(lambda: defaultdict(float))
        for p, k, w, s in zip(
            piece[x[edge]], labels[y[edge]], np.r_[mesh.edge_lengths, mesh.edge_lengths][edge], small[piece[y[edge]]], strict=True
        ):
            lengths[int(p)][int(k)] += float(w) * (1 if s else 3)
        ordered = sorted(lengths, key=lambda p: size[p])
        for p in ordered[: max(1, len(ordered) // 2)]:
            labels[piece == p] = max(lengths[p], key=lambda k: lengths[p][k])
    return labels
