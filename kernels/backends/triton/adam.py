"""``adam_step`` in Triton."""

# pyright: reportOperatorIssue=false
# (Triton's language is not Python)
from __future__ import annotations

import math

import triton
import triton.language as tl
from torch import Tensor

from .composite_kernels import minus_expm1
from .launch import block, cdiv, launch, power_of_two


@triton.jit
def adam_kernel(
    PARAM, GRAD, M, V, STEPS, N, lr, beta1, beta2, rest1, rest2, log1, log2, eps, decay,
    F: tl.constexpr, FP: tl.constexpr, SKIP: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Rows of F parameters. rest = 1 - beta, log = log(beta): bias corrections 1 - beta^t without cancellation."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    f = tl.arange(0, FP)
    m = i < N
    p = i[:, None] * F + f[None, :]
    mask = m[:, None] & (f[None, :] < F)
    g = tl.load(GRAD + p, mask=mask, other=0.0)
    if SKIP:
        m = m & (tl.max((g != 0.0).to(tl.int32), 1) > 0)
        mask = mask & m[:, None]
        t = tl.load(STEPS + i, mask=m, other=0) + 1
        tl.store(STEPS + i, t, mask=m)
    else:
        t = tl.zeros((BLOCK,), tl.int32) + tl.load(STEPS)
    w = tl.load(PARAM + p, mask=mask, other=0.0)
    g += decay * w
    m1 = beta1 * tl.load(M + p, mask=mask, other=0.0) + rest1 * g
    m2 = beta2 * tl.load(V + p, mask=mask, other=0.0) + rest2 * g * g
    tl.store(M + p, m1, mask=mask)
    tl.store(V + p, m2, mask=mask)
    ft = t.to(tl.float32)
    rate = lr * tl.sqrt_rn(minus_expm1(-log2 * ft)) / minus_expm1(-log1 * ft)
    tl.store(PARAM + p, w - rate[:, None] * m1 / (tl.sqrt_rn(m2) + eps), mask=mask)


def adam_step(
    param: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, steps: Tensor, lr: float, betas: tuple[float, float], eps: float,
    weight_decay: float, skip_zero: bool, clear: bool = False,
) -> None:  # fmt: skip
    """In place; see :func:`kernels.adam_step`. float32, contiguous, steps int32 [1] or (skip_zero) [entries]."""
    entries = param.shape[0] if skip_zero else param.numel()
    width = param.numel() // max(entries, 1) if skip_zero else 1
    if not skip_zero:
        steps += 1
    padded = power_of_two(width)
    rows = block(entries, max(1024 // padded, 1))
    rest = tuple(1.0 - beta for beta in betas)
    logs = tuple(math.log(beta) if beta > 0 else -1e4 for beta in betas)  # exp(-1e4) is 0: beta^t for beta = 0
    launch(
        adam_kernel, (cdiv(entries, rows),), param, grad, exp_avg, exp_avg_sq, steps, entries, lr, *betas, *rest, *logs, eps, weight_decay,
        F=width, FP=padded, SKIP=skip_zero, BLOCK=rows,
    )  # fmt: skip
    if clear:
        grad.zero_()
