"""``sample_pdf`` in CUDA: launchers of native/cuda/density.cu."""

from __future__ import annotations

import torch
from torch import Tensor

from . import runtime
from .runtime import unit_of


def sample_pdf(bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor, samples: Tensor) -> None:
    """samples [R, S] from u [R, S]; bins, weights [N]."""
    rays, count = u.shape
    cdf, flat = torch.empty_like(weights), torch.empty(rays, dtype=torch.uint8, device=u.device)
    unit = unit_of("density", bins)
    runtime.launch(unit, "accumulate_pdfs", (rays, 1), rays, bins, weights, offsets, cdf, flat)
    runtime.launch(unit, "invert_cdfs", (u.numel(), 1), u.numel(), count, bins, weights, offsets, cdf, flat, u, samples)
