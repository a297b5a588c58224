"""``laplace_density``, ``opacity_error``, ``error_bound`` and ``solve_beta`` in CUDA: launchers of native/cuda/density.cu."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import runtime
from .runtime import unit_of


def _each(beta: Tensor) -> int:
    return int(beta.numel() > 1)


def laplace_forward(sdf: Tensor, beta: Tensor, density: Tensor) -> None:
    """sdf [N], beta [1] or [N] -> density [N]."""
    n = sdf.shape[0]
    runtime.launch(unit_of("density", sdf), "laplace_forward", (n, 1), n, sdf, beta, _each(beta), density)


def laplace_backward(sdf: Tensor, beta: Tensor, grad: Tensor, grad_sdf: Tensor | None, grad_beta: Tensor | None) -> None:
    """Gradients to sdf [N] and to beta, [1] or [N]; each may be None."""
    n = sdf.shape[0]
    by_sdf, per_sample = torch.empty_like(sdf) if grad_sdf is None else grad_sdf, torch.empty_like(sdf)
    runtime.launch(unit_of("density", sdf), "laplace_backward", (n, 1), n, sdf, beta, _each(beta), grad, by_sdf, per_sample)
    if grad_beta is not None:
        grad_beta.copy_(per_sample if _each(beta) else per_sample.sum().view(1))


def opacity_error(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, errors: Tensor) -> None:
    """errors [N]; beta [1] or [R]."""
    rays = offsets.shape[0] - 1
    runtime.launch(unit_of("density", sdf), "error_bounds", (rays, 1), rays, sdf, t, offsets, beta, _each(beta), errors, None)


def error_bound(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, bounds: Tensor) -> None:
    """bounds [R]; beta [1] or [R]."""
    rays = offsets.shape[0] - 1
    runtime.launch(unit_of("density", sdf), "error_bounds", (rays, 1), rays, sdf, t, offsets, beta, _each(beta), None, bounds)


def solve_beta(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, iterations: int, result: Tensor) -> None:
    """result [R]; beta [1] or [R]."""
    rays = offsets.shape[0] - 1
    runtime.launch(
        unit_of("density", sdf), "solve_betas", (rays, 1), rays, sdf, t, offsets, beta, _each(beta), float(epsilon), math.log1p(epsilon),
        iterations, torch.empty_like(t), result,
    )  # fmt: skip
