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


def zeros(like: Tensor, wanted: bool = True) -> Tensor:
    """For a result that is added to; of no elements if it is not wanted."""
    return torch.zeros_like(like, memory_format=torch.contiguous_format) if wanted else like.new_empty(0)


def wanted(tensors: Iterable[Tensor], needed: Iterable[bool]) -> tuple[Tensor | None, ...]:
    """None in the place of those that are not needed."""
    return tuple(t if need else None for t, need in zip(tensors, needed, strict=True))
