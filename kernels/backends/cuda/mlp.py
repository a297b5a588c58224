"""``field_mlp`` in CUDA: launchers of native/cuda/field.cu."""

from __future__ import annotations

import torch
from torch import Tensor

from ...specs import ACTIVATIONS, MLPSpec
from ..reference.mlp import field_mlp
from . import runtime
from .runtime import unit_of


def network(spec: MLPSpec) -> dict[str, object]:
    activations = f"{ACTIVATIONS.index(spec.activation)}, {ACTIVATIONS.index(spec.output_activation)}"
    widths = ", ".join(map(str, spec.widths))
    beta = float(spec.beta).hex()
    return {
        "NETWORK": f"{{{len(spec.widths) - 1}, {{{widths}}}, {activations}, {int(spec.bias)}, float({beta})}}",
        "WIDTH": sum(spec.widths),
    }


def _jet(x: Tensor, params: Tensor, spec: MLPSpec) -> tuple[Tensor, Tensor]:
    """Outputs and gradient of output 0, by torch.func of the reference: inside an operator plain autograd records nothing."""
    out, pull = torch.func.vjp(lambda rows: field_mlp(rows, params, spec), x)[:2]
    first = torch.zeros_like(out)
    first[:, 0] = 1
    return out, pull(first)[0]


def field_mlp_forward(x: Tensor, params: Tensor, spec: MLPSpec, out: Tensor, gradient: Tensor | None) -> None:
    """``out[:] = mlp(x)``, and ``gradient[:]`` [N, inputs] of output 0 where it is given: by the reference, there is no kernel for it."""
    if gradient is not None:
        for result, value in zip((out, gradient), _jet(x, params, spec)):
            result.copy_(value)
        return
    runtime.launch(unit_of("field", x, **network(spec)), "mlp_forward_rows", (x.shape[0], 1), x.shape[0], x, params, out)


def field_mlp_backward(
    x: Tensor, params: Tensor, spec: MLPSpec, grad_out: Tensor, grad_gradient: Tensor | None, grad_x: Tensor | None,
    grad_params: Tensor | None,
) -> None:  # fmt: skip
    """``grad_x[:] =`` and ``grad_params +=`` the gradients of ``sum(grad_out * mlp(x))``; either may be None.

    Where ``grad_gradient`` is given, plus those of ``sum(grad_gradient * gradient)``: by the reference.
    """
    if grad_gradient is not None:
        pull = torch.func.vjp(lambda rows, weights: _jet(rows, weights, spec), x, params)[1]
        by_x, by_params = pull((grad_out, grad_gradient))
        if grad_x is not None:
            grad_x.copy_(by_x)
        if grad_params is not None:
            grad_params += by_params
        return
    runtime.launch(
        unit_of("field", x, **network(spec)), "mlp_backward_rows", (x.shape[0], 1), x.shape[0], x, params, grad_out, grad_x, grad_params
    )
