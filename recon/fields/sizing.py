"""How many numbers a field has, and which sizes fit a budget."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

import kernels
from recon.config.values import HashGridConfig, MLPConfig, NeuRBFConfig, RBFNetConfig
from recon.errors import UsageError
from recon.fields.neurbf import neurbf_grid, shape_columns
from recon.fields.rbfnet import rbfnet_grid

T = TypeVar("T")

GRID_SHARE = {2: 0.26, 3: 0.56}
"""Largest share of a NeuRBF's budget that its grid gets; the shares of the paper's 256 x 256 images and of its shapes."""


@dataclass(frozen=True)
class NeuRBFSize:
    """Numbers in a NeuRBF field; centres and shapes are stored, but not trained."""

    functions: int
    trainable: int
    total: int


def neurbf_size(config: NeuRBFConfig, dims: int, outputs: int) -> NeuRBFSize:
    """Count a NeuRBF field without position input."""
    n = config.functions
    trainable = _neurbf_base(config, dims, outputs) + n * config.features
    return NeuRBFSize(n, trainable, trainable + n * (dims + shape_columns(config, dims)))


def _neurbf_base(config: NeuRBFConfig, dims: int, outputs: int) -> int:
    """Grid, network, and the bias on the features."""
    grid = neurbf_grid(config, dims)
    inputs = grid.out_features + config.features
    return grid.entries * grid.features + kernels.MLPSpec(inputs, tuple(config.hidden), outputs).params + inputs


def reference_size(dims: int, log2_table_size: int, finest: int, outputs: int) -> int:
    """Numbers of the Instant-NGP field that the paper compares with: 16 levels of 2 features from 16 to ``finest``, network 32-64-64-out.

    Resolutions are ``ceil(16 b^l)`` in floating point, as the paper's tables were counted: where ``16 b^l`` is a whole number, rounding
    can make it one more, so this is not always :func:`hashgrid_size` of the same sizes.
    """
    growth = float(np.exp2(np.log2(finest / 16) / 15))
    resolutions = [math.ceil(16 * growth**level) for level in range(16)]
    entries = sum(-(-min(r**dims, 2**log2_table_size) // 8) * 8 for r in resolutions)
    return 2 * entries + kernels.MLPSpec(32, (64, 64), outputs).params


def neurbf_by_reference(config: NeuRBFConfig, reference: int, dims: int, outputs: int) -> NeuRBFConfig:
    """The paper's rule: as many functions as make the field, with centres and shapes, as large as a reference.

    Args:
        config: Everything but the number of functions.
        reference: Numbers to match, see :func:`reference_size`.
        dims: 2 or 3.
        outputs: Number of values.
    """
    count = reference - _neurbf_base(config, dims, outputs)
    return replace(config, functions=count // (config.features + dims + shape_columns(config, dims)))


def neurbf_for(config: NeuRBFConfig, params: int, dims: int, outputs: int, finest: int) -> NeuRBFConfig:
    """Sizes of a NeuRBF field with at most ``params`` trained numbers, missing fewer than one function's.

    The grid gets at most :data:`GRID_SHARE` of them: in 2D its finest level is made coarser until it fits, and is never hashed; in 3D its
    tables are made smaller.

    Args:
        config: Everything but the sizes.
        params: Budget.
        dims: 2 or 3.
        outputs: Number of values.
        finest: Greatest useful resolution of the grid.
    Raises:
        UsageError: If the budget does not hold a network and a few functions.
    """
    budget = GRID_SHARE[dims] * params

    def numbers(c: NeuRBFConfig) -> int:
        grid = neurbf_grid(c, dims)
        return grid.entries * grid.features

    if dims == 2:
        base = min(config.base_resolution, finest)
        low, high = base, max(finest, base)
        while low < high:  # the largest resolution that fits
            middle = (low + high + 1) // 2
            fits = numbers(replace(config, log2_table_size=24, base_resolution=base, finest_resolution=middle)) <= budget
            low, high = (middle, high) if fits else (low, middle - 1)
        config = replace(config, log2_table_size=24, base_resolution=base, finest_resolution=low)
    else:
        sizes = [replace(config, log2_table_size=t, finest_resolution=finest) for t in range(8, 24)]
        config = next((c for c in reversed(sizes) if numbers(c) <= budget), sizes[0])
    functions = (params - _neurbf_base(config, dims, outputs)) // config.features
    if functions < 2 * config.neighbors:
        raise UsageError(f"{params} parameters are too few for this field", f"give at least {_neurbf_base(config, dims, outputs) * 2}")
    return replace(config, functions=functions)


def hashgrid_size(config: HashGridConfig, dims: int, outputs: int) -> int:
    """Trained numbers of a hash-grid field without position input; it has no others."""
    grid = _spec(config, dims)
    return grid.entries * grid.features + kernels.MLPSpec(grid.out_features, tuple(config.hidden), outputs).params


def hashgrid_for(config: HashGridConfig, params: int, dims: int, outputs: int, finest: int) -> HashGridConfig:
    """The largest hash-grid field within the budget, over table sizes and 8 to 16 levels."""
    config = replace(config, finest_resolution=max(finest, config.base_resolution))
    candidates = [replace(config, levels=levels, log2_table_size=t) for levels in range(8, 17) for t in range(4, 25)]
    return _largest([(hashgrid_size(c, dims, outputs), c) for c in candidates], params)


def rbfnet_size(config: RBFNetConfig, dims: int, outputs: int) -> int:
    """Trained numbers of an RBFNet field without position input; it has no others."""
    grid = rbfnet_grid(config, dims)
    width, neurons = grid.out_features, config.neurons
    return grid.entries * grid.features + 2 * neurons * width + outputs * (neurons + 1 + (width if config.linear else 0))


def rbfnet_for(config: RBFNetConfig, params: int, dims: int, outputs: int, finest: int) -> RBFNetConfig:
    """The largest RBFNet within the budget, over table sizes and up to twice as many levels down to half of them."""
    config = replace(config, finest_resolution=max(finest, config.base_resolution))
    levels = range(max(config.levels // 2, 1), min(config.levels * 2, 16) + 1)
    candidates = [replace(config, levels=n, log2_table_size=t) for n in levels for t in range(4, 25)]
    return _largest([(rbfnet_size(c, dims, outputs), c) for c in candidates], params)


def mlp_for(config: MLPConfig, params: int, dims: int, outputs: int) -> MLPConfig:
    """The widest coordinate network within the budget, at its depth."""
    candidates = [replace(config, width=width) for width in range(16, 4096, 4)]
    return _largest([(mlp_size(c, dims, outputs), c) for c in candidates], params)


def mlp_size(config: MLPConfig, dims: int, outputs: int) -> int:
    """Trained numbers of a coordinate network: weights, their lengths (weight norm), biases."""
    encoded = dims * (1 + 2 * config.frequencies)
    widths = [encoded, *[config.width] * config.depth, outputs]
    total = 0
    for i in range(len(widths) - 1):
        fan_out = widths[i + 1] - encoded if i + 1 == config.skip else widths[i + 1]
        total += fan_out * (widths[i] + 2)
    return total


def _spec(config: HashGridConfig, dims: int) -> kernels.HashGridSpec:
    return kernels.HashGridSpec(
        dims, config.levels, config.features, config.log2_table_size, config.base_resolution, config.finest_resolution, config.interpolation
    )


def _largest(sized: list[tuple[int, T]], params: int) -> T:
    """The largest candidate within the budget; of equals, the last."""
    fitting = [(size, i) for i, (size, _) in enumerate(sized) if size <= params]
    if not fitting:
        raise UsageError(f"{params} parameters are too few for this field", f"give at least {min(size for size, _ in sized)}")
    return sized[max(fitting)[1]][1]
