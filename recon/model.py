"""From a configuration to a model: the one table from a method's name to its class."""

from __future__ import annotations

import torch

from recon.config.values import MethodName, RunConfig
from recon.data.scene import BackgroundKind
from recon.methods.base import Method
from recon.methods.nef import NEF
from recon.methods.radiance import Radiance
from recon.methods.volsdf import VolSDF

METHODS: dict[MethodName, type[Method]] = {"volsdf": VolSDF, "radiance": Radiance, "nef": NEF}


def build_method(config: RunConfig, background: BackgroundKind, train_views: int = 1) -> Method:
    """A freshly initialised model; the same configuration always gives the same bits.

    Args:
        config: The run's configuration.
        background: ``Scene.background`` of the data it will be trained on.
        train_views: Number of photographs that it will be trained on; matters where each has an exposure of its own.
    Raises:
        UsageError: If the configuration does not suit the data.
    """
    return METHODS[config.method].build(config, background, train_views, torch.Generator().manual_seed(config.seed))
