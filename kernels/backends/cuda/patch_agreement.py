"""``patch_agreement`` in CUDA: launchers of native/cuda/patch_agreement.cu."""

from __future__ import annotations

from torch import Tensor

from . import runtime
from .runtime import Unit, aligned, unit_of

LANES = 32  # a warp per window and other photograph


def _unit(like: Tensor, reach: int) -> Unit:
    return unit_of("patch_agreement", like, REACH=reach)


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
    windows, sources = costs.shape
    pictures = (aligned(pixels), starts, widths, sources, others, warps)
    given = (*pictures, view, middle, planes, noise, costs, slopes, texture)
    runtime.launch(_unit(planes, reach), "agreement_windows", (windows * LANES, max(sources, 1)), windows, *given)
