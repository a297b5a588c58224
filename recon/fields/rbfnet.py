"""Gaussian RBFNet: one dense layer of Gaussian neurons over a multi-scale grid feature (GNF, arXiv 2503.06762)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import RBFNetConfig
from recon.fields.base import FieldModule, ParameterGroup
from recon.fields.hashgrid import grid_spec

PROBES = 4096
"""Random points whose features tell where neurons belong and how wide they are."""


def rbfnet_grid(config: RBFNetConfig, dims: int) -> kernels.HashGridSpec:
    """The grid whose features the neurons see."""
    return grid_spec(config, config.features, dims)


class RBFNetField(FieldModule):
    """``y = W phi(F) + A F + b`` with ``phi_i = exp(-1/2 sum_j exp(l_ij) (F_j - c_ij)^2)`` and F = grid(x), or [x, grid(x)].

    Args:
        config: Sizes; ``init`` "paper" is the released initialisation (all neurons nearly alike), "default" puts centres on features of
            random points, with widths from the features' spread. ``linear`` adds the term A F.
        outputs: Number of values.
        include_input: Feed the position beside the grid's features; needed by the sphere initialisation.
        generator: Source of the initial values.
        dims: 2 or 3.
    """

    def __init__(self, config: RBFNetConfig, outputs: int, include_input: bool, generator: torch.Generator, dims: int = 3):
        super().__init__()
        self.config = config
        self.dims = dims
        self.outputs = outputs
        self.include_input = include_input
        self.grid = rbfnet_grid(config, dims)
        self.active_levels = config.levels
        width, neurons = self.grid.out_features + (dims if include_input else 0), config.neurons
        table = torch.empty(self.grid.entries, self.grid.features).uniform_(-1.0, 1.0, generator=generator)
        self.table = nn.Parameter(table * (1e-4 if config.init == "paper" else self._level_spread()[:, None]))
        bound = 1.0 / math.sqrt(neurons)
        self.weight = nn.Parameter(torch.empty(outputs, neurons).uniform_(-bound, bound, generator=generator))
        self.offset = nn.Parameter(torch.empty(outputs).uniform_(-bound, bound, generator=generator))
        self.centers = nn.Parameter(torch.empty(neurons, width).uniform_(-1e-4, 1e-4, generator=generator))
        self.log_betas = nn.Parameter(torch.zeros(neurons, width))
        self.linear = nn.Parameter(torch.zeros(outputs, width)) if config.linear else None
        if config.init == "default":
            self._spread_neurons(generator)

    def _level_spread(self) -> Tensor:
        """Start of table entries: smaller on finer levels, where what no sample ever touches would stay as noise. [entries]"""
        spread = torch.tensor([self.config.grid_init * self.grid.resolutions[0] / r for r in self.grid.resolutions])
        return spread.repeat_interleave(torch.tensor(self.grid.sizes))

    @torch.no_grad()
    def _spread_neurons(self, generator: torch.Generator) -> None:
        """Centres are features of random points; ``l = -log(width * variance)``, so that the mean exponent of a random pair is -1."""
        features = self._features(torch.rand(PROBES, self.dims, generator=generator) * 2.0 - 1.0)
        chosen = torch.randperm(PROBES, generator=generator)[torch.arange(self.config.neurons) % PROBES]
        self.centers.copy_(features[chosen])
        variance = features.var(0).clamp_min(self.config.least_spread**2)
        self.log_betas.copy_((-torch.log(features.shape[1] * variance)).expand_as(self.log_betas))

    @property
    def can_be_sphere(self) -> bool:
        return self.include_input

    def values(self, points: Tensor, neighbors: Tensor | None = None) -> Tensor:
        return self._decode(self._features(points))

    def values_and_gradient(self, points: Tensor, neighbors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = points.detach()
        features = self._features(x)
        values, slope = kernels.rbf_layer(features, self.centers, self.log_betas, self.weight, self.offset, order=1)
        if self.linear is not None:
            values, slope = values + features @ self.linear.T, slope + self.linear[0]
        width = self.dims if self.include_input else 0
        by_encoding = slope[:, width:]
        gradient = 0.5 * kernels.hash_encode_pullback(by_encoding, x * 0.5 + 0.5, self.table, self.grid, active_levels=self.active_levels)
        return values, gradient + slope[:, :width] if self.include_input else gradient

    def _features(self, points: Tensor) -> Tensor:
        encoded = kernels.hash_encode(points * 0.5 + 0.5, self.table, self.grid, active_levels=self.active_levels)
        return torch.cat([points, encoded], 1) if self.include_input else encoded

    def _decode(self, features: Tensor) -> Tensor:
        out = kernels.rbf_layer(features, self.centers, self.log_betas, self.weight, self.offset)
        return out if self.linear is None else out + features @ self.linear.T

    def set_active_levels(self, share: float) -> None:
        self.active_levels = max(1, min(self.grid.levels, math.ceil(share * self.grid.levels - 1e-9)))

    def parameter_groups(self) -> list[ParameterGroup]:
        dense = {"centers": self.centers, "log_betas": self.log_betas, "weight": self.weight, "offset": self.offset}
        if self.linear is not None:
            dense["linear"] = self.linear
        groups = [ParameterGroup(name, tensor, self.config.neuron_lr_factor) for name, tensor in dense.items()]
        return [ParameterGroup("table", self.table, sparse=True), *groups]

    @torch.no_grad()
    def init_sphere(self, radius: float, generator: torch.Generator) -> None:
        """Make the first output the signed distance of a sphere, by least squares in what is linear: W, A and b. Needs the position.

        The grid starts over near zero: its noise would make the surface rough before anything is learnt.
        """
        self.table.uniform_(-1e-4, 1e-4, generator=generator)
        if self.config.init == "default":
            self._spread_neurons(generator)
        points = torch.rand(PROBES, self.dims, generator=generator) * 2.0 - 1.0
        features = self._features(points)
        eye, zero = torch.eye(self.config.neurons), torch.zeros(self.config.neurons)
        phi = kernels.rbf_layer(features, self.centers, self.log_betas, eye, zero)
        columns = [phi, points.new_ones(PROBES, 1), *([features] if self.linear is not None else [])]
        basis = torch.cat(columns, 1).double()
        target = points.norm(dim=1).double() - radius
        ridge = 1e-6 * PROBES * torch.eye(basis.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(basis.T @ basis + ridge, basis.T @ target).float()
        neurons = self.config.neurons
        self.weight[0] = solution[:neurons]
        self.offset[0] = solution[neurons]
        if self.linear is not None:
            self.linear[0] = solution[neurons + 1 :]
