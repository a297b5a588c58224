"""What a field is asked for: values, and when wanted the spatial gradient of the first value, at points; and how it starts and grows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

import kernels


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
    """A function R^D -> R^C over the square or cube [-1, 1]^D of scene units."""

    outputs: int
    functions: int
    """Number of radial functions that are placed where the signal has detail; 0 for a field without such."""
    neighbors: int
    """How many of them count at a point."""
    placed_numbers: int
    """Numbers of the model that are placed and not trained: centres and shapes of the functions."""

    def values(self, points: Tensor, neighbors: Tensor | None = None) -> Tensor:
        """Values, differentiable with respect to the parameters.

        Args:
            points: Scene units, in [-1, 1]^D. [N, D] float32
            neighbors: What :meth:`find_neighbors` said of the same points, to save the search.
        Returns:
            [N, outputs]
        """
        ...

    def values_and_gradient(self, points: Tensor, neighbors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Values [N, outputs] and the spatial gradient of the first one [N, D]; both differentiable with respect to the parameters."""
        ...

    def hash_distance(self) -> kernels.HashDistance | None:
        """The first value alone, without gradients, in the form that native code evaluates on its own; None where there is no such form."""
        ...

    @property
    def can_be_sphere(self) -> bool:
        """Whether :meth:`init_sphere` can be asked of it: it needs to see the position itself."""
        ...

    def init_sphere(self, radius: float, generator: torch.Generator) -> None:
        """Make the first value the signed distance of a sphere about the origin, about; of a new field."""
        ...

    def set_active_levels(self, share: float) -> None:
        """Coarse to fine: use this share (0 to 1] of the field's levels; a field without levels ignores it."""
        ...

    def wants_functions(self, step: int) -> bool:
        """Whether functions wait for their places, and at this step of a scene's run the time has come."""
        ...

    def place(
        self, points: Tensor, weights: Tensor, generator: torch.Generator, least_width: float, most_width: float
    ) -> tuple[float, ...]:
        """Put the functions where the weights are; of a field without functions nothing happens.

        Args:
            points: Candidates in [-1, 1]^D. [P, D]
            weights: Not negative. [P]
            generator: Source of the first centres.
            least_width, most_width: Bounds on a function's width, in units of the longest axis.
        Returns:
            The clustering's objective over the iterations.
        """
        ...

    def find_neighbors(self, points: Tensor) -> Tensor | None:
        """Functions that count at each point; worth keeping where points come again. [N, D] -> int32 [N, K], None without functions"""
        ...

    def parameter_groups(self) -> list[ParameterGroup]: ...


class PlainField:
    """What most fields answer: no levels, no functions that are placed. A base for fields, so that they write down only what they have."""

    functions: int = 0
    neighbors: int = 0
    placed_numbers: int = 0

    def hash_distance(self) -> kernels.HashDistance | None:
        return None

    @property
    def can_be_sphere(self) -> bool:
        return False

    def init_sphere(self, radius: float, generator: torch.Generator) -> None:
        raise NotImplementedError(f"{type(self).__name__} cannot start as a sphere")

    def set_active_levels(self, share: float) -> None:
        """It has no levels."""

    def wants_functions(self, step: int) -> bool:
        return False

    def place(
        self, points: Tensor, weights: Tensor, generator: torch.Generator, least_width: float, most_width: float
    ) -> tuple[float, ...]:
        return ()

    def find_neighbors(self, points: Tensor) -> Tensor | None:
        return None


class FieldModule(PlainField, torch.nn.Module):
    """The same for fields with trained tensors: all that this program builds. What is missing here every field writes down."""

    outputs: int

    def values(self, points: Tensor, neighbors: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def values_and_gradient(self, points: Tensor, neighbors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def parameter_groups(self) -> list[ParameterGroup]:
        raise NotImplementedError
