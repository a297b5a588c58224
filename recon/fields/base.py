"""The one thing a field is asked for: values, and when wanted the spatial gradient of the first value, at points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor


@dataclass
class ParameterGroup:
    """A tensor to optimise and how.

    Attributes:
        name: Key of its optimiser state.
        tensor: The leaf tensor.
        lr_factor: Multiplies the run's learning rate.
        sparse: Rows whose gradient is zero are left alone, each row with its own step count (tables touched here and there).
    """

    name: str
    tensor: torch.nn.Parameter
    lr_factor: float = 1.0
    sparse: bool = False


class Field(Protocol):
    """A function R^3 -> R^C over the cube [-1, 1]^3 of scene units."""

    outputs: int

    def query(self, points: Tensor, order: int = 0) -> tuple[Tensor, Tensor | None]:
        """Values, and for order 1 the gradient of the first value.

        Args:
            points: Scene units, in [-1, 1]^3. [N, 3] float32
            order: 0 for values only, 1 for values and gradient.
        Returns:
            values [N, outputs] and gradient [N, 3] (None for order 0); both differentiable with respect to the parameters.
        """
        ...

    def set_active_levels(self, share: float) -> None:
        """Coarse to fine: use this share (0 to 1] of the field's levels; a field without levels ignores it."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]: ...
