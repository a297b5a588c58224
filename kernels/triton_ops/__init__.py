"""The ops in Triton: the raw functions, float32, on contiguous tensors that the caller allocates.

Importing this package needs Triton. ``kernels.device_ops`` gives the functions their gradients; their names and arguments are those of
every GPU backend.
"""

from .adam import adam_step
from .composite import (
    composite_alpha_backward,
    composite_alpha_forward,
    composite_backward,
    composite_forward,
    distortion_backward,
    distortion_forward,
)
from .density import error_bound, laplace_backward, laplace_forward, opacity_error, sample_pdf, solve_beta
from .fused_field import fused_field_backward, fused_field_forward
from .hash_grid import hash_encode_backward, hash_encode_double_backward, hash_encode_forward
from .march import march_count, march_fill
from .mlp import field_mlp_backward, field_mlp_forward

__all__ = [
    "adam_step",
    "composite_alpha_backward",
    "composite_alpha_forward",
    "composite_backward",
    "composite_forward",
    "distortion_backward",
    "distortion_forward",
    "error_bound",
    "field_mlp_backward",
    "field_mlp_forward",
    "fused_field_backward",
    "fused_field_forward",
    "hash_encode_backward",
    "hash_encode_double_backward",
    "hash_encode_forward",
    "laplace_backward",
    "laplace_forward",
    "march_count",
    "march_fill",
    "opacity_error",
    "sample_pdf",
    "solve_beta",
]
