"""PyTorch Lightning's trainer, told to use the CPU whatever the program asks for."""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
from types import ModuleType
from typing import Any

from .devices import Ledger

MODULES = ("pytorch_lightning.trainer.trainer", "lightning.pytorch.trainer.trainer")


class Watcher(importlib.abc.MetaPathFinder):
    """Changes the trainer when a program imports it.

    Args:
        ledger: Where requests are counted.
    """

    def __init__(self, ledger: Ledger):
        self.ledger = ledger

    def find_spec(self, fullname: str, path: Any, target: ModuleType | None = None) -> importlib.machinery.ModuleSpec | None:
        """The trainer's module, with a loader that changes it afterwards; nothing for any other."""
        if fullname not in MODULES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        load = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            load(module)
            on_cpu(module, self.ledger)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def on_cpu(module: ModuleType, ledger: Ledger) -> None:
    """Let ``module.Trainer`` be made for the CPU, in single precision, whatever its arguments say."""
    original = module.Trainer.__init__

    @functools.wraps(original)
    def init(self: Any, *args: Any, **kwargs: Any) -> None:
        for name in ("gpus", "auto_select_gpus", "tpu_cores"):
            if kwargs.pop(name, None) is not None:
                ledger.add(f"Trainer({name}=...)")
        for name, value in {"accelerator": "cpu", "devices": 1, "strategy": None, "sync_batchnorm": False}.items():
            if name in kwargs and kwargs[name] != value:
                ledger.add(f"Trainer({name}={kwargs[name]!s})")
                kwargs.pop(name)
        if "16" in str(kwargs.get("precision", "")):
            ledger.add(f"Trainer(precision={kwargs['precision']!s})")
            kwargs["precision"] = 32
        original(self, *args, **{"accelerator": "cpu", "devices": 1, **kwargs})

    module.Trainer.__init__ = init


def watch(ledger: Ledger) -> None:
    """Change the trainer as soon as it is imported; at once where it already is."""
    for name in MODULES:
        if name in sys.modules:
            on_cpu(sys.modules[name], ledger)
    sys.meta_path.insert(0, Watcher(ledger))
