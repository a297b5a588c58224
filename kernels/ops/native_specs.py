"""Specifications in the form that the native extension takes, and tensors in the form that it takes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from torch import Tensor

from ..backends import native
from ..specs import ACTIVATIONS, HashGridSpec, MLPSpec


@lru_cache(maxsize=256)
def native_grid(spec: HashGridSpec) -> Any:
    """``_native.Grid`` of a specification."""
    return native().Grid(
        spec.dims, spec.features, spec.interpolation == "smoothstep", spec.scales, spec.resolutions, spec.offsets, spec.hashed
    )


@lru_cache(maxsize=256)
def native_mlp(spec: MLPSpec) -> Any:
    """``_native.MLP`` of a specification."""
    return native().MLP(spec.widths, ACTIVATIONS.index(spec.activation), ACTIVATIONS.index(spec.output_activation), spec.bias, spec.beta)


def raw(tensor: Tensor) -> Tensor:
    """Detached and contiguous: what DLPack exports."""
    return tensor.detach().contiguous()
