"""``adam_step`` on the CPU: native/cpu/adam.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import adam_step as _adam_step


def adam_step(
    param: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, steps: Tensor, lr: float, betas: tuple[float, float], eps: float,
    weight_decay: float, skip_zero: bool, clear: bool = False,
) -> None:  # fmt: skip
    """In place; see :func:`kernels.adam_step`. With ``clear`` the gradient is 0 afterwards."""
    _adam_step(param, grad, exp_avg, exp_avg_sq, steps, lr, *betas, eps, weight_decay, skip_zero, clear, torch.get_num_threads())
