"""``composite``: volume rendering of packed samples, and the distortion loss on its weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import composite as reference
from . import packed_checks as checks
from .tensors import empty, optional, raws, wanted


def composite(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, *, early_stop: float = 0.0, backend: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Volume rendering, density form: ``alpha_i = 1 - exp(-density_i dt_i)``, ``T_i = prod_{j<i} (1 - alpha_j)``, ``w_i = T_i alpha_i``.

    No background is added: ``values + (1 - opacity) * background`` does that. Depth, normals and the like are channels.

    Args:
        density: Per unit of length, >= 0. [N] float32 or float64
        dt: Lengths of the intervals. [N]
        channels: What is accumulated. [N, C]
        offsets: Where each ray starts. int64 [R+1]
        early_stop: Samples with T below it get weight 0 and no gradient; 0 keeps all.
        backend: Force a backend.
    Returns:
        values [R, C] = sum_i w_i channels_i, opacity [R] = sum_i w_i, weights [N]; zeros for rays without samples.
        Differentiable once to density, dt and channels, through all three outputs. The gradient is accumulated back to front
        (``dL/d density_k = dt_k (T_{k+1} q_k - sum_{j>k} w_j q_j)`` with ``q_j`` the derivative by ``w_j``), which does not cancel.
    Raises:
        ArgumentError: Wrong shape, dtype or device, offsets that do not fit.
        BackendError: A forced backend is missing.
    """
    n = checks.length("composite", "density", density)
    checks.floats("composite", density=(density, (None,)), dt=(dt, (n,)), channels=(channels, (n, None)))
    checks.packed("composite", offsets, density)
    early_stop = checks.fraction("composite", "early_stop", early_stop)
    name = backends.backend("composite", density.device, backend)
    if name != "reference":
        return _composite(density, dt, channels, offsets, early_stop, name)[:3]
    return reference.composite(density, dt, channels, offsets, early_stop)


