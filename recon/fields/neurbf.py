"""NeuRBF: adaptive radial basis functions beside a grid, through a small network (Chen et al. 2023, arXiv 2309.15426)."""

from __future__ import annotations

import math
from typing import Any, Literal

import torch
from torch import Tensor, nn

import kernels
from recon.config.values import NeuRBFConfig
from recon.fields.base import FieldModule, ParameterGroup
from recon.fields.hashgrid import grid_spec, init_sphere_mlp, mlp_init
from recon.fields.kmeans import shapes_from, sine_frequencies, weighted_kmeans


def shape_columns(config: NeuRBFConfig, dims: int) -> int:
    """Shape parameters of one radial function."""
    return {"isotropic": 1, "diagonal": dims, "full": dims * (dims + 1) // 2}[config.shape]


def neurbf_grid(config: NeuRBFConfig, dims: int) -> kernels.HashGridSpec:
    """The grid beside the functions."""
    return grid_spec(config, config.grid_features, dims)


class NeuRBFField(FieldModule):
    """``mlp([x, grid(x), sum_k w_k sin(m phi_k(x))] + b)``; the functions' centres and shapes follow the signal and are not trained.

    Until :meth:`place` has been called the functions give zeros and the field is its grid. The network's first layer h becomes
    ``h + sin(m0 h)`` where the configuration has trunk frequencies, else the activation follows it.

    Args:
        config: Sizes.
        outputs: Number of values.
        activation: "relu", or "softplus" (beta 100) where the spatial gradient is used.
        include_input: Feed the position beside the encoding; needed by the sphere initialisation.
        generator: Source of the initial values.
        dims: 2 or 3.
        aspect: Sides of the domain relative to the longest, where the unit of the points differs between axes (a picture that is not
            square): functions are placed, searched and shaped in ``points * aspect``.
    """

    def __init__(
        self,
        config: NeuRBFConfig,
        outputs: int,
        activation: Literal["relu", "softplus"],
        include_input: bool,
        generator: torch.Generator,
        dims: int = 3,
        aspect: tuple[float, ...] | None = None,
    ):
        super().__init__()
        self.config = config
        self.dims = dims
        self.outputs = outputs
        self.include_input = include_input
        self.functions, self.neighbors = config.functions, config.neighbors
        self.placed_numbers = config.functions * (dims + shape_columns(config, dims))
        self.grid = neurbf_grid(config, dims)
        self.active_levels = config.levels
        inputs = self.grid.out_features + config.features + (dims if include_input else 0)
        self.mlp = kernels.MLPSpec(inputs, tuple(config.hidden), outputs, activation, beta=100.0)
        self.rest = kernels.MLPSpec(config.hidden[0], tuple(config.hidden[1:]), outputs, activation, beta=100.0)
        self.table = nn.Parameter(torch.empty(self.grid.entries, self.grid.features).uniform_(-1e-4, 1e-4, generator=generator))
        self.weights = nn.Parameter(torch.empty(config.functions, config.features).uniform_(-1e-4, 1e-4, generator=generator))
        self.bias = nn.Parameter(torch.empty(inputs).uniform_(-1e-4, 1e-4, generator=generator))
        self.params = nn.Parameter((mlp_init if config.trunk_frequencies is None else _linear_init)(self.mlp, generator))
        self.register_buffer("centers", torch.zeros(config.functions, dims))
        self.register_buffer("shapes", torch.ones(config.functions, shape_columns(config, dims)))
        self.register_buffer("placed", torch.zeros(1, dtype=torch.uint8))
        self.register_buffer("aspect", None if aspect is None else torch.tensor(aspect), persistent=False)
        self.register_buffer("frequencies", sine_frequencies(config.frequencies, config.features), persistent=False)
        self.register_buffer("trunk_frequencies", sine_frequencies(config.trunk_frequencies, config.hidden[0]), persistent=False)
        self.centers: Tensor
        self.shapes: Tensor
        self.placed: Tensor
        self.aspect: Tensor | None
        self.frequencies: Tensor | None
        self.trunk_frequencies: Tensor | None
        self._index: tuple[Tensor, int, kernels.KnnIndex] | None = None  # of these centres, at this version of them
        self._placed: tuple[Tensor, int, bool] | None = None

    @property
    def is_placed(self) -> bool:
        """Whether the functions have their places; a device is asked once."""
        # Loading a state writes into a buffer in place, which raises its version; moving it to a device makes another tensor.
        if self._placed is None or self._placed[0] is not self.placed or self._placed[1] != self.placed._version:
            self._placed = (self.placed, self.placed._version, bool(self.placed.item()))
        return self._placed[2]

    @torch.no_grad()
    def place(
        self, points: Tensor, weights: Tensor, generator: torch.Generator, least_width: float, most_width: float
    ) -> tuple[float, ...]:
        """By weighted k-means; see :meth:`recon.fields.base.Field.place`."""
        clusters = weighted_kmeans(self._isotropic(points), weights, self.config.functions, generator)
        self.centers.copy_(clusters.centers)
        columns = self.shapes.shape[1]
        self.shapes.copy_(shapes_from(clusters.covariance, self.config.kernel, columns, least_width, most_width))
        self.placed.fill_(1)
        return clusters.objective

    def _isotropic(self, points: Tensor) -> Tensor:
        return points if self.aspect is None else points * self.aspect

    def find_neighbors(self, points: Tensor) -> Tensor:
        if self._index is None or self._index[0] is not self.centers or self._index[1] != self.centers._version:
            self._index = (self.centers, self.centers._version, kernels.knn_index(self.centers))
        # With the taper the last neighbour only says where the others end.
        return kernels.knn(self._index[2], self._isotropic(points.detach()), self.config.neighbors + int(self.config.taper))[0]

    def wants_functions(self, step: int) -> bool:
        return not self.is_placed and step >= self.config.warmup_steps

    @property
    def can_be_sphere(self) -> bool:
        return self.include_input and self.trunk_frequencies is None

    def values(self, points: Tensor, neighbors: Tensor | None = None) -> Tensor:
        return self._decode(self._features(points, neighbors))

    def values_and_gradient(self, points: Tensor, neighbors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x = points.detach()
        if not self.is_placed:
            neighbors = None
        elif neighbors is None:
            neighbors = self.find_neighbors(x)
        values, slope = self._decode_with_slope(self._features(x, neighbors))
        return values, self._pullback(slope, x, neighbors)

    def _features(self, points: Tensor, neighbors: Tensor | None) -> Tensor:
        parts = [points] if self.include_input else []
        parts.append(kernels.hash_encode(points * 0.5 + 0.5, self.table, self.grid, active_levels=self.active_levels))
        if self.is_placed:
            near = self.find_neighbors(points) if neighbors is None else neighbors
            parts.append(kernels.rbf_encode(self._isotropic(points), self.centers, self.shapes, self.weights, near, **self._functions()))
        else:
            parts.append(points.new_zeros(points.shape[0], self.config.features))
        return torch.cat(parts, 1) + self.bias

    def _pullback(self, slope: Tensor, points: Tensor, neighbors: Tensor | None) -> Tensor:
        """From the gradient to the features [N, inputs] to the one in space [N, D]."""
        place, grid, functions = slope.split([self.dims if self.include_input else 0, self.grid.out_features, self.config.features], 1)
        options: dict[str, Any] = {"active_levels": self.active_levels}
        gradient = 0.5 * kernels.hash_encode_pullback(grid, points * 0.5 + 0.5, self.table, self.grid, **options)
        if self.include_input:
            gradient = gradient + place
        if neighbors is None:
            return gradient
        x = self._isotropic(points)
        through = kernels.rbf_encode_pullback(functions, x, self.centers, self.shapes, self.weights, neighbors, **self._functions())
        return gradient + self._isotropic(through)

    def _functions(self) -> dict[str, Any]:
        """How the functions are evaluated."""
        c = self.config
        return {"frequencies": self.frequencies, "kernel": c.kernel, "normalize": c.normalize, "taper": c.taper}

    def _decode(self, features: Tensor) -> Tensor:
        if self.trunk_frequencies is None:
            return kernels.field_mlp(features, self.params, self.mlp)
        h = _AddSine.apply(self._first_layer(features), self.trunk_frequencies)
        return kernels.field_mlp(h, self.params[self._first_size :], self.rest)  # pyright: ignore[reportArgumentType]

    def _decode_with_slope(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Values, and the gradient of the first to the features."""
        if self.trunk_frequencies is None:
            return kernels.field_mlp(features, self.params, self.mlp, order=1)
        h, change = _AddSineWithSlope.apply(self._first_layer(features), self.trunk_frequencies)  # pyright: ignore[reportGeneralTypeIssues]
        values, slope = kernels.field_mlp(h, self.params[self._first_size :], self.rest, order=1)
        return values, (slope * change) @ self.mlp.unpack(self.params)[0][0]

    @property
    def _first_size(self) -> int:
        """Parameters of the network's first layer."""
        return self.config.hidden[0] * (self.mlp.inputs + 1)

    def _first_layer(self, features: Tensor) -> Tensor:
        """Before its activation. [N, hidden]"""
        weight, bias = self.mlp.unpack(self.params)[0]
        return nn.functional.linear(features, weight, bias)

    def set_active_levels(self, share: float) -> None:
        self.active_levels = max(1, min(self.grid.levels, math.ceil(share * self.grid.levels - 1e-9)))

    def parameter_groups(self) -> list[ParameterGroup]:
        factor = self.config.feature_lr_factor
        return [
            ParameterGroup("table", self.table, factor, sparse=True),
            ParameterGroup("weights", self.weights, factor, sparse=True),
            ParameterGroup("bias", self.bias, factor),
            ParameterGroup("params", self.params),
        ]

    @torch.no_grad()
    def init_sphere(self, radius: float, generator: torch.Generator) -> None:
        """Make the first output the signed distance of a sphere, about. Needs the position as input and no sine in the trunk."""
        init_sphere_mlp(self.mlp, self.params.data, radius, generator)
        self.bias.data.zero_()


def _linear_init(spec: kernels.MLPSpec, generator: torch.Generator) -> Tensor:
    """Weights and biases uniform in +-1 / sqrt(fan in), as in the released code. [spec.params]

    The biases matter under a sine: with zero biases and features near zero, all sines of the first layer start in phase, and a picture
    fits 7 dB worse.
    """
    params = torch.zeros(spec.params)
    for weight, bias in spec.unpack(params):
        assert bias is not None
        bound = 1.0 / math.sqrt(weight.shape[1])
        weight.uniform_(-bound, bound, generator=generator)
        bias.uniform_(-bound, bound, generator=generator)
    return params


class _AddSine(torch.autograd.Function):
    """``h + sin(m h)`` [N, W] with one stored tensor; its derivative is ``1 + m cos(m h)``."""

    @staticmethod
    def forward(ctx, h: Tensor, m: Tensor) -> Tensor:
        angle = h * m
        ctx.save_for_backward(angle, m)
        return torch.sin(angle).add_(h)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        angle, m = ctx.saved_tensors
        return torch.cos(angle).mul_(m).add_(1.0).mul_(grads[0]), None


class _AddSineWithSlope(torch.autograd.Function):
    """``h + sin(m h)`` and its derivative ``1 + m cos(m h)``, both [N, W], both differentiable to h, each sine and cosine taken once."""

    @staticmethod
    def forward(ctx, h: Tensor, m: Tensor) -> tuple[Tensor, Tensor]:
        angle = h * m
        sine = torch.sin(angle)
        slope = angle.cos_().mul_(m).add_(1.0)
        ctx.save_for_backward(sine, slope, m)
        return h + sine, slope

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, *grads: Tensor) -> tuple[Tensor, None]:  # pyright: ignore[reportIncompatibleMethodOverride]
        sine, slope, m = ctx.saved_tensors
        return torch.mul(grads[0], slope).sub_(torch.mul(grads[1], sine).mul_(m * m)), None
