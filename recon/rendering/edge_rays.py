"""Training rays of an edge field: pixels of the 2D edge maps, those on edges more often than others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image

from recon.data.scene import Camera
from recon.device import CPU
from recon.geometry import Similarity
from recon.rendering.rays import Rays, Targets, camera_rays, sphere_interval, through_pixels

if TYPE_CHECKING:
    from recon.curves.edges2d.edges import EdgeView

STRONG = 0.1
"""Pixels above this are drawn more often (EMAP)."""


def shrunk_map(strength: np.ndarray, camera: Camera, longest: int) -> tuple[np.ndarray, Camera]:
    """An edge map averaged over areas until its longer side is at most ``longest`` pixels, and the camera that fits it exactly.

    Args:
        strength: In [0, 1]. [H, W]
        camera: Of that size.
        longest: Pixels, at least 1.
    """
    scale = longest / max(strength.shape)
    if scale >= 1.0:
        return strength, camera
    width, height = max(round(strength.shape[1] * scale), 1), max(round(strength.shape[0] * scale), 1)
    small = Image.fromarray(np.asarray(strength, np.float32)).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small), camera.resized(width, height)


class EdgeBank:
    """Pixels of edge maps, drawn with replacement, those on edges more often (EMAP, 4.1).

    A view is drawn in proportion to its pixels. Within it, with probability ``importance * p`` one of its strong pixels (above
    :data:`STRONG`) is taken, else any of its pixels; EMAP's p is n (1 - eta) / (n (1 - eta) + m eta) for n strong and m other pixels and
    the view's mean strength eta. The draw is not corrected for: NEF's loss balances edges and background whatever their shares are, so
    it only gains weight against the terms on samples, by about the factor by which edges are drawn more often.

    Memory: 12 bytes a pixel that is kept, on the device.

    Args:
        views: Edge maps with cameras in world coordinates.
        scene_from_world: Similarity into scene units.
        longest: Maps are averaged down to this size, pixels.
        importance: In [0, 1]; 0 draws uniformly.
        everywhere: Keep pixels whose rays miss the unit sphere too, as NEF does.
        device: Where the pixels are kept and drawn.
    """

    def __init__(
        self,
        views: Sequence[EdgeView],
        scene_from_world: Similarity,
        longest: int,
        importance: float,
        everywhere: bool = False,
        device: torch.device = CPU,
    ):
        maps = [shrunk_map(v.strength, v.camera, longest) for v in views]
        strengths, columns, rows, counts = [], [], [], []
        for strength, camera in maps:
            near, far = sphere_interval(camera_rays(camera, scene_from_world))
            met = torch.arange(len(far), device=far.device) if everywhere else (far > near).nonzero().squeeze(1)
            strengths.append(torch.tensor(strength, dtype=torch.float32, device=CPU).reshape(-1)[met])
            columns.append((met % camera.width).int())
            rows.append(torch.div(met, camera.width, rounding_mode="floor").int())
            counts.append(len(met))
        strength = torch.cat(strengths).clamp(0.0, 1.0)
        starts = torch.tensor(np.concatenate([[0], np.cumsum(counts)]), dtype=torch.int64, device=CPU)
        strong = (strength > STRONG).nonzero().squeeze(1).int()
        strong_starts = torch.searchsorted(strong.long(), starts)
        numbers = starts.tolist(), strong_starts.tolist()
        shares = [
            _emap_share(strength[a:b], more - before)
            for a, b, before, more in zip(numbers[0], numbers[0][1:], numbers[1], numbers[1][1:], strict=False)
        ]
        self.strength = strength.to(device)  # [M]
        self.columns, self.rows = torch.cat(columns).to(device), torch.cat(rows).to(device)  # [M]
        self.starts, self.strong_starts = starts.to(device), strong_starts.to(device)  # [V + 1]
        self.strong = strong.to(device)  # [S], view by view
        self.strong_share = importance * torch.tensor(shares, device=device)  # [V]
        self.intrinsics = torch.tensor([[c.fx, c.fy, c.cx, c.cy] for _, c in maps], dtype=torch.float32, device=device)
        poses = [scene_from_world.apply_to_pose(c.world_from_camera) for _, c in maps]
        self.scene_from_camera = torch.tensor(np.stack(poses), dtype=torch.float32, device=device)  # [V, 3, 4]

    @property
    def edge_share(self) -> float:
        """Share of the pixels that lie on an edge (above NEF's 0.3)."""
        return float((self.strength > 0.3).float().mean()) if len(self.strength) else 0.0

    def draw(self, count: int, generator: torch.Generator) -> tuple[Rays, Targets]:
        """Rays through pixel centres; ``Targets.rgb`` is the edge strength. [count, 1]"""
        device = self.strength.device
        index = torch.randint(len(self.strength), (count,), generator=generator, device=device)
        view = torch.searchsorted(self.starts, index, right=True) - 1
        first = self.strong_starts[view]
        strong_count = self.strong_starts[view + 1] - first
        chosen = torch.rand(count, generator=generator, device=device) < self.strong_share[view]
        pick = torch.minimum((torch.rand(count, generator=generator, device=device) * strong_count).long(), strong_count - 1)
        if len(self.strong):  # only views that have strong pixels choose
            at = (first + pick).clamp(0, len(self.strong) - 1)
            index = torch.where(chosen, self.strong[at].long(), index)
        origin, direction = through_pixels(self.columns[index], self.rows[index], self.intrinsics[view], self.scene_from_camera[view])
        return Rays(origin, direction), Targets(self.strength[index][:, None], torch.ones(count, device=device))


def _emap_share(strength: torch.Tensor, strong: int) -> float:
    """EMAP's p for a view's pixels [M], some of which are strong."""
    if strong == 0:
        return 0.0
    eta = float(strength.mean())
    return strong * (1.0 - eta) / (strong * (1.0 - eta) + (len(strength) - strong) * eta)
