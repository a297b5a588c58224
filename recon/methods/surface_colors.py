"""Colour of a surface from position, normal, direction and feature: a small fused network, or VolSDF's own."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import VolSDFConfig
from recon.fields.base import ParameterGroup
from recon.fields.hashgrid import mlp_init
from recon.rendering.directions import spherical_harmonics

PAPER_WIDTH, PAPER_DEPTH, PAPER_FREQUENCIES = 256, 4, 4


class FastColors(nn.Module):
    """Spherical harmonics of the direction, a hash grid of its own, two layers of 64 in one fused kernel.

    The grid is what VolSDF's radiance network does not have: with it fine texture has a place of its own, and does not leave its print on
    the shape, whose grid and feature it would otherwise have to go through.

    Args:
        config: Its grid, and the length of the geometry field's feature.
        generator: Source of the initial values.
    """

    def __init__(self, config: VolSDFConfig, generator: torch.Generator):
        super().__init__()
        self.features = config.features
        self.grid, self.table, encoded = None, None, 0
        if config.color_levels:
            self.grid = kernels.HashGridSpec(
                dims=3,
                levels=config.color_levels,
                features=2,
                log2_table_size=config.color_log2_table_size,
                base_resolution=config.color_base_resolution,
                finest_resolution=config.color_finest_resolution,
            )
            encoded = self.grid.out_features
            self.table = nn.Parameter(torch.empty(self.grid.entries, 2).uniform_(-1e-4, 1e-4, generator=generator))
        self.spec = kernels.MLPSpec(
            inputs=3 + 3 + 16 + self.features + encoded, hidden=(64, 64), outputs=3, activation="relu", output_activation="sigmoid"
        )
        self.params = nn.Parameter(mlp_init(self.spec, generator))

    def forward(self, points: Tensor, gradient: Tensor, directions: Tensor, rays: Tensor, feature: Tensor) -> Tensor:
        harmonics = spherical_harmonics(directions).index_select(0, rays)
        inputs = [points, gradient, harmonics, feature]
        if self.grid is not None and self.table is not None:
            inputs.append(kernels.hash_encode(points.detach() * 0.5 + 0.5, self.table, self.grid))
        return kernels.field_mlp(torch.cat(inputs, -1), self.params, self.spec)

    def parameter_groups(self) -> list[ParameterGroup]:
        table = [] if self.table is None else [ParameterGroup("color.table", self.table, sparse=True)]
        return [*table, ParameterGroup("color", self.params)]


class PaperColors(nn.Module):
    """VolSDF's radiance network: 4 layers of 256 with ReLU and weight norm; direction encoded with 4 frequencies.

    Args:
        config: The length of the geometry field's feature, 256 in the paper.
        generator: Source of the initial values.
    """

    def __init__(self, config: VolSDFConfig, generator: torch.Generator):
        super().__init__()
        self.features = config.features
        self.register_buffer("frequencies", 2.0 ** torch.arange(PAPER_FREQUENCIES), persistent=False)
        self.frequencies: Tensor
        widths = [3 + 3 * (1 + 2 * PAPER_FREQUENCIES) + 3 + self.features, *[PAPER_WIDTH] * PAPER_DEPTH, 3]
        layers = []
        for fan_in, fan_out in pairwise(widths):
            layer = nn.Linear(fan_in, fan_out)
            bound = 1.0 / math.sqrt(fan_in)  # torch's own start, which the released code leaves as it is; here from the run's generator
            with torch.no_grad():
                layer.weight.uniform_(-bound, bound, generator=generator)
                layer.bias.uniform_(-bound, bound, generator=generator)
            layers.append(nn.utils.parametrizations.weight_norm(layer))
        self.layers = nn.ModuleList(layers)

    def forward(self, points: Tensor, gradient: Tensor, directions: Tensor, rays: Tensor, feature: Tensor) -> Tensor:
        angles = directions[:, None, :] * self.frequencies[:, None]  # [R, frequencies, 3]
        encoded = torch.cat([directions, torch.cat([angles.sin(), angles.cos()], -1).flatten(1)], -1)
        h = torch.cat([points, encoded.index_select(0, rays), gradient, feature], -1)
        for layer in self.layers[:-1]:
            h = torch.relu(layer(h))
        return torch.sigmoid(self.layers[-1](h))

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(f"color.{name}", p) for name, p in self.named_parameters()]
