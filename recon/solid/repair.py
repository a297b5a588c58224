"""What OpenCASCADE does to a shell until it is a solid, in a process of its own: it may hang or crash, and then only that process ends.

``python -m recon.solid.repair IN.brep OUT.brep OUT.json PRECISION SECONDS`` is that process.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from recon.curves.files.occ import occ, static, subshapes

PATIENCE = 10.0
"""On a busy machine the child process may take this many times its processor time."""


@dataclass(frozen=True)
class Checked:
    """What is known of a shape after its repair.

    Attributes:
        valid: OpenCASCADE's check of the solid.
        shells: Number of shells.
        closed: Whether every edge has two faces, and the solid could be oriented.
        tolerance: Largest tolerance of an edge or vertex.
        volume: Of the solid.
        bad_faces: Faces that fail the check, by their place in the shape.
        problem: What went wrong with the process itself, or "".
    """

    valid: bool = False
    shells: int = 0
    closed: bool = False
    tolerance: float = 0.0
    volume: float = 0.0
    bad_faces: tuple[int, ...] = ()
    problem: str = ""


def write_brep(shape: Any, path: Path) -> None:
    static(occ("BRepTools").BRepTools, "Write")(shape, str(path))


def read_brep(path: Path) -> Any:
    shape = occ("TopoDS").TopoDS_Shape()
    static(occ("BRepTools").BRepTools, "Read")(shape, str(path), occ("BRep").BRep_Builder())
    return shape


def fixed(shell: Any, precision: float) -> Any:
    """Parameter curves, seams of faces that go all round, orientation of wires, consistently over shared edges."""
    fixer = occ("ShapeFix").ShapeFix_Shape(shell)
    fixer.SetPrecision(precision)
    fixer.SetMaxTolerance(50 * precision)
    fixer.Perform()
    return fixer.Shape()


def solid_of(shape: Any) -> tuple[Any, bool, int]:
    """A solid from all shells of a shape, whether it could be oriented, and the number of shells."""
    builder = occ("BRep").BRep_Builder()
    solid = occ("TopoDS").TopoDS_Solid()
    builder.MakeSolid(solid)
    shells = subshapes(shape, "SHELL")
    for shell in shells:
        builder.Add(solid, shell)
    return solid, bool(static(occ("BRepLib").BRepLib, "OrientClosedSolid")(solid)), len(shells)


def checked(shape: Any, oriented: bool) -> Checked:
    """Validity, tolerance and volume of a solid, as OpenCASCADE sees them."""
    analyzer = occ("BRepCheck").BRepCheck_Analyzer(shape)
    bad = tuple(k for k, face in enumerate(subshapes(shape, "FACE")) if not analyzer.IsValid(face))
    measure = occ("ShapeAnalysis").ShapeAnalysis_ShapeTolerance()
    tolerance = max(measure.Tolerance(shape, 1, getattr(occ("TopAbs"), f"TopAbs_{k}")) for k in ("EDGE", "VERTEX"))
    shells = subshapes(shape, "SHELL")
    closed = oriented and bool(shells) and all(static(occ("BRep").BRep_Tool, "IsClosed")(s) for s in shells)
    return Checked(bool(analyzer.IsValid()), len(shells), closed, float(tolerance), volume_of(shape), bad)


def volume_of(shape: Any) -> float:
    properties = occ("GProp").GProp_GProps()
    static(occ("BRepGProp").BRepGProp, "VolumeProperties")(shape, properties)
    return float(properties.Mass())


def repaired(shell: Any, precision: float, seconds: float) -> tuple[Any | None, Checked]:
    """The solid of a shell and what is known of it, made in a child process with ``seconds`` of processor time; None if that failed."""
    with tempfile.TemporaryDirectory() as folder:
        given, made, report = (Path(folder) / name for name in ("shell.brep", "solid.brep", "report.json"))
        write_brep(shell, given)
        command = [sys.executable, "-m", "recon.solid.repair", str(given), str(made), str(report), repr(precision), repr(seconds)]
        try:
            ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE * seconds, check=False)
        except subprocess.TimeoutExpired:
            return None, Checked(problem=f"OpenCASCADE did not repair the shell within {PATIENCE * seconds:g} s")
        if ended.returncode in (-24, -9):  # SIGXCPU, SIGKILL: the limit of the processor's time
            return None, Checked(problem=f"OpenCASCADE did not repair the shell within {seconds:g} s of processor time")
        if ended.returncode != 0 or not report.is_file():
            last = (ended.stderr.strip().splitlines() or ["no message"])[-1]
            return None, Checked(problem=f"OpenCASCADE failed on the shell ({last[:120]})")
        values = json.loads(report.read_text(encoding="utf-8"))
        return read_brep(made), Checked(**{**values, "bad_faces": tuple(values["bad_faces"])})


def main(given: str, made: str, report: str, precision: str, seconds: str) -> None:
    """The child process: read the shell, repair it, write the solid and what is known of it."""
    if sys.platform != "win32":
        import resource

        limit = int(float(seconds)) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    shape = fixed(read_brep(Path(given)), float(precision))
    solid, oriented, _ = solid_of(shape)
    result = checked(solid, oriented)
    write_brep(solid, Path(made))
    Path(report).write_text(json.dumps(asdict(result)), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
