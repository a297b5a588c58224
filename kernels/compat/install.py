"""Putting the stand-ins where programs import them from."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterable

import torch

from . import tinycudann
from .errors import CompatError, unsupported
from .nerfacc import front
from .tinycudann import modules

NAMES = ("tinycudann", "nerfacc")
INTERFACES = ("0.5", "0.3")


def install(names: Iterable[str] = NAMES, *, nerfacc: str | None = None, force: bool = False) -> dict[str, str]:
    """Make ``import tinycudann`` and ``import nerfacc`` give our stand-ins, for the life of the process.

    An installation that can run stays: where CUDA works and a package of the name is there, it is left alone unless ``force`` says
    otherwise. Nothing is changed on disk. nerfacc since 0.5.2 is its own Python (``pip install nerfacc==0.5.3``: no compiler, no CUDA)
    over our functions; 0.3.x is ours alone.

    Args:
        names: Which of the two.
        nerfacc: Interface wanted, ``"0.5"`` or ``"0.3"``; by default that of the nerfacc that is installed.
        force: Also replace an installation that can run.
    Returns:
        For every name what was done, in words.
    Raises:
        CompatError: A name or an interface that is unknown; an interface asked for whose Python is not installed.
    """
    if nerfacc not in (None, *INTERFACES):
        raise unsupported("install: nerfacc", nerfacc, INTERFACES)
    done = {}
    for name in names:
        if name not in NAMES:
            raise unsupported("install: names", name, NAMES)
        if not force and _runs(name):
            done[name] = "left alone: installed, and CUDA is available"
        else:
            done[name] = _tinycudann() if name == "tinycudann" else _nerfacc(nerfacc)
    return done


def _runs(name: str) -> bool:
    module = sys.modules.get(name)
    if module is tinycudann or module is front.v03:
        return False
    return torch.cuda.is_available() and (module is not None or importlib.util.find_spec(name) is not None)


def _tinycudann() -> str:
    sys.modules["tinycudann"] = tinycudann
    sys.modules["tinycudann.modules"] = modules
    return "ours"


def _nerfacc(interface: str | None) -> str:
    wanted = interface or front.installed()
    if wanted is None:
        return "not there: programs that import it need its Python, pip install nerfacc==0.5.3"
    if wanted == "0.3":
        front.load_03()
        return "ours, interface 0.3"
    return f"its own Python, version {getattr(front.load(), '__version__', 'unknown')}, over our functions"


__all__ = ["CompatError", "install"]
