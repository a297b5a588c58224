"""The Triton kernels in Triton's interpreter, on tiny inputs, against the reference.

The interpreter is chosen when Triton is imported, so the cases run in a process of their own, which also survives a read out of bounds.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from concurrent.futures import ProcessPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import pytest
from gpu_cases import CASES

pytestmark = pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed")

SIZES = {"march": 20}
RAY_CASES = ("composite", "distortion", "bound", "sample_pdf")


def _start() -> None:
    os.environ["TRITON_INTERPRET"] = "1"
    sys.path.insert(0, str(Path(__file__).parent))
    import torch

    torch.set_num_threads(1)


def _run(name: str, n: int) -> str:
    """Empty, or what went wrong."""
    import torch
    from gpu_cases import CASES

    try:
        CASES[name]("triton", torch.device("cpu"), n)
    except Exception:  # reported to the test
        return traceback.format_exc()
    return ""


@pytest.fixture(scope="module")
def interpreter():
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn"), _start) as pool:
        yield pool


def _size(name: str) -> int:
    kind = name.split("-")[0]
    return 8 if kind in RAY_CASES else SIZES.get(kind, 37)


@pytest.mark.parametrize("name", CASES)
def test_matches_the_reference(name, interpreter):
    failure = interpreter.submit(_run, name, _size(name)).result()
    assert not failure, failure


@pytest.mark.parametrize(
    "name",
    [
        "hash_encode-plane",
        "field_mlp-relu",
        "fused_field-softplus",
        "march-1-0.0",
        "laplace-True",
        "sample_pdf",
        "rbf_layer-18",
        "occupancy-3",
        "knn-3",
    ],
)
@pytest.mark.parametrize("n", [0, 1])
def test_few_elements(name, n, interpreter):
    failure = interpreter.submit(_run, name, n).result()
    assert not failure, failure
