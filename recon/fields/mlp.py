"""The coordinate network of VolSDF: positional encoding, 8 softplus layers with a skip, weight norm, geometric initialisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from recon.config.values import MLPConfig
from recon.fields.base import FieldModule, ParameterGroup


class MLPField(FieldModule):
    """VolSDF's geometry network (Yariv et al. 2021, supplementary; constants of the released settings).

    Args:
        config: Sizes.
        outputs: Number of values; the first is the signed distance or raw density.
        generator: Source of the initial values.
        dims: 2 or 3.
    """

    def __init__(self, config: MLPConfig, outputs: int, generator: torch.Generator, dims: int = 3):
        super().__init__()
        self.outputs = outputs
        self.skip = config.skip
        self.dims = dims
        encoded = dims * (1 + 2 * config.frequencies)
        self.register_buffer("frequencies", 2.0 ** torch.arange(config.frequencies), persistent=False)
        self.frequencies: Tensor
        widths = [encoded] + [config.width] * config.depth + [outputs]
        layers = []
        for i in range(len(widths) - 1):
            fan_in = widths[i]
            fan_out = widths[i + 1] - encoded if i + 1 == config.skip else widths[i + 1]
            layer = nn.Linear(fan_in, fan_out)
            with torch.no_grad():
                layer.weight.normal_(0.0, math.sqrt(2.0 / fan_out), generator=generator)
                layer.bias.zero_()
            layers.append(nn.utils.parametrizations.weight_norm(layer))
        self.layers = nn.ModuleList(layers)

    @property
    def can_be_sphere(self) -> bool:
        return True

    @torch.no_grad()
    def init_sphere(self, radius: float, generator: torch.Generator) -> None:
        """VolSDF's geometric initialisation: sines and cosines are not looked at, and the last layer adds up what grows outwards."""
        sines = len(self.frequencies) * 2 * self.dims
        for i, layer in enumerate(self.layers):
            # weight norm's direction, which at the start is the weight itself
            weight = layer.get_parameter("parametrizations.weight.original1").clone()
            if i == 0:
                weight[:, self.dims :] = 0.0
            elif i == self.skip:
                weight[:, -sines:] = 0.0
            elif i == len(self.layers) - 1:
                weight.normal_(math.sqrt(math.pi / weight.shape[1]), 1e-4, generator=generator)
                layer.get_parameter("bias").fill_(-radius)
            else:
                continue
            setattr(layer, "weight", weight)  # noqa: B010 a parametrized weight takes what it is given apart

    def values(self, points: Tensor, neighbors: Tensor | None = None) -> Tensor:
        return self._forward(points)

    def values_and_gradient(self, points: Tensor, neighbors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        keep_graph = torch.is_grad_enabled()
        with torch.enable_grad():
            x = points.detach().requires_grad_(True)
            values = self._forward(x)
            (gradient,) = torch.autograd.grad(values[:, 0].sum(), x, create_graph=keep_graph)
        return (values, gradient) if keep_graph else (values.detach(), gradient.detach())

    def _forward(self, points: Tensor) -> Tensor:
        angles = points[:, None, :] * self.frequencies[:, None]  # [N, frequencies, dims]
        encoded = torch.cat([points, torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(1)], dim=-1)
        h = encoded
        for i, layer in enumerate(self.layers):
            if i == self.skip:
                h = torch.cat([h, encoded], dim=-1) / math.sqrt(2.0)
            h = layer(h)
            if i < len(self.layers) - 1:
                h = nn.functional.softplus(h, beta=100)
        return h

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(name, p) for name, p in self.named_parameters()]
