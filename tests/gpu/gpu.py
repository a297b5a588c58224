"""When the tests of this folder run."""

from importlib.util import find_spec

import pytest
import torch


def reason(backend: str | None = None) -> str:
    """Why a GPU backend cannot be tested here, empty if it can."""
    if not torch.cuda.is_available():
        return "torch finds no GPU on this machine"
    if backend == "triton" and find_spec("triton") is None:
        return "Triton is not installed"
    if backend == "cuda" and (find_spec("cuda") is None or find_spec("cuda.core") is None):
        return "cuda-core is not installed"
    return ""


needs_gpu = pytest.mark.skipif(bool(reason()), reason=reason() or "there is a GPU")
BACKENDS = [
    pytest.param(name, marks=pytest.mark.skipif(bool(reason(name)), reason=reason(name) or "it can run")) for name in ("triton", "cuda")
]
