"""The ops in Triton: the raw functions, float32, on contiguous tensors that the caller allocates.

Importing this package needs Triton. ``kernels.ops.gpu_fields`` and ``gpu_rays`` give the functions their gradients; names and
arguments are those of every GPU backend.
"""

import torch

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
from .knn import knn_build, knn_query
from .launch import interpreting
from .march import march_count, march_fill
from .mlp import field_mlp_backward, field_mlp_forward
from .occupancy import occupancy_decay, occupancy_pack, occupancy_see
from .rbf import rbf_channels_backward, rbf_channels_forward
from .rbf_layer import rbf_layer_backward, rbf_layer_forward

DTYPES = (torch.float32,)


def status(kind: str) -> tuple[bool, str]:
    """Whether the kernels can run on a kind of device ("cuda", "cpu"), and why (not)."""
    if interpreting():
        return kind == "cpu", "Triton's interpreter, for checks only" if kind == "cpu" else "TRITON_INTERPRET is set, which runs on the CPU"
    if kind != "cuda":
        return False, f"the tensors are on {kind}, and Triton kernels run on a GPU (or, for checks, on the CPU with TRITON_INTERPRET=1)"
    return torch.cuda.is_available(), "Triton" if torch.cuda.is_available() else "torch finds no GPU"


__all__ = [
    "DTYPES",
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
    "knn_build",
    "knn_query",
    "laplace_backward",
    "laplace_forward",
    "march_count",
    "march_fill",
    "occupancy_decay",
    "occupancy_pack",
    "occupancy_see",
    "opacity_error",
    "rbf_channels_backward",
    "rbf_channels_forward",
    "rbf_layer_backward",
    "rbf_layer_forward",
    "sample_pdf",
    "solve_beta",
    "status",
]
