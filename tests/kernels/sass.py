"""What the CUDA kernels become on GPUs that are not there: figures of their machine code, in a table that a test compares with.

    python -m tests.kernels.sass                 # compiles all of them for all architectures and says what became worse
    python -m tests.kernels.sass --write         # writes the table anew: tests/kernels/sass.json
    python -m tests.kernels.sass --only march,adam --arch sm_90

A kernel's registers say how many of its warps an SM holds, its stack and LDL that arrays lie in memory instead of registers (ptxas calls
that no spill), DFMA and the like that arithmetic is done in float64, at a 64th of the rate on many GPUs.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from kernels import BackendError, HashGridSpec, MLPSpec

TABLE = Path(__file__).with_name("sass.json")
ARCHITECTURES = ("sm_80", "sm_86", "sm_89", "sm_90", "sm_100", "sm_120")
SHARED_PER_SM = {"sm_80": 164, "sm_86": 100, "sm_89": 100, "sm_90": 228, "sm_100": 228, "sm_120": 100}  # KiB
WARPS_PER_SM = {"sm_80": 64, "sm_86": 48, "sm_89": 48, "sm_90": 64, "sm_100": 64, "sm_120": 48}
MORE_REGISTERS = 8  # of a compiler's mood
IN_MEMORY = {"field_mma_forward": 16}
"""Bytes of stack that a kernel may have. At 168 registers, which let three of its blocks stay on an SM, four numbers are spilled for sm_100
and sm_120."""
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?U?P\w+\s+)?([A-Z][A-Za-z0-9_.]*)", re.MULTILINE)
_DOUBLE = ("DFMA", "DADD", "DMUL", "DSETP", "DMNMX")


@dataclass(frozen=True)
class Figures:
    """One kernel on one architecture: counts of instructions in its text, however often they run.

    Attributes:
        registers, stack, shared: Of a thread; bytes of a thread; bytes of a block, without what a launch adds.
        instructions: All of them.
        local: LDL and STL, loads and stores of the stack.
        double: Arithmetic in float64.
        calls: Subroutines: divisions and roots of IEEE, slow paths.
        hmma, shuffles: Products on tensor cores; exchanges in a warp.
        loads, sums: LDG, and RED or ATOM, by width in bits.
        warps: That an SM holds at once, by registers and shared memory.
    """

    registers: int
    stack: int
    shared: int
    instructions: int
    local: int
    double: int
    calls: int
    hmma: int
    shuffles: int
    warps: int
    loads: dict[str, int] = field(default_factory=dict)
    sums: dict[str, int] = field(default_factory=dict)


def units() -> dict[str, Any]:
    """Name -> unit, with the shapes that training uses: of every file of native/cuda but field.cu, which is for unusual fields."""
    from kernels.backends.cuda import adam, bounded, hash_encode, knn, patch_agreement, patch_match, rbf, rbf_layer
    from kernels.backends.cuda import field as field_kernels
    from kernels.backends.cuda.runtime import unit_of

    one = torch.empty(1)
    grid = HashGridSpec(levels=14, log2_table_size=17, finest_resolution=1024)
    smooth = HashGridSpec(levels=14, log2_table_size=17, finest_resolution=1024, interpolation="smoothstep")
    inverse, tapered = 0, 1 + 2  # 1 / (1 + r^2), normalised, fading out: what fields of functions use

    def functions(waves: bool) -> Any:
        return rbf._unit(torch.empty(1, 3), torch.empty(1, 3), torch.empty(1, 7), one if waves else None, inverse, tapered)

    return {
        "field 31-64-16 jet": field_kernels.tensor_unit(grid, MLPSpec(31, (64,), 16, "softplus", 100.0), True, 1),
        "field 32-64-16": field_kernels.tensor_unit(HashGridSpec(), MLPSpec(32, (64,), 16), False, 0),
        "hash 3D F2": hash_encode._unit(one, grid),
        "hash 3D F2 smoothstep": hash_encode._unit(one, smooth),
        "hash 3D F4": hash_encode._unit(one, HashGridSpec(features=4)),
        "hash 2D F2": hash_encode._unit(one, HashGridSpec(dims=2)),
        "march": unit_of("march", one, CONE=0),
        "march cone": unit_of("march", one, CONE=1),
        **{f"composite {c or 'any'}": unit_of("composite", one, CHANNELS=c) for c in (4, 7, 0)},
        "density": unit_of("density", one),
        "occupancy": unit_of("occupancy", one),
        "adam F2": adam._unit(one, 2, True),
        "adam": adam._unit(one, 0, True),
        "knn 3D 1": knn._unit(one, 3, 1),
        "knn 3D 7": knn._unit(one, 3, 7),
        "patch agreement 3": patch_agreement._unit(one, 3),
        "patch match 2": patch_match._unit(one, 2),
        "depth maps": unit_of("depth_maps", one),
        "rbf 3D": functions(True),
        "rbf 3D no sines": functions(False),
        "rbf layer 18 16": rbf_layer._layer(torch.empty(1, 18), 16),
        "rbf layer 32 3": rbf_layer._layer(torch.empty(1, 32), 3),
        "bounded 64": bounded._unit(one, grid, MLPSpec(31, (64,), 16, "softplus", 100.0), True),
        "bounded 64 64": bounded._unit(one, grid, MLPSpec(31, (64, 64), 16, "softplus", 100.0), True),
    }


def cuobjdump() -> str:
    """The disassembler, which Triton brings along."""
    from importlib.util import find_spec

    found = find_spec("triton")
    tool = Path(found.origin).parent / "backends" / "nvidia" / "bin" / "cuobjdump" if found and found.origin else None
    if tool is None or not tool.is_file():
        raise BackendError("there is no cuobjdump; it comes with Triton: pip install 'formfield[gpu]'")
    return str(tool)


def opcodes_of(code: bytes) -> dict[str, Counter[str]]:
    """Instructions of each kernel of a cubin, by name with its suffixes."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "unit.cubin"
        path.write_bytes(code)
        text = subprocess.run([cuobjdump(), "-sass", str(path)], capture_output=True, text=True, check=True).stdout
    parts = re.split(r"^\s*Function : (\w+)\s*$", text, flags=re.MULTILINE)
    return {name: Counter(m[1] for m in _INSTRUCTION.finditer(body)) for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def _width(opcode: str) -> str:
    """Bits that a load or a sum moves."""
    parts = opcode.split(".")
    for part in parts:
        if vector := re.fullmatch(r"[FU](\d+)X(\d)", part.upper()):
            return str(int(vector[1]) * int(vector[2]))
    return next((p.lstrip("US") for p in parts if p in ("64", "128", "U8", "S8", "U16", "S16")), "64" if "F64" in parts else "32")


def resident_warps(arch: str, registers: int, shared: int, threads: int) -> int:
    """Warps that an SM holds at once of blocks of so many threads."""
    rounded, warps = -(-registers // 8) * 8, threads // 32
    limits = [65536 // (rounded * threads), WARPS_PER_SM[arch] // warps]
    if shared:
        limits.append(SHARED_PER_SM[arch] * 1024 // (shared + 1024))
    return min(limits) * warps


def figures(unit: Any, arch: str) -> dict[str, Figures]:
    """Compile a unit and count. Raises :class:`BackendError` where NVRTC does not know the architecture."""
    from kernels.backends.cuda import runtime

    code, log = runtime.compile_unit(unit, arch)
    found, of_kernel = runtime.resources(log), opcodes_of(code)
    blocks = {block.split("'")[0]: re.search(r"(\d+) bytes smem", block) for block in log.split("Compiling entry function '")[1:]}
    shared = {name: int(of_block[1]) for name, of_block in blocks.items() if of_block}
    result = {}
    for name, needs in found.items():
        opcodes = of_kernel[name]

        def count(*heads: str, opcodes: Counter[str] = opcodes) -> int:
            return sum(n for opcode, n in opcodes.items() if opcode.split(".")[0] in heads)

        def widths(*heads: str, opcodes: Counter[str] = opcodes) -> dict[str, int]:
            by: Counter[str] = Counter()
            for opcode, n in opcodes.items():
                if opcode.split(".")[0] in heads:
                    by[_width(opcode)] += n
            return dict(sorted(by.items(), key=lambda pair: int(pair[0])))

        result[name] = Figures(
            registers=needs.registers, stack=needs.stack, shared=shared.get(name, 0), instructions=sum(opcodes.values()) - count("NOP"),
            local=count("LDL", "STL"), double=count(*_DOUBLE), calls=count("CALL"), hmma=count("HMMA"), shuffles=count("SHFL"),
            warps=resident_warps(arch, needs.registers, shared.get(name, 0), runtime.THREADS),
            loads=widths("LDG"), sums=widths("RED", "REDG", "ATOM", "ATOMG"),
        )  # fmt: skip
    return result


def worse(name: str, then: Figures, now: Figures) -> list[str]:
    """What became worse, a line each."""
    found = [
        f"{name}: {what} {a} -> {b}"
        for what, a, b in (("stack", then.stack, now.stack), ("LDL and STL", then.local, now.local), ("DFMA ...", then.double, now.double))
        if b > a
    ]
    if now.registers > then.registers + MORE_REGISTERS:
        found.append(f"{name}: registers {then.registers} -> {now.registers}")
    if now.hmma < then.hmma:
        found.append(f"{name}: HMMA {then.hmma} -> {now.hmma}")
    return found


def read_table() -> dict[str, dict[str, Any]]:
    """Unit -> architecture -> kernel -> figures, or a sentence where it cannot be compiled."""
    table: dict[str, dict[str, Any]] = {}
    for unit, arch, name, found in json.loads(TABLE.read_text())["rows"]:
        by_arch = table.setdefault(unit, {})
        if name is None:
            by_arch[arch] = found
        else:
            by_arch.setdefault(arch, {})[name] = Figures(**found)
    return table


def measured(names: Iterable[str], architectures: Iterable[str]) -> dict[str, dict[str, Any]]:
    """As :func:`read_table`, of what is compiled now."""
    known, refused = units(), {}
    result: dict[str, dict[str, Any]] = {}
    for name in names:
        for arch in architectures:
            if arch not in refused:
                try:
                    result.setdefault(name, {})[arch] = figures(known[name], arch)
                    continue
                except BackendError as error:
                    if "invalid value for --gpu-architecture" not in str(error):
                        raise
                    refused[arch] = str(error).split(":")[0].replace(f" {known[name].file}.cu", "")
            result.setdefault(name, {})[arch] = refused[arch]
    return result


def compared(then: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> list[str]:
    """What became worse in what was measured, and what the table does not have."""
    found = []
    for unit, by_arch in now.items():
        for arch, kernels in by_arch.items():
            old = then.get(unit, {}).get(arch)
            if isinstance(kernels, str) or isinstance(old, str) or old is None:
                if kernels != old:
                    found.append(f"{unit}, {arch}: {old} -> {'compiled' if not isinstance(kernels, str) else kernels}")
                continue
            for name, figure in kernels.items():
                where = f"{unit}, {arch}, {name}"
                found += worse(where, old[name], figure) if name in old else [f"{where} is not in the table"]
            found += [f"{unit}, {arch}, {name} is in the table, but there is no such kernel" for name in old if name not in kernels]
    return found


def lines(table: dict[str, dict[str, Any]]) -> list[str]:
    head = f"{'unit':24}{'arch':8}{'kernel':24} regs stack  LDL dbl call HMMA SHFL warps instr  loads; sums by bits"
    rows = [head]
    for unit, by_arch in table.items():
        for arch, kernels in by_arch.items():
            if isinstance(kernels, str):
                rows.append(f"{unit:24}{arch:8}{kernels}")
                continue
            for name, f in kernels.items():
                loads, sums = (" ".join(f"{w}:{n}" for w, n in by.items()) for by in (f.loads, f.sums))
                rows.append(
                    f"{unit:24}{arch:8}{name:24}{f.registers:5}{f.stack:6}{f.local:5}{f.double:4}{f.calls:5}{f.hmma:5}{f.shuffles:5}"
                    f"{f.warps:6}{f.instructions:6}  {loads}; {sums}"
                )
    return rows


def written(made: str, table: dict[str, dict[str, Any]]) -> str:
    """The table as JSON with a row a kernel, so that a difference shows which kernels became others."""
    rows: list[Any] = []
    for unit, by_arch in sorted(table.items()):
        for arch, kernels in sorted(by_arch.items()):
            if isinstance(kernels, str):
                rows.append((unit, arch, None, kernels))
            else:
                rows += [(unit, arch, name, asdict(f)) for name, f in sorted(kernels.items())]
    return f'{{"made": {json.dumps(made)}, "rows": [\n' + ",\n".join(json.dumps(row, sort_keys=True) for row in rows) + "\n]}\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true")
    parser.add_argument("--only", help="files of native/cuda, separated by commas")
    parser.add_argument("--arch", help="architectures, separated by commas")
    options = parser.parse_args()
    files = options.only.split(",") if options.only else None
    names = [name for name, unit in units().items() if files is None or unit.file in files]
    now = measured(names, options.arch.split(",") if options.arch else ARCHITECTURES)
    print("\n".join(lines(now)))
    if options.write:
        from kernels.backends.cuda.runtime import nvrtc_version

        table = read_table() if TABLE.is_file() and (files or options.arch) else {}
        for unit, by_arch in now.items():
            table.setdefault(unit, {}).update(by_arch)
        TABLE.write_text(written(f"python -m tests.kernels.sass --write, NVRTC {nvrtc_version()}", table))
        return 0
    found = compared(read_table(), now)
    print("\n".join(found) or "nothing became worse")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
