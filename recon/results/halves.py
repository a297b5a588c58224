"""How well a surface is known, without a truth: made once from the odd and once from the even photographs, how far apart are the two?

What both halves are wrong in together is not seen by it: a place that no photograph shows, or a bias of the method. What one half alone
decides is: noise, and shapes that few photographs tell of.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from recon.console import Reporter
from recon.data.record import record_of
from recon.data.scene import Scene
from recon.errors import UsageError
from recon.evaluation.surfaces import surface_metrics
from recon.methods.base import Method
from recon.pipeline import fit, load_method
from recon.results.costs import stage
from recon.runs import Run, open_run, write_run
from recon.surface.mesh import Mesh
from recon.surface.reading import read_mesh

NAMES = ("odd", "even")
LEAST_VIEWS = 6
"""Training photographs that two halves are made of, at least."""


def made(run: Run) -> bool:
    """Whether both halves are there, so that comparing them costs no training."""
    return all((run.folder / "halves" / name / "exports" / "mesh.ply").is_file() for name in NAMES)


def compare_halves(run: Run, method: Method, scene: Scene, reporter: Reporter) -> dict[str, Any]:
    """Train a run's configuration on each half of its training photographs, and compare the two surfaces.

    The halves are runs in ``halves/odd`` and ``halves/even``; what is there is gone on with. Depth by stereo, hull and texture are of the
    half's own photographs; bounds and cameras are those of all.

    Args:
        run: A finished run of a method with a surface.
        method: Its model.
        scene: Its data.
        reporter: Where progress goes.
    Returns:
        Figures of :func:`~recon.evaluation.surfaces.surface_metrics`, symmetric but for the names: ``accuracy`` is of the odd half against
        the even one. Only what the training cameras see counts.
    Raises:
        UsageError: If the method has no surface, or there are too few photographs.
    """
    if method.surface is None:
        raise UsageError(f"{run.folder}: --halves compares surfaces, and a {run.config.method} run has none", "give a volsdf run")
    views = scene.split("train")
    if len(views) < LEAST_VIEWS:
        raise UsageError(f"{run.folder}: {len(views)} training photographs are too few for two halves", f"it takes {LEAST_VIEWS}")
    odd, even = (_half(run, scene, k, reporter) for k in range(2))
    figures = surface_metrics(odd, even, cameras=[v.camera for v in views], unit=scene.unit)
    return {**figures.to_json(), "views": [len(views[k::2]) for k in range(2)]}


def _half(run: Run, scene: Scene, which: int, reporter: Reporter) -> Mesh:
    """The surface of every second training photograph, from the first or the second one on."""
    part = replace(scene, views=(*scene.split("train")[which::2], *scene.split("test")))
    folder = run.folder / "halves" / NAMES[which]
    half = open_run(folder, run.device) if folder.is_dir() else write_run(folder, run.config, record_of(part, run.scene.source), run.device)
    mesh = half.exports / "mesh.ply"
    if not mesh.is_file():
        reporter.say(f"the {NAMES[which]} half, {len(part.split('train'))} photographs: {folder}")
        with half.writing(), half.ending():
            fit(half, part, reporter)
            with stage(folder, "surface"):
                load_method(half, reporter).finish(half, part, reporter)
            half.set_status("done", half.config.train.steps)
    return read_mesh(mesh)
