"""Every ``recon …`` that a page, a help text or a hint of an error names exists, with the flags that it is named with."""

from __future__ import annotations

import ast
import functools
import re
import shlex
from pathlib import Path

import pytest

from recon.cli.main import parse

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
SOURCES = [path for package in ("recon", "kernels", "scenes", "viewer") for path in sorted((ROOT / package).rglob("*.py"))]
NAMED = re.compile(r"(?<![\w./-])recon ([a-z]+)((?: +[^\s`'\"|;,()]+)*)")
NOT_COMMANDS = {"import"}  # "from recon import …" in a docstring


@functools.cache
def help_of(command: str) -> str:
    """What ``recon COMMAND --help`` prints; empty where there is no such command."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), pytest.raises(SystemExit) as ended:
        parse([command, "--help"])
    return out.getvalue() if ended.value.code == 0 and out.getvalue().startswith(f"usage: recon {command} ") else ""


def strings(source: str) -> list[tuple[int, str]]:
    """Every string of a Python file with its line; what an f-string puts in is an X."""
    tree = ast.parse(source)
    inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            found.append((node.lineno, "".join(str(v.value) if isinstance(v, ast.Constant) else "X" for v in node.values)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
            found.append((node.lineno, node.value))
    return found


def problems(where: str, text: str) -> list[str]:
    wrong = []
    for command, rest in NAMED.findall(text):
        if command in NOT_COMMANDS:
            continue
        if not (known := help_of(command)):
            wrong.append(f"{where}: there is no `recon {command}`")
            continue
        flags = (word.split("=")[0].rstrip(".:") for word in rest.split() if word.startswith("--"))
        wrong += [f"{where}: `recon {command}` has no {flag}" for flag in flags if not re.search(rf"(?<![\w-]){flag}(?![\w-])", known)]
    return wrong


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_pages_name_commands_that_exist(path: Path):
    assert problems(path.name, path.read_text()) == []


def test_strings_of_the_program_name_commands_that_exist():
    wrong = []
    for path in SOURCES:
        for line, text in strings(path.read_text()):
            wrong += problems(f"{path.relative_to(ROOT)}:{line}", text)
    assert wrong == []


def _commands(page: str) -> list[str]:
    """The lines of a page's code blocks that are commands."""
    blocks = re.findall(r"^```\w*\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if re.match(r"(\$ )?recon \S", line)]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_commands_of_pages_parse(path: Path):
    """Not only the words: values, numbers of them and what is required too."""
    for line in _commands(path.read_text()):
        words = shlex.split(line.removeprefix("$ "), comments=True)[1:]
        words = ["7" if re.fullmatch(r"[MN]", word) else word for word in words]
        try:
            parse(words)
        except SystemExit as ended:
            if ended.code:
                pytest.fail(f"{path.name}: {line}")


def unquoted(source: str) -> list[int]:
    """Lines of f-strings in which a command is followed by a value as it is: pasted into a shell, a name with a space is two."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.JoinedStr):
            continue
        for before, value in zip(node.values, node.values[1:]):
            if isinstance(before, ast.Constant) and isinstance(value, ast.FormattedValue) and COMMAND_BEFORE.search(str(before.value)):
                called = ast.unparse(value.value)
                if "quote" not in called and called not in QUOTED:
                    found.append(node.lineno)
    return found


COMMAND_BEFORE = re.compile(r"(?<![\w./-])recon [a-z]+ $")
QUOTED = ("run", "name", "suite.name", "close[0]")
"""Names of values that were quoted before (viewer, results/summary.py) or are words of this program's own."""


def test_commands_can_be_pasted():
    wrong = {str(p.relative_to(ROOT)): lines for p in SOURCES if (lines := unquoted(p.read_text()))}
    assert wrong == {}
    assert unquoted('raise E(f"recon resume {run.folder}")') == [1]
    assert unquoted('raise E(f"recon resume {shlex.quote(str(run.folder))}")') == []


def test_the_check_sees_what_it_should():
    assert problems("here", "try `recon frobnicate X`") == ["here: there is no `recon frobnicate`"]
    assert problems("here", "recon export RUN mesh --nonsense 3") == ["here: `recon export` has no --nonsense"]
    assert problems("here", "recon export RUN mesh --resolution 1024, then from recon import pipeline") == []
