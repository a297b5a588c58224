"""tinycudann and nerfacc themselves, where they are installed and run on this GPU, against what stands in for them: ``pytest -s`` prints
the seconds of both."""

from __future__ import annotations

import importlib

import pytest
import torch
from gpu import needs_gpu
from test_benchmark import seconds

import kernels.compat.tinycudann as ours
from kernels.compat.nerfacc import native

pytestmark = [pytest.mark.gpu, needs_gpu]
GRID = {"otype": "HashGrid", "n_levels": 16, "log2_hashmap_size": 17, "base_resolution": 16, "per_level_scale": 1.3819}
MLP = {"otype": "FullyFusedMLP", "n_neurons": 64, "n_hidden_layers": 1}


def rival(name: str):
    """The package itself, or a skip that says why not."""
    try:
        return importlib.import_module(name)
    except (ImportError, OSError) as error:
        pytest.skip(f"{name} does not run here: {error}")


def test_a_field_of_tinycudann():
    theirs = rival("tinycudann").NetworkWithInputEncoding(3, 16, GRID, MLP, seed=7)
    mine = ours.NetworkWithInputEncoding(3, 16, GRID, MLP, seed=7)
    assert torch.allclose(mine.params.detach().cpu(), theirs.params.detach().cpu(), rtol=1e-6, atol=1e-10)
    with torch.no_grad():
        theirs.params.mul_(torch.where(torch.arange(len(theirs.params), device="cuda") < 3072, 1.0, 1e3))
        mine.params.copy_(theirs.params)
    x = torch.rand(1 << 16, 3, device="cuda")
    expected = theirs(x).float()
    assert (mine(x) - expected).abs().max() < 2e-2 * expected.abs().max()  # theirs is in half precision
    grads = []
    for module in (mine, theirs):
        module(x).float().square().sum().backward()
        grads.append(module.params.grad.float())
    assert torch.nn.functional.cosine_similarity(grads[0], grads[1], dim=0) > 0.99
    for name, module in (("ours", mine), ("tinycudann", theirs)):
        print(f"{name}: forward {seconds(lambda m=module: m(x)):.6f} s of {len(x)} points")


def test_walks_of_nerfacc():
    nerfacc = rival("nerfacc")
    if importlib.import_module("nerfacc.cuda._backend")._C in (None, native):
        pytest.skip("nerfacc has no extension of its own here")
    torch.manual_seed(0)
    origins = torch.randn(200, 3, device="cuda")
    directions = torch.nn.functional.normalize(torch.randn(200, 3, device="cuda"), dim=-1)
    boxes = torch.tensor([[-1.0, -1, -1, 1, 1, 1], [-2, -2, -2, 2, 2, 2]], device="cuda")
    occupied = torch.rand(2, 32, 32, 32, device="cuda") > 0.5
    _, expected, _ = nerfacc.traverse_grids(origins, directions, occupied, boxes, step_size=0.01)
    low, high, hits = nerfacc.ray_aabb_intersect(origins, directions, boxes)
    near, far = torch.zeros(200, device="cuda"), torch.full((200,), torch.inf, device="cuda")
    _, found = native.traverse_grids(origins, directions, occupied, boxes, low, high, hits, near, far, 0.01, 0.0, True, True)
    difference = (found.chunk_cnts - expected.packed_info[:, 1]).abs()
    assert difference.float().mean() < 0.01 * expected.packed_info[:, 1].float().mean()
