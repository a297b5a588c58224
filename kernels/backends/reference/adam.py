"""One step of Adam in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor


@torch.no_grad()
def adam_step(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    steps: Tensor,
    lr: float,
    betas: tuple[float, float],
    eps: float,
    weight_decay: float,
    skip_zero: bool,
    clear: bool = False,
) -> None:
    """In place; see :func:`kernels.adam_step`."""
    beta1, beta2 = betas
    rows = torch.ones(param.shape[0], dtype=torch.bool, device=param.device)
    if skip_zero:
        rows = (grad != 0).flatten(1).any(1) if grad.ndim > 1 else grad != 0
        steps += rows.to(steps.dtype)
    else:
        steps += 1
    t = steps.double().reshape(-1, *[1] * (param.ndim - 1)) if skip_zero else steps.double()
    g = grad + weight_decay * param
    keep = rows.reshape(-1, *[1] * (param.ndim - 1))
    exp_avg.copy_(torch.where(keep, beta1 * exp_avg + (1 - beta1) * g, exp_avg))
    exp_avg_sq.copy_(torch.where(keep, beta2 * exp_avg_sq + (1 - beta2) * g * g, exp_avg_sq))
    rate = (lr * (1 - beta2**t).sqrt() / (1 - beta1**t)).to(param.dtype)
    param.copy_(torch.where(keep, param - rate * exp_avg / (exp_avg_sq.sqrt() + eps), param))
    if clear:
        grad.zero_()
