"""The fields by name: the one table from a name to what builds it, and to what chooses its sizes for a budget."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeVar

import torch

from recon.config.values import FieldName, FieldsConfig
from recon.errors import UsageError
from recon.fields.base import FieldModule
from recon.fields.hashgrid import HashGridField
from recon.fields.mlp import MLPField
from recon.fields.neurbf import NeuRBFField
from recon.fields.rbfnet import RBFNetField
from recon.fields.sizing import hashgrid_for, mlp_for, neurbf_for, rbfnet_for

C = TypeVar("C", bound=FieldsConfig)


@dataclass(frozen=True)
class FieldUse:
    """What a field is built for.

    Attributes:
        outputs: Number of values.
        smooth: Its spatial gradient is used: an activation that has a second derivative.
        include_input: It sees the position beside its encoding, as the start from a sphere needs.
        dims: 2 or 3.
        aspect: Sides of a picture relative to the longer one; None for scenes and shapes.
    """

    outputs: int
    smooth: bool = False
    include_input: bool = False
    dims: int = 3
    aspect: tuple[float, ...] | None = None

    @property
    def activation(self) -> Literal["relu", "softplus"]:
        return "softplus" if self.smooth else "relu"


Build = Callable[[Any, FieldUse, torch.Generator], FieldModule]
"""From the field's own settings, its use and the source of its initial values."""
Size = Callable[[Any, int, FieldUse, int | None], Any]
"""From the field's own settings, a budget of trained numbers, its use and the finest resolution that the signal can use (None: as
configured) to settings of that size."""

FIELDS: dict[FieldName, tuple[Build, Size]] = {
    "hashgrid": (
        lambda c, u, g: HashGridField(c, u.outputs, u.activation, u.include_input, g, u.dims),
        lambda c, n, u, finest: hashgrid_for(c, n, u.dims, u.outputs, finest or c.finest_resolution),
    ),
    "neurbf": (
        lambda c, u, g: NeuRBFField(c, u.outputs, u.activation, u.include_input, g, u.dims, u.aspect),
        lambda c, n, u, finest: neurbf_for(c, n, u.dims, u.outputs, finest or c.finest_resolution),
    ),
    "rbfnet": (
        lambda c, u, g: RBFNetField(c, u.outputs, u.include_input, g, u.dims),
        lambda c, n, u, finest: rbfnet_for(c, n, u.dims, u.outputs, finest or c.finest_resolution),
    ),
    "mlp": (
        lambda c, u, g: MLPField(c, u.outputs, g, u.dims),
        lambda c, n, u, finest: mlp_for(c, n, u.dims, u.outputs),
    ),
}


def make_field(config: FieldsConfig, use: FieldUse, generator: torch.Generator, sphere: float | None = None) -> FieldModule:
    """A fresh field; the same configuration and generator always give the same bits.

    Args:
        config: Names the field and has its settings.
        use: What it is for.
        generator: Source of the initial values.
        sphere: Radius of the sphere whose signed distance the first value starts as, scene units; None for a plain start.
    Raises:
        UsageError: If a sphere is asked of a field that cannot start as one.
    """
    field = FIELDS[config.field][0](getattr(config, config.field), use, generator)
    if sphere is not None:
        if not field.can_be_sphere:
            raise UsageError(f"--field {config.field} cannot start as a sphere, as a surface does", "use --field hashgrid")
        field.init_sphere(sphere, generator)
    return field


def sized(config: C, params: int, use: FieldUse, finest: int | None = None) -> C:
    """The configuration with sizes of its field that have at most ``params`` trained numbers, and nearly that many.

    Args:
        config: Its field's sizes are replaced.
        params: Budget.
        use: What the field is for.
        finest: Greatest resolution that the signal can use (half of a picture's longer side); None: as configured.
    Raises:
        UsageError: If the budget is too small.
    """
    settings = FIELDS[config.field][1](getattr(config, config.field), params, use, finest)
    return replace(config, **{config.field: settings})  # pyright: ignore[reportArgumentType, reportCallIssue]
