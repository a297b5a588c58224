"""What gives edge probability and grey value: NEF's own network, or any field with a small view-dependent head."""

from __future__ import annotations

import math
from typing import Protocol

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import MLPConfig
from recon.fields.base import Field, ParameterGroup
from recon.fields.hashgrid import mlp_init
from recon.rendering.directions import spherical_harmonics

START_LOGIT = -2.0
"""Logit of the edge probability of a new field: nearly transparent, so that the first rays see through the whole object."""


class EdgeModel(Protocol):
    """e(x) in (0, 1), the same from everywhere, and the grey value c(x, d) in (0, 1) that is rendered."""

    @property
    def field(self) -> Field | None:
        """What it stands on, None for a network of its own."""
        ...

    def edge(self, points: Tensor) -> Tensor:
        """Edge probability at scene points. [N, 3] -> [N]"""
        ...

    def edge_and_grey(self, points: Tensor, directions: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
        """Edge probability and grey value at the samples of rays; both differentiable to the parameters.

        Args:
            points: Scene units. [N, 3]
            directions: Unit directions of the rays. [R, 3]
            rays: The ray of every point. int64 [N]
        Returns:
            [N], [N]
        """
        ...

    def set_active_levels(self, share: float) -> None: ...

    def parameter_groups(self, prefix: str) -> list[ParameterGroup]: ...


class FieldEdges(nn.Module):
    """Edge probability = sigmoid of a field's first value; grey from its values and the direction.

    Args:
        field: Field with at least one output.
        generator: Source of the initial values.
    """

    def __init__(self, field: Field, generator: torch.Generator):
        super().__init__()
        self.field: Field = field
        self.grey_spec = kernels.MLPSpec(inputs=16 + field.outputs, hidden=(32,), outputs=1, activation="relu", output_activation="sigmoid")
        self.grey = nn.Parameter(mlp_init(self.grey_spec, generator))

    def edge(self, points: Tensor) -> Tensor:
        return torch.sigmoid(self.field.values(points)[:, 0] + START_LOGIT)

    def edge_and_grey(self, points: Tensor, directions: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
        values = self.field.values(points)
        inputs = torch.cat([spherical_harmonics(directions)[rays], values], dim=-1)
        grey = kernels.field_mlp(inputs, self.grey, self.grey_spec)[:, 0]
        return torch.sigmoid(values[:, 0] + START_LOGIT), grey

    def set_active_levels(self, share: float) -> None:
        self.field.set_active_levels(share)

    def parameter_groups(self, prefix: str) -> list[ParameterGroup]:
        groups = [ParameterGroup(f"{prefix}field.{g.name}", g.tensor, g.lr_factor, g.sparse) for g in self.field.parameter_groups()]
        return [*groups, ParameterGroup(f"{prefix}grey", self.grey)]


class NEFNetwork(nn.Module):
    """The coordinate network of NEF (Ye et al. 2023, released settings): 8 x 256 with a skip, 4 more layers and one of 128 for the grey.

    The encoding [x, sin(2^k x), cos(2^k x)] is taken of x = point / 2 + 1/2, which lies in [0, 1]^3 as the objects of ABC-NEF do.

    Args:
        config: Width, depth, skip and frequencies of the trunk.
        generator: Source of the initial values.
    """

    direction_frequencies = 4
    grey_layers = 4
    field: Field | None = None

    def __init__(self, config: MLPConfig, generator: torch.Generator):
        super().__init__()
        self.config = config
        width, encoded = config.width, 3 + 6 * config.frequencies
        sizes = [(encoded if i == 0 else width + encoded if i == config.skip else width, width) for i in range(config.depth)]
        self.trunk = nn.ModuleList([_linear(*size, generator) for size in sizes])
        self.edge_head = _linear(width, 1, generator)
        self.grey_trunk = nn.ModuleList([_linear(width, width, generator) for _ in range(self.grey_layers)])
        self.grey_hidden = _linear(width + 3 + 6 * self.direction_frequencies, width // 2, generator)
        self.grey_head = _linear(width // 2, 1, generator)

    def edge(self, points: Tensor) -> Tensor:
        return torch.sigmoid(self.edge_head(self._features(points)))[:, 0]

    def edge_and_grey(self, points: Tensor, directions: Tensor, rays: Tensor) -> tuple[Tensor, Tensor]:
        h = self._features(points)
        edge = torch.sigmoid(self.edge_head(h))[:, 0]
        for layer in self.grey_trunk:
            h = torch.relu(layer(h))
        h = torch.cat([h, positional_encoding(directions, self.direction_frequencies)[rays]], dim=-1)
        return edge, torch.sigmoid(self.grey_head(torch.relu(self.grey_hidden(h))))[:, 0]

    def _features(self, points: Tensor) -> Tensor:
        encoded = positional_encoding(points * 0.5 + 0.5, self.config.frequencies)
        h = encoded
        for i, layer in enumerate(self.trunk):
            h = torch.relu(layer(torch.cat([encoded, h], dim=-1) if i == self.config.skip else h))
        return h

    def set_active_levels(self, share: float) -> None:
        """It has no levels."""

    def parameter_groups(self, prefix: str) -> list[ParameterGroup]:
        return [ParameterGroup(f"{prefix}{name}", p) for name, p in self.named_parameters()]


def positional_encoding(x: Tensor, frequencies: int) -> Tensor:
    """[x, sin x, cos x, sin 2x, cos 2x, sin 4x, ...]. [N, C] -> [N, C (1 + 2 frequencies)]"""
    parts = [x]
    for k in range(frequencies):
        parts += [torch.sin(2.0**k * x), torch.cos(2.0**k * x)]
    return torch.cat(parts, dim=-1)


def _linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A layer with torch's usual start, uniform in +-1/sqrt(inputs), drawn from the run's own generator."""
    layer = nn.Linear(inputs, outputs)
    bound = 1.0 / math.sqrt(inputs)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
