"""Formfield: photographs of an object in; surface, wireframe and view out."""

import os

# As in kernels/__init__.py, which is too late where a module of this package imports torch first.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

__version__ = "0.1.0"
