"""The ops as torch custom operators, and every instruction set that this machine can run."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from field_cases import GRIDS, native_or_skip, parameters, points

from kernels import MLPSpec
from kernels.ops import field, hash_encode, mlp


def case():
    grid = GRIDS["dense_and_hashed"]
    mlp = MLPSpec(grid.out_features + 3, (8,), 2, activation="softplus", beta=5.0)
    table, params = (t.requires_grad_() for t in parameters(grid, mlp))
    return grid, mlp, table, params, points(9, 3, grid)


CHECKS = ("test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_static")


@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_operators_pass_opcheck():
    native_or_skip()
    grid, spec, table, params, x = case()
    rest = (grid.to_ints(), spec.to_ints(), spec.beta, True, grid.levels, "cpu")
    network = (spec.to_ints(), spec.beta, "cpu")
    rows = torch.randn(7, spec.inputs, dtype=torch.float64, requires_grad=True)
    adjoint = torch.randn(9, grid.out_features, dtype=torch.float64)
    for op, arguments in [
        (hash_encode._encode, (x.clone().requires_grad_(), table, grid.to_ints(), 3, "cpu")),
        (field._field, (x.clone().requires_grad_(), table, params, *rest, False)),
        (field._jet, (x, table, params, *rest, False)),
        (field._field, (*(t.detach().float().requires_grad_() for t in (x, table, params)), *rest, True)),
        (field._jet, (x.float(), *(t.detach().float().requires_grad_() for t in (table, params)), *rest, True)),
        (mlp._mlp, (rows, params, *network)),
        (mlp._jet, (rows, params, *network)),
        (
            hash_encode._encode_backward,
            (adjoint, x, table, grid.to_ints(), 3, True, False, "cpu"),
        ),
    ]:
        torch.library.opcheck(op, arguments, test_utils=CHECKS)


SCRIPT = """
import torch, kernels
from kernels import HashGridSpec, MLPSpec, fused_field
from kernels.backends.cpu import isa
assert isa() in ({isa!r}, "neon"), isa()
grid = HashGridSpec(levels=4, features={features}, log2_table_size=8, base_resolution=4, finest_resolution=30, interpolation="smoothstep")
mlp = MLPSpec(grid.out_features + 3, (19, 40), 5, activation="softplus", beta=3.0)
generator = torch.Generator().manual_seed(0)
table = torch.randn(grid.entries, {features}, generator=generator)
params = torch.randn(mlp.params, generator=generator) * 0.3
x = torch.rand(101, 3, generator=generator)
results = []
for backend, dtype in (("cpu", torch.float32), ("reference", torch.float64)):
    t, p = table.to(dtype).requires_grad_(), params.to(dtype).requires_grad_()
    out, gradient = fused_field(x.to(dtype), t, p, grid, mlp, order=1, include_input=True, backend=backend)
    results.append([out, gradient, *torch.autograd.grad(out.sin().sum() + gradient.square().sum(), (t, p))])
for a, b in zip(*results):
    error = float((a.detach() - b.detach()).abs().max() / b.detach().abs().max())
    assert error < 1e-4, error
"""


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_every_instruction_set_matches_the_reference(isa):
    native_or_skip()
    order = ["baseline", "avx2", "avx512"]
    from kernels.backends.cpu import isa as instructions

    best = instructions()
    if best not in order or order.index(isa) > order.index(best):
        pytest.skip(f"this machine runs {best}")
    script = "\n".join(SCRIPT.format(isa=isa, features=features) for features in (1, 2, 4, 8))
    environment = os.environ | {"FORMFIELD_ISA": isa}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
