"""``rbf_encode`` in Triton: the sines and sums over channels, which is where its time goes.

The values of the functions, [N, K], small beside it, are plain torch, whose derivatives of any order come from autograd.
Nothing of size N x K x F exists. Gradients of weights are summed by atomics.
"""
# pyright: reportArgumentType=false, reportOperatorIssue=false

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

from ..reference.rbf import KERNELS, rbf_values
from .launch import block, cdiv, launch, power_of_two


@triton.jit
def _wave(p, m, SINE: tl.constexpr):
    """``sin(m p)`` and its first two derivatives by p, or p, 1 and 0. [points, channels]"""
    if SINE:
        s = tl.sin(p[:, None] * m[None, :])
        return s, m[None, :] * tl.cos(p[:, None] * m[None, :]), -m[None, :] * m[None, :] * s
    else:
        one = p[:, None] * 0.0 + (m[None, :] * 0.0 + 1.0)
        return p[:, None] * one, one, one * 0.0


@triton.jit
def channels_forward(
    VALUES, TANGENT, IDS, COLUMNS, M, WEIGHTS, OUT, N,
    K: tl.constexpr, F: tl.constexpr, FP: tl.constexpr, SINE: tl.constexpr, SECOND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``OUT_f = sum_k wave(p_k) w_kf``, or (SECOND) ``sum_k TANGENT_k wave'(p_k) w_kf``."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    f = tl.program_id(1) * FP + tl.arange(0, FP)
    m = i < N
    frequency = tl.load(M + f, mask=f < F, other=0.0)
    acc = tl.zeros((BLOCK, FP), tl.float32)
    for k in range(0, K):
        p = tl.load(VALUES + i * K + k, mask=m, other=0.0)
        row = tl.load(IDS + i * COLUMNS + k, mask=m, other=-1).to(tl.int64)
        mask = (m & (row >= 0))[:, None] & (f[None, :] < F)
        w = tl.load(WEIGHTS + row[:, None] * F + f[None, :], mask=mask, other=0.0)
        value, first, _second = _wave(p, frequency, SINE)
        if SECOND:
            acc += tl.load(TANGENT + i * K + k, mask=m, other=0.0)[:, None] * first * w
        else:
            acc += value * w
    tl.store(OUT + i[:, None] * F + f[None, :], acc, mask=m[:, None] & (f[None, :] < F))


@triton.jit
def channels_backward(
    VALUES, TANGENT, IDS, COLUMNS, M, WEIGHTS, GRAD, BY_VALUES, BY_WEIGHTS, N,
    K: tl.constexpr, F: tl.constexpr, FP: tl.constexpr, SINE: tl.constexpr, SECOND: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients of ``<GRAD, OUT>`` to the values and, added, to the weights; FP >= F: a program sees all channels of its points."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    f = tl.arange(0, FP)
    m = i < N
    frequency = tl.load(M + f, mask=f < F, other=0.0)
    g = tl.load(GRAD + i[:, None] * F + f[None, :], mask=m[:, None] & (f[None, :] < F), other=0.0)
    for k in range(0, K):
        p = tl.load(VALUES + i * K + k, mask=m, other=0.0)
        row = tl.load(IDS + i * COLUMNS + k, mask=m, other=-1).to(tl.int64)
        mask = (m & (row >= 0))[:, None] & (f[None, :] < F)
        w = tl.load(WEIGHTS + row[:, None] * F + f[None, :], mask=mask, other=0.0)
        value, first, second = _wave(p, frequency, SINE)
        if SECOND:
            v = tl.load(TANGENT + i * K + k, mask=m, other=0.0)
            by_value = tl.sum(g * second * w, 1) * v
            by_weight = g * first * v[:, None]
        else:
            by_value = tl.sum(g * first * w, 1)
            by_weight = g * value
        tl.store(BY_VALUES + i * K + k, by_value, mask=m)
        tl.atomic_add(BY_WEIGHTS + row[:, None] * F + f[None, :], by_weight, mask=mask, sem="relaxed")


def _channels_forward(
    values: Tensor, tangent: Tensor | None, neighbors: Tensor, frequencies: Tensor | None, weights: Tensor, out: Tensor
) -> None:
    """out [N, F] from values [N, K], or its change along ``tangent`` [N, K]; of neighbors the first K columns are read."""
    n, channels = out.shape
    wide = min(max(power_of_two(channels), 2), 64)
    rows = block(n, max(4096 // wide // 4, 16))
    launch(
        channels_forward, (cdiv(n, rows), cdiv(channels, wide)),
        values, values if tangent is None else tangent, neighbors, neighbors.shape[1], values if frequencies is None else frequencies,
        weights, out, n, K=values.shape[1], F=channels, FP=wide, SINE=frequencies is not None, SECOND=tangent is not None, BLOCK=rows,
    )  # fmt: skip


def _channels_backward(
    values: Tensor, tangent: Tensor | None, neighbors: Tensor, frequencies: Tensor | None, weights: Tensor, grad: Tensor,
    by_values: Tensor, by_weights: Tensor,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>`` (of :func:`_channels_forward`): by_values [N, K] written, by_weights [M, F] added to."""
    n, channels = grad.shape
    wide = max(power_of_two(channels), 2)
    rows = block(n, max(4096 // wide // 4, 1))
    launch(
        channels_backward, (cdiv(n, rows),),
        values, values if tangent is None else tangent, neighbors, neighbors.shape[1], values if frequencies is None else frequencies,
        weights, grad, by_values, by_weights, n,
        K=values.shape[1], F=channels, FP=wide, SINE=frequencies is not None, SECOND=tangent is not None, BLOCK=rows,
    )  # fmt: skip


def _values(x: Tensor, centers: Tensor, shapes: Tensor, neighbors: Tensor, kernel: int, flags: int) -> Tensor:
    return rbf_values(x, centers, shapes, neighbors, KERNELS[kernel], bool(flags & 1), bool(flags & 2), bool(flags & 4)).contiguous()


def rbf_forward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    out: Tensor,
) -> None:  # fmt: skip
    """out [N, F]; kernel an index into ``KERNELS``; flags: 1 normalize, 2 taper, 4 detach_normalizer."""
    _channels_forward(_values(x, centers, shapes, neighbors, kernel, flags), None, neighbors, frequencies, weights, out)


def rbf_backward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    grad: Tensor, direction: Tensor | None, by_grad: Tensor | None, by_x: Tensor | None, by_centers: Tensor | None,
    by_shapes: Tensor | None, by_weights: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>``, or with a direction [N, D] of ``<direction, the gradient to x>``; by_grad only then.

    Those of points are written, those of functions added to; each may be None. With p the values, dp the gradient to them and t their
    change along the direction, the second is ``<t, dp>``, which depends on the points and functions through p and t.
    """

    def values_and_change(at: Tensor, centers: Tensor, shapes: Tensor) -> tuple[Tensor, ...]:
        if direction is None:
            return (_values(at, centers, shapes, neighbors, kernel, flags),)
        return torch.func.jvp(lambda y: _values(y, centers, shapes, neighbors, kernel, flags), (at,), (direction,))

    # torch.func: inside an operator plain autograd records nothing
    found, pull = torch.func.vjp(values_and_change, x, centers, shapes)[:2]
    p, *change = found
    by_values = torch.empty_like(p)
    sums = torch.zeros_like(weights) if by_weights is None else by_weights
    adjoints = (by_values,)
    if not change:
        _channels_backward(p, None, neighbors, frequencies, weights, grad, by_values, sums)
    else:
        (t,), by_change = (c.contiguous() for c in change), torch.empty_like(p)
        _channels_backward(p, None, neighbors, frequencies, weights, grad, by_change, torch.zeros_like(weights))
        _channels_backward(p, t, neighbors, frequencies, weights, grad, by_values, sums)
        if by_grad is not None:
            _channels_forward(p, t, neighbors, frequencies, weights, by_grad)
        adjoints = (by_values, by_change)
    through_x, through_centers, through_shapes = pull(adjoints)
    if by_x is not None:
        by_x.copy_(through_x)
    if by_centers is not None:
        by_centers += through_centers
    if by_shapes is not None:
        by_shapes += through_shapes
