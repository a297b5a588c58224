"""The ops in CUDA: the raw functions on contiguous tensors that the caller allocates, launchers of native/cuda/*.cu.

Names and arguments are those of every GPU backend; ``kernels.ops.gpu_fields`` and ``gpu_rays`` give them their gradients. float32 and
float64. Sums into tables and parameters are made by atomics: their order, and so the last bits, differ from run to run.
"""

from __future__ import annotations

import math
import struct
from functools import lru_cache

import torch
from torch import Tensor

from . import cuda_backend
from .cuda_backend import REALS, Unit
from .knn_tree import knn_build as knn_build
from .specs import ACTIVATIONS, HashGridSpec, MLPSpec

DTYPES = tuple(REALS)


def status(kind: str) -> tuple[bool, str]:
    """Whether the kernels can run on a kind of device ("cuda", "cpu"), and why (not)."""
    if kind != "cuda":
        return False, f"the tensors are on {kind}, and CUDA kernels run on an NVIDIA GPU"
    if not torch.cuda.is_available():
        return False, "torch finds no NVIDIA GPU"
    return True, f"compiled by NVRTC {cuda_backend.nvrtc_version()} for the GPU found"


def _unit(file: str, like: Tensor, **defines: object) -> Unit:
    return Unit(file, (("REAL", REALS[like.dtype]), *((name, str(value)) for name, value in defines.items())))


@lru_cache(maxsize=64)
def _levels(spec: HashGridSpec, device: torch.device) -> Tensor:
    """``GridLevel`` structs: scale (the bits of a float), resolution, size, offset, hashed. int32 [levels, 5]"""
    rows = zip(spec.scales, spec.resolutions, spec.sizes, spec.offsets, spec.hashed)
    packed = [[struct.unpack("i", struct.pack("f", scale))[0], *(int(i) for i in rest)] for scale, *rest in rows]
    return torch.tensor(packed, dtype=torch.int64, device=device).to(torch.int32)


def _smooth(spec: HashGridSpec) -> int:
    return int(spec.interpolation == "smoothstep")


def _encode(x: Tensor, v: Tensor | None, table: Tensor, spec: HashGridSpec, active: int, out: Tensor) -> None:
    cuda_backend.launch(
        _unit("hash_encode", x, DIMS=spec.dims), "encode_forward", (x.shape[0], spec.levels),
        x.shape[0], x, v, table, _levels(spec, x.device), active, spec.features, _smooth(spec), spec.out_features, out,
    )  # fmt: skip


def _to_table(x: Tensor, v: Tensor | None, grad_out: Tensor, spec: HashGridSpec, active: int, grad_table: Tensor) -> None:
    cuda_backend.launch(
        _unit("hash_encode", x, DIMS=spec.dims), "encode_to_table", (x.shape[0], active),
        x.shape[0], x, v, grad_out, _levels(spec, x.device), spec.features, _smooth(spec), spec.out_features, grad_table,
    )  # fmt: skip


def _to_point(x: Tensor, v: Tensor | None, table: Tensor, grad_out: Tensor, spec: HashGridSpec, active: int, grad_x: Tensor) -> None:
    cuda_backend.launch(
        _unit("hash_encode", x, DIMS=spec.dims), "encode_to_point", (x.shape[0], 1),
        x.shape[0], x, v, table, grad_out, _levels(spec, x.device), active, spec.features, _smooth(spec), spec.out_features, grad_x,
    )  # fmt: skip


def hash_encode_forward(x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, out: Tensor) -> None:
    """``out[:]`` = encoding of x."""
    _encode(x, None, table, spec, active_levels, out)


def hash_encode_backward(
    x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, grad_out: Tensor, grad_x: Tensor | None, grad_table: Tensor | None
) -> None:
    """``grad_x[:] =`` and ``grad_table +=`` the gradients of ``sum(grad_out * encoding)``; either may be None."""
    if grad_table is not None:
        _to_table(x, None, grad_out, spec, active_levels, grad_table)
    if grad_x is not None:
        _to_point(x, None, table, grad_out, spec, active_levels, grad_x)


