"""The ops in CUDA: launchers of native/cuda/*.cu, which NVRTC compiles for the GPU found; float32 and float64.

Sums into tables and parameters are made by atomics: their order, and so the last bits, differ from run to run.
"""

from __future__ import annotations

import torch

from .runtime import REALS, nvrtc_version

DTYPES = tuple(REALS)


def status(kind: str) -> tuple[bool, str]:
    """Whether the kernels can run on a kind of device ("cuda", "cpu"), and why (not)."""
    if kind != "cuda":
        return False, f"the tensors are on {kind}, and CUDA kernels run on an NVIDIA GPU"
    if not torch.cuda.is_available():
        return False, "torch finds no NVIDIA GPU"
    return True, f"compiled by NVRTC {nvrtc_version()} for the GPU found"
