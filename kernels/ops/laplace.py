"""VolSDF's density of a signed distance, its error bound, and the scale at which the bound holds (arXiv 2106.12052)."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import backends
from ..errors import ArgumentError
from ..reference import laplace as reference
from . import packed_checks as checks


def laplace_density(sdf: Tensor, beta: Tensor, *, backend: str | None = None) -> Tensor:
    """``1/beta`` times the cumulative distribution of a Laplace variable of scale beta at ``-sdf`` (VolSDF, eq. 2-3, alpha = 1/beta).

    Half of 1/beta on the surface, 1/beta deep inside, ``exp(-sdf/beta) / (2 beta)`` outside.

    Args:
        sdf: Signed distance, negative inside. [N] float32 or float64
        beta: Positive scale, units of ``sdf``. Scalar tensor or [N]
        backend: Force a backend.
    Returns:
        Density per unit of length. [N]. Differentiable once to both.
    Raises:
        ArgumentError: Wrong shape, dtype or device, beta <= 0.
        BackendError: A forced backend is missing.
    """
    _check_beta("laplace_density", beta, sdf, sdf.shape[0])
    checks.floats("laplace_density", sdf=(sdf, (None,)))
    backends.backend("laplace_density", sdf.device, backend)
    return reference.laplace_density(sdf, beta)


@torch.no_grad()
def opacity_error(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, *, backend: str | None = None) -> Tensor:
    """Bound of the opacity error on every interval between neighbouring samples (VolSDF, Theorem 2).

    For the interval from sample k to k+1 it is ``exp(-R(t_k)) (exp(E(t_{k+1})) - 1)``, R the optical depth of the left-endpoint rule,
    ``E(t_{k+1}) = sum_{i<=k} dt_i^2 exp(-d*_i / beta) / (4 beta^2)`` the bound of its error, d*_i a lower bound of the distance from
    interval i to the surface (triangle rule). Capped at 1e6. Valid if ``|sdf|`` never exceeds the distance to the surface.

    Args:
        sdf: At the samples. [N]
        t: Rising along each ray. [N]
        offsets: int64 [R+1]
        beta: Scalar tensor or [R], > 0
        backend: Force a backend.
    Returns:
        [N]; 0 for the last sample of each ray, which starts no interval. Not differentiable.
    Raises:
        ArgumentError: Wrong shape, dtype or device, offsets that do not fit, beta <= 0.
        BackendError: A forced backend is missing.
    """
    _check("opacity_error", sdf, t, offsets, beta)
    backends.backend("opacity_error", sdf.device, backend)
    return reference.opacity_error(sdf, t, offsets, beta)


@torch.no_grad()
def error_bound(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, *, backend: str | None = None) -> Tensor:
    """Bound of the opacity error anywhere on each ray: the largest :func:`opacity_error` of its intervals.

    Args:
        sdf, t, offsets, beta, backend: As in :func:`opacity_error`.
    Returns:
        [R]; 0 for rays with fewer than two samples. Not differentiable.
    """
    _check("error_bound", sdf, t, offsets, beta)
    backends.backend("error_bound", sdf.device, backend)
    return reference.error_bound(sdf, t, offsets, beta)


@torch.no_grad()
def bound_beta(t: Tensor, offsets: Tensor, epsilon: float) -> Tensor:
    """Smallest beta that Lemma 2 of VolSDF guarantees an opacity error of at most epsilon for, whatever the surface.

    ``sqrt(sum_i dt_i^2 / (4 ln(1 + epsilon)))``, dt_i the gaps between samples.

    Args:
        t: Rising along each ray. [N]
        offsets: int64 [R+1]
        epsilon: > 0
    Returns:
        [R]; 0 for rays with fewer than two samples.
    """
    checks.floats("bound_beta", t=(t, (None,)))
    checks.packed("bound_beta", offsets, t)
    if not epsilon > 0:
        raise ArgumentError(f"bound_beta: epsilon must be positive, not {epsilon}")
    return reference.bound_beta(t, offsets, epsilon)


@torch.no_grad()
def solve_beta(
    sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, *, iterations: int = 10, backend: str | None = None
) -> Tensor:
    """Per ray, a beta as small as bisection finds it (and not below ``beta``) whose error bound is at most epsilon (VolSDF, Algorithm 1).

    Args:
        sdf, t, offsets: As in :func:`opacity_error`.
        beta: The model's own beta, the lower end. Scalar tensor or [R]
        epsilon: Opacity error allowed, > 0.
        iterations: Bisections between ``beta`` and :func:`bound_beta`.
        backend: Force a backend.
    Returns:
        [R]; equal to ``beta`` where the bound holds for it already: these rays have converged.
    """
    _check("solve_beta", sdf, t, offsets, beta)
    if not epsilon > 0 or iterations < 0:
        raise ArgumentError(f"solve_beta: epsilon must be positive and iterations not negative, not {epsilon} and {iterations}")
    backends.backend("solve_beta", sdf.device, backend)
    return reference.solve_beta(sdf, t, offsets, beta, epsilon, iterations)


def _check_beta(op: str, beta: Tensor, like: Tensor, count: int) -> None:
    if not isinstance(beta, Tensor) or beta.dtype != like.dtype or beta.device != like.device or beta.shape not in ((), (1,), (count,)):
        raise ArgumentError(f"{op}: beta must be a {like.dtype} tensor on {like.device}, scalar or of length {count}")
    if beta.device.type == "cpu" and not bool((beta > 0).all()):
        raise ArgumentError(f"{op}: beta must be positive")


def _check(op: str, sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor) -> None:
    checks.floats(op, sdf=(sdf, (None,)), t=(t, (sdf.shape[0],)))
    checks.packed(op, offsets, sdf)
    _check_beta(op, beta, sdf, offsets.shape[0] - 1)
