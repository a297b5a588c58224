"""Multiresolution hash grid and a small MLP as one fused kernel (Instant-NGP, Mueller et al. 2022), with order-1 output for SDFs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import GridConfig, HashGridConfig
from recon.fields.base import FieldModule, ParameterGroup


class HashGridField(FieldModule):
    """Hash-grid encoding, optionally with the raw position beside it, through an MLP.

    Args:
        config: Grid and MLP sizes.
        outputs: Number of values.
        activation: "relu" for densities, "softplus" (beta 100) where the spatial gradient is used.
        include_input: Feed the position, scaled to [-1, 1], beside the encoding; needed by the sphere initialisation.
        generator: Source of the initial values.
        dims: 2 or 3.
    """

    def __init__(
        self,
        config: HashGridConfig,
        outputs: int,
        activation: Literal["relu", "softplus"],
        include_input: bool,
        generator: torch.Generator,
        dims: int = 3,
    ):
        super().__init__()
        self.grid = grid_spec(config, config.features, dims)
        inputs = self.grid.out_features + (dims if include_input else 0)
        self.mlp = kernels.MLPSpec(inputs=inputs, hidden=tuple(config.hidden), outputs=outputs, activation=activation, beta=100.0)
        self.outputs = outputs
        self.include_input = include_input
        self.active_levels = config.levels
        table = torch.empty(self.grid.entries, self.grid.features).uniform_(-1e-4, 1e-4, generator=generator)
        self.table = nn.Parameter(table)
        self.params = nn.Parameter(mlp_init(self.mlp, generator))

    def values(self, points: Tensor, neighbors: Tensor | None = None) -> Tensor:
        return kernels.fused_field(points * 0.5 + 0.5, self.table, self.params, self.grid, self.mlp, **self._options())

    def values_and_gradient(self, points: Tensor, neighbors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = points * 0.5 + 0.5
        values, gradient = kernels.fused_field(x, self.table, self.params, self.grid, self.mlp, order=1, **self._options())
        return values, 0.5 * gradient  # d/dpoint = d/dx * dx/dpoint

    def _options(self) -> dict[str, Any]:
        return {"include_input": self.include_input, "active_levels": self.active_levels}

    def hash_distance(self) -> kernels.HashDistance | None:
        if self.grid.dims != 3:
            return None
        (*hidden, (weight, bias)) = self.mlp.unpack(self.params.detach())  # the first value alone needs one row of the last layer
        rest = self.params.detach()[: sum(w.numel() + (0 if b is None else b.numel()) for w, b in hidden)]
        params = torch.cat([rest, weight[0]] if bias is None else [rest, weight[0], bias[:1]])
        mlp = replace(self.mlp, outputs=1)
        return kernels.HashDistance(self.table.detach(), params, self.grid, mlp, self.include_input, self.active_levels)

    @property
    def can_be_sphere(self) -> bool:
        return self.include_input

    def set_active_levels(self, share: float) -> None:
        self.active_levels = max(1, min(self.grid.levels, math.ceil(share * self.grid.levels - 1e-9)))

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup("table", self.table, sparse=True), ParameterGroup("params", self.params)]

    @torch.no_grad()
    def init_sphere(self, radius: float, generator: torch.Generator) -> None:
        """Make the first output the signed distance of a sphere, about (SAL's geometric initialisation; VolSDF's constants)."""
        init_sphere_mlp(self.mlp, self.params.data, radius, generator)


def grid_spec(config: GridConfig, features: int, dims: int) -> kernels.HashGridSpec:
    """A grid as the kernels take it."""
    return kernels.HashGridSpec(
        dims=dims,
        levels=config.levels,
        features=features,
        log2_table_size=config.log2_table_size,
        base_resolution=config.base_resolution,
        finest_resolution=config.finest_resolution,
        interpolation=config.interpolation,
    )


def mlp_init(spec: kernels.MLPSpec, generator: torch.Generator) -> Tensor:
    """He-uniform weights and zero biases, in the kernel's flat layout. [spec.params]"""
    params = torch.zeros(spec.params)
    for weight, _bias in spec.unpack(params):
        bound = math.sqrt(6.0 / weight.shape[1])
        weight.uniform_(-bound, bound, generator=generator)
    return params


def init_sphere_mlp(spec: kernels.MLPSpec, params: Tensor, radius: float, generator: torch.Generator) -> None:
    """Geometric initialisation in place: the network's first output is |x| - radius, about, x being its first inputs. [spec.params]"""
    layers = spec.unpack(params)
    for i, (weight, bias) in enumerate(layers):
        fan_out, fan_in = weight.shape
        assert bias is not None
        if i < len(layers) - 1:
            weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
            bias.zero_()
        else:
            weight[1:].normal_(0.0, math.sqrt(1.0 / fan_in), generator=generator)
            weight[0].normal_(math.sqrt(math.pi / fan_in), 1e-4, generator=generator)
            bias.zero_()
            bias[0] = -radius