def hash_encode_double_backward(
    x: Tensor, table: Tensor, spec: HashGridSpec, active_levels: int, grad_out: Tensor, v: Tensor,
    grad_grad_out: Tensor, grad_x: Tensor, grad_table: Tensor,
) -> None:  # fmt: skip
    """Gradients of ``<grad_out, change of the encoding along v>``: the first two are overwritten, the table is added to."""
    _encode(x, v, table, spec, active_levels, grad_grad_out)
    _to_point(x, v, table, grad_out, spec, active_levels, grad_x)
    _to_table(x, v, grad_out, spec, active_levels, grad_table)


def _network(spec: MLPSpec) -> dict[str, object]:
    activations = f"{ACTIVATIONS.index(spec.activation)}, {ACTIVATIONS.index(spec.output_activation)}"
    widths = ", ".join(map(str, spec.widths))
    beta = float(spec.beta).hex()
    return {
        "NETWORK": f"{{{len(spec.widths) - 1}, {{{widths}}}, {activations}, {int(spec.bias)}, float({beta})}}",
        "WIDTH": sum(spec.widths),
    }


def field_mlp_forward(x: Tensor, params: Tensor, spec: MLPSpec, out: Tensor) -> None:
    """``out[:] = mlp(x)``."""
    cuda_backend.launch(_unit("field", x, **_network(spec)), "mlp_forward_rows", (x.shape[0], 1), x.shape[0], x, params, out)


def field_mlp_backward(
    x: Tensor, params: Tensor, spec: MLPSpec, grad_out: Tensor, grad_x: Tensor | None, grad_params: Tensor | None
) -> None:
    """``grad_x[:] =`` and ``grad_params +=`` the gradients of ``sum(grad_out * mlp(x))``; either may be None."""
    cuda_backend.launch(
        _unit("field", x, **_network(spec)), "mlp_backward_rows", (x.shape[0], 1), x.shape[0], x, params, grad_out, grad_x, grad_params
    )


def _field(x: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool) -> Unit:
    return _unit("field", x, **_network(mlp), FIELD=1, DIMS=grid.dims, ROW=grid.dims if include_input else 0)


def fused_field_forward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    out: Tensor, gradient: Tensor | None,
) -> None:  # fmt: skip
    """``out[:]``, and ``gradient[:]`` of output 0 where it is given."""
    cuda_backend.launch(
        _field(x, grid, mlp, include_input), "field_forward" if gradient is None else "field_jet", (x.shape[0], 1),
        x.shape[0], x, table, params, _levels(grid, x.device), active_levels, grid.features, _smooth(grid), out,
        *(() if gradient is None else (gradient,)),
    )  # fmt: skip


def fused_field_backward(
    x: Tensor, table: Tensor, params: Tensor, grid: HashGridSpec, mlp: MLPSpec, include_input: bool, active_levels: int,
    grad_out: Tensor, grad_gradient: Tensor | None, grad_x: Tensor | None, grad_table: Tensor, grad_params: Tensor,
) -> None:  # fmt: skip
    """Gradients of ``sum(grad_out * out)`` plus, where given, ``sum(grad_gradient * gradient)`` (then without grad_x)."""
    cuda_backend.launch(
        _field(x, grid, mlp, include_input), "field_backward" if grad_gradient is None else "field_jet_backward", (x.shape[0], 1),
        x.shape[0], x, table, params, _levels(grid, x.device), active_levels, grid.features, _smooth(grid), grad_out,
        grad_x if grad_gradient is None else grad_gradient, grad_table, grad_params,
    )  # fmt: skip


def adam_step(
    param: Tensor, grad: Tensor, exp_avg: Tensor, exp_avg_sq: Tensor, steps: Tensor, lr: float, betas: tuple[float, float], eps: float,
    weight_decay: float, skip_zero: bool,
) -> None:  # fmt: skip
    """In place; see :func:`kernels.adam_step`."""
    rows = param.shape[0] if skip_zero else param.numel()
    if not skip_zero:
        steps += 1
    logs = (math.log(beta) if beta > 0 else -1e4 for beta in betas)  # exp(-1e4) is 0: beta^t for beta = 0
    cuda_backend.launch(
        _unit("adam", param), "adam_rows", (rows, 1), rows, param.numel() // max(rows, 1), param, grad, exp_avg, exp_avg_sq, steps,
        float(lr), *map(float, betas), *logs, float(eps), float(weight_decay), int(skip_zero),
    )  # fmt: skip


