"""``patch_agreement``: how well photographs agree on pieces of plane."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import patch_agreement as reference
from ..errors import ArgumentError
from .tensors import raws

MAX_REACH = 5


@dataclass(frozen=True)
class PicturePairs:
    """Photographs, and for each of them others to compare it with.

    Pixel centres are at +0.5. ``pixels`` may be read by other things, too: nothing is copied.

    Attributes:
        pixels: All photographs one after the other, row by row: red, green, blue, coverage. uint8 [N, 4]
        starts: Where each begins. int64 [V + 1]
        widths: Pixels of a row. int64 [V]
        others: Photographs that each is compared with, -1 for none. int64 [V, S]
        warps: Pixel (u, v) of a photograph, at the inverse depth w, lies at (X / Z, Y / Z) of the other, where
            ``(X, Y, Z) = warp @ (u, v, 1, w)``. Inverse depth is one over the distance in units of the vector that the caller's cameras
            give to the pixel. float32 or float64 [V, S, 3, 4]
    """

    pixels: Tensor
    starts: Tensor
    widths: Tensor
    others: Tensor
    warps: Tensor


def patch_agreement(
    pictures: PicturePairs, view: Tensor, middle: Tensor, planes: Tensor, *, reach: int = 3, noise: float = 1e-4, backend: str | None = None
) -> tuple[Tensor, Tensor]:
    """1 - NCC of windows of photographs with where planes take them in others.

    The window about a pixel, (2 reach + 1)² pixels weighted by likeness and nearness to its middle, is mapped by the homography of the
    plane into each of the photograph's others; the cost is 1 minus the normalised cross-correlation of grey there, which does not see
    gain and offset. Variances have ``noise`` added: what has no texture costs 1, with hardly a slope.

    Args:
        pictures: M windows are of V photographs.
        view: Photograph of each window. int64 [M]
        middle: Pixel of its middle. [M, 2], dtype of the warps
        planes: Inverse depth at the middle, and its change by a pixel to the right and by one down (it is affine on a plane). [M, 3]
        reach: Pixels from the middle to the border, 1 to 5.
        noise: Variance of grey, in [0, 1], that says nothing. > 0
        backend: Force a backend.
    Returns:
        Costs, 0 to 2; 2, without a slope, where a window is not wholly inside and covered in both photographs. [M, S], differentiable
        once to ``planes``. And the texture of each window, ``variance / (variance + noise)``, 0 where it is not wholly there. [M]
    Raises:
        ArgumentError: Wrong shape, dtype, device, reach or noise.
        BackendError: A forced backend is missing.
    """
    _check(pictures, view, middle, planes, reach, noise)
    tables = (pictures.pixels, pictures.starts, pictures.widths, pictures.others, pictures.warps)
    name = backends.backend("patch_agreement", planes.device, backend)
    if name == "reference":
        return reference.patch_agreement(*tables, view, middle, planes, reach, noise)
    shape = (view.shape[0], pictures.others.shape[1])
    costs, slopes, texture = planes.new_empty(shape), planes.new_empty(*shape, 3), planes.new_empty(shape[0])
    given = raws(*tables, view, middle, planes)
    _kernels(name, planes).patch_agreement(*given, reach, float(noise), costs, slopes, texture)
    if planes.requires_grad:
        # The slopes were found with the costs: a tangent plane at these planes has the same value and the same gradient.
        costs = costs + (slopes * (planes - planes.detach())[:, None]).sum(-1)
    return costs, texture


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU."""
    if TYPE_CHECKING:
        from ..backends.cpu import patch_agreement

        return patch_agreement
    return backends.raw(backend, "patch_agreement", like)


def _check(pictures: PicturePairs, view: Tensor, middle: Tensor, planes: Tensor, reach: int, noise: float) -> None:
    views, count = pictures.widths.shape[0], view.shape[0]
    pairs = pictures.others.shape[-1]
    integers, floats = torch.int64, planes.dtype
    wanted = {
        "pixels": (pictures.pixels, (pictures.pixels.shape[0], 4), torch.uint8),
        "starts": (pictures.starts, (views + 1,), integers),
        "widths": (pictures.widths, (views,), integers),
        "others": (pictures.others, (views, pairs), integers),
        "warps": (pictures.warps, (views, pairs, 3, 4), floats),
        "view": (view, (count,), integers),
        "middle": (middle, (count, 2), floats),
        "planes": (planes, (count, 3), floats),
    }
    for name, (tensor, shape, dtype) in wanted.items():
        if tensor.shape != shape or tensor.dtype != dtype:
            raise ArgumentError(f"patch_agreement: {name} must be {dtype} {list(shape)}, not {tensor.dtype} {list(tensor.shape)}")
        if tensor.device != planes.device:
            raise ArgumentError(f"patch_agreement: {name} is on {tensor.device}, planes on {planes.device}")
    if floats not in (torch.float32, torch.float64):
        raise ArgumentError(f"patch_agreement: planes must be float32 or float64, not {floats}")
    if not 1 <= reach <= MAX_REACH:
        raise ArgumentError(f"patch_agreement: reach must be 1 to {MAX_REACH}, not {reach}")
    if not noise > 0:
        raise ArgumentError(f"patch_agreement: noise must be positive, not {noise}")
