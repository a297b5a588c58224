"""What stereo found, as one picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import torch

from recon.data.scene import Scene
from recon.rendering.colormaps import apply_colormap
from recon.stereo.match import DepthMap

VIEWS = 6
WIDTH = 320
"""Of a panel, pixels."""


def depth_sheet(maps: Sequence[DepthMap], scene: Scene, path: Path) -> None:
    """Some views, a row each: photograph, depth (yellow near, blue far, black unknown), normals, confidence."""
    rows: list[torch.Tensor] = []
    views = scene.split("train")
    for m in (maps[i] for i in np.unique(np.linspace(0, len(maps) - 1, min(VIEWS, len(maps))).round().astype(int))):
        known = m.depth > 0
        inverse = torch.where(known, 1.0 / m.depth.clamp_min(1e-12), 0.0)
        low, high = torch.quantile(inverse[known], torch.tensor([0.02, 0.98])) if known.any() else torch.tensor([0.0, 1.0])
        shade = ((inverse - low) / (high - low).clamp_min(1e-12)).clamp(0.0, 1.0)
        depth = torch.from_numpy(apply_colormap(shade.numpy(), "viridis"))
        normal = m.normal * torch.tensor([0.5, -0.5, -0.5]) + 0.5
        panels = torch.stack([depth * known[..., None], normal * known[..., None], m.confidence[..., None].expand(-1, -1, 3)])
        height = round(WIDTH * m.camera.height / m.camera.width)
        photograph = torch.from_numpy(np.ascontiguousarray(views[m.view].image[..., :3])).permute(2, 0, 1)[None].float() / 255.0
        small = [_resized(photograph, height), *(_resized(p.permute(2, 0, 1)[None], height) for p in panels)]
        rows.append(torch.cat(small, 3))
    sheet = torch.cat(rows, 2)[0].permute(1, 2, 0)
    iio.imwrite(path, (sheet.clamp(0.0, 1.0) * 255.0).round().to(torch.uint8).numpy())


def _resized(picture: torch.Tensor, height: int) -> torch.Tensor:
    return torch.nn.functional.interpolate(picture, (height, WIDTH), mode="bilinear", antialias=True, align_corners=False)
