"""A finished run as a function: values, and where asked the gradient, at points of the world (or pixels of a picture)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from recon import pipeline
from recon.console import Reporter
from recon.device import CPU, from_numpy, to_numpy
from recon.errors import UsageError
from recon.fit.fit import loaded_field
from recon.fit.run import is_fit, open_fit
from recon.geometry import Similarity
from recon.methods.base import QuantityKind
from recon.runs import open_run

Kind = Literal["image"] | QuantityKind
Evaluate = Callable[[Tensor], Tensor]
CHUNK = 2**16


@dataclass(frozen=True)
class Values:
    """What a run says at points.

    Attributes:
        values: Colours [N, C], or one figure per point [N, 1].
        gradient: Derivative of the first value per unit of the points, or None. [N, D]
    """

    values: np.ndarray
    gradient: np.ndarray | None


@dataclass(frozen=True)
class Loaded:
    """A run's field.

    Attributes:
        kind: What the values are. Image: sRGB in [0, 1], or linear light of an HDR picture, at pixel coordinates (x right, y down, centres
            at +0.5). Signed distance: world units, negative inside. Density: per world unit. Edge probability: 0 to 1.
        dims: 2 or 3.
        from_points: ``field = from_points(x)`` as a similarity for 3D; pictures: (width, height).
        evaluate: Field coordinates [N, D] -> values [N, C], differentiable to the coordinates.
        factor: Values of ``evaluate`` times this are in the unit of ``kind``.
        device: Where ``evaluate`` wants its points.
    """

    kind: Kind
    dims: int
    from_points: Similarity | tuple[int, int]
    evaluate: Evaluate
    factor: float
    device: torch.device = CPU

    def query(self, points: np.ndarray | Tensor, gradient: bool = False) -> Values:
        """Evaluate at points.

        Args:
            points: World units, or pixels for a picture. [N, D]
            gradient: Also the derivative of the first value.
        Raises:
            UsageError: For points of another shape, or not finite, or outside the field's cube (the picture's rectangle).
        """
        x = np.asarray(points, np.float64)
        if x.ndim != 2 or x.shape[1] != self.dims or not np.isfinite(x).all():
            raise UsageError(f"points must be finite numbers of shape [N, {self.dims}], not {list(x.shape)}")
        if isinstance(self.from_points, Similarity):
            local, jacobian = self.from_points.apply(x), self.from_points.scale * self.from_points.rotation
        else:
            jacobian = np.diag(2.0 / np.array(self.from_points, np.float64))
            local = x @ jacobian - 1.0
        if len(local) and np.abs(local).max() > 1.0 + 1e-6:
            raise UsageError(
                f"{int((np.abs(local) > 1 + 1e-6).any(1).sum())} points lie outside the field", "stay inside the bounds that were trained"
            )
        values, slopes = [], []
        for part in from_numpy(local, self.device).clamp(-1.0, 1.0).split(CHUNK):
            with torch.set_grad_enabled(gradient):
                part = part.requires_grad_(gradient)
                v = self.evaluate(part)
                if gradient:
                    slopes.append(to_numpy(torch.autograd.grad(v[:, 0].sum(), part)[0].double()) @ jacobian * self.factor)
            values.append(to_numpy(v) * self.factor)
        if not values:
            return Values(np.zeros((0, 1), np.float32), np.zeros((0, self.dims)) if gradient else None)
        return Values(np.concatenate(values), np.concatenate(slopes) if gradient else None)


def load_run(folder: Path, device: str = "cpu") -> Loaded:
    """The field of a reconstruction's or a fit's newest whole checkpoint, on a device.

    Raises:
        DataError: If the folder is no run, or has no whole checkpoint.
    """
    reporter = Reporter(quiet=True)
    if is_fit(folder):
        run = open_fit(folder, device)
        field = loaded_field(run, reporter)
        if run.config.signal == "image":
            return Loaded("image", 2, (run.signal["width"], run.signal["height"]), field.values, 1.0, torch.device(device))
        world_from_scene = Similarity.from_json(run.signal["world_from_scene"])
        return Loaded("signed distance", 3, world_from_scene.inverse(), field.values, world_from_scene.scale, torch.device(device))
    run = open_run(folder, device)
    method = pipeline.load_method(run, reporter)
    world_from_scene = run.scene.world_from_scene
    inverse, scale = world_from_scene.inverse(), world_from_scene.scale
    quantity = method.quantity
    factor = scale**quantity.length_power
    return Loaded(quantity.kind, 3, inverse, lambda p: quantity.evaluate(p)[:, None], factor, torch.device(device))
