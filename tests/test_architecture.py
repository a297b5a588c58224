"""Rules about the code itself: who may import whom, and what must not appear anywhere."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {"kernels": set(), "recon": {"kernels"}, "viewer": {"recon", "kernels"}, "scenes": {"recon"}}


def imports(path: Path) -> list[tuple[str, bool]]:
    """(top-level name, whether the import is inside a function) of every absolute import."""
    tree = ast.parse(path.read_text())
    inside = {id(n) for f in ast.walk(tree) if isinstance(f, ast.FunctionDef | ast.AsyncFunctionDef) for n in ast.walk(f)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(a.name.split(".")[0], id(node) in inside) for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.module.split(".")[0], id(node) in inside))
    return found


@pytest.mark.parametrize("package", sorted(MAY_IMPORT))
def test_import_direction(package: str):
    """kernels <- recon <- viewer; scenes and viewer are imported by the command line and the door for data only, inside functions."""
    files = sorted((ROOT / package).rglob("*.py"))
    assert files
    wrong = []
    for path in files:
        for name, lazy in imports(path):
            if name not in MAY_IMPORT or name == package or name in MAY_IMPORT[package]:
                continue
            if lazy and (path == ROOT / "recon" / "opening.py" or path.is_relative_to(ROOT / "recon" / "cli")):
                continue
            wrong.append(f"{path.relative_to(ROOT)} imports {name}")
    assert not wrong


def test_the_import_check_sees_what_it_should(tmp_path: Path):
    source = tmp_path / "a.py"
    source.write_text("import viewer.x\ndef f():\n    from scenes import y\n")
    assert imports(source) == [("viewer", False), ("scenes", True)]


FORBIDDEN = re.compile(r"\bpickle\b|torch\.load\(|yaml\.load\(|shell\s*=\s*True|except\s*:|except Exception:\s*pass|os\.system\(")


def test_nothing_unsafe():
    """No pickle, no unsafe loaders, no shell, no swallowed errors."""
    hits = []
    for package in MAY_IMPORT:
        for path in (ROOT / package).rglob("*.py"):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                if FORBIDDEN.search(line):
                    hits.append(f"{path.relative_to(ROOT)}:{number}: {line.strip()}")
    assert not hits


def test_help_does_not_import_torch():
    """``recon --help`` must be quick: torch takes seconds."""
    code = "import sys, recon.cli.main; print('torch' in sys.modules)"
    start = time.perf_counter()
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert out.stdout.strip() == "False", f"torch was imported ({time.perf_counter() - start:.1f} s)"
