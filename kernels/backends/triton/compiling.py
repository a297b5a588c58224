"""Compile the Triton kernels for GPUs that are not there: the interpreter accepts code that the compiler rejects.

``compile_recorded`` runs host code of the ops with its launches recorded instead of run, then compiles every distinct launch to a cubin
and reads the registers, spills and shared memory out of it.
"""

# pyright: reportAttributeAccessIssue=false
# (triton.knobs appears when triton is imported)
from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
from torch import Tensor
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from . import launch as launching
from .launch import Launch

_POINTERS = {
    torch.float32: "*fp32", torch.int32: "*i32", torch.int64: "*i64", torch.uint8: "*u8", torch.float64: "*fp64", torch.bool: "*i1",
}  # fmt: skip


@dataclass(frozen=True)
class Compiled:
    """One kernel compiled for one architecture.

    Attributes:
        name: Of the kernel.
        constants: Its compile-time arguments.
        capability: 80 for sm_80.
        registers: Per thread.
        stack: Bytes of local memory per thread: spilled registers and indexed arrays.
        shared: Bytes of shared memory per program.
        warps: Of a program.
        cubin: The machine code.
    """

    name: str
    constants: dict[str, Any]
    capability: int
    registers: int
    stack: int
    shared: int
    warps: int
    cubin: bytes


def record(host: Callable[[], object]) -> list[Launch]:
    """The distinct launches that ``host`` makes; none of them runs."""
    found: dict[object, Launch] = {}

    def keep(one: Launch) -> None:
        found.setdefault(_key(one), one)

    launching.record_launches(keep)
    try:
        host()
    finally:
        launching.record_launches(None)
    return list(found.values())


def compile_launch(one: Launch, capability: int) -> Compiled:
    """Compile a recorded launch for an NVIDIA GPU of a compute capability (80, 90, ...), which need not be present."""
    names = one.kernel.arg_names
    given = dict(zip(names, one.args))
    signature = {name: _type(given[name]) if name in given else "constexpr" for name in names}
    # as at a launch: an integer 1 becomes a constant, pointers and integers that 16 divides are known to be so
    ones = {name: 1 for name in given if signature[name] == "constexpr"}
    divisible = [name for name, value in given.items() if isinstance(value, Tensor) or (signature[name] == "i32" and value % 16 == 0)]
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in divisible}
    source = ASTSource(fn=one.kernel, signature=signature, constexprs={**one.constants, **ones}, attrs=attributes)
    options = {"num_warps": one.warps, "enable_fp_fusion": one.fuse}
    kernel = triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)
    registers, stack = _resources(kernel.asm["cubin"], capability)
    return Compiled(
        one.kernel.fn.__name__, one.constants, capability, registers, stack, kernel.metadata.shared, one.warps, kernel.asm["cubin"]
    )


def compile_recorded(host: Callable[[], object], capabilities: Iterable[int] = (80, 90)) -> list[Compiled]:
    """Compile everything that ``host`` launches for each compute capability."""
    launches = record(host)
    return [compile_launch(one, capability) for capability in capabilities for one in launches]


def _key(one: Launch) -> object:
    return (
        one.kernel.fn.__name__,
        tuple(map(_type, one.args)),
        tuple(sorted(one.constants.items(), key=lambda kv: kv[0])),
        one.warps,
        one.fuse,
    )


def _type(value: object) -> str:
    if isinstance(value, Tensor):
        return _POINTERS[value.dtype]
    if isinstance(value, int) and value == 1:
        return "constexpr"
    return {int: "i32", float: "fp32"}[type(value)]


def _resources(cubin: bytes, capability: int) -> tuple[int, int]:
    tool = triton.knobs.nvidia.cuobjdump.path
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"kernel.sm_{capability}.cubin"
        path.write_bytes(cubin)
        report = subprocess.run([tool, "-res-usage", str(path)], capture_output=True, text=True, check=True).stdout
    registers, stack = re.search(r"REG:(\d+)", report), re.search(r"STACK:(\d+)", report)
    if registers is None or stack is None:
        raise RuntimeError(f"cuobjdump reports no resources: {report!r}")
    return int(registers[1]), int(stack[1])
