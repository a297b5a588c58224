"""The zero set of a function as a closed triangle mesh: marching cubes in slabs and blocks, welded exactly.

Marching cubes with topological guarantees (Lewiner et al., "Efficient implementation of Marching Cubes' cases with topological
guarantees", 2003) is scikit-image's. What is added here: only bricks that can contain the surface are sampled; every sample is evaluated
once, also on the planes between blocks; every vertex has an integer name (its grid edge), so that blocks are welded without a tolerance;
positions are interpolated again in float64, and can be moved onto the zero set by Newton's method.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.ndimage import binary_dilation
from torch import Tensor

from recon.device import CPU, from_numpy, to_numpy
from recon.errors import DivergedError, UsageError
from recon.surface.bricks import COARSE_CELLS, active_bricks, make_grid
from recon.surface.marching import march
from recon.surface.mesh import Mesh, vertex_normals
from recon.surface.support import Plane

Field = Callable[[Tensor], Tensor]
Gradient = Callable[[Tensor], tuple[Tensor, Tensor]]
Progress = Callable[[float, str], None]
Box = tuple[tuple[float, float, float], tuple[float, float, float]]
UNIT_BOX: Box = ((-1.0, -1.0, -1.0), (1.0, 1.0, 1.0))


def extract_mesh(
    sdf: Field,
    *,
    resolution: int,
    bounds: Box = UNIT_BOX,
    sphere_radius: float | None = 1.0,
    above: Plane | None = None,
    block: int = 64,
    level: float = 0.0,
    lipschitz: float | None = 2.0,
    gradient: Gradient | None = None,
    newton_steps: int = 3,
    device: torch.device = CPU,
    points_per_call: int = 2**18,
    progress: Progress | None = None,
) -> Mesh:
    """Extract ``{x : sdf(x) = level}`` as a mesh, oriented towards growing values.

    The function is cut at the box, and at the sphere and the plane if there are: ``max(sdf - level, distance to the border)``. So the mesh
    is always closed; where it lies on the border, :func:`recon.surface.mesh.check_mesh` says so.

    If the surface leaves the bricks that ``lipschitz`` allows, twice the bound is tried, and the surface is followed to wherever it goes:
    a wrong bound costs time, and only a part that was never touched can be missed.

    Memory: a slab of at most 384 MiB or 9 layers of samples, whichever is more (5 bytes a sample), and about 200 bytes for each vertex of
    the result at the peak. Measured for a sphere of radius 0.9, with PyTorch's own 0.25 GiB: 1.2 GiB at 1024³, 3.0 GiB at 2048³ (16 million
    vertices). What the function itself needs comes on top.

    Args:
        sdf: The function, negative inside. float32 [N, 3] on ``device``, N <= ``points_per_call`` -> [N]. Called without gradients.
        resolution: Cells along the longest side of the box.
        bounds: Lower and upper corner.
        sphere_radius: Radius of the sphere about the origin that cuts the function, or None.
        above: Plane below which everything is cut off, or None.
        block: Edge of the blocks that marching cubes works on, cells; a multiple of 8. It has no influence on the result.
        level: Value on the surface.
        lipschitz: Bound on ``|gradient|`` near the surface, 1 for an exact distance; the default leaves slack for learned ones.
            None: the function is no distance (a density), sample everywhere.
        gradient: Value and gradient at points, [N, 3] -> ([N], [N, 3]), for Newton steps onto the zero set and for the normals; see
            :func:`autograd_gradient`. None: linear interpolation along the grid edges, and normals from the faces.
        newton_steps: At most this many; a vertex never moves farther than one cell.
        device: Where ``sdf`` and ``gradient`` want their points.
        points_per_call: Most points in one call.
        progress: Called with the share done in [0, 1] and a short text.
    Returns:
        Mesh with normals, in the frame of ``bounds``. Empty if there is no surface. Vertices are sorted by grid edge.
    Raises:
        UsageError: If an argument is out of range.
        DivergedError: If the function returns a value that is not finite.
    """
    lower, upper = (np.asarray(b, np.float64) for b in bounds)
    if resolution < 2 or block < COARSE_CELLS or block % COARSE_CELLS or not (upper > lower).all():
        raise UsageError(
            f"cannot extract a mesh with resolution {resolution}, block {block}, bounds {bounds}",
            f"resolution must be at least 2, block a multiple of {COARSE_CELLS}, the upper corner above the lower",
        )
    grid = make_grid(lower, upper, resolution)

    def border(points: np.ndarray) -> np.ndarray:
        return _border_distance(points, lower, upper, sphere_radius, above)

    def search(points: np.ndarray) -> np.ndarray:
        return np.maximum(_call(sdf, points, device, points_per_call) - level, border(points))

    def sample(points: np.ndarray) -> np.ndarray:
        # Two cells away from the border its distance has no say: the function's scale may be another, and would bend the interpolation.
        values, distance = _call(sdf, points, device, points_per_call) - level, border(points)
        return np.where(distance > -2 * grid.cell, np.maximum(values, distance), values)

    bound = np.inf if lipschitz is None else max(float(lipschitz), 1.0)
    if progress is not None:
        progress(0.0, f"searching the surface at {resolution}³")
    active, reach = active_bricks(search, grid, bound), 1
    while True:
        vertices, faces, entered = march(sample, grid, active, block, progress)
        if not entered.any():
            break
        if progress is not None:
            progress(0.0, f"the surface left the searched bricks at {np.count_nonzero(entered)} places: following it there, once again")
        if reach == 1:  # the bound was wrong: parts may have been missed that are not connected to what was found
            active |= active_bricks(search, grid, 2.0 * bound)
        active |= binary_dilation(entered, iterations=reach)
        reach *= 2
    mesh = Mesh(vertices, faces)
    if len(faces) == 0:
        return mesh
    if gradient is None:
        return Mesh(vertices, faces, normals=vertex_normals(mesh))
    if progress is not None:
        progress(0.95, f"moving {len(vertices)} vertices onto the surface")
    vertices, normals = _newton(gradient, vertices, level, border, grid.cell, newton_steps, device, points_per_call)
    mesh = Mesh(vertices, faces)
    on_border = (normals == 0).all(1)
    if on_border.any():
        normals[on_border] = vertex_normals(mesh)[on_border]
    return Mesh(vertices, faces, normals=normals)


def extract_density_mesh(
    density: Field, *, threshold: float, resolution: int, lipschitz: float | None = None, gradient: Gradient | None = None, **options
) -> Mesh:
    """Extract ``{x : density(x) = threshold}``, solid where the density is greater.

    What is extracted is ``cell * (threshold - density) / (threshold + density)``: it has the same zero set, is of the order of a distance
    (so that the cut at the border is right), and is kinder to interpolation, because densities grow by factors, not by steps.
    It is no distance, so by default every sample of the grid is evaluated (134 million at 512³).

    Args:
        density: Density at points, not negative. [N, 3] -> [N]
        threshold: Density on the surface, positive, in the field's own unit; NeRF meshes are often taken at 50 in a scene of unit radius.
        resolution: Cells along the longest side.
        lipschitz: A bound on the slope of the function above, if one is known.
        gradient: Density and its gradient at points, or None.
        options: As for :func:`extract_mesh`.
    """
    if threshold <= 0:
        raise UsageError(f"the density threshold is {threshold}", "give a positive threshold")
    lower, upper = (np.asarray(b, np.float64) for b in options.get("bounds", UNIT_BOX))
    cell = float((upper - lower).max()) / resolution

    def signed(points: Tensor) -> Tensor:
        values = density(points)
        return cell * (threshold - values) / (threshold + values)

    def signed_gradient(points: Tensor) -> tuple[Tensor, Tensor]:
        assert gradient is not None
        values, gradients = gradient(points)
        slope = -2 * cell * threshold / (threshold + values) ** 2
        return cell * (threshold - values) / (threshold + values), slope[:, None] * gradients

    newton = None if gradient is None else signed_gradient
    return extract_mesh(signed, resolution=resolution, lipschitz=lipschitz, gradient=newton, **options)


def autograd_gradient(sdf: Field) -> Gradient:
    """Value and gradient of a differentiable function by automatic differentiation, for ``extract_mesh(gradient=...)``."""

    def gradient(points: Tensor) -> tuple[Tensor, Tensor]:
        with torch.enable_grad():
            points = points.detach().requires_grad_(True)
            values = sdf(points)
            (gradients,) = torch.autograd.grad(values.sum(), points)
        return values.detach(), gradients

    return gradient


def _border_distance(
    points: np.ndarray, lower: np.ndarray, upper: np.ndarray, sphere_radius: float | None, above: Plane | None
) -> np.ndarray:
    distance = np.maximum(lower - points, points - upper).max(1)
    if sphere_radius is not None:
        distance = np.maximum(distance, np.linalg.norm(points, axis=1) - sphere_radius)
    if above is not None:
        distance = np.maximum(distance, -above.height(points))
    return distance


def _call(sdf: Field, points: np.ndarray, device, points_per_call: int) -> np.ndarray:
    values = np.empty(len(points), np.float32)
    with torch.no_grad():
        for start in range(0, len(points), points_per_call):
            part = points[start : start + points_per_call]
            values[start : start + len(part)] = to_numpy(sdf(from_numpy(part, device)).reshape(-1).float())
    if not np.isfinite(values).all():
        bad = points[np.flatnonzero(~np.isfinite(values))[0]]
        raise DivergedError(f"the field is not finite at {np.round(bad, 4).tolist()}", "go back to an earlier checkpoint")
    return values


def _newton(gradient: Gradient, vertices: np.ndarray, level: float, border, cell: float, steps: int, device, points_per_call: int):
    """Move vertices onto the zero set along the gradient; of all positions visited the one with the least ``|f|`` is kept.

    Vertices on the border of the region stay, and get a zero normal. Returns positions and normals, both [V, 3].
    """
    out, normals = vertices.copy(), np.zeros_like(vertices)
    for start in range(0, len(vertices), points_per_call):
        part = slice(start, start + points_per_call)
        first = vertices[part]
        x, best = first, np.full(len(first), np.inf)
        best_x, best_g = first.copy(), np.zeros_like(first)
        on_border = np.zeros(len(first), bool)
        for step in range(steps + 1):
            values, gradients = gradient(from_numpy(x, device))
            f = to_numpy(values.reshape(-1).double()) - level
            g = to_numpy(gradients.double())
            if step == 0:
                distance = border(first)
                on_border = (distance > -0.5 * cell) & (distance >= f - 1e-2 * cell)
            better = np.abs(f) < best
            best[better], best_x[better], best_g[better] = np.abs(f[better]), x[better], g[better]
            squared = (g * g).sum(1)
            move = -f[:, None] * g / np.maximum(squared, 1e-12)[:, None]
            x = x + np.clip(move, -cell, cell)
            offset = x - first
            length = np.linalg.norm(offset, axis=1, keepdims=True)
            x = first + offset * np.minimum(1.0, cell / np.maximum(length, 1e-30))
        stay = on_border | (border(best_x) > 0)
        length = np.linalg.norm(best_g, axis=1, keepdims=True)
        unit = np.divide(best_g, length, out=np.zeros_like(best_g), where=length > 0)
        out[part] = np.where(stay[:, None], first, best_x)
        normals[part] = np.where(stay[:, None], 0.0, unit)
    return out, normals
