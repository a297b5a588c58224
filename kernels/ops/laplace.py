"""VolSDF's density of a signed distance, its error bound, and the scale at which the bound holds (arXiv 2106.12052)."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import backends
from ..errors import ArgumentError
from ..reference import laplace as reference
from . import gpu_rays
from . import packed_checks as checks
from .native_specs import raw


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
    if name == "cpu":
        return _density(sdf, beta)
    if name in backends.GPU_MODULES:
        return gpu_rays.laplace_density(name, sdf, beta)
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
    if name == "cpu":
        return _bound(sdf, t, offsets, beta, True)
    if name in backends.GPU_MODULES:
        return gpu_rays.opacity_error(name, sdf, t, offsets, beta)
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
    if name == "cpu":
        return _bound(sdf, t, offsets, beta, False)
    if name in backends.GPU_MODULES:
        return gpu_rays.error_bound(name, sdf, t, offsets, beta)
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
    if name == "cpu":
        return _solve(sdf, t, offsets, beta, epsilon, iterations)
    if name in backends.GPU_MODULES:
        return gpu_rays.solve_beta(name, sdf, t, offsets, beta, epsilon, iterations)
    return reference.solve_beta(sdf, t, offsets, beta, epsilon, iterations)


def _check_beta(op: str, beta: Tensor, like: Tensor, count: int) -> None:
    checks.other(op, "beta", beta, like.dtype, like.device, (), (1,), (count,))
    if beta.device.type == "cpu" and not bool((beta > 0).all()):
        raise ArgumentError(f"{op}: beta must be positive")


def _check(op: str, sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor) -> None:
    checks.floats(op, sdf=(sdf, (None,)), t=(t, (checks.length(op, "sdf", sdf),)))
    checks.packed(op, offsets, sdf)
    _check_beta(op, beta, sdf, offsets.shape[0] - 1)


@torch.library.custom_op("formfield::laplace_density", mutates_args=())
def _density(sdf: Tensor, beta: Tensor) -> Tensor:
    out = torch.empty_like(sdf, memory_format=torch.contiguous_format)
    backends.native().laplace_forward(raw(sdf), raw(beta).view(-1), out, torch.get_num_threads())
    return out


@_density.register_fake
def _(sdf, beta):
    return torch.empty_like(sdf, memory_format=torch.contiguous_format)


@torch.library.custom_op("formfield::laplace_density_backward", mutates_args=())
def _density_backward(grad: Tensor, sdf: Tensor, beta: Tensor, need_sdf: bool, need_beta: bool) -> tuple[Tensor, Tensor]:
    by_sdf, by_beta = _new_gradients(sdf, beta, need_sdf, need_beta)
    backends.native().laplace_backward(
        raw(sdf),
        raw(beta).view(-1),
        raw(grad),
        by_sdf if need_sdf else None,
        by_beta.view(-1) if need_beta else None,
        torch.get_num_threads(),
    )
    return by_sdf, by_beta


@_density_backward.register_fake
def _(grad, sdf, beta, need_sdf, need_beta):
    return _new_gradients(sdf, beta, need_sdf, need_beta)


def _new_gradients(sdf: Tensor, beta: Tensor, need_sdf: bool, need_beta: bool) -> tuple[Tensor, Tensor]:
    new = lambda x, wanted: torch.empty_like(x, memory_format=torch.contiguous_format) if wanted else x.new_empty(0)  # noqa: E731
    return new(sdf, need_sdf), new(beta, need_beta)


def _density_gradient(ctx, grad):
    need = ctx.needs_input_grad
    by_sdf, by_beta = _density_backward(grad, *ctx.saved_tensors, need[0], need[1])
    return by_sdf if need[0] else None, by_beta if need[1] else None


_density.register_autograd(_density_gradient, setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs))


@torch.library.custom_op("formfield::error_bound", mutates_args=())
def _bound(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, per_sample: bool) -> Tensor:
    out = sdf.new_empty(sdf.shape[0] if per_sample else offsets.shape[0] - 1)
    targets = (None, out) if per_sample else (out, None)
    backends.native().error_bound(raw(sdf), raw(t), offsets.contiguous(), raw(beta).view(-1), *targets, torch.get_num_threads())
    return out


@_bound.register_fake
def _(sdf, t, offsets, beta, per_sample):
    return sdf.new_empty(sdf.shape[0] if per_sample else offsets.shape[0] - 1)


@torch.library.custom_op("formfield::solve_beta", mutates_args=())
def _solve(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, iterations: int) -> Tensor:
    out = sdf.new_empty(offsets.shape[0] - 1)
    backends.native().solve_beta(
        raw(sdf), raw(t), offsets.contiguous(), raw(beta).view(-1), epsilon, iterations, out, torch.get_num_threads()
    )
    return out


@_solve.register_fake
def _(sdf, t, offsets, beta, epsilon, iterations):
    return sdf.new_empty(offsets.shape[0] - 1)
