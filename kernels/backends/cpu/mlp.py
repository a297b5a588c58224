"""``field_mlp`` on the CPU: native/cpu/mlp.cpp."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from ..._native import MLP
from ..._native import field_mlp_backward as _backward
from ..._native import field_mlp_forward as _forward
from ...specs import ACTIVATIONS, MLPSpec


@lru_cache(maxsize=256)
def native_mlp(spec: MLPSpec) -> MLP:
    """The specification as the extension takes it."""
    return MLP(spec.widths, ACTIVATIONS.index(spec.activation), ACTIVATIONS.index(spec.output_activation), spec.bias, spec.beta)


def field_mlp_forward(x: Tensor, params: Tensor, spec: MLPSpec, out: Tensor, gradient: Tensor | None) -> None:
    """``out[:] = mlp(x)``, and ``gradient[:]`` [N, inputs] of output 0 where it is given."""
    _forward(x, params, native_mlp(spec), out, gradient, torch.get_num_threads())


def field_mlp_backward(
    x: Tensor, params: Tensor, spec: MLPSpec, grad_out: Tensor, grad_gradient: Tensor | None, grad_x: Tensor | None,
    grad_params: Tensor | None,
) -> None:  # fmt: skip
    """``grad_x[:] =`` and ``grad_params +=`` the gradients of ``sum(grad_out * mlp(x))``; either may be None.

    Where ``grad_gradient`` is given, plus those of ``sum(grad_gradient * gradient)``.
    """
    _backward(x, params, native_mlp(spec), grad_out, grad_gradient, grad_x, grad_params, torch.get_num_threads())
