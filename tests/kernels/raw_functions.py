"""The raw functions of a backend by name, from all its files."""

import importlib
import inspect
from types import SimpleNamespace

from kernels import backends

FILES = tuple(dict.fromkeys(backends.FILES.values()))
IN_TRITON = tuple(dict.fromkeys(file for op, file in backends.FILES.items() if op not in backends.NATIVE_ONLY))


def raw_functions(backend, file):
    """Name -> public function of one file."""
    module = importlib.import_module(f"kernels.backends.{backend}.{file}")
    from_here = (module.__name__, "kernels.backends.reference.knn")  # the tree of the GPU backends is built there
    functions = {name: value for name, value in vars(module).items() if inspect.isfunction(value) and not name.startswith("_")}
    return {name: value for name, value in functions.items() if value.__module__ in from_here}


def all_functions(backend):
    """All of them as attributes of one object."""
    files = IN_TRITON if backend == "triton" else FILES
    return SimpleNamespace(**{name: value for file in files for name, value in raw_functions(backend, file).items()})
