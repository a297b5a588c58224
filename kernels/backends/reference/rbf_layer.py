"""The layer of Gaussian radial basis neurons of RBFNet, in plain torch that autograd differentiates twice to everything."""

from __future__ import annotations

import torch
from torch import Tensor


def rbf_layer(features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """See :func:`kernels.rbf_layer`. -> [N, O]"""
    beta = log_betas.exp()
    d2 = (features * features) @ beta.T - 2 * features @ (beta * centers).T + (beta * centers * centers).sum(-1)
    return torch.exp(-0.5 * d2.clamp_min(0)) @ weight.T + bias


def rbf_layer_jet(features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """As :func:`rbf_layer`, with the gradient of output 0 to the features, in closed form. -> [N, O], [N, F]"""
    beta = log_betas.exp()
    d = features[:, None] - centers
    phi = torch.exp(-0.5 * (beta * d * d).sum(-1))
    gradient = -((weight[0] * phi)[..., None] * beta * d).sum(1)
    return phi @ weight.T + bias, gradient
