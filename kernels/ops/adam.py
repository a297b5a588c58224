"""``adam_step``: Adam fused into one pass, leaving untouched table entries alone where asked."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import adam as reference
from ..errors import ArgumentError
from . import checks


@torch.no_grad()
def adam_step(
    param: Tensor,
    grad: Tensor,
    exp_avg: Tensor,
    exp_avg_sq: Tensor,
    steps: Tensor,
    *,
    lr: float,
    betas: tuple[float, float] = (0.9, 0.99),
    eps: float = 1e-15,
    weight_decay: float = 0.0,
    skip_zero: bool = False,
    clear_grad: bool = False,
    backend: str | None = None,
) -> None:
    """One step of Adam (Kingma and Ba 2015), in place.

    ``g += weight_decay * w``, ``m = b1 m + (1 - b1) g``, ``v = b2 v + (1 - b2) g^2``, ``t += 1``,
    ``w -= lr * sqrt(1 - b2^t) / (1 - b1^t) * m / (sqrt(v) + eps)``.

    Args:
        param: [entries, ...], float32 or float64, contiguous.
        grad, exp_avg, exp_avg_sq: Shape, dtype and device of ``param``, contiguous.
        steps: int32 counts of steps, raised by one: [1], or [entries] with ``skip_zero``.
        lr: Learning rate.
        betas: Decay of the two averages, in [0, 1).
        eps: Added to the root; tiny because gradients of table entries are tiny.
        weight_decay: L2 penalty added to the gradient.
        skip_zero: Leave a row alone (value, averages, count) when its gradient is exactly 0, as a sparse optimiser does.
        clear_grad: Set the gradient to 0, on the CPU in the same pass; see :func:`kernels.reuse_gradient`.
        backend: Force a backend.
    Raises:
        ArgumentError: Wrong shape, dtype, device or range; not contiguous.
        BackendError: A forced backend is missing.
    """
    if param.ndim == 0:
        raise ArgumentError("param must have at least one dimension")
    checks.float_tensor("param", param, tuple(param.shape))
    for name, tensor in (("param", param), ("grad", grad), ("exp_avg", exp_avg), ("exp_avg_sq", exp_avg_sq)):
        checks.float_tensor(name, tensor, tuple(param.shape), like=param)
        if not tensor.is_contiguous():
            raise ArgumentError(f"{name} must be contiguous: it is changed in place")
    count = param.shape[0] if skip_zero else 1
    if steps.dtype != torch.int32 or tuple(steps.shape) != (count,) or steps.device != param.device:
        raise ArgumentError(f"steps must be int32 [{count}] on {param.device}, not {steps.dtype} {list(steps.shape)} on {steps.device}")
    if not all(0 <= beta < 1 for beta in betas):
        raise ArgumentError(f"betas must be in [0, 1), not {betas}")
    name = backends.backend("adam_step", param.device, backend)
    tensors = (param.detach(), grad.detach(), exp_avg.detach(), exp_avg_sq.detach(), steps)
    step = reference.adam_step if name == "reference" else _kernels(name, param).adam_step
    step(*tensors, lr, betas, eps, weight_decay, skip_zero, clear_grad)


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import adam

        return adam
    return backends.raw(backend, "adam", like)
