"""The machine code of the CUDA kernels for GPUs that are not there: what the table has, and that it has not become worse.

Here some units are compiled for one architecture; ``FORMFIELD_SASS=all`` compiles all of them for all, as ``python -m tests.kernels.sass``.
"""

from __future__ import annotations

import os
from dataclasses import replace
from importlib.util import find_spec

import pytest

if find_spec("cuda") is None or find_spec("cuda.core") is None or find_spec("triton") is None:
    pytest.skip("cuda-core and Triton, which has the disassembler, are not installed", allow_module_level=True)

import sass
from sass import ARCHITECTURES, IN_MEMORY, Figures, compared, measured, read_table, resident_warps, units, worse

FEW = (
    "field 31-64-16 jet",
    "hash 3D F2",
    "march",
    "march cone",
    "composite 4",
    "knn 3D 7",
    "rbf 3D",
    "rbf layer 18 16",
    "adam F2",
    "patch agreement 3",
    "depth maps",
)
WHOLE = os.environ.get("FORMFIELD_SASS") == "all"
ROWS = [
    (unit, arch, name, f)
    for unit, by_arch in read_table().items()
    for arch, k in by_arch.items()
    if not isinstance(k, str)
    for name, f in k.items()
]


def test_the_table_has_every_unit_and_architecture():
    table = read_table()
    assert set(table) == set(units())
    for by_arch in table.values():
        assert set(by_arch) == set(ARCHITECTURES)


@pytest.mark.parametrize(("unit", "arch", "name", "figures"), ROWS, ids=[f"{u}, {a}, {n}" for u, a, n, _ in ROWS])
def test_nothing_is_in_memory_or_in_double_precision(unit, arch, name, figures):
    assert figures.double == 0
    assert figures.stack <= IN_MEMORY.get(name, 0)
    assert figures.stack or not figures.local


def test_sums_into_tables_are_made_at_once_where_the_gpu_can():
    table = read_table()
    for unit, width in (("hash 3D F2", "64"), ("hash 3D F4", "128")):
        for arch, kernels in table[unit].items():
            assert set(kernels["encode_to_table"].sums) == {width if int(arch[3:]) >= 90 else "32"}
            assert width in kernels["encode_forward"].loads


@pytest.mark.parametrize("name", [name for name in units() if WHOLE or name in FEW])
@pytest.mark.parametrize("arch", ARCHITECTURES if WHOLE else ["sm_90"])
def test_nothing_became_worse(name, arch):
    assert compared(read_table(), measured([name], [arch])) == []


SOME = Figures(registers=40, stack=0, shared=0, instructions=100, local=0, double=0, calls=0, hmma=4, shuffles=0, warps=48)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({}, []),
        ({"registers": 48}, []),
        ({"registers": 49}, ["a: registers 40 -> 49"]),
        ({"stack": 8, "local": 2}, ["a: stack 0 -> 8", "a: LDL and STL 0 -> 2"]),
        ({"double": 1}, ["a: DFMA ... 0 -> 1"]),
        ({"hmma": 3}, ["a: HMMA 4 -> 3"]),
        ({"instructions": 500, "calls": 3, "registers": 20}, []),
    ],
)
def test_what_is_worse(change, words):
    assert worse("a", SOME, replace(SOME, **change)) == words


@pytest.mark.parametrize(
    ("opcode", "bits"),
    [
        ("LDG.E", "32"), ("LDG.E.64", "64"), ("LDG.E.128.CONSTANT", "128"), ("LDG.E.U8", "8"),
        ("REDG.E.ADD.F32.FTZ.RN.STRONG.GPU", "32"), ("REDG.E.ADD.F32x2.RN.STRONG.GPU", "64"), ("REDG.E.ADD.F32x4.RN", "128"),
        ("RED.E.ADD.F64.RN.STRONG.GPU", "64"),
    ],
)  # fmt: skip
def test_widths(opcode, bits):
    assert sass._width(opcode) == bits


@pytest.mark.parametrize(
    ("arch", "registers", "shared", "warps"),
    [("sm_90", 40, 0, 48), ("sm_90", 168, 33 << 10, 12), ("sm_86", 32, 0, 48), ("sm_86", 32, 40 << 10, 8), ("sm_80", 255, 0, 8)],
)
def test_warps_that_fit(arch, registers, shared, warps):
    assert resident_warps(arch, registers, shared, 128) == warps
