"""What NVRTC makes of the fused field's kernels on tensor cores, for GPUs that are not there: counts in their machine code.

Two of the usual fields are compiled for one architecture each; with FORMFIELD_SASS=all all of them for all. ``pytest -rP`` prints the
figures.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise

import pytest
import torch

from kernels import HashGridSpec, MLPSpec

if find_spec("cuda") is None or find_spec("cuda.core") is None or find_spec("triton") is None:
    pytest.skip("cuda-core and Triton, which has the disassembler, are not installed", allow_module_level=True)

from sass import ARCHITECTURES, opcodes_of

from kernels.backends.cuda import field, runtime

GRID = HashGridSpec(levels=14, log2_table_size=17)


@dataclass(frozen=True)
class Field:
    grid: HashGridSpec
    mlp: MLPSpec
    include_input: bool
    order: int


FIELDS = {
    "surface": Field(GRID, MLPSpec(31, (64,), 16, "softplus"), True, 1),
    "surface, two layers": Field(GRID, MLPSpec(31, (64, 64), 16, "softplus"), True, 1),
    "radiance": Field(HashGridSpec(), MLPSpec(32, (64,), 16), False, 0),
}
STACK = {("surface", "field_mma_forward"): {"sm_100": 16, "sm_120": 16}}
"""Bytes of stack where there is any, at most; of two layers at most TWO_LAYERS."""
TWO_LAYERS = {"field_mma_forward": 96, "field_mma_backward": 272}
WHOLE = os.environ.get("FORMFIELD_SASS") == "all"
CHOSEN = [(name, arch) for name in FIELDS for arch in ARCHITECTURES] if WHOLE else [("surface", "sm_90"), ("radiance", "sm_80")]


def _products(f: Field) -> dict[str, int]:
    """Products of 16 x 8 x 16 that a warp makes for a tile, counted from the shapes."""
    inputs = f.grid.out_features + (f.grid.dims if f.include_input else 0)
    columns = [-(-n // 16) * 16 for n in (inputs, *f.mlp.hidden, f.mlp.outputs)]
    maps = list(pairwise(columns))
    passes, outputs = 3 if field.splits(f.mlp, f.order) else 1, -(-f.mlp.outputs // 8)
    forward = sum(a // 16 * (b // 8) for a, b in maps[:-1])
    back = sum(a // 8 * (b // 16) for a, b in maps)
    last = columns[-2] // 16 * outputs
    sums = [4 * 2 * -(-(a // 16) * (b // 16) // 4) for a, b in maps]  # of four warps, over 64 samples
    plus = 4 * len(maps) * int(f.mlp.bias)
    jet = sum(a // 8 * (b // 16) for a, b in maps[:-1])
    return {
        "field_mma_forward": passes * (forward + last + f.order * jet),
        "field_mma_backward": passes * ((1 + f.order) * forward + back + f.order * jet) + (1 + f.order) * sum(sums) + plus,
    }


@pytest.mark.parametrize(("name", "arch"), CHOSEN)
def test_registers_hold_all_and_products_are_on_tensor_cores(name, arch):
    f = FIELDS[name]
    assert field.uses_tensor_cores(f.grid, f.mlp, torch.float32, f.order, f.include_input)
    code, log = runtime.compile_unit(field.tensor_unit(f.grid, f.mlp, f.include_input, f.order), arch)
    resources, opcodes, products = runtime.resources(log), opcodes_of(code), _products(f)
    assert set(resources) == set(products)
    for kernel, needs in resources.items():
        counts: Counter[str] = Counter()
        for opcode, n in opcodes[kernel].items():
            counts[opcode.split(".")[0]] += n
        print(f"{name}, {arch}, {kernel}: {needs}, HMMA {counts['HMMA']} of {products[kernel]}, LDSM {counts['LDSM']}")
        assert counts["HMMA"] == products[kernel]
        assert counts["DFMA"] + counts["DADD"] + counts["DMUL"] == 0
        allowed = TWO_LAYERS[kernel] if "two" in name else STACK.get((name, kernel), {}).get(arch, 0)
        assert needs.stack <= allowed
        assert allowed or counts["LDL"] + counts["STL"] == 0
        if kernel == "field_mma_forward":
            assert needs.registers <= 168
        pairs = sum(n for opcode, n in opcodes[kernel].items() if opcode.startswith("LDG") and ".64" in opcode)
        tiles = -(-f.grid.out_features // 8)
        assert pairs >= 16 * tiles  # entries of two numbers are read at once
        if kernel == "field_mma_backward":
            adds = Counter("x2" in o for o, n in opcodes[kernel].items() for _ in range(n) if o.startswith(("RED", "ATOM")))
            assert adds[True] == (16 * tiles if int(arch[3:]) >= 90 else 0)
