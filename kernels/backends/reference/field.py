"""Hash grid and network together, in plain torch."""

from __future__ import annotations

import torch
from torch import Tensor

from ...specs import HashGridSpec, MLPSpec
from .hash_encode import hash_encode
from .mlp import field_mlp


def fused_field(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int
) -> Tensor:
    """Network of the encoding, with ``2 x - 1`` in front of it where asked. Returns [N, outputs]."""
    encoding = hash_encode(x, table, grid, active_levels)
    return field_mlp(torch.cat([2 * x - 1, encoding], 1) if include_input else encoding, params, mlp)


def fused_field_jet(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int
) -> tuple[Tensor, Tensor]:
    """As :func:`fused_field`, with the spatial gradient of output 0: ([N, outputs], [N, dims]), by autograd through autograd."""
    keep = torch.is_grad_enabled() and (table.requires_grad or params.requires_grad)
    with torch.inference_mode(False), torch.enable_grad():
        # clones: tensors made in inference mode cannot be recorded
        x, table, params = (t.clone() if t.is_inference() else t for t in (x, table, params))
        x = x.detach().requires_grad_()
        out = fused_field(x, table, params, grid, mlp, include_input, active_levels)
        (gradient,) = torch.autograd.grad(out[:, 0].sum(), x, create_graph=keep)
    return (out, gradient) if keep else (out.detach(), gradient)
