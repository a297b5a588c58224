"""Parameter vectors in our terms and back."""

from __future__ import annotations

import pytest
import torch

import kernels
import kernels.compat.tinycudann as tcnn
from kernels.compat import CompatError
from kernels.compat.tinycudann.checkpoint import read_parameters, write_parameters

GRID = {"otype": "HashGrid", "n_levels": 8, "log2_hashmap_size": 9, "base_resolution": 4, "per_level_scale": 1.3819}
MLP = {"otype": "FullyFusedMLP", "n_neurons": 32, "n_hidden_layers": 1}


def test_a_field_is_ours():
    """The same values from the vector's module and from our kernels on what was read; and the same vector back."""
    module = tcnn.NetworkWithInputEncoding(3, 16, GRID, MLP)
    with torch.no_grad():
        module.params[-len(module.params) // 2 :].mul_(1e4)
    read = read_parameters(module.params, 3, GRID, [(16, 16, MLP)])
    ((mlp, params),) = read.networks
    x = torch.rand(50, 3)
    assert torch.equal(kernels.fused_field(x, read.table, params, read.spec, mlp), module(x).detach())
    assert torch.equal(write_parameters(read, 3, GRID, [(16, 16, MLP)]), module.params.detach())


def test_a_grid_trained_by_us_goes_back():
    spec = kernels.HashGridSpec(levels=8, log2_table_size=9, base_resolution=4, growth=1.3819)
    module = tcnn.Encoding(3, GRID)
    table = torch.rand(spec.entries, spec.features)
    read = read_parameters(module.params, 3, GRID)
    assert [getattr(read.spec, a) for a in ("scales", "resolutions", "offsets", "hashed")] == [
        getattr(spec, a) for a in ("scales", "resolutions", "offsets", "hashed")
    ]
    with torch.no_grad():
        module.params.copy_(write_parameters(type(read)(read.spec, table, ()), 3, GRID))
    x = torch.rand(20, 3)
    assert torch.equal(module(x).detach(), kernels.hash_encode(x, table, spec))


def test_two_networks_as_instant_ngp_has_them():
    """Half precision, density and colour network in front, colour's three outputs among sixteen rows."""
    shapes = [(16, 16, MLP), (32, 3, MLP | {"n_hidden_layers": 2})]
    sizes = [len(tcnn.Network(i, o, c).params) for i, o, c in shapes]
    table = tcnn.Encoding(3, GRID).params.detach()
    vector = torch.cat([torch.rand(sum(sizes)), table]).half()
    read = read_parameters(vector, 3, GRID, shapes)
    assert [mlp.outputs for mlp, _ in read.networks] == [16, 3]
    assert torch.equal(read.networks[1][1], vector[sizes[0] : sizes[0] + read.networks[1][0].params].float())
    assert torch.equal(read.table.reshape(-1), vector[sum(sizes) :].float())
    again = write_parameters(read, 3, GRID, shapes)
    unused = slice(sizes[0] + read.networks[1][0].params, sum(sizes))
    assert again[unused].abs().sum() == 0
    vector[unused] = 0
    assert torch.equal(again, vector.float())


def test_dense_grids_too():
    config = {"otype": "DenseGrid", "n_levels": 3, "base_resolution": 4, "per_level_scale": 2.0}
    module = tcnn.Encoding(2, config)
    read = read_parameters(module.params, 2, config)
    x = torch.rand(20, 2)
    assert torch.equal(module(x).detach(), kernels.hash_encode(x, read.table, read.spec))


@pytest.mark.parametrize(
    ("config", "networks", "length", "words"),
    [
        (GRID, [], 10, ["10", "parameters"]),
        (GRID | {"interpolation": "Nearest"}, [], 0, ["Nearest"]),
        ({"otype": "Frequency"}, [], 0, ["Frequency", "HashGrid"]),
        (GRID, [(16, 3, MLP | {"activation": "Sine"})], 0, ["Sine"]),
    ],
)
def test_what_is_not_ours_is_said(config, networks, length, words):
    with pytest.raises(CompatError) as error:
        read_parameters(torch.zeros(length), 3, config, networks)
    assert all(word in str(error.value) for word in words)
