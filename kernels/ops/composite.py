"""``composite``: volume rendering of packed samples, and the distortion loss on its weights."""

from __future__ import annotations

import torch
from torch import Tensor

from .. import backends
from ..reference import composite as reference
from . import gpu_rays
from . import packed_checks as checks
from .native_specs import raw


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
    if name == "cpu":
        return _composite(density, dt, channels, offsets, early_stop)[:3]
    if name in backends.GPU_MODULES:
        return gpu_rays.composite(name, density, dt, channels, offsets, early_stop)
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
    if name == "cpu":
        return _alpha(alpha, channels, offsets, early_stop)[:3]
    if name in backends.GPU_MODULES:
        return gpu_rays.composite_alpha(name, alpha, channels, offsets, early_stop)
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
    if name == "cpu":
        return _distortion(weights, t.detach(), dt.detach(), offsets)
    if name in backends.GPU_MODULES:
        return gpu_rays.distortion_loss(name, weights, t.detach(), dt.detach(), offsets)
    return reference.distortion_loss(weights, t.detach(), dt.detach(), offsets)


def _outputs(samples: Tensor, channels: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rays = offsets.shape[0] - 1
    new = lambda *shape: channels.new_empty(shape)  # noqa: E731
    return new(rays, channels.shape[1]), new(rays), new(samples.shape[0]), new(samples.shape[0])


def _given(grads: tuple[Tensor | None, ...]) -> tuple[Tensor | None, ...]:
    return tuple(None if g is None else g.contiguous() for g in grads[:3])


def _empty_like(x: Tensor, wanted: bool) -> Tensor:
    return torch.empty_like(x, memory_format=torch.contiguous_format) if wanted else x.new_empty(0)


@torch.library.custom_op("formfield::composite", mutates_args=())
def _composite(density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, early_stop: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """values, opacity, weights, and the transmittance behind each sample, which the backward needs."""
    out = _outputs(density, channels, offsets)
    inputs = (raw(density), raw(dt), raw(channels), offsets.contiguous())
    backends.native().composite_forward(*inputs, early_stop, *out, torch.get_num_threads())
    return out


@_composite.register_fake
def _(density, dt, channels, offsets, early_stop):
    return _outputs(density, channels, offsets)


@torch.library.custom_op("formfield::composite_backward", mutates_args=())
def _composite_backward(
    inputs: list[Tensor], saved: list[Tensor], values: Tensor | None, opacity: Tensor | None, weights: Tensor | None, needed: list[bool]
) -> tuple[Tensor, Tensor, Tensor]:
    grads = tuple(_empty_like(x, want) for x, want in zip(inputs[:3], needed))
    density, dt, channels, offsets = (raw(x) for x in inputs)
    backends.native().composite_backward(
        *(density, dt, channels, offsets),
        *(raw(x) for x in saved),
        *_given((values, opacity, weights)),
        *(g if want else None for g, want in zip(grads, needed)),
        torch.get_num_threads(),
    )
    return grads[0], grads[1], grads[2]


@_composite_backward.register_fake
def _(inputs, saved, values, opacity, weights, needed):
    return tuple(_empty_like(x, want) for x, want in zip(inputs[:3], needed))


def _composite_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.save_for_backward(*inputs[:4], *output[2:])


def _composite_gradient(ctx, *grads):
    density, dt, channels, offsets, weights, after = ctx.saved_tensors
    needed = list(ctx.needs_input_grad[:3])
    out = _composite_backward([density, dt, channels, offsets], [weights, after], *grads[:3], needed)
    return (*(g if want else None for g, want in zip(out, needed)), None, None)


_composite.register_autograd(_composite_gradient, setup_context=_composite_setup)


@torch.library.custom_op("formfield::composite_alpha", mutates_args=())
def _alpha(alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """values, opacity, weights, and the transmittance in front of each sample, which the backward needs."""
    out = _outputs(alpha, channels, offsets)
    backends.native().composite_alpha_forward(raw(alpha), raw(channels), offsets.contiguous(), early_stop, *out, torch.get_num_threads())
    return out


@_alpha.register_fake
def _(alpha, channels, offsets, early_stop):
    return _outputs(alpha, channels, offsets)


@torch.library.custom_op("formfield::composite_alpha_backward", mutates_args=())
def _alpha_backward(
    inputs: list[Tensor],
    saved: list[Tensor],
    early_stop: float,
    values: Tensor | None,
    opacity: Tensor | None,
    weights: Tensor | None,
    needed: list[bool],
) -> tuple[Tensor, Tensor]:
    grads = tuple(_empty_like(x, want) for x, want in zip(inputs[:2], needed))
    alpha, channels, offsets = (raw(x) for x in inputs)
    backends.native().composite_alpha_backward(
        *(alpha, channels, offsets, early_stop),
        *(raw(x) for x in saved),
        *_given((values, opacity, weights)),
        *(g if want else None for g, want in zip(grads, needed)),
        torch.get_num_threads(),
    )
    return grads[0], grads[1]


@_alpha_backward.register_fake
def _(inputs, saved, early_stop, values, opacity, weights, needed):
    return tuple(_empty_like(x, want) for x, want in zip(inputs[:2], needed))


def _alpha_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    ctx.early_stop = inputs[3]
    ctx.save_for_backward(*inputs[:3], *output[2:])


def _alpha_gradient(ctx, *grads):
    alpha, channels, offsets, weights, before = ctx.saved_tensors
    needed = list(ctx.needs_input_grad[:2])
    out = _alpha_backward([alpha, channels, offsets], [weights, before], ctx.early_stop, *grads[:3], needed)
    return (*(g if want else None for g, want in zip(out, needed)), None, None)


_alpha.register_autograd(_alpha_gradient, setup_context=_alpha_setup)


@torch.library.custom_op("formfield::distortion_loss", mutates_args=())
def _distortion(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor) -> Tensor:
    loss = weights.new_empty(offsets.shape[0] - 1)
    backends.native().distortion_forward(raw(weights), raw(t), raw(dt), offsets.contiguous(), loss, torch.get_num_threads())
    return loss


@_distortion.register_fake
def _(weights, t, dt, offsets):
    return weights.new_empty(offsets.shape[0] - 1)


@torch.library.custom_op("formfield::distortion_loss_backward", mutates_args=())
def _distortion_backward(grad: Tensor, weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor) -> Tensor:
    out = _empty_like(weights, True)
    backends.native().distortion_backward(raw(weights), raw(t), raw(dt), offsets.contiguous(), raw(grad), out, torch.get_num_threads())
    return out


@_distortion_backward.register_fake
def _(grad, weights, t, dt, offsets):
    return _empty_like(weights, True)


_distortion.register_autograd(
    lambda ctx, grad: (_distortion_backward(grad, *ctx.saved_tensors), None, None, None),
    setup_context=lambda ctx, inputs, output: ctx.save_for_backward(*inputs),
)
