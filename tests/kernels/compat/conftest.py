"""nerfacc's own Python over our functions, put in place for the tests of a file and taken away again."""

from __future__ import annotations

import importlib.util
import sys

import pytest

import kernels.compat as compat


@pytest.fixture(scope="module")
def nerfacc():
    if importlib.util.find_spec("nerfacc") is None:
        pytest.skip("needs nerfacc's Python: pip install nerfacc==0.5.3 (no CUDA)")
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "nerfacc"}
    report = compat.install(["nerfacc"], nerfacc="0.5", force=True)
    assert "over our functions" in report["nerfacc"]
    yield sys.modules["nerfacc"]
    for name in [n for n in sys.modules if n.partition(".")[0] == "nerfacc"]:
        del sys.modules[name]
    sys.modules.update(before)
