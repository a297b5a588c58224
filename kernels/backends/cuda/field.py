"""``fused_field`` in CUDA: launchers of native/cuda/field_mma.cu (tensor cores) and native/cuda/field.cu (one thread per sample).

:func:`uses_tensor_cores` says which of the two runs on GPUs from sm_80 on; both passes of an order run on the same. Precision, as the
emulated kernels have it against float64 (tests/kernels/test_field_mma.py; of a sample's numbers the largest error against the largest of
them, of sums over samples the norm against their norm):

* one thread per sample: that of float32 or float64 throughout, about 1e-6 in float32;
* tensor cores with split operands (order 1, and activations that a distance has: softplus and sigmoid): an operand is two bf16 numbers,
  a product within 2**-16. Outputs 1e-5, gradients by the point 2e-5, gradients of the table 5e-5 (twice that for four hidden layers);
* tensor cores with single operands (relu and none in order 0: radiance): a product within 2**-8. Outputs 1e-2. Gradients differ by a few
  per cent in norm, since a relu whose input is within the rounding of 0 is on the other side;
* gradients of the network's parameters on tensor cores are sums of products of single bf16 numbers, even with split operands: 3e-3 in
  norm, and up to 6e-3 in four layers.

"""

from __future__ import annotations

import torch
from torch import Tensor

from ...specs import ACTIVATIONS, HashGridSpec, MLPSpec
from . import runtime
from .hash_encode import levels, smooth
from .mlp import network
from .runtime import Unit, unit_of

WIDTHS = (16, 32, 64)
MOST_SHARED = 99 * 1024
"""Bytes of shared memory of a block that every GPU from sm_80 on has."""
SAMPLES = 64  # of a tile: a block's threads are two a sample


def uses_tensor_cores(grid: HashGridSpec, mlp: MLPSpec, dtype: torch.dtype, order: int, include_input: bool) -> bool:
    """Whether the kernels on tensor cores take a field, for both passes of an order.

    They take float32, 1 to 4 hidden layers of 16, 32 or 64, up to 64 outputs, at most 64 inputs besides the point, and what fits into 99 KB
    of shared memory. All else runs on the kernels of one thread per sample.
    """
    shape = 1 <= len(mlp.hidden) <= 4 and set(mlp.hidden) <= set(WIDTHS) and mlp.outputs <= 64 and grid.out_features <= 64
    return dtype == torch.float32 and shape and shared_bytes(grid, mlp, order, include_input)[1] <= MOST_SHARED


def has_tensor_cores(device: torch.device) -> bool:
    """Whether a GPU multiplies bf16 numbers: those from sm_80 on. True of a CPU, where tests run the kernels."""
    return device.type != "cuda" or torch.cuda.get_device_capability(device) >= (8, 0)


def splits(mlp: MLPSpec, order: int) -> bool:
    """Whether operands are two bf16 numbers: where a distance may be, or a derivative."""
    return order == 1 or mlp.activation not in ("relu", "none")


