"""Networks without biases: our fused kernels once differentiated, written out in torch where the derivative is differentiated again."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

import kernels

from ... import backends
from ...ops import field as fields
from . import config as read
from . import memory
from .activations import ACTIVATIONS, SHARPNESS
from .grid import _FAR, GridEncoding
from .pcg32 import Pcg32

KINDS = ("FullyFusedMLP", "CutlassMLP", "MLP", "MegakernelMLP")
FUSED_WIDTHS = (16, 32, 64, 128)
ALIGNMENT = 16
_OURS = {"None": "none", "ReLU": "relu", "Softplus": "softplus", "Sigmoid": "sigmoid"}


def aligned(n: int) -> int:
    """``n`` rounded up to whole blocks of columns."""
    return -(-n // ALIGNMENT) * ALIGNMENT


@dataclass(frozen=True)
class NetworkPlan:
    """A multilayer perceptron without biases.

    Args:
        inputs: Columns, filled up to a multiple of 16.
        outputs: Values per point; the last matrix has rows up to the next multiple of 16, which reach nothing.
        width, hidden: Of the hidden layers, and their number.
        activation, output_activation: Names from :data:`ACTIVATIONS`.
        kind: The configured ``otype``.
    """

    inputs: int
    outputs: int
    width: int
    hidden: int
    activation: str
    output_activation: str
    kind: str

    @property
    def widths(self) -> tuple[int, ...]:
        """Columns before and after each matrix as stored."""
        return (self.inputs, *(self.width,) * self.hidden, aligned(self.outputs))

    @property
    def parameters(self) -> int:
        """Length of the matrices, one after another, each row by row (out x in)."""
        return sum(i * o for i, o in zip(self.widths, self.widths[1:]))

    @property
    def settings(self) -> dict[str, object]:
        """What it was configured with, defaults filled in."""
        return {
            "otype": self.kind,
            "activation": self.activation,
            "output_activation": self.output_activation,
            "n_neurons": self.width,
            "n_hidden_layers": self.hidden,
        }

    @property
    def spec(self) -> kernels.MLPSpec | None:
        """The same network in our terms, without the rows that reach nothing; none where ours has no such network."""
        output = _OURS.get(self.output_activation)
        if self.activation not in _OURS or output not in ("none", "sigmoid"):
            return None
        try:
            return kernels.MLPSpec(
                self.inputs,
                (self.width,) * self.hidden,
                self.outputs,
                _OURS[self.activation],  # type: ignore[arg-type]
                SHARPNESS,
                output,
                bias=False,
            )
        except kernels.ArgumentError:
            return None

    def initial(self, rng: Pcg32) -> list[np.ndarray]:
        """Uniform after Glorot and Bengio 2010, of the matrices as stored; with sines after Sitzmann et al. 2020."""
        values = []
        for layer, (fan_in, fan_out) in enumerate(zip(self.widths, self.widths[1:])):
            bound = np.float32(math.sqrt(np.float32(6 / (fan_in + fan_out))))
            if self.activation == "Sine":
                bound = np.float32(30 / fan_in) if layer == 0 else np.float32(math.sqrt(np.float32(6 / fan_in)))
            values.append(rng.uniform(fan_in * fan_out) * np.float32(2) * bound - bound)
        return values

    def matrices(self, params: Tensor) -> list[Tensor]:
        """Views [out, in], the last without the rows that reach nothing."""
        widths, at, result = (*self.widths[:-1], self.outputs), 0, []
        for i, o in itertools.pairwise(widths):
            result.append(params[at : at + i * o].view(o, i))
            at += i * o
        return result

    def written_out(self, x: Tensor, params: Tensor) -> Tensor:
        """[N, inputs] to [N, outputs], as torch would have it."""
        matrices = self.matrices(params)
        for matrix in matrices[:-1]:
            x = ACTIVATIONS[self.activation](x @ matrix.T)
        return ACTIVATIONS[self.output_activation](x @ matrices[-1].T)


def create_network(inputs: int, outputs: int, config: object) -> NetworkPlan:
    """The network that a configuration describes.

    Args:
        inputs: Columns; a multiple of 16.
        outputs: Values per point.
        config: ``otype`` MLP, ``activation`` ReLU, ``output_activation`` None, ``n_neurons`` 128, ``n_hidden_layers`` 5.
    Raises:
        CompatError: An option that is not supported.
    """
    checked = read.mapping("the network's configuration", config)
    kind = read.choice("network", checked, "otype", "MLP", KINDS)
    width = read.integer(kind, checked, "n_neurons", 128, 1, 1 << 16)
    hidden = read.integer(kind, checked, "n_hidden_layers", 5, 0, 64)
    if kind in ("FullyFusedMLP", "MegakernelMLP"):
        if width not in FUSED_WIDTHS:
            raise read.CompatError(
                f"{kind}.n_neurons must be one of {', '.join(map(str, FUSED_WIDTHS))}, not {width}; CutlassMLP takes other widths"
            )
        if hidden == 0:
            raise read.CompatError(f"{kind}.n_hidden_layers must be at least 1")
    if isinstance(outputs, bool) or int(outputs) != outputs or outputs < 1:
        raise read.CompatError(f"n_output_dims must be a positive number, not {outputs!r}")
    names = tuple(ACTIVATIONS)
    return NetworkPlan(
        inputs,
        int(outputs),
        width,
        hidden,
        read.choice(kind, checked, "activation", "ReLU", names),
        read.choice(kind, checked, "output_activation", "None", names),
        kind,
    )


class _Twice(torch.autograd.Function):
    """``fast(*tensors)``, differentiated by its own gradient; where that is to be differentiated again, by ``exact``'s instead."""

    @staticmethod
    def forward(ctx: Any, fast: Any, exact: Any, *tensors: Tensor) -> Tensor:
        ctx.exact = exact
        ctx.save_for_backward(*tensors)
        with torch.enable_grad():
            leaves = tuple(t.detach().requires_grad_(need) for t, need in zip(tensors, ctx.needs_input_grad[2:]))
            out = fast(*leaves)
        ctx.leaves, ctx.out = leaves, out
        return out.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        needs = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            return None, None, *_again(ctx.exact, ctx.saved_tensors, needs, grads[0])
        wanted = [i for i, need in enumerate(needs) if need]
        found = torch.autograd.grad(ctx.out, [ctx.leaves[i] for i in wanted], grads[0], retain_graph=True)
        return None, None, *_placed(wanted, found, len(needs))


