"""``rbf_layer`` in Triton: features as a tile axis, a loop over neurons; float32.

Squares are summed directly, without the cancellation of an expansion into matrix products. Gradients of parameters: a program per neuron
and share of the samples sums in registers, and adds once by atomics.
"""
# pyright: reportArgumentType=false, reportOperatorIssue=false, reportIndexIssue=false

from __future__ import annotations

import triton
import triton.language as tl
from torch import Tensor

from .launch import block, cdiv, launch, power_of_two

SHARE = 1 << 13
"""Samples whose gradients to the parameters are summed before they are added."""


@triton.jit
def _rows(P, i, c, C: tl.constexpr, m):
    """Rows ``i`` of [N, C], 0 where ``m`` is not set and in padding columns."""
    return tl.load(P + i[:, None] * C + c[None, :], mask=m[:, None] & (c[None, :] < C), other=0.0)


@triton.jit
def _neuron(x, v, c, b, TANGENT: tl.constexpr):
    """``x - c``, phi and its derivative along v (0 without one) of one neuron. x, v [rows, features]; c, b [features]"""
    d = x - c[None, :]
    scaled = d * b[None, :]
    phi = tl.exp(-0.5 * tl.sum(scaled * d, 1))
    if TANGENT:
        along = -phi * tl.sum(scaled * v, 1)
    else:
        along = phi * 0.0
    return d, phi, along


