"""What the training loop, the renderer and the exporters ask of a method."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import RunConfig
from recon.fields.base import ParameterGroup
from recon.rendering.rays import PixelBank, Rays, Targets

if TYPE_CHECKING:  # what a method is handed; none of these knows a method
    from recon.console import Reporter
    from recon.data.scene import BackgroundKind, Scene
    from recon.runs import Run

Mode = Literal["color", "depth", "normal", "opacity", "edge", "error"]
"""What can be shown of a rendered view; see :mod:`recon.rendering.modes`."""
Exported = Literal["mesh", "curves"]
QuantityKind = Literal["signed distance", "density", "edge probability"]


@dataclass
class Losses:
    """One training step's outcome.

    Attributes:
        total: Scalar to minimise.
        terms: The weighted terms, detached.
        squared_error: Mean squared colour error of the batch, detached; gives the running PSNR.
        samples: Samples along rays that were evaluated with gradients.
        figures: Other numbers worth logging: beta, the share of rays whose error bound holds, ...
        value: ``total`` as a number.
    """

    total: Tensor
    terms: dict[str, float]
    squared_error: float
    samples: int
    figures: dict[str, float]
    value: float


def read_losses(
    terms: Mapping[str, Tensor], squared_error: Tensor, samples: int, figures: Mapping[str, Tensor | float] | None = None
) -> Losses:
    """The outcome of a step: the total is the sum of the terms, and all numbers are read from the device at once.

    Args:
        terms, squared_error, samples, figures: See :class:`Losses`; tensors are scalars.
    """
    total = torch.stack(list(terms.values())).sum()
    figures = figures or {}
    waiting = {name: value for name, value in figures.items() if isinstance(value, Tensor)}
    scalars = [total, squared_error, *terms.values(), *waiting.values()]
    value, squared, *rest = torch.stack([s.detach().reshape(()) for s in scalars]).tolist()
    read = dict(zip(waiting, rest[len(terms) :], strict=True))
    known = {name: read.get(name, value) for name, value in figures.items()}
    return Losses(total, dict(zip(terms, rest, strict=False)), squared, samples, known, value)  # pyright: ignore[reportArgumentType]


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


@dataclass(frozen=True)
class Surface:
    """What a method knows of a surface, as functions of scene points [N, 3]; without gradients to the parameters.

    Attributes:
        value: Negative inside, zero on the surface. -> [N]
        color: sRGB in [0, 1] of surface points as seen from the unit directions ``toward``. points, toward -> [N, 3]
        gradient: Value and its gradient, for moving vertices onto the surface; None where it is not worth asking. -> [N], [N, 3]
        lipschitz: The value changes by at most this for each scene unit, so that space can be skipped; None: no such bound.
        support: Whether a table or wall may be part of it: neither masks nor alpha nor a constant colour told the object from the rest.
    """

    value: Callable[[Tensor], Tensor]
    color: Callable[[Tensor, Tensor], Tensor]
    gradient: Callable[[Tensor], tuple[Tensor, Tensor]] | None = None
    lipschitz: float | None = None
    support: bool = False


@dataclass(frozen=True)
class Quantity:
    """What a method is as a function of space.

    Attributes:
        kind: What the values are.
        evaluate: Scene points [N, 3] -> [N], differentiable to the points.
        length_power: A value in scene units times ``scene unit ** this`` is in world units: 1 of a distance, -1 of a density.
    """

    kind: QuantityKind
    evaluate: Callable[[Tensor], Tensor]
    length_power: int = 0


class Pixels(Protocol):
    """What a method is trained on."""

    def draw(self, count: int, generator: torch.Generator) -> tuple[Rays, Targets]:
        """About ``count`` rays, and what is to be seen along them."""
        ...


class SurfaceColors(Protocol):
    """The radiance field of VolSDF: what shape and appearance share is its inputs only."""

    features: int

    def __call__(self, points: Tensor, gradient: Tensor, directions: Tensor, rays: Tensor, feature: Tensor) -> Tensor:
        """Colours at samples, differentiable to everything.

        Args:
            points: Scene units. [N, 3]
            gradient: Of the signed distance, as it is: not made unit length, as in VolSDF's released network. [N, 3]
            directions: Unit directions of the rays. [R, 3]
            rays: The ray of every sample. int [N]
            feature: The geometry field's. [N, features]
        Returns:
            sRGB in (0, 1). [N, 3]
        """
        ...

    def parameter_groups(self) -> list[ParameterGroup]: ...


class Method(Protocol):
    """What is rendered and which loss; a ``torch.nn.Module`` whose state is the whole model."""

    modes: ClassVar[tuple[Mode, ...]]
    """What can be shown of its views, the usual one first; "error" needs photographs from the same cameras."""
    exports: ClassVar[tuple[Exported, ...]]
    """What can be exported of it, beside its cameras."""
    has_appearance: ClassVar[bool]
    """Whether its radiance network is apart from its shape: :attr:`appearance` is one, and :meth:`with_appearance` can be asked."""

    @classmethod
    def build(cls, config: RunConfig, background: BackgroundKind, train_views: int, generator: torch.Generator) -> Method:
        """A freshly initialised model.

        Args:
            config: The run's configuration.
            background: ``Scene.background`` of the data it will be trained on.
            train_views: Number of photographs that it will be trained on; matters where each has an exposure of its own.
            generator: Source of the initial values.
        Raises:
            UsageError: If the configuration does not suit the data.
        """
        ...

    def prepare(self, run: Run, scene: Scene, reporter: Reporter, fresh: bool) -> Pixels:
        """What it is trained on, after telling the model what the data know for certain.

        Args:
            run: Where pictures of what was found go.
            scene: The data.
            reporter: Where progress goes.
            fresh: The training has not begun: a start from the data may be made.
        """
        ...

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

    def finish(self, run: Run, scene: Scene, reporter: Reporter) -> None:
        """Make what a trained model is for, a mesh or a wireframe, in the run's exports."""
        ...

    @property
    def device(self) -> torch.device:
        """Where it is, and wants its rays and points."""
        ...

    def to(self, device: torch.device) -> Method:
        """Move it to a device."""
        ...

    @property
    def surface(self) -> Surface | None:
        """Its surface, or None."""
        ...

    @property
    def quantity(self) -> Quantity:
        """What it is as a function of space."""
        ...

    @property
    def appearance(self) -> SurfaceColors | None:
        """Its radiance network, where that is apart from its shape."""
        ...

    def with_appearance(self, appearance: SurfaceColors) -> Method:
        """A copy of the shape under another radiance network, which is shared; of methods with an ``appearance``."""
        ...

    def parameter_groups(self) -> list[ParameterGroup]: ...

    def state_dict(self) -> dict[str, Tensor]: ...

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> object: ...

    def parameters(self) -> Iterator[nn.Parameter]: ...

    def modules(self) -> Iterator[nn.Module]: ...


