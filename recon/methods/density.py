"""Density with view-dependent colour on a field: the whole of the radiance method inside the sphere, and the background outside it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import kernels
from recon.fields.base import Field, ParameterGroup
from recon.fields.hashgrid import mlp_init


class _TruncatedExp(torch.autograd.Function):
    """exp whose gradient stays finite: exp(clamp(x, -15, 15)) in backward (Instant-NGP)."""

    @staticmethod
    def forward(ctx, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return torch.exp(x.clamp_max(15.0))

    @staticmethod
    def backward(ctx, *grads: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grads[0] * torch.exp(x.clamp(-15.0, 15.0))


def density_activation(raw: Tensor) -> Tensor:
    """exp(raw - 1): slightly below 1 at the start, so that a new field is nearly transparent over a step."""
    return _TruncatedExp.apply(raw - 1.0)  # pyright: ignore[reportReturnType]


class DensityModel(nn.Module):
    """sigma(x) and c(x, d): the field's first value is the raw density, the rest a feature for the colour network.

    Args:
        field: Field with 1 + F outputs over [-1, 1]^3.
        generator: Source of the initial values.
    """

    def __init__(self, field: Field, generator: torch.Generator):
        super().__init__()
        self.field = field
        self.color_spec = kernels.MLPSpec(
            inputs=16 + field.outputs, hidden=(64, 64), outputs=3, activation="relu", output_activation="sigmoid"
        )
        self.color = nn.Parameter(mlp_init(self.color_spec, generator))

    def density(self, points: Tensor) -> Tensor:
        """Density at field coordinates. [N, 3] -> [N]"""
        return density_activation(self.field.query(points)[0][:, 0])

    def forward(self, points: Tensor, harmonics: Tensor) -> tuple[Tensor, Tensor]:
        """Density [N] and colour [N, 3] at field coordinates [N, 3] for encoded view directions [N, 16]."""
        values, _ = self.field.query(points)
        rgb = kernels.field_mlp(torch.cat([harmonics, values], dim=-1), self.color, self.color_spec)
        return density_activation(values[:, 0]), rgb

    def parameter_groups(self, prefix: str = "") -> list[ParameterGroup]:
        groups = [ParameterGroup(f"{prefix}field.{g.name}", g.tensor, g.lr_factor, g.sparse) for g in self.field.parameter_groups()]
        return [*groups, ParameterGroup(f"{prefix}color", self.color)]
