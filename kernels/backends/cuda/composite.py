"""``composite``, ``composite_alpha`` and ``distortion_loss`` in CUDA: launchers of native/cuda/composite.cu."""

from __future__ import annotations

from torch import Tensor

from . import runtime
from .runtime import Unit, aligned, unit_of

LANES = 32  # a warp per ray


def _composite_unit(channels: Tensor) -> Unit:
    return unit_of("composite", channels, CHANNELS=channels.shape[1] if channels.shape[1] <= 16 else 0)


def composite_forward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, values: Tensor, opacity: Tensor, weights: Tensor,
    after: Tensor,
) -> None:  # fmt: skip
    """density, dt [N], channels [N, C] -> values [R, C], opacity [R], weights [N], and transmittances [N] for the backward."""
    rays, count = values.shape
    inputs = (density, dt, aligned(channels), count, offsets)
    runtime.launch(
        _composite_unit(channels), "composite_forward", (rays * LANES, 1), rays, *inputs, float(early_stop), values, opacity, weights, after
    )


def composite_backward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, weights: Tensor, after: Tensor, grad_values: Tensor | None,
    grad_opacity: Tensor | None, grad_weights: Tensor | None, grad_density: Tensor | None, grad_dt: Tensor | None,
    grad_channels: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of the inputs (the last three, written) from those of the outputs; None is a gradient of 0, or a result not wanted."""
    rays, inputs = offsets.shape[0] - 1, (density, dt, aligned(channels), channels.shape[1], offsets, weights, after)
    gradients = (grad_values, grad_opacity, grad_weights, grad_density, grad_dt, grad_channels)
    runtime.launch(_composite_unit(channels), "composite_backward", (rays * LANES, 1), rays, *inputs, *gradients)


def composite_alpha_forward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, values: Tensor, opacity: Tensor, weights: Tensor, before: Tensor
) -> None:
    """As :func:`composite_forward`, of opacities."""
    rays, count = values.shape
    outputs = (values, opacity, weights, before)
    runtime.launch(
        _composite_unit(channels), "composite_alpha_forward", (rays * LANES, 1),
        rays, alpha, aligned(channels), count, offsets, float(early_stop), *outputs,
    )  # fmt: skip


def composite_alpha_backward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, weights: Tensor, before: Tensor, grad_values: Tensor | None,
    grad_opacity: Tensor | None, grad_weights: Tensor | None, grad_alpha: Tensor | None, grad_channels: Tensor | None,
) -> None:  # fmt: skip
    """As :func:`composite_backward`, of opacities."""
    rays, inputs = offsets.shape[0] - 1, (alpha, aligned(channels), channels.shape[1], offsets, float(early_stop), weights, before)
    gradients = (grad_values, grad_opacity, grad_weights, grad_alpha, grad_channels)
    runtime.launch(_composite_unit(channels), "composite_alpha_backward", (rays * LANES, 1), rays, *inputs, *gradients)


def distortion_forward(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, loss: Tensor) -> None:
    """weights, t, dt [N] -> loss [R]."""
    rays = loss.shape[0]
    runtime.launch(unit_of("composite", t, CHANNELS=0), "distortion_forward", (rays * LANES, 1), rays, weights, t, dt, offsets, loss)


def distortion_backward(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, grad_loss: Tensor, grad_weights: Tensor) -> None:
    """Gradient to the weights [N] from that of the losses [R]."""
    rays = grad_loss.shape[0]
    inputs = (weights, t, dt, offsets, grad_loss, grad_weights)
    runtime.launch(unit_of("composite", t, CHANNELS=0), "distortion_backward", (rays * LANES, 1), rays, *inputs)
