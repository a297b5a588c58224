"""``field_mlp`` in Triton, and the first-order jet of a network, which ``fused_field`` is built from.

float32; matrix products by tensor cores in three TF32 passes, about as accurate as float32. Where gradients are wanted, rows are taken in
chunks whose pre-activations and gradients fit into SCRATCH_BYTES. Parameter gradients have no atomics: splits of the rows are summed
separately and added in a fixed order.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

import torch
from torch import Tensor

from ...specs import ACTIVATIONS, MLPSpec
from .launch import block, cdiv, launch, multiprocessors, power_of_two
from .mlp_kernels import layer_forward, layer_pull, layer_weights, mlp_forward

PRECISION = "tf32x3"
SCRATCH_BYTES = 128 << 20
"""Most memory that the pre-activations, tangents and gradients of a chunk of rows take."""
COPIES_BYTES = 32 << 20
"""Most memory that the partial sums of parameter gradients take."""
FUSED_WIDTH = 64
"""Widest network whose layers stay in registers in the forward pass."""


def field_mlp_forward(x: Tensor, params: Tensor, spec: MLPSpec, out: Tensor, gradient: Tensor | None) -> None:
    """``out[:] = mlp(x)``, and ``gradient[:]`` [N, inputs] of output 0 where it is given."""
    if gradient is not None:
        _jet(x, params, spec, out, gradient)
        return
    if max(spec.widths) > FUSED_WIDTH:
        for start, stop in _chunks(spec, x.shape[0]):
            _Pass(x[start:stop], None, params, spec).outputs(out[start:stop])
        return
    rows = block(x.shape[0], 64)
    widths = spec.widths
    launch(
        mlp_forward, (cdiv(x.shape[0], rows),), x, params, out, x.shape[0], spec.beta, warps=8,
        W=widths, V=tuple(max(16, power_of_two(width)) for width in widths), O=_starts(spec), ACT=ACTIVATIONS.index(spec.activation),
        OUT=ACTIVATIONS.index(spec.output_activation), BIAS=spec.bias, PRECISION=PRECISION, BLOCK=rows,
    )  # fmt: skip


def field_mlp_backward(
    x: Tensor, params: Tensor, spec: MLPSpec, grad_out: Tensor, grad_gradient: Tensor | None, grad_x: Tensor | None,
    grad_params: Tensor | None,
) -> None:  # fmt: skip
    """``grad_x[:] =`` and ``grad_params +=`` the gradients of ``sum(grad_out * mlp(x))``; either may be None.

    Where ``grad_gradient`` is given, plus those of ``sum(grad_gradient * gradient)``.
    """
    if grad_gradient is not None:
        by_x = torch.empty_like(x) if grad_x is None else grad_x
        sums = torch.zeros_like(params) if grad_params is None else grad_params
        field_mlp_jet_backward(x, grad_gradient, params, spec, grad_out, by_x, torch.empty_like(x), sums)
        return
    copies = _copies(x, spec) if grad_params is not None else None
    for start, stop in _chunks(spec, x.shape[0]):
        forward = _Pass(x[start:stop], None, params, spec)
        g, _ = forward.seeds(grad_out[start:stop])
        forward.reverse(g, None, None if grad_x is None else grad_x[start:stop], None, copies)
    if grad_params is not None and copies is not None:
        grad_params += copies.sum(0)


def _jet(x: Tensor, params: Tensor, spec: MLPSpec, out: Tensor, gradient: Tensor) -> None:
    """``out[:] = mlp(x)`` and ``gradient[:]`` [N, inputs] that of output 0 to x."""
    for start, stop in _chunks(spec, x.shape[0]):
        forward = _Pass(x[start:stop], None, params, spec)
        forward.outputs(out[start:stop])
        one = torch.zeros_like(out[start:stop])
        one[:, 0] = 1
        g, _ = forward.seeds(one)
        forward.reverse(g, None, gradient[start:stop], None, None)


def field_mlp_jet_backward(
    x: Tensor, tangent: Tensor, params: Tensor, spec: MLPSpec, grad_out: Tensor, grad_x: Tensor, grad_tangent: Tensor, grad_params: Tensor
) -> None:
    """Gradients of ``sum(grad_out * mlp(x)) + sum(<d mlp_0/dx, tangent>)``: to x, to the tangent, and added to grad_params.

    With t the tangents of the activations a, and z the pre-activations, the reverse step of a layer is ``gt_z = phi' gt_a``,
    ``g_z = phi' g_a + phi'' t_z gt_a``, ``dW += g_z a^T + gt_z t_a^T``, and W^T takes both g to the layer before.
    """
    copies = _copies(x, spec)
    for start, stop in _chunks(spec, x.shape[0]):
        forward = _Pass(x[start:stop], tangent[start:stop], params, spec)
        g, gt = forward.seeds(grad_out[start:stop])
        forward.reverse(g, gt, grad_x[start:stop], grad_tangent[start:stop], copies)
    grad_params += copies.sum(0)


@dataclass(frozen=True)
class _Layer:
    inputs: int
    outputs: int
    weight: Tensor  # flat
    bias: Tensor  # the weight again if there is none: never read
    start: int  # in the parameters


class _Pass:
    """Pre-activations (and their tangents) of a chunk of rows, and the way back."""

    def __init__(self, x: Tensor, tangent: Tensor | None, params: Tensor, spec: MLPSpec):
        self.x, self.tangent, self.spec = x, tangent, spec
        self.layers = _layers(params, spec)
        self.act, self.out = ACTIVATIONS.index(spec.activation), ACTIVATIONS.index(spec.output_activation)
        self.z: list[Tensor] = []
        self.u: list[Tensor] = []
        for index, layer in enumerate(self.layers):
            before = self.z[index - 1] if index else x
            self.z.append(self._push(layer, before, before, int(index > 0), spec.bias))
            if tangent is not None:
                first = (tangent, tangent, 0) if index == 0 else (before, self.u[index - 1], 2)
                self.u.append(self._push(layer, *first, False))

    def _push(self, layer: _Layer, a: Tensor, u: Tensor, mode: int, bias: bool) -> Tensor:
        n = self.x.shape[0]
        z = self.x.new_empty(n, layer.outputs)
        bm, bn = block(n, 64), _width(layer.outputs)
        launch(
            layer_forward, (cdiv(n, bm), cdiv(layer.outputs, bn)), a, u, layer.weight, layer.bias, z, n, self.spec.beta,
            KI=layer.inputs, KO=layer.outputs, MODE=mode, ACT=self.act, HAS_BIAS=bias, PRECISION=PRECISION, BM=bm, BN=bn, BK=32,
        )  # fmt: skip
        return z

    def outputs(self, out: Tensor) -> None:
        """The network's outputs."""
        if self.out == ACTIVATIONS.index("sigmoid"):
            torch.sigmoid(self.z[-1], out=out)
        else:
            out.copy_(self.z[-1])

    def seeds(self, grad_out: Tensor) -> tuple[Tensor, Tensor | None]:
        """Gradients to the last pre-activation and its tangent, of ``sum(grad_out * y)`` plus, with a tangent, ``sum(dy_0)``."""
        gt = None
        if self.tangent is not None:
            gt = torch.zeros_like(grad_out)
            gt[:, 0] = 1
        if self.out != ACTIVATIONS.index("sigmoid"):
            return grad_out, gt
        s = torch.sigmoid(self.z[-1])
        d = s * (1 - s)
        g = grad_out * d
        if gt is not None:
            g += d * (1 - 2 * s) * self.u[-1] * gt
            gt = gt * d
        return g, gt

    def reverse(self, g: Tensor, gt: Tensor | None, grad_x: Tensor | None, grad_tangent: Tensor | None, copies: Tensor | None) -> None:
        """From the gradients of the last pre-activation to those of the input, and of the parameters into ``copies``."""
        jet, n = gt is not None, self.x.shape[0]
        for index in range(len(self.layers) - 1, -1, -1):
            layer = self.layers[index]
            before = self.z[index - 1] if index else self.x
            tangent = before if self.tangent is None else self.u[index - 1] if index else self.tangent
            if copies is not None:
                self._weights(layer, g, g if gt is None else gt, before, tangent, int(index > 0), jet, copies)
            if index == 0 and grad_x is None:
                return
            h = grad_x if index == 0 and grad_x is not None else torch.empty_like(before)
            ht = grad_tangent if index == 0 and grad_tangent is not None else torch.empty_like(before) if jet else h
            bm, bn = block(n, 64), _width(layer.inputs)
            launch(
                layer_pull, (cdiv(n, bm), cdiv(layer.inputs, bn)),
                g, g if gt is None else gt, layer.weight, before, tangent, h, ht, n, self.spec.beta,
                warps=8 if jet else 4, KI=layer.inputs, KO=layer.outputs, ACT=self.act, FIRST=index == 0, JET=jet,
                PRECISION=PRECISION, BM=bm, BN=bn, BK=32,
            )  # fmt: skip
            g, gt = h, ht if jet else None

    def _weights(self, layer: _Layer, g: Tensor, gt: Tensor, a: Tensor, u: Tensor, mode: int, jet: bool, copies: Tensor) -> None:
        n, splits = self.x.shape[0], copies.shape[0]
        bo, bk = _width(layer.outputs), _width(layer.inputs)
        bm = block(n, 32)
        rows = cdiv(cdiv(n, splits), bm) * bm
        launch(
            layer_weights, (splits, cdiv(layer.outputs, bo) * cdiv(layer.inputs, bk)),
            g, gt, a, u, copies[:, layer.start :], n, rows, copies.stride(0), self.spec.beta,
            warps=8 if jet else 4, KI=layer.inputs, KO=layer.outputs, MODE=mode, ACT=self.act, JET=jet, HAS_BIAS=self.spec.bias,
            PRECISION=PRECISION, BM=bm, BO=bo, BK=bk,
        )  # fmt: skip


