"""``field_mlp``: a small multilayer perceptron whose activations never leave the cache, with the gradient of output 0 where asked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, overload

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import mlp as reference
from ..errors import ArgumentError
from ..specs import MLPSpec, mlp_from_ints
from . import checks
from .tensors import empty, optional, raw, wanted, zeros


@overload
def field_mlp(x: Tensor, params: Tensor, spec: MLPSpec, *, order: Literal[0] = 0, backend: str | None = None) -> Tensor: ...
@overload
def field_mlp(x: Tensor, params: Tensor, spec: MLPSpec, *, order: Literal[1], backend: str | None = None) -> tuple[Tensor, Tensor]: ...
def field_mlp(
    x: Tensor, params: Tensor, spec: MLPSpec, *, order: Literal[0, 1] = 0, backend: str | None = None
) -> Tensor | tuple[Tensor, Tensor]:
    """Evaluate a multilayer perceptron on every row.

    Natively in tiles whose activations stay in the cache; in CUDA one thread per row, without tensor cores; in Triton by tensor cores, in
    three TF32 passes. Order 1 is closed form natively and in Triton (a reverse sweep, and for its gradients one derivative along a
    direction per row); in CUDA it is autograd through the reference, whose forward pass the backward repeats.

    Args:
        x: [N, spec.inputs], float32 or float64.
        params: [spec.params], dtype and device of ``x``; layout of :class:`MLPSpec`.
        spec: Widths, activations.
        order: 0 for the outputs; 1 for the outputs and the gradient of output 0 to ``x``.
        backend: Force a backend.
    Returns:
        Order 0: ``out`` [N, spec.outputs]. Order 1: ``(out, gradient)`` with ``gradient`` [N, spec.inputs]. All differentiable once to
        ``x`` and ``params``.
    Raises:
        ArgumentError: Wrong shape, dtype or device.
        BackendError: A forced backend is missing.
    """
    checks.float_tensor("x", x, (None, spec.inputs))
    checks.float_tensor("params", params, (spec.params,), like=x)
    if order not in (0, 1):
        raise ArgumentError(f"order must be 0 or 1, not {order!r}")
    name = backends.backend("field_mlp", x.device, backend)
    if name == "reference":
        return reference.field_mlp_jet(x, params, spec) if order else reference.field_mlp(x, params, spec)
    return (_jet if order else _mlp)(x, params, spec.to_ints(), spec.beta, name)


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import mlp

        return mlp
    return backends.raw(backend, "mlp", like)


def _forward(x: Tensor, params: Tensor, mlp: list[int], beta: float, backend: str, order: int) -> tuple[Tensor, Tensor]:
    spec = mlp_from_ints(mlp, beta)
    out, gradient = x.new_empty(x.shape[0], spec.outputs), empty(x, order == 1)
    _kernels(backend, x).field_mlp_forward(raw(x), raw(params), spec, out, gradient if order else None)
    return out, gradient


@torch.library.custom_op("formfield::field_mlp", mutates_args=())
def _mlp(x: Tensor, params: Tensor, mlp: list[int], beta: float, backend: str) -> Tensor:
    return _forward(x, params, mlp, beta, backend, 0)[0]


@_mlp.register_fake
def _(x, params, mlp, beta, backend):
    return x.new_empty(x.shape[0], mlp[-1])


@torch.library.custom_op("formfield::field_mlp_jet", mutates_args=())
def _jet(x: Tensor, params: Tensor, mlp: list[int], beta: float, backend: str) -> tuple[Tensor, Tensor]:
    return _forward(x, params, mlp, beta, backend, 1)


@_jet.register_fake
def _(x, params, mlp, beta, backend):
    return x.new_empty(x.shape[0], mlp[-1]), empty(x)


@torch.library.custom_op("formfield::field_mlp_backward", mutates_args=())
def _backward(
    grad_out: Tensor, grad_gradient: Tensor | None, x: Tensor, params: Tensor, mlp: list[int], beta: float, backend: str,
    need_x: bool, need_params: bool,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    out = empty(x, need_x), zeros(params, need_params)
    results = wanted(out, (need_x, need_params))
    spec = mlp_from_ints(mlp, beta)
    _kernels(backend, x).field_mlp_backward(raw(x), raw(params), spec, raw(grad_out), optional(grad_gradient), *results)
    return out


@_backward.register_fake
def _(grad_out, grad_gradient, x, params, mlp, beta, backend, need_x, need_params):
    return empty(x, need_x), empty(params, need_params)


def _setup(ctx, inputs, output):
    x, params, *ctx.rest = inputs
    ctx.save_for_backward(x, params)


def _gradient(ctx, grad_out, grad_gradient=None):
    needed = ctx.needs_input_grad[:2]
    out = _backward(grad_out, grad_gradient, *ctx.saved_tensors, *ctx.rest, *needed)
    return (*wanted(out, needed), None, None, None)


_mlp.register_autograd(_gradient, setup_context=_setup)
_jet.register_autograd(_gradient, setup_context=_setup)
