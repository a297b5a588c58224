"""What later versions of nerfacc have and 0.5.3 lacks; put beside its own functions."""

from __future__ import annotations

import torch
from torch import Tensor

from .scans import exclusive_sum


def distortion(weights: Tensor, t_starts: Tensor, t_ends: Tensor, ray_indices: Tensor | None = None, n_rays: int | None = None) -> Tensor:
    """Distortion of rays (Barron et al. 2022, "Mip-NeRF 360", equation 15), in one pass.

    Args:
        weights, t_starts, t_ends: [R, n], or packed [N] with the following.
        ray_indices: [N], ascending.
        n_rays: Number of rays.
    Returns:
        [R, 1].
    """
    middle = 0.5 * (t_starts + t_ends)
    before = exclusive_sum(weights, indices=ray_indices)
    moment = exclusive_sum(weights * middle, indices=ray_indices)
    each = weights * weights * (t_ends - t_starts) / 3 + 2 * weights * (middle * before - moment)
    if ray_indices is None:
        return each.sum(-1, keepdim=True)
    if n_rays is None:
        raise ValueError("n_rays must be given with ray_indices")
    return each.new_zeros(n_rays, 1).index_add(0, ray_indices, each[:, None])


def accumulate_along_rays_(
    weights: Tensor, values: Tensor | None = None, ray_indices: Tensor | None = None, outputs: Tensor | None = None
) -> None:
    """Add weighted values to ``outputs`` [R, D] in place; arguments as of ``accumulate_along_rays``."""
    if outputs is None:
        raise ValueError("outputs must be given")
    each = weights[..., None] if values is None else weights[..., None] * values
    if ray_indices is None:
        outputs.add_(each.sum(-2))
    else:
        outputs.index_add_(0, ray_indices, torch.broadcast_to(each, (each.shape[0], outputs.shape[1])))
