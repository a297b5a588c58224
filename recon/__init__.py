"""Formfield: photographs of an object in; surface, wireframe and view out."""

import os

# As in kernels/__init__.py, which is too late where a module of this package imports torch first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"


def load(run):
    """The field of a finished run as a function: ``recon.load("runs/...").query(points, gradient=True)``.

    Args:
        run: Folder of a reconstruction or of a fit.
    Returns:
        A :class:`recon.results.query.Loaded`.
    """
    from pathlib import Path

    from recon.results.query import load_run  # imports torch

    return load_run(Path(run))
