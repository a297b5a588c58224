"""The ops natively on the CPU: the Python face of the extension kernels/_native, which is built from native/cpu; float32 and float64.

Each function hands its contiguous tensors to the function of the same name in the extension, with the number of threads to use. Importing
this package needs the extension.
"""

from __future__ import annotations

import torch

from ..._native import isa as isa

DTYPES = (torch.float32, torch.float64)


def status(kind: str) -> tuple[bool, str]:
    """Whether the kernels can run on a kind of device ("cuda", "cpu"), and why (not)."""
    if kind != "cpu":
        return False, f"the tensors are on {kind}"
    return True, f"native extension, {isa()}"
