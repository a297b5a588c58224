"""What is said when a GPU backend is asked for that cannot run."""

from __future__ import annotations

import sys

import pytest
import torch

import kernels
from kernels import ArgumentError, BackendError, HashGridSpec, backends

GRID = HashGridSpec(levels=2, finest_resolution=32)


@pytest.fixture
def fresh():
    """Backends load anew in the test, and again after it."""
    backends._load.cache_clear()
    yield
    backends._load.cache_clear()


def encode(backend: str, dtype: torch.dtype = torch.float32):
    return kernels.hash_encode(torch.rand(3, 3, dtype=dtype), torch.rand(GRID.entries, 2, dtype=dtype), GRID, backend=backend)


@pytest.mark.parametrize(("backend", "package"), [("triton", "triton"), ("cuda", "cuda.core")])
def test_a_missing_package_is_named_with_what_to_do(backend, package, monkeypatch, fresh):
    for name in [n for n in sys.modules if n.startswith(f"kernels.backends.{backend}")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BackendError, match=rf"backend '{backend}', asked for by the call, .*{package}.*pip install 'formfield\[gpu\]'"):
        encode(backend)
    assert backends.backend("hash_encode", "cpu") in ("cpu", "reference")  # nothing else is disturbed


@pytest.mark.parametrize("backend", ["triton", "cuda"])
def test_tensors_on_the_wrong_device(backend):
    pytest.importorskip("triton" if backend == "triton" else "cuda.core")
    with pytest.raises(BackendError, match="the tensors are on cpu"):
        encode(backend)


def test_a_backend_of_the_environment_is_named(monkeypatch):
    pytest.importorskip("cuda.core")
    monkeypatch.setenv(backends.ENVIRONMENT_VARIABLE, "cuda")
    with pytest.raises(BackendError, match="environment variable FORMFIELD_BACKEND"):
        kernels.hash_encode(torch.rand(3, 3), torch.rand(GRID.entries, 2), GRID)


def test_triton_says_which_numbers_it_takes():
    pytest.importorskip("triton")
    with pytest.raises(ArgumentError, match=r"triton backend takes torch\.float32, not torch\.float64"):
        backends.raw("triton", "field", torch.zeros(1, dtype=torch.float64))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_no_gpu_is_said():
    pytest.importorskip("cuda.core")
    assert backends.status("hash_encode", "cuda", "cuda") == (False, "torch finds no NVIDIA GPU")
