"""Checks shared by the ops on rays and packed samples. Each raises :class:`ArgumentError` naming the argument."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import ArgumentError


def floats(op: str, **tensors: tuple[Tensor, tuple[int | None, ...]]) -> None:
    """All float32 or all float64, on one device, of the given shapes (``None``: any length, the same for all that say ``None`` first)."""
    names = list(tensors)
    first = tensors[names[0]][0]
    for name, (tensor, shape) in tensors.items():
        if not isinstance(tensor, Tensor):
            raise ArgumentError(f"{op}: {name} must be a tensor, not {type(tensor).__name__}")
        if tensor.dtype not in (torch.float32, torch.float64):
            raise ArgumentError(f"{op}: {name} must be float32 or float64, not {tensor.dtype}")
        if tensor.dtype != first.dtype or tensor.device != first.device:
            raise ArgumentError(
                f"{op}: {name} is {tensor.dtype} on {tensor.device}, but {names[0]} is {first.dtype} on {first.device}; they must agree"
            )
        if tensor.dim() != len(shape) or any(want is not None and want != got for want, got in zip(shape, tensor.shape)):
            wanted = ", ".join("any" if s is None else str(s) for s in shape)
            raise ArgumentError(f"{op}: {name} must have shape [{wanted}], not {list(tensor.shape)}")


def length(op: str, name: str, tensor: Tensor) -> int:
    """First length of a tensor, for the checks of others."""
    if not isinstance(tensor, Tensor) or tensor.dim() == 0:
        raise ArgumentError(f"{op}: {name} must be a tensor with at least one dimension, not {_described(tensor)}")
    return tensor.shape[0]


def _described(value: object) -> str:
    return f"{value.dtype} {list(value.shape)} on {value.device}" if isinstance(value, Tensor) else type(value).__name__


def other(op: str, name: str, tensor: Tensor, dtype: torch.dtype, device: torch.device, *shapes: tuple[int | None, ...]) -> None:
    """A tensor of one dtype, on a device, of one of some shapes (``None``: any length)."""
    if isinstance(tensor, Tensor) and tensor.dtype == dtype and tensor.device == device:
        for shape in shapes:
            if len(shape) == tensor.dim() and all(want in (None, have) for want, have in zip(shape, tensor.shape)):
                return
    wanted = " or ".join(str(list(shape)).replace("None", "N") for shape in shapes)
    raise ArgumentError(f"{op}: {name} must be {dtype} {wanted} on {device}, not {_described(tensor)}")


def packed(op: str, offsets: Tensor, samples: Tensor, rays: int | None = None) -> None:
    """``offsets`` is int64 [R+1] on the device of ``samples``, starts at 0, never decreases and ends at the number of samples.

    The values are checked on the CPU only: elsewhere the check would wait for the device.
    """
    if not isinstance(offsets, Tensor) or offsets.dtype != torch.int64 or offsets.dim() != 1 or offsets.numel() < 1:
        raise ArgumentError(f"{op}: offsets must be an int64 tensor of shape [R+1]")
    if offsets.device != samples.device:
        raise ArgumentError(f"{op}: offsets are on {offsets.device}, the samples on {samples.device}; they must agree")
    if rays is not None and offsets.numel() != rays + 1:
        raise ArgumentError(f"{op}: offsets must have {rays + 1} entries for {rays} rays, not {offsets.numel()}")
    if offsets.device.type != "cpu":
        return
    if int(offsets[0]) != 0 or int(offsets[-1]) != samples.shape[0] or bool((offsets[1:] < offsets[:-1]).any()):
        span = f"{int(offsets[0])} to {int(offsets[-1])}"
        raise ArgumentError(f"{op}: offsets must rise from 0 to the number of samples, {samples.shape[0]}; they go from {span}")


def no_nan(op: str, **tensors: Tensor) -> None:
    """No NaN in any of the tensors (CPU only, as above)."""
    for name, tensor in tensors.items():
        if tensor.device.type == "cpu" and bool(torch.isnan(tensor).any()):
            raise ArgumentError(f"{op}: {name} contains NaN")


def fraction(op: str, name: str, value: float) -> float:
    """A number in [0, 1)."""
    if not 0.0 <= value < 1.0:
        raise ArgumentError(f"{op}: {name} must be in [0, 1), not {value}")
    return float(value)
