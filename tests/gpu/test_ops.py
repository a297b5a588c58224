"""Every op of the GPU backends on a real GPU, forward, backward and second order, against the float64 reference on the CPU."""

from __future__ import annotations

import pytest
import stereo_cases
import torch
from gpu import BACKENDS, needs_gpu, reason
from gpu_cases import CASES

import kernels
from kernels import HashGridSpec

pytestmark = [pytest.mark.gpu, needs_gpu]


@pytest.mark.parametrize("n", [0, 1, 37, 1001])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_matches_the_reference(backend, name, n):
    CASES[name](backend, torch.device("cuda", 0), n)


@pytest.mark.skipif(bool(reason("cuda")), reason=reason("cuda") or "it can run")
@pytest.mark.parametrize("n", [0, 1, 37, 1001])
@pytest.mark.parametrize("name", stereo_cases.CASES)
def test_stereo_matches_the_reference(name, n):
    stereo_cases.CASES[name]("cuda", torch.device("cuda", 0), n)


@pytest.mark.parametrize("backend", BACKENDS)
def test_non_contiguous_tensors(backend):
    grid = HashGridSpec(levels=4, finest_resolution=64)
    x = torch.rand(3, 100, device="cuda").T
    table = torch.rand(2, grid.entries, device="cuda").T
    expected = kernels.hash_encode(x.cpu(), table.cpu(), grid, backend="reference")
    torch.testing.assert_close(kernels.hash_encode(x, table, grid, backend=backend).cpu(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_launches_go_to_the_current_stream(backend):
    """Work queued behind a long copy on another stream must see what the copy wrote."""
    grid = HashGridSpec(levels=2, finest_resolution=32)
    table = torch.rand(grid.entries, 2, device="cuda")
    x = torch.zeros(1 << 20, 3, device="cuda")
    source = torch.rand(1 << 20, 3, device="cuda")
    kernels.hash_encode(source[:1], table, grid, backend=backend)  # compiled before
    torch.cuda.synchronize()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        torch.cuda._sleep(50_000_000)
        x.copy_(source)
        out = kernels.hash_encode(x, table, grid, backend=backend)
    stream.synchronize()
    torch.testing.assert_close(out, kernels.hash_encode(source, table, grid, backend="reference"), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("backend", BACKENDS)
def test_training_works(backend):
    """A few hundred steps of a fused field fit a smooth function: gradients, optimiser and fields work together."""
    grid = HashGridSpec(levels=4, base_resolution=4, finest_resolution=32, log2_table_size=12, interpolation="smoothstep")
    mlp = kernels.MLPSpec(grid.out_features, (32,), 1, "softplus", 10.0)
    torch.manual_seed(0)
    table = (torch.rand(grid.entries, 2, device="cuda") * 2e-4 - 1e-4).requires_grad_()
    params = (torch.randn(mlp.params, device="cuda") * 0.2).requires_grad_()
    states = [(p, torch.zeros_like(p), torch.zeros_like(p), torch.zeros(1, dtype=torch.int32, device="cuda")) for p in (table, params)]
    losses = []
    for _ in range(300):
        x = torch.rand(4096, 3, device="cuda")
        distance = (x - 0.5).norm(dim=1)
        out, gradient = kernels.fused_field(x, table, params, grid, mlp, order=1, backend=backend)
        loss = (out[:, 0] - distance + 0.3).square().mean() + 1e-3 * (gradient.norm(dim=1) - 1).square().mean()
        loss.backward()
        losses.append(loss.item())
        for p, m, v, steps in states:
            assert p.grad is not None
            kernels.adam_step(p, p.grad, m, v, steps, lr=1e-2, backend=backend)
            p.grad = None
    assert losses[-1] < 0.02 * losses[0]
