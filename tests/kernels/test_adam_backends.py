"""Adam against torch's own, and the choice of backends."""

from __future__ import annotations

import logging
import sys

import pytest
import torch
from field_cases import assert_close, native_or_skip

import kernels
from kernels import ArgumentError, BackendError, adam_step


@pytest.fixture(params=["reference", "cpu"])
def backend(request):
    if request.param == "cpu":
        native_or_skip("adam_step")
    return request.param


def state(shape, dtype=torch.float32, rows=False):
    generator = torch.Generator().manual_seed(0)
    param = torch.randn(shape, generator=generator).to(dtype)
    count = shape[0] if rows else 1
    return param, torch.zeros_like(param), torch.zeros_like(param), torch.zeros(count, dtype=torch.int32)


@pytest.mark.parametrize("shape", [(1,), (7,), (100003,), (33, 2), (10, 3, 4)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matches_torch(shape, dtype, backend):
    param, m, v, steps = state(shape, dtype)
    theirs = param.clone().requires_grad_()
    optimiser = torch.optim.Adam([theirs], lr=1e-2, betas=(0.9, 0.99), eps=1e-15, weight_decay=0.1)
    for step in range(5):
        grad = torch.randn(shape, generator=torch.Generator().manual_seed(step), dtype=torch.float64).to(dtype)
        theirs.grad = grad.clone()
        optimiser.step()
        adam_step(param, grad, m, v, steps, lr=1e-2, weight_decay=0.1, backend=backend)
    assert int(steps) == 5
    assert_close(param, theirs.detach(), 1e-5 if dtype == torch.float32 else 1e-10)


@pytest.mark.parametrize("features", [1, 2, 4, 8])
def test_untouched_rows_are_left_alone(features, backend):
    rows = 5000
    param, m, v, steps = state((rows, features), rows=True)
    dense, dm, dv = param.double(), m.double(), v.double()
    counts = torch.zeros(rows)
    for step in range(4):
        generator = torch.Generator().manual_seed(step)
        touched = torch.rand(rows, generator=generator) < 0.2
        grad = torch.randn(rows, features, generator=generator) * touched[:, None]
        if features > 1:
            grad[:, 0] = 0  # a row counts as touched by any of its features
        touched = grad.any(1)
        before = param.clone()
        adam_step(param, grad, m, v, steps, lr=1e-2, skip_zero=True, backend=backend)
        assert torch.equal(param[~touched], before[~touched])
        generator = torch.Generator().manual_seed(step)
        torch.rand(rows, generator=generator)
        g = (torch.randn(rows, features, generator=generator) * touched[:, None]).double()
        if features > 1:
            g[:, 0] = 0
        counts += touched
        t = counts[touched, None].double()
        dm[touched] = 0.9 * dm[touched] + 0.1 * g[touched]
        dv[touched] = 0.99 * dv[touched] + 0.01 * g[touched] ** 2
        dense[touched] -= 1e-2 * (1 - 0.99**t).sqrt() / (1 - 0.9**t) * dm[touched] / (dv[touched].sqrt() + 1e-15)
    assert torch.equal(steps, counts.int())
    assert_close(param, dense, 1e-5)


def test_adam_refuses_wrong_arguments(backend):
    param, m, v, steps = state((6, 2))
    grad = torch.zeros(6, 2)
    with pytest.raises(ArgumentError, match="steps"):
        adam_step(param, grad, m, v, steps, lr=1.0, skip_zero=True, backend=backend)
    with pytest.raises(ArgumentError, match="steps"):
        adam_step(param, grad, m, v, steps.float(), lr=1.0, backend=backend)
    with pytest.raises(ArgumentError, match="contiguous"):
        adam_step(param, torch.zeros(2, 6).t(), m, v, steps, lr=1.0, backend=backend)
    with pytest.raises(ArgumentError, match="exp_avg"):
        adam_step(param, grad, m.double(), v, steps, lr=1.0, backend=backend)
    with pytest.raises(ArgumentError, match="betas"):
        adam_step(param, grad, m, v, steps, lr=1.0, betas=(0.9, 1.0), backend=backend)


def test_forced_backends(monkeypatch):
    assert kernels.backend("fused_field", "cpu", "reference") == "reference"
    with pytest.raises(BackendError, match="cuda"):
        kernels.backend("fused_field", "cpu", "cuda")
    with pytest.raises(BackendError, match="no backend 'fast'"):
        kernels.backend("fused_field", "cpu", "fast")
    with pytest.raises(BackendError, match="no op 'paint'"):
        kernels.backend("paint")
    monkeypatch.setenv("FORMFIELD_BACKEND", "reference")
    assert {row["backend"] for row in kernels.backend_report()} == {"reference"}
    monkeypatch.setenv("FORMFIELD_BACKEND", "cuda")
    with pytest.raises(BackendError, match="FORMFIELD_BACKEND"):
        kernels.backend("adam_step")


def test_missing_extension_is_said_once_and_refused_when_forced(monkeypatch, caplog, request):
    monkeypatch.delenv("FORMFIELD_BACKEND", raising=False)
    monkeypatch.setitem(sys.modules, "kernels._native", None)
    for name in [n for n in sys.modules if n.startswith("kernels.backends.cpu")]:
        monkeypatch.delitem(sys.modules, name)
    kernels.backends._load.cache_clear()
    request.addfinalizer(kernels.backends._load.cache_clear)
    kernels.backends._warn_slow.cache_clear()
    with caplog.at_level(logging.WARNING):
        assert kernels.backend("fused_field") == "reference"
        assert kernels.backend("fused_field") == "reference"
    assert sum("slow reference" in record.message for record in caplog.records) == 1
    assert kernels.available_backends() == ("reference",)
    with pytest.raises(BackendError, match="pip install"):
        kernels.backend("fused_field", "cpu", "cpu")
    with pytest.raises(BackendError, match="not built"):
        kernels.backends.raw("cpu", "field", torch.zeros(1))


@pytest.mark.parametrize("backend", ["reference", "cpu"])
@pytest.mark.parametrize(
    ("shape", "skip_zero", "dtype"),
    [((100, 2), True, torch.float32), ((33, 3), True, torch.float32), ((50,), False, torch.float32), ((9, 2), True, torch.float64)],
)
def test_a_cleared_gradient_is_zero_and_the_step_the_same(shape, skip_zero, dtype, backend):
    if backend == "cpu":
        native_or_skip("adam_step")
    g = torch.Generator().manual_seed(0)
    results = []
    for clear in (False, True):
        g.manual_seed(0)
        param, grad = torch.randn(shape, generator=g, dtype=dtype), torch.randn(shape, generator=g, dtype=dtype)
        grad[::2] = 0.0
        m, v = torch.zeros(shape, dtype=dtype), torch.zeros(shape, dtype=dtype)
        steps = torch.zeros(shape[0] if skip_zero else 1, dtype=torch.int32)
        adam_step(param, grad, m, v, steps, lr=1e-2, skip_zero=skip_zero, clear_grad=clear, backend=backend)
        results.append((param, m, v, steps))
        assert bool((grad == 0).all()) == clear
    for a, b in zip(*results, strict=True):
        assert torch.equal(a, b)


def test_a_reused_gradient_is_the_one_that_was_handed_over():
    """The table's gradient of a second backward pass lies where the first one lay, and is right."""
    native_or_skip("adam_step")
    grid = kernels.HashGridSpec(levels=3, log2_table_size=9, finest_resolution=17)
    g = torch.Generator().manual_seed(0)
    table = torch.randn(grid.entries, 2, generator=g).requires_grad_()
    x = torch.rand(50, 3, generator=g)
    state = [torch.zeros(grid.entries, 2), torch.zeros(grid.entries, 2), torch.zeros(grid.entries, dtype=torch.int32)]

    def gradient() -> torch.Tensor:
        kernels.hash_encode(x, table, grid).sum().backward()
        grad, table.grad = table.grad, None
        assert grad is not None
        return grad

    first = gradient()
    wanted, place = first.clone(), first.data_ptr()
    adam_step(table.detach(), first, *state, lr=0.0, skip_zero=True, clear_grad=True)
    kernels.reuse_gradient(first)
    del first  # autograd copies what somebody else holds
    second = gradient()
    assert second.data_ptr() == place
    assert torch.equal(second, wanted)
    assert gradient().data_ptr() != place
