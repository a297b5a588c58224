"""Gradients and fake kernels of the ops on rays on the GPU backends, cuda and triton; see :mod:`kernels.ops.gpu_fields`."""

from __future__ import annotations

import torch
from torch import Tensor

from ..backends import gpu


def march_rays(name: str, *arguments) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """See :func:`kernels.march_rays`; arguments of the reference."""
    return _march(*arguments, name)


def composite(
    name: str, density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, early_stop: float
) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`kernels.composite`."""
    return _composite(density, dt, channels, offsets, early_stop, name)[:3]


def composite_alpha(name: str, alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float) -> tuple[Tensor, Tensor, Tensor]:
    """See :func:`kernels.composite_alpha`."""
    return _alpha(alpha, channels, offsets, early_stop, name)[:3]


def distortion_loss(name: str, weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor) -> Tensor:
    """See :func:`kernels.distortion_loss`."""
    return _distortion(weights, t, dt, offsets, name)


def laplace_density(name: str, sdf: Tensor, beta: Tensor) -> Tensor:
    """See :func:`kernels.laplace_density`."""
    return _laplace(sdf, beta, name)


def opacity_error(name: str, sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor) -> Tensor:
    """See :func:`kernels.opacity_error`."""
    out = _empty(sdf)
    gpu(name, sdf).opacity_error(*_raw(sdf, t, offsets, beta.reshape(-1)), out)
    return out


def error_bound(name: str, sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor) -> Tensor:
    """See :func:`kernels.error_bound`."""
    out = sdf.new_empty(offsets.shape[0] - 1)
    gpu(name, sdf).error_bound(*_raw(sdf, t, offsets, beta.reshape(-1)), out)
    return out


def solve_beta(name: str, sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, iterations: int) -> Tensor:
    """See :func:`kernels.solve_beta`."""
    out = sdf.new_empty(offsets.shape[0] - 1)
    gpu(name, sdf).solve_beta(*_raw(sdf, t, offsets, beta.reshape(-1)), epsilon, iterations, out)
    return out


def sample_pdf(name: str, bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor) -> Tensor:
    """See :func:`kernels.sample_pdf`."""
    out = _empty(u)
    gpu(name, bins).sample_pdf(*_raw(bins, weights, u, offsets), out)
    return out


def _empty(like: Tensor) -> Tensor:
    return torch.empty_like(like, memory_format=torch.contiguous_format)


def _raw(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.detach().contiguous() for t in tensors)


@torch.library.custom_op("formfield::gpu_march_rays", mutates_args=())
def _march(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    module = gpu(backend, origins)
    if bitfield.data_ptr() % 8:
        bitfield = bitfield.clone()  # read 8 bytes at a time
    rays = (*_raw(origins, directions, near, far, jitter, bitfield), resolution, step, cone_angle)
    counts = torch.zeros(origins.shape[0], dtype=torch.int32, device=origins.device)
    module.march_count(*rays, min(max_samples, 2**31 - 1), counts)
    offsets = torch.zeros(origins.shape[0] + 1, dtype=torch.int64, device=origins.device)
    torch.cumsum(counts, 0, out=offsets[1:])
    samples = int(offsets[-1])  # the size of the results: the one place that waits for the device
    ray_indices = torch.empty(samples, dtype=torch.int32, device=origins.device)
    t, dt = origins.new_empty(samples), origins.new_empty(samples)
    module.march_fill(*rays, min(max_samples, 2**31 - 1), offsets, ray_indices, t, dt)
    return offsets, ray_indices, t, dt


@_march.register_fake
def _(origins, directions, near, far, jitter, bitfield, resolution, step, cone_angle, max_samples, backend):
    samples = torch.library.get_ctx().new_dynamic_size()
    return (
        origins.new_empty(origins.shape[0] + 1, dtype=torch.int64),
        origins.new_empty(samples, dtype=torch.int32),
        origins.new_empty(samples),
        origins.new_empty(samples),
    )


def _outputs(samples: Tensor, channels: Tensor, offsets: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    rays = offsets.shape[0] - 1
    return channels.new_empty(rays, channels.shape[1]), channels.new_empty(rays), _empty(samples), _empty(samples)


@torch.library.custom_op("formfield::gpu_composite", mutates_args=())
def _composite(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, backend: str
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """values, opacity, weights, and the transmittance behind each sample."""
    out = _outputs(density, channels, offsets)
    gpu(backend, density).composite_forward(*_raw(density, dt, channels, offsets), early_stop, *out)
    return out


@_composite.register_fake
def _(density, dt, channels, offsets, early_stop, backend):
    return _outputs(density, channels, offsets)


@torch.library.custom_op("formfield::gpu_composite_backward", mutates_args=())
def _composite_backward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, weights: Tensor, after: Tensor, grad_values: Tensor,
    grad_opacity: Tensor, grad_weights: Tensor, backend: str,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    out = _empty(density), _empty(dt), _empty(channels)
    inputs = _raw(density, dt, channels, offsets, weights, after, grad_values, grad_opacity, grad_weights)
    gpu(backend, density).composite_backward(*inputs, *out)
    return out


@_composite_backward.register_fake
def _(density, dt, channels, offsets, weights, after, grad_values, grad_opacity, grad_weights, backend):
    return _empty(density), _empty(dt), _empty(channels)


def _composite_setup(ctx, inputs, output):
    ctx.backend = inputs[5]
    ctx.save_for_backward(*inputs[:4], *output[2:])


def _composite_gradient(ctx, *grads):
    return (*_composite_backward(*ctx.saved_tensors, *grads[:3], ctx.backend), None, None, None)


_composite.register_autograd(_composite_gradient, setup_context=_composite_setup)


@torch.library.custom_op("formfield::gpu_composite_alpha", mutates_args=())
def _alpha(alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, backend: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """values, opacity, weights, and the transmittance in front of each sample."""
    out = _outputs(alpha, channels, offsets)
    gpu(backend, alpha).composite_alpha_forward(*_raw(alpha, channels, offsets), early_stop, *out)
    return out


@_alpha.register_fake
def _(alpha, channels, offsets, early_stop, backend):
    return _outputs(alpha, channels, offsets)


@torch.library.custom_op("formfield::gpu_composite_alpha_backward", mutates_args=())
def _alpha_backward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, weights: Tensor, before: Tensor, grad_values: Tensor,
    grad_opacity: Tensor, grad_weights: Tensor, backend: str,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    out = _empty(alpha), _empty(channels)
    rest = _raw(weights, before, grad_values, grad_opacity, grad_weights)
    gpu(backend, alpha).composite_alpha_backward(*_raw(alpha, channels, offsets), early_stop, *rest, *out)
    return out


@_alpha_backward.register_fake
def _(alpha, channels, offsets, early_stop, weights, before, grad_values, grad_opacity, grad_weights, backend):
    return _empty(alpha), _empty(channels)


def _alpha_setup(ctx, inputs, output):
    ctx.early_stop, ctx.backend = inputs[3:]
    ctx.save_for_backward(*inputs[:3], *output[2:])


def _alpha_gradient(ctx, *grads):
    alpha, channels, offsets, weights, before = ctx.saved_tensors
    out = _alpha_backward(alpha, channels, offsets, ctx.early_stop, weights, before, *grads[:3], ctx.backend)
    return (*out, None, None, None)


_alpha.register_autograd(_alpha_gradient, setup_context=_alpha_setup)


@torch.library.custom_op("formfield::gpu_distortion_loss", mutates_args=())
def _distortion(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, backend: str) -> Tensor:
    loss = weights.new_empty(offsets.shape[0] - 1)
    gpu(backend, weights).distortion_forward(*_raw(weights, t, dt, offsets), loss)
    return loss


@_distortion.register_fake
def _(weights, t, dt, offsets, backend):
    return weights.new_empty(offsets.shape[0] - 1)


@torch.library.custom_op("formfield::gpu_distortion_loss_backward", mutates_args=())
def _distortion_backward(grad: Tensor, weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, backend: str) -> Tensor:
    out = _empty(weights)
    gpu(backend, weights).distortion_backward(*_raw(weights, t, dt, offsets, grad), out)
    return out


@_distortion_backward.register_fake
def _(grad, weights, t, dt, offsets, backend):
    return _empty(weights)


def _distortion_setup(ctx, inputs, output):
    ctx.backend = inputs[4]
    ctx.save_for_backward(*inputs[:4])


def _distortion_gradient(ctx, grad):
    return _distortion_backward(grad, *ctx.saved_tensors, ctx.backend), None, None, None, None


_distortion.register_autograd(_distortion_gradient, setup_context=_distortion_setup)


@torch.library.custom_op("formfield::gpu_laplace_density", mutates_args=())
def _laplace(sdf: Tensor, beta: Tensor, backend: str) -> Tensor:
    out = _empty(sdf)
    gpu(backend, sdf).laplace_forward(*_raw(sdf, beta.reshape(-1)), out)
    return out


@_laplace.register_fake
def _(sdf, beta, backend):
    return _empty(sdf)


@torch.library.custom_op("formfield::gpu_laplace_density_backward", mutates_args=())
def _laplace_backward(grad: Tensor, sdf: Tensor, beta: Tensor, backend: str) -> tuple[Tensor, Tensor]:
    by_sdf, by_beta = _empty(sdf), _empty(sdf)
    gpu(backend, sdf).laplace_backward(*_raw(sdf, beta.reshape(-1), grad), by_sdf, by_beta)
    # one number for all samples: the sum of their gradients (a sum of N numbers where beta has N of them)
    return by_sdf, by_beta if beta.numel() == sdf.numel() and beta.dim() == 1 else by_beta.sum().reshape(beta.shape)


@_laplace_backward.register_fake
def _(grad, sdf, beta, backend):
    return _empty(sdf), _empty(beta)


def _laplace_setup(ctx, inputs, output):
    ctx.backend = inputs[2]
    ctx.save_for_backward(*inputs[:2])


def _laplace_gradient(ctx, grad):
    return (*_laplace_backward(grad, *ctx.saved_tensors, ctx.backend), None)


_laplace.register_autograd(_laplace_gradient, setup_context=_laplace_setup)
