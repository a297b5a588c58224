"""What is known of the object itself: its surface, its feature curves, or both."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from recon.errors import DataError
from recon.evaluation.dtu import DtuTruth, choose_scan, is_dtu_truth, load_dtu_truth
from recon.evaluation.truth import curves as curve_truth
from recon.evaluation.truth.curves import CurveTruth
from recon.surface.mesh import Mesh
from recon.surface.reading import read_mesh

CURVE_SUFFIXES = (".yml", ".yaml", ".json")
_MESHES = ("mesh.ply", "truth/mesh.ply")
_SOLIDS = ("part.step", "truth/part.step")


@dataclass(frozen=True)
class GroundTruth:
    """World units; None for what is not known. ``around`` is what else the photographs show: only with it is known what they can show."""

    surface: Mesh | None = None
    curves: CurveTruth | None = None
    dtu: DtuTruth | None = None
    around: Mesh | None = None
    solid: Path | None = None
    """A STEP file, read when there is a solid to compare with it."""

    @property
    def known(self) -> str:
        """What there is, in words; empty for nothing."""
        return " and ".join(name for name, value in self._all() if value is not None)

    def _all(self):
        return (("a surface", self.surface), ("curves", self.curves), ("a DTU scan", self.dtu), ("a solid", self.solid))


def read_truth(path: Path, scan: int | None = None) -> GroundTruth:
    """Read the truth that a user names.

    Args:
        path: A mesh (surface); a ``curves.json`` or an ABC ``*features*.yml`` (curves); a STEP file (curves and solid); a ``.ply``
            (surface if it has faces, else points on curves); a folder that holds such curves, ``mesh.ply`` or ``truth/mesh.ply``, or both,
            and ``part.step`` beside the mesh; or DTU's folder of evaluation data (``Points/stl/``, ``ObsMask/``).
        scan: Which of DTU's scans; None if the folder has only one.
    Raises:
        DataError: If there is nothing, or it is broken.
        UsageError: If DTU's folder has several scans, and none is chosen.
        CapabilityError: For STEP without the extra ``[cad]``.
    """
    if path.is_dir() and is_dtu_truth(path):
        return GroundTruth(dtu=load_dtu_truth(path, choose_scan(path, scan)))
    if path.is_dir():
        meshes = [path / name for name in _MESHES if (path / name).is_file()]
        surface = read_mesh(meshes[0]) if meshes else None
        if surface is not None and not curve_truth.has_curve_truth(path):
            return GroundTruth(surface)
        solid = next((path / name for name in _SOLIDS if (path / name).is_file()), None)
        return GroundTruth(surface, curve_truth.read_curve_truth(path), solid=solid)
    if not path.is_file():
        raise DataError(f"{path}: there is no such truth", hint="give a mesh, a file of curves, or a folder that holds them")
    suffix = path.suffix.lower()
    if suffix in curve_truth.STEP_SUFFIXES:
        return GroundTruth(curves=curve_truth.read_curve_truth(path), solid=path)
    if suffix in CURVE_SUFFIXES or (suffix == ".ply" and not curve_truth.has_faces(path)):
        return GroundTruth(curves=curve_truth.read_curve_truth(path))
    return GroundTruth(read_mesh(path))
