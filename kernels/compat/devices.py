"""Programs that ask for CUDA devices, on a machine without: what they ask for is given on the CPU, and counted."""

from __future__ import annotations

import contextlib
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import torch
import torch.cuda.amp.common
from torch.overrides import TorchFunctionMode, resolve_name

_CUDA = re.compile(r"cuda(:\d+)?")
_TYPE = re.compile(r"torch\.cuda\.(\w+Tensor)")
_NUMBER_IS_DEVICE = {torch.Tensor.to: 1, torch.device: 0}  # function -> argument that, as a number, is a device
_TENSOR_TYPES = ("Float", "Double", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")


class Ledger:
    """What was asked for and how often.

    Attributes:
        counts: By what was called and what it was given.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()

    def add(self, what: str) -> None:
        """One more request."""
        self.counts[what] += 1

    def lines(self) -> list[str]:
        """``what: times``, most frequent first."""
        return [f"{what}: {n}" for what, n in self.counts.most_common()]


def is_cuda(value: object) -> bool:
    """Whether a value names a CUDA device: ``"cuda"``, ``"cuda:0"``, such a device. A bare number is one only where a device is meant."""
    if isinstance(value, str):
        return _CUDA.fullmatch(value) is not None
    return isinstance(value, torch.device) and value.type == "cuda"


def on_cpu(value: Any) -> Any:
    """The CPU in the place of a CUDA device or of a device's number; anything else as it is."""
    if is_cuda(value) or (isinstance(value, int) and not isinstance(value, bool)):
        return "cpu"
    return value


class OnCpu(TorchFunctionMode):
    """Within it, torch's functions that are given a CUDA device get the CPU.

    Args:
        ledger: Where requests are counted.
    """

    def __init__(self, ledger: Ledger):
        super().__init__()
        self.ledger = ledger
        self.special: dict[Any, Callable[[tuple, dict], Any]] = {
            torch.Tensor.cuda: lambda args, kwargs: args[0],
            torch.Tensor.pin_memory: lambda args, kwargs: args[0],
            torch.Tensor.is_pinned: lambda args, kwargs: False,
            torch.Tensor.record_stream: lambda args, kwargs: None,
        }

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        special = self.special.get(func)
        if special is not None:
            self.ledger.add(f"Tensor.{func.__name__}()")
            return special(args, kwargs)
        device = kwargs.get("device")
        if device is not None and on_cpu(device) is not device:
            self.ledger.add(f"{resolve_name(func) or func}(device={device!s})")
            kwargs = {**kwargs, "device": "cpu"}
        for i, value in enumerate(args):
            number = isinstance(value, int) and not isinstance(value, bool) and i == _NUMBER_IS_DEVICE.get(func, -1)
            if number or (isinstance(value, torch.device | str) and is_cuda(value)):
                self.ledger.add(f"{resolve_name(func) or func}({value!s})")
                args = (*args[:i], "cpu", *args[i + 1 :])
            elif func is torch.Tensor.type and isinstance(value, str) and _TYPE.fullmatch(value):
                self.ledger.add(f"Tensor.type({value})")
                args = (*args[:i], _TYPE.sub(r"torch.\1", value), *args[i + 1 :])
        return func(*args, **kwargs)


class _Event:
    """A CUDA event on the CPU, where everything is done as soon as it is called."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.time = 0.0

    def record(self, stream: Any = None) -> None:
        self.time = time.perf_counter()

    def synchronize(self) -> None:
        """Nothing is outstanding."""

    wait = synchronize

    def query(self) -> bool:
        return True

    def elapsed_time(self, end: _Event) -> float:
        return (end.time - self.time) * 1e3


class _Context:
    """A device or a stream: something to be within, that changes nothing."""

    def __init__(self, *args: Any, **kwargs: Any):
        self.device = torch.device("cpu")

    def __enter__(self) -> _Context:
        return self

    def __exit__(self, *error: Any) -> None:
        return None

    def synchronize(self) -> None:
        """Nothing is outstanding."""

    def wait_stream(self, stream: Any) -> None:
        """Nothing is outstanding."""

    wait_event = wait_stream

    def record_event(self, event: _Event | None = None) -> _Event:
        event = event or _Event()
        event.record()
        return event


def _generator(ledger: Ledger) -> type:
    class Generator(torch._C.Generator):
        def __new__(cls, device: Any = "cpu") -> Any:
            if on_cpu(device) is not device:
                ledger.add(f"torch.Generator({device!s})")
            return super().__new__(cls, device=on_cpu(device))  # type: ignore[call-arg]

    return Generator


def replacements(ledger: Ledger) -> list[tuple[Any, str, Any]]:
    """(owner, name, what stands in for it): what is not one of torch's overridable functions."""

    def counted(name: str, result: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            ledger.add(name)
            return result

        return call

    def in_place_of(original: Callable[..., Any], *names: str) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            changed = [a for a in (*args, *(kwargs.get(n) for n in names)) if is_cuda(a)]
            if changed:
                ledger.add(f"{original.__qualname__}({changed[0]!s})")
            args = tuple("cpu" if is_cuda(a) else a for a in args)
            return original(*args, **{k: "cpu" if k in names and is_cuda(v) else v for k, v in kwargs.items()})

        return call

    module_to, load = torch.nn.Module.to, torch.load
    set_type, fork = torch.set_default_tensor_type, torch.random.fork_rng

    def to(self: Any, *args: Any, **kwargs: Any) -> Any:
        if (args and on_cpu(args[0]) is not args[0]) or on_cpu(kwargs.get("device")) is not kwargs.get("device"):
            ledger.add(f"Module.to({args[0] if args else kwargs['device']!s})")
        args = (on_cpu(args[0]), *args[1:]) if args else args
        return module_to(self, *args, **{k: on_cpu(v) if k == "device" else v for k, v in kwargs.items()})

    def cuda(self: Any, device: Any = None) -> Any:
        ledger.add("Module.cuda()")
        return self

    def load_here(f: Any, map_location: Any = None, *args: Any, **kwargs: Any) -> Any:
        if map_location is None or is_cuda(map_location):
            map_location = "cpu"
        elif isinstance(map_location, dict):
            map_location = {k: on_cpu(v) for k, v in map_location.items()}
        return load(f, map_location, *args, **kwargs)

    def set_default_tensor_type(t: Any) -> None:
        name = t if isinstance(t, str) else f"{t.__module__}.{t.__name__}"
        if _TYPE.fullmatch(name):
            ledger.add(f"torch.set_default_tensor_type({name})")
            t = _TYPE.sub(r"torch.\1", name)
        set_type(t)

    def fork_rng(*args: Any, **kwargs: Any) -> Any:
        return fork((), *args[1:], **{k: v for k, v in kwargs.items() if k not in ("devices", "device_type")})

    names = [
        ("set_device", None), ("synchronize", None), ("empty_cache", None), ("ipc_collect", None), ("init", None),
        ("reset_peak_memory_stats", None), ("reset_max_memory_allocated", None), ("reset_max_memory_cached", None),
        ("memory_allocated", 0), ("max_memory_allocated", 0), ("memory_reserved", 0), ("max_memory_reserved", 0),
        ("memory_cached", 0), ("max_memory_cached", 0), ("memory_summary", ""), ("mem_get_info", (0, 0)), ("current_device", 0),
        ("get_device_name", "cpu"), ("get_device_capability", (0, 0)), ("seed", None), ("seed_all", None),
    ]  # fmt: skip
    result: list[tuple[Any, str, Any]] = [
        (torch.cuda, name, counted(f"torch.cuda.{name}()", value)) for name, value in names if hasattr(torch.cuda, name)
    ]
    classes = [("Event", _Event), ("Stream", _Context), ("device", _Context), ("stream", _Context), ("device_of", _Context)]
    result += [(torch.cuda, name, kind) for name, kind in classes]
    result += [(torch.cuda, name, _Context) for name in ("current_stream", "default_stream")]
    result += [(torch.cuda, f"{t}Tensor", getattr(torch, f"{t}Tensor")) for t in _TENSOR_TYPES if hasattr(torch, f"{t}Tensor")]
    result += [(torch.cuda.nvtx, name, counted(f"torch.cuda.nvtx.{name}()", None)) for name in ("range_push", "range_pop", "mark")]
    result += [
        (torch.nn.Module, "to", to),
        (torch.nn.Module, "cuda", cuda),
        (torch, "load", load_here),
        (torch, "set_default_tensor_type", set_default_tensor_type),
        (torch, "set_default_device", in_place_of(torch.set_default_device, "device")),
        (torch.random, "fork_rng", fork_rng),
        (torch, "Generator", _generator(ledger)),
        (torch.cuda, "get_rng_state", lambda device=None: torch.get_rng_state()),
        (torch.cuda, "set_rng_state", lambda state, device=None: None),
        (torch.cuda, "get_rng_state_all", list),
        (torch.cuda, "set_rng_state_all", lambda states: None),
    ]
    return result


def pretence(ledger: Ledger) -> list[tuple[Any, str, Any]]:
    """(owner, name, what stands in for it): what answers questions after a GPU as if there was one. Half precision stays switched off."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    properties = SimpleNamespace(name="cpu", major=0, minor=0, total_memory=memory, multi_processor_count=os.cpu_count() or 1)

    def counted(name: str, result: Any) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            ledger.add(f"torch.cuda.{name}() answered {result!s}")
            return result

        return call

    return [
        (torch.cuda, "is_available", counted("is_available", True)),
        (torch.cuda, "device_count", counted("device_count", 1)),
        (torch.cuda, "is_bf16_supported", counted("is_bf16_supported", False)),
        (torch.cuda, "get_device_properties", lambda device=None: properties),
        (torch.cuda.amp.common, "amp_definitely_not_available", lambda: True),
    ]


@contextlib.contextmanager
def cuda_on_cpu(ledger: Ledger, pretend: bool = False) -> Iterator[None]:
    """Within it, requests for CUDA devices are met on the CPU: in this thread and in threads that are started meanwhile.

    Args:
        ledger: Where requests are counted.
        pretend: Also answer that there is one GPU, for programs that look before they ask.
    """
    saved = []
    run = threading.Thread.run

    def run_within(thread: threading.Thread) -> None:
        with OnCpu(ledger):
            run(thread)

    try:
        answers = pretence(ledger) if pretend else []
        for owner, name, value in [*replacements(ledger), *answers, (threading.Thread, "run", run_within)]:
            saved.append((owner, name, owner.__dict__[name] if name in owner.__dict__ else getattr(owner, name)))
            setattr(owner, name, value)
        with OnCpu(ledger):
            yield
    finally:
        for owner, name, value in reversed(saved):
            setattr(owner, name, value)
