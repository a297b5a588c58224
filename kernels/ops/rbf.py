"""``rbf_encode``: adaptive radial basis functions as an encoding (NeuRBF, arXiv 2309.15426), and its spatial derivative backwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from .. import backends
from ..backends.reference import rbf as reference
from ..backends.reference.pullback import pullback
from ..backends.reference.rbf import KERNELS
from ..errors import ArgumentError
from . import packed_checks as checks
from .checks import fixed_points
from .tensors import optional, raw, raws, wanted, zeros

MAX_FREQUENCY = 1e6


def rbf_encode(
    x: Tensor,
    centers: Tensor,
    shapes: Tensor,
    weights: Tensor,
    neighbors: Tensor,
    *,
    frequencies: Tensor | None = None,
    kernel: str = "iq",
    normalize: bool = True,
    taper: bool = False,
    detach_normalizer: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Sum the features of the nearest radial functions: ``out_f = sum_k w_kf sin(m_f p_k)``, p_k the (normalised) value of function k.

    With ``d = x - c_k``, "iq" is ``1 / (1 + d^T S d)`` (NeuRBF, eq. 3), "gauss" is ``exp(-d^T S d / 2)``, "hat" is
    ``prod_j max(0, 1 - s_j |d_j|)``. Normalised, ``p_k = phi_k / (sum_j phi_j + 1e-8)``. With ``taper``, each function is first multiplied
    by ``max(0, 1 - |d_k|^2 / D^2)^2``, D^2 being 1.001 times the squared distance of the last of the given neighbours, which then does
    not count itself: the encoding becomes continuous where the set of neighbours changes, which it otherwise is not.

    Args:
        x: [N, D], D = 2 or 3; float32 or float64, any frame.
        centers: [M, D]
        shapes: Per function a scale [M, 1], a diagonal [M, D] or (not for "hat") the upper triangle of a symmetric S, row by row
            [M, D(D+1)/2].
        weights: Features. [M, F]
        neighbors: Functions that count at each point, from :func:`kernels.knn`; -1 for none. int32 [N, K], K up to 64; with ``taper`` the
            last column is only its radius.
        frequencies: m_f, radians, [F], not differentiated; None: no sine, ``out_f = sum_k w_kf p_k``.
        kernel: One of :data:`KERNELS`.
        normalize: See above.
        taper: See above.
        detach_normalizer: Leave the sum in the denominator out of the gradients, as NeuRBF does; the gradient to ``x`` is then not the true
            one, and there is no second derivative.
        backend: Force a backend.
    Returns:
        [N, F]. Differentiable once to x, centers, shapes and weights; and the gradient to x once more to all of these (eikonal losses).
        Memory of the native version: some MiB beyond the output.
    Raises:
        ArgumentError: Wrong shape, dtype, device, an unknown kernel, neighbours that do not exist.
        BackendError: A forced backend is missing.
    """
    _check(x, centers, shapes, weights, neighbors, frequencies, kernel, taper)
    name = backends.backend("rbf_encode", x.device, backend)
    if name == "reference":
        options = (kernel, normalize, taper, detach_normalizer)
        return reference.rbf_encode(x, centers, shapes, weights, neighbors, frequencies, *options)
    flags = int(normalize) + 2 * int(taper) + 4 * int(detach_normalizer)
    return _encode(x, centers, shapes, weights, neighbors, frequencies, KERNELS.index(kernel), flags, name)


def rbf_encode_pullback(
    grad: Tensor,
    x: Tensor,
    centers: Tensor,
    shapes: Tensor,
    weights: Tensor,
    neighbors: Tensor,
    *,
    frequencies: Tensor | None = None,
    kernel: str = "iq",
    normalize: bool = True,
    taper: bool = False,
    backend: str | None = None,
) -> Tensor:
    """Gradient to the points of ``grad . rbf_encode(x)``: how a gradient to features becomes one in space.

    Args:
        grad: [N, F]
        x, centers, shapes, weights, neighbors, frequencies, kernel, normalize, taper: As in :func:`rbf_encode`.
        backend: Force a backend.
    Returns:
        [N, D]. Differentiable once to ``grad``, ``centers``, ``shapes`` and ``weights``, not to ``x``: where centres and shapes are fixed
        too, the native version then needs only sums over channels.
    Raises:
        ArgumentError: As :func:`rbf_encode`; also for an ``x`` that requires a gradient.
        BackendError: A forced backend is missing.
    """
    _check(x, centers, shapes, weights, neighbors, frequencies, kernel, taper)
    checks.floats("rbf_encode_pullback", x=(x, (None, x.shape[1])), grad=(grad, (x.shape[0], weights.shape[1])))
    fixed_points("rbf_encode_pullback", x)
    name = backends.backend("rbf_encode", x.device, backend)
    functions = (centers, shapes, weights, neighbors, frequencies)
    if name == "reference":
        return pullback(lambda points: reference.rbf_encode(points, *functions, kernel, normalize, taper, False), x, grad)
    flags = int(normalize) + 2 * int(taper)
    return _backward(grad, x, *functions, KERNELS.index(kernel), flags, [True, False, False, False], name)[0]


