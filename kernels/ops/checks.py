"""Checks of arguments that several ops share. Each raises :class:`ArgumentError` naming the argument."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ArgumentError
from ..specs import HashGridSpec

MAX_COORDINATE = 2.0**10  # beyond it, a point times a scale of 2**20 would leave the 32-bit integers


def float_tensor(name: str, tensor: Tensor, shape: tuple[int | None, ...], like: Tensor | None = None) -> None:
    """Float32 or float64, of a shape (``None``: any length), with the dtype and device of ``like``."""
    if not isinstance(tensor, Tensor):
        raise ArgumentError(f"{name} must be a tensor, not {type(tensor).__name__}")
    if tensor.dtype not in (torch.float32, torch.float64):
        raise ArgumentError(f"{name} must be float32 or float64, not {tensor.dtype}")
    if tensor.ndim != len(shape) or any(want is not None and want != have for want, have in zip(shape, tensor.shape)):
        wanted = ", ".join("N" if length is None else str(length) for length in shape)
        raise ArgumentError(f"{name} must have shape [{wanted}], not {list(tensor.shape)}")
    if like is not None and (tensor.dtype != like.dtype or tensor.device != like.device):
        raise ArgumentError(f"{name} is {tensor.dtype} on {tensor.device}, but x is {like.dtype} on {like.device}; they must agree")


def finite_points(x: Tensor) -> None:
    """Coordinates finite and not absurdly far outside [0, 1]. Only on the CPU: elsewhere it would wait for the device."""
    if x.device.type != "cpu" or x.numel() == 0:
        return
    low, high = (float(v) for v in torch.aminmax(x.detach()))
    if not (low >= -MAX_COORDINATE and high <= MAX_COORDINATE):
        raise ArgumentError(f"x must be finite and within [-{MAX_COORDINATE:g}, {MAX_COORDINATE:g}]; it spans {low:g} to {high:g}")


def active(active_levels: int | None, grid: HashGridSpec) -> int:
    """Number of active levels, all by default."""
    if active_levels is None:
        return grid.levels
    if not 0 <= active_levels <= grid.levels:
        raise ArgumentError(f"active_levels must be 0 to {grid.levels}, not {active_levels}")
    return int(active_levels)


def fixed_points(op: str, x: Tensor) -> None:
    """For results that are not differentiable to the points."""
    if x.requires_grad and torch.is_grad_enabled():
        raise ArgumentError(f"{op} is not differentiable to x; pass x.detach()")
