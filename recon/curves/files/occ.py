"""OpenCASCADE's bindings (extra ``[cad]``): imported when needed, its shapes walked, its STEP files read and written."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from recon import __version__
from recon.errors import DataError, require_extra


def occ(module: str) -> Any:
    """One of OpenCASCADE's modules, e.g. ``occ("gp")``; a :class:`CapabilityError` names the extra when it is absent."""
    return require_extra(f"OCP.{module}", "cad", "Working with STEP and CAD solids")


def require_cad() -> None:
    """Say that the extra is missing before any work is done.

    Raises:
        CapabilityError: If it is not installed.
    """
    occ("TopoDS")


def quiet() -> None:
    """Keep OpenCASCADE from writing its own progress to the terminal."""
    messages = occ("Message")
    messenger = static(messages.Message, "DefaultMessenger")()
    messenger.RemovePrinters(static(messages.Message_PrinterOStream, "get_type_descriptor")())


def from_opencascade(error: BaseException) -> bool:
    """Whether an exception is one of OpenCASCADE's own, which have no common base."""
    return type(error).__module__.partition(".")[0] == "OCP"


def static(owner: Any, name: str) -> Any:
    """A static method, under the name that this release of the binding gives it (``Name`` or ``Name_s``)."""
    return getattr(owner, name + "_s", None) or getattr(owner, name)


def subshapes(shape: Any, kind: str) -> list[Any]:
    """All sub-shapes of a kind ("FACE", "EDGE", "VERTEX", "SOLID"), downcast, one entry for each use."""
    top = occ("TopoDS").TopoDS
    explorer = occ("TopExp").TopExp_Explorer(shape, getattr(occ("TopAbs"), f"TopAbs_{kind}"))
    found = []
    while explorer.More():
        found.append(static(top, kind.capitalize())(explorer.Current()))
        explorer.Next()
    return found


def distinct(shapes: list[Any]) -> tuple[list[Any], list[int]]:
    """Sub-shapes that are the same up to orientation, once each, in order of appearance, and the number of each input."""
    buckets: dict[int, list[int]] = {}
    unique: list[Any] = []
    number = []
    for shape in shapes:
        bucket = buckets.setdefault(hash(shape), [])
        index = next((k for k in bucket if unique[k].IsSame(shape)), None)
        if index is None:
            index = len(unique)
            unique.append(shape)
            bucket.append(index)
        number.append(index)
    return unique, number


def box(shape: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Lowest and highest corner of a shape's axis-aligned box, to its geometry; None for an empty shape. [3] each"""
    bounds = occ("Bnd").Bnd_Box()
    static(occ("BRepBndLib").BRepBndLib, "AddOptimal")(shape, bounds, False, False)
    if bounds.IsVoid():
        return None
    low, high = bounds.CornerMin(), bounds.CornerMax()
    return np.array([low.X(), low.Y(), low.Z()]), np.array([high.X(), high.Y(), high.Z()])


def box_diagonal(shape: Any) -> float:
    """Length of the diagonal of :func:`box`; 0 for an empty shape."""
    corners = box(shape)
    return 0.0 if corners is None else float(np.linalg.norm(corners[1] - corners[0]))


def unify(shape: Any) -> Any:
    """Join faces of one surface and edges of one curve that an operation, or another program's file, left in pieces."""
    joiner = occ("ShapeUpgrade").ShapeUpgrade_UnifySameDomain(shape, True, True, False)
    joiner.Build()
    return joiner.Shape()


def read_step(path: Path) -> Any:
    """The solids of a STEP file as one shape, millimetres.

    Raises:
        CapabilityError: Without OpenCASCADE.
        DataError: If the file is missing, is no STEP, or holds no faces.
    """
    control = occ("STEPControl")
    if not path.is_file():
        raise DataError(f"{path} does not exist")
    quiet()
    reader = control.STEPControl_Reader()
    status = reader.ReadFile(str(path))
    if status != occ("IFSelect").IFSelect_ReturnStatus.IFSelect_RetDone:
        raise DataError(f"{path}: not a STEP file, or a damaged one", hint="Export it again as STEP AP203 or AP214.")
    reader.TransferRoots()
    shape = reader.OneShape()
    if shape is None or shape.IsNull() or not subshapes(shape, "FACE"):
        raise DataError(f"{path}: no solid in it", hint="Export the solid, not only sketches or annotations.")
    return shape


def write_step(path: Path, shape: Any, one_part: bool = False, product: str | None = None) -> None:
    """Write a shape as STEP AP214, millimetres.

    Args:
        path: File to write.
        shape: OpenCASCADE shape.
        one_part: Write the members of a compound as one part; else they become parts of an assembly.
        product: Name of the part, as CAD programs list it; None: the file's name.
    Raises:
        DataError: If the file cannot be written.
    """
    control, settings = occ("STEPControl"), occ("Interface").Interface_Static
    quiet()
    writer = control.STEPControl_Writer()
    usual = static(settings, "IVal")("write.step.assembly")
    static(settings, "SetIVal")("write.step.assembly", 0 if one_part else usual)
    try:
        writer.Transfer(shape, control.STEPControl_StepModelType.STEPControl_AsIs)
    finally:
        static(settings, "SetIVal")("write.step.assembly", usual)
    name, model = occ("TCollection").TCollection_HAsciiString(_step_text(product or path.stem)), writer.Model()
    for number in range(1, model.NbEntities() + 1):
        if isinstance(entity := model.Value(number), occ("StepBasic").StepBasic_Product):
            entity.SetName(name)
            entity.SetId(name)
    header, text = occ("APIHeaderSection").APIHeaderSection_MakeHeader(model), occ("TCollection").TCollection_HAsciiString
    header.SetName(name)
    header.SetAuthorValue(1, text("formfield"))
    header.SetOrganizationValue(1, text(""))
    header.SetOriginatingSystem(text(f"formfield {__version__}"))
    status = writer.Write(str(path))
    if status != occ("IFSelect").IFSelect_ReturnStatus.IFSelect_RetDone:
        raise DataError(f"{path}: could not be written as STEP", hint="Check that the folder exists and is writable.")


def _step_text(text: str) -> str:
    """A name for a STEP file, whose strings are printable ASCII: letters lose their accents, what has no ASCII is an underscore."""
    plain = unicodedata.normalize("NFKD", text)
    return "".join(c if " " <= c <= "~" and c not in "'\\" else "_" for c in plain if not unicodedata.combining(c))[:200]
