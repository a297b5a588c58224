"""From vertices that some regions explain to a region for every triangle: fronts, a smoothing of labels, merging, and no islands."""

from __future__ import annotations

import heapq
from collections import Counter, defaultdict

import numpy as np

from recon.solid.exact import Segmentation, connected_regions
from recon.solid.fitting import fit, least_squares
from recon.solid.model import Kind, Primitive
from recon.solid.primitives import COST, distance
from recon.solid.scan import INSIDE, KINDS, Scan, explains, misfit, simplest, turns

SMOOTH = 7.0
"""Weight of the part of a vertex's neighbours that have another label, beside |d| / (2 sigma)."""
ACROSS_RIDGE = 0.3
"""How much a neighbour beyond a ridge counts."""
WEAK = 0.6
"""A small region with less of its border on ridges than this is absorbed by neighbours."""
SMALL = 0.01
"""Of all vertices: larger regions are not absorbed."""
ROUNDS, SETTLED = 8, 5e-4
"""Labels and primitives are settled when so few labels change."""
DOUBTFUL, MOST_DOUBT = 2.0, 0.3
"""Vertices that a neighbour explains within so many sigma may be its; if less than this part is left, all count."""
SIMPLER: dict[Kind, tuple[Kind, ...]] = {
    "plane": (),
    "cylinder": ("plane",),
    "sphere": ("plane", "cylinder", "cone"),
    "cone": ("plane", "cylinder"),
    "torus": ("plane", "cylinder", "cone"),
}
LITTLE = 0.3
"""Kinds that are taken instead if they explain a region too, at most so much worse (sigma of distance and angle together)."""
FEW = 100
"""Regions of fewer vertices have no normals to speak of, and may be further off their neighbours."""
BUMP = 4.5
"""A small region may be off its neighbour by so many sigma and still be a part of it."""
MERGE, MERGE_ANGLE = 1.35, 1.6
ISLAND = 30
BETTER = 0.8
"""A round region is given up if its neighbours, fitted with it, leave less than this part of its squared residuals."""


def settle(scan: Scan) -> Segmentation:
    """A region for every triangle; all regions connected."""
    fill(scan)
    _absorb_weak(scan)
    for _ in range(ROUNDS):
        before = scan.label.copy()
        _smooth(scan)
        _refit(scan)
        _absorb_weak(scan)
        given_up = False
        while _give_up(scan):
            given_up = True
        if not _merge(scan) and not given_up and (scan.label != before).mean() < SETTLED:
            break
    _smooth(scan)
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
    """Small regions that no ridge bounds were invented by noise: their vertices go to the neighbours that explain them."""
    a, b = _borders(scan)
    count = len(scan.primitives)
    whole = np.bincount(scan.label[a], minlength=count)
    on_ridge = np.bincount(scan.label[a], weights=(scan.rings[a] == 0) | (scan.rings[b] == 0), minlength=count)
    size = np.bincount(scan.label, minlength=count)
    weak = (size > 0) & (size < SMALL * len(scan.label))
    bounded = on_ridge >= WEAK * whole
    for k in np.flatnonzero(weak):
        mine = np.flatnonzero(scan.label == k)
        others = [j for j in np.unique(scan.label[b[scan.label[a] == k]]) if not weak[j] and scan.primitives[j].kind != "bspline"]
        explained = [_within(scan, j, mine, bool(bounded[k])) for j in others]
        if not explained or np.any(explained, axis=0).mean() < 0.8:
            weak[k] = False
    if weak.any():
        scan.label[weak[scan.label]] = -1
        fill(scan)


def _within(scan: Scan, k: int, vertices: np.ndarray, bounded: bool) -> np.ndarray:
    """Which vertices a region explains. Beside a ridge, and where faces meet at a small angle, the surface is round: normals say little.

    What ridges bound may be a narrow face, so it has to lie on the neighbour as if there were none.
    """
    d = np.abs(distance(scan.primitives[k], scan.points[vertices]))
    if len(vertices) < FEW:
        return d < np.maximum(4.0 * scan.sigma, 3 * scan.off[vertices])
    return (d < 2.5 * scan.sigma if bounded else d < 3 * scan.off[vertices]) & (turns(scan, scan.primitives[k], vertices) < 6)


