"""Adam over a method's parameter groups, through the fused kernel; its state is a flat dict of tensors for the checkpoint."""

from __future__ import annotations

import math

import torch
from torch import Tensor

import kernels
from recon.config.values import TrainConfig
from recon.fields.base import ParameterGroup


class Adam:
    """Adam; by default with betas (0.9, 0.99) and eps 1e-15 (Instant-NGP's, for tables whose gradients are tiny).

    Args:
        groups: What to optimise. Rows of sparse groups that got no gradient are left alone.
        beta2: Decay of the average of squared gradients.
        eps: Added to the root of that average.
    """

    def __init__(self, groups: list[ParameterGroup], beta2: float = 0.99, eps: float = 1e-15):
        self.groups = groups
        self.beta2, self.eps = beta2, eps
        self.state: dict[str, Tensor] = {}
        for g in groups:
            rows = g.tensor.shape[0] if g.sparse else 1
            self.state[f"{g.name}.exp_avg"] = torch.zeros_like(g.tensor.data)
            self.state[f"{g.name}.exp_avg_sq"] = torch.zeros_like(g.tensor.data)
            self.state[f"{g.name}.steps"] = torch.zeros(rows, dtype=torch.int32, device=g.tensor.device)

    @torch.no_grad()
    def step(self, lr: float) -> None:
        """Update every group that has a gradient. The gradients are gone then: their memory, cleared on the way, is for the next ones."""
        for g in self.groups:
            grad = g.tensor.grad
            if grad is None:
                continue
            g.tensor.grad = None
            kernels.adam_step(
                g.tensor.data,
                grad,
                self.state[f"{g.name}.exp_avg"],
                self.state[f"{g.name}.exp_avg_sq"],
                self.state[f"{g.name}.steps"],
                lr=lr * g.lr_factor,
                betas=(0.9, self.beta2),
                eps=self.eps,
                skip_zero=g.sparse,
                clear_grad=True,
            )
            kernels.reuse_gradient(grad)

    def load(self, state: dict[str, Tensor]) -> None:
        for name, value in self.state.items():
            value.copy_(state[name])


def learning_rate(config: TrainConfig, step: int) -> float:
    """Linear warm-up, a plateau, then exponential decay to ``lr * lr_final`` at the last step, or halvings at given shares."""
    warm = min(1.0, (step + 1) / max(config.warmup_steps, 1))
    share = step / max(config.steps, 1)
    if config.lr_halvings is not None:
        return config.lr * warm * 0.5 ** sum(share >= at for at in config.lr_halvings)
    late = max(0.0, share - config.decay_from) / max(1.0 - config.decay_from, 1e-9)
    return config.lr * warm * math.exp(late * math.log(config.lr_final))
