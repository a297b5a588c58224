"""From a fit's configuration to a field: sizes by budget, and construction."""

from __future__ import annotations

import torch

from recon.fields.base import FieldModule
from recon.fields.make import FieldUse, make_field
from recon.fit.config import FitConfig
from recon.methods.base import Method

START_RADIUS = 0.5
"""Shapes: radius of the sphere that a field which sees the position starts as; the others start near zero."""


def use_of(config: FitConfig, channels: int = 1, width: int = 1, height: int = 1) -> FieldUse:
    """What a fit's field is for.

    Args:
        config: Names the signal.
        channels, width, height: Of a picture.
    """
    if config.signal == "image":
        longer = max(width, height)
        return FieldUse(channels, dims=2, aspect=(width / longer, height / longer))
    return FieldUse(1)


def build_field(config: FitConfig, use: FieldUse) -> FieldModule:
    """A fresh field of the configured sizes, which have been chosen; the same configuration always gives the same bits."""
    generator = torch.Generator().manual_seed(config.seed)
    field = make_field(config, use, generator)
    if config.signal == "sdf" and field.can_be_sphere:
        field.init_sphere(START_RADIUS, generator)
    return field


def trained_numbers(model: torch.nn.Module | Method) -> int:
    """Numbers of a field, or of a whole method, that training changes."""
    return sum(p.numel() for p in model.parameters())


def stored_numbers(model: torch.nn.Module | Method) -> int:
    """Numbers of the whole model: also the centres and shapes of radial functions, which are placed and then kept."""
    return trained_numbers(model) + sum(getattr(part, "placed_numbers", 0) for part in model.modules())
