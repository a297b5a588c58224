"""``patch_agreement`` on the CPU: native/cpu/patch_agreement.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import patch_agreement as _agreement


def patch_agreement(
    pixels: Tensor,
    starts: Tensor,
    widths: Tensor,
    others: Tensor,
    warps: Tensor,
    view: Tensor,
    middle: Tensor,
    planes: Tensor,
    reach: int,
    noise: float,
    costs: Tensor,
    slopes: Tensor,
    texture: Tensor,
) -> None:
    """costs [M, S], their derivatives by the planes, slopes [M, S, 3], and texture [M] are overwritten."""
    threads = torch.get_num_threads()
    _agreement(pixels, starts, widths, others, warps, view, middle, planes, reach, noise, costs, slopes, texture, threads)
