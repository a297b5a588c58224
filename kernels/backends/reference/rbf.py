"""Radial basis functions in plain, differentiable torch: the adaptive encoder of NeuRBF.

Everything is written so that autograd gives first and second derivatives to every floating-point argument.
"""

from __future__ import annotations

import torch
from torch import Tensor

KERNELS = ("iq", "gauss", "hat")
"""In the order of their numbers in the raw functions."""
NORMALIZER = 1e-8
TAPER_MARGIN = 1e-3


def quadratic_form(d: Tensor, shapes: Tensor) -> Tensor:
    """``d^T S d``; shapes hold a scale, a diagonal or the upper triangle row by row. [..., D], [..., 1 | D | D(D+1)/2] -> [...]"""
    dims, width = d.shape[-1], shapes.shape[-1]
    if width in (1, dims):
        return (shapes * d * d).sum(-1)
    row, column = torch.triu_indices(dims, dims, device=d.device)
    twice = torch.where(row == column, 1.0, 2.0).to(d.dtype)
    return (shapes * twice * d[..., row] * d[..., column]).sum(-1)


def rbf_values(
    x: Tensor, centers: Tensor, shapes: Tensor, neighbors: Tensor, kernel: str, normalize: bool, taper: bool, detach_normalizer: bool
) -> Tensor:
    """Values of the neighbouring radial functions at every point, normalised if asked. -> [N, K]"""
    missing = neighbors < 0
    index = neighbors.clamp_min(0).long()
    d = x[:, None] - centers[index]
    shape, fade = shapes[index], None
    if taper:
        squared = (d * d).sum(-1)
        limit = squared[:, -1:] * (1 + TAPER_MARGIN)
        inside = torch.where(limit > 0, 1 - squared / torch.where(limit > 0, limit, torch.ones_like(limit)), torch.ones_like(squared))
        fade = torch.where(missing[:, -1:], torch.ones_like(inside), inside.clamp_min(0) ** 2)[:, :-1]
        d, shape, missing = d[:, :-1], shape[:, :-1], missing[:, :-1]
    if kernel == "iq":
        phi = 1 / (1 + quadratic_form(d, shape))
    elif kernel == "gauss":
        phi = torch.exp(-0.5 * quadratic_form(d, shape))
    else:  # "hat"
        phi = (1 - d.abs() * shape).clamp_min(0).prod(-1)
    if fade is not None:
        phi = phi * fade
    phi = torch.where(missing, torch.zeros_like(phi), phi)
    if normalize:
        total = phi.sum(-1, keepdim=True) + NORMALIZER
        phi = phi / (total.detach() if detach_normalizer else total)
    return phi


def rbf_encode(
    x: Tensor,
    centers: Tensor,
    shapes: Tensor,
    weights: Tensor,
    neighbors: Tensor,
    frequencies: Tensor | None,
    kernel: str,
    normalize: bool,
    taper: bool,
    detach_normalizer: bool,
) -> Tensor:
    """See :func:`kernels.rbf_encode`. Memory: [N, K, F]. -> [N, F]"""
    phi = rbf_values(x, centers, shapes, neighbors, kernel, normalize, taper, detach_normalizer)[..., None]
    kept = neighbors[:, : phi.shape[1]].clamp_min(0).long()
    wave = phi if frequencies is None else torch.sin(phi * frequencies)
    return (wave * weights[kept]).sum(1)
