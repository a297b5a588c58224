"""Encodings without parameters. Each is a function of the points alone; torch differentiates them as often as one likes."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from . import config as read
from .pcg32 import Pcg32
from .spherical import MAX_DEGREE, spherical_harmonics


@dataclass(frozen=True)
class PlainEncoding:
    """An encoding without parameters.

    Args:
        inputs: Coordinates per point.
        outputs: Values per point, without padding.
        function: [N, inputs] to [N, outputs].
        settings: What it was configured with, defaults filled in.
        pad_value: What fills columns beyond the outputs: ones, which a network uses as a bias.
        alignment: The column at which it begins in a concatenation is a multiple of this.
    """

    inputs: int
    outputs: int
    function: Callable[[Tensor], Tensor]
    settings: dict[str, object] = field(default_factory=dict)
    pad_value: float = 1.0
    alignment: int = 1
    parameters: int = 0

    def initial(self, rng: Pcg32) -> list:
        """No values."""
        return []

    def encode(self, x: Tensor, params: Tensor) -> Tensor:
        """[N, inputs] to [N, outputs]; ``params`` is empty."""
        return self.function(x)


def _frequency(x: Tensor, n: int) -> Tensor:
    scaled = x[:, :, None] * 2.0 ** torch.arange(n, dtype=x.dtype, device=x.device)
    phase = (scaled - 2 * torch.round(scaled / 2)) * math.pi  # whole turns taken off exactly, before the multiplication by pi rounds
    return torch.stack([phase.sin(), phase.cos()], -1).flatten(1)


def _triangle_wave(x: Tensor, n: int) -> Tensor:
    band = torch.arange(n, dtype=x.dtype, device=x.device)
    value = x[:, :, None] * 2.0 ** (band - 1) + band * 0.25
    return ((value - value.floor() - 0.5).abs() * 4 - 1).flatten(1)


def _quartic_cdf(x: Tensor) -> Tensor:
    u = x.clamp(-1, 1)
    u2 = u * u
    return 15 / 16 * u * (1 - 2 / 3 * u2 + u2 * u2 / 5) + 0.5


def _one_blob(x: Tensor, bins: int) -> Tensor:
    edges = torch.arange(bins + 1, dtype=x.dtype, device=x.device) / bins - x[:, :, None]
    cdf = _quartic_cdf(edges * bins) + _quartic_cdf((edges - 1) * bins) + _quartic_cdf((edges + 1) * bins)
    return (cdf[..., 1:] - cdf[..., :-1]).flatten(1)


def identity(inputs: int, config: read.Config) -> PlainEncoding:
    """``scale * x + offset``."""
    scale, offset = read.number("Identity", config, "scale", 1.0), read.number("Identity", config, "offset", 0.0)
    settings: dict[str, object] = {"otype": "Identity", "scale": scale, "offset": offset}
    return PlainEncoding(inputs, inputs, lambda x: x * scale + offset, settings)


def frequency(inputs: int, config: read.Config) -> PlainEncoding:
    """``sin(2**l pi x), cos(2**l pi x)`` for l below ``n_frequencies``, coordinate after coordinate."""
    n = read.integer("Frequency", config, "n_frequencies", 12, 1, 64)
    return PlainEncoding(inputs, inputs * n * 2, lambda x: _frequency(x, n), {"otype": "Frequency", "n_frequencies": n})


def triangle_wave(inputs: int, config: read.Config) -> PlainEncoding:
    """A wave of period ``2**(1 - l)``, shifted by a quarter period per l, for l below ``n_frequencies``."""
    n = read.integer("TriangleWave", config, "n_frequencies", 12, 1, 64)
    return PlainEncoding(inputs, inputs * n, lambda x: _triangle_wave(x, n), {"otype": "TriangleWave", "n_frequencies": n})


def one_blob(inputs: int, config: read.Config) -> PlainEncoding:
    """The mass of a quartic kernel of radius ``1 / n_bins`` in each of ``n_bins`` bins, wrapped around (Müller et al. 2019)."""
    bins = read.integer("OneBlob", config, "n_bins", 16, 1, 1024)
    if bins & (bins - 1):
        raise read.unsupported("OneBlob.n_bins", bins, ["powers of 2"])
    return PlainEncoding(inputs, inputs * bins, lambda x: _one_blob(x, bins), {"otype": "OneBlob", "n_bins": bins})


def spherical(inputs: int, config: read.Config) -> PlainEncoding:
    """Spherical harmonics of ``2 x - 1``."""
    degree = read.integer("SphericalHarmonics", config, "degree", 4, 1, MAX_DEGREE)
    if inputs != 3:
        raise read.unsupported("SphericalHarmonics: number of input dimensions", inputs, [3])
    settings: dict[str, object] = {"otype": "SphericalHarmonics", "degree": degree}
    return PlainEncoding(3, degree * degree, lambda x: spherical_harmonics(2 * x - 1, degree), settings)


def empty(inputs: int, config: read.Config) -> PlainEncoding:
    """Nothing."""
    return PlainEncoding(inputs, 0, lambda x: x[:, :0], {"otype": "Empty"})
