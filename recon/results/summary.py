"""What a finished run ends with: the files that matter, how large they are, and what can be done next."""

from __future__ import annotations

import shlex
from pathlib import Path

FILES = {
    "exports/mesh.glb": "mesh with texture",
    "exports/mesh.ply": "mesh, all faces",
    "exports/mesh.obj": "mesh with texture",
    "exports/mesh.stl": "mesh for printing",
    "exports/curves.json": "curves",
    "exports/curves.step": "curves for CAD",
    "exports/curves.dxf": "curves for CAD",
    "solid/solid.step": "solid for CAD",
    "solid/partial.step": "open shell for CAD, no solid",
    "solid/report.html": "sizes of the solid, and how certain they are",
    "curves.png": "curves over the photographs",
    "preview.png": "photograph, render and shape beside each other",
    "renders/orbit.mp4": "a turn about it",
    "renders/orbit.gif": "a turn about it",
}
WITH_UNIT = ("exports/mesh", "exports/curves")


def file_lines(folder: Path, unit: str | None) -> list[str]:
    """Those of a run's files that a person opens: path, size, what it is, and the unit of its coordinates."""
    there = [(name, what) for name, what in FILES.items() if (folder / name).is_file()]
    width = max((len(name) for name, _ in there), default=0)
    return [f"  {name:{width}}  {_size((folder / name).stat().st_size):>8}  {what}{_unit(name, unit)}" for name, what in there]


def next_lines(folder: Path) -> list[str]:
    """Commands that go on from a run."""
    run = shlex.quote(str(folder))
    page = f"recon view {run} --export page.html" if (folder / "exports").is_dir() else None
    return ["next:", f"  recon view {run}", *([f"  {page}"] if page else [])]


def _unit(name: str, unit: str | None) -> str:
    return f", in {unit or 'the units of the cameras'}" if name.startswith(WITH_UNIT) else ""


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 1e5 else f"{count / 1e3:.1f} kB"
