"""Formfield: photographs of an object in; surface, wireframe and view out."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

    from recon.config.values import MethodName
    from recon.results.query import Loaded
    from recon.results.reconstruction import Reconstruction

# As in kernels/__init__.py, which is too late where a module of this package imports torch first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"


def load(run: Path | str) -> Loaded:
    """The field of a finished run as a function: ``recon.load("runs/...").query(points, gradient=True)``.

    Args:
        run: Folder of a reconstruction or of a fit.
    """
    from pathlib import Path

    from recon.results.query import load_run  # imports torch

    return load_run(Path(run))


def reconstruct(data: Path | str, *, method: MethodName = "volsdf", **options: Any) -> Reconstruction:
    """Images in; trained model, mesh or wireframe, figures out: ``recon.reconstruct("photos/", method="volsdf").mesh``.

    Args:
        data: A folder or file of posed images, or ``scenes:NAME``.
        method: volsdf: a surface. radiance: views only. nef: a wireframe.
        options: See :func:`recon.results.reconstruction.reconstruct`.
    """
    from recon.results import reconstruction  # imports torch

    return reconstruction.reconstruct(data, method=method, **options)
