"""Grid encodings: our hash grid where it has the same geometry, plain torch for the rest (tiled, four dimensions, nearest entry)."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import kernels

from . import config as read
from .pcg32 import Pcg32

TYPES = ("Hash", "Dense", "Tiled")
INTERPOLATIONS = ("Linear", "Smoothstep", "Nearest")
PRIMES = {"CoherentPrime": (1, 2654435761, 805459861, 3674653429), "Prime": (1958374283, 2654435761, 805459861, 3674653429)}
_UINT32 = 0xFFFFFFFF
_FAR = 1000.0  # beyond it a point lies in no scene; vertices would leave the 32-bit integers


@dataclass(frozen=True)
class Level:
    """One level: cells per unit, vertices per axis, first entry, entries, whether they are addressed by a hash."""

    scale: float
    resolution: int
    offset: int
    size: int
    hashed: bool


@dataclass(frozen=True)
class GridEncoding:
    """A grid of features on several levels.

    Args:
        inputs: Dimensions, 2 to 4.
        features: Features per entry.
        levels: Geometry, coarsest first.
        interpolation, primes: See the configuration.
        spec: The same grid as a :class:`kernels.HashGridSpec`, where there is one: it is then evaluated by the kernels.
        settings: What it was configured with, defaults filled in.
    """

    inputs: int
    features: int
    levels: tuple[Level, ...]
    interpolation: str
    primes: tuple[int, ...]
    spec: kernels.HashGridSpec | None
    settings: dict[str, object]
    pad_value: float = 0.0

    @property
    def outputs(self) -> int:
        """Values per point."""
        return len(self.levels) * self.features

    @property
    def alignment(self) -> int:
        """The column at which it begins in a concatenation is a multiple of this."""
        return self.features

    @property
    def parameters(self) -> int:
        """Length of the table."""
        return (self.levels[-1].offset + self.levels[-1].size) * self.features

    def initial(self, rng: Pcg32) -> list[np.ndarray]:
        """Uniform in [-1e-4, 1e-4), in the order of a device whose every thread draws four numbers, strided by the number of threads."""
        threads = 128 * math.ceil(math.ceil(self.parameters / 4) / 128)
        start = rng.state
        draws = rng.uniform(4 * threads).reshape(threads, 4).T.ravel()[: self.parameters]
        rng.state = start
        rng.advance(self.parameters)
        return [draws * np.float32(2e-4) + np.float32(-1e-4)]

    def encode(self, x: Tensor, params: Tensor) -> Tensor:
        """[N, inputs] to [N, outputs]; differentiable twice to both."""
        table = params.view(-1, self.features)
        x = x.clamp(-_FAR, _FAR)
        if self.spec is not None:
            return kernels.hash_encode(x, table, self.spec)
        return torch.cat([self._level(x, table, level) for level in self.levels], 1)

    def _level(self, x: Tensor, table: Tensor, level: Level) -> Tensor:
        position = x * level.scale + 0.5
        cell = position.detach().floor()
        if self.interpolation == "Nearest":
            return table[self._rows(cell.long(), level)] + 0 * x[:, :1]
        u = position - cell
        if self.interpolation == "Smoothstep":
            u = u * u * (3 - 2 * u)
        corners = torch.tensor(list(itertools.product((0, 1), repeat=self.inputs)), device=x.device)
        weight = torch.where(corners.bool(), u[:, None], 1 - u[:, None]).prod(-1)
        return (weight[..., None] * table[self._rows(cell.long()[:, None] + corners, level)]).sum(1)

    def _rows(self, vertex: Tensor, level: Level) -> Tensor:
        vertex = vertex & _UINT32
        index = torch.zeros_like(vertex[..., 0])
        stride = 1
        for axis in range(self.inputs):
            if level.hashed:
                index = index ^ (vertex[..., axis] * self.primes[axis] & _UINT32)
            else:
                index = (index + vertex[..., axis] * stride) & _UINT32
                stride *= level.resolution
        return index % level.size + level.offset


def grid(inputs: int, config: read.Config, kind: str) -> GridEncoding:
    """The grid that a configuration describes.

    Args:
        inputs: Dimensions.
        config: ``n_levels`` 16 (or ``n_features``), ``n_features_per_level`` 2, ``log2_hashmap_size`` 19, ``base_resolution`` 16,
            ``per_level_scale`` 2.0 (dense: so that the finest has 256), ``interpolation`` Linear, ``hash`` CoherentPrime, ``type``.
        kind: The type where the configuration has none.
    Raises:
        CompatError: An option that is not supported.
    """
    if inputs not in (2, 3, 4):
        raise read.unsupported("Grid: number of input dimensions", inputs, [2, 3, 4])
    kind = read.choice("Grid", config, "type", kind, TYPES)
    features = read.integer("Grid", config, "n_features_per_level", 2, 1)
    if features not in (1, 2, 4, 8):
        raise read.unsupported("Grid.n_features_per_level", features, [1, 2, 4, 8])
    if "n_features" in config or "n_grid_features" in config:
        total = read.integer("Grid", config, "n_features" if "n_features" in config else "n_grid_features", 32, 1)
        if total % features:
            raise read.CompatError(f"Grid.n_features must be a multiple of n_features_per_level ({features}), not {total}")
        default_levels = total // features
    else:
        default_levels = 16
    n_levels = read.integer("Grid", config, "n_levels", default_levels, 1, 128)
    log2_size = read.integer("Grid", config, "log2_hashmap_size", 19, 1, 31)
    base = read.integer("Grid", config, "base_resolution", 16, 1, 1 << 20)
    dense_growth = math.exp(math.log(256 / base) / (n_levels - 1)) if kind == "Dense" and n_levels > 1 else 2.0
    growth = float(np.float32(read.number("Grid", config, "per_level_scale", dense_growth)))
    if growth <= 0:
        raise read.CompatError(f"Grid.per_level_scale must be positive, not {growth}")
    interpolation = read.choice("Grid", config, "interpolation", "Linear", INTERPOLATIONS)
    hashing = read.choice("Grid", config, "hash", "CoherentPrime", tuple(PRIMES))
    read.switched_off("Grid", config, "stochastic_interpolation", "fixed_point_pos")
    levels = _levels(inputs, kind, n_levels, log2_size, base, growth)
    settings: dict[str, object] = {
        "otype": "Grid",
        "type": kind,
        "n_levels": n_levels,
        "n_features_per_level": features,
        "base_resolution": base,
        "per_level_scale": growth,
        "interpolation": interpolation,
        "hash": hashing,
    }
    if kind == "Hash":
        settings["log2_hashmap_size"] = log2_size
    spec = _spec(inputs, kind, features, levels, log2_size, base, growth, interpolation) if hashing == "CoherentPrime" else None
    return GridEncoding(inputs, features, levels, interpolation, PRIMES[hashing], spec, settings)


def _levels(dims: int, kind: str, n_levels: int, log2_size: int, base: int, growth: float) -> tuple[Level, ...]:
    """Geometry of every level, scales in float32."""
    log2 = np.float32(math.log2(growth))
    factors = np.exp2((np.arange(n_levels, dtype=np.float32) * log2).astype(np.float64)).astype(np.float32)
    result, offset = [], 0
    for scale in factors * np.float32(base) - np.float32(1):
        resolution = math.ceil(scale) + 1
        if not 1 <= resolution < 1 << 24:
            raise read.CompatError(
                f"Grid: {resolution} vertices per axis on level {len(result)} of {n_levels}; at most 2**24 are supported"
            )
        size = -(-min(resolution**dims, _UINT32 // 2) // 8) * 8
        size = min(size, {"Dense": size, "Tiled": base**dims, "Hash": 1 << log2_size}[kind])
        result.append(Level(float(scale), resolution, offset, size, kind == "Hash" and size < resolution**dims))
        offset += size
    if offset > _UINT32:
        raise read.CompatError(f"Grid: {offset} entries; at most 2**32 are supported")
    return tuple(result)


def _spec(
    dims: int, kind: str, features: int, levels: tuple[Level, ...], log2_size: int, base: int, growth: float, interpolation: str
) -> kernels.HashGridSpec | None:
    """The grid in our terms, or none where ours has no such geometry: decided by comparing them level by level."""
    try:
        spec = kernels.HashGridSpec(
            dims=dims,
            levels=len(levels),
            features=features,
            log2_table_size=log2_size if kind == "Hash" else 28,
            base_resolution=base,
            interpolation="smoothstep" if interpolation == "Smoothstep" else "linear",
            growth=growth,
        )
    except kernels.ArgumentError:
        return None
    ours = tuple(Level(*level) for level in zip(spec.scales, spec.resolutions, spec.offsets, spec.sizes, spec.hashed))
    return spec if ours == levels and interpolation != "Nearest" else None
