"""Blocks that come back: never while something refers to them, never with what was in them before."""

from __future__ import annotations

import pytest
import torch

import kernels.compat.tinycudann as tcnn
from kernels.compat.tinycudann import memory

COUNT = memory.SMALLEST + 5
GRID = {"otype": "HashGrid", "n_levels": 8, "log2_hashmap_size": 15, "base_resolution": 16, "per_level_scale": 1.7}
MLP = {"otype": "FullyFusedMLP", "n_neurons": 16, "n_hidden_layers": 1}


@pytest.fixture(autouse=True)
def nothing_waits():
    tcnn.free_temporary_memory()
    yield
    tcnn.free_temporary_memory()


KEEPERS = {
    "itself": lambda t: t,
    "a part": lambda t: t[3:9],
    "an array": lambda t: t.numpy(),
    "detached": lambda t: t.detach(),
    "of another shape": lambda t: t.view(-1, 1),
}


@pytest.mark.parametrize("keeper", KEEPERS)
def test_a_block_waits_when_nothing_refers_to_it(keeper):
    like = torch.zeros(1)
    one = memory.block(like, (COUNT,))
    where = one.data_ptr()
    assert where % 64 == 0
    kept = KEEPERS[keeper](one)
    del one
    other = memory.block(like, (COUNT,))
    assert other.data_ptr() != where
    del kept
    again = memory.block(like, (COUNT // 5, 5))
    assert (again.data_ptr(), again.shape) == (where, (COUNT // 5, 5))
    del again, other
    assert len(memory._waiting) == 2
    tcnn.free_temporary_memory()
    assert memory._waiting == []


def test_no_more_wait_than_are_kept_and_none_is_far_too_large():
    like = torch.zeros(1)
    several = [memory.block(like, (COUNT,)) for _ in range(memory.KEPT + 3)]
    assert len({t.data_ptr() for t in several}) == len(several)
    several.clear()
    assert len(memory._waiting) == memory.KEPT
    assert memory.block(like, (3 * COUNT,)).numel() == 3 * COUNT
    large = memory.block(like, (9 * COUNT,)).data_ptr()
    assert memory.block(like, (COUNT,)).data_ptr() != large


@pytest.mark.parametrize("shape", [(0,), (7, 3)])
def test_small_ones_and_other_types_are_torchs(shape):
    assert memory.block(torch.zeros(1), shape).untyped_storage().resizable()
    assert memory.block(torch.zeros(1, dtype=torch.float64), (COUNT,)).dtype == torch.float64
    assert memory._waiting == []


def test_gradients_that_are_held_stay_and_new_ones_start_at_zero():
    field = tcnn.NetworkWithInputEncoding(3, 4, GRID, MLP)
    assert field.params.numel() > memory.SMALLEST
    x, other = torch.rand(2, 1000, 3).unbind(0)

    def gradient(points):
        field.params.grad = None
        field(points).square().sum().backward()
        return field.params.grad

    held = gradient(x)
    copy, where = held.clone(), held.data_ptr()
    assert gradient(other).data_ptr() != where
    assert torch.equal(held, copy)
    del held
    for _ in range(3):
        assert torch.equal(gradient(x), copy)
    field(x).square().sum().backward()  # added to the one that is there
    assert torch.allclose(field.params.grad, 2 * copy)


def test_what_a_forward_pass_keeps_outlives_others():
    """Points beyond one group of the kernels; two passes before the first is differentiated, and one without gradients. The gradient of
    all is the sum of those of few, each of which the other tests compare with float64."""
    field = tcnn.NetworkWithInputEncoding(3, 4, GRID | {"log2_hashmap_size": 10}, MLP)
    x = torch.rand(2, 60_000, 3, generator=torch.Generator().manual_seed(0))
    assert x.shape[1] * 16 > memory.SMALLEST > 6_000 * 16
    outs = [field(x[0]), field(x[1])]
    with torch.no_grad():
        field(x[1])
    for out, points in zip(outs, x):
        found = torch.autograd.grad(out.square().sum(), field.params)[0]
        parts = [torch.autograd.grad(field(part).square().sum(), field.params)[0].double() for part in points.split(6_000)]
        expected = torch.stack(parts).sum(0)
        assert float((found - expected).abs().max()) < 1e-5 * float(expected.abs().max())
