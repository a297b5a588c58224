"""Parameter vectors of tinycudann and instant-ngp in our terms, and back: a table for ``kernels.hash_encode``, networks for
``kernels.field_mlp``. Hash, offsets and the half cell by which levels are staggered are the same, so no value changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

import kernels

from ..errors import CompatError
from .grid import GridEncoding, grid
from .network import NetworkPlan, aligned, create_network

NetworkShape = tuple[int, int, object]


@dataclass(frozen=True)
class Parameters:
    """A grid and the networks stored in front of it.

    Args:
        spec: Geometry of the grid.
        table: [spec.entries, spec.features] float32.
        networks: Specification and parameters of each network, without biases. Its inputs are filled up to a multiple of 16: behind a grid
            with zeros, behind other encodings and behind plain inputs with ones.
    """

    spec: kernels.HashGridSpec
    table: Tensor
    networks: tuple[tuple[kernels.MLPSpec, Tensor], ...]


def read_parameters(params: Tensor, n_input_dims: int, encoding: dict, networks: Sequence[NetworkShape] = ()) -> Parameters:
    """A flat vector in our terms.

    Args:
        params: The vector, any floating type: networks in their order, then the grid. That of ``NetworkWithInputEncoding`` has one
            network, that of an instant-ngp radiance field two, density and colour.
        n_input_dims: Dimensions of the grid.
        encoding: Its configuration.
        networks: Inputs, outputs and configuration of each network.
    Raises:
        CompatError: The grid or a network has no counterpart among ours; the vector has another length.
    """
    geometry, spec, plans = _plans(n_input_dims, encoding, networks)
    sizes = [plan.parameters for plan, _ in plans] + [geometry.parameters]
    if params.ndim != 1 or len(params) != sum(sizes):
        parts = " + ".join(map(str, sizes))
        raise CompatError(f"the vector has shape {list(params.shape)}, but these configurations have {parts} = {sum(sizes)} parameters")
    *vectors, table = params.detach().float().split(sizes)
    kept = tuple((mlp, vector[: mlp.params].clone()) for (_, mlp), vector in zip(plans, vectors))
    return Parameters(spec, table.view(-1, geometry.features).clone(), kept)


def write_parameters(parameters: Parameters, n_input_dims: int, encoding: dict, networks: Sequence[NetworkShape] = ()) -> Tensor:
    """The flat float32 vector of :func:`read_parameters`; rows of last layers that reach no output are zeros.

    Raises:
        CompatError: The configurations do not describe this grid and these networks.
    """
    _, spec, plans = _plans(n_input_dims, encoding, networks)
    if spec != parameters.spec:
        raise CompatError(f"the configuration describes {spec}, but the grid is {parameters.spec}")
    if [mlp for _, mlp in plans] != [mlp for mlp, _ in parameters.networks]:
        raise CompatError("the configurations describe other networks than these")
    pieces = []
    for (plan, mlp), (_, vector) in zip(plans, parameters.networks):
        pieces += [vector, vector.new_zeros(plan.parameters - mlp.params)]
    return torch.cat([*pieces, parameters.table.reshape(-1)]).float()


def _plans(
    n_input_dims: int, encoding: dict, networks: Sequence[NetworkShape]
) -> tuple[GridEncoding, kernels.HashGridSpec, list[tuple[NetworkPlan, kernels.MLPSpec]]]:
    otype = str(encoding.get("otype", "")).lower()
    kinds = {"hashgrid": "Hash", "grid": "Hash", "densegrid": "Dense", "tiledgrid": "Tiled"}
    if otype not in kinds:
        raise CompatError(f"encoding.otype: {encoding.get('otype')!r} is no grid; supported are HashGrid, DenseGrid, Grid")
    geometry = grid(n_input_dims, encoding, kinds[otype])
    if geometry.spec is None:
        raise CompatError(f"no grid of ours is like {geometry.settings} in {n_input_dims} dimensions")
    plans = []
    for inputs, outputs, config in networks:
        plan = create_network(aligned(inputs), outputs, config)
        if plan.spec is None:
            raise CompatError(f"no network of ours is like {plan.settings}")
        plans.append((plan, plan.spec))
    return geometry, geometry.spec, plans
