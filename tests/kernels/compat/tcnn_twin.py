"""What tinycudann computes, written out in plain float64 torch from the published formulas: slow, and independent of the stand-in."""

from __future__ import annotations

import itertools
import math

import numpy as np
import torch
from torch import Tensor

PRIMES = (1, 2654435761, 805459861, 3674653429)
PADDING = {"Grid": 0.0}  # all others: 1


class Scalar:
    """PCG32, one number at a time."""

    def __init__(self, seed: int):
        self.state = 0
        self.word()
        self.state = (self.state + seed) % 2**64
        self.word()

    def word(self) -> int:
        old = self.state
        self.state = (old * 6364136223846793005 + 3) % 2**64
        mixed = ((old >> 18) ^ old) >> 27 & 0xFFFFFFFF
        turn = old >> 59
        return (mixed >> turn | mixed << (32 - turn) % 32) & 0xFFFFFFFF if turn else mixed

    def number(self) -> np.float32:
        return np.float32(np.uint32(self.word() >> 9 | 0x3F800000).view(np.float32) - np.float32(1))


def kind(config: dict) -> str:
    name = config.get("otype", "OneBlob")
    name = name[0].upper() + name[1:]
    return "Grid" if name.endswith("Grid") else name


def grid_levels(config: dict, dims: int) -> list[tuple[float, int, int, int, bool]]:
    """(scale, vertices per axis, first entry, entries, hashed) of every level."""
    type_ = config.get("type") or {"DenseGrid": "Dense", "TiledGrid": "Tiled"}.get(config["otype"], "Hash")
    n, base = config.get("n_levels", 16), config.get("base_resolution", 16)
    growth = config.get("per_level_scale", 2.0)
    if type_ == "Dense" and "per_level_scale" not in config:
        growth = math.exp(math.log(256 / base) / (n - 1))
    log2 = np.float32(np.log2(np.float32(growth)))
    levels, first = [], 0
    for level in range(n):
        scale = np.float32(np.float32(2.0 ** float(np.float32(level) * log2)) * np.float32(base) - np.float32(1))
        resolution = math.ceil(scale) + 1
        entries = (min(resolution**dims, 2**31 - 1) + 7) // 8 * 8
        if type_ == "Hash":
            entries = min(entries, 2 ** config.get("log2_hashmap_size", 19))
        if type_ == "Tiled":
            entries = min(entries, base**dims)
        levels.append((float(scale), resolution, first, entries, type_ == "Hash" and entries < resolution**dims))
        first += entries
    return levels


def parameters(config: dict, dims: int) -> int:
    if kind(config) == "Grid":
        last = grid_levels(config, dims)[-1]
        return (last[2] + last[3]) * config.get("n_features_per_level", 2)
    if kind(config) == "Composite":
        return sum(parameters(c, n) for c, _, n in parts(config, dims))
    return 0


def parts(config: dict, dims: int) -> list[tuple[dict, int, int]]:
    """(configuration, first dimension, number of dimensions) of nested encodings."""
    known = sum(c.get("n_dims_to_encode", 0) for c in config["nested"])
    result, begin = [], 0
    for c in config["nested"]:
        begin = c.get("dims_to_encode_begin", begin)
        n = c.get("n_dims_to_encode", dims - known)
        result.append((c, begin, n))
        begin += n
    return result


def encode(config: dict, x: Tensor, params: Tensor) -> Tensor:
    name, n = kind(config), x.shape[1]
    if name == "Grid":
        return encode_grid(config, x, params)
    if name == "Identity":
        return x * config.get("scale", 1) + config.get("offset", 0)
    if name == "Frequency":
        columns = []
        for axis, band in itertools.product(range(n), range(config.get("n_frequencies", 12))):
            columns += [torch.sin(x[:, axis] * 2.0**band * math.pi), torch.sin(x[:, axis] * 2.0**band * math.pi + math.pi / 2)]
        return torch.stack(columns, 1)
    if name == "TriangleWave":
        columns = []
        for axis, band in itertools.product(range(n), range(config.get("n_frequencies", 12))):
            phase = (x[:, axis] * 2.0 ** (band - 1) + band / 4) % 1
            columns.append(torch.where(phase < 0.5, 1 - 4 * phase, 4 * phase - 3))
        return torch.stack(columns, 1)
    if name == "OneBlob":
        bins = config.get("n_bins", 16)
        columns = []
        for axis, k in itertools.product(range(n), range(bins)):
            columns.append(sum(mass(x[:, axis] + turn, k / bins, (k + 1) / bins, 1 / bins) for turn in (-1, 0, 1)))
        return torch.stack(columns, 1)
    if name == "SphericalHarmonics":
        return harmonics(2 * x - 1, config.get("degree", 4))
    if name == "Composite":
        return encode_composite(config, x, params)
    raise AssertionError(name)


def mass(x: Tensor, low: float, high: float, radius: float) -> Tensor:
    """Of the kernel 15/16 (1 - u^2)^2 around x, between two bounds."""

    def primitive(t: Tensor) -> Tensor:
        u = torch.clamp((t - x) / radius, -1, 1)
        return 15 / 16 * (u - 2 * u**3 / 3 + u**5 / 5)

    return primitive(torch.full_like(x, high)) - primitive(torch.full_like(x, low))


