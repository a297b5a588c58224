"""What the training loop, the renderer and the exporters ask of a method."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from recon.fields.base import ParameterGroup
from recon.rendering.rays import Rays, Targets


@dataclass
class Losses:
    """One training step's outcome.

    Attributes:
        total: Scalar to minimise.
        terms: The weighted terms, detached.
        squared_error: Mean squared colour error of the batch, detached; gives the running PSNR.
        samples: Samples along rays that were evaluated with gradients.
        figures: Other numbers worth logging: beta, the share of rays whose error bound holds, ...
    """

    total: Tensor
    terms: dict[str, float]
    squared_error: float
    samples: int
    figures: dict[str, float] = field(default_factory=dict)


@dataclass
class Rendering:
    """What rays show. Distances along unit directions, scene units.

    Attributes:
        rgb: Colour over the background. [R, 3]
        opacity: 0 to 1. [R]
        depth: Expected distance of what is opaque, 0 where opacity is 0. [R]
        normal: Unit normal in scene axes weighted by opacity, zero where there is nothing; None for methods without a surface. [R, 3]
    """

    rgb: Tensor
    opacity: Tensor
    depth: Tensor
    normal: Tensor | None = None


class Method(Protocol):
    """What is rendered and which loss; a ``torch.nn.Module`` whose state is the whole model."""

    def losses(self, rays: Rays, targets: Targets, generator: torch.Generator) -> Losses:
        """Render rays for training and compare with the photographs."""
        ...

    def render(self, rays: Rays) -> Rendering:
        """Render rays without gradients and without randomness."""
        ...

    def refresh_occupancy(self, step: int, generator: torch.Generator) -> None:
        """Look again where there is something; called every ``occupancy_every`` steps."""
        ...

    def set_progress(self, share: float) -> None:
        """Tell the method how much of the run is done, 0 to 1 (coarse to fine)."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state_dict: dict[str, Tensor], strict: bool = True) -> object: ...
