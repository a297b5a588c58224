"""A mesh painted from the photographs: the texture whose pictures come nearest to all of them, by least squares.

A pixel of a photograph that shows the mesh is one equation: the four texels about the place that its ray hits, interpolated as a viewer
does it, give its colour. There are more equations than texels, so a texel gets the mean over all photographs that see it, each counted with
as many pixels as it spends on it, and sharper than a mean of looked-up colours, as the interpolation is undone. What no pixel tells, or too
few, stays as it is known without them: what is solved for is the difference to that, smooth over the surface. Nobody's brightness need be
right: every photograph has a gain per channel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.sparse
from scipy.ndimage import binary_erosion, distance_transform_edt

from recon.data.scene import View
from recon.surface.atlas import Texels
from recon.surface.gains import photograph_gains
from recon.surface.mesh import Mesh, face_cross
from recon.surface.raycast import RayScene, cast, ray_scene
from recon.surface.texel_equations import Equations, least_squares_step, neighbours, solve
from recon.surface.texture import Color, color_vertices, texel_colors, texels_of, with_texture

MOST_PIXELS = 2**23
"""Equations at most, 32 bytes each: of more pixels every second or third of each row and column is taken."""
_PART = 2**20  # pixels that are looked at together
LEAST_COSINE = 0.15
"""Pixels that see the surface at a more grazing angle do not count."""
STEEP = 8.0
"""Neighbouring pixels whose depths differ by more than this many pixels' widths there lie on two surfaces: neither counts, as the mesh's
outline is never right to the pixel. A plane that is seen at the least cosine differs by 6.6."""
BEST_ITERATIONS = 20
"""Of conjugate gradients, for the best texture: three times as many change nothing to 0.001 dB (bracket, lego)."""
PLACES = 128
"""Squares of the atlas along a side, by which photographs' brightness is compared."""


def paint_from_photographs(
    mesh: Mesh, views: Sequence[View], color: Color, *, resolution: int = 2048, progress: Callable[[float, str], None] | None = None
) -> tuple[Mesh, float]:
    """A texture from photographs.

    Args:
        mesh: With ``uv`` (:func:`recon.surface.atlas.unwrap`).
        views: Photographs with their cameras in the mesh's frame. A pixel counts where alpha is full and the mask, if there is one, and
            its neighbours say object, and where it is not to be ignored.
        color: What is known without them (see :mod:`recon.surface.texture`): the colour of what no photograph shows.
        resolution: Side of the square texture, texels.
        progress: Called with the share done and a text, or None.
    Returns:
        The mesh with its texture, and the share of its texels that no photograph shows. Memory: 32 bytes for each of at most 8 million
        pixels, and 150 bytes a texel.
    Raises:
        UsageError: If the mesh has no texture coordinates.
    """
    say = (lambda share, text: None) if progress is None else progress
    texels = texels_of(mesh, resolution)
    numbers, covered = _numbered(texels, resolution)
    equations, view, place = _equations(mesh, views, numbers, lambda share: say(0.4 * share, f"pixels of {len(views)} photographs"))
    seen = equations.known(len(texels.face))
    # Where photographs tell the colours, all that is to be known before are those of the vertices.
    coarse = color_vertices(mesh, color).colors
    assert coarse is not None
    start = np.einsum("nk,nkd->nd", texels.barycentric, coarse[mesh.faces[texels.face]] / np.float32(255.0)).astype(np.float32)
    unseen = np.flatnonzero(~seen)
    start[unseen] = texel_colors(mesh, texels, unseen, color, lambda share: say(0.4 + 0.3 * share, "colours of what none shows"))
    if seen.any():
        equations.color /= photograph_gains(equations.color, view, place)[view]
        start = solve(equations, start, neighbours(mesh, texels, numbers, covered), lambda share: say(0.7 + 0.3 * share, "texture"))
    return with_texture(mesh, texels, start, resolution), float(1.0 - seen.mean())


def best_texture(mesh: Mesh, views: Sequence[View], progress: Callable[[float, str], None]) -> Mesh:
    """The mesh with the texture that comes nearest to these very photographs: what one colour a place can do at best.

    Plain least squares over all pixels that show it: every photograph's brightness as it is, no pixel doubted.

    Args:
        mesh: With a square texture, which is where what no pixel tells comes from.
        views: As of :func:`paint_from_photographs`; those that it will be compared with among them.
        progress: Called with the share done and a text.
    """
    assert mesh.texture is not None
    size = len(mesh.texture)
    texels = texels_of(mesh, size)
    numbers, covered = _numbered(texels, size)
    equations, _, _ = _equations(mesh, views, numbers, lambda share: progress(0.5 * share, f"pixels of {len(views)} photographs"))
    start = mesh.texture[texels.row, texels.column, :3].astype(np.float32) / 255.0
    progress(0.5, "texture")
    beside, alike = neighbours(mesh, texels, numbers, covered), np.ones(len(equations.color), np.float32)
    best = start + least_squares_step(equations, alike, start, beside, np.zeros_like(start), BEST_ITERATIONS)
    progress(1.0, "texture")
    return with_texture(mesh, texels, best, size)


