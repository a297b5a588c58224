"""Speed on a GPU: ``pytest tests/gpu/test_benchmark.py -s`` prints the table. Nothing is asserted about time.

Arithmetic is compared with torch's float32 matrix product, memory with a copy, both measured in the same run.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from gpu import BACKENDS, needs_gpu

import kernels
from kernels import HashGridSpec, MLPSpec, OccupancyGrid

pytestmark = [pytest.mark.gpu, needs_gpu]
N = 1 << 18


def seconds(function: Callable[[], object], repeats: int = 20) -> float:
    """Median time of a call after a warm-up, by events on the stream."""
    for _ in range(3):
        function()
    times = []
    for _ in range(repeats):
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        function()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end) / 1e3)
    return statistics.median(times)


@pytest.fixture(scope="module")
def limits():
    """(floating point operations, bytes) per second of this GPU."""
    allowed = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    a = torch.rand(4096, 4096, device="cuda")
    flops = 2 * 4096**3 / seconds(lambda: a @ a)
    torch.backends.cuda.matmul.allow_tf32 = allowed
    source = torch.rand(1 << 28, device="cuda")
    target = torch.empty_like(source)
    bandwidth = 2 * source.numel() * 4 / seconds(lambda: target.copy_(source))
    print(f"\n{torch.cuda.get_device_name()}: {flops / 1e12:.1f} TFLOP/s float32 matrix product, {bandwidth / 1e9:.0f} GB/s copy")
    return flops, bandwidth


def report(backend: str, name: str, time: float, count: int, limit: float, work: float, kind: str) -> None:
    print(f"{backend:7} {name:44} {count / time / 1e6:9.1f} M/s   {100 * work / time / limit:5.1f} % of {kind}")


def multiplications(mlp: MLPSpec) -> int:
    return sum(i * o for i, o in pairwise(mlp.widths))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("grid", [HashGridSpec(), HashGridSpec(levels=8, features=4, log2_table_size=17)], ids=["L16F2", "L8F4"])
def test_fields(backend, grid, limits):
    flops, bandwidth = limits
    directions = torch.nn.functional.normalize(torch.randn(N // 64, 1, 3, device="cuda"), dim=-1)
    x = (0.5 + 0.01 * directions * torch.arange(-32, 32, device="cuda")[:, None]).reshape(N, 3).clamp(0, 1)
    label = f"L{grid.levels} F{grid.features} T2^{grid.log2_table_size}"
    table = (torch.rand(grid.entries, grid.features, device="cuda") * 1e-4).requires_grad_()
    touched = N * grid.levels * 8 * grid.features * 4
    g = torch.rand(N, grid.out_features, device="cuda")
    with torch.no_grad():
        time = seconds(lambda: kernels.hash_encode(x, table, grid, backend=backend))
    report(backend, f"hash_encode {label} forward", time, N, bandwidth, touched, "copy (entries read)")
    time = seconds(lambda: torch.autograd.grad(kernels.hash_encode(x, table, grid, backend=backend), table, g))
    report(backend, f"hash_encode {label} forward + backward", time, N, bandwidth, 3 * touched, "copy (entries read, added)")
    mlp = MLPSpec(grid.out_features, (64,), 16)
    params = (torch.randn(mlp.params, device="cuda") * 0.1).requires_grad_()
    work = 2 * N * multiplications(mlp)
    out = torch.rand(N, 16, device="cuda")
    with torch.no_grad():
        time = seconds(lambda: kernels.fused_field(x, table, params, grid, mlp, backend=backend))
    report(backend, f"fused_field {label} 64-16 forward", time, N, flops, work, "sgemm")

    def step():
        torch.autograd.grad(kernels.fused_field(x, table, params, grid, mlp, backend=backend), (table, params), out)

    report(backend, f"fused_field {label} 64-16 forward + backward", seconds(step), N, flops, 3 * work, "sgemm")

    def jet():
        value, gradient = kernels.fused_field(x, table, params, grid, mlp, order=1, backend=backend)
        torch.autograd.grad((value, gradient), (table, params), (out, x))

    report(backend, f"fused_field {label} order 1 with backward", seconds(jet), N, flops, 8 * work, "sgemm")


@pytest.mark.parametrize("backend", BACKENDS)
def test_network(backend, limits):
    mlp = MLPSpec(32, (64, 64), 16)
    x = torch.randn(N, 32, device="cuda").requires_grad_()
    params = (torch.randn(mlp.params, device="cuda") * 0.1).requires_grad_()
    g = torch.rand(N, 16, device="cuda")
    work = 2 * N * multiplications(mlp)
    with torch.no_grad():
        time = seconds(lambda: kernels.field_mlp(x, params, mlp, backend=backend))
    report(backend, "field_mlp 32-64-64-16 forward", time, N, limits[0], work, "sgemm")
    time = seconds(lambda: torch.autograd.grad(kernels.field_mlp(x, params, mlp, backend=backend), (x, params), g))
    report(backend, "field_mlp 32-64-64-16 forward + backward", time, N, limits[0], 3 * work, "sgemm")


@pytest.mark.parametrize("backend", BACKENDS)
def test_rays(backend, limits):
    rays = 1 << 14
    origins = torch.nn.functional.normalize(torch.randn(rays, 3, device="cuda"), dim=1) * 2.5
    directions = torch.nn.functional.normalize(torch.randn(rays, 3, device="cuda") * 0.3 - origins, dim=1)
    near, far = torch.zeros(rays, device="cuda"), torch.full((rays,), 10.0, device="cuda")
    grid = OccupancyGrid.empty(128, device="cuda")
    centers = OccupancyGrid.empty(128).cell_centers()
    kernels.update_occupancy(grid, ((centers.norm(dim=1) - 0.6).abs() < 0.05).float()[None].cuda(), 0.5)

    def march():
        return kernels.march_rays(origins, directions, near, far, grid, step=3**0.5 / 512, backend=backend)

    samples = march()
    count = len(samples)
    report(backend, "march_rays", seconds(march), count, limits[1], 12 * count, "copy (samples written)")
    density = torch.rand(count, device="cuda").requires_grad_()
    channels = torch.rand(count, 4, device="cuda").requires_grad_()
    g = torch.rand(rays, 4, device="cuda")

    def composite():
        values, _, _ = kernels.composite(density, samples.dt, channels, samples.offsets, backend=backend)
        torch.autograd.grad(values, (density, channels), g)

    report(backend, "composite forward + backward", seconds(composite), count, limits[1], 4 * 22 * count, "copy (samples read, written)")


@pytest.mark.parametrize("backend", BACKENDS)
def test_adam(backend, limits):
    entries = 1 << 22
    tensors = [torch.rand(entries, 2, device="cuda") for _ in range(4)]
    steps = torch.zeros(1, dtype=torch.int32, device="cuda")
    time = seconds(lambda: kernels.adam_step(*tensors, steps, lr=1e-2, backend=backend))
    report(backend, "adam_step", time, 2 * entries, limits[1], 7 * 4 * 2 * entries, "copy")