class Occupied(nn.Module):
    """A module with an occupancy grid, whose bits are a buffer: they are loaded and moved with it."""

    bitfield: Tensor

    def keep_grid(self, resolution: int) -> None:
        """Have a grid of so many cells per axis, all of them occupied."""
        self.register_buffer("bitfield", kernels.OccupancyGrid.full(resolution).bitfield)

    @property
    def grid(self) -> kernels.OccupancyGrid:
        """The occupancy grid of one cascade, on the buffer's memory."""
        return kernels.OccupancyGrid(round((8 * self.bitfield.shape[1]) ** (1 / 3)), 1, self.bitfield)

    @property
    def device(self) -> torch.device:
        return self.bitfield.device


class MethodModule(Occupied):
    """What most methods answer: photographs to learn from, all levels from the start, no surface, nothing made. A base for methods."""

    modes: ClassVar[tuple[Mode, ...]] = ("color", "depth", "opacity", "error")
    exports: ClassVar[tuple[Exported, ...]] = ()
    has_appearance: ClassVar[bool] = False

    def prepare(self, run: Run, scene: Scene, reporter: Reporter, fresh: bool) -> Pixels:
        return PixelBank(scene, self.device)

    def set_progress(self, share: float) -> None:
        """Nothing changes in the course of a run."""

    def finish(self, run: Run, scene: Scene, reporter: Reporter) -> None:
        """There is nothing to make."""

    @property
    def surface(self) -> Surface | None:
        return None

    @property
    def appearance(self) -> SurfaceColors | None:
        return None

    def with_appearance(self, appearance: SurfaceColors) -> Method:
        raise NotImplementedError(f"{type(self).__name__} has no radiance network apart from its shape")