def _lattice(bitfield: Tensor, resolution: int, step: float, cone_angle: float) -> tuple[int | float, ...]:
    cascades = bitfield.shape[0]
    longest = 2 * math.sqrt(3) * 2.0 ** (cascades - 1) / resolution
    return resolution, cascades, float(step), float(cone_angle), math.log1p(cone_angle), longest


def march_count(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, counts: Tensor,
) -> None:  # fmt: skip
    """Samples of each ray into ``counts``, int32 [R]."""
    lattice = _lattice(bitfield, resolution, step, cone_angle)
    rays = (origins.shape[0], origins, directions, near, far, jitter, bitfield)
    cuda_backend.launch(_unit("march", origins), "march_count", (origins.shape[0], 1), *rays, *lattice, max_samples, counts)


def march_fill(
    origins: Tensor, directions: Tensor, near: Tensor, far: Tensor, jitter: Tensor, bitfield: Tensor, resolution: int, step: float,
    cone_angle: float, max_samples: int, offsets: Tensor, ray_indices: Tensor, t: Tensor, dt: Tensor,
) -> None:  # fmt: skip
    """Samples of each ray, from ``offsets`` on; as many as were counted."""
    del max_samples
    lattice = _lattice(bitfield, resolution, step, cone_angle)
    rays = (origins.shape[0], origins, directions, near, far, jitter, bitfield)
    cuda_backend.launch(_unit("march", origins), "march_fill", (origins.shape[0], 1), *rays, *lattice, offsets, ray_indices, t, dt)


def _composite_unit(channels: Tensor) -> Unit:
    return _unit("composite", channels, CHANNELS=channels.shape[1] if channels.shape[1] <= 16 else 0)


def composite_forward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, values: Tensor, opacity: Tensor, weights: Tensor,
    after: Tensor,
) -> None:  # fmt: skip
    """density, dt [N], channels [N, C] -> values [R, C], opacity [R], weights [N], and transmittances [N] for the backward."""
    rays, count = values.shape
    inputs = (density, dt, channels, count, offsets)
    cuda_backend.launch(
        _composite_unit(channels), "composite_forward", (rays, 1), rays, *inputs, float(early_stop), values, opacity, weights, after
    )


def composite_backward(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, weights: Tensor, after: Tensor, *grads: Tensor
) -> None:
    """grads: of values, opacity, weights (read); of density, dt, channels (overwritten)."""
    rays = offsets.shape[0] - 1
    inputs = (density, dt, channels, channels.shape[1], offsets, weights, after)
    cuda_backend.launch(_composite_unit(channels), "composite_backward", (rays, 1), rays, *inputs, *grads)


def composite_alpha_forward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, values: Tensor, opacity: Tensor, weights: Tensor, before: Tensor
) -> None:
    """As :func:`composite_forward`, of opacities."""
    rays, count = values.shape
    outputs = (values, opacity, weights, before)
    cuda_backend.launch(
        _composite_unit(channels), "composite_alpha_forward", (rays, 1), rays, alpha, channels, count, offsets, float(early_stop), *outputs
    )


def composite_alpha_backward(
    alpha: Tensor, channels: Tensor, offsets: Tensor, early_stop: float, weights: Tensor, before: Tensor, *grads: Tensor
) -> None:
    """As :func:`composite_backward`, of opacities."""
    rays = offsets.shape[0] - 1
    inputs = (alpha, channels, channels.shape[1], offsets, float(early_stop), weights, before)
    cuda_backend.launch(_composite_unit(channels), "composite_alpha_backward", (rays, 1), rays, *inputs, *grads)


def distortion_forward(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, loss: Tensor) -> None:
    """weights, t, dt [N] -> loss [R]."""
    rays = loss.shape[0]
    cuda_backend.launch(_unit("composite", t, CHANNELS=0), "distortion_forward", (rays, 1), rays, weights, t, dt, offsets, loss)


