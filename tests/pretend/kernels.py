"""A backend for the pretend device: the functions of ``kernels/backends/cpu``, on the memory that its tensors hold.

As on a GPU, what runs on the device's tensors is the host's code in ``kernels/ops``: checks, allocation, sizes read back, autograd.
"""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import Any

from torch.utils import _pytree as pytree

from kernels import backends
from kernels.backends import cpu
from tests.pretend.device import NAME, PretendTensor

GPU_LACKS = ("bounded_samples",)
"""Ops whose kernel on a GPU takes some fields only: here their reference runs."""


def _on_held(function: Any) -> Any:
    def call(*args: Any) -> Any:
        return function(*pytree.tree_map_only(PretendTensor, lambda t: t.held, args))

    return call


class _File(ModuleType):
    """A file of the backend."""

    def __init__(self, file: str):
        super().__init__(f"kernels.backends.{NAME}.{file}")
        self._cpu = importlib.import_module(f"kernels.backends.cpu.{file}")

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return _on_held(getattr(self._cpu, name))


def install() -> None:
    """Make it a backend, the one that is preferred on the pretend device."""
    if NAME in backends.BACKENDS:
        return
    package = ModuleType(f"kernels.backends.{NAME}")
    package.DTYPES = cpu.DTYPES  # pyright: ignore[reportAttributeAccessIssue]
    package.status = lambda kind: (kind == NAME, "native kernels on the pretend device")  # pyright: ignore[reportAttributeAccessIssue]
    package.__path__ = []
    sys.modules[package.__name__] = package
    for file in {file for op, file in backends.FILES.items() if op not in GPU_LACKS}:
        sys.modules[f"{package.__name__}.{file}"] = _File(file)
    backends.BACKENDS = (*backends.BACKENDS, NAME)
    backends.PREFERENCE[NAME] = (NAME, "reference")
