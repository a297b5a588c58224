"""``sample_pdf`` in Triton; float32, contiguous tensors."""

from __future__ import annotations

import torch
from torch import Tensor

from . import density_kernels as kernels
from .laplace import samples_together
from .launch import block, cdiv, launch

SEARCH_STEPS = 32  # halvings: enough for a ray of 2^31 samples


def sample_pdf(bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor, samples: Tensor) -> None:
    """samples [R, S] from u [R, S]; bins, weights [N]."""
    mass, cdf = torch.empty_like(weights), torch.empty_like(weights)
    launch(kernels.ray_cdf, (offsets.shape[0] - 1,), bins, weights, offsets, mass, cdf, warps=1, BLOCK=samples_together())
    n = u.numel()
    size = block(n, 256)
    launch(
        kernels.invert_cdf, (cdiv(n, size),), bins, mass, cdf, u, offsets, samples, n, max(u.shape[1], 1), STEPS=SEARCH_STEPS, BLOCK=size
    )