def distortion_backward(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, grad_loss: Tensor, grad_weights: Tensor) -> None:
    """Gradient to the weights [N] from that of the losses [R]."""
    rays = grad_loss.shape[0]
    inputs = (weights, t, dt, offsets, grad_loss, grad_weights)
    cuda_backend.launch(_unit("composite", t, CHANNELS=0), "distortion_backward", (rays, 1), rays, *inputs)


def _each(beta: Tensor) -> int:
    return int(beta.numel() > 1)


def laplace_forward(sdf: Tensor, beta: Tensor, density: Tensor) -> None:
    """sdf [N], beta [1] or [N] -> density [N]."""
    n = sdf.shape[0]
    cuda_backend.launch(_unit("density", sdf), "laplace_forward", (n, 1), n, sdf, beta, _each(beta), density)


def laplace_backward(sdf: Tensor, beta: Tensor, grad: Tensor, grad_sdf: Tensor, grad_beta: Tensor) -> None:
    """Gradient to sdf [N] and to beta, [N] per sample also where beta is one number."""
    n = sdf.shape[0]
    cuda_backend.launch(_unit("density", sdf), "laplace_backward", (n, 1), n, sdf, beta, _each(beta), grad, grad_sdf, grad_beta)


def opacity_error(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, errors: Tensor) -> None:
    """errors [N]; beta [1] or [R]."""
    rays = offsets.shape[0] - 1
    cuda_backend.launch(_unit("density", sdf), "error_bounds", (rays, 1), rays, sdf, t, offsets, beta, _each(beta), errors, None)


def error_bound(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, bounds: Tensor) -> None:
    """bounds [R]; beta [1] or [R]."""
    rays = offsets.shape[0] - 1
    cuda_backend.launch(_unit("density", sdf), "error_bounds", (rays, 1), rays, sdf, t, offsets, beta, _each(beta), None, bounds)


def solve_beta(sdf: Tensor, t: Tensor, offsets: Tensor, beta: Tensor, epsilon: float, iterations: int, result: Tensor) -> None:
    """result [R]; beta [1] or [R]."""
    rays = offsets.shape[0] - 1
    cuda_backend.launch(
        _unit("density", sdf), "solve_betas", (rays, 1), rays, sdf, t, offsets, beta, _each(beta), float(epsilon), math.log1p(epsilon),
        iterations, torch.empty_like(t), result,
    )  # fmt: skip


def sample_pdf(bins: Tensor, weights: Tensor, u: Tensor, offsets: Tensor, samples: Tensor) -> None:
    """samples [R, S] from u [R, S]; bins, weights [N]."""
    rays, count = u.shape
    cdf, flat = torch.empty_like(weights), torch.empty(rays, dtype=torch.uint8, device=u.device)
    unit = _unit("density", bins)
    cuda_backend.launch(unit, "accumulate_pdfs", (rays, 1), rays, bins, weights, offsets, cdf, flat)
    cuda_backend.launch(unit, "invert_cdfs", (u.numel(), 1), u.numel(), count, bins, weights, offsets, cdf, flat, u, samples)


def rbf_forward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    out: Tensor,
) -> None:  # fmt: skip
    """out [N, F]; kernel an index into ``rbf_encode.KERNELS``; flags: 1 normalize, 2 taper, 4 detach_normalizer."""
    shape = (kernel, flags, shapes.shape[1], neighbors.shape[1], weights.shape[1])
    inputs = (x, centers, shapes, weights, neighbors, frequencies)
    cuda_backend.launch(_unit("rbf", x, DIMS=x.shape[1]), "rbf_forward_rows", (x.shape[0], 1), x.shape[0], *inputs, *shape, out)


