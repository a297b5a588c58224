"""Compute kernels of neural fields: tensors in, tensors out, no scenes.

The public face; everything else in this package is an implementation. Every op takes ``backend=None`` (the best available for the
tensor's device) or the name of one; ``kernels.backend(op, device)`` says which it would be.
"""

from .backends import available_backends, backend, backend_report
from .errors import ArgumentError, BackendError, KernelError
from .ops.adam import adam_step
from .ops.field_mlp import field_mlp
from .ops.fused_field import fused_field
from .ops.hash_encode import hash_encode
from .specs import HashGridSpec, MLPSpec

__all__ = [
    "ArgumentError",
    "BackendError",
    "HashGridSpec",
    "KernelError",
    "MLPSpec",
    "adam_step",
    "available_backends",
    "backend",
    "backend_report",
    "field_mlp",
    "fused_field",
    "hash_encode",
]
