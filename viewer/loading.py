"""What a run has to show: its surface with colours, and its curves."""

from __future__ import annotations

from pathlib import Path

from recon.curves import Wireframe, load
from recon.errors import DataError
from recon.runs import Run
from recon.solid.viewing import has_view
from recon.surface.mesh import Mesh, transform_mesh
from recon.surface.reading import read_mesh, read_surface, world_from_gltf


def surface_file(run: Run) -> Path | None:
    """The mesh to look at: the run's exported ``mesh.glb`` (simplified, textured) before ``mesh.ply`` (all faces, vertex colours).

    Curves that were found on a surface (``--edges surface:RUN``) are shown with it: that run's mesh, where the run has none itself.
    """
    folders = [run.exports]
    source = run.config.nef.edges
    if source is not None and source.startswith("surface:"):
        given = Path(source.removeprefix("surface:"))
        if given.is_file():
            return given
        folders.append(given / "exports")
    return next((path for folder in folders for path in (folder / "mesh.glb", folder / "mesh.ply") if path.is_file()), None)


def surface_geometry(path: Path) -> Mesh:
    """A mesh file without its colours, world units: what is measured and cut."""
    mesh = read_mesh(path)
    return transform_mesh(mesh, world_from_gltf(path)) if path.suffix.lower() == ".glb" else mesh


def solid_folder(run: Run) -> Path | None:
    """Where the run's solid is, if it has one that can be looked at."""
    return run.solid if has_view(run.solid) else None


def curves_file(run: Run) -> Path | None:
    """The exported curves."""
    path = run.exports / "curves.json"
    return path if path.is_file() else None


def load_surface(run: Run) -> Mesh:
    """The exported mesh with its texture or vertex colours, world units.

    Raises:
        DataError: If the run has none.
    """
    path = surface_file(run)
    if path is None:
        raise DataError(f"{run.folder}: this run has no mesh", hint="make one: recon export RUN mesh")
    return read_surface(path)


def load_wireframe(run: Run) -> Wireframe:
    """The exported curves, world units.

    Raises:
        DataError: If the run has none.
    """
    path = curves_file(run)
    if path is None:
        raise DataError(f"{run.folder}: this run has no curves", hint="train with --method nef, or make them: recon export RUN curves")
    return load(path)
