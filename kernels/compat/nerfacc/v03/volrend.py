"""Weights along rays, and sums with them. All per sample [N, 1]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..scans import exclusive_prod, exclusive_sum


def _chunks(packed_info: Tensor | None, ray_indices: Tensor | None) -> dict[str, Tensor]:
    if ray_indices is not None:
        return {"indices": ray_indices}
    if packed_info is None:
        raise ValueError("either ray_indices or packed_info must be given")
    return {"packed_info": packed_info}


def render_transmittance_from_density(
    t_starts: Tensor,
    t_ends: Tensor,
    sigmas: Tensor,
    *,
    packed_info: Tensor | None = None,
    ray_indices: Tensor | None = None,
    n_rays: int | None = None,
) -> Tensor:
    """What of the light behind reaches the ray's origin from each sample."""
    depth = (sigmas * (t_ends - t_starts))[:, 0]
    return torch.exp(-exclusive_sum(depth, **_chunks(packed_info, ray_indices)))[:, None]


def render_transmittance_from_alpha(
    alphas: Tensor, *, packed_info: Tensor | None = None, ray_indices: Tensor | None = None, n_rays: int | None = None
) -> Tensor:
    """The same from opacities."""
    return exclusive_prod(1 - alphas[:, 0], **_chunks(packed_info, ray_indices))[:, None]


def render_weight_from_density(
    t_starts: Tensor,
    t_ends: Tensor,
    sigmas: Tensor,
    *,
    packed_info: Tensor | None = None,
    ray_indices: Tensor | None = None,
    n_rays: int | None = None,
) -> Tensor:
    """Weights of samples from densities."""
    transmittance = render_transmittance_from_density(t_starts, t_ends, sigmas, packed_info=packed_info, ray_indices=ray_indices)
    return transmittance * (1 - torch.exp(-sigmas * (t_ends - t_starts)))


def render_weight_from_alpha(
    alphas: Tensor, *, packed_info: Tensor | None = None, ray_indices: Tensor | None = None, n_rays: int | None = None
) -> Tensor:
    """Weights of samples from opacities."""
    return render_transmittance_from_alpha(alphas, packed_info=packed_info, ray_indices=ray_indices) * alphas


@torch.no_grad()
def render_visibility(
    alphas: Tensor,
    *,
    ray_indices: Tensor | None = None,
    packed_info: Tensor | None = None,
    n_rays: int | None = None,
    early_stop_eps: float = 1e-4,
    alpha_thre: float = 0.0,
) -> Tensor:
    """Whether samples are worth rendering, [N]: transmittance and opacity not below the thresholds."""
    transmittance = render_transmittance_from_alpha(alphas, packed_info=packed_info, ray_indices=ray_indices)
    return ((transmittance >= early_stop_eps) & (alphas >= alpha_thre))[:, 0]


def accumulate_along_rays(weights: Tensor, ray_indices: Tensor, values: Tensor | None = None, n_rays: int | None = None) -> Tensor:
    """Sums of weighted values.

    Args:
        weights: [N, 1].
        ray_indices: [N].
        values: [N, D]; the weights themselves are summed without.
        n_rays: Number of rays, by default one more than the greatest index.
    Returns:
        [n_rays, D].
    """
    if ray_indices.ndim != 1 or weights.ndim != 2:
        raise ValueError(f"ray_indices must be [N] and weights [N, 1], not {list(ray_indices.shape)} and {list(weights.shape)}")
    each = weights if values is None else weights * values
    if n_rays is None:
        n_rays = int(ray_indices.max()) + 1 if ray_indices.numel() else 0
    return each.new_zeros(n_rays, each.shape[1]).index_add(0, ray_indices, each)


def rendering(
    t_starts: Tensor,
    t_ends: Tensor,
    ray_indices: Tensor,
    n_rays: int,
    rgb_sigma_fn: Callable[..., tuple[Tensor, Tensor]] | None = None,
    rgb_alpha_fn: Callable[..., tuple[Tensor, Tensor]] | None = None,
    render_bkgd: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Colours [R, 3], opacities [R, 1] and depths [R, 1] of a field, given as a function of (starts, ends, rays)."""
    if rgb_sigma_fn is not None:
        colors, sigmas = rgb_sigma_fn(t_starts, t_ends, ray_indices)
        weights = render_weight_from_density(t_starts, t_ends, sigmas, ray_indices=ray_indices)
    elif rgb_alpha_fn is not None:
        colors, alphas = rgb_alpha_fn(t_starts, t_ends, ray_indices)
        weights = render_weight_from_alpha(alphas, ray_indices=ray_indices)
    else:
        raise ValueError("either rgb_sigma_fn or rgb_alpha_fn must be given")
    color = accumulate_along_rays(weights, ray_indices, colors, n_rays)
    opacity = accumulate_along_rays(weights, ray_indices, None, n_rays)
    depth = accumulate_along_rays(weights, ray_indices, 0.5 * (t_starts + t_ends), n_rays)
    if render_bkgd is not None:
        color = color + render_bkgd * (1 - opacity)
    return color, opacity, depth