@triton.jit
def gaussians_forward(
    X, V, CENTERS, BETAS, WEIGHT, BIAS, OUT, N, R,
    F: tl.constexpr, FP: tl.constexpr, O: tl.constexpr, OP: tl.constexpr, TANGENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """``OUT = bias + W phi``, or (TANGENT) its change along V."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    f = tl.arange(0, FP)
    o = tl.arange(0, OP)
    m = i < N
    x = _rows(X, i, f, F, m)
    v = x
    acc = tl.zeros((BLOCK, OP), tl.float32)
    if TANGENT:
        v = _rows(V, i, f, F, m)
    else:
        acc += tl.load(BIAS + o, mask=o < O, other=0.0)[None, :]
    for r in range(0, R):
        c = tl.load(CENTERS + r * F + f, mask=f < F, other=0.0)
        b = tl.load(BETAS + r * F + f, mask=f < F, other=0.0)
        _d, phi, along = _neuron(x, v, c, b, TANGENT)
        w = tl.load(WEIGHT + o * R + r, mask=o < O, other=0.0)
        if TANGENT:
            acc += along[:, None] * w[None, :]
        else:
            acc += phi[:, None] * w[None, :]
    tl.store(OUT + i[:, None] * O + o[None, :], acc, mask=m[:, None] & (o[None, :] < O))


@triton.jit
def gaussians_to_features(
    X, V, CENTERS, BETAS, WEIGHT, GRAD, BY_X, N, R,
    F: tl.constexpr, FP: tl.constexpr, O: tl.constexpr, OP: tl.constexpr, TANGENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradient of ``<GRAD, OUT>`` (of gaussians_forward) to X."""
    i = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    f = tl.arange(0, FP)
    o = tl.arange(0, OP)
    m = i < N
    x = _rows(X, i, f, F, m)
    v = x
    if TANGENT:
        v = _rows(V, i, f, F, m)
    g = _rows(GRAD, i, o, O, m)
    by_x = tl.zeros((BLOCK, FP), tl.float32)
    for r in range(0, R):
        c = tl.load(CENTERS + r * F + f, mask=f < F, other=0.0)
        b = tl.load(BETAS + r * F + f, mask=f < F, other=0.0)
        d, phi, along = _neuron(x, v, c, b, TANGENT)
        q = tl.sum(g * tl.load(WEIGHT + o * R + r, mask=o < O, other=0.0)[None, :], 1)
        if TANGENT:
            by_x -= b[None, :] * ((q * along)[:, None] * d + (q * phi)[:, None] * v)
        else:
            by_x -= b[None, :] * ((q * phi)[:, None] * d)
    tl.store(BY_X + i[:, None] * F + f[None, :], by_x, mask=m[:, None] & (f[None, :] < F))


@triton.jit
def gaussians_to_parameters(
    X, V, CENTERS, BETAS, WEIGHT, GRAD, SUMS, N, R, SHARE,
    F: tl.constexpr, FP: tl.constexpr, O: tl.constexpr, OP: tl.constexpr, TANGENT: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Gradients to the parameters of neuron program_id(0), and of neuron 0 to the bias, added to SUMS: centers, log_betas, weight, bias."""
    r = tl.program_id(0)
    first = tl.program_id(1).to(tl.int64) * SHARE
    f = tl.arange(0, FP)
    o = tl.arange(0, OP)
    c = tl.load(CENTERS + r * F + f, mask=f < F, other=0.0)
    b = tl.load(BETAS + r * F + f, mask=f < F, other=0.0)
    w = tl.load(WEIGHT + o * R + r, mask=o < O, other=0.0)
    by_center = tl.zeros((FP,), tl.float32)
    by_beta = tl.zeros((FP,), tl.float32)
    by_weight = tl.zeros((OP,), tl.float32)
    by_bias = tl.zeros((OP,), tl.float32)
    for start in range(0, tl.minimum(N - first, SHARE), BLOCK):
        i = first + start + tl.arange(0, BLOCK)
        m = i < N
        x = _rows(X, i, f, F, m)
        v = x
        if TANGENT:
            v = _rows(V, i, f, F, m)
        g = _rows(GRAD, i, o, O, m)  # 0 beyond the last sample, and all sums with it
        d, phi, along = _neuron(x, v, c, b, TANGENT)
        q = tl.sum(g * w[None, :], 1)
        t = b[None, :] * ((q * phi)[:, None] * d)
        twice = t * d
        if TANGENT:
            moved = b[None, :] * ((q * along)[:, None] * d + (q * phi)[:, None] * v)
            twice = moved * d + t * v
            t = moved
            by_weight += tl.sum(g * along[:, None], 0)
        else:
            by_weight += tl.sum(g * phi[:, None], 0)
            by_bias += tl.sum(g, 0)
        by_center += tl.sum(t, 0)
        by_beta += tl.sum(twice, 0)
    tl.atomic_add(SUMS + r * F + f, by_center, mask=f < F, sem="relaxed")
    tl.atomic_add(SUMS + (R + r) * F + f, -0.5 * by_beta, mask=f < F, sem="relaxed")
    tl.atomic_add(SUMS + 2 * R * F + o * R + r, by_weight, mask=o < O, sem="relaxed")
    if not TANGENT:
        tl.atomic_add(SUMS + 2 * R * F + O * R + o, by_bias, mask=o < tl.where(r == 0, O, 0), sem="relaxed")


def _tiles(features: Tensor, outputs: int) -> tuple[int, dict[str, int]]:
    """Samples of a tile of at most 2048 numbers, and the compile-time shape."""
    wide, padded = max(power_of_two(features.shape[1]), 2), max(power_of_two(outputs), 2)
    rows = block(features.shape[0], max(2048 // max(wide, padded), 1))
    return rows, {"F": features.shape[1], "FP": wide, "O": outputs, "OP": padded, "BLOCK": rows}


def _forward(
    features: Tensor, direction: Tensor | None, centers: Tensor, betas: Tensor, weight: Tensor, bias: Tensor | None, out: Tensor
) -> None:
    rows, shape = _tiles(features, out.shape[1])
    launch(
        gaussians_forward, (cdiv(features.shape[0], rows),), features, features if direction is None else direction, centers, betas, weight,
        weight if bias is None else bias, out, features.shape[0], centers.shape[0], TANGENT=direction is not None, **shape,
    )  # fmt: skip


def rbf_layer_forward(features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """out [N, O]; see :func:`kernels.rbf_layer`."""
    _forward(features, None, centers, log_betas.exp(), weight, bias, out)


def rbf_layer_backward(
    features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, grad: Tensor, direction: Tensor | None,
    by_grad: Tensor | None, by_features: Tensor | None, sums: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>``, or with a direction [N, F] of ``<direction, the gradient to features>``; by_grad only then.

    ``sums`` has centers, log_betas, weight and bias one after another and is added to, the others are written; each may be None.
    """
    n, neurons, betas = features.shape[0], centers.shape[0], log_betas.exp()
    if by_grad is not None:
        _forward(features, direction, centers, betas, weight, None, by_grad)
    rows, shape = _tiles(features, grad.shape[1])
    given = (features, features if direction is None else direction, centers, betas, weight, grad)
    tangent = direction is not None
    if by_features is not None:
        launch(gaussians_to_features, (cdiv(n, rows),), *given, by_features, n, neurons, TANGENT=tangent, **shape)
    if sums is not None:
        share = max(SHARE // rows, 1) * rows
        launch(gaussians_to_parameters, (neurons, cdiv(n, share)), *given, sums, n, neurons, share, TANGENT=tangent, **shape)
