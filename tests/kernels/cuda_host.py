"""The CUDA kernels compiled by the host's compiler and run there: threads of a block take turns (lanes_host.h), blocks come one by one."""

from __future__ import annotations

import ctypes
import re
import shutil
import struct
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

COMPILER = shutil.which("g++") or shutil.which("c++")
ORDERS = ("forward", "backward", "permuted", "warp by warp")


class Host:
    """Compiled units in a folder, and the order in which threads take turns. Some files are run by others."""

    def __init__(self, folder: Path, others: dict[str, Callable[..., None]]):
        self.folder, self.others, self.order = folder, others, 0
        self.libraries: dict[object, ctypes.CDLL] = {}

    def library(self, unit) -> ctypes.CDLL:
        from kernels.backends.cuda import runtime

        if unit in self.libraries:
            return self.libraries[unit]
        path = (self.folder / f"unit{len(self.libraries)}").with_suffix(".cpp")
        compiler = [COMPILER, "-std=c++17", f"-I{runtime.NATIVE}", f"-I{Path(__file__).parent}"]
        shown = 'extern "C" __attribute__((visibility("default"))) void'  # all else is hidden: units have shared memory of the same name
        text = "".join(f"#define {name} {value}\n" for name, value in unit.defines)
        text += f'#include "lanes_host.h"\n#include "cuda/{unit.file}.cu"\n'
        text += f"{shown} set_order(int order) {{ formfield::host::order = order; }}\n"
        path.write_text(text)
        plain = subprocess.run([*compiler, "-E", "-P", str(path)], capture_output=True, text=True, check=True).stdout
        for name in re.findall(r'^extern "C" void (\w+)\(int64_t', plain, re.MULTILINE):  # the first argument of every kernel is a size
            text += f"{shown} run_{name}(int64_t across, int64_t down, const uint64_t* raw) {{\n"
            text += f"    formfield::host::launch(&formfield::{name}, across, down, raw);\n}}\n"
        path.write_text(text)
        options = ["-O1", "-shared", "-fPIC", "-ffp-contract=off", "-fvisibility=hidden"]
        subprocess.run([*compiler, *options, str(path), "-o", str(path.with_suffix(".so"))], check=True)
        self.libraries[unit] = ctypes.CDLL(str(path.with_suffix(".so")))
        return self.libraries[unit]

    def launch(self, unit, entry, threads, *arguments, **options) -> None:
        """As ``runtime.launch``."""
        from kernels.backends.cuda import runtime

        if unit.file in self.others:
            self.others[unit.file](unit, entry, threads, *arguments, **options)
            return
        assert not options
        if 0 in threads:
            return
        for a in arguments:
            assert not isinstance(a, torch.Tensor) or a.is_contiguous()
        raw = b"".join(struct.pack("d" if isinstance(v, float) else "q", v) for v in map(runtime._argument, arguments))
        library = self.library(unit)
        library["set_order"](ctypes.c_int(self.order))
        blocks = -(-threads[0] // runtime.THREADS)
        library[f"run_{entry}"](ctypes.c_int64(blocks), ctypes.c_int64(threads[1]), ctypes.c_char_p(raw))


@contextmanager
def on_the_host(folder: Path, **others: Callable[..., None]) -> Iterator[Host]:
    """The cuda backend runs on CPU tensors; units of the files named by what is given for them."""
    from kernels.backends import cuda
    from kernels.backends.cuda import runtime

    host = Host(folder, others)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "launch", host.launch)
        patch.setattr(cuda, "status", lambda kind: (kind == "cpu", "compiled for the host"))
        yield host
