"""``laplace_density``, ``opacity_error``, ``error_bound`` and ``solve_beta`` in Triton; float32, contiguous tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import density_kernels as kernels
from .launch import block, cdiv, interpreting, launch

ELEMENTS = 1024
SAMPLES = 64  # of a ray, scanned together


def laplace_forward(sdf: Tensor, beta: Tensor, density: Tensor) -> None:
    """sdf [N], beta [1] or [N] -> density [N]."""
    n = sdf.shape[0]
    size = block(n, ELEMENTS)
    launch(kernels.laplace_forward, (cdiv(n, size),), sdf, beta, density, n, PER_SAMPLE=_each(beta), BLOCK=size)


def laplace_backward(sdf: Tensor, beta: Tensor, grad: Tensor, grad_sdf: Tensor | None, grad_beta: Tensor | None) -> None:
    """Gradients to sdf [N] and to beta, [1] or [N]; each may be None."""
    n = sdf.shape[0]
    by_sdf, per_sample = torch.empty_like(sdf) if grad_sdf is None else grad_sdf, torch.empty_like(sdf)
    size = block(n, ELEMENTS)
    launch(kernels.laplace_backward, (cdiv(n, size),), sdf, beta, grad, by_sdf, per_sample, n, PER_SAMPLE=_each(beta), BLOCK=size)
    if grad_beta is not None:
        grad_beta.copy_(per_sample if _each(beta) else per_sample.sum().view(1))


def opacity_error(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, errors: Tensor) -> None:
    """errors [N]; beta [1] or [R]."""
    launch(
        kernels.ray_errors, (offsets.shape[0] - 1,), sdf, t, offsets, beta, errors, errors, warps=1,
        PER_RAY=_each(beta), STORE=True, BLOCK=samples_together(),
    )  # fmt: skip


def error_bound(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, bounds: Tensor) -> None:
    """bounds [R]; beta [1] or [R]."""
    launch(
        kernels.ray_errors, (offsets.shape[0] - 1,), sdf, t, offsets, beta, bounds, bounds, warps=1,
        PER_RAY=_each(beta), STORE=False, BLOCK=samples_together(),
    )  # fmt: skip


def solve_beta(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, iterations: int, result: Tensor) -> None:
    """result [R]; beta [1] or [R]."""
    launch(
        kernels.ray_beta, (offsets.shape[0] - 1,), sdf, t, offsets, beta, result, epsilon, 4 * math.log1p(epsilon), iterations, warps=1,
        PER_RAY=_each(beta), BLOCK=samples_together(),
    )  # fmt: skip


def _each(beta: Tensor) -> int:
    return int(beta.numel() > 1)


def samples_together() -> int:
    return 16 if interpreting() else SAMPLES