def _again(exact: Any, tensors: tuple[Tensor, ...], needs: tuple[bool, ...], grad: Tensor) -> list[Tensor | None]:
    """The gradient of ``exact(*tensors)`` as a function of the tensors and of ``grad``."""
    wanted = [i for i, need in enumerate(needs) if need]
    tensors = tuple(t.view_as(t) for t in tensors)  # aliases, so that what comes back are partial derivatives
    found = torch.autograd.grad(exact(*tensors), [tensors[i] for i in wanted], grad, create_graph=True)
    return _placed(wanted, found, len(needs))


def _placed(places: list[int], tensors: tuple[Tensor, ...], count: int) -> list[Tensor | None]:
    result: list[Tensor | None] = [None] * count
    for i, tensor in zip(places, tensors):
        result[i] = tensor
    return result


def run_network(plan: NetworkPlan, x: Tensor, params: Tensor) -> Tensor:
    """[N, inputs] to [N, outputs], as often differentiable as one likes."""
    spec = plan.spec
    if spec is None or x.shape[0] == 0:
        return plan.written_out(x, params)
    used = params if params.shape[0] == spec.params else params.split([spec.params, params.shape[0] - spec.params])[0]
    if not _records(x, params):
        return kernels.field_mlp(x, used, spec)
    return _Twice.apply(lambda a, b: kernels.field_mlp(a, b, spec), plan.written_out, x, used)  # type: ignore[no-any-return]


class _Field(torch.autograd.Function):
    """A grid and its network on the flat parameters: their gradient is one vector from the start, into which the kernel adds, instead of
    parts that are joined. Where the gradient is to be differentiated again, that of ``exact``."""

    @staticmethod
    def forward(ctx: Any, exact: Any, grid: GridEncoding, plan: NetworkPlan, backend: str, x: Tensor, params: Tensor) -> Tensor:
        spec, geometry = plan.spec, grid.spec
        assert spec is not None
        assert geometry is not None
        used, table = _parts(grid, plan, params.detach())
        out = x.new_empty(x.shape[0], spec.outputs)
        tape = memory.block(x, (fields.tape_size(x.shape[0], geometry, spec),)) if backend == "cpu" else None
        fields.write_outputs(x, table, used, geometry, spec, False, geometry.levels, backend, out, None, tape)
        ctx.save_for_backward(x, params, *([] if tape is None else [tape]))
        ctx.rest = exact, grid, plan, backend
        return out

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        exact, grid, plan, backend = ctx.rest
        x, params, *tapes = ctx.saved_tensors
        need_x, need_params = ctx.needs_input_grad[4:]
        if torch.is_grad_enabled():
            return None, None, None, None, *_again(exact, (x, params), (need_x, need_params), grads[0])
        grad_x, grad_params = torch.empty_like(x) if need_x else None, memory.block(params, params.shape).zero_()
        used, table = _parts(grid, plan, params)
        to_used, to_table = _parts(grid, plan, grad_params)
        specs = (grid.spec, plan.spec, False, grid.spec.levels, backend)
        fields.add_gradients(grads[0], None, x, table, used, tapes[0] if tapes else None, *specs, grad_x, to_table, to_used)
        return None, None, None, None, grad_x, grad_params if need_params else None


def _parts(grid: GridEncoding, plan: NetworkPlan, flat: Tensor) -> tuple[Tensor, Tensor]:
    """Views of the network's matrices, without the rows that reach nothing, and of the table."""
    assert plan.spec is not None
    used, _, table = flat.split([plan.spec.params, plan.parameters - plan.spec.params, grid.parameters])
    return used, table.view(-1, grid.features)


def run_field(grid: GridEncoding, plan: NetworkPlan, x: Tensor, params: Tensor) -> Tensor | None:
    """Network of a grid's encoding in one kernel, or none where they cannot be one."""
    spec, geometry = plan.spec, grid.spec
    if spec is None or geometry is None or x.shape[0] == 0 or geometry.out_features != spec.inputs:
        return None
    x = x.clamp(-_FAR, _FAR)

    def exact(x: Tensor, params: Tensor) -> Tensor:
        used, table = _parts(grid, plan, params)
        return plan.written_out(kernels.hash_encode(x, table, geometry), used)

    if not _records(x, params):
        used, table = _parts(grid, plan, params)
        return kernels.fused_field(x, table, used, geometry, spec)
    backend = backends.backend("fused_field", x.device, None)
    if backend == "reference":
        return exact(x, params)
    return _Field.apply(exact, grid, plan, backend, x.contiguous(), params)  # type: ignore[no-any-return]


def _records(*tensors: Tensor) -> bool:
    return torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
