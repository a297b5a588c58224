"""The ops in Triton; float32. Importing this package needs Triton."""

from __future__ import annotations

import torch

from .launch import interpreting

DTYPES = (torch.float32,)


def status(kind: str) -> tuple[bool, str]:
    """Whether the kernels can run on a kind of device ("cuda", "cpu"), and why (not)."""
    if interpreting():
        return kind == "cpu", "Triton's interpreter, for checks only" if kind == "cpu" else "TRITON_INTERPRET is set, which runs on the CPU"
    if kind != "cuda":
        return False, f"the tensors are on {kind}, and Triton kernels run on a GPU (or, for checks, on the CPU with TRITON_INTERPRET=1)"
    return torch.cuda.is_available(), "Triton" if torch.cuda.is_available() else "torch finds no GPU"
