"""True feature curves to compare a wireframe with: what they are, and where they are read from.

Readers: ABC (``*features*.yml`` with its ``.obj`` and the chunk's statistics), ``curves.json`` of this program, STEP (extra ``[cad]``),
and sampled point clouds (``.ply``), which know points only.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.curves.files.wireframe import Wireframe, load
from recon.errors import DataError
from recon.geometry import Similarity
from recon.system.foreign import load_trimesh

STEP_SUFFIXES = (".step", ".stp")
SUFFIXES = (".yml", ".yaml", ".json", ".ply", *STEP_SUFFIXES)
_FOLDERS = ("", "groundtruth", "truth")
_PATTERNS = ("*features*.yml", "curves.json", "*.step", "*.stp", "*.ply")


@dataclass(frozen=True)
class CurveTruth:
    """The curves that an object really has. World units, those of the photographs' cameras.

    Attributes:
        label: Where they come from, for reports.
        wireframe: Types, exact shapes and shared vertices; None if only points are known.
        polylines: The vertices that the truth's file puts on each curve, in order; or its unordered points as one entry, if
            ``wireframe`` is None; empty if the file knows exact curves only. Each [n, 3] float64
        normalised_from_world: To the frame in which thresholds are meant: the object's longest side is 1 and its box is centred at 0.5.
        extent_of: "object" if that box is the whole object's, "curves" if only the curves were there to measure it.
        raw_from_world: Factor to the units in which the file was written; published protocols sample there.
    """

    label: str
    wireframe: Wireframe | None
    polylines: tuple[np.ndarray, ...]
    normalised_from_world: Similarity
    extent_of: str
    raw_from_world: float = 1.0


def normalisation(lower: np.ndarray, upper: np.ndarray) -> Similarity:
    """The similarity that scales a box's longest side to 1 and centres it at (0.5, 0.5, 0.5).

    Raises:
        DataError: If the box is a point or not finite.
    """
    lower, upper = np.asarray(lower, np.float64), np.asarray(upper, np.float64)
    side = float((upper - lower).max(initial=0.0)) if lower.shape == (3,) else 0.0
    if not (np.isfinite(lower).all() and np.isfinite(upper).all() and side > 0):
        raise DataError("the true curves have no extent", hint="give a truth with at least one curve")
    return Similarity(1.0 / side, np.eye(3), 0.5 - (lower + upper) / 2 / side)


def from_wireframe(wireframe: Wireframe, label: str, box: tuple[np.ndarray, np.ndarray] | None = None) -> CurveTruth:
    """Truth from exact curves.

    Args:
        wireframe: World units.
        label: Where it comes from.
        box: Lowest and highest corner of the whole object, if known; else the curves' own box is used.
    Raises:
        DataError: If there is no curve.
    """
    if not wireframe.curves:
        raise DataError(f"{label}: no feature curve in it", hint="smooth shapes have none: compare surfaces instead")
    extent_of = "curves" if box is None else "object"
    if box is None:
        points = np.concatenate([c.at(np.linspace(0, c.pieces, 16 * c.pieces + 1)) for c in wireframe.curves])
        box = (points.min(0), points.max(0))
    return CurveTruth(label, wireframe, (), normalisation(*box), extent_of)


def read_curve_truth(path: Path) -> CurveTruth:
    """True curves from a file, or from a folder that holds one (itself, or in ``groundtruth/`` or ``truth/``).

    A folder's files are looked for in this order: ``*features*.yml``, ``curves.json``, STEP, and, in the two sub-folders only, ``.ply``.

    Raises:
        DataError: If nothing is found, or what is found is broken or ambiguous.
        CapabilityError: For STEP without the extra ``[cad]``.
    """
    file = find_curve_truth(path) if path.is_dir() else path
    if not file.is_file():
        raise DataError(f"{path}: there is no such truth", hint=f"give a folder, or one of {', '.join(SUFFIXES)}")
    suffix = file.suffix.lower()
    if suffix in (".yml", ".yaml"):
        from recon.evaluation.truth.abc import read_abc

        return read_abc(file)
    if suffix == ".json":
        return from_wireframe(load(file), str(file))
    if suffix in STEP_SUFFIXES:
        from recon.evaluation.truth.step import read_step_curves

        return read_step_curves(file)
    if suffix == ".ply":
        return read_points(file)
    raise DataError(f"{file}: no curves can be read from {suffix or 'a file without suffix'}", hint=f"give one of {', '.join(SUFFIXES)}")


def find_curve_truth(folder: Path) -> Path:
    """The file of true curves in a folder; see :func:`read_curve_truth`.

    Raises:
        DataError: If there is none, or more than one of the best kind.
    """
    found = _candidates(folder)
    if len(found) > 1:
        raise DataError(f"{found[0].parent}: several files may be the truth", [p.name for p in found], "give the file itself")
    if not found:
        raise DataError(
            f"{folder}: no true curves in it",
            [f"looked for {', '.join(_PATTERNS)} (points) in {', '.join(n or '.' for n in _FOLDERS)}"],
            "give the file itself",
        )
    return found[0]


def has_curve_truth(folder: Path) -> bool:
    """Whether a folder holds anything that :func:`find_curve_truth` would look at."""
    return bool(_candidates(folder))


def _candidates(folder: Path) -> list[Path]:
    """Files of the best kind that there is. A dataset's own folder may hold a sparse cloud of another origin: points count only in a
    folder of truth."""
    for pattern in _PATTERNS:
        for name in _FOLDERS:
            if pattern == "*.ply" and not (name or folder.name in _FOLDERS):
                continue
            found = sorted(p for p in (folder / name).glob(pattern) if p.is_file() and not (p.suffix == ".ply" and has_faces(p)))
            if found:
                return found
    return []


def read_points(path: Path) -> CurveTruth:
    """Points sampled on the true curves (.ply). What needs curves (types, junctions, counts) cannot be measured against them.

    Raises:
        DataError: If the file cannot be read, or holds no points or faces instead.
    """
    loaded = load_trimesh(path, "give a .ply with one vertex a sample")
    points = np.asarray(getattr(loaded, "vertices", np.zeros((0, 3))), np.float64)
    if len(getattr(loaded, "faces", ())) or len(points) == 0:
        raise DataError(f"{path}: not points sampled on curves", hint="a mesh is compared as a surface; give the curves")
    if not np.isfinite(points).all():
        raise DataError(f"{path}: {int((~np.isfinite(points)).any(1).sum())} points are not finite")
    return CurveTruth(str(path), None, (points,), normalisation(points.min(0), points.max(0)), "curves")


def has_faces(path: Path) -> bool:
    """Whether a .ply's header announces faces."""
    with path.open("rb") as file:
        header = file.read(4096).split(b"end_header")[0]
    return b"element face" in header
