"""The modules: one flat float32 parameter each, in the layout network, then encoding; as a build without half precision has them."""

from __future__ import annotations

import gc
from enum import Enum
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.cuda import is_available  # its own answer, also within a pretence

from ..errors import CompatError
from . import memory
from .encodings import EncodingPlan, create_encoding, padded
from .grid import GridEncoding
from .network import NetworkPlan, aligned, create_network, run_field, run_network
from .pcg32 import Pcg32


class Precision(Enum):
    """Number formats of parameters and results. Only single precision is computed in."""

    Fp32 = 0
    Fp16 = 1


class NativeModule:
    """What a module computes, apart from its parameters.

    Args:
        inputs: Coordinates per point.
        encoding: First, or none.
        network: Then, or none.
    """

    def __init__(self, inputs: int, encoding: EncodingPlan, network: NetworkPlan | None):
        self.inputs, self.encoding, self.network = inputs, encoding, network

    def n_input_dims(self) -> int:
        """Coordinates per point."""
        return self.inputs

    def n_output_dims(self) -> int:
        """Values per point."""
        return self.network.outputs if self.network else self.encoding.outputs

    def n_params(self) -> int:
        """Length of the parameters."""
        return (self.network.parameters if self.network else 0) + self.encoding.parameters

    def param_precision(self) -> Precision:
        """Single."""
        return Precision.Fp32

    def output_precision(self) -> Precision:
        """Single."""
        return Precision.Fp32

    def hyperparams(self) -> dict[str, object]:
        """What it was configured with, defaults filled in."""
        if self.network is None:
            return self.encoding.settings
        return {"otype": "NetworkWithInputEncoding", "encoding": self.encoding.settings, "network": self.network.settings}

    def initial_params(self, seed: int) -> Tensor:
        """The values that a seed stands for, on the GPU where there is one."""
        rng = Pcg32(seed)
        values = (self.network.initial(rng) if self.network else []) + self.encoding.initial(rng)
        flat = np.concatenate(values) if values else np.zeros(0, np.float32)
        return torch.from_numpy(flat).to("cuda" if is_available() else "cpu")

    def __call__(self, x: Tensor, params: Tensor) -> Tensor:
        """[N, inputs] float32 to [N, outputs]."""
        network = self.network
        if network is None:
            return self.encoding.encode(x, params)
        if isinstance(self.encoding, GridEncoding):
            result = run_field(self.encoding, network, x, params)
            if result is not None:
                return result
        of_network, of_encoding = params.split([network.parameters, self.encoding.parameters])
        encoded = self.encoding.encode(x, of_encoding)
        return run_network(network, padded(encoded, network.inputs, self.encoding.pad_value), of_network)


def create_module(inputs: int, encoding: object, outputs: int | None = None, network: object = None) -> NativeModule:
    """The computation that configurations describe; a network alone sees its inputs as they are."""
    plan = create_encoding(inputs, encoding)
    if outputs is None:
        return NativeModule(inputs, plan, None)
    return NativeModule(inputs, plan, create_network(aligned(plan.outputs), outputs, network))


