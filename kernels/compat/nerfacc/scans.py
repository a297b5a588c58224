"""The four running sums and products, differentiable: of batches along the last axis, of packed data by chunks or by equal indices."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from . import segments


class _Sum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, starts: Tensor, counts: Tensor, x: Tensor, exclusive: bool, reverse: bool) -> Tensor:
        ctx.save_for_backward(starts, counts)
        ctx.exclusive, ctx.reverse = exclusive, reverse
        return segments.scan(starts, counts, x, False, exclusive, reverse)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        starts, counts = ctx.saved_tensors
        return None, None, _Sum.apply(starts, counts, grads[0], ctx.exclusive, not ctx.reverse), None, None


class _Product(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, starts: Tensor, counts: Tensor, x: Tensor, exclusive: bool) -> Tensor:
        ctx.save_for_backward(starts, counts, x)
        ctx.exclusive = exclusive
        return segments.scan(starts, counts, x, True, exclusive, False)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        starts, counts, x = ctx.saved_tensors
        return None, None, segments.product_backward(starts, counts, x, grads[0], ctx.exclusive), None


def _chunks(x: Tensor, packed_info: Tensor | None, indices: Tensor | None) -> tuple[Tensor, Tensor] | None:
    if packed_info is not None and indices is not None:
        raise ValueError("only one of packed_info and indices may be given")
    if packed_info is None and indices is None:
        return None
    if x.ndim != 1:
        raise ValueError(f"packed inputs must have shape [N], not {list(x.shape)}")
    if indices is not None:
        return segments.runs(indices)
    if packed_info.ndim != 2 or packed_info.shape[1] != 2:  # type: ignore[union-attr]
        raise ValueError(f"packed_info must have shape [rays, 2], not {list(packed_info.shape)}")  # type: ignore[union-attr]
    return packed_info.unbind(-1)  # type: ignore[union-attr, return-value]


def inclusive_sum(inputs: Tensor, packed_info: Tensor | None = None, indices: Tensor | None = None) -> Tensor:
    """Running sums, the element included.

    Args:
        inputs: [..., n]; or [N] with one of the following.
        packed_info: [rays, 2], start and length of each chunk.
        indices: [N]; neighbours with the same index form a chunk.
    Returns:
        Shape of ``inputs``. Differentiable.
    """
    chunks = _chunks(inputs, packed_info, indices)
    return inputs.cumsum(-1) if chunks is None else _Sum.apply(*chunks, inputs, False, False)  # type: ignore[return-value]


def exclusive_sum(inputs: Tensor, packed_info: Tensor | None = None, indices: Tensor | None = None) -> Tensor:
    """Running sums of what is before the element; arguments as in :func:`inclusive_sum`."""
    chunks = _chunks(inputs, packed_info, indices)
    if chunks is None:
        return torch.cat([torch.zeros_like(inputs[..., :1]), inputs[..., :-1]], -1).cumsum(-1)
    return _Sum.apply(*chunks, inputs, True, False)  # type: ignore[return-value]


def inclusive_prod(inputs: Tensor, packed_info: Tensor | None = None, indices: Tensor | None = None) -> Tensor:
    """Running products, the element included; arguments as in :func:`inclusive_sum`."""
    chunks = _chunks(inputs, packed_info, indices)
    return inputs.cumprod(-1) if chunks is None else _Product.apply(*chunks, inputs, False)  # type: ignore[return-value]


def exclusive_prod(inputs: Tensor, packed_info: Tensor | None = None, indices: Tensor | None = None) -> Tensor:
    """Running products of what is before the element; arguments as in :func:`inclusive_sum`."""
    chunks = _chunks(inputs, packed_info, indices)
    if chunks is None:
        return torch.cat([torch.ones_like(inputs[..., :1]), inputs[..., :-1]], -1).cumprod(-1)
    return _Product.apply(*chunks, inputs, True)  # type: ignore[return-value]
