"""``composite``: volume rendering of packed samples, and the distortion loss on its weights."""

from __future__ import annotations

from torch import Tensor

from .. import backends
from ..reference import composite as reference
from . import packed_checks as checks


def composite(
    density: Tensor, dt: Tensor, channels: Tensor, offsets: Tensor, *, early_stop: float = 0.0, backend: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Volume rendering, density form: ``alpha_i = 1 - exp(-density_i dt_i)``, ``T_i = prod_{j<i} (1 - alpha_j)``, ``w_i = T_i alpha_i``.

    No background is added: ``values + (1 - opacity) * background`` does that. Depth, normals and the like are channels.

    Args:
        density: Per unit of length, >= 0. [N] float32 or float64
        dt: Lengths of the intervals. [N]
        channels: What is accumulated. [N, C]
        offsets: Where each ray starts. int64 [R+1]
        early_stop: Samples with T below it get weight 0 and no gradient; 0 keeps all.
        backend: Force a backend.
    Returns:
        values [R, C] = sum_i w_i channels_i, opacity [R] = sum_i w_i, weights [N]; zeros for rays without samples.
        Differentiable once to density, dt and channels, through all three outputs. The gradient is accumulated back to front
        (``dL/d density_k = dt_k (T_{k+1} q_k - sum_{j>k} w_j q_j)`` with ``q_j`` the derivative by ``w_j``), which does not cancel.
    Raises:
        ArgumentError: Wrong shape, dtype or device, offsets that do not fit.
        BackendError: A forced backend is missing.
    """
    n = density.shape[0]
    checks.floats("composite", density=(density, (None,)), dt=(dt, (n,)), channels=(channels, (n, None)))
    checks.packed("composite", offsets, density)
    early_stop = checks.fraction("composite", "early_stop", early_stop)
    backends.backend("composite", density.device, backend)
    return reference.composite(density, dt, channels, offsets, early_stop)


def composite_alpha(
    alpha: Tensor, channels: Tensor, offsets: Tensor, *, early_stop: float = 0.0, backend: str | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Volume rendering, opacity form: ``T_i = prod_{j<i} (1 - alpha_j)``, ``w_i = T_i alpha_i``.

    Args:
        alpha: In [0, 1]; exactly 1 is fine. [N]
        channels, offsets, early_stop, backend: As in :func:`composite`.
    Returns:
        values [R, C], opacity [R], weights [N] as in :func:`composite`. Differentiable once to alpha and channels; the backward
        (``dL/d alpha_i = T_i (q_i - R_{i+1})``, ``R_i = alpha_i q_i + (1 - alpha_i) R_{i+1}``) has no division.
    Raises:
        ArgumentError: Wrong shape, dtype or device, offsets that do not fit.
        BackendError: A forced backend is missing.
    """
    checks.floats("composite_alpha", alpha=(alpha, (None,)), channels=(channels, (alpha.shape[0], None)))
    checks.packed("composite_alpha", offsets, alpha)
    early_stop = checks.fraction("composite_alpha", "early_stop", early_stop)
    backends.backend("composite_alpha", alpha.device, backend)
    return reference.composite_alpha(alpha, channels, offsets, early_stop)


def distortion_loss(weights: Tensor, t: Tensor, dt: Tensor, offsets: Tensor, *, backend: str | None = None) -> Tensor:
    """Distortion of mip-NeRF 360, ``sum_ij w_i w_j |t_i - t_j| + 1/3 sum_i w_i^2 dt_i`` per ray, in linear time.

    Args:
        weights: From :func:`composite`. [N]
        t: Midpoints, rising along a ray. [N]
        dt: Lengths. [N]
        offsets: int64 [R+1]
        backend: Force a backend.
    Returns:
        [R], 0 for rays without samples. Differentiable once to ``weights``.
    Raises:
        ArgumentError: Wrong shape, dtype or device, offsets that do not fit.
        BackendError: A forced backend is missing.
    """
    n = weights.shape[0]
    checks.floats("distortion_loss", weights=(weights, (None,)), t=(t, (n,)), dt=(dt, (n,)))
    checks.packed("distortion_loss", offsets, weights)
    backends.backend("distortion_loss", weights.device, backend)
    return reference.distortion_loss(weights, t.detach(), dt.detach(), offsets)