def _check(x, centers, shapes, weights, neighbors, frequencies, kernel, taper) -> None:
    op = "rbf_encode"
    if not isinstance(x, Tensor) or x.dim() != 2 or x.shape[1] not in (2, 3):
        raise ArgumentError(f"{op}: x must have shape [N, 2] or [N, 3]")
    (n, dims), count = x.shape, checks.length(op, "centers", centers)
    checks.floats(op, x=(x, (n, dims)), centers=(centers, (None, dims)), shapes=(shapes, (count, None)), weights=(weights, (count, None)))
    if frequencies is not None:
        checks.floats(op, x=(x, (n, dims)), frequencies=(frequencies, (weights.shape[1],)))
    if kernel not in KERNELS:
        raise ArgumentError(f"{op}: kernel must be one of {', '.join(KERNELS)}, not {kernel!r}")
    widths = (1, dims) if kernel == "hat" else (1, dims, dims * (dims + 1) // 2)
    if shapes.shape[1] not in widths:
        raise ArgumentError(
            f"{op}: shapes of {kernel!r} in {dims}D must have {' or '.join(map(str, widths))} columns, not {shapes.shape[1]}"
        )
    checks.other(op, "neighbors", neighbors, torch.int32, x.device, (n, None))
    columns = neighbors.shape[1]
    if not 1 + int(taper) <= columns <= 64:
        raise ArgumentError(f"{op}: neighbors must have {1 + int(taper)} to 64 columns, not {columns}")
    if x.device.type != "cpu" or torch.compiler.is_compiling():
        return
    if neighbors.numel():
        low, high = (int(v) for v in torch.aminmax(neighbors))
        if low < -1 or high >= count:
            raise ArgumentError(f"{op}: neighbors must be -1 to {count - 1}; they span {low} to {high}")
    if frequencies is not None and frequencies.numel() and not float(frequencies.abs().max()) <= MAX_FREQUENCY:
        raise ArgumentError(f"{op}: frequencies must be finite and at most {MAX_FREQUENCY:g}")


def _kernels(backend: str, like: Tensor):
    """The raw functions of a backend; type checkers see those of the CPU, which all have."""
    if TYPE_CHECKING:
        from ..backends.cpu import rbf

        return rbf
    return backends.raw(backend, "rbf", like)


@torch.library.custom_op("formfield::rbf_encode", mutates_args=())
def _encode(
    x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int, flags: int,
    backend: str,
) -> Tensor:  # fmt: skip
    out = x.new_empty(x.shape[0], weights.shape[1])
    inputs = (*raws(x, centers, shapes, weights, neighbors), optional(frequencies))
    _kernels(backend, x).rbf_forward(*inputs, kernel, flags, out)
    return out


@_encode.register_fake
def _(x, centers, shapes, weights, neighbors, frequencies, kernel, flags, backend):
    return x.new_empty(x.shape[0], weights.shape[1])


@torch.library.custom_op("formfield::rbf_encode_backward", mutates_args=())
def _backward(
    grad: Tensor, x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor, frequencies: Tensor | None, kernel: int,
    flags: int, needed: list[bool], backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    out = tuple(zeros(t, need) for t, need in zip((x, centers, shapes, weights), needed, strict=True))
    inputs = (*raws(x, centers, shapes, weights, neighbors), optional(frequencies))
    _kernels(backend, x).rbf_backward(*inputs, kernel, flags, raw(grad), None, None, *wanted(out, needed))
    return out[0], out[1], out[2], out[3]


@_backward.register_fake
def _(grad, x, centers, shapes, weights, neighbors, frequencies, kernel, flags, needed, backend):
    return tuple(zeros(t, need) for t, need in zip((x, centers, shapes, weights), needed, strict=True))


@torch.library.custom_op("formfield::rbf_encode_backward_backward", mutates_args=())
def _second(
    direction: Tensor, grad: Tensor, x: Tensor, centers: Tensor, shapes: Tensor, weights: Tensor, neighbors: Tensor,
    frequencies: Tensor | None, kernel: int, flags: int, needed: list[bool], backend: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:  # fmt: skip
    """Gradients of ``direction . dL/dx`` to grad, x, centers, shapes and weights."""
    out = tuple(zeros(t, need) for t, need in zip((grad, x, centers, shapes, weights), needed, strict=True))
    inputs = (*raws(x, centers, shapes, weights, neighbors), optional(frequencies))
    _kernels(backend, x).rbf_backward(*inputs, kernel, flags, *raws(grad, direction), *wanted(out, needed))
    return out[0], out[1], out[2], out[3], out[4]


@_second.register_fake
def _(direction, grad, x, centers, shapes, weights, neighbors, frequencies, kernel, flags, needed, backend):
    return tuple(zeros(t, need) for t, need in zip((grad, x, centers, shapes, weights), needed, strict=True))


def _setup(ctx, inputs, output):
    *tensors, ctx.kernel, ctx.flags, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _gradient(ctx, grad):
    needed = list(ctx.needs_input_grad[:4])
    out = _backward(grad, *ctx.saved_tensors, ctx.kernel, ctx.flags, needed, ctx.backend)
    return (*wanted(out, needed), None, None, None, None, None)


_encode.register_autograd(_gradient, setup_context=_setup)


def _backward_setup(ctx, inputs, output):
    ctx.set_materialize_grads(False)
    *tensors, ctx.kernel, ctx.flags, _, ctx.backend = inputs
    ctx.save_for_backward(*tensors)


def _backward_gradient(ctx, by_x, by_centers, by_shapes, by_weights):
    if by_centers is not None or by_shapes is not None or by_weights is not None:
        raise ArgumentError("rbf_encode: of its gradients, only the one to x can be differentiated again")
    if by_x is None:
        return (None,) * 11
    if ctx.flags & 4:
        raise ArgumentError("rbf_encode: with detach_normalizer the gradient to x cannot be differentiated; leave it off")
    needed = list(ctx.needs_input_grad[:5])
    out = _second(by_x, *ctx.saved_tensors, ctx.kernel, ctx.flags, needed, ctx.backend)
    return (*wanted(out, needed), None, None, None, None, None, None)


_backward.register_autograd(_backward_gradient, setup_context=_backward_setup)
