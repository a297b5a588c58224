"""``composite``, ``composite_alpha`` and ``distortion_loss`` on the CPU: native/cpu/composite.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import composite_alpha_backward as _alpha_backward
from ..._native import composite_alpha_forward as _alpha_forward
from ..._native import composite_backward as _backward
from ..._native import composite_forward as _forward
from ..._native import distortion_backward as _distortion_backward
from ..._native import distortion_forward as _distortion_forward


def composite_forward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, values: Tensor, opacity: Tensor, weights: Tensor,
    after: Tensor,
) -> None:  # fmt: skip
    """density, dt [N], channels [N, C] -> values [R, C], opacity [R], weights [N], and transmittances [N] for the backward."""
    _forward(density, dt, channels, offsets, early_stop, values, opacity, weights, after, torch.get_num_threads())


def composite_backward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, weights: Tensor, after: Tensor, grad_values: Tensor | None,
    grad_opacity: Tensor | None, grad_weights: Tensor | None, grad_density: Tensor | None, grad_dt: Tensor | None,
    grad_channels: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of the inputs (the last three, written) from those of the outputs; None is a gradient of 0, or a result not wanted."""
    grads = (grad_values, grad_opacity, grad_weights, grad_density, grad_dt, grad_channels)
    _backward(density, dt, channels, offsets, weights, after, *grads, torch.get_num_threads())


def composite_alpha_forward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, values: Tensor, opacity: Tensor, weights: Tensor, before: Tensor
) -> None:
    """As :func:`composite_forward`, of opacities."""
    _alpha_forward(alpha, channels, offsets, early_stop, values, opacity, weights, before, torch.get_num_threads())


def composite_alpha_backward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, weights: Tensor, before: Tensor, grad_values: Tensor | None,
    grad_opacity: Tensor | None, grad_weights: Tensor | None, grad_alpha: Tensor | None, grad_channels: Tensor | None,
) -> None:  # fmt: skip
    """As :func:`composite_backward`, of opacities."""
    grads = (grad_values, grad_opacity, grad_weights, grad_alpha, grad_channels)
    _alpha_backward(alpha, channels, offsets, early_stop, weights, before, *grads, torch.get_num_threads())


def distortion_forward(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, loss: Tensor) -> None:
    """weights, t, dt [N] -> loss [R]."""
    _distortion_forward(weights, t, dt, offsets, loss, torch.get_num_threads())


def distortion_backward(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, grad_loss: Tensor, grad_weights: Tensor) -> None:
    """Gradient to the weights [N] from that of the losses [R]."""
    _distortion_backward(weights, t, dt, offsets, grad_loss, grad_weights, torch.get_num_threads())
