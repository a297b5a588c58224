"""A solid as files: STEP AP242 with unit, product, a name and a colour for every face, and OpenCASCADE's own .brep.

What is written is read again and checked again before it may be called a solid: some shapes that are right in memory come back
wrong. All of it happens in a process of its own with a time limit, as OpenCASCADE has inputs on which it neither ends nor fails.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recon.curves.files.occ import occ, quiet, read_step, static, subshapes
from recon.errors import CapabilityError, DataError
from recon.solid.anatomy import Check, check
from recon.system.files import whole

SOLID, PARTIAL = "solid", "partial"
"""What the files are called: ``solid.step`` only for what is one."""
PATIENCE = 20
"""Times as long as the processor's time a child may take on a clock: machines are busy."""
OUT_OF_TIME = (-24, -9)
"""SIGXCPU and SIGKILL: how a process ends that has used its processor time."""
VOLUME = 0.01
"""Largest relative difference between the volume of a solid and that of the mesh it stands for."""
Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class FaceMark:
    """What a face is called in a CAD program's tree (ASCII), and its colour, sRGB in [0, 1]."""

    name: str
    color: Rgb


@dataclass(frozen=True)
class Gate:
    """What a shape must fulfil to be called a solid, beside being valid, closed and of one shell; millimetres.

    Attributes:
        tolerance: Largest tolerance of its edges and vertices.
        volume: Of the mesh that it stands for; None: it is not compared.
    """

    tolerance: float
    volume: float | None


@dataclass(frozen=True)
class Written:
    """What became of a shape.

    Attributes:
        status: "solid", or "open_shell": the valid faces, and not called a solid.
        step, brep: The files.
        memory: Of the shape that was given, in millimetres.
        reread: Of the STEP file's shape, read again, in millimetres.
        kept: Numbers of the given shape's faces that the files have, in the order of the files.
        reasons: Why it is no solid, a line each; empty for a solid.
    """

    status: Literal["solid", "open_shell"]
    step: Path
    brep: Path
    memory: Check
    reread: Check
    kept: tuple[int, ...]
    reasons: tuple[str, ...]


def write_solid(
    folder: Path,
    shape: Any,
    marks: Sequence[FaceMark],
    product: str,
    millimetres: float,
    gate: Gate,
    *,
    solid: bool,
    seconds: float = 120.0,
) -> Written:
    """Write ``solid.step`` and ``solid.brep``, or, where a gate is not passed, ``partial.step`` and ``partial.brep`` with the valid
    faces as an open shell. The files of the other name, if there are any from before, are removed.

    Args:
        folder: That exists.
        shape: OpenCASCADE shape.
        marks: For each of ``subshapes(shape, "FACE")``.
        product: Name of the part.
        millimetres: Of one unit of the shape; files are in millimetres.
        gate: What a solid must fulfil.
        solid: Whether the shape is meant to be one.
        seconds: Of processor time that writing and reading again may take in the child process.
    Raises:
        CapabilityError: Without OpenCASCADE.
        DataError: If OpenCASCADE neither ends nor succeeds, or no face of the shape is valid.
    """
    with tempfile.TemporaryDirectory(prefix="formfield-solid-") as scratch:
        given = Path(scratch) / "given.bin"
        if not static(occ("BinTools").BinTools, "Write")(shape, str(given)):
            raise DataError("OpenCASCADE could not write the shape", hint="look whether there is room for temporary files")
        job = {
            "given": str(given),
            "out": scratch,
            "names": [m.name for m in marks],
            "colors": [m.color for m in marks],
            "product": product,
            "millimetres": millimetres,
            "tolerance": gate.tolerance,
            "volume": gate.volume,
        }
        reasons: list[str] = []
        for tries in ([SOLID, PARTIAL], [PARTIAL]) if solid else ([PARTIAL],):
            said = _in_child({**job, "tries": tries}, seconds)
            if said is None:
                reasons.append(f"OpenCASCADE did not end within {seconds:g} s of processor time while it wrote and read the {tries[0]}")
                continue
            reasons += said["reasons"]
            if said["written"] is not None:
                return _moved(Path(scratch), folder, said, tuple(reasons))
            break
    raise DataError("no valid face could be written", reasons, "a solid needs a closed surface with flat or round faces: look at the mesh")


