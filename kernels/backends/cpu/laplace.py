"""``laplace_density``, ``opacity_error``, ``error_bound`` and ``solve_beta`` on the CPU: native/cpu/laplace.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import error_bound as _error_bound
from ..._native import laplace_backward as _backward
from ..._native import laplace_forward as _forward
from ..._native import solve_beta as _solve_beta


def laplace_forward(sdf: Tensor, beta: Tensor, density: Tensor) -> None:
    """sdf [N], beta [1] or [N] -> density [N]."""
    _forward(sdf, beta, density, torch.get_num_threads())


def laplace_backward(sdf: Tensor, beta: Tensor, grad: Tensor, grad_sdf: Tensor | None, grad_beta: Tensor | None) -> None:
    """Gradients to sdf [N] and to beta, [1] or [N]; each may be None."""
    _backward(sdf, beta, grad, grad_sdf, grad_beta, torch.get_num_threads())


def opacity_error(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, errors: Tensor) -> None:
    """errors [N]; beta [1] or [R]."""
    _error_bound(sdf, t, offsets, beta, None, errors, torch.get_num_threads())


def error_bound(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, bounds: Tensor) -> None:
    """bounds [R]; beta [1] or [R]."""
    _error_bound(sdf, t, offsets, beta, bounds, None, torch.get_num_threads())


def solve_beta(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, iterations: int, result: Tensor) -> None:
    """result [R]; beta [1] or [R]."""
    _solve_beta(sdf, t, offsets, beta, epsilon, iterations, result, torch.get_num_threads())
