"""Running sums and products of packed data, and searches in it. Chunks are rows: where each begins and how long it is."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ...errors import BackendError


def native() -> Any:
    """The compiled kernels.

    Raises:
        BackendError: They are not built; scans and walks have no other version.
    """
    try:
        return importlib.import_module("kernels._native")
    except ImportError as error:
        raise BackendError(f"the native extension is not built ({error}); install a C++ compiler and run: pip install -e .") from error


def on_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with tensors of any device: they are copied to the CPU, and what it returns back to where the first of them lay."""

    def call(*arguments: Any) -> Any:
        device = next(a.device for a in arguments if isinstance(a, Tensor))
        if device.type == "cpu":
            return function(*arguments)
        moved = [a.cpu() if isinstance(a, Tensor) else a for a in arguments]
        return _moved(function(*moved), device)

    call.__doc__, call.__name__ = function.__doc__, function.__name__
    return call


def _moved(value: Any, device: torch.device) -> Any:
    if isinstance(value, Tensor):
        return value.to(device)
    if isinstance(value, tuple | list):
        return type(value)(_moved(v, device) for v in value)
    if hasattr(value, "__dict__"):
        for key, member in vars(value).items():
            setattr(value, key, _moved(member, device))
    return value


def _long(x: Tensor) -> Tensor:
    return x.detach().long().contiguous()


def _real(x: Tensor) -> Tensor:
    x = x.detach().contiguous()
    return x if x.dtype in (torch.float32, torch.float64) else x.float()


@on_cpu
def scan(starts: Tensor, counts: Tensor, x: Tensor, product: bool, exclusive: bool, reverse: bool) -> Tensor:
    """Running sum or product within each chunk, accumulated in double precision. What lies in no chunk becomes 0.

    Args:
        starts, counts: [chunks].
        x: [N].
        product: Of the factors; else the sum.
        exclusive: Without the element itself.
        reverse: From the last element on.
    Returns:
        [N]. Not differentiable.
    """
    out = torch.zeros_like(_real(x))
    native().packed_scan(_long(starts), _long(counts), _real(x), out, product, exclusive, reverse, torch.get_num_threads())
    return out.to(x.dtype)


@on_cpu
def product_backward(starts: Tensor, counts: Tensor, x: Tensor, grad: Tensor, exclusive: bool) -> Tensor:
    """Gradient of :func:`scan` with ``product``, forward, to ``x``; also where factors are 0."""
    out = torch.zeros_like(_real(x))
    native().packed_product_backward(
        _long(starts), _long(counts), _real(x), _real(grad.to(x.dtype)), out, exclusive, torch.get_num_threads()
    )
    return out.to(x.dtype)


@on_cpu
def upper_bound(values: Tensor, rows: Tensor, sorted_values: Tensor, firsts: Tensor, lasts: Tensor) -> Tensor:
    """For every value, the first place in [first, last) of its row that holds a greater number, or last.

    Args:
        values, rows: [N], and the row of each.
        sorted_values: [M], ascending within every row.
        firsts, lasts: [R], the places of each row.
    Returns:
        int64 [N].
    """
    out = torch.empty(values.shape[0], dtype=torch.long)
    values, sorted_values = _real(values), _real(sorted_values).to(values.dtype)
    native().packed_upper_bound(values, _long(rows), sorted_values, _long(firsts), _long(lasts), out, torch.get_num_threads())
    return out


def runs(indices: Tensor) -> tuple[Tensor, Tensor]:
    """Starts and lengths of the runs of equal indices: the same index after another one is a run of its own."""
    _, counts = torch.unique_consecutive(indices, return_counts=True)
    return counts.cumsum(0) - counts, counts


def pack_info(ray_indices: Tensor, n_rays: int | None = None) -> Tensor:
    """Start and number of the samples of each ray.

    Args:
        ray_indices: [N] integers, ascending.
        n_rays: Number of rays; one more than the greatest index by default.
    Returns:
        [n_rays, 2], dtype of ``ray_indices``.
    """
    if ray_indices.ndim != 1:
        raise ValueError(f"ray_indices must have shape [N], not {list(ray_indices.shape)}")
    with torch.no_grad():
        if n_rays is None:
            n_rays = int(ray_indices.max()) + 1 if ray_indices.numel() else 0
        counts = torch.zeros(int(n_rays), dtype=ray_indices.dtype, device=ray_indices.device)
        counts.index_add_(0, ray_indices, torch.ones_like(ray_indices))
        return torch.stack([counts.cumsum(0, dtype=ray_indices.dtype) - counts, counts], -1)