def _smooth(scan: Scan, rounds: int = 16) -> None:
    """Iterated conditional modes (Besag 1986) on the vertices at borders: distance, angle, and a Potts term that is less across ridges.

    All even vertices change at once, then all odd ones: neighbours of one parity may swap labels, so rounds are limited.
    """
    matrix = scan.mesh.neighbours
    count = len(scan.primitives)
    rows = np.repeat(np.arange(len(scan.label)), np.diff(matrix.indptr))
    weight = np.where((scan.rings[rows] == 0) | (scan.rings[matrix.indices] == 0), ACROSS_RIDGE, 1.0)
    total = np.bincount(rows, weights=weight)
    known = np.zeros(0, np.int64)
    price = np.zeros(0)
    still = 0
    for n in range(rounds):
        at_border = np.zeros(len(scan.label), bool)
        at_border[_borders(scan)[0]] = True
        at_border &= np.arange(len(scan.label)) % 2 == n % 2
        chosen = at_border[rows]
        i, k, w = rows[chosen], scan.label[matrix.indices[chosen]], weight[chosen]
        own = np.flatnonzero(at_border)
        keys, place = np.unique(np.r_[i * count + k, own * count + scan.label[own]], return_inverse=True)
        same = np.bincount(place, weights=np.r_[w, np.zeros(len(own))])
        new = np.setdiff1d(keys, known, assume_unique=True)
        known, price = np.r_[known, new], np.r_[price, _need(scan, new // count, new % count)]
        order = np.argsort(known)
        known, price = known[order], price[order]
        vertex, label = keys // count, keys % count
        value = price[np.searchsorted(known, keys)] + SMOOTH * (1 - same / total[vertex])
        # of equal ones the label that it has
        best = np.lexsort((label != scan.label[vertex], value, vertex))
        first = best[np.r_[True, np.diff(vertex[best]) > 0]] if len(best) else best
        changed = int((scan.label[vertex[first]] != label[first]).sum())
        scan.label[vertex[first]] = label[first]
        still = still + 1 if not changed else 0
        if still == 2:
            break


def _need(scan: Scan, vertices: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """What it costs each of some vertices to have a label. [n]"""
    cost = np.empty(len(vertices))
    order = np.argsort(labels, kind="stable")
    for group in np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else ():
        mine, p = vertices[group], scan.primitives[labels[group[0]]]
        d = np.minimum(np.abs(distance(p, scan.points[mine])) / (2 * scan.off[mine]), 6)
        cost[group] = d + 0.5 * np.minimum(turns(scan, p, mine) / 3, 3)
    return cost


def certain(scan: Scan, vertices: np.ndarray, neighbours: list[Primitive]) -> np.ndarray:
    """Those vertices of a region that no neighbour explains too; all of them where few would be left.

    Where two faces are tangent the border between them is not known, and what lies beyond it bends the fit.
    """
    other = np.zeros(len(vertices), bool)
    for p in neighbours:
        if p.kind != "bspline":
            other |= explains(scan, p, vertices, DOUBTFUL)
    left = vertices[~other]
    return left if len(left) >= max(30, MOST_DOUBT * len(vertices)) else vertices


def _refit(scan: Scan) -> None:
    """Every primitive again through the vertices that it has now, without those that may be a tangent neighbour's."""
    a, b = _borders(scan)
    beside = np.unique(np.stack([scan.label[a], scan.label[b]], 1), axis=0)
    before = list(scan.primitives)
    for k, p in enumerate(before):
        mine = _core(scan, k)
        if p.kind == "bspline" or len(mine) < 12:
            continue
        mine = _few(certain(scan, mine, [before[j] for j in beside[beside[:, 0] == k, 1]]), 1500)
        w = (scan.sigma / scan.off[mine]) ** 2 * (np.abs(distance(p, scan.points[mine])) < 4 * scan.off[mine])
        if (w > 0).sum() < 12:
            continue
        better = least_squares(p, scan.points[mine], w, rounds=12)
        if better is not None and misfit(scan, better, mine)[1] <= 1.1 * misfit(scan, p, mine)[1]:
            scan.primitives[k] = better
        # found in pieces, or on a part of its vertices: all of them may be explained by something simpler
        kinds = SIMPLER[p.kind]
        simpler = simplest(scan, mine, kinds=kinds) if kinds else None
        if simpler is not None and sum(misfit(scan, simpler, mine)[:2]) < sum(misfit(scan, scan.primitives[k], mine)[:2]) + LITTLE:
            scan.primitives[k] = simpler


def _core(scan: Scan, k: int) -> np.ndarray:
    mine = np.flatnonzero(scan.label == k)
    inner = mine[scan.rings[mine] >= INSIDE]
    return inner if len(inner) >= 10 else mine


def _merge(scan: Scan) -> bool:
    """Join neighbours that one primitive explains as well as two do; True if any were joined."""
    a, b = _borders(scan)
    counts = Counter(zip(scan.label[a].tolist(), scan.label[b].tolist(), strict=True))
    on_curve = Counter(zip(scan.label[a[scan.on_curve[a]]].tolist(), scan.label[b[scan.on_curve[a]]].tolist(), strict=True))
    low = scan.rings[a] == 0
    on_ridge = Counter(zip(scan.label[a[low]].tolist(), scan.label[b[low]].tolist(), strict=True))
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
        p = _common(scan, i, j, on_ridge[(i, j)] > 0.5 * n)
        if p is not None:
            scan.label[scan.label == j] = i
            scan.primitives[i] = p
            parent[j] = i
            joined = True
    return joined


def _common(scan: Scan, i: int, j: int, ridge: bool) -> Primitive | None:
    ci, cj = _core(scan, i), _core(scan, j)
    if min(len(ci), len(cj)) < 3:
        return None
    p, q = scan.primitives[i], scan.primitives[j]
    if "bspline" in (p.kind, q.kind):
        return None
    big, small, of_small = (p, q, cj) if len(ci) >= len(cj) else (q, p, ci)
    x, n = scan.points, scan.normals
    slight = len(of_small) < 0.25 * max(len(ci), len(cj))
    off, turn, _ = misfit(scan, big, of_small)
    # errors are alike over more than a small region: without a ridge between them a bump makes no face
    if slight and (off < 2 or (off < BUMP and not ridge)) and turn < 2:
        return big
    both = np.concatenate([_few(ci), _few(cj)])
    for kind in KINDS:
        if COST[kind] > max(COST[big.kind], COST[small.kind]) and (big.kind != small.kind or slight or big.kind == "plane"):
            break
        found = fit(kind, x[both], n[both], goal=4 * scan.sigma)
        if found is None:
            continue
        if all(off < MERGE and turn < MERGE_ANGLE for off, turn, _ in (misfit(scan, found, _few(c)) for c in (ci, cj))):
            return found
    return None


def _give_up(scan: Scan) -> bool:
    """Give up a round region that bridges its neighbours, as a wide torus does a pipe and its bend; True if there was one.

    Its vertices are shared out among the neighbours, each to the one that explains it best, and these are fitted again, in turns (Lloyd,
    "Least squares quantization in PCM", 1982).
    """
    a, b = _borders(scan)
    beside = np.unique(np.stack([scan.label[a], scan.label[b]], 1), axis=0)
    for k in np.argsort(-np.bincount(scan.label, minlength=len(scan.primitives)), kind="stable").tolist():
        mine = _core(scan, k)
        others = [j for j in beside[beside[:, 0] == k, 1].tolist() if scan.primitives[j].kind != "bspline"]
        if COST[scan.primitives[k].kind] not in (1, 2, 3) or len(mine) < FEW or len(others) < 2:
            continue
        mine = _few(mine, 1500)
        goal = BETTER * float(_squares(scan, scan.primitives[k], mine).mean())
        trial = {j: scan.primitives[j] for j in others}
        known = {j: _few(_core(scan, j)) for j in others}
        for _ in range(3):
            off = np.stack([_squares(scan, trial[j], mine) for j in others])
            owner = off.argmin(0)
            for n, j in enumerate(others):
                more = np.concatenate([known[j], mine[owner == n]])
                better = least_squares(trial[j], scan.points[more], (scan.sigma / scan.off[more]) ** 2, rounds=12)
                if (owner == n).any() and better is not None:
                    trial[j] = better
        # what they were sure of must not suffer
        before = {j: float(_squares(scan, scan.primitives[j], known[j]).mean()) for j in others}
        bent = any(_squares(scan, p, known[j]).mean() > max(before[j] / BETTER, 1.0) for j, p in trial.items())
        if not bent and float(np.min([_squares(scan, p, mine) for p in trial.values()], axis=0).mean()) < goal:
            for j, p in trial.items():
                scan.primitives[j] = p
            scan.label[scan.label == k] = -1
            fill(scan)
            return True
    return False


def _squares(scan: Scan, p: Primitive, vertices: np.ndarray) -> np.ndarray:
    """Squared distance and angle, in standard deviations. [n]"""
    return (distance(p, scan.points[vertices]) / scan.off[vertices]) ** 2 + turns(scan, p, vertices) ** 2


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
