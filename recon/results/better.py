"""Which of two exports of a run is the better one, so that none is lost in passing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recon.config.values import ExportConfig
from recon.errors import UsageError
from recon.runs import Run
from recon.system.foreign import read_object


def made_with(run: Run, settings: ExportConfig) -> dict[str, Any]:
    """What decides how good an exported mesh is: more is better. For ``mesh.json``."""
    steps = sorted(int(p.name[5:]) for p in run.checkpoints.glob("step_????????"))
    sizes = {k: getattr(settings, k) for k in ("resolution", "texture_faces", "texture_size")}
    return {"step": steps[-1] if steps else 0, **sizes}


def better_there(run: Run, settings: ExportConfig, folder: Path) -> str | None:
    """In what the mesh of a folder is better than one that is to be written there; None if it is not, or there is none.

    Args:
        run: Whose mesh is to be written.
        settings: How.
        folder: Where; the ``mesh.json`` there says of how many steps, cells, faces and texture pixels its mesh was made.
    """
    path = folder / "mesh.json"
    if not path.is_file():
        return None
    there, new = read_object(path, "what was found of a mesh", {}).get("made_with"), made_with(run, settings)
    more = [f"{k.replace('_', ' ')} {there[k]}, not {v}" for k, v in new.items() if isinstance(there, dict) and _more(there.get(k), v)]
    return f"{folder}: the mesh there is better ({'; '.join(more)})" if more else None


def refuse_worse(run: Run, settings: ExportConfig, folder: Path) -> None:
    """Keep a better mesh from being overwritten in passing.

    Raises:
        UsageError: If :func:`better_there` finds one.
    """
    if found := better_there(run, settings, folder):
        raise UsageError(found, "write it elsewhere with --out FOLDER, or add --overwrite")


def _more(there: Any, new: int) -> bool:
    return isinstance(there, int) and there > new
