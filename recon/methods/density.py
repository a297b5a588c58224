"""Density with view-dependent colour on a field: the whole of the radiance method inside the sphere, and the background outside it."""

from __future__ import annotations

from typing import Literal

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


HARMONICS = 16
"""Spherical harmonics up to degree 3, see :func:`~recon.rendering.directions.spherical_harmonics`."""
HeadName = Literal["network", "harmonics"]


def outputs_of(head: HeadName, features: int) -> int:
    """Values that a field must give for a head: the density, and a feature or the colour's coefficients."""
    return 1 + (features if head == "network" else 3 * HARMONICS)


class DensityModel(nn.Module):
    """sigma(x) and c(x, d): the field's first value is the raw density, the rest is for the colour.

    Args:
        field: Field over [-1, 1]^3 with :func:`outputs_of` values.
        generator: Source of the initial values.
        head: "network": the rest is a feature that a small network turns into the colour, with the encoded direction. "harmonics": the
            rest are coefficients, ``c_j = sigmoid(sum_k a_jk Y_k(d))``, 16 for each channel in turn, and there is no colour network (GNF,
            arXiv 2503.06762, radiance decoder of the released code; PlenOctrees before it).
    """

    def __init__(self, field: Field, generator: torch.Generator, head: HeadName = "network"):
        super().__init__()
        self.field = field
        self.head: HeadName = head
        self.color: nn.Parameter | None
        self.register_parameter("color", None)
        if head == "harmonics":
            assert field.outputs == outputs_of(head, 0)
            return
        self.color_spec = kernels.MLPSpec(
            inputs=HARMONICS + field.outputs, hidden=(64, 64), outputs=3, activation="relu", output_activation="sigmoid"
        )
        self.color = nn.Parameter(mlp_init(self.color_spec, generator))

    def density(self, points: Tensor) -> Tensor:
        """Density at field coordinates. [N, 3] -> [N]"""
        return density_activation(self.field.values(points)[:, 0])

    def forward(self, points: Tensor, harmonics: Tensor) -> tuple[Tensor, Tensor]:
        """Density [N] and colour [N, 3] at field coordinates [N, 3] for encoded view directions [N, 16]."""
        values = self.field.values(points)
        return density_activation(values[:, 0]), self.color_of(values, harmonics)

    def color_of(self, values: Tensor, harmonics: Tensor) -> Tensor:
        """Colour for the field's values [N, outputs] and encoded view directions [N, 16]. [N, 3]"""
        if self.color is None:
            coefficients = values[:, 1:].unflatten(1, (3, HARMONICS))
            return torch.sigmoid((coefficients * harmonics[:, None]).sum(-1))
        return kernels.field_mlp(torch.cat([harmonics, values], dim=-1), self.color, self.color_spec)

    def parameter_groups(self, prefix: str = "") -> list[ParameterGroup]:
        groups = [ParameterGroup(f"{prefix}field.{g.name}", g.tensor, g.lr_factor, g.sparse) for g in self.field.parameter_groups()]
        return groups if self.color is None else [*groups, ParameterGroup(f"{prefix}color", self.color)]