def _numbered(texels: Texels, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Which texel each place of the texture takes its colour from (itself, or in gutters the nearest), int32, and which are on a face."""
    covered, numbers = np.zeros((size, size), bool), np.zeros((size, size), np.int32)
    covered[texels.row, texels.column] = True
    numbers[texels.row, texels.column] = np.arange(len(texels.row), dtype=np.int32)
    nearest = distance_transform_edt(~covered, return_distances=False, return_indices=True)
    assert isinstance(nearest, np.ndarray)
    return numbers[nearest[0], nearest[1]], covered


def _equations(
    mesh: Mesh, views: Sequence[View], numbers: np.ndarray, progress: Callable[[float], object]
) -> tuple[Equations, np.ndarray, np.ndarray]:
    """The equations, and of each pixel which photograph it is of and at which square of the atlas it looks. int32 [P] each"""
    normals = face_cross(mesh)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-300)
    scene, size = ray_scene(mesh), len(numbers)
    square = max(size // PLACES, 8)
    side = -(-size // square)
    stride = max(1, int(np.ceil(np.sqrt(sum(int(_object(view).sum()) for view in views) / MOST_PIXELS))))  # one photograph's at a time
    parts, colors, owners, places = [], [], [], []
    waiting: list[tuple[np.ndarray, np.ndarray]] = []
    for v, view in enumerate(views):
        progress(v / len(views))
        shown = _object(view)
        rows, columns = np.arange(v % stride, shown.shape[0], stride), np.arange(v // stride % stride, shown.shape[1], stride)
        picked, face, barycentric = _hits(scene, normals, view, rows, columns, shown[np.ix_(rows, columns)])
        assert mesh.uv is not None
        index, weight, corner = _four_texels(np.einsum("nk,nkd->nd", barycentric, mesh.uv[mesh.faces[face]]), numbers)
        waiting.append((index, weight))
        colors.append(view.image[rows[picked[0]], columns[picked[1]], :3].astype(np.float32) / 255.0)
        owners.append(np.full(len(face), v, np.int32))
        places.append((corner[1] // square * side + corner[0] // square).astype(np.int32))
        if sum(len(i) for i, _ in waiting) >= _PART or v == len(views) - 1:
            parts.append(_matrix(waiting, int(numbers.max()) + 1))
            waiting = []
    if not views:
        none = np.zeros(0, np.int32)
        return Equations([], np.zeros((0, 3), np.float32)), none, none
    return Equations(parts, np.concatenate(colors)), np.concatenate(owners), np.concatenate(places)


def _four_texels(uv: np.ndarray, numbers: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Bilinear interpolation at places [N, 2]: numbers and weights of four texels [N, 4], and column and row of the first. [N]"""
    size = len(numbers)
    x, y = np.clip(uv[:, 0] * size - 0.5, 0, size - 1), np.clip((1 - uv[:, 1]) * size - 0.5, 0, size - 1)
    x0, y0 = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    x1, y1, fx, fy = np.minimum(x0 + 1, size - 1), np.minimum(y0 + 1, size - 1), x - x0, y - y0
    index = np.stack([numbers[y0, x0], numbers[y0, x1], numbers[y1, x0], numbers[y1, x1]], 1)
    return index, np.stack([(1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy], 1).astype(np.float32), (x0, y0)


def _matrix(rows: list[tuple[np.ndarray, np.ndarray]], texels: int) -> scipy.sparse.csr_matrix:
    index, weight = (np.concatenate(a).ravel() for a in zip(*rows, strict=True))
    return scipy.sparse.csr_matrix((weight, index, np.arange(0, len(index) + 1, 4, dtype=np.int32)), shape=(len(index) // 4, texels))


def _object(view: View) -> np.ndarray:
    """Pixels that show nothing but the object, as far as is known. bool [H, W]"""
    shown = np.ones(view.image.shape[:2], bool)
    if view.image.shape[2] == 4:
        shown &= view.image[..., 3] == 255
    if view.mask is not None:
        shown &= binary_erosion(view.mask > 127, border_value=1)
    if view.ignore is not None:
        shown &= ~view.ignore
    return shown


def _hits(
    scene: RayScene, normals: np.ndarray, view: View, rows: np.ndarray, columns: np.ndarray, shown: np.ndarray
) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray, np.ndarray]:
    """Pixels of a lattice of rows and columns whose middle sees the mesh well enough: places in it, faces and barycentric weights."""
    row, column = np.nonzero(shown)
    origins, directions = view.camera.rays(np.stack([columns[column] + 0.5, rows[row] + 0.5], 1))
    hits = cast(scene, origins, directions)
    depth = np.full((shown.shape[0] + 2, shown.shape[1] + 2), np.inf)
    depth[row + 1, column + 1] = hits.distance
    at = np.flatnonzero(hits.hit)
    row, column, face, here = row[at], column[at], hits.face[at], hits.distance[at]
    width = here / min(view.camera.fx, view.camera.fy) * max(rows[1] - rows[0] if len(rows) > 1 else 1, 1)
    good = -(normals[face] * directions[at]).sum(1) > LEAST_COSINE
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        good &= np.abs(depth[row + down, column + right] - here) < STEEP * width
    return (row[good], column[good]), face[good], hits.barycentric[at[good]]
