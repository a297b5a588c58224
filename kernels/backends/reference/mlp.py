"""Multilayer perceptron in plain torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ...specs import Activation, MLPSpec


def activate(z: Tensor, activation: Activation, beta: float) -> Tensor:
    """The activation function, elementwise."""
    if activation == "relu":
        return F.relu(z)
    if activation == "softplus":
        # far above zero the function is the identity to the last bit; the default threshold would cut earlier
        return F.softplus(z, beta=beta, threshold=40.0)
    if activation == "sigmoid":
        return torch.sigmoid(z)
    return z


def field_mlp(x: Tensor, params: Tensor, spec: MLPSpec) -> Tensor:
    """The network, layer by layer.

    Args:
        x: [N, inputs].
        params: [spec.params], same dtype.
        spec: Layout.
    Returns:
        [N, outputs].
    """
    layers = spec.unpack(params)
    for k, (weight, bias) in enumerate(layers):
        last = k == len(layers) - 1
        x = activate(F.linear(x, weight, bias), spec.output_activation if last else spec.activation, spec.beta)
    return x


def field_mlp_jet(x: Tensor, params: Tensor, spec: MLPSpec) -> tuple[Tensor, Tensor]:
    """As :func:`field_mlp`, with the gradient of output 0 to ``x``: ([N, outputs], [N, inputs]), by autograd through autograd."""
    keep = torch.is_grad_enabled() and (x.requires_grad or params.requires_grad)
    with torch.inference_mode(False), torch.enable_grad():
        # clones: tensors made in inference mode cannot be recorded
        x, params = (t.clone() if t.is_inference() else t for t in (x, params))
        x = x if keep and x.requires_grad else x.detach().requires_grad_()
        out = field_mlp(x, params, spec)
        (gradient,) = torch.autograd.grad(out[:, 0].sum(), x, create_graph=keep)
    return (out, gradient) if keep else (out.detach(), gradient)
