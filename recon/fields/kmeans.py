"""Weighted k-means: where a signal's weights put the centres of radial functions, and how wide they are (NeuRBF, appendix B)."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import kernels
from recon.device import to_numpy
from recon.errors import DataError
from recon.fields.morton import morton_order

EMPTY_VARIANCE = 1e-10
"""On the diagonal of a cluster that owns nothing, before the bounds are applied."""


@dataclass(frozen=True)
class Clusters:
    """A weighted clustering.

    Attributes:
        centers: [N, D] float32
        covariance: Weighted second moments of each cluster about its centre. [N, D, D] float64
        owners: Cluster of each point, -1 for points of weight zero. [P] int64
        objective: Weighted mean squared distance to the nearest centre, before each of the iterations and after the last.
    """

    centers: Tensor
    covariance: Tensor
    owners: Tensor
    objective: tuple[float, ...]


@torch.no_grad()
def weighted_kmeans(points: Tensor, weights: Tensor, count: int, generator: torch.Generator, iterations: int = 10) -> Clusters:
    """Lloyd's algorithm from centres drawn by weight, without replacement. A cluster that loses all its points keeps its centre.

    Args:
        points: [P, D] float32, D = 2 or 3
        weights: Not negative; points of weight zero take no part. [P]
        count: Number of clusters.
        generator: Source of the first centres.
        iterations: NeuRBF's 10.
    Raises:
        DataError: If fewer than ``count`` points have a weight, or a weight is negative or not finite.
    """
    if not bool(torch.isfinite(weights).all()) or bool((weights < 0).any()):
        raise DataError("k-means: a weight is negative or not finite")
    owned = weights.nonzero().squeeze(1)
    if owned.numel() < count:
        raise DataError(f"{owned.numel()} points cannot make {count} radial functions", hint="ask for fewer parameters")
    x, w = points[owned].contiguous(), weights[owned].double()
    w = w / w.mean()
    # The k smallest of exponential times are a sample without replacement, each next one drawn by weight (Efraimidis and Spirakis 2006).
    times = torch.empty(w.shape, dtype=torch.float64, device=w.device).exponential_(generator=generator) / w
    centers = x[torch.topk(times, count, largest=False).indices].contiguous()
    order = morton_order(x)
    x, w, owned = x[order], w[order], owned[order]
    objective: list[float] = []
    owner = owned
    for step in range(iterations + 1):
        nearest, squared = kernels.knn(centers, x, 1)
        owner = nearest[:, 0].long()
        objective.append(float((w * squared[:, 0].double()).mean()))
        if step < iterations:
            mass = _sums(owner, w, count)
            means = torch.stack([_sums(owner, w * x[:, a].double(), count) for a in range(x.shape[1])], 1) / mass.clamp_min(1e-300)[:, None]
            centers = torch.where((mass > 0)[:, None], means, centers.double()).float().contiguous()
    owners = torch.full((points.shape[0],), -1, dtype=torch.int64, device=points.device)
    owners[owned] = owner
    return Clusters(centers, _covariance(x, w, owner, centers), owners, tuple(objective))


def _sums(owner: Tensor, values: Tensor, count: int) -> Tensor:
    """Sums per cluster in float64, in the order of the points: the same bits every time, for which the CPU makes them. [count]"""
    return torch.from_numpy(np.bincount(to_numpy(owner), weights=to_numpy(values), minlength=count)).to(values.device)


def _covariance(x: Tensor, w: Tensor, owner: Tensor, centers: Tensor) -> Tensor:
    count, dims = centers.shape
    d = x.double() - centers[owner].double()
    mass = _sums(owner, w, count).clamp_min(1e-300)
    out = torch.zeros(count, dims, dims, dtype=torch.float64, device=x.device)
    for a in range(dims):
        for b in range(a, dims):
            out[:, a, b] = out[:, b, a] = _sums(owner, w * d[:, a] * d[:, b], count) / mass
    return out


def shapes_from(covariance: Tensor, kernel: str, columns: int, least: float, most: float, alpha: float = 0.5) -> Tensor:
    """Shape parameters of radial functions as :func:`kernels.rbf_encode` takes them.

    The covariance over ``alpha`` is the square of the function's width; its diagonal is clipped to [least^2, most^2] and correlations to
    +-0.999, so that it stays positive definite. A hat has half its height at that width, as the inverse quadratic has.

    Args:
        covariance: [N, D, D] float64
        kernel: "iq", "gauss" or "hat".
        columns: 1 (isotropic: mean squared distance), D (diagonal) or D (D + 1) / 2 (full, upper triangle row by row).
        least, most: Bounds on the width, units of the points.
        alpha: NeuRBF's 0.5.
    Returns:
        [N, columns] float32
    """
    dims = covariance.shape[1]
    diagonal = torch.diagonal(covariance, dim1=1, dim2=2).clamp_min(EMPTY_VARIANCE)
    low, high = least**2, most**2
    if kernel == "hat":  # half its height at one width along an axis: 1 - s d = 1/2, and s is no square
        spread = (diagonal.sum(1, keepdim=True) if columns == 1 else diagonal) / alpha
        return (4.0 * spread.clamp(low, high)).rsqrt().float()
    if columns in (1, dims):
        spread = (diagonal.sum(1, keepdim=True) if columns == 1 else diagonal) / alpha
        return spread.clamp(low, high).reciprocal().float()
    sigma = covariance / alpha
    clipped = (diagonal / alpha).clamp(low, high)
    limit = 0.999 * (clipped[:, :, None] * clipped[:, None, :]).sqrt()
    sigma = torch.maximum(torch.minimum(sigma, limit), -limit)
    sigma = torch.where(torch.eye(dims, dtype=torch.bool, device=sigma.device), torch.diag_embed(clipped), sigma)
    # Clipped correlations of three axes need not fit together: the smallest eigenvalue is kept above the lower bound.
    values, vectors = torch.linalg.eigh(sigma)
    inverse = vectors @ torch.diag_embed(values.clamp_min(low).reciprocal()) @ vectors.transpose(1, 2)
    row, column = torch.triu_indices(dims, dims, device=inverse.device)
    return inverse[:, row, column].float()


def sine_frequencies(bounds: tuple[float, float] | None, count: int) -> Tensor | None:
    """Frequencies spread evenly over the octaves between two bounds, radians. [count]; None without bounds."""
    if bounds is None:
        return None
    low, high = (math.log2(b) for b in bounds)
    return 2.0 ** torch.linspace(low, high, count)
