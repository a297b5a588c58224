"""``bounded_samples`` in CUDA: launchers of native/cuda/bounded.cu, for fields that are a hash grid under one or two hidden layers."""

from __future__ import annotations

import torch
from torch import Tensor

from ...specs import ACTIVATIONS, HashGridSpec, MLPSpec
from . import runtime
from .hash_encode import levels, smooth
from .runtime import Unit, aligned, unit_of

Rays = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # origins, directions, near, far, jitter
Rule = tuple[float, float, float, float, float, int]  # beta, slope, epsilon, visible, faint, cuts

CAP = 64
"""Samples of a ray that the first pass keeps; a ray with more is walked along twice."""
WIDEST = 128
"""Units of a hidden layer that a thread can have in registers."""


def takes(mlp: MLPSpec) -> bool:
    """Whether the kernel evaluates such a network."""
    return 1 <= len(mlp.hidden) <= 2 and mlp.hidden[0] <= WIDEST


def _unit(like: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool) -> Unit:
    return unit_of(
        "bounded", like, LEVELS=grid.levels, FEATURES=grid.features, SMOOTH=smooth(grid), ROW=3 if include_input else 0,
        HIDDEN=mlp.hidden[0], SECOND=mlp.hidden[1] if len(mlp.hidden) > 1 else 0, ACTIVATION=ACTIVATIONS.index(mlp.activation),
        OUTPUT_ACTIVATION=ACTIVATIONS.index(mlp.output_activation), BETA=f"({float(mlp.beta).hex()})", CAP=CAP,
    )  # fmt: skip


def prepared(params: Tensor, mlp: MLPSpec) -> Tensor:
    """The weights that output 0 needs, in the order in which the kernel reads them; rows are filled up to multiples of four."""

    def rows(weight: Tensor) -> Tensor:
        return torch.nn.functional.pad(weight, (0, -weight.shape[1] % 4))

    layers = [(w, w.new_zeros(w.shape[0]) if b is None else b) for w, b in mlp.unpack(params)]
    (first, bias), (last, last_bias) = layers[0], layers[-1]
    parts = [rows(bias[None]), rows(first.t())]
    if len(layers) == 2:
        parts.append(rows(last[:1]))
    else:
        (second, second_bias) = layers[1]
        parts.append(torch.cat([rows(second), rows(torch.stack([second_bias, last[0]], 1))], 1))
    parts.append(rows(last_bias[None, :1]))
    return torch.cat([part.flatten() for part in parts])


def bounded_by_field(
    rays: Rays, bitfield: Tensor, resolution: int, step: float, rule: Rule, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec,
    include_input: bool, active_levels: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, int]:  # fmt: skip
    """Samples, whether each ray meets the bound, and queries; the field is evaluated by the kernel itself."""
    origins, n = rays[0], rays[0].shape[0]
    setting = (
        n, *rays, aligned(bitfield), resolution, bitfield.shape[0], float(step), *map(float, rule[:5]), rule[5], aligned(table),
        prepared(params, mlp), levels(grid, origins.device), active_levels,
    )  # fmt: skip
    unit = _unit(origins, grid, mlp, include_input)
    scratch, met = origins.new_empty(n, CAP, 2), torch.empty(n, dtype=torch.bool, device=origins.device)
    counts, queries = (torch.empty(n, dtype=torch.int32, device=origins.device) for _ in range(2))
    runtime.launch(unit, "bounded_count", (n, 1), *setting, scratch, counts, queries, met)
    offsets = torch.zeros(n + 1, dtype=torch.int64, device=origins.device)
    torch.cumsum(counts, 0, out=offsets[1:])
    samples, asked = (int(number) for number in torch.stack([offsets[-1], queries.sum()]).tolist())  # the one wait for the device
    ray_indices = torch.empty(samples, dtype=torch.int32, device=origins.device)
    t, dt = origins.new_empty(samples), origins.new_empty(samples)
    runtime.launch(unit, "bounded_fill", (n if samples else 0, 1), *setting, scratch, offsets, ray_indices, t, dt)
    return offsets, ray_indices, t, dt, met, asked
