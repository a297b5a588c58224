"""The C library's memory. glibc gives large blocks back to the system when they are freed, and a program that makes the same tensors at
every step then waits for the same pages to be cleared again: a sixth of the time of a training step (docs/dropins.md)."""

from __future__ import annotations

import ctypes
import platform

# mallopt(3): no blocks of their own from the system; give nothing back from the end of the heap
_SETTINGS = {"M_MMAP_MAX": (-4, 0), "M_TRIM_THRESHOLD": (-1, 2**31 - 1)}


def keep_what_is_freed() -> bool:
    """Keep freed memory for the life of the process, where the C library is glibc; whether it is."""
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    return all([mallopt(option, value) == 1 for option, value in _SETTINGS.values()])