def rbf_backward(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    grad: Tensor, direction: Tensor | None, by_grad: Tensor | None, by_x: Tensor | None, by_centers: Tensor | None,
    by_shapes: Tensor | None, by_weights: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>``, or with a direction [N, D] of ``<direction, the gradient to x>``; by_grad only then.

    Those of points are written, those of functions added to; each may be None.
    """
    shape = (kernel, flags, shapes.shape[1], neighbors.shape[1], weights.shape[1])
    inputs = (x, centers, shapes, weights, neighbors, frequencies)
    results = (by_x, by_centers, by_shapes, by_weights)
    last = results if direction is None else (direction, by_grad, *results)
    entry = "rbf_backward_rows" if direction is None else "rbf_second_rows"
    cuda_backend.launch(_unit("rbf", x, DIMS=x.shape[1]), entry, (x.shape[0], 1), x.shape[0], *inputs, *shape, grad, *last)


def _layer(like: Tensor, outputs: int) -> Unit:
    return _unit("rbf_layer", like, FEATURES=like.shape[1], OUTPUTS=outputs)


def rbf_layer_forward(features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, bias: Tensor, out: Tensor) -> None:
    """out [N, O]; see :func:`kernels.rbf_layer`."""
    n, inputs = features.shape[0], (features, None, centers, log_betas.exp(), weight, bias)
    cuda_backend.launch(_layer(features, out.shape[1]), "layer_forward_rows", (n, 1), n, *inputs, centers.shape[0], out)


def rbf_layer_backward(
    features: Tensor, centers: Tensor, log_betas: Tensor, weight: Tensor, grad: Tensor, direction: Tensor | None,
    by_grad: Tensor | None, by_features: Tensor | None, sums: Tensor | None,
) -> None:  # fmt: skip
    """Gradients of ``<grad, out>``, or with a direction [N, F] of ``<direction, the gradient to features>``; by_grad only then.

    ``sums`` has centers, log_betas, weight and bias one after another and is added to, the others are written; each may be None.
    """
    n, unit, inputs = features.shape[0], _layer(features, grad.shape[1]), (features, direction, centers, log_betas.exp(), weight)
    if by_grad is not None:
        cuda_backend.launch(unit, "layer_forward_rows", (n, 1), n, *inputs, None, centers.shape[0], by_grad)
    if by_features is not None or sums is not None:
        cuda_backend.launch(unit, "layer_backward_rows", (n, 1), n, *inputs, centers.shape[0], grad, by_features, sums)


def occupancy_pack(values: Tensor, threshold: float, bitfield: Tensor) -> None:
    """Bits of the values [cascades, cells] above the threshold."""
    count = bitfield.numel()
    cuda_backend.launch(_unit("occupancy", values), "pack_cells", (count, 1), count, values, float(threshold), bitfield)


def occupancy_see(planes: Tensor, resolution: int, size: float, radius: float, seen: Tensor) -> None:
    """seen uint8 [resolution^3] of the planes [V, 5, 4]; cells of side ``size``, spheres of ``radius`` around them."""
    cells = seen.numel()
    cuda_backend.launch(
        _unit("occupancy", planes), "see_cells", (cells, 1), cells, resolution, float(size), float(radius), planes, planes.shape[0], seen
    )


def occupancy_decay(values: Tensor, fresh: Tensor, indices: Tensor | None, decay: float) -> None:
    """In place; see :func:`kernels.decay_occupancy`. values [cells], fresh [M], indices int64 [M] or None (M = cells)."""
    unit, cells, count = _unit("occupancy", values), values.numel(), fresh.numel()
    cuda_backend.launch(unit, "decay_cells", (cells, 1), cells, fresh if indices is None else None, float(decay), values)
    if indices is not None:
        cuda_backend.launch(unit, "raise_cells", (count, 1), count, fresh, indices, values)


def knn_query(boxes: Tensor, leaf_points: Tensor, leaf_ids: Tensor, queries: Tensor, indices: Tensor, squared: Tensor) -> None:
    """indices int32 [M, k] and squared [M, k] of the queries [M, D]."""
    rows, k = indices.shape
    unit = _unit("knn", queries, DIMS=queries.shape[1])
    tree = (boxes, leaf_points, leaf_ids, leaf_ids.shape[0])
    cuda_backend.launch(unit, "knn_queries", (rows, 1), rows, *tree, queries, k, math.inf, indices, squared)
