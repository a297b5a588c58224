"""Activation functions of networks, by name."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

SHARPNESS = 10.0  # of softplus and squareplus


def _squareplus(x: Tensor) -> Tensor:
    scaled = x * SHARPNESS
    return (scaled + torch.sqrt(scaled * scaled + 4)) / (2 * SHARPNESS)


def _softplus(x: Tensor) -> Tensor:
    scaled = x * SHARPNESS
    return torch.logaddexp(scaled, torch.zeros_like(scaled)) / SHARPNESS


ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "None": lambda x: x,
    "ReLU": torch.relu,
    "LeakyReLU": lambda x: functional.leaky_relu(x, 0.01),
    "SiLU": functional.silu,
    "Exponential": torch.exp,
    "Sigmoid": torch.sigmoid,
    "Sine": torch.sin,
    "Squareplus": _squareplus,
    "Softplus": _softplus,
    "Tanh": torch.tanh,
}
