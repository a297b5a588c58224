"""Tensors as raw functions take them (detached, contiguous), and new ones for what they write."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVarTuple, cast

import torch
from torch import Tensor

Tensors = TypeVarTuple("Tensors")


def raw(tensor: Tensor) -> Tensor:
    """Detached and contiguous."""
    return tensor.detach().contiguous()


def raws(*tensors: *Tensors) -> tuple[*Tensors]:
    """Each of them detached and contiguous, as many as given."""
    return cast(tuple[*Tensors], tuple(raw(cast(Tensor, t)) for t in tensors))


def optional(tensor: Tensor | None) -> Tensor | None:
    """Detached and contiguous, if there is one."""
    return None if tensor is None else raw(tensor)


def empty(like: Tensor, wanted: bool = True) -> Tensor:
    """For a result that is written; of no elements if it is not wanted, because an operator cannot return None."""
    return torch.empty_like(like, memory_format=torch.contiguous_format) if wanted else like.new_empty(0)


_cleared: dict[tuple[torch.Size, torch.dtype, torch.device], list[Tensor]] = {}
_KEPT = 2  # of a kind


def reuse_gradient(grad: Tensor) -> None:
    """Hand over a gradient that is 0 everywhere (``adam_step(..., clear_grad=True)``): a later backward pass adds to it where it would
    allocate and clear a new one. Nobody may use it any more."""
    if grad.is_contiguous() and not grad.requires_grad:
        kept = _cleared.setdefault((grad.shape, grad.dtype, grad.device), [])
        if len(kept) < _KEPT:
            kept.append(grad)


def zeros(like: Tensor, wanted: bool = True) -> Tensor:
    """For a result that is added to; of no elements if it is not wanted."""
    if not wanted:
        return like.new_empty(0)
    kept = _cleared.get((like.shape, like.dtype, like.device)) if type(like) is Tensor or isinstance(like, torch.nn.Parameter) else None
    return kept.pop() if kept else torch.zeros_like(like, memory_format=torch.contiguous_format)


def wanted(tensors: Iterable[Tensor], needed: Iterable[bool]) -> tuple[Tensor | None, ...]:
    """None in the place of those that are not needed."""
    return tuple(t if need else None for t, need in zip(tensors, needed, strict=True))
