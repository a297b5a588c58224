"""``adam_step`` in CUDA: launchers of native/cuda/adam.cu."""

from __future__ import annotations

import math

from torch import Tensor

from . import runtime
from .runtime import unit_of


def adam_step(
    param: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, steps: Tensor, lr: float, betas: tuple[float, float], eps: float,
    weight_decay: float, skip_zero: bool, clear: bool = False,
) -> None:  # fmt: skip
    """In place; see :func:`kernels.adam_step`."""
    rows = param.shape[0] if skip_zero else param.numel()
    if not skip_zero:
        steps += 1
    logs = (math.log(beta) if beta > 0 else -1e4 for beta in betas)  # exp(-1e4) is 0: beta^t for beta = 0
    runtime.launch(
        unit_of("adam", param), "adam_rows", (rows, 1), rows, param.numel() // max(rows, 1), param, grad, exp_avg, exp_avg_sq, steps,
        float(lr), *map(float, betas), *logs, float(eps), float(weight_decay), int(skip_zero),
    )  # fmt: skip
    if clear:
        grad.zero_()
