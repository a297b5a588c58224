"""From a fit's configuration to a field: sizes by budget, and construction."""

from __future__ import annotations

from dataclasses import replace

import torch

from recon.fields.hashgrid import HashGridField
from recon.fields.mlp import MLPField
from recon.fields.neurbf import NeuRBFField
from recon.fields.rbfnet import RBFNetField
from recon.fields.sizing import hashgrid_for, mlp_for, neurbf_for, rbfnet_for
from recon.fit.config import FitConfig

FitField = HashGridField | NeuRBFField | RBFNetField | MLPField
START_RADIUS = 0.5
"""Shapes: radius of the sphere that the coordinate network starts as; the other fields start near zero."""


def sized(config: FitConfig, dims: int, outputs: int, finest: int | None) -> FitConfig:
    """Choose the sizes of the configured field so that it has at most ``config.params`` trained numbers, and nearly that many.

    Args:
        config: Its field's sizes are replaced.
        dims, outputs: Of the signal.
        finest: Greatest resolution that the signal can use (half of a picture's longer side); None: as configured.
    Raises:
        UsageError: If the budget is too small.
    """
    n = config.params
    if config.field == "mlp":
        return replace(config, mlp=mlp_for(config.mlp, n, dims, outputs))
    if config.field == "neurbf":
        return replace(config, neurbf=neurbf_for(config.neurbf, n, dims, outputs, finest or config.neurbf.finest_resolution))
    if config.field == "rbfnet":
        return replace(config, rbfnet=rbfnet_for(config.rbfnet, n, dims, outputs, finest or config.rbfnet.finest_resolution))
    return replace(config, hashgrid=hashgrid_for(config.hashgrid, n, dims, outputs, finest or config.hashgrid.finest_resolution))


def build_field(config: FitConfig, dims: int, outputs: int, aspect: tuple[float, ...] | None) -> FitField:
    """A fresh field of the configured sizes; the same configuration always gives the same bits.

    Args:
        config: Its sizes have been chosen.
        dims, outputs: Of the signal.
        aspect: Sides of a picture relative to the longer one; None for shapes.
    """
    generator = torch.Generator().manual_seed(config.seed)
    if config.field == "mlp":
        return MLPField(config.mlp, outputs, START_RADIUS if config.signal == "sdf" else None, generator, dims)
    if config.field == "neurbf":
        return NeuRBFField(config.neurbf, outputs, "relu", include_input=False, generator=generator, dims=dims, aspect=aspect)
    if config.field == "rbfnet":
        return RBFNetField(config.rbfnet, outputs, include_input=False, generator=generator, dims=dims)
    return HashGridField(config.hashgrid, outputs, "relu", include_input=False, generator=generator, dims=dims)


def trained_numbers(model: torch.nn.Module) -> int:
    """Numbers of a field, or of a whole method, that training changes."""
    return sum(p.numel() for p in model.parameters())


def stored_numbers(model: torch.nn.Module) -> int:
    """Numbers of the whole model: also the centres and shapes of radial functions, which are placed and then kept."""
    functions = [m for m in model.modules() if isinstance(m, NeuRBFField)]
    return trained_numbers(model) + sum(m.centers.numel() + m.shapes.numel() for m in functions)