def _width(n: int) -> int:
    return min(max(16, power_of_two(n)), 64)


def _starts(spec: MLPSpec) -> tuple[int, ...]:
    return tuple(accumulate(((i + int(spec.bias)) * o for i, o in pairwise(spec.widths)), initial=0))[:-1]


def _layers(params: Tensor, spec: MLPSpec) -> list[_Layer]:
    flat = [(w.reshape(-1), w.reshape(-1) if b is None else b) for w, b in spec.unpack(params)]
    return [_Layer(i, o, *wb, start) for (i, o), wb, start in zip(pairwise(spec.widths), flat, _starts(spec))]


def _chunks(spec: MLPSpec, count: int) -> list[tuple[int, int]]:
    per_row = 4 * 4 * sum(spec.widths)  # pre-activations, tangents and their gradients
    rows = max(1024, SCRATCH_BYTES // per_row // 1024 * 1024)
    return [(start, min(start + rows, count)) for start in range(0, count, rows)]


def _copies(x: Tensor, spec: MLPSpec) -> Tensor:
    splits = min(cdiv(x.shape[0], 256), 2 * multiprocessors(x.device), max(1, COPIES_BYTES // (4 * spec.params)))
    return torch.zeros(max(splits, 1), spec.params, dtype=torch.float32, device=x.device)
