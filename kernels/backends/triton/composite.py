"""``composite``, ``composite_alpha`` and ``distortion_loss`` in Triton; float32, contiguous tensors, offsets int64 [R+1]."""

from __future__ import annotations

from torch import Tensor

from ..whole import ray_gradients, results
from . import composite_kernels as kernels
from .launch import interpreting, launch, power_of_two

SAMPLES = 32  # scanned together, by one warp: shuffles only


def composite_forward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, values: Tensor, opacity: Tensor, weights: Tensor,
    after: Tensor,
) -> None:  # fmt: skip
    """density, dt [N], channels [N, C] -> values [R, C], opacity [R], weights [N], and transmittances [N] for the backward."""
    _forward(density, dt, channels, offsets, early_stop, values, opacity, weights, after, False)


def composite_backward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, weights: Tensor, after: Tensor, grad_values: Tensor | None,
    grad_opacity: Tensor | None, grad_weights: Tensor | None, grad_density: Tensor | None, grad_dt: Tensor | None,
    grad_channels: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of the inputs (the last three, written) from those of the outputs; None is a gradient of 0, or a result not wanted."""
    grads = ray_gradients(channels, offsets, grad_values, grad_opacity, grad_weights)
    out = results((grad_density, grad_dt, grad_channels), (density, dt, channels))
    _backward(density, dt, channels, offsets, 0.0, weights, after, (*grads, *out), False)


def composite_alpha_forward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, values: Tensor, opacity: Tensor, weights: Tensor, before: Tensor
) -> None:
    """As :func:`composite_forward`, of opacities."""
    _forward(alpha, alpha, channels, offsets, early_stop, values, opacity, weights, before, True)


def composite_alpha_backward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, weights: Tensor, before: Tensor, grad_values: Tensor | None,
    grad_opacity: Tensor | None, grad_weights: Tensor | None, grad_alpha: Tensor | None, grad_channels: Tensor | None,
) -> None:  # fmt: skip
    """As :func:`composite_backward`, of opacities."""
    grads = ray_gradients(channels, offsets, grad_values, grad_opacity, grad_weights)
    out = results((grad_alpha, grad_channels), (alpha, channels))
    _backward(alpha, alpha, channels, offsets, early_stop, weights, before, (*grads, out[0], out[0], out[1]), True)


def distortion_forward(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, loss: Tensor) -> None:
    """weights, t, dt [N] -> loss [R]."""
    launch(kernels.distortion_forward, (loss.shape[0],), weights, t, dt, offsets, loss, warps=1, BLOCK=_samples())


def distortion_backward(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, grad_loss: Tensor, grad_weights: Tensor) -> None:
    """Gradient to the weights [N] from that of the losses [R]."""
    launch(kernels.distortion_backward, (grad_loss.shape[0],), weights, t, dt, offsets, grad_loss, grad_weights, warps=1, BLOCK=_samples())


def _forward(density, dt, channels, offsets, early_stop, values, opacity, weights, after, alpha) -> None:
    width = channels.shape[1]
    launch(
        kernels.composite_forward, (values.shape[0],), density, dt, channels, offsets, values, opacity, weights, after, early_stop, warps=1,
        C=width, CP=power_of_two(width), ALPHA=alpha, BLOCK=_samples(),
    )  # fmt: skip


def _backward(density, dt, channels, offsets, early_stop, weights, after, grads, alpha) -> None:
    width = channels.shape[1]
    launch(
        kernels.composite_backward, (offsets.shape[0] - 1,), density, dt, channels, offsets, weights, after, *grads, early_stop, warps=1,
        C=width, CP=power_of_two(width), ALPHA=alpha, BLOCK=_samples(),
    )  # fmt: skip


def _samples() -> int:
    return 16 if interpreting() else SAMPLES