class Module(nn.Module):
    """Base of the three modules.

    Attributes:
        params: Everything trainable, flat, float32.
        dtype: Of the results: ``torch.float32``.
        loss_scale: 1: gradients are not scaled.
        seed: Stands for the initial parameters.
    """

    def __init__(self, seed: int = 1337):
        super().__init__()
        self.native_tcnn_module = self._native_tcnn_module()
        self.dtype = torch.float32
        self.seed = seed
        self.params = nn.Parameter(self.native_tcnn_module.initial_params(seed), requires_grad=True)
        self.loss_scale = 1.0

    def _native_tcnn_module(self) -> NativeModule:
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Evaluate.

        Args:
            x: [N, n_input_dims], any N, any floating type and device; computed in float32 on the device of the parameters.
        Returns:
            [N, n_output_dims] float32, differentiable twice to ``x`` and to the parameters.
        """
        native = self.native_tcnn_module
        if x.ndim != 2 or x.shape[1] != native.inputs:
            raise CompatError(f"the input must have shape [N, {native.inputs}], not {list(x.shape)}")
        with torch.autocast(x.device.type, enabled=False):
            return native(x.to(self.params.device, torch.float32), self.params.to(torch.float32))

    def __getstate__(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if key != "native_tcnn_module"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.native_tcnn_module = self._native_tcnn_module()

    @property
    def jit_fusion(self) -> bool:
        """Whether kernels are compiled for this module: never; setting it changes nothing."""
        return False

    @jit_fusion.setter
    def jit_fusion(self, value: bool) -> None:
        bool(value)

    def extra_repr(self) -> str:
        """Shapes, seed and configuration."""
        return (
            f"n_input_dims={self.n_input_dims}, n_output_dims={self.n_output_dims}, seed={self.seed}, dtype={self.dtype}, "
            f"hyperparams={self.native_tcnn_module.hyperparams()}"
        )

    n_input_dims: int
    n_output_dims: int


class Encoding(Module):
    """An encoding of points.

    Args:
        n_input_dims: Coordinates per point.
        encoding_config: Dictionary with ``otype`` and its options.
        seed: Stands for the initial parameters.
        dtype: Of the result: ``None`` or ``torch.float32``.
    Raises:
        ValueError: Another ``dtype`` than float32 and float16.
        CompatError: Half precision; an option that is not supported.
    """

    def __init__(self, n_input_dims: int, encoding_config: object, seed: int = 1337, dtype: torch.dtype | None = None):
        self.n_input_dims = n_input_dims
        self.encoding_config = encoding_config
        if dtype not in (None, torch.float32, torch.float16):
            raise ValueError(f"Encoding only supports fp32 or fp16 precision, but got {dtype}")
        if dtype == torch.float16:
            raise CompatError("dtype: torch.float16 is not supported: there is no half precision; supported are None, torch.float32")
        self.precision = Precision.Fp32
        super().__init__(seed)
        self.n_output_dims = self.native_tcnn_module.n_output_dims()

    def _native_tcnn_module(self) -> NativeModule:
        return create_module(self.n_input_dims, self.encoding_config)


class Network(Module):
    """A network of the inputs as they are.

    Args:
        n_input_dims, n_output_dims: Values per point.
        network_config: Dictionary with ``otype`` and its options.
        seed: Stands for the initial parameters.
    """

    def __init__(self, n_input_dims: int, n_output_dims: int, network_config: object, seed: int = 1337):
        self.n_input_dims, self.n_output_dims = n_input_dims, n_output_dims
        self.network_config = network_config
        super().__init__(seed)

    def _native_tcnn_module(self) -> NativeModule:
        return create_module(self.n_input_dims, {"otype": "Identity"}, self.n_output_dims, self.network_config)


class NetworkWithInputEncoding(Module):
    """A network of an encoding.

    Args:
        n_input_dims, n_output_dims: Values per point.
        encoding_config, network_config: Dictionaries with ``otype`` and its options.
        seed: Stands for the initial parameters.
    """

    def __init__(self, n_input_dims: int, n_output_dims: int, encoding_config: object, network_config: object, seed: int = 1337):
        self.n_input_dims, self.n_output_dims = n_input_dims, n_output_dims
        self.encoding_config, self.network_config = encoding_config, network_config
        super().__init__(seed)

    def _native_tcnn_module(self) -> NativeModule:
        return create_module(self.n_input_dims, self.encoding_config, self.n_output_dims, self.network_config)


def free_temporary_memory() -> None:
    """Let go of what nothing refers to any more, and of the blocks that wait for the next step."""
    gc.collect()
    memory.release()


def supports_jit_fusion() -> bool:
    """Whether kernels can be compiled for a module: no."""
    return False


def rtc_set_cache_dir(path: str) -> None:
    """Where compiled kernels would be kept: nothing is compiled."""


_C = SimpleNamespace(
    Precision=Precision,
    preferred_precision=lambda: Precision.Fp32,
    batch_size_granularity=lambda: 1,
    default_loss_scale=lambda precision: 1.0,
    free_temporary_memory=free_temporary_memory,
    supports_jit_fusion=supports_jit_fusion,
    rtc_set_cache_dir=rtc_set_cache_dir,
    has_networks=lambda: True,
    create_encoding=lambda n_input_dims, encoding, precision=Precision.Fp32: create_module(n_input_dims, encoding),
    create_network=lambda n_in, n_out, network: create_module(n_in, {"otype": "Identity"}, n_out, network),
    create_network_with_input_encoding=lambda n_in, n_out, encoding, network: create_module(n_in, encoding, n_out, network),
)
