"""How the Triton kernels are launched: on a GPU, in Triton's interpreter, or (for checks without a GPU) only recorded.

Every launch goes through :func:`launch`, so what the compile check compiles is exactly what the ops launch.
"""

# pyright: reportAttributeAccessIssue=false
# (triton.knobs appears when triton is imported)
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import triton
from torch import Tensor

INTERPRETED_BLOCK = 1 << 12
"""Largest block in the interpreter, whose cost is per operation and hardly depends on the size of the block."""


@dataclass(frozen=True)
class Launch:
    """One launch, as recorded: the kernel, its arguments in order (compile-time ones included by name), warps, FMA contraction."""

    kernel: Any
    args: tuple[Any, ...]
    constants: dict[str, Any]
    warps: int
    fuse: bool


_recorder: Callable[[Launch], None] | None = None


def record_launches(recorder: Callable[[Launch], None] | None) -> None:
    """Hand every launch to ``recorder`` instead of running it; ``None`` runs them again."""
    global _recorder
    _recorder = recorder


def interpreting() -> bool:
    """Whether the kernels run in Triton's interpreter, on CPU tensors (decided by TRITON_INTERPRET when Triton is imported)."""
    return bool(triton.knobs.runtime.interpret)


def launch(kernel: Any, grid: tuple[int, ...], *args: Any, warps: int = 4, fuse: bool = True, **constants: Any) -> None:
    """Run ``kernel`` on ``grid`` programs, on the stream that torch uses; nothing if the grid is empty.

    Args:
        kernel: A function decorated by ``triton.jit``.
        grid: Programs along each axis.
        args: Tensors and numbers, in the order of the kernel's arguments.
        warps: Warps of a program.
        fuse: Whether a * b + c may become one rounding. Off where results must agree bit for bit with plain torch.
        constants: The compile-time arguments.
    """
    if _recorder is not None:
        _recorder(Launch(kernel, args, constants, warps, fuse))
        return
    if 0 in grid:
        return
    first = next(a for a in args if isinstance(a, Tensor))
    if first.is_cuda:
        with torch.cuda.device(first.device):
            kernel[grid](*args, **constants, num_warps=warps, enable_fp_fusion=fuse)
    else:
        kernel[grid](*args, **constants)


def block(count: int, preferred: int) -> int:
    """Elements of a program: ``preferred`` on a GPU; in the interpreter enough for everything, as far as that is sensible."""
    if not interpreting():
        return preferred
    return min(max(power_of_two(count), 16), INTERPRETED_BLOCK)


def power_of_two(n: int) -> int:
    """Smallest power of two >= n, at least 1."""
    return 1 << max(n - 1, 0).bit_length()


def cdiv(a: int, b: int) -> int:
    """``a / b``, rounded up."""
    return -(-a // b)


def multiprocessors(device: torch.device) -> int:
    """Multiprocessors of a GPU; 2 for the interpreter, so that loops over tiles are exercised."""
    return torch.cuda.get_device_properties(device).multi_processor_count if device.type == "cuda" else 2