def composite_alpha(
    alpha: Tensor, channels: Tensor, offsets: Tensor, *, early_stop: float = 0.0, backend: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Volume rendering, opacity form: ``T_i = prod_{j<i} (1 - alpha_j)``, ``w_i = T_i alpha_i``.

    Args:
        alpha: In [0, 1]; exactly 1 is fine. [N]
        channels, offsets, early_stop, backend: As in :func:`composite`.
    Returns:
        values [R, C], opacity [R], weights [N] as in :func:`composite`. Differentiable once to alpha and channels; the backward
        (``dL/d alpha_i = T_i (q_i - R_{i+1})``, ``R_i = alpha_i q_i + (1 - alpha_i) R_{i+1}``) has no division.
    Raises:
        ArgumentError: Wrong shape, dtype or device, offsets that do not fit.
        BackendError: A forced backend is missing.
    """
    checks.floats("composite_alpha", alpha=(alpha, (None,)), channels=(channels, (checks.length("composite_alpha", "alpha", alpha), None)))
    checks.packed("composite_alpha", offsets, alpha)
    early_stop = checks.fraction("composite_alpha", "early_stop", early_stop)
    name = backends.backend("composite_alpha", alpha.device, backend)
    if name != "reference":
        return _alpha(alpha, channels, offsets, early_stop, name)[:3]
    return reference.composite_alpha(alpha, channels, offsets, early_stop)


def distortion_loss(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, *, backend: str | None = None) -> Tensor:
    """Distortion of mip-NeRF 360, ``sum_ij w_i w_j |t_i - t_j| + 1/3 sum_i w_i^2 dt_i`` per ray, in linear time.

    Args:
        weights: From :func:`composite`. [N]
        t: Midpoints, rising along a ray. [N]
        dt: Lengths. [N]
        offsets: int64 [R+1]
        backend: Force a backend.
    Returns:
        [R], 0 for rays without samples. Differentiable once to ``weights``.
    Raises:
        ArgumentError: Wrong shape, dtype or device, offsets that do not fit.
        BackendError: A forced backend is missing.
    """
    n = checks.length("distortion_loss", "weights", weights)
    checks.floats("distortion_loss", weights=(weights, (None,)), t=(t, (n,)), dt=(dt, (n,)))
    checks.packed("distortion_loss", offsets, weights)
    name = backends.backend("distortion_loss", weights.device, backend)
    if name != "reference":
        return _distortion(weights, t.detach(), dt.detach(), offsets, name)
    return reference.distortion_loss(weights, t.detach(), dt.detach(), offsets)


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import composite

        return composite
    return backends.raw(backend, "composite", like)


def _outputs(samples: Tensor, channels: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rays = offsets.shape[0] - 1
    return channels.new_empty(rays, channels.shape[1]), channels.new_empty(rays), empty(samples), empty(samples)


@torch.library.custom_op("formfield::composite", mutates_args=())
def _composite(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, backend: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """values, opacity, weights, and the transmittance behind each sample, which the backward needs."""
    out = _outputs(density, channels, offsets)
    _kernels(backend, density).composite_forward(*raws(density, dt, channels, offsets), early_stop, *out)
    return out


@_composite.register_fake
def _(density, dt, channels, offsets, early_stop, backend):
    return _outputs(density, channels, offsets)


@torch.library.custom_op("formfield::composite_backward", mutates_args=())
def _composite_backward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, weights: Tensor, after: Tensor, by_values: Tensor | None,
    by_opacity: Tensor | None, by_weights: Tensor | None, needed: list[bool], backend: str,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    out = empty(density, needed[0]), empty(dt, needed[1]), empty(channels, needed[2])
    given = (optional(by_values), optional(by_opacity), optional(by_weights))
    inputs = raws(density, dt, channels, offsets, weights, after)
    _kernels(backend, density).composite_backward(*inputs, *given, *wanted(out, needed))
    return out


@_composite_backward.register_fake
def _(density, dt, channels, offsets, weights, after, by_values, by_opacity, by_weights, needed, backend):
    return empty(density, needed[0]), empty(dt, needed[1]), empty(channels, needed[2])


def _composite_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.backend = inputs[5]
    ctx.save_for_backward(*inputs[:4], *output[2:])


def _composite_gradient(ctx, *grads):
    needed = list(ctx.needs_input_grad[:3])
    out = _composite_backward(*ctx.saved_tensors, *grads[:3], needed, ctx.backend)
    return (*wanted(out, needed), None, None, None)


_composite.register_autograd(_composite_gradient, setup_context=_composite_setup)


@torch.library.custom_op("formfield::composite_alpha", mutates_args=())
def _alpha(alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, backend: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """values, opacity, weights, and the transmittance in front of each sample, which the backward needs."""
    out = _outputs(alpha, channels, offsets)
    _kernels(backend, alpha).composite_alpha_forward(*raws(alpha, channels, offsets), early_stop, *out)
    return out


@_alpha.register_fake
def _(alpha, channels, offsets, early_stop, backend):
    return _outputs(alpha, channels, offsets)


@torch.library.custom_op("formfield::composite_alpha_backward", mutates_args=())
def _alpha_backward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, weights: Tensor, before: Tensor, by_values: Tensor | None,
    by_opacity: Tensor | None, by_weights: Tensor | None, early_stop: float, needed: list[bool], backend: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    out = empty(alpha, needed[0]), empty(channels, needed[1])
    given = (optional(by_values), optional(by_opacity), optional(by_weights))
    inputs = (*raws(alpha, channels, offsets), early_stop, *raws(weights, before))
    _kernels(backend, alpha).composite_alpha_backward(*inputs, *given, *wanted(out, needed))
    return out


@_alpha_backward.register_fake
def _(alpha, channels, offsets, weights, before, by_values, by_opacity, by_weights, early_stop, needed, backend):
    return empty(alpha, needed[0]), empty(channels, needed[1])


def _alpha_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.early_stop, ctx.backend = inputs[3:]
    ctx.save_for_backward(*inputs[:3], *output[2:])


def _alpha_gradient(ctx, *grads):
    needed = list(ctx.needs_input_grad[:2])
    out = _alpha_backward(*ctx.saved_tensors, *grads[:3], ctx.early_stop, needed, ctx.backend)
    return (*wanted(out, needed), None, None, None)


_alpha.register_autograd(_alpha_gradient, setup_context=_alpha_setup)


@torch.library.custom_op("formfield::distortion_loss", mutates_args=())
def _distortion(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, backend: str) -> Tensor:
    loss = weights.new_empty(offsets.shape[0] - 1)
    _kernels(backend, weights).distortion_forward(*raws(weights, t, dt, offsets), loss)
    return loss


@_distortion.register_fake
def _(weights, t, dt, offsets, backend):
    return weights.new_empty(offsets.shape[0] - 1)


@torch.library.custom_op("formfield::distortion_loss_backward", mutates_args=())
def _distortion_backward(grad: Tensor, weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, backend: str) -> Tensor:
    out = empty(weights)
    _kernels(backend, weights).distortion_backward(*raws(weights, t, dt, offsets, grad), out)
    return out


@_distortion_backward.register_fake
def _(grad, weights, t, dt, offsets, backend):
    return empty(weights)


def _distortion_setup(ctx, inputs, output):
    ctx.backend = inputs[4]
    ctx.save_for_backward(*inputs[:4])


def _distortion_gradient(ctx, grad):
    return _distortion_backward(grad, *ctx.saved_tensors, ctx.backend), None, None, None, None


_distortion.register_autograd(_distortion_gradient, setup_context=_distortion_setup)
