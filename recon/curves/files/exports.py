"""All files of a wireframe, in world units."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import get_args

from recon.config.values import CurveFormat
from recon.curves.files.dxf import write_dxf
from recon.curves.files.polylines import write_obj, write_parametric_edges, write_ply
from recon.curves.files.step import step_shift, write_step_curves
from recon.curves.files.svg import write_svg
from recon.curves.files.wireframe import Wireframe, save
from recon.data.scene import Camera
from recon.errors import install_hint
from recon.surface.mesh import Mesh
from recon.surface.raycast import ray_scene

FORMATS: tuple[CurveFormat, ...] = get_args(CurveFormat)
_EXTRA_MODULES: dict[CurveFormat, str] = {"dxf": "ezdxf", "step": "OCP"}
_FILES: dict[CurveFormat, str] = {
    "json": "curves.json",
    "edges": "parametric_edges.json",
    "obj": "curves.obj",
    "ply": "curves.ply",
    "dxf": "curves.dxf",
    "step": "curves.step",
}
_WRITERS: dict[CurveFormat, Callable[[Wireframe, Path], None]] = {
    "json": save,
    "edges": write_parametric_edges,
    "obj": write_obj,
    "ply": write_ply,
    "dxf": write_dxf,
}
SVG_FOLDER = "curves_svg"


def export_curves(
    folder: Path,
    wireframe: Wireframe,
    cameras: Mapping[str, Camera],
    mesh: Mesh | None = None,
    formats: Sequence[CurveFormat] | None = None,
    product: str | None = None,
) -> tuple[list[Path], list[str]]:
    """Write a wireframe in several formats.

    ``json``: ``curves.json`` (everything; read back by :func:`recon.curves.load`). ``edges``: ``parametric_edges.json`` (EMAP's).
    ``obj``, ``ply``: polylines. ``svg``: ``curves_svg/VIEW.svg`` for each camera. ``dxf``, ``step``: exact entities (extra ``[cad]``).

    Args:
        folder: Where files go; made if it is missing.
        wireframe: World units.
        cameras: By file stem, for ``svg``; world units.
        mesh: Hides lines in ``svg``; world units.
        formats: Which; None for all whose packages are installed.
        product: What the object is called, for CAD programs.
    Returns:
        Files written (for ``svg`` its folder), and what was left out, a line each.
    Raises:
        CapabilityError: If a format is asked for whose package is missing.
    """
    notes = []
    if formats is None:
        formats = [f for f in FORMATS if f not in _EXTRA_MODULES or find_spec(_EXTRA_MODULES[f]) is not None]
        missing = [f for f in FORMATS if f not in formats]
        if missing:
            notes.append(f"curves are not written as {' and '.join(missing)}: {install_hint('cad')}")
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name in dict.fromkeys(formats):
        if name == "svg":
            written.append(_write_pictures(folder / SVG_FOLDER, wireframe, cameras, mesh))
            continue
        path = folder / _FILES[name]
        if name == "step":
            write_step_curves(wireframe, path, product)
        else:
            _WRITERS[name](wireframe, path)
        written.append(path)
    if "step" in formats and wireframe.curves:
        if wireframe.unit is None:
            notes.append("curves.step: the world's unit is not known, so one counts as a millimetre; --unit says which it is")
        shift = step_shift(wireframe)
        if shift.any():
            where = ", ".join(f"{x:.10g}" for x in shift)
            notes.append(f"curves.step: far from the origin, so ({where}) in the world is its origin; the other files are not moved")
    return written, notes


def _write_pictures(folder: Path, wireframe: Wireframe, cameras: Mapping[str, Camera], mesh: Mesh | None) -> Path:
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.svg"):
        old.unlink()
    surface = None if mesh is None or len(mesh.faces) == 0 else ray_scene(mesh)
    for stem, camera in cameras.items():
        write_svg(wireframe, camera, surface, folder / f"{stem}.svg", stem)
    return folder
