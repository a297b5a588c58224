"""Every Triton kernel compiled to machine code for GPUs that are not there: the interpreter accepts code that the compiler rejects.

``pytest -rP`` prints registers, local memory and shared memory of each.
"""

from __future__ import annotations

import os
from importlib.util import find_spec

import pytest
import torch
from raw_functions import all_functions

from kernels import HashGridSpec, MLPSpec

pytestmark = [
    pytest.mark.skipif(find_spec("triton") is None, reason="Triton is not installed"),
    pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="TRITON_INTERPRET is set: nothing is compiled"),
]
N, R = 256, 16
GRID = HashGridSpec(levels=8, features=2, log2_table_size=12, finest_resolution=256, interpolation="smoothstep")
NETWORK = MLPSpec(GRID.out_features + 3, (64,), 16, "softplus")
PLANE = HashGridSpec(dims=2, levels=8, features=4, log2_table_size=10, finest_resolution=256)


def fields(ops) -> None:
    x, v, table, params = torch.rand(N, 3), torch.rand(N, 3), torch.rand(GRID.entries, 2), torch.rand(NETWORK.params)
    g, gradient = torch.rand(N, 16), torch.empty(N, 3)
    spec = (GRID, NETWORK, True, GRID.levels)
    ops.fused_field_forward(x, table, params, *spec, g, None)
    ops.fused_field_forward(x, table, params, *spec, g, gradient)
    ops.fused_field_backward(x, table, params, *spec, g, v, None, table, params)


def networks(ops) -> None:
    spec = MLPSpec(32, (64, 64), 3, output_activation="sigmoid")
    x, params, g = torch.rand(N, 32), torch.rand(spec.params), torch.rand(N, 3)
    ops.field_mlp_forward(x, params, spec, g, None)
    ops.field_mlp_forward(x, params, spec, g, x)
    ops.field_mlp_backward(x, params, spec, g, None, x, params)
    ops.field_mlp_backward(x, params, spec, g, x, x, params)


def encodings(ops) -> None:
    x, v, table = torch.rand(N, 2), torch.rand(N, 2), torch.rand(PLANE.entries, 4)
    g = torch.rand(N, PLANE.out_features)
    ops.hash_encode_backward(x, table, PLANE, PLANE.levels, g, x, table)
    ops.hash_encode_double_backward(x, table, PLANE, PLANE.levels, g, v, g, x, table)


