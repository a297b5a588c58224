"""``sample_pdf`` on the CPU: native/cpu/sampling.cpp."""

from __future__ import annotations

import torch
from torch import Tensor

from ..._native import sample_pdf as _sample_pdf


def sample_pdf(bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor, samples: Tensor) -> None:
    """samples [R, S] from u [R, S]; bins, weights [N]."""
    _sample_pdf(bins, weights, u, offsets, samples, torch.get_num_threads())