def _moved(scratch: Path, folder: Path, said: dict[str, Any], reasons: tuple[str, ...]) -> Written:
    """The child's files in their place, and none of an earlier try."""
    name = said["written"]
    step, brep = folder / f"{name}.step", folder / f"{name}.brep"
    for path in (step, brep):
        with whole(path) as part:
            part.write_bytes((scratch / path.name).read_bytes())
    for other in {SOLID, PARTIAL} - {name}:
        for suffix in (".step", ".brep"):
            (folder / f"{other}{suffix}").unlink(missing_ok=True)
    status = "solid" if name == SOLID else "open_shell"
    return Written(status, step, brep, _check(said["memory"]), _check(said["reread"]), tuple(said["kept"]), reasons)


def _in_child(job: dict[str, Any], seconds: float) -> dict[str, Any] | None:
    """The answer of :func:`main` in a process of its own; None if it was not done in time.

    Raises:
        DataError: If the process failed.
    """
    environment = dict(os.environ)
    environment["PYTHONPATH"] = os.pathsep.join([str(Path(__file__).parents[2]), environment.get("PYTHONPATH", "")]).rstrip(os.pathsep)
    words = [sys.executable, "-m", "recon.solid.step"]
    try:
        said = json.dumps({**job, "seconds": seconds})
        done = subprocess.run(words, input=said, capture_output=True, text=True, timeout=PATIENCE * seconds, env=environment, check=False)
    except subprocess.TimeoutExpired:
        return None
    if done.returncode in OUT_OF_TIME:
        return None
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1])
    if done.returncode == CapabilityError.exit_code:
        raise CapabilityError(done.stderr.strip())
    last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1][:300]
    raise DataError(f"OpenCASCADE failed while the solid was written (exit code {done.returncode}: {last})")


def _check(values: dict[str, Any]) -> Check:
    return Check(
        **{**values, "problems": tuple(values["problems"]), "volume": float(values["volume"]), "tolerance": float(values["tolerance"])}
    )


def main() -> None:
    """The child: a job as JSON on stdin, its answer as JSON on the last line of stdout."""
    job = json.loads(sys.stdin.read())
    if "seconds" in job and sys.platform != "win32":
        import resource

        limit = max(1, round(job["seconds"]))
        resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
    quiet()
    shape = occ("TopoDS").TopoDS_Shape()
    static(occ("BinTools").BinTools, "Read")(shape, job["given"])
    shape = in_millimetres(shape, job["millimetres"])
    gate = Gate(job["tolerance"], job["volume"])
    memory = check(shape)
    answer: dict[str, Any] = {"memory": vars(memory), "reread": None, "kept": [], "reasons": [], "written": None}
    for name in job["tries"]:
        if name == SOLID:
            part, kept, wrong = shape, list(range(len(job["names"]))), failures(memory, gate, "in memory")
        else:
            (part, kept), wrong = valid_shell(shape), []
        if not wrong and kept:
            marks = [FaceMark(job["names"][k], tuple(job["colors"][k])) for k in kept]
            path = Path(job["out"]) / f"{name}.step"
            write_ap242(path, part, marks, job["product"])
            static(occ("BRepTools").BRepTools, "Write")(part, str(path.with_suffix(".brep")))
            reread = check(read_step(path))
            wrong = failures(reread, gate, "after the file was read again") if name == SOLID else []
            if not wrong:
                answer |= {"reread": vars(reread), "kept": kept, "written": name}
                break
        answer["reasons"] += wrong
    sys.stdout.write("\n" + json.dumps(answer) + "\n")


def failures(found: Check, gate: Gate, when: str) -> list[str]:
    """Why a shape is not to be called a solid, a line each."""
    lines = [f"{when}: {problem}" for problem in found.problems]
    if not lines and not found.is_solid:
        lines.append(f"{when}: it is no closed solid of one shell")
    if not found.tolerance <= gate.tolerance:
        lines.append(f"{when}: its largest tolerance is {found.tolerance:.3g} mm, and {gate.tolerance:.3g} mm are allowed")
    if gate.volume is not None and found.closed and not abs(found.volume / gate.volume - 1) <= VOLUME:
        lines.append(f"{when}: its volume differs from the mesh's by {100 * (found.volume / gate.volume - 1):+.2f} %")
    return lines


