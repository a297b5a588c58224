"""``adam_step`` in CUDA: launchers of native/cuda/adam.cu."""

from __future__ import annotations

import math

from torch import Tensor

from . import runtime
from .runtime import Unit, unit_of


def _unit(param: Tensor, width: int, aligned: bool) -> Unit:
    """Rows of up to 8 numbers are moved at once, and 4 numbers where all have one count of steps (width 0)."""
    return unit_of("adam", param, WIDTH=width if aligned and width <= 8 else 0, AT_ONCE=4 if aligned else 1)


def adam_step(
    param: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, steps: Tensor, lr: float, betas: tuple[float, float], eps: float,
    weight_decay: float, skip_zero: bool, clear: bool = False,
) -> None:  # fmt: skip
    """In place; see :func:`kernels.adam_step`."""
    tensors, count = (param, grad, exp_avg, exp_avg_sq), param.numel()
    aligned = all(t.data_ptr() % 16 == 0 for t in tensors)
    logs = (math.log(beta) if beta > 0 else -1e4 for beta in betas)  # exp(-1e4) is 0: beta^t for beta = 0
    shares = (number for beta in betas for number in (float(beta), 1.0 - beta))
    numbers = (float(lr), *shares, *logs, float(eps), float(weight_decay), int(clear))
    if skip_zero:
        rows, width = param.shape[0], count // max(param.shape[0], 1)
        runtime.launch(_unit(param, width, aligned), "adam_rows", (rows, 1), rows, width, *tensors, steps, *numbers)
    else:
        steps += 1
        unit = _unit(param, 0, aligned)
        runtime.launch(unit, "adam_all", (-(-count // 4) if aligned else count, 1), count, *tensors, steps, *numbers)
