"""What stereo keeps saying while a field is trained: points on its zero set, normals there, and free space before them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recon.geometry import Similarity
from recon.stereo.points import Points, select

POINTS = 2048
"""Points of the surface looked at in a step."""
FREE = 1024
"""Points of free space looked at in a step."""
SURFACE_WEIGHT, NORMAL_WEIGHT, FREE_WEIGHT = 1.0, 0.1, 0.5
LEAST_CONFIDENCE = 0.1
FREE_CONFIDENCE = 0.3
FREE_SIGMAS = 3.0
FREE_DEPTH = 0.05
"""Free space is asked to be at most this far from the surface, scene units."""
KEPT = 0.02
"""Share of the weight that stays to the end: it holds parts without texture, and no longer the detail."""


def schedule(share: float) -> float:
    """Weight of the evidence over a run: 1 until 0.3, sinking exponentially to 0.05 at 0.8, then 0.02."""
    if share < 0.3:
        return 1.0
    return 0.05 ** ((share - 0.3) / 0.5) if share < 0.8 else KEPT


class Evidence:
    """Points of stereo in scene units, to draw from.

    Args:
        points: Fused points, world units.
        eyes: Camera centres of the training views, world units. [V, 3]
        scene_from_world: Into scene units; what lies outside the unit sphere is left out.
    """

    def __init__(self, points: Points, eyes: np.ndarray, scene_from_world: Similarity):
        position = torch.from_numpy(scene_from_world.apply(points.position.numpy())).float()
        used = (position.norm(dim=1) < 0.98) & (points.confidence >= LEAST_CONFIDENCE)
        points = select(points, used)
        self.position = position[used]
        self.normal = torch.from_numpy(scene_from_world.rotate(points.normal.numpy())).float()
        self.sigma = points.sigma * scene_from_world.scale
        self.confidence = points.confidence
        centers = torch.from_numpy(scene_from_world.apply(eyes)).float()
        self.eye = centers[points.view]

    def __len__(self) -> int:
        return len(self.position)

    def to(self, device: torch.device) -> Evidence:
        """Move the points to a device."""
        self.position, self.normal, self.eye = self.position.to(device), self.normal.to(device), self.eye.to(device)
        self.sigma, self.confidence = self.sigma.to(device), self.confidence.to(device)
        return self

    def losses(
        self, values_and_gradient: Callable[[Tensor], tuple[Tensor, Tensor]], share: float, generator: torch.Generator
    ) -> dict[str, Tensor]:
        """The weighted terms of a step.

        Args:
            values_and_gradient: Of the field, whose first value is the signed distance. [N, 3] -> [N, F], [N, 3]
            share: Of the run that is done.
            generator: Source of the points.
        """
        some = torch.randint(len(self), (POINTS,), generator=generator, device=self.position.device)
        before = self._before(some[:FREE], generator)
        free, least = before
        values, gradient = values_and_gradient(torch.cat([self.position[some], free]))
        distance, weight, sigma = values[:POINTS, 0], self.confidence[some], self.sigma[some]
        off = torch.nn.functional.huber_loss(distance / sigma, torch.zeros_like(distance), reduction="none") * sigma
        normal = self.normal[some]
        cosine = (torch.nn.functional.normalize(gradient[:POINTS], dim=-1) * normal).sum(-1)
        turned = torch.where(normal.norm(dim=-1) > 0.5, 1.0 - cosine, 0.0)
        inside = torch.nn.functional.relu(least - values[POINTS:, 0])
        g = schedule(share)
        return {
            "points": g * SURFACE_WEIGHT * (weight * off).mean(),
            "normals": g * NORMAL_WEIGHT * (weight * turned).mean(),
            "free": g * FREE_WEIGHT * inside.sum() / FREE,
        }

    def _before(self, some: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """A random place between the camera, or the sphere, and each of some sure points; and how far it is from any surface at least."""
        some = some[self.confidence[some] > FREE_CONFIDENCE]
        point, eye = self.position[some], self.eye[some]
        length = (point - eye).norm(dim=1)
        way = (eye - point) / length[:, None]
        along = (point * way).sum(1)
        leaves = -along + (along**2 - (point**2).sum(1) + 1.0).clamp_min(0.0).sqrt()  # where the ray leaves the unit sphere
        start = FREE_SIGMAS * self.sigma[some]
        end = torch.minimum(leaves, length)
        t = start + torch.rand(len(some), generator=generator, device=some.device) * (end - start).clamp_min(0.0)
        return point + t[:, None] * way, (0.5 * (t - start)).clamp(0.0, FREE_DEPTH)
