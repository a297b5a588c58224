"""From a configuration to a model: the one place where methods meet fields."""

from __future__ import annotations

import torch

from recon.config.values import RunConfig
from recon.errors import UsageError
from recon.fields.base import Field
from recon.fields.hashgrid import HashGridField
from recon.fields.mlp import MLPField
from recon.fields.neurbf import NeuRBFField
from recon.fields.rbfnet import RBFNetField
from recon.methods.background import Background, BackgroundKind
from recon.methods.density import outputs_of
from recon.methods.nef import NEF
from recon.methods.nef_network import EdgeModel, FieldEdges, NEFNetwork
from recon.methods.radiance import Radiance
from recon.methods.volsdf import VolSDF


def build_method(config: RunConfig, background_kind: BackgroundKind, train_views: int = 1) -> VolSDF | Radiance | NEF:
    """A freshly initialised model; the same configuration always gives the same bits.

    Args:
        config: The run's configuration.
        background_kind: ``Scene.background`` of the data it will be trained on.
        train_views: Number of photographs that it will be trained on; matters where each has an exposure of its own.
    Raises:
        UsageError: For a solid shell around images that are transparent or show one colour around the object.
    """
    generator = torch.Generator().manual_seed(config.seed)
    if config.method == "volsdf" and config.volsdf.shell_radius is not None and background_kind != "unknown":
        raise UsageError(
            "volsdf.shell_radius puts a solid wall behind the object, but these images say what is behind it (alpha, masks or one colour)",
            "drop the setting, or ignore masks with --no-masks",
        )
    within_shell = config.method == "volsdf" and config.volsdf.shell_radius is not None
    learnt = background_kind == "unknown" and config.method != "nef" and not within_shell
    background = Background(config.background, generator) if learnt else None
    resolution = config.train.occupancy_resolution
    if config.method == "volsdf":
        field = _sdf_field(config, generator)
        return VolSDF(config.volsdf, field, background_kind, background, resolution, train_views, generator)
    if config.method == "nef":
        model = _edge_model(config, generator)
        coarse = _edge_model(config, generator) if config.nef.sampling == "hierarchical" else None
        return NEF(config.nef, model, coarse, resolution)
    field = _density_field(config, outputs_of(config.radiance.head, config.radiance.features), generator)
    return Radiance(config.radiance, field, background_kind, background, resolution, generator)


def _sdf_field(config: RunConfig, generator: torch.Generator) -> Field:
    outputs, radius = 1 + config.volsdf.features, config.volsdf.init_radius
    if config.field == "mlp":
        return MLPField(config.mlp, outputs, radius, generator)
    if config.field == "neurbf":
        field = NeuRBFField(config.neurbf, outputs, "softplus", include_input=True, generator=generator)
    elif config.field == "rbfnet":
        field = RBFNetField(config.rbfnet, outputs, include_input=True, generator=generator)
    else:
        field = HashGridField(config.hashgrid, outputs, "softplus", include_input=True, generator=generator)
    field.init_sphere(radius, generator)
    return field


def _edge_model(config: RunConfig, generator: torch.Generator) -> EdgeModel:
    """NEF's own network where a coordinate network is asked for, else the field with a small head."""
    if config.field == "mlp":
        return NEFNetwork(config.mlp, generator)
    return FieldEdges(_density_field(config, 1 + config.nef.features, generator), generator)


def _density_field(config: RunConfig, outputs: int, generator: torch.Generator) -> Field:
    if config.field == "mlp":
        return MLPField(config.mlp, outputs, None, generator)
    if config.field == "neurbf":
        return NeuRBFField(config.neurbf, outputs, "relu", include_input=False, generator=generator)
    if config.field == "rbfnet":
        return RBFNetField(config.rbfnet, outputs, include_input=False, generator=generator)
    return HashGridField(config.hashgrid, outputs, "relu", include_input=False, generator=generator)
