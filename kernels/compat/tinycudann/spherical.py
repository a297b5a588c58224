"""Real spherical harmonics as polynomials of the direction's coordinates."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

MAX_DEGREE = 8


@lru_cache(maxsize=1)
def _polynomials() -> list[list[tuple[int, tuple[float, ...]]]]:
    """For every band l and order m: m, and the coefficients (rising powers of z) of norm * d^|m| P_l(z) / dz^|m|."""
    bands = []
    for band in range(MAX_DEGREE):
        legendre = np.polynomial.legendre.Legendre.basis(band).convert(kind=np.polynomial.Polynomial)
        orders = []
        for m in range(-band, band + 1):
            k = abs(m)
            norm = math.sqrt((2 * band + 1) / (4 * math.pi) * math.factorial(band - k) / math.factorial(band + k))
            norm *= math.sqrt(2) * (-1) ** k if m else 1
            derivative = legendre.deriv(k) if k else legendre
            orders.append((m, tuple(norm * float(c) for c in np.atleast_1d(derivative.coef))))
        bands.append(orders)
    return bands


def spherical_harmonics(direction: Tensor, degree: int) -> Tensor:
    """The first ``degree`` bands, with the Condon-Shortley sign, as polynomials: norm * P_l^(m)(z) * Re or Im (x + i y)^|m|.

    Args:
        direction: [N, 3]. Unit vectors, but any vector has a value: the polynomials are not divided by its length.
        degree: Number of bands, 1 to 8.
    Returns:
        [N, degree**2], band after band, m from -l to l. Differentiable.
    """
    x, y, z = direction.unbind(1)
    powers = [torch.ones_like(z)]  # of z
    real, imaginary = [torch.ones_like(x)], [torch.zeros_like(x)]  # of (x + i y)
    for _ in range(degree - 1):
        powers.append(powers[-1] * z)
        real.append(real[-1] * x - imaginary[-1] * y)
        imaginary.append(real[-2] * y + imaginary[-1] * x)
    columns = []
    for orders in _polynomials()[:degree]:
        for m, coefficients in orders:
            along = sum((c * powers[p] for p, c in enumerate(coefficients) if c), start=torch.zeros_like(z))
            columns.append(along if m == 0 else along * (real[m] if m > 0 else imaginary[-m]))
    return torch.stack(columns, 1)
