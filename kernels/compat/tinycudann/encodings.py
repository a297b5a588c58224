"""The encodings by name, and the one that is made of others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from . import config as read
from . import plain_encodings as plain
from .grid import grid
from .pcg32 import Pcg32

REDUCTIONS = ("Concatenation", "Sum", "Product")


class EncodingPlan(Protocol):
    """What an encoding tells of itself."""

    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def parameters(self) -> int: ...
    @property
    def alignment(self) -> int: ...
    @property
    def pad_value(self) -> float: ...
    @property
    def settings(self) -> dict[str, object]: ...

    def initial(self, rng: Pcg32) -> list[np.ndarray]: ...

    def encode(self, x: Tensor, params: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Composite:
    """Several encodings of some coordinates each, joined.

    Args:
        inputs: Coordinates per point.
        nested: The encodings, with the first coordinate that each takes and the width its result is filled up to.
        reduction: How results are joined.
    """

    inputs: int
    nested: tuple[tuple[EncodingPlan, int, int], ...]
    reduction: str

    @property
    def outputs(self) -> int:
        """Values per point; between parts of a concatenation that need alignment there are fill-ins."""
        widths = [width for _, _, width in self.nested]
        return sum(widths) if self.reduction == "Concatenation" else max(widths, default=0)

    @property
    def parameters(self) -> int:
        """Those of the parts, one after another."""
        return sum(part.parameters for part, _, _ in self.nested)

    @property
    def alignment(self) -> int:
        """The column at which it begins in a concatenation is a multiple of this."""
        return math.lcm(*(part.alignment for part, _, _ in self.nested))

    @property
    def pad_value(self) -> float:
        """What fills columns beyond the outputs: the last part's, or what the parts' values reduce to."""
        values = [part.pad_value for part, _, _ in self.nested]
        if self.reduction == "Concatenation":
            return values[-1] if values else 1.0
        return sum(values) if self.reduction == "Sum" else math.prod(values)

    @property
    def settings(self) -> dict[str, object]:
        """What it was configured with."""
        return {"otype": "Composite", "nested": [part.settings for part, _, _ in self.nested], "reduction": self.reduction}

    def initial(self, rng: Pcg32) -> list[np.ndarray]:
        """The parts' values in turn."""
        return [values for part, _, _ in self.nested for values in part.initial(rng)]

    def encode(self, x: Tensor, params: Tensor) -> Tensor:
        """[N, inputs] to [N, outputs]."""
        results = []
        for (part, begin, width), own in zip(self.nested, params.split([part.parameters for part, _, _ in self.nested])):
            results.append(padded(part.encode(x[:, begin : begin + part.inputs], own), width, part.pad_value))
        if not results:
            return x[:, :0]
        if self.reduction == "Concatenation":
            return torch.cat(results, 1)
        return reduce(torch.add if self.reduction == "Sum" else torch.mul, results)


def padded(x: Tensor, width: int, value: float) -> Tensor:
    """[N, n] filled up to [N, width]."""
    return x if x.shape[1] == width else functional.pad(x, (0, width - x.shape[1]), value=value)


def composite(inputs: int, config: read.Config) -> Composite:
    """``nested`` encodings, each of ``n_dims_to_encode`` coordinates (one may leave it out and takes what is left) that follow those of
    the one before or begin at ``dims_to_encode_begin``; joined by ``reduction``."""
    nested = config.get("nested")
    if not isinstance(nested, list | tuple):
        raise read.CompatError("Composite.nested must be a list of encodings")
    reduction = read.choice("Composite", config, "reduction", "Concatenation", REDUCTIONS)
    nested = [read.mapping(f"Composite.nested[{i}]", c) for i, c in enumerate(nested)]
    counts = [read.integer("Composite.nested", c, "n_dims_to_encode", 0, 0) if "n_dims_to_encode" in c else None for c in nested]
    known, placed = sum(c for c in counts if c is not None), any("dims_to_encode_begin" in c for c in nested)
    if not placed and known > inputs:
        raise read.CompatError(f"Composite.nested: encodes {known} dimensions, but there are {inputs}")
    if counts.count(None) > (0 if placed else 1):
        raise read.CompatError(
            "Composite.nested: n_dims_to_encode may be left out for one encoding only, and not with dims_to_encode_begin"
        )
    parts: list[tuple[EncodingPlan, int]] = []
    begin = 0
    for child, count in zip(nested, counts):
        if count is not None:
            begin = read.integer("Composite.nested", child, "dims_to_encode_begin", begin, 0)
        count = inputs - known if count is None else count
        if begin + count > inputs:
            raise read.CompatError(f"Composite.nested: dimensions {begin} to {begin + count - 1} are asked for, but there are {inputs}")
        if count:
            parts.append((create_encoding(count, child), begin))
        begin += count
    if reduction == "Concatenation":
        widths, at = [], 0
        for i, (part, _) in enumerate(parts):
            step = parts[i + 1][0].alignment if i + 1 < len(parts) else 1
            widths.append(-(-(at + part.outputs) // step) * step - at)
            at += widths[-1]
    else:
        step = math.lcm(*(part.alignment for part, _ in parts))
        widths = [-(-part.outputs // step) * step for part, _ in parts]
        if len(set(widths)) > 1:
            raise read.CompatError(f"Composite.reduction {reduction} needs encodings of one width, not of {widths}")
    return Composite(inputs, tuple((part, begin, width) for (part, begin), width in zip(parts, widths)), reduction)


def one_blob_frequency(inputs: int, config: read.Config) -> Composite:
    """Triangle waves of three coordinates, blobs of five, the others as they are (Müller et al. 2021, neural radiance caching)."""
    n = read.integer("OneBlobFrequency", config, "n_frequencies", 12, 1, 64)
    bins = read.integer("OneBlobFrequency", config, "n_bins", 4, 1, 1024)
    nested = [
        {"otype": "TriangleWave", "n_dims_to_encode": 3, "n_frequencies": n},
        {"otype": "OneBlob", "n_dims_to_encode": 5, "n_bins": bins},
        {"otype": "Identity"},
    ]
    return composite(inputs, {"nested": nested})


KINDS: dict[str, Callable[[int, read.Config], EncodingPlan]] = {
    "HashGrid": lambda inputs, config: grid(inputs, config, "Hash"),
    "TiledGrid": lambda inputs, config: grid(inputs, config, "Tiled"),
    "DenseGrid": lambda inputs, config: grid(inputs, config, "Dense"),
    "Grid": lambda inputs, config: grid(inputs, config, "Hash"),
    "SphericalHarmonics": plain.spherical,
    "Frequency": plain.frequency,
    "OneBlob": plain.one_blob,
    "Identity": plain.identity,
    "TriangleWave": plain.triangle_wave,
    "Composite": composite,
    "OneBlobFrequency": one_blob_frequency,
    "NRC": one_blob_frequency,
    "Empty": plain.empty,
}


def create_encoding(inputs: int, config: object) -> EncodingPlan:
    """The encoding that a configuration describes.

    Raises:
        CompatError: An ``otype`` or an option that is not supported.
    """
    checked = read.mapping("the encoding's configuration", config)
    if isinstance(inputs, bool) or int(inputs) != inputs or inputs < 0:
        raise read.CompatError(f"n_input_dims must be a number of dimensions, not {inputs!r}")
    return KINDS[read.choice("encoding", checked, "otype", "OneBlob", tuple(KINDS))](int(inputs), checked)
