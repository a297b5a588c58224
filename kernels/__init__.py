"""Compute kernels of neural fields: tensors in, tensors out, no scenes.

The public face; everything else in this package is an implementation. Every op takes ``backend=None`` (the best available for the
tensor's device) or the name of one; ``kernels.backend(op, device)`` says which it would be.
"""

import os

# Both are read once, when torch is loaded, and only set where the user has not: threads of torch that wait go to sleep instead of
# spinning on the cores that the native kernels then need, and big tensors lie in huge pages, which the system hands out much faster.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

from .backends import available_backends, backend, backend_report
from .errors import ArgumentError, BackendError, KernelError
from .ops.adam import adam_step
from .ops.bounded import BoundedSamples, HashDistance, bounded_backend, bounded_samples
from .ops.composite import composite, composite_alpha, distortion_loss
from .ops.depth_maps import Agreement, filter_depth, fuse_depth, refit_normals
from .ops.field import fused_field
from .ops.hash_encode import hash_encode, hash_encode_pullback
from .ops.knn import KnnIndex, knn, knn_index
from .ops.laplace import bound_beta, error_bound, laplace_density, opacity_error, solve_beta
from .ops.march import RaySamples, march_rays
from .ops.mlp import field_mlp
from .ops.occupancy import OccupancyGrid, cells_seen, decay_occupancy, update_occupancy
from .ops.patch_agreement import PicturePairs, patch_agreement
from .ops.patch_match import PlaneMap, StereoView, patch_costs, patch_match
from .ops.rbf import rbf_encode, rbf_encode_pullback
from .ops.rbf_layer import rbf_layer
from .ops.sampling import sample_pdf
from .ops.tensors import reuse_gradient
from .specs import HashGridSpec, MLPSpec

__all__ = [
    "Agreement",
    "ArgumentError",
    "BackendError",
    "BoundedSamples",
    "HashDistance",
    "HashGridSpec",
    "KernelError",
    "KnnIndex",
    "MLPSpec",
    "OccupancyGrid",
    "PicturePairs",
    "PlaneMap",
    "RaySamples",
    "StereoView",
    "adam_step",
    "available_backends",
    "backend",
    "backend_report",
    "bound_beta",
    "bounded_backend",
    "bounded_samples",
    "cells_seen",
    "composite",
    "composite_alpha",
    "decay_occupancy",
    "distortion_loss",
    "error_bound",
    "field_mlp",
    "filter_depth",
    "fuse_depth",
    "fused_field",
    "hash_encode",
    "hash_encode_pullback",
    "knn",
    "knn_index",
    "laplace_density",
    "march_rays",
    "opacity_error",
    "patch_agreement",
    "patch_costs",
    "patch_match",
    "rbf_encode",
    "rbf_encode_pullback",
    "rbf_layer",
    "refit_normals",
    "reuse_gradient",
    "sample_pdf",
    "solve_beta",
    "update_occupancy",
]
