"""Writes kernels/_native.pyi, the types of the extension, from the extension that is built: ``python kernels/native/stub.py``.

The stub is kept with the sources, so that editors and type checkers can follow a call to the extension without a compiler; a test compares
the two. A function takes float32 as well as float64 tensors, so one signature stands for both.
"""

from __future__ import annotations

import ast
import importlib
import sys
from pathlib import Path

STUB = Path(__file__).resolve().parents[1] / "_native.pyi"


def _annotation(node: ast.expr | None) -> str:
    text = "" if node is None else ast.unparse(node)
    if "NDArray" not in text:
        return text
    if "Sequence[" in text:
        return "Sequence[Tensor]"
    return "Tensor | None" if text.endswith("| None") else "Tensor"


def _function(node: ast.FunctionDef, indent: str) -> list[str]:
    arguments = [a.arg + (f": {_annotation(a.annotation)}" if a.annotation else "") for a in node.args.args]
    doc = ast.get_docstring(node)
    head = f"{indent}def {node.name}("
    tail = f") -> {_annotation(node.returns)}:" + ("" if doc else " ...")
    short = head + ", ".join(arguments) + tail
    lines = [short] if len(short) <= 140 else [head, *(f"{indent}    {a}," for a in arguments), indent + tail]
    return [*lines, f'{indent}    """{doc}"""', ""] if doc else [*lines, ""]


def stub() -> str:
    """The text of the stub.

    Raises:
        ImportError: If the extension is not built, or nanobind is not installed.
    """
    from nanobind.stubgen import StubGen

    native = importlib.import_module("kernels._native")
    generator = StubGen(native)
    generator.put(native)
    tree = ast.parse(generator.get())
    lines = [f'"""{ast.get_docstring(tree)}"""', "", "from collections.abc import Sequence", "", "from torch import Tensor", ""]
    last = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}  # of the overloads, the one that has the docstring
    for node in sorted((n for n in tree.body if isinstance(n, ast.ClassDef)), key=lambda n: n.name):
        lines += [f"class {node.name}:", f'    """{ast.get_docstring(node)}"""', ""]
        # methods follow each other without blank lines, as formatters want it
        lines += [line for method in node.body if isinstance(method, ast.FunctionDef) for line in _function(method, "    ") if line]
        lines.append("")
    for name in sorted(last):  # the order of the module is that of the linker
        lines += _function(last[name], "")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(STUB.parents[1]))
    STUB.write_text(stub())
