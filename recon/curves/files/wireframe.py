"""The wireframe: curves that share vertices, and its file ``curves.json``.

The file's schema: ``{"version": 1, "frame": "world", "unit": str | null, "vertices": [[x, y, z], ...], "curves": [{"id", "type":
"line|arc|circle|ellipse|bezier", "vertices": [i, j] | null when closed, "control_points": [[x, y, z], ...] (3k+1 of them), "weights",
"parameters", "length", "support", "rmse_px", "label", "dihedral_rad"}]}``; see :mod:`recon.curves.files.curve` for their meaning.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from recon.curves.files.curve import Curve, read, to_json
from recon.errors import DataError
from recon.geometry import Similarity
from recon.system.foreign import read_json, reading

END_TOLERANCE = 1e-9
"""How exactly a curve's end is its vertex, relative to the largest coordinate (and to 1)."""
READ_TOLERANCE = 1e-5
"""The same for files, which others may have written with fewer digits."""


@dataclass(frozen=True)
class Wireframe:
    """Curves and the vertices they share.

    Curves that meet name the same vertex, and a curve's first and last control points are its vertices (to :data:`END_TOLERANCE`).

    Attributes:
        vertices: Junctions and free ends; each is used by a curve. [V, 3] float64
        curves: A closed curve names no vertices.
        unit: Name of the unit ("mm"), None if unknown.
    """

    vertices: np.ndarray
    curves: tuple[Curve, ...]
    unit: str | None = None

    @property
    def length(self) -> float:
        """Of all curves, units of the vertices."""
        return sum(c.length for c in self.curves)

    @property
    def valence(self) -> np.ndarray:
        """Ends of curves at each vertex; one that leaves and comes back counts twice. [V] int64"""
        ends = [v for c in self.curves if c.vertices is not None for v in c.vertices]
        return np.bincount(np.array(ends, np.int64), minlength=len(self.vertices))

    def transformed(self, target_from_source: Similarity, unit: str | None = None) -> Wireframe:
        """The same curves in another frame, parameters included.

        Args:
            target_from_source: E.g. ``scene.world_from_scene``.
            unit: Name of the target's unit.
        """
        curves = tuple(c.transformed(target_from_source) for c in self.curves)
        return Wireframe(target_from_source.apply(self.vertices).reshape(-1, 3), curves, unit)

    def samples(self, spacing: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Points at equal arc length on every curve, its ends included, at most ``spacing`` apart.

        Returns:
            Points [N, 3], unit tangents [N, 3], index of the curve [N] int64.
        """
        if not self.curves:
            return np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0, np.int64)
        pieces = [c.sample(spacing) for c in self.curves]
        index = np.repeat(np.arange(len(pieces)), [len(p) for p, _ in pieces])
        return np.concatenate([p for p, _ in pieces]), np.concatenate([t for _, t in pieces]), index

    def problems(self, tolerance: float = END_TOLERANCE) -> list[str]:
        """What contradicts the promises above, one line each; empty for a sound wireframe."""
        size = max(1.0, float(np.abs(self.vertices).max(initial=0.0)))
        found = []
        for number, curve in enumerate(self.curves):
            ends = curve.control_points[[0, -1]]
            if curve.vertices is None:
                gap = float(np.abs(ends[0] - ends[1]).max())
                wrong = "is closed, but its ends are"
            elif not all(0 <= v < len(self.vertices) for v in curve.vertices):
                found.append(f"curve {number} names vertices {curve.vertices} of {len(self.vertices)}")
                continue
            else:
                gap = float(np.abs(ends - self.vertices[list(curve.vertices)]).max())
                wrong = "does not end at its vertices: they are"
            if not gap <= tolerance * size:
                found.append(f"curve {number} ({curve.type}) {wrong} {gap:.3g} apart")
        return found


def from_curves(curves: Sequence[Curve], unit: str | None = None) -> Wireframe:
    """A wireframe of curves whose vertices are not known: ends at one place (to :data:`END_TOLERANCE`) become one vertex.

    Args:
        curves: ``vertices`` is None for closed ones; what else it says is replaced.
        unit: Name of the unit.
    """
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components
    from scipy.spatial import KDTree

    open_curves = [k for k, c in enumerate(curves) if c.vertices is not None]
    ends = np.array([curves[k].control_points[e] for k in open_curves for e in (0, -1)]).reshape(-1, 3)
    size = max(1.0, float(np.abs(ends).max(initial=0.0)))
    a, b = KDTree(ends).query_pairs(END_TOLERANCE * size / 2, output_type="ndarray").T if len(ends) else np.zeros((2, 0), int)
    _, label = connected_components(coo_matrix((np.ones(len(a)), (a, b)), shape=(len(ends),) * 2), directed=False)
    _, first, number = np.unique(label, return_index=True, return_inverse=True)
    place = {k: (int(i), int(j)) for k, (i, j) in zip(open_curves, number.reshape(-1, 2), strict=True)}
    return Wireframe(ends[first].reshape(-1, 3), tuple(replace(c, vertices=place.get(k)) for k, c in enumerate(curves)), unit)


def save(wireframe: Wireframe, path: Path) -> None:
    """Write ``curves.json``, whole or not at all.

    Raises:
        ValueError: If curves do not end at their vertices.
    """
    from recon.system.files import write_text_atomically

    broken = wireframe.problems()
    if broken:
        raise ValueError("not a wireframe: " + "; ".join(broken[:5]))
    document = to_json(wireframe.vertices, wireframe.curves, (), wireframe.unit)
    del document["tangent_curves"]
    write_text_atomically(Path(path), json.dumps(document, indent=1, allow_nan=False))


def load(path: Path | str) -> Wireframe:
    """Read ``curves.json``. Of a built-in scene's truth, the feature curves (not the boundaries of fillets).

    Raises:
        DataError: If the file is missing, is not one, or contradicts itself; all problems at once.
    """
    path = Path(path)
    vertices, curves, _ = read(path)
    unit = read_json(path, "a curves file").get("unit")
    if not isinstance(unit, str | None):
        raise DataError(f'{path}: its "unit" is not a name')
    wireframe = Wireframe(vertices, curves, unit)
    with reading(path, "a curves file"):
        broken = wireframe.problems(READ_TOLERANCE)
    if broken:
        raise DataError(f"{path}: its curves do not hang together", broken, "Write the file again with the program it came from.")
    return wireframe
