"""Multilayer perceptron in plain torch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..specs import Activation, MLPSpec


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