def harmonics(d: Tensor, degree: int) -> Tensor:
    """From the recurrences of the associated Legendre polynomials, divided by the powers of the sine that x and y bring."""
    x, y, z = d.unbind(1)
    legendre: dict[tuple[int, int], Tensor] = {}
    for m in range(degree):
        legendre[m, m] = torch.full_like(z, (-1.0) ** m * math.prod(range(1, 2 * m, 2)))
        if m + 1 < degree:
            legendre[m + 1, m] = z * (2 * m + 1) * legendre[m, m]
        for band in range(m + 2, degree):
            legendre[band, m] = ((2 * band - 1) * z * legendre[band - 1, m] - (band + m - 1) * legendre[band - 2, m]) / (band - m)
    columns = []
    for band in range(degree):
        for m in range(-band, band + 1):
            k = abs(m)
            norm = math.sqrt((2 * band + 1) / (4 * math.pi) * math.factorial(band - k) / math.factorial(band + k))
            power = torch.complex(x, y) ** k if k else torch.complex(torch.ones_like(x), torch.zeros_like(x))
            along = norm * legendre[band, k] * (math.sqrt(2) if k else 1)
            columns.append(along * (power.imag if m < 0 else power.real))
    return torch.stack(columns, 1)


def encode_grid(config: dict, x: Tensor, params: Tensor) -> Tensor:
    features, dims = config.get("n_features_per_level", 2), x.shape[1]
    table = params.view(-1, features)
    columns = []
    for scale, resolution, first, entries, hashed in grid_levels(config, dims):
        exact = x * scale + 0.5
        position = exact + (exact.float().double() - exact).detach()  # where a point lies is a number of single precision
        cell = position.detach().floor()
        u = position - cell
        if config.get("interpolation") == "Smoothstep":
            u = 3 * u**2 - 2 * u**3
        total = 0
        for corner in itertools.product((0, 1), repeat=dims):
            weight = torch.ones_like(x[:, 0])
            for axis in range(dims):
                weight = weight * (u[:, axis] if corner[axis] else 1 - u[:, axis])
            if config.get("interpolation") == "Nearest":
                weight = torch.full_like(weight, float(not any(corner)))
            rows = []
            for vertex in (cell.long() + torch.tensor(corner)).tolist():
                index = 0
                for axis, v in enumerate(vertex):
                    v %= 2**32
                    index = index ^ v * PRIMES[axis] % 2**32 if hashed else (index + v * resolution**axis) % 2**32
                rows.append(first + index % entries)
            total = total + weight[:, None] * table[rows]
        columns.append(total)
    return torch.cat(columns, 1)


def encode_composite(config: dict, x: Tensor, params: Tensor) -> Tensor:
    reduction, results, at = config.get("reduction", "Concatenation"), [], 0
    children = parts(config, x.shape[1])
    width = 0
    for i, (child, begin, n) in enumerate(children):
        used = parameters(child, n)
        y = encode(child, x[:, begin : begin + n], params[at : at + used])
        at += used
        if reduction == "Concatenation" and i + 1 < len(children):
            following = children[i + 1][0]
            step = following.get("n_features_per_level", 2) if kind(following) == "Grid" else 1
            fill = -(width + y.shape[1]) % step
            y = torch.cat([y, torch.full((len(y), fill), PADDING.get(kind(child), 1.0), dtype=y.dtype)], 1)
        width += y.shape[1]
        results.append(y)
    if reduction == "Concatenation":
        return torch.cat(results, 1)
    return torch.stack(results).sum(0) if reduction == "Sum" else torch.stack(results).prod(0)


ACTIVATIONS = {
    "None": lambda x: x,
    "ReLU": lambda x: torch.where(x > 0, x, 0 * x),
    "LeakyReLU": lambda x: torch.where(x > 0, x, 0.01 * x),
    "SiLU": lambda x: x / (1 + torch.exp(-x)),
    "Exponential": torch.exp,
    "Sigmoid": lambda x: 1 / (1 + torch.exp(-x)),
    "Sine": torch.sin,
    "Squareplus": lambda x: (10 * x + torch.sqrt(100 * x * x + 4)) / 20,
    "Softplus": lambda x: torch.log(1 + torch.exp(10 * x)) / 10,
    "Tanh": torch.tanh,
}


def up16(n: int) -> int:
    return (n + 15) // 16 * 16


def shapes(inputs: int, outputs: int, config: dict) -> list[tuple[int, int]]:
    """(rows, columns) of the matrices as stored."""
    width, hidden = config.get("n_neurons", 128), config.get("n_hidden_layers", 5)
    columns = [up16(inputs)] + [width] * hidden
    return [(rows, c) for rows, c in zip([width] * hidden + [up16(outputs)], columns)]


def last_padding(config: dict, dims: int) -> float:
    if kind(config) == "Composite":
        children = parts(config, dims)
        if config.get("reduction", "Concatenation") == "Concatenation":
            return last_padding(children[-1][0], children[-1][2])
        values = [last_padding(c, n) for c, _, n in children]
        return sum(values) if config["reduction"] == "Sum" else math.prod(values)
    return PADDING.get(kind(config), 1.0)


def run(x: Tensor, params: Tensor, encoding: dict, network: dict | None = None, outputs: int | None = None) -> Tensor:
    """The module of these configurations at x, with its flat parameters."""
    if network is None:
        return encode(encoding, x, params)
    inputs = encode(encoding, x, params[len(params) - parameters(encoding, x.shape[1]) :])
    fill = up16(inputs.shape[1]) - inputs.shape[1]
    padding = torch.full((len(x), fill), last_padding(encoding, x.shape[1]), dtype=x.dtype)
    y, at = torch.cat([inputs, padding], 1), 0
    matrices = shapes(inputs.shape[1], outputs, network)
    for i, (rows, columns) in enumerate(matrices):
        y = y @ params[at : at + rows * columns].view(rows, columns).T
        y = ACTIVATIONS[network.get("activation", "ReLU") if i + 1 < len(matrices) else network.get("output_activation", "None")](y)
        at += rows * columns
    return y[:, :outputs]
