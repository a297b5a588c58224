"""Which implementation of an op runs where.

Four backends: ``reference`` (plain torch, any device, the definition of right), ``cpu`` (the native extension), ``cuda`` (the same
bodies compiled at run time) and ``triton``. Chosen per op by the tensor's device, unless a call or the environment variable
``FORMFIELD_BACKEND`` forces one; a forced backend that cannot run raises :class:`BackendError`, it is never replaced silently.
"""

from __future__ import annotations

import importlib
import logging
import os
from functools import lru_cache
from types import ModuleType

import torch

from .errors import ArgumentError, BackendError

ENVIRONMENT_VARIABLE = "FORMFIELD_BACKEND"
BACKENDS = ("reference", "cpu", "cuda", "triton")
PREFERENCE = {"cpu": ("cpu", "reference"), "cuda": ("cuda", "triton", "reference")}

# op -> functions of the extension module it needs on the "cpu" backend
NATIVE_FUNCTIONS: dict[str, tuple[str, ...]] = {
    "hash_encode": ("hash_encode_forward", "hash_encode_backward"),
    "field_mlp": ("field_mlp_forward", "field_mlp_backward"),
    "fused_field": ("fused_field_forward", "fused_field_backward"),
    "adam_step": ("adam_step",),
    "march_rays": ("march_count", "march_fill"),
    "update_occupancy": ("occupancy_pack",),
    "decay_occupancy": ("occupancy_decay",),
    "cells_seen": ("occupancy_see",),
    "composite": ("composite_forward", "composite_backward"),
    "composite_alpha": ("composite_alpha_forward", "composite_alpha_backward"),
    "distortion_loss": ("distortion_forward", "distortion_backward"),
    "laplace_density": ("laplace_forward", "laplace_backward"),
    "opacity_error": ("error_bound",),
    "error_bound": ("error_bound",),
    "solve_beta": ("solve_beta",),
    "sample_pdf": ("sample_pdf",),
    "knn": ("knn_build", "knn_query"),
    "rbf_encode": ("rbf_forward", "rbf_backward"),
    "rbf_layer": ("rbf_layer_forward", "rbf_layer_backward"),
}

# GPU backend -> its module, whose functions have the names and arguments described in kernels/ops/gpu_fields.py and gpu_rays.py
GPU_MODULES = {"cuda": "kernels.cuda_ops", "triton": "kernels.triton_ops"}
# (backend, op) -> functions that its module needs, where they are not those of the extension
GPU_FUNCTIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("cuda", "opacity_error"): ("opacity_error",),
    ("triton", "opacity_error"): ("opacity_error",),
    ("triton", "rbf_encode"): ("rbf_channels_forward", "rbf_channels_backward"),
}

_log = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def _load_native() -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module("kernels._native"), ""
    except ImportError as error:
        return None, str(error)


def native() -> ModuleType:
    """The compiled extension.

    Raises:
        BackendError: If it is not built.
    """
    module, why = _load_native()
    if module is None:
        raise BackendError(f"the native CPU kernels are not built ({why}); install a C++ compiler and run: pip install -e .")
    return module


@lru_cache(maxsize=2)
def _load_gpu(name: str) -> tuple[ModuleType | None, str]:
    try:
        return importlib.import_module(GPU_MODULES[name]), ""
    except ImportError as error:
        return None, f"{error}; install it with: pip install 'formfield[gpu]'"


def gpu(name: str, tensor: torch.Tensor) -> ModuleType:
    """The module of a GPU backend, ready for a tensor.

    Raises:
        BackendError: If it cannot be imported.
        ArgumentError: If it does not take the tensor's dtype.
    """
    module, why = _load_gpu(name)
    if module is None:
        raise BackendError(f"the {name} backend cannot be loaded: {why}")
    if tensor.dtype not in module.DTYPES:
        raise ArgumentError(
            f"the {name} backend takes {' or '.join(str(d) for d in module.DTYPES)}, not {tensor.dtype}; convert it, or use the reference"
        )
    return module


def _gpu_status(op: str, name: str, kind: str) -> tuple[bool, str]:
    module, why = _load_gpu(name)
    if module is None:
        return False, why
    missing = [function for function in GPU_FUNCTIONS.get((name, op), NATIVE_FUNCTIONS[op]) if not hasattr(module, function)]
    if missing:
        return False, f"there is no {name} implementation of {op} in this version"
    return module.status(kind)


def status(op: str, name: str, device: torch.device | str = "cpu") -> tuple[bool, str]:
    """Whether a backend can run an op on a device, and why (not).

    Args:
        op: Name of the op, e.g. ``"fused_field"``.
        name: One of :data:`BACKENDS`.
        device: Where the tensors are.
    """
    if op not in NATIVE_FUNCTIONS:
        raise BackendError(f"there is no op {op!r}; ops: {', '.join(sorted(NATIVE_FUNCTIONS))}")
    kind = torch.device(device).type
    if name == "reference":
        return True, "plain torch"
    if name == "cpu":
        if kind != "cpu":
            return False, f"the tensors are on {kind}"
        module, why = _load_native()
        if module is None:
            return False, f"the native extension is not built ({why}); install a C++ compiler and run: pip install -e ."
        missing = [function for function in NATIVE_FUNCTIONS[op] if not hasattr(module, function)]
        if missing:
            return False, f"the native extension has no {missing[0]}; it is older than the Python files, rebuild it: pip install -e ."
        return True, f"native extension, {module.isa()}"
    if name in GPU_MODULES:
        return _gpu_status(op, name, kind)
    raise BackendError(f"there is no backend {name!r}; backends: {', '.join(BACKENDS)}")


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
    return tuple(name for name in order if any(status(op, name, device)[0] for op in NATIVE_FUNCTIONS))


def backend_report(device: torch.device | str = "cpu") -> list[dict[str, str]]:
    """One row per op: ``{"op", "backend", "why"}``: what would run on ``device`` and why, and what better one is missing."""
    rows = []
    for op in NATIVE_FUNCTIONS:
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
