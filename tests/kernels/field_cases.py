"""Shared cases of the hash grid, network and fused field tests."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import kernels
from kernels import HashGridSpec, MLPSpec


def native_or_skip(op: str = "fused_field") -> None:
    usable, reason = kernels.backends.status(op, "cpu")
    if not usable:
        pytest.skip(reason)


GRIDS = {
    "dense_and_hashed": HashGridSpec(levels=5, features=2, log2_table_size=9, base_resolution=4, finest_resolution=40),
    "one_level": HashGridSpec(levels=1, features=1, log2_table_size=12, base_resolution=5, finest_resolution=5),
    "four_features": HashGridSpec(levels=3, features=4, log2_table_size=8, base_resolution=3, finest_resolution=17),
    "eight_features": HashGridSpec(levels=2, features=8, log2_table_size=7, base_resolution=4, finest_resolution=11),
    "smoothstep": HashGridSpec(
        levels=4, features=2, log2_table_size=9, base_resolution=4, finest_resolution=30, interpolation="smoothstep"
    ),
    "plane": HashGridSpec(dims=2, levels=4, features=2, log2_table_size=6, base_resolution=4, finest_resolution=30),
    "plane_smooth": HashGridSpec(
        dims=2, levels=3, features=4, log2_table_size=6, base_resolution=4, finest_resolution=20, interpolation="smoothstep"
    ),
}


def points(n: int, dims: int, spec: HashGridSpec, dtype: torch.dtype = torch.float64, seed: int = 0, margin: float = 1e-3) -> Tensor:
    """Random points in [0, 1], none within ``margin`` of a cell face of any level (there the gradient of a linear grid jumps)."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.empty(0, dims, dtype=torch.float64)
    while len(kept) < n:
        x = torch.rand(4 * n + 16, dims, generator=generator, dtype=torch.float32).double()
        position = x[:, None] * torch.tensor(spec.scales, dtype=torch.float64)[:, None] + 0.5
        kept = torch.cat([kept, x[((position - position.round()).abs() > margin).flatten(1).all(1)]])
    return kept[:n].to(dtype)


def parameters(grid: HashGridSpec, mlp: MLPSpec, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Table and network parameters in float64, of a size that puts activations in their curved part."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.rand(grid.entries, grid.features, generator=generator, dtype=torch.float64) * 2 - 1
    params = torch.empty(mlp.params, dtype=torch.float64)
    for weight, bias in mlp.unpack(params):
        weight.copy_(torch.randn(weight.shape, generator=generator, dtype=torch.float64) / weight.shape[1] ** 0.5)
        if bias is not None:
            bias.copy_(torch.randn(bias.shape, generator=generator, dtype=torch.float64) * 0.1)
    return table, params


def assert_close(actual: Tensor, expected: Tensor, tolerance: float) -> None:
    """Largest difference against the largest expected value (one scale per tensor: rounding errors of sums are absolute)."""
    actual, expected = actual.detach(), expected.detach()
    assert actual.shape == expected.shape
    if expected.numel() == 0:
        return
    scale = float(expected.abs().max()) + 1e-30
    error = float((actual.double() - expected.double()).abs().max()) / scale
    assert error < tolerance, f"relative error {error:.2e} of the largest value, allowed {tolerance:.0e}"
