"""Running a program that was written for CUDA, tinycudann and nerfacc, unchanged."""

from __future__ import annotations

import argparse
import contextlib
import os
import runpy
import sys
from pathlib import Path

import torch

from . import lightning
from .allocator import keep_what_is_freed
from .devices import Ledger, cuda_on_cpu
from .errors import CompatError
from .install import INTERFACES, install

USAGE = 2


def main(arguments: list[str]) -> int:
    """``run [--nerfacc 0.5|0.3] [--pretend-cuda] SCRIPT|-m MODULE [ARGUMENTS ...]``: exit code of the program.

    Both names are put in place, requests for CUDA devices are met on the CPU where there is no GPU; what that means is said on the
    standard error output at the start, and what was asked for is listed at the end.
    """
    parser = argparse.ArgumentParser(prog="python -m kernels.compat")
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run a program with tinycudann and nerfacc over our kernels, CUDA requests met on the CPU")
    run.add_argument(
        "--nerfacc", choices=INTERFACES, help="interface of nerfacc that the program wants (default: that of the installed one)"
    )
    run.add_argument("--force", action="store_true", help="also in the place of packages that run on this machine's GPU")
    run.add_argument(
        "--pretend-cuda", action="store_true", help="answer that there is a GPU, for programs and tests that stop or skip without one"
    )
    run.add_argument("-m", dest="module", action="store_true", help="SCRIPT is the name of a module")
    run.add_argument("script", metavar="SCRIPT")
    run.add_argument("rest", nargs=argparse.REMAINDER, metavar="ARGUMENTS")
    options = parser.parse_args(arguments)
    if not options.module and not Path(options.script).is_file():
        return _fail(f"{options.script}: no such file")
    try:
        done = install(nerfacc=options.nerfacc, force=options.force)
    except CompatError as error:
        return _fail(str(error))
    for name, what in done.items():
        _say(f"{name}: {what}")
    ledger = Ledger()
    with contextlib.ExitStack() as stack:
        if torch.cuda.is_available():
            _say("devices: as the program asks for them; this machine has a GPU")
        else:
            _say("devices: this machine has no GPU; what the program asks for on cuda is made on the CPU, in single precision")
            if options.pretend_cuda:
                _say("devices: torch.cuda.is_available() answers that it has one all the same")
            if keep_what_is_freed():
                _say("memory: what is freed is kept for the next step")
            lightning.watch(ledger)
            stack.enter_context(cuda_on_cpu(ledger, options.pretend_cuda))
        stack.callback(_list, ledger)
        return _execute(options.script, options.module, options.rest)


def _execute(script: str, module: bool, rest: list[str]) -> int:
    """Run it as Python would: as ``__main__``, with its own arguments and its folder first among those searched."""
    sys.argv = [script, *rest]
    sys.path.insert(0, os.getcwd() if module else str(Path(script).resolve().parent))
    try:
        if module:
            runpy.run_module(script, run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if end.code is None or isinstance(end.code, int):
            return end.code or 0
        _say(str(end.code))
        return 1
    return 0


def _list(ledger: Ledger) -> None:
    if ledger.counts:
        _say("requests for CUDA that were met on the CPU, and how often:")
        for line in ledger.lines():
            _say(f"  {line}")


def _say(text: str) -> None:
    sys.stderr.write(f"compat: {text}\n")
    sys.stderr.flush()


def _fail(text: str) -> int:
    _say(text)
    return USAGE
