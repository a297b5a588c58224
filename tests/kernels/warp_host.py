"""native/cuda/field_mma.cu compiled by the host's compiler and run by warp_host.h, as often as there are orders of the threads."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import Tensor

from kernels.backends.cuda import runtime
from kernels.backends.cuda.runtime import Unit

ORDERS = {"forward": 0, "reverse": 1, "permuted": 2, "greedy": 3}
HERE = Path(__file__).parent


@dataclass
class Emulator:
    """Runs kernels of whole blocks in place of ``runtime.launch``.

    Args:
        folder: Where compiled units go.
        compiler: A C++ compiler.
        order: One of ORDERS.
        blocks: Blocks of a launch at most; each goes on to further tiles.
        change: What is done to the text of a unit before it is compiled.
    """

    folder: Path
    compiler: str
    order: str = "forward"
    blocks: int = 2
    change: Callable[[str], str] = str
    races: int = 0
    turns: dict[str, int] = field(default_factory=dict)
    """Turns that accesses to shared memory took at most, by kind: 1 without conflicts of banks."""
    libraries: dict[str, ctypes.CDLL] = field(default_factory=dict)

    def library(self, text: str) -> ctypes.CDLL:
        if text not in self.libraries:
            path = self.folder / f"warps{len(self.libraries)}"
            words = "".join(f'extern "C" int {k}_words() {{ return formfield::{k.upper()}_WORDS; }}\n' for k in ("forward", "backward"))
            path.with_suffix(".cpp").write_text(text + words)
            command = [self.compiler, "-std=c++17", "-O1", "-w", "-shared", "-fPIC", "-ffp-contract=off", "-U_FORTIFY_SOURCE"]
            command += [f"-I{runtime.NATIVE}", "-include", str(HERE / "warp_host.h"), str(path.with_suffix(".cpp"))]
            subprocess.run([*command, "-o", str(path.with_suffix(".so"))], check=True)
            loaded = ctypes.CDLL(str(path.with_suffix(".so")))
            loaded.emulator_run.restype = ctypes.c_char_p
            self.libraries[text] = loaded
        return self.libraries[text]

    def launch(self, unit: Unit, entry: str, threads: tuple[int, int], *arguments: Tensor | int | float | None, shared: int, stay: bool):
        """As ``runtime.launch``."""
        assert stay
        assert threads[1] == 1
        if threads[0] == 0:
            return
        library = self.library(self.change(runtime.source(unit)))
        assert shared == 4 * library[f"{entry.removeprefix('field_mma_')}_words"]()
        self.run(library, entry, min(-(-threads[0] // runtime.THREADS), self.blocks), arguments, shared)

    def run(self, library: ctypes.CDLL, entry: str, blocks: int, arguments: tuple, shared: int) -> None:
        for a in arguments:
            assert not isinstance(a, Tensor) or (a.is_contiguous() and a.dtype in (torch.float32, torch.int32))
        values = [runtime._argument(a) for a in arguments]
        given = (ctypes.c_int64 * 11)(*values, *[0] * (11 - len(values)))
        sizes = (ctypes.c_int64 * 11)(*(a.numel() * a.element_size() if isinstance(a, Tensor) else 0 for a in arguments))
        counts = (ctypes.c_int64 * 5)()
        function = ctypes.cast(library[entry], ctypes.c_void_p)
        error = library.emulator_run(function, given, sizes, ORDERS[self.order], blocks, ctypes.c_int64(shared), counts)
        self.races += counts[0]
        assert not error, error.decode()
        for kind, turns in zip(("word", "two", "four", "matrix"), counts[1:]):
            self.turns[kind] = max(self.turns.get(kind, 0), turns)
