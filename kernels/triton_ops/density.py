"""``laplace_density``, ``opacity_error``, ``error_bound``, ``solve_beta`` and ``sample_pdf`` in Triton; float32, contiguous tensors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from . import density_kernels as kernels
from .launch import block, cdiv, interpreting, launch

ELEMENTS = 1024
SAMPLES = 64  # of a ray, scanned together
SEARCH_STEPS = 32  # halvings: enough for a ray of 2^31 samples


def laplace_forward(sdf: Tensor, beta: Tensor, density: Tensor) -> None:
    """sdf [N], beta [1] or [N] -> density [N]."""
    n = sdf.shape[0]
    size = block(n, ELEMENTS)
    launch(kernels.laplace_forward, (cdiv(n, size),), sdf, beta, density, n, PER_SAMPLE=_each(beta), BLOCK=size)


def laplace_backward(sdf: Tensor, beta: Tensor, grad: Tensor, grad_sdf: Tensor, grad_beta: Tensor) -> None:
    """Gradient to sdf [N] and to beta, [N] per sample also where beta is one number."""
    n = sdf.shape[0]
    size = block(n, ELEMENTS)
    launch(kernels.laplace_backward, (cdiv(n, size),), sdf, beta, grad, grad_sdf, grad_beta, n, PER_SAMPLE=_each(beta), BLOCK=size)


def opacity_error(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, errors: Tensor) -> None:
    """errors [N]; beta [1] or [R]."""
    launch(
        kernels.ray_errors, (offsets.shape[0] - 1,), sdf, t, offsets, beta, errors, errors, warps=1,
        PER_RAY=_each(beta), STORE=True, BLOCK=_samples(),
    )  # fmt: skip


def error_bound(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, bounds: Tensor) -> None:
    """bounds [R]; beta [1] or [R]."""
    launch(
        kernels.ray_errors, (offsets.shape[0] - 1,), sdf, t, offsets, beta, bounds, bounds, warps=1,
        PER_RAY=_each(beta), STORE=False, BLOCK=_samples(),
    )  # fmt: skip


def solve_beta(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, iterations: int, result: Tensor) -> None:
    """result [R]; beta [1] or [R]."""
    launch(
        kernels.ray_beta, (offsets.shape[0] - 1,), sdf, t, offsets, beta, result, epsilon, 4 * math.log1p(epsilon), iterations, warps=1,
        PER_RAY=_each(beta), BLOCK=_samples(),
    )  # fmt: skip


def sample_pdf(bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor, samples: Tensor) -> None:
    """samples [R, S] from u [R, S]; bins, weights [N]."""
    mass, cdf = torch.empty_like(weights), torch.empty_like(weights)
    launch(kernels.ray_cdf, (offsets.shape[0] - 1,), bins, weights, offsets, mass, cdf, warps=1, BLOCK=_samples())
    n = u.numel()
    size = block(n, 256)
    launch(
        kernels.invert_cdf, (cdiv(n, size),), bins, mass, cdf, u, offsets, samples, n, max(u.shape[1], 1), STEPS=SEARCH_STEPS, BLOCK=size
    )


def _each(beta: Tensor) -> int:
    return int(beta.numel() > 1)


def _samples() -> int:
    return 16 if interpreting() else SAMPLES
