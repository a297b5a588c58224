"""beta, the scale of VolSDF's Laplace density, as it is learnt."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from recon.config.values import VolSDFConfig
from recon.fields.base import ParameterGroup


class LaplaceScale(nn.Module):
    """One learnt number and a floor below it.

    "log": ``exp(p) + floor``, with a floor that sinks while the field grows finer, and where silhouettes are known a ceiling for
    ``exp(p)`` that sinks too. A step changes beta by a share of itself, whatever its size. "absolute": ``|p| + beta_min``, VolSDF's own,
    for its slow learning rates: at the fast ones it collapses in a few hundred steps.
    """

    def __init__(self, config: VolSDFConfig):
        super().__init__()
        self.config = config
        self.value = nn.Parameter(torch.tensor([math.log(config.beta_init) if config.beta_learnt == "log" else config.beta_init]))
        self.first_floor = config.beta_floor
        self.last_ceiling: float | None = None
        self.floor = config.beta_floor if config.beta_learnt == "log" else config.beta_min

    def forward(self) -> Tensor:
        """beta, scene units; differentiable. [1]"""
        return (self.value.exp() if self.config.beta_learnt == "log" else self.value.abs()) + self.floor

    def number(self) -> float:
        """beta as a plain number."""
        return float(self.forward().detach())

    def set_progress(self, grown: float) -> None:
        """While ``grown`` goes from 0 to 1, sink the floor from where it started to beta_min, and the ceiling, if there is one, from
        beta_init to where it ends."""
        c = self.config
        if c.beta_learnt == "log":
            self.floor = self.first_floor * (c.beta_min / self.first_floor) ** grown
            if self.last_ceiling is not None:
                ceiling = c.beta_init * (self.last_ceiling / c.beta_init) ** grown
                self.value.data.clamp_(max=math.log(ceiling))

    def parameter_groups(self) -> list[ParameterGroup]:
        return [ParameterGroup("beta", self.value, self.config.beta_lr_factor)]
