"""The coordinate network of VolSDF: positional encoding, 8 softplus layers with a skip, weight norm, geometric initialisation."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from recon.config.values import MLPConfig
from recon.fields.base import ParameterGroup


class MLPField(nn.Module):
    """VolSDF's geometry network (Yariv et al. 2021, supplementary; constants of the released settings).

    Args:
        config: Sizes.
        outputs: Number of values; the first is the signed distance or raw density.
        radius: Radius of the sphere that the first value is the signed distance of at the start, scene units; None for a plain start.
        generator: Source of the initial values.
        dims: 2 or 3.
    """

    def __init__(self, config: MLPConfig, outputs: int, radius: float | None, generator: torch.Generator, dims: int = 3):
        super().__init__()
        self.outputs = outputs
        self.skip = config.skip
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
                if radius is not None:
                    if i == 0:
                        layer.weight[:, dims:] = 0.0
                    elif i == config.skip:
                        layer.weight[:, -(encoded - dims) :] = 0.0
                    elif i == len(widths) - 2:
                        layer.weight.normal_(math.sqrt(math.pi / fan_in), 1e-4, generator=generator)
                        layer.bias.fill_(-radius)
            layers.append(nn.utils.parametrizations.weight_norm(layer))
        self.layers = nn.ModuleList(layers)

    def query(self, points: Tensor, order: int = 0) -> tuple[Tensor, Tensor | None]:
        if order == 0:
            return self._forward(points), None
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

    def set_active_levels(self, share: float) -> None:
        """It has no levels."""

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup(name, p) for name, p in self.named_parameters()]
