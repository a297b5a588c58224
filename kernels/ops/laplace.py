"""VolSDF's density of a signed distance, its error bound, and the scale at which the bound holds (arXiv 2106.12052)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import laplace as reference
from ..errors import ArgumentError
from . import packed_checks as checks
from .tensors import empty, raw, raws, wanted


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
    checks.floats("laplace_density", sdf=(sdf, (None,)))
    _check_beta("laplace_density", beta, sdf, sdf.shape[0])
    name = backends.backend("laplace_density", sdf.device, backend)
    if name != "reference":
        return _density(sdf, beta, name)
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
    name = backends.backend("opacity_error", sdf.device, backend)
    if name != "reference":
        return _bound(sdf, t, offsets, beta, True, name)
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
    name = backends.backend("error_bound", sdf.device, backend)
    if name != "reference":
        return _bound(sdf, t, offsets, beta, False, name)
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
    name = backends.backend("solve_beta", sdf.device, backend)
    if name != "reference":
        return _solve(sdf, t, offsets, beta, epsilon, iterations, name)
    return reference.solve_beta(sdf, t, offsets, beta, epsilon, iterations)


def _check_beta(op: str, beta: Tensor, like: Tensor, count: int) -> None:
    checks.other(op, "beta", beta, like.dtype, like.device, (), (1,), (count,))
    if beta.device.type == "cpu" and not bool((beta > 0).all()):
        raise ArgumentError(f"{op}: beta must be positive")


def _check(op: str, sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor) -> None:
    checks.floats(op, sdf=(sdf, (None,)), t=(t, (checks.length(op, "sdf", sdf),)))
    checks.packed(op, offsets, sdf)
    _check_beta(op, beta, sdf, offsets.shape[0] - 1)


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import laplace

        return laplace
    return backends.raw(backend, "laplace", like)


@torch.library.custom_op("formfield::laplace_density", mutates_args=())
def _density(sdf: Tensor, beta: Tensor, backend: str) -> Tensor:
    out = empty(sdf)
    _kernels(backend, sdf).laplace_forward(raw(sdf), raw(beta).view(-1), out)
    return out


@_density.register_fake
def _(sdf, beta, backend):
    return empty(sdf)


@torch.library.custom_op("formfield::laplace_density_backward", mutates_args=())
def _density_backward(grad: Tensor, sdf: Tensor, beta: Tensor, need_sdf: bool, need_beta: bool, backend: str) -> tuple[Tensor, Tensor]:
    out = empty(sdf, need_sdf), empty(beta, need_beta)
    results = wanted((out[0], out[1].view(-1)), (need_sdf, need_beta))
    _kernels(backend, sdf).laplace_backward(raw(sdf), raw(beta).view(-1), raw(grad), *results)
    return out


@_density_backward.register_fake
def _(grad, sdf, beta, need_sdf, need_beta, backend):
    return empty(sdf, need_sdf), empty(beta, need_beta)


def _density_setup(ctx, inputs, output):
    ctx.backend = inputs[2]
    ctx.save_for_backward(*inputs[:2])


def _density_gradient(ctx, grad):
    needed = ctx.needs_input_grad[:2]
    return (*wanted(_density_backward(grad, *ctx.saved_tensors, *needed, ctx.backend), needed), None)


_density.register_autograd(_density_gradient, setup_context=_density_setup)


@torch.library.custom_op("formfield::error_bound", mutates_args=())
def _bound(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, per_sample: bool, backend: str) -> Tensor:
    out = sdf.new_empty(sdf.shape[0] if per_sample else offsets.shape[0] - 1)
    kernels = _kernels(backend, sdf)
    (kernels.opacity_error if per_sample else kernels.error_bound)(*raws(sdf, t, offsets), raw(beta).view(-1), out)
    return out


@_bound.register_fake
def _(sdf, t, offsets, beta, per_sample, backend):
    return sdf.new_empty(sdf.shape[0] if per_sample else offsets.shape[0] - 1)


@torch.library.custom_op("formfield::solve_beta", mutates_args=())
def _solve(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, iterations: int, backend: str) -> Tensor:
    out = sdf.new_empty(offsets.shape[0] - 1)
    _kernels(backend, sdf).solve_beta(*raws(sdf, t, offsets), raw(beta).view(-1), epsilon, iterations, out)
    return out


@_solve.register_fake
def _(sdf, t, offsets, beta, epsilon, iterations, backend):
    return sdf.new_empty(offsets.shape[0] - 1)
