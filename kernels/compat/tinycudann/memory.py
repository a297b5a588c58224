"""Large blocks that come back when nothing refers to them any more. A gradient of tens of megabytes is otherwise given back to the system
after every step, which hands out pages that it clears one by one for the next."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

SMALLEST = 1 << 18  # numbers; below it a block is not worth keeping
LINE = 16  # numbers in a cache line
KEPT = 4  # blocks that wait
_waiting: list[np.ndarray] = []


def block(like: Tensor, shape: Sequence[int]) -> Tensor:
    """A tensor that is not initialised.

    Args:
        like: Its type and device; only float32 on the CPU comes from a block that is kept.
        shape: Its shape.
    """
    count = math.prod(shape)
    if like.device.type != "cpu" or like.dtype != torch.float32 or count < SMALLEST:
        return like.new_empty(shape)
    whole = _taken(count)
    part = whole[:count]
    # the tensor refers to `part`, so this is called when the last tensor on this memory is gone
    weakref.finalize(part, _put_back, whole).atexit = False
    return torch.from_numpy(part).view(shape)


def release() -> None:
    """Give the blocks that wait back to the system."""
    _waiting.clear()


def _taken(count: int) -> np.ndarray:
    fitting = [i for i, one in enumerate(_waiting) if count <= len(one) <= 2 * count]
    if fitting:
        return _waiting.pop(min(fitting, key=lambda i: len(_waiting[i])))
    step = SMALLEST // 4
    size = -(-count // step) * step
    unaligned = np.empty(size + LINE, np.float32)
    return unaligned[(-unaligned.ctypes.data // 4) % LINE :][:size]


def _put_back(whole: np.ndarray) -> None:
    _waiting.append(whole)
    del _waiting[:-KEPT]
