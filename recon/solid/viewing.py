"""``solid_view.npz``: a solid as it is drawn, triangles and edges, so that looking at it needs no OpenCASCADE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recon.errors import DataError
from recon.solid.anatomy import Anatomy
from recon.solid.facets import Facets
from recon.solid.report import COLORS
from recon.system.files import whole
from recon.system.foreign import load_npz, read_object

FILE, REPORT = "solid_view.npz", "report.json"
_SHAPES: dict[str, tuple[int | None, ...]] = {
    "vertices": (None, 3), "normals": (None, 3), "triangles": (None, 3), "face": (None,), "edge_points": (None, 3), "edge_lengths": (None,)
}  # fmt: skip


@dataclass(frozen=True)
class SolidView:
    """What of a solid is looked at, world units.

    Attributes:
        facets: Triangles with the number of their face.
        edges: Polylines. [n, 3] each
        kinds: Of the faces.
        words: What is to be read of each face, a line each.
        reach: Deviation at which its colours end.
        solid: Whether it is a solid, and no open shell.
    """

    facets: Facets
    edges: tuple[np.ndarray, ...]
    kinds: tuple[str, ...]
    words: tuple[tuple[str, ...], ...]
    reach: float
    solid: bool

    @property
    def colors(self) -> np.ndarray:
        """sRGB of the vertices by the kinds of their faces. [V, 3] uint8"""
        owner = np.zeros(len(self.facets.vertices), np.int64)
        owner[self.facets.triangles.ravel()] = np.repeat(self.facets.face, 3)
        table = np.array([COLORS[kind] for kind in self.kinds]).reshape(-1, 3)
        return np.rint(255 * table[owner]).astype(np.uint8)


def save_view(folder: Path, shown: Facets, parts: Anatomy, millimetres: float, reach: float) -> None:
    """Write the drawing beside the report.

    Args:
        folder: Of the solid.
        shown: Its triangles, world units.
        parts: The shape taken apart, millimetres.
        millimetres: Of one world unit.
        reach: Deviation at which its colours end, world units.
    """
    pieces = [piece for edge in parts.edges for piece in edge.polylines]
    with whole(folder / FILE) as part, open(part, "wb") as file:
        np.savez_compressed(
            file,
            vertices=shown.vertices,
            normals=shown.normals.astype(np.float32),
            triangles=shown.triangles.astype(np.int32),
            face=shown.face.astype(np.int32),
            edge_points=np.concatenate([*pieces, np.zeros((0, 3))]) / millimetres,
            edge_lengths=np.array([len(p) for p in pieces], np.int64),
            reach=np.array(reach),
        )


def has_view(folder: Path) -> bool:
    """Whether a folder holds a solid that can be looked at."""
    return (folder / FILE).is_file() and (folder / REPORT).is_file()


def load_view(folder: Path) -> SolidView:
    """The drawing of a solid, with the words of its report.

    Raises:
        DataError: If a file is missing, damaged, or they contradict each other.
    """
    path, hint = folder / FILE, "make it again: recon solid RUN"
    data = load_npz(path, "the drawing of a solid", hint=hint)
    problems = [f"{name}: {data[name].shape}" if name in data else f"{name} is missing" for name, shape in _SHAPES.items()
                if name not in data or not _fits(data[name], shape)]  # fmt: skip
    report = read_object(folder / REPORT, "a solid's report", {"faces": list, "status": str}, hint)
    if not problems:
        vertices, faces = len(data["vertices"]), len(report["faces"])
        sound = (
            len(data["normals"]) == vertices
            and len(data["face"]) == len(data["triangles"])
            and (data["triangles"] >= 0).all()
            and (data["triangles"] < vertices).all()
            and (data["face"] >= 0).all()
            and (data["face"] < faces).all()
            and data["edge_lengths"].sum() == len(data["edge_points"])
            and np.isfinite(data["vertices"]).all()
            and "reach" in data
        )
        problems = [] if sound else ["its arrays, or the report beside it, do not belong together"]
    if problems:
        raise DataError(f"{path}: not the drawing of a solid", problems, hint)
    facets = Facets(data["vertices"], data["normals"].astype(np.float64), data["triangles"].astype(np.int64), data["face"])
    edges = np.split(data["edge_points"], np.cumsum(data["edge_lengths"])[:-1]) if len(data["edge_lengths"]) else []
    kinds = tuple(f["kind"] if f.get("kind") in COLORS else "bspline" for f in report["faces"])
    words = tuple(face_words(f) for f in report["faces"])
    return SolidView(facets, tuple(edges), kinds, words, float(data["reach"]), report["status"] == "solid")


def face_words(face: dict[str, Any]) -> tuple[str, ...]:
    """What is read of a face, the first line its name.

    Args:
        face: From the report.
    """
    lines = [f"{face['kind']} {face['region']}" + (" (hollow)" if face.get("hollow") else "")]
    names = {"radius": "radius", "tube_radius": "tube radius", "half_angle_deg": "half angle"}
    for key, value in face["sizes"].items():
        sigma = "" if value.get("sigma") is None else f" ± {value['sigma']:.2g}"
        unit = "°" if key == "half_angle_deg" else " mm"
        near = value.get("suggestion")
        lines.append(
            f"{names.get(key, key)} {value['measured']:.4f}{sigma}{unit}" + ("" if near is None else f", near {near['value']:.6g}")
        )
    if face.get("sigma_offset") is not None:
        lines.append(f"± {face['sigma_offset']:.2g} mm along its normal")
    if any(face["axis"]):
        lines.append(f"{'normal' if face['kind'] == 'plane' else 'axis'} {' '.join(f'{x:.4f}' for x in face['axis'])}")
    lines.append(f"area {face['area']:.5g} mm²")
    if face.get("deviation_mean") is not None:
        lines.append(f"mesh {face['deviation_mean']:+.3g} mm off, 95 % within {face['deviation_q95']:.2g} mm")
    if face.get("photographs") is not None:
        lines.append("seen in no photograph: not measured" if face["photographs"] < 1 else f"seen in {face['photographs']:.0f} photographs")
    if face.get("forced"):
        lines.append("nothing explained it: forced")
    return (*lines, *_relations(face.get("constraints") or ()))


def _relations(constraints: Sequence[str]) -> list[str]:
    return [f"relations: {len(constraints)}", *constraints[:4]] if constraints else []


def _fits(array: np.ndarray, shape: tuple[int | None, ...]) -> bool:
    return array.ndim == len(shape) and all(want is None or have == want for have, want in zip(array.shape, shape, strict=True))
