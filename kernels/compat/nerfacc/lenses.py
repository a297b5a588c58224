"""Inverses of the lens distortions of OpenCV, by Newton's method."""

from __future__ import annotations

import torch
from torch import Tensor


def _padded(params: Tensor, length: int) -> list[Tensor]:
    zero = torch.zeros_like(params[..., 0]) if params.shape[-1] else params.new_zeros(params.shape[:-1])
    return [params[..., i] if i < params.shape[-1] else zero for i in range(length)]


@torch.no_grad()
def undistort(uv: Tensor, params: Tensor, eps: float, iterations: int) -> Tensor:
    """Points whose image under radial (rational) and tangential distortion is ``uv``.

    Args:
        uv: [..., 2].
        params: [..., 8]: k1, k2, p1, p2, k3, k4, k5, k6; fewer are filled up with zeros.
        eps: A point where the Jacobian's determinant is smaller stays where it is.
        iterations: Newton steps.
    Returns:
        [..., 2].
    """
    k1, k2, p1, p2, k3, k4, k5, k6 = _padded(params, 8)
    u, v = uv.unbind(-1)
    x, y = u, v
    for _ in range(iterations):
        r = x * x + y * y
        above, below = 1 + r * (k1 + r * (k2 + r * k3)), 1 + r * (k4 + r * (k5 + r * k6))
        radial = above / below
        slope = 2 * (k1 + r * (2 * k2 + r * 3 * k3) - radial * (k4 + r * (2 * k5 + r * 3 * k6))) / below  # d radial / d r, twice
        f = radial * x + 2 * p1 * x * y + p2 * (r + 2 * x * x) - u
        g = radial * y + 2 * p2 * x * y + p1 * (r + 2 * y * y) - v
        fx = radial + slope * x * x + 2 * p1 * y + 6 * p2 * x
        fy = slope * x * y + 2 * p1 * x + 2 * p2 * y
        gy = radial + slope * y * y + 2 * p2 * x + 6 * p1 * y
        determinant = fx * gy - fy * fy  # the Jacobian is symmetric
        safe = determinant.abs() > eps
        divisor = torch.where(safe, determinant, torch.ones_like(determinant))
        x = x - torch.where(safe, (f * gy - g * fy) / divisor, torch.zeros_like(x))
        y = y - torch.where(safe, (g * fx - f * fy) / divisor, torch.zeros_like(y))
    return torch.stack([x, y], -1)


@torch.no_grad()
def undistort_fisheye(uv: Tensor, params: Tensor, eps: float, iterations: int) -> Tensor:
    """Points whose image under the equidistant model ``theta (1 + k1 theta^2 + ... + k4 theta^8)`` is ``uv``.

    Args:
        uv: [..., 2].
        params: [..., 4].
        eps: Where the slope is smaller, or the radius, the angle stays as it is.
        iterations: Newton steps.
    Returns:
        [..., 2].
    """
    k1, k2, k3, k4 = _padded(params, 4)
    radius = uv.norm(dim=-1)
    theta = radius
    for _ in range(iterations):
        s = theta * theta
        f = theta * (1 + s * (k1 + s * (k2 + s * (k3 + s * k4)))) - radius
        slope = 1 + s * (3 * k1 + s * (5 * k2 + s * (7 * k3 + s * 9 * k4)))
        safe = slope.abs() > eps
        theta = theta - torch.where(safe, f / torch.where(safe, slope, torch.ones_like(slope)), torch.zeros_like(theta))
    scale = torch.where(radius > eps, torch.tan(theta) / radius.clamp_min(eps), torch.ones_like(radius))
    return uv * scale[..., None]