def shared_bytes(grid: HashGridSpec, mlp: MLPSpec, order: int, include_input: bool) -> tuple[int, int]:
    """Shared memory of a block of the forward and the backward kernel: FORWARD_WORDS and BACKWARD_WORDS of native/cuda/tiles.h."""
    features = -(-grid.out_features // 2) * 2
    inputs = features + (grid.dims if include_input else 0)
    columns = [-(-n // 16) * 16 for n in (inputs, *mlp.hidden, mlp.outputs)]
    strides = [n // 2 + 4 for n in columns]
    weights = (1 + splits(mlp, order)) * sum(rows * stride for rows, stride in zip(columns[1:], strides))
    forward = weights + sum(columns[1:]) + columns[-2] + 8 * (-(-features // 8) * 8 // grid.features)
    samples = SAMPLES * ((1 + order) * sum(strides[:-1]) + strides[-1])
    return 4 * forward, 4 * (forward + samples)


def tensor_unit(grid: HashGridSpec, mlp: MLPSpec, include_input: bool, order: int) -> Unit:
    """field_mma.cu for a field and an order."""
    defines = {
        "DIMS": grid.dims,
        "LEVELS": grid.levels,
        "FEATURES": grid.features,
        "KINDS": f"{_kinds(grid)}ull",
        "SMOOTH": smooth(grid),
        "ROW": grid.dims if include_input else 0,
        "WIDTHS": f"{{{', '.join(map(str, mlp.widths))}}}",
        "ACTIVATION": ACTIVATIONS.index(mlp.activation),
        "OUTPUT_ACTIVATION": ACTIVATIONS.index(mlp.output_activation),
        "BETA": f"float({float(mlp.beta).hex()})",
        "BIAS": int(mlp.bias),
        "ORDER": order,
        "SPLIT": int(splits(mlp, order)),
    }
    return Unit("field_mma", tuple((name, str(value)) for name, value in defines.items()))


def _kinds(grid: HashGridSpec) -> int:
    """Two bits for each 8 columns of the encoding: whether their levels are dense (0), hashed (1) or some of each (2)."""
    kinds = 0
    for tile in range(-(-grid.out_features // 8)):
        of = {grid.hashed[column // grid.features] for column in range(8 * tile, min(8 * tile + 8, grid.out_features))}
        kinds |= (2 if len(of) == 2 else int(of.pop())) << 2 * tile
    return kinds


def _whole(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of it where it does not begin at a multiple of 8 bytes: entries are read and added to two numbers at a time."""
    return tensor.clone() if tensor.data_ptr() % 8 else tensor


def _field(x: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool) -> Unit:
    return unit_of("field", x, **network(mlp), FIELD=1, DIMS=grid.dims, ROW=grid.dims if include_input else 0)


def fused_field_forward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    out: Tensor, gradient: Tensor | None, tape: Tensor | None = None,
) -> None:  # fmt: skip
    """``out[:]``, and ``gradient[:]`` of output 0 where it is given."""
    del tape  # nothing is kept here
    order = int(gradient is not None)
    if has_tensor_cores(x.device) and uses_tensor_cores(grid, mlp, x.dtype, order, include_input):
        written = _whole(out)
        runtime.launch(
            tensor_unit(grid, mlp, include_input, order), "field_mma_forward", (2 * x.shape[0], 1),
            x.shape[0], x, _whole(table), params, levels(grid, x.device), active_levels, written, gradient,
            shared=shared_bytes(grid, mlp, order, include_input)[0], stay=True,
        )  # fmt: skip
        if written is not out:
            out.copy_(written)
        return
    runtime.launch(
        _field(x, grid, mlp, include_input), "field_forward" if gradient is None else "field_jet", (x.shape[0], 1),
        x.shape[0], x, table, params, levels(grid, x.device), active_levels, grid.features, smooth(grid), out,
        *(() if gradient is None else (gradient,)),
    )  # fmt: skip


def fused_field_backward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    grad_out: Tensor, grad_gradient: Tensor | None, grad_x: Tensor | None, grad_table: Tensor, grad_params: Tensor,
    tape: Tensor | None = None,
) -> None:  # fmt: skip
    """Gradients of ``sum(grad_out * out)`` plus, where given, ``sum(grad_gradient * gradient)`` (then without grad_x)."""
    del tape  # nothing is kept here
    order = int(grad_gradient is not None)
    if has_tensor_cores(x.device) and uses_tensor_cores(grid, mlp, x.dtype, order, include_input):
        summed = _whole(grad_table)
        runtime.launch(
            tensor_unit(grid, mlp, include_input, order), "field_mma_backward", (2 * x.shape[0], 1),
            x.shape[0], x, _whole(table), params, levels(grid, x.device), active_levels, grad_out, grad_gradient,
            grad_x if grad_gradient is None else None, summed, grad_params,
            shared=shared_bytes(grid, mlp, order, include_input)[1], stay=True,
        )  # fmt: skip
        if summed is not grad_table:
            grad_table.copy_(summed)
        return
    runtime.launch(
        _field(x, grid, mlp, include_input), "field_backward" if grad_gradient is None else "field_jet_backward", (x.shape[0], 1),
        x.shape[0], x, table, params, levels(grid, x.device), active_levels, grid.features, smooth(grid), grad_out,
        grad_x if grad_gradient is None else grad_gradient, grad_table, grad_params,
    )  # fmt: skip
