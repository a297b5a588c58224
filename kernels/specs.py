"""What a hash grid and a multilayer perceptron are: sizes, offsets and parameter layout.

Every backend reads its geometry from here, so that a table trained by one is read by another.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Literal

import numpy as np
from torch import Tensor

from .errors import ArgumentError

Interpolation = Literal["linear", "smoothstep"]
Activation = Literal["relu", "softplus", "sigmoid", "none"]

ACTIVATIONS: tuple[Activation, ...] = ("none", "relu", "softplus", "sigmoid")


@dataclass(frozen=True)
class HashGridSpec:
    """Geometry of a multiresolution hash grid (Müller et al. 2022, "Instant Neural Graphics Primitives", section 3).

    Level ``l`` has ``scale_l = base * b**l - 1`` with ``b = (finest / base) ** (1 / (levels - 1))`` and
    ``ceil(scale_l) + 1`` vertices per axis. A point ``x`` in [0, 1] lies at ``x * scale_l + 0.5`` on it: the half cell staggers
    the levels (appendix A there). A level whose vertices fit into ``2**log2_table_size`` entries is stored densely, others are hashed.

    Args:
        dims: Dimensions of ``x``: 2 or 3.
        levels: Number of levels, 1 to 32.
        features: Features per entry: 1, 2, 4 or 8.
        log2_table_size: Largest number of entries of a level, as a power of two: 3 to 28.
        base_resolution: Vertices per axis of the coarsest level, at least 2.
        finest_resolution: Vertices per axis of the finest level, at least ``base_resolution`` and at most 2**20.
        interpolation: ``"linear"``, or ``"smoothstep"`` for a continuous first derivative.
        growth: Ratio ``b`` of the scales of neighbouring levels, at least 1, in the place of ``finest_resolution`` (which is then not
            used): ``scale_l`` is computed in float32, as programs do whose grids are described by a ratio.
    """

    dims: int = 3
    levels: int = 16
    features: int = 2
    log2_table_size: int = 19
    base_resolution: int = 16
    finest_resolution: int = 2048
    interpolation: Interpolation = "linear"
    growth: float | None = None

    def __post_init__(self):
        if self.dims not in (2, 3):
            raise ArgumentError(f"HashGridSpec.dims must be 2 or 3, not {self.dims}")
        if self.features not in (1, 2, 4, 8):
            raise ArgumentError(f"HashGridSpec.features must be 1, 2, 4 or 8, not {self.features}")
        if not 1 <= self.levels <= 32:
            raise ArgumentError(f"HashGridSpec.levels must be 1 to 32, not {self.levels}")
        if not 3 <= self.log2_table_size <= 28:
            raise ArgumentError(f"HashGridSpec.log2_table_size must be 3 to 28, not {self.log2_table_size}")
        if not 2 <= self.base_resolution <= self.finest_resolution <= 2**20:
            raise ArgumentError(
                "HashGridSpec needs 2 <= base_resolution <= finest_resolution <= 2**20, "
                f"not {self.base_resolution} and {self.finest_resolution}"
            )
        if self.interpolation not in ("linear", "smoothstep"):
            raise ArgumentError(f"HashGridSpec.interpolation must be 'linear' or 'smoothstep', not {self.interpolation!r}")
        if self.growth is not None and not (self.growth >= 1 and self.base_resolution * self.growth ** (self.levels - 1) <= 2**20 + 1):
            raise ArgumentError(
                f"HashGridSpec.growth must be at least 1 and lead to at most 2**20 vertices per axis, not {self.growth} over "
                f"{self.levels} levels from {self.base_resolution}"
            )

    @cached_property
    def scales(self) -> tuple[float, ...]:
        """Cells per unit length of each level, rounded to float32."""
        if self.growth is not None:
            log2 = np.float32(math.log2(np.float32(self.growth)))
            factors = np.exp2((np.arange(self.levels, dtype=np.float32) * log2).astype(np.float64)).astype(np.float32)
            return tuple(float(scale) for scale in factors * np.float32(self.base_resolution) - np.float32(1))
        log2_growth = math.log2(self.finest_resolution / self.base_resolution) / max(self.levels - 1, 1)
        return tuple(float(np.float32(2.0 ** (level * log2_growth) * self.base_resolution - 1.0)) for level in range(self.levels))

    @cached_property
    def resolutions(self) -> tuple[int, ...]:
        """Vertices per axis of each level."""
        return tuple(math.ceil(scale) + 1 for scale in self.scales)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Entries of each level: a multiple of 8."""
        return tuple(min(-(-(resolution**self.dims) // 8) * 8, 2**self.log2_table_size) for resolution in self.resolutions)

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        """First entry of each level, and the total at the end: ``levels + 1`` numbers."""
        result = [0]
        for size in self.sizes:
            result.append(result[-1] + size)
        return tuple(result)

    @cached_property
    def hashed(self) -> tuple[bool, ...]:
        """Whether a level is hashed (true) or dense (false)."""
        return tuple(size < resolution**self.dims for size, resolution in zip(self.sizes, self.resolutions))

    @property
    def entries(self) -> int:
        """Entries of all levels: the table has shape [entries, features]."""
        return self.offsets[-1]

    @property
    def out_features(self) -> int:
        """Length of the encoding of one point."""
        return self.levels * self.features

    def to_ints(self) -> list[int]:
        """The fields as integers, for operator schemas that take no objects. Inverse: :func:`grid_from_ints`."""
        return [
            self.dims,
            self.levels,
            self.features,
            self.log2_table_size,
            self.base_resolution,
            self.finest_resolution,
            int(self.interpolation == "smoothstep"),
            0 if self.growth is None else int(np.float64(self.growth).view(np.int64)),
        ]


@dataclass(frozen=True)
class MLPSpec:
    """A small multilayer perceptron, its parameters one flat vector ``W0, b0, W1, b1, ...`` (weights row-major, out x in).

    Args:
        inputs: Length of the input, 1 to 256.
        hidden: Width of each hidden layer, 1 to 256; empty for a single affine map.
        outputs: Length of the output, 1 to 256.
        activation: After every hidden layer: ``"relu"``, ``"softplus"`` (``log(1 + exp(beta x)) / beta``), ``"sigmoid"``, ``"none"``.
        beta: Sharpness of the softplus, positive.
        output_activation: ``"none"`` or ``"sigmoid"``.
        bias: Whether layers have biases.
    """

    inputs: int
    hidden: tuple[int, ...]
    outputs: int
    activation: Activation = "relu"
    beta: float = 100.0
    output_activation: Literal["none", "sigmoid"] = "none"
    bias: bool = True

    def __post_init__(self):
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if any(not 1 <= width <= 256 for width in self.widths):
            raise ArgumentError(f"MLPSpec widths must be 1 to 256, not {self.widths}")
        if len(self.hidden) > 8:
            raise ArgumentError(f"MLPSpec takes at most 8 hidden layers, not {len(self.hidden)}")
        if self.activation not in ACTIVATIONS:
            raise ArgumentError(f"MLPSpec.activation must be one of {ACTIVATIONS}, not {self.activation!r}")
        if self.output_activation not in ("none", "sigmoid"):
            raise ArgumentError(f"MLPSpec.output_activation must be 'none' or 'sigmoid', not {self.output_activation!r}")
        if not (math.isfinite(self.beta) and self.beta > 0):
            raise ArgumentError(f"MLPSpec.beta must be positive, not {self.beta}")

    @property
    def widths(self) -> tuple[int, ...]:
        """Inputs, hidden widths, outputs."""
        return (self.inputs, *self.hidden, self.outputs)

    @property
    def params(self) -> int:
        """Number of parameters."""
        widths = self.widths
        return sum((i + int(self.bias)) * o for i, o in pairwise(widths))

    def unpack(self, params: Tensor) -> list[tuple[Tensor, Tensor | None]]:
        """Views of the flat parameters as ``(weight [out, in], bias [out] or None)`` per layer."""
        layers: list[tuple[Tensor, Tensor | None]] = []
        start = 0
        for i, o in pairwise(self.widths):
            weight = params[start : start + i * o].view(o, i)
            start += i * o
            bias = params[start : start + o] if self.bias else None
            start += o if self.bias else 0
            layers.append((weight, bias))
        return layers

    def to_ints(self) -> list[int]:
        """The fields (without ``beta``) as integers. Inverse: :func:`mlp_from_ints`."""
        return [
            ACTIVATIONS.index(self.activation),
            ACTIVATIONS.index(self.output_activation),
            int(self.bias),
            *self.widths,
        ]


@lru_cache(maxsize=256)
def _grid(ints: tuple[int, ...]) -> HashGridSpec:
    growth = float(np.int64(ints[7]).view(np.float64)) if ints[7] else None
    return HashGridSpec(*ints[:6], interpolation="smoothstep" if ints[6] else "linear", growth=growth)


@lru_cache(maxsize=256)
def _mlp(ints: tuple[int, ...], beta: float) -> MLPSpec:
    activation, output_activation, bias, inputs, *hidden, outputs = ints
    return MLPSpec(
        inputs,
        tuple(hidden),
        outputs,
        ACTIVATIONS[activation],
        beta,
        "sigmoid" if ACTIVATIONS[output_activation] == "sigmoid" else "none",
        bool(bias),
    )


def grid_from_ints(ints: list[int]) -> HashGridSpec:
    """The specification that :meth:`HashGridSpec.to_ints` encoded (cached: level tables are computed once)."""
    return _grid(tuple(ints))


def mlp_from_ints(ints: list[int], beta: float) -> MLPSpec:
    """The specification that :meth:`MLPSpec.to_ints` encoded."""
    return _mlp(tuple(ints), beta)
