"""For GPU kernels that read every gradient and write every result: those that are not there."""

from __future__ import annotations

import torch
from torch import Tensor


def ray_gradients(
    channels: Tensor, offsets: Tensor, values: Tensor | None, opacity: Tensor | None, weights: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of what compositing gives, values [R, C], opacity [R] and weights [N]: zeros for None."""
    rays, (n, count) = offsets.shape[0] - 1, channels.shape
    return (
        channels.new_zeros(rays, count) if values is None else values,
        channels.new_zeros(rays) if opacity is None else opacity,
        channels.new_zeros(n) if weights is None else weights,
    )


def results(wanted: tuple[Tensor | None, ...], like: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """Where to write: scratch for None."""
    return tuple(torch.empty_like(x) if result is None else result for result, x in zip(wanted, like, strict=True))
