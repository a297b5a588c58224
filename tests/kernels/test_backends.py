"""The four backends have the same files, and three of them the same raw functions with the same arguments."""

from __future__ import annotations

import ast
import inspect
import re
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from raw_functions import FILES, IN_TRITON, raw_functions

import kernels
from kernels import BackendError, backends

ROOT = Path(kernels.__file__).parent
THE_CPUS_ALONE = ("bounded_by_function",)
NEEDS = {"cpu": "kernels._native", "cuda": "cuda.core", "triton": "triton"}


def importable(backend: str) -> bool:
    package = NEEDS[backend]
    return find_spec(package.split(".")[0]) is not None and find_spec(package) is not None


def arguments(function) -> list[tuple[str, object]]:
    return [(p.name, p.default) for p in inspect.signature(function).parameters.values()]


@pytest.mark.parametrize("backend", backends.BACKENDS)
def test_every_backend_has_the_same_files(backend):
    wanted = set(IN_TRITON if backend == "triton" else FILES)
    assert not wanted - {path.stem for path in (ROOT / "backends" / backend).glob("*.py")}


@pytest.mark.parametrize(("backend", "file"), [*(("cuda", file) for file in FILES), *(("triton", file) for file in IN_TRITON)])
def test_raw_functions_have_the_names_and_arguments_of_the_cpus(backend, file):
    for name in ("cpu", backend):
        if not importable(name):
            pytest.skip(f"{NEEDS[name]} is not installed")
    expected, found = raw_functions("cpu", file), raw_functions(backend, file)
    expected = {name: function for name, function in expected.items() if not name.startswith("native_") and name not in THE_CPUS_ALONE}
    assert expected
    for name, function in expected.items():
        assert name in found, f"{backend}/{file}.py has no {name}"
        assert arguments(found[name]) == arguments(function), f"{backend}/{file}.py: {name}"


def test_every_op_has_its_file_and_every_file_its_op():
    """The one table of the package, against the functions that say their name when they choose a backend."""
    asked = {}
    for path in (ROOT / "ops").glob("*.py"):
        text = path.read_text()
        used = {m[1] for m in re.finditer(r'backends\.raw\(backend, "(\w+)", like\)', text)}
        for op in re.findall(r'backends\.backend\("(\w+)"', text) + re.findall(
            r'    op = "(\w+)"\n(?:.*\n)*?.*backends\.backend\(op,', text
        ):
            asked[op] = used
    assert {op: {file} for op, file in backends.FILES.items()} == asked


@pytest.mark.skipif(not importable("cpu"), reason="the extension is not built")
def test_an_extension_older_than_the_files_is_named_with_what_to_do(monkeypatch, request):
    """One function is missing: its file cannot run, the others can."""
    from kernels import _native

    monkeypatch.delattr(_native, "rbf_backward")
    for name in [n for n in sys.modules if n.startswith("kernels.backends.cpu.")]:
        monkeypatch.delitem(sys.modules, name)
    backends._load.cache_clear()
    request.addfinalizer(backends._load.cache_clear)
    assert backends.status("rbf_encode", "cpu")[0] is False
    assert backends.status("rbf_layer", "cpu")[0] is True
    with pytest.raises(BackendError, match=r"rbf_backward.*rebuild it: pip install -e"):
        backends.backend("rbf_encode", "cpu", "cpu")
    with pytest.raises(BackendError, match="older than the Python files"):
        backends.raw("cpu", "rbf", torch.zeros(1))


@pytest.mark.skipif(not importable("cpu") or find_spec("nanobind") is None, reason="needs the extension and nanobind")
def test_the_stub_is_that_of_the_extension():
    """If it is not: ``python kernels/native/stub.py``."""
    written = runpy.run_path(str(ROOT / "native" / "stub.py"))
    assert written["STUB"].read_text() == written["stub"]()


def test_every_function_of_the_stub_says_where_it_is():
    tree = ast.parse((ROOT / "_native.pyi").read_text())
    functions = {node.name: ast.get_docstring(node) for node in tree.body if isinstance(node, ast.FunctionDef) and node.name != "isa"}
    assert len(functions) > 20
    for name, place in functions.items():
        assert place, name
        assert f'"{name}"' in (ROOT.parent / place).read_text(), name