def rays(ops) -> None:
    lines, per_ray, samples = torch.rand(R, 3), torch.rand(R), torch.rand(N)
    offsets, starts = torch.arange(0, N + 1, N // R), torch.zeros(R + 1, dtype=torch.int64)
    bits = torch.zeros(2, 64, dtype=torch.uint8)
    cells = torch.rand(1024)
    ops.occupancy_pack(cells, 0.5, bits)
    ops.occupancy_see(torch.rand(3, 5, 4), 8, 0.25, 0.2, torch.zeros(512, dtype=torch.uint8))
    ops.occupancy_decay(cells, cells, None, 0.95)
    ops.occupancy_decay(cells, cells, torch.zeros(1024, dtype=torch.int64), 0.95)
    for cone in (0.0, 0.01):
        march = (lines, lines, per_ray, per_ray, per_ray, bits, 8, 0.01, cone, 100)
        ops.march_count(*march, starts)
        ops.march_fill(*march, offsets, torch.zeros(N, dtype=torch.int32), samples, samples)
    channels, values = torch.rand(N, 5), torch.rand(R, 5)
    ops.composite_forward(samples, samples, channels, offsets, 0.0, values, per_ray, samples, samples)
    ops.composite_backward(samples, samples, channels, offsets, samples, samples, values, per_ray, samples, samples, samples, channels)
    ops.composite_alpha_forward(samples, channels, offsets, 0.0, values, per_ray, samples, samples)
    ops.composite_alpha_backward(samples, channels, offsets, 0.0, samples, samples, values, per_ray, samples, samples, channels)
    ops.distortion_forward(samples, samples, samples, offsets, per_ray)
    ops.distortion_backward(samples, samples, samples, offsets, per_ray, samples)


def densities(ops) -> None:
    per_ray, samples, one = torch.rand(R), torch.rand(N), torch.rand(1)
    offsets = torch.arange(0, N + 1, N // R)
    ops.laplace_forward(samples, one, samples)
    ops.laplace_backward(samples, samples, samples, samples, samples)
    ops.opacity_error(samples, samples, offsets, one, samples)
    ops.error_bound(samples, samples, offsets, per_ray, per_ray)
    ops.solve_beta(samples, samples, offsets, one, 0.1, 10, per_ray)
    ops.sample_pdf(samples, samples, torch.rand(R, 8), offsets, torch.rand(R, 8))
    for skip in (False, True):
        steps = torch.zeros(N if skip else 1, dtype=torch.int32)
        ops.adam_step(*(torch.rand(N, 2) for _ in range(4)), steps, 1e-2, (0.9, 0.99), 1e-15, 0.0, skip)


def functions(ops) -> None:
    ids, weights, g = torch.zeros(N, 4, dtype=torch.int32), torch.rand(50, 32), torch.rand(N, 32)
    layer = (torch.rand(N, 18), torch.rand(32, 18), torch.rand(32, 18), torch.rand(49, 32))
    outputs, features, sums = torch.rand(N, 49), torch.rand(N, 18), torch.zeros(32 * (2 * 18 + 49) + 49)
    ops.rbf_layer_forward(*layer, torch.rand(49), outputs)
    ops.rbf_layer_backward(*layer, outputs, None, None, features, sums)
    ops.rbf_layer_backward(*layer, outputs, features, outputs, features, sums)
    for dims, k in ((2, 4), (3, 9)):
        tree = torch.rand(8, 2 * dims), torch.rand(4, dims, 16), torch.zeros(4, 16, dtype=torch.int32)
        ops.knn_query(*tree, torch.rand(N, dims), torch.zeros(N, k, dtype=torch.int32), torch.rand(N, k))
    ids = ids.remainder(50)
    functions = (torch.rand(N, 3), torch.rand(50, 3), torch.rand(50, 3), weights, ids, torch.rand(32), 0, 1)
    ops.rbf_forward(*functions, g)
    ops.rbf_backward(*functions, g, None, None, functions[0], None, None, weights)
    ops.rbf_backward(*functions, g, functions[0], g, functions[0], None, None, weights)


def single(ops) -> None:
    """One of everything: Triton turns an integer argument of 1 into a constant, which not every expression bears."""
    x, table, params = torch.rand(1, 3), torch.rand(GRID.entries, 2), torch.rand(NETWORK.params)
    g, one = torch.rand(1, 16), torch.rand(1)
    spec = (GRID, NETWORK, True, 1)
    ops.fused_field_forward(x, table, params, *spec, g, None)
    ops.fused_field_backward(x, table, params, *spec, g, None, x, table, params)
    offsets, count = torch.tensor([0, 1]), torch.zeros(1, dtype=torch.int32)
    ops.march_count(x, x, one, one, one, torch.zeros(1, 64, dtype=torch.uint8), 8, 1.0, 0.0, 1, torch.zeros(2, dtype=torch.int64))
    ops.composite_forward(one, one, x[:, :1].contiguous(), offsets, 0.0, x[:, :1].contiguous(), one, one, one)
    ops.solve_beta(one, one, offsets, one, 0.1, 1, one)
    ops.sample_pdf(one, one, x[:, :1].contiguous(), offsets, x[:, :1].contiguous())
    ops.adam_step(one, one, one, one, count, 1e-2, (0.9, 0.99), 1e-15, 0.0, True)
    ids = torch.zeros(1, 1, dtype=torch.int32)
    functions = (x, torch.rand(1, 3), torch.rand(1, 1), torch.rand(1, 2), ids, None, 0, 0)
    ops.rbf_forward(*functions, torch.rand(1, 2))
    ops.rbf_backward(*functions, torch.rand(1, 2), None, None, x, None, None, torch.zeros(1, 2))
    one = torch.rand(1, 1)
    ops.rbf_layer_forward(one, one, one, one, one[0], one)
    ops.rbf_layer_backward(one, one, one, one, one, one, one, one, torch.zeros(4))
    ops.knn_query(torch.rand(2, 6), torch.rand(1, 3, 16), torch.zeros(1, 16, dtype=torch.int32), x, ids, one)
    ops.occupancy_see(torch.rand(1, 5, 4), 8, 0.25, 0.2, torch.zeros(512, dtype=torch.uint8))
    ops.occupancy_decay(one[0], one[0], torch.zeros(1, dtype=torch.int64), 0.95)


HOSTS = [fields, networks, encodings, rays, densities, functions, single]


@pytest.mark.parametrize(
    ("host", "capability"),
    [
        pytest.param(host, capability, id=f"{host.__name__}-{capability}")
        for host in HOSTS
        for capability in (80, 90)[: 1 if host is single else 2]
    ],
)
def test_compiles(host, capability):
    from kernels.backends.triton.compiling import compile_recorded

    compiled = compile_recorded(lambda: host(all_functions("triton")), [capability])
    assert compiled
    for kernel in compiled:
        print(
            f"sm_{capability} {kernel.name:20} registers {kernel.registers:3}  local {kernel.stack:4} B  shared {kernel.shared:6} B  "
            f"warps {kernel.warps}"
        )
        assert kernel.cubin[:4] == b"\x7fELF"
        # matrix products in three TF32 passes fill the registers on sm_80, and a sine reduces large arguments in local memory
        allowed = 512 if kernel.name.startswith(("mlp", "layer")) else 64 if kernel.name.startswith("channels") else 0
        assert kernel.stack <= allowed, kernel.name
        assert kernel.shared <= 99 << 10, kernel.name  # the least that a GPU since sm_80 offers


def test_what_is_compiled_is_what_is_launched():
    """Recording leaves out nothing: every kernel of the package is launched by one of the hosts above."""
    from kernels.backends.triton import (
        adam,
        composite_kernels,
        density_kernels,
        hash_kernels,
        knn,
        march_kernels,
        mlp_kernels,
        occupancy,
        rbf,
        rbf_layer,
    )
    from kernels.backends.triton.compiling import record

    ops = all_functions("triton")
    launched = {one.kernel.fn.__name__ for host in HOSTS for one in record(lambda h=host: h(ops))}
    modules = (adam, composite_kernels, density_kernels, hash_kernels, knn, march_kernels, mlp_kernels, occupancy, rbf, rbf_layer)
    helpers = {"minus_expm1"}
    kernels = {name for module in modules for name, value in vars(module).items() if hasattr(value, "fn") and not name.startswith("_")}
    assert launched == kernels - helpers