def in_millimetres(shape: Any, factor: float) -> Any:
    """A shape scaled about the origin; its surfaces stay what they are."""
    if factor == 1.0:
        return shape
    gp = occ("gp")
    scale = gp.gp_Trsf()
    scale.SetScale(gp.gp_Pnt(0.0, 0.0, 0.0), factor)
    return occ("BRepBuilderAPI").BRepBuilderAPI_Transform(shape, scale, True).Shape()


def valid_shell(shape: Any) -> tuple[Any, list[int]]:
    """A shell, open or not, of the faces of a shape that OpenCASCADE calls valid, and their numbers. Edges stay shared."""
    analyzer = occ("BRepCheck").BRepCheck_Analyzer(shape)
    builder, shell = occ("BRep").BRep_Builder(), occ("TopoDS").TopoDS_Shell()
    builder.MakeShell(shell)
    kept = []
    for number, face in enumerate(subshapes(shape, "FACE")):
        if analyzer.IsValid(face):
            builder.Add(shell, face)
            kept.append(number)
    return shell, kept


def write_ap242(path: Path, shape: Any, marks: Sequence[FaceMark], product: str) -> None:
    """Write a shape as one part, STEP AP242 in millimetres, with names and colours for its faces.

    Changes settings of OpenCASCADE that hold for the whole process: to be called in a process of its own.

    Args:
        path: File to write.
        shape: In millimetres.
        marks: For each of ``subshapes(shape, "FACE")``.
        product: Name of the part.
    Raises:
        DataError: If the file cannot be written.
    """
    settings, tools, colors = occ("Interface").Interface_Static, occ("XCAFDoc").XCAFDoc_DocumentTool, occ("Quantity")
    text, name = occ("TCollection").TCollection_ExtendedString, static(occ("TDataStd").TDataStd_Name, "Set")
    static(occ("STEPCAFControl").STEPCAFControl_Controller, "Init")()  # before it, the settings do not exist, and would be ignored
    for key, value in (("write.step.schema", "AP242DIS"), ("write.step.unit", "MM")):
        static(settings, "SetCVal")(key, value)
    static(settings, "SetIVal")("write.stepcaf.subshapes.name", 1)
    document = occ("TDocStd").TDocStd_Document(text("BinXCAF"))
    static(occ("XCAFApp").XCAFApp_Application, "GetApplication")().NewDocument(text("BinXCAF"), document)
    static(tools, "SetLengthUnit")(document, 1.0, occ("UnitsMethods").UnitsMethods_LengthUnit.UnitsMethods_LengthUnit_Millimeter)
    shapes, palette = (static(tools, tool)(document.Main()) for tool in ("ShapeTool", "ColorTool"))
    part = shapes.AddShape(shape, False)
    name(part, text(ascii_name(product)))
    for face, mark in zip(subshapes(shape, "FACE"), marks, strict=True):
        label = shapes.AddSubShape(part, face)
        if label.IsNull():  # a face that the shape has twice has its label
            continue
        name(label, text(ascii_name(mark.name)))
        color = colors.Quantity_Color(*mark.color, colors.Quantity_TypeOfColor.Quantity_TOC_sRGB)
        palette.SetColor(label, color, occ("XCAFDoc").XCAFDoc_ColorType.XCAFDoc_ColorSurf)
    writer = occ("STEPCAFControl").STEPCAFControl_Writer()
    writer.SetNameMode(True)
    writer.SetColorMode(True)
    transferred = writer.Transfer(document, occ("STEPControl").STEPControl_StepModelType.STEPControl_AsIs)
    if not transferred or writer.Write(str(path)) != occ("IFSelect").IFSelect_ReturnStatus.IFSelect_RetDone:
        raise DataError(f"{path}: could not be written as STEP", hint="check that there is room on the disk")


def ascii_name(name: str) -> str:
    """A name as every STEP reader shows it: printable ASCII, not empty."""
    return "".join(c if 32 <= ord(c) < 127 else "_" for c in name).strip()[:120] or "part"


if __name__ == "__main__":
    main()
