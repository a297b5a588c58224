"""Marching cubes over a large grid: slabs of samples, blocks of cells, vertices named by the grid edge that they lie on."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from skimage.measure import marching_cubes

from recon.surface.bricks import COARSE_CELLS, FINE_CELLS, Grid

_SLAB_BYTES = 384 * 2**20
_MIN_EDGE_PARAMETER = 1e-3  # vertices keep this share of an edge away from its ends, so that no face loses its area
_CELL_VERTEX = 3  # in place of an axis, in the names of the vertices that lie inside a cell


def march(
    evaluate: Callable[[np.ndarray], np.ndarray],
    grid: Grid,
    active: np.ndarray,
    block: int,
    progress: Callable[[float, str], None] | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangulate the zero set in the active bricks.

    Args:
        evaluate: The function at points, [N, 3] float64 -> [N] float32; negative is inside.
        grid: The grid.
        active: Bricks to sample. [cells / FINE_CELLS per axis] bool
        block: Edge of the blocks, cells.
        progress: Called with the share done and a text.
    Returns:
        Vertices [V, 3] float64 sorted by grid edge, faces [F, 3] int32 counter-clockwise seen from the positive side, and the bricks
        that the surface goes on into although they are not active, shaped like ``active`` (if there are any, the mesh has holes there).
    """
    keys, positions, faces = [np.zeros(0, np.int64)], [np.zeros((0, 3))], [np.zeros((0, 3), np.int32)]
    offset, scale, entered = 0, None, np.zeros_like(active)
    for values, i0 in _slabs(evaluate, grid, active, block, progress):
        _mark_entered(entered, values, active, i0 // FINE_CELLS)
        scale = _value_scale(values) if scale is None else scale
        if scale is None:
            continue  # no crossing within any plane so far: at most isolated samples between two planes, too small to triangulate
        for k, p, f in _blocks(values, active, grid, i0, block, scale):
            keys.append(k)
            positions.append(p)
            faces.append(f + np.int32(offset))
            offset += len(k)
    # Each list is let go as soon as it is joined: of a large mesh these are the largest arrays.
    names = np.concatenate(keys)
    del keys
    _, first, index = np.unique(names, return_index=True, return_inverse=True)
    del names
    index = index.astype(np.int32)
    vertices = np.concatenate(positions)
    del positions
    vertices = vertices[first]
    del first
    triangles = np.concatenate(faces)
    del faces
    for start in range(0, len(triangles), 2**22):
        triangles[start : start + 2**22] = index[triangles[start : start + 2**22]]
    return vertices, triangles, entered


def _slabs(evaluate, grid: Grid, active: np.ndarray, block: int, progress) -> Iterator[tuple[np.ndarray, int]]:
    """Layers of the grid: samples [T + 1, ny + 1, nz + 1] float32 (NaN where not needed) and their first layer of cells.

    The last plane of samples is handed on to the next slab, so that no sample is evaluated twice: a network's value can depend on its
    place in the batch in the last bit, and a sign that differs between two blocks would be a crack.
    """
    n = grid.cells
    plane_bytes = int((n[1] + 1) * (n[2] + 1)) * 5
    thickness = max(COARSE_CELLS, min(block, _SLAB_BYTES // plane_bytes) // COARSE_CELLS * COARSE_CELLS)
    last_plane = None
    for i0 in range(0, int(n[0]), thickness):
        i1 = min(i0 + thickness, int(n[0]))
        slab = active[i0 // FINE_CELLS : i1 // FINE_CELLS]
        if progress is not None:
            progress(0.05 + 0.9 * i0 / int(n[0]), f"layer {i0} of {n[0]}")
        if not slab.any():
            last_plane = None
            continue
        needed = _brick_samples(slab)
        values = np.full(needed.shape, np.nan, np.float32)
        if last_plane is not None:
            values[0] = last_plane
            needed[0] &= np.isnan(last_plane)
        for i in range(len(values)):  # a plane at a time: the positions of a whole slab would be several times the slab itself
            jk = np.argwhere(needed[i])
            if len(jk):
                index = np.concatenate([np.full((len(jk), 1), i0 + i), jk], axis=1)
                v = evaluate(grid.origin + index * grid.cell)
                # The outermost samples are outside, whatever rounding did to their distance from the border.
                outermost = ((index == 0) | (index == n)).any(1)
                values[i, jk[:, 0], jk[:, 1]] = np.where(outermost, np.maximum(v, 0), v)
        last_plane = values[-1].copy()
        yield values, i0


def _brick_cells(bricks: np.ndarray) -> np.ndarray:
    return bricks.repeat(FINE_CELLS, 0).repeat(FINE_CELLS, 1).repeat(FINE_CELLS, 2)


def _brick_samples(bricks: np.ndarray) -> np.ndarray:
    """Samples at the corners of all cells of the bricks. [a, b, c] bool -> [4a + 1, 4b + 1, 4c + 1] bool"""
    cells = _brick_cells(bricks)
    for axis in range(3):
        pad = [(0, 0)] * 3
        pad[axis] = (1, 1)
        padded = np.pad(cells, pad)
        upper: list[slice] = [slice(None)] * 3
        lower: list[slice] = [slice(None)] * 3
        upper[axis], lower[axis] = slice(1, None), slice(None, -1)
        cells = padded[tuple(upper)] | padded[tuple(lower)]
    return cells


def _mark_entered(entered: np.ndarray, values: np.ndarray, active: np.ndarray, layer: int) -> None:
    """Mark the inactive bricks, in the slab or next to it, that the surface enters through a side of an active one."""
    layers = (len(values) - 1) // FINE_CELLS
    inside, outside = values < 0, values >= 0  # NaN is neither
    low, high = max(layer - 1, 0), min(layer + layers + 1, len(active))  # the slab with a layer on either side, as far as there is one
    for axis in range(3):
        order = (axis, *(a for a in range(3) if a != axis))
        crossed = _any_on_sides(inside.transpose(order)) & _any_on_sides(outside.transpose(order))
        # Along the axis the bricks of the slab, and one more at either end: side s lies between the bricks s and s + 1.
        if axis == 0:
            bricks = np.pad(active[low:high], [(low - layer + 1, layer + layers + 1 - high), (0, 0), (0, 0)])
        else:
            bricks = np.pad(active[layer : layer + layers].transpose(order), [(1, 1), (0, 0), (0, 0)])
        found = np.zeros_like(bricks)
        found[1:] |= crossed & bricks[:-1] & ~bricks[1:]
        found[:-1] |= crossed & bricks[1:] & ~bricks[:-1]
        # What lies beyond the grid is dropped: its outermost samples are outside, so nothing is entered there.
        if axis == 0:
            entered[low:high] |= found[low - layer + 1 : high - layer + 1]
        else:
            marks = entered[layer : layer + layers].transpose(order)
            marks |= found[1:-1]


def _any_on_sides(samples: np.ndarray) -> np.ndarray:
    """Any over the (FINE_CELLS + 1)² samples of each brick side normal to axis 0. [4a + 1, 4b + 1, 4c + 1] -> [a + 1, b, c]"""
    planes = samples[::FINE_CELLS]
    a, n, m = planes.shape
    rows = planes[:, :-1].reshape(a, n // FINE_CELLS, FINE_CELLS, m).any(2) | planes[:, FINE_CELLS::FINE_CELLS]
    return rows[:, :, :-1].reshape(a, n // FINE_CELLS, m // FINE_CELLS, FINE_CELLS).any(3) | rows[:, :, FINE_CELLS::FINE_CELLS]


def _value_scale(values: np.ndarray) -> float | None:
    """Median ``|value|`` beside the zero crossings of the first plane that has any; it does not depend on how the grid is cut."""
    for plane in values:
        known, inside = ~np.isnan(plane), plane < 0
        beside = np.zeros(plane.shape, bool)
        rows = (inside[1:] != inside[:-1]) & known[1:] & known[:-1]
        columns = (inside[:, 1:] != inside[:, :-1]) & known[:, 1:] & known[:, :-1]
        beside[1:] |= rows
        beside[:-1] |= rows
        beside[:, 1:] |= columns
        beside[:, :-1] |= columns
        if beside.any():
            return max(float(np.median(np.abs(plane[beside]))), 1e-30)
    return None


def _blocks(values: np.ndarray, active: np.ndarray, grid: Grid, i0: int, block: int, scale: float):
    """Marching cubes in each block of a slab. Yields vertex names [v] int64, positions [v, 3], faces [f, 3] int32."""
    slab = active[i0 // FINE_CELLS : (i0 + len(values) - 1) // FINE_CELLS]
    step = block // FINE_CELLS
    occupied = np.argwhere(np.add.reduceat(np.add.reduceat(slab.any(0), np.arange(0, slab.shape[1], step), 0, dtype=np.int64),
                                           np.arange(0, slab.shape[2], step), 1))  # fmt: skip
    for bj, bk in occupied:
        j0, k0 = int(bj) * block, int(bk) * block
        part = values[:, j0 : j0 + block + 1, k0 : k0 + block + 1]
        inside = part < 0
        if not inside.any() or not (part >= 0).any():
            continue
        start = np.array([i0, j0, k0])
        # scikit-image works on a cell if the mask is set at the corner with the greatest indices.
        mask = np.zeros(part.shape, bool)
        mask[1:, 1:, 1:] = _brick_cells(slab[:, bj * step : (bj + 1) * step, bk * step : (bk + 1) * step])
        try:
            found = marching_cubes(_compressed(part, inside, start, scale), 0.0, mask=mask)
        except RuntimeError as error:
            if "No surface found" not in str(error):
                raise
            continue  # inside and outside samples, but none in the same cell
        keys, in_cells = _edge_vertices(found[0], part, start, grid.cells)
        yield keys, grid.origin + in_cells * grid.cell, found[1].astype(np.int32)


def _compressed(part: np.ndarray, inside: np.ndarray, start: np.ndarray, scale: float) -> np.ndarray:
    """What marching cubes is given: the signs of the samples, with magnitudes in [0.001, 1.011] that keep their order.

    Only signs and the comparison of products in ambiguous faces matter to it, because positions are interpolated again from the true
    values. scikit-image takes products that differ by less than 1e-7 for equal, whatever the scale of the values, and then two cells can
    decide differently about their common face; so values are brought to the order of one, and each lattice point gets its own factor
    in [1, 1.01] against exact ties. Away from 0 and 1, the vertex's edge can be read off its float32 position.
    """
    i, j, k = np.ogrid[tuple(slice(int(s), int(s) + n) for s, n in zip(start, part.shape))]
    noise = (((i * 73856093) ^ (j * 19349663) ^ (k * 83492791)) & 1023).astype(np.float32)
    magnitude = np.abs(np.nan_to_num(part, nan=1.0)) / np.float32(scale)
    magnitude = (1e-3 + magnitude / (1 + magnitude)) * (1 + noise * np.float32(1e-2 / 1024))
    return np.where(inside, -magnitude, magnitude).astype(np.float32)


def _edge_vertices(found: np.ndarray, part: np.ndarray, start: np.ndarray, cells: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Names of vertices, and their positions interpolated in float64 from the true values, in cells from the grid's corner.

    Args:
        found: Vertices as marching cubes placed them for the compressed values. [v, 3] float32
        part: True samples of the block.
        start: Index of the block's first sample. [3]
        cells: Cells of the grid. [3]
    Returns:
        Names [v] int64: index of the lower sample of the edge times 4, plus the axis of the edge, or 3 for a vertex inside a cell.
        Positions [v, 3].
    """
    whole = np.rint(found)
    fractional = np.abs(found - whole) > 5e-5
    axis = np.where(fractional.sum(1) == 1, fractional.argmax(1), _CELL_VERTEX)
    base = np.where(fractional, np.floor(found), whole).astype(np.int64)
    samples = cells + 1
    g = base + start
    keys = ((g[:, 0] * samples[1] + g[:, 1]) * samples[2] + g[:, 2]) * 4 + axis

    on_edge = axis != _CELL_VERTEX
    low, along = base[on_edge], axis[on_edge]
    in_cells = g.astype(np.float64)
    in_cells[np.flatnonzero(on_edge), along] += _edge_parameter(part, low, along)[0]
    if not on_edge.all():
        in_cells[~on_edge] += _cell_vertex(part, base[~on_edge])
    return keys, in_cells


def _edge_parameter(part: np.ndarray, low: np.ndarray, along: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the value is zero on edges from sample ``low`` [n, 3] along an axis [n], in (0, 1), and whether it is. Both [n]"""
    high = low.copy()
    high[np.arange(len(high)), along] += 1
    a = part[low[:, 0], low[:, 1], low[:, 2]].astype(np.float64)
    b = part[high[:, 0], high[:, 1], high[:, 2]].astype(np.float64)
    crossing = (a < 0) != (b < 0)
    t = a / np.where(crossing, a - b, 1.0)
    return np.clip(t, _MIN_EDGE_PARAMETER, 1 - _MIN_EDGE_PARAMETER), crossing


def _cell_vertex(part: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """The vertex inside a cell: the mean of the zeros on the cell's twelve edges, relative to the cell's corner. [c, 3] -> [c, 3]"""
    low = (cells[:, None] + _EDGE_LOW).reshape(-1, 3)
    along = np.tile(_EDGE_AXIS, len(cells))
    t, crossing = _edge_parameter(part, low, along)
    position = np.tile(_EDGE_LOW.astype(np.float64), (len(cells), 1))
    position[np.arange(len(position)), along] += t
    weight = crossing.reshape(-1, 12, 1).astype(np.float64)
    return (position.reshape(-1, 12, 3) * weight).sum(1) / weight.sum(1)


_EDGE_LOW = np.array([[(0, p, q), (p, 0, q), (p, q, 0)][axis] for axis in range(3) for p in (0, 1) for q in (0, 1)])
_EDGE_AXIS = np.repeat(np.arange(3), 4)
