"""The spatial derivative of an encoding applied backwards, by autograd."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def pullback(encode: Callable[[Tensor], Tensor], x: Tensor, grad: Tensor) -> Tensor:
    """Gradient to the points of ``grad . encode(x)``, differentiable once more to ``grad`` and to what ``encode`` closes over.

    Args:
        encode: Points to features; differentiable twice.
        x: [N, D]
        grad: [N, F]
    Returns:
        [N, D]
    """
    keep = torch.is_grad_enabled()
    with torch.inference_mode(False), torch.enable_grad():
        # clones: tensors made in inference mode cannot be recorded
        x, grad = (t.clone() if t.is_inference() else t for t in (x, grad))
        x = x.detach().requires_grad_()
        (result,) = torch.autograd.grad(encode(x), x, grad, create_graph=keep)
    return result
