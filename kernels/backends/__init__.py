"""Which implementation of an op runs where.

Four backends, each a folder here with the same files: ``reference`` (plain torch, any device, the definition of right), ``cpu`` (the
native extension), ``cuda`` (the same bodies compiled at run time) and ``triton``. Chosen per op by the tensor's device, unless a call or
the environment variable ``FORMFIELD_BACKEND`` forces one; a forced backend that cannot run raises :class:`BackendError`, it is never
replaced silently.

The files of cpu, cuda and triton have the same raw functions: they take detached contiguous tensors and write into those that the caller
allocated. Gradients, checks and fake kernels are in ``kernels/ops``, once for all of them. The reference has differentiable functions.
"""

from __future__ import annotations

import importlib
import logging
import os
from functools import lru_cache
from types import ModuleType

import torch

from ..errors import ArgumentError, BackendError

ENVIRONMENT_VARIABLE = "FORMFIELD_BACKEND"
BACKENDS = ("reference", "cpu", "cuda", "triton")
PREFERENCE = {"cpu": ("cpu", "reference"), "cuda": ("cuda", "triton", "reference")}

# op -> the file, of each backend, that it is in
FILES = {
    "hash_encode": "hash_encode",
    "field_mlp": "mlp",
    "fused_field": "field",
    "adam_step": "adam",
    "march_rays": "march",
    "bounded_samples": "bounded",
    "update_occupancy": "occupancy",
    "decay_occupancy": "occupancy",
    "cells_seen": "occupancy",
    "composite": "composite",
    "composite_alpha": "composite",
    "distortion_loss": "composite",
    "laplace_density": "laplace",
    "opacity_error": "laplace",
    "error_bound": "laplace",
    "solve_beta": "laplace",
    "sample_pdf": "sampling",
    "knn": "knn",
    "patch_match": "patch_match",
    "patch_costs": "patch_match",
    "patch_agreement": "patch_agreement",
    "refit_normals": "depth_maps",
    "filter_depth": "depth_maps",
    "rbf_encode": "rbf",
    "rbf_layer": "rbf_layer",
}
# Ops that not every GPU backend has: without CUDA their reference runs there, on the other ops of that GPU.
NATIVE_ONLY = ("bounded_samples", "patch_match", "patch_costs", "patch_agreement", "refit_normals", "filter_depth")

_INSTALL_GPU = "install it with: pip install 'formfield[gpu]'"
_log = logging.getLogger(__name__)


@lru_cache(maxsize=64)
def _load(backend: str, file: str = "") -> tuple[ModuleType | None, str]:
    """The package of a backend, or one file of it; or None, and why it cannot be imported and what to do."""
    try:
        return importlib.import_module(f"{__name__}.{backend}" + (f".{file}" if file else "")), ""
    except ImportError as error:
        if file and getattr(error, "name", None) == f"{__name__}.{backend}.{file}":
            return None, f"there is no {backend} implementation of it in this version"
        if backend != "cpu":
            return None, f"{error}; {_INSTALL_GPU}"
        if isinstance(error, ModuleNotFoundError):
            return None, f"the native extension is not built ({error}); install a C++ compiler and run: pip install -e ."
        return None, f"the native extension is older than the Python files ({error}); rebuild it: pip install -e ."


def raw(backend: str, file: str, like: torch.Tensor) -> ModuleType:
    """A file of a backend, for tensors like the one given.

    Raises:
        BackendError: If it cannot be imported.
        ArgumentError: If it does not take the tensor's dtype.
    """
    package, why = _load(backend)
    module, why = _load(backend, file) if package else (None, why)
    if package is None or module is None:
        raise BackendError(f"the {backend} backend cannot be loaded: {why}")
    if like.dtype not in package.DTYPES:
        names = " or ".join(map(str, package.DTYPES))
        raise ArgumentError(f"the {backend} backend takes {names}, not {like.dtype}; convert it, or use the reference")
    return module


def status(op: str, name: str, device: torch.device | str = "cpu") -> tuple[bool, str]:
    """Whether a backend can run an op on a device, and why (not).

    Args:
        op: Name of the op, e.g. ``"fused_field"``.
        name: One of :data:`BACKENDS`.
        device: Where the tensors are.
    """
    if op not in FILES:
        raise BackendError(f"there is no op {op!r}; ops: {', '.join(sorted(FILES))}")
    if name not in BACKENDS:
        raise BackendError(f"there is no backend {name!r}; backends: {', '.join(BACKENDS)}")
    package, why = _load(name)
    if package is None:
        return False, why
    usable, reason = package.status(torch.device(device).type)
    module, why = _load(name, FILES[op])
    return (usable, reason) if module is not None or not usable else (False, why)


@lru_cache(maxsize=1)
def _warn_slow(reason: str) -> None:
    _log.warning("running on the slow reference kernels: %s", reason)


def backend(op: str, device: torch.device | str = "cpu", forced: str | None = None) -> str:
    """The backend that runs ``op`` on ``device``.

    Args:
        op: Name of the op.
        device: Where the tensors are.
        forced: Backend asked for by the call; ``None`` for the environment variable, else the best available one.
    Returns:
        One of :data:`BACKENDS`.
    Raises:
        BackendError: If a forced backend does not exist or cannot run here.
    """
    asked = forced or os.environ.get(ENVIRONMENT_VARIABLE) or None
    if asked is not None:
        usable, reason = status(op, asked, device)
        if not usable:
            source = "the call" if forced else f"the environment variable {ENVIRONMENT_VARIABLE}"
            raise BackendError(f"{op}: backend {asked!r}, asked for by {source}, cannot run here: {reason}")
        return asked
    first_reason = ""
    for name in PREFERENCE.get(torch.device(device).type, ("reference",)):
        usable, reason = status(op, name, device)
        if usable:
            if name == "reference" and first_reason:
                _warn_slow(first_reason)
            return name
        first_reason = first_reason or reason
    return "reference"


def available_backends(device: torch.device | str = "cpu") -> tuple[str, ...]:
    """Backends that can run at least one op on ``device``, the best first."""
    order = PREFERENCE.get(torch.device(device).type, ("reference",))
    return tuple(name for name in order if any(status(op, name, device)[0] for op in FILES))


def backend_report(device: torch.device | str = "cpu") -> list[dict[str, str]]:
    """One row per op: ``{"op", "backend", "why"}``: what would run on ``device`` and why, and what better one is missing."""
    rows = []
    for op in FILES:
        try:
            name = backend(op, device)
            why = status(op, name, device)[1]
            missing = [
                f"{other}: {reason}"
                for other in PREFERENCE.get(torch.device(device).type, ())
                if other != name
                for usable, reason in [status(op, other, device)]
                if not usable
            ]
            rows.append({"op": op, "backend": name, "why": "; ".join([why, *missing])})
        except BackendError as error:
            rows.append({"op": op, "backend": "none", "why": str(error)})
    return rows
