"""``sample_pdf``: inverse transform sampling along packed rays."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import sampling as reference
from ..errors import ArgumentError
from . import packed_checks as checks
from .tensors import empty, raws


@torch.no_grad()
def sample_pdf(bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor, *, backend: str | None = None) -> Tensor:
    """Draw from the piecewise constant distributions that weights on intervals define, one distribution per ray.

    Entry k of a ray is the point ``bins[k]`` and the unnormalised probability ``weights[k]`` of the interval from it to the next; the
    weight of a ray's last entry is ignored. Where all weights of a ray are 0 its samples are uniform between its first and last point.

    Args:
        bins: Rising along each ray. [N]
        weights: >= 0. [N]
        u: Numbers in [0, 1], S for each ray; samples are sorted if these are. [R, S]
        offsets: int64 [R+1]
        backend: Force a backend.
    Returns:
        [R, S], between the first and last point of the ray; that point for rays with one, NaN for rays with none. Not differentiable.
    Raises:
        ArgumentError: Wrong shape, dtype or device, offsets that do not fit, negative weights, u outside [0, 1].
        BackendError: A forced backend is missing.
    """
    n = checks.length("sample_pdf", "bins", bins)
    checks.floats("sample_pdf", bins=(bins, (None,)), weights=(weights, (n,)), u=(u, (None, None)))
    checks.packed("sample_pdf", offsets, bins, rays=u.shape[0])
    if u.device.type == "cpu":
        if u.numel() and not bool(((u >= 0) & (u <= 1)).all()):
            raise ArgumentError("sample_pdf: u must be in [0, 1]")
        if n and not bool((weights >= 0).all()):
            raise ArgumentError("sample_pdf: weights must not be negative or NaN")
    name = backends.backend("sample_pdf", bins.device, backend)
    if name == "reference":
        return reference.sample_pdf(bins, weights, u, offsets)
    return _sample_pdf(bins, weights, u, offsets, name)


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import sampling

        return sampling
    return backends.raw(backend, "sampling", like)


@torch.library.custom_op("formfield::sample_pdf", mutates_args=())
def _sample_pdf(bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor, backend: str) -> Tensor:
    out = empty(u)
    _kernels(backend, bins).sample_pdf(*raws(bins, weights, u, offsets), out)
    return out


@_sample_pdf.register_fake
def _(bins, weights, u, offsets, backend):
    return empty(u)
