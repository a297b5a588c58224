"""The stand-in for tinycudann against what it computes, written out in float64; initial values against its generator; its manners."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import tcnn_twin as twin
import torch

import kernels.compat.tinycudann as tcnn
from kernels.compat import CompatError

TOLERANCE = 1e-5
GRID = {"otype": "HashGrid", "n_levels": 4, "n_features_per_level": 2, "log2_hashmap_size": 9, "base_resolution": 4, "per_level_scale": 1.5}
MLP = {"otype": "FullyFusedMLP", "n_neurons": 16, "n_hidden_layers": 1}
NGP = {"otype": "HashGrid", "n_levels": 16, "log2_hashmap_size": 10, "base_resolution": 16, "per_level_scale": 1.4472692012786865}
SH = {"otype": "SphericalHarmonics", "degree": 4, "n_dims_to_encode": 3}

ENCODINGS = {
    "hash grid": (3, GRID),
    "hash grid, smoothstep": (3, GRID | {"interpolation": "Smoothstep"}),
    "hash grid, plane": (2, GRID | {"log2_hashmap_size": 6}),
    "hash grid, four dimensions": (4, GRID | {"n_levels": 2}),
    "hash grid, one feature": (3, GRID | {"n_features_per_level": 1}),
    "hash grid, four features": (3, GRID | {"n_features_per_level": 4, "n_levels": 2}),
    "hash grid, eight features": (3, GRID | {"n_features_per_level": 8, "n_levels": 2}),
    "hash grid, whole factor": (3, GRID | {"per_level_scale": 2.0, "n_levels": 3}),
    "hash grid, odd factor": (3, GRID | {"per_level_scale": 1.3819}),
    "hash grid, as in NGP": (3, NGP),
    "grid by type": (3, GRID | {"otype": "Grid", "type": "Dense", "n_levels": 2}),
    "dense grid": (2, {"otype": "DenseGrid", "n_levels": 3, "base_resolution": 4, "n_features_per_level": 2}),
    "tiled grid": (3, {"otype": "TiledGrid", "n_levels": 3, "base_resolution": 4, "per_level_scale": 1.6}),
    "tiled grid, smoothstep": (2, {"otype": "TiledGrid", "n_levels": 3, "base_resolution": 4, "interpolation": "Smoothstep"}),
    "nearest": (3, GRID | {"interpolation": "Nearest"}),
    "harmonics 1": (3, {"otype": "SphericalHarmonics", "degree": 1}),
    "harmonics 4": (3, {"otype": "SphericalHarmonics"}),
    "harmonics 8": (3, {"otype": "SphericalHarmonics", "degree": 8}),
    "frequency": (3, {"otype": "Frequency", "n_frequencies": 4}),
    "frequency 12": (2, {"otype": "Frequency"}),
    "triangle wave": (2, {"otype": "TriangleWave", "n_frequencies": 5}),
    "one blob": (2, {"otype": "OneBlob", "n_bins": 8}),
    "one blob by default": (1, {}),
    "identity": (5, {"otype": "Identity"}),
    "identity, scaled": (2, {"otype": "identity", "scale": 2.5, "offset": -0.5}),
    "composite": (6, {"otype": "Composite", "nested": [SH, {"otype": "Identity"}]}),
    "composite, aligned": (6, {"otype": "Composite", "nested": [{"otype": "Identity", "n_dims_to_encode": 3}, GRID]}),
    "composite, placed": (
        4,
        {"otype": "Composite", "nested": [SH | {"dims_to_encode_begin": 1}, GRID | {"n_dims_to_encode": 2, "dims_to_encode_begin": 0}]},
    ),
    "sum": (
        6,
        {
            "otype": "Composite",
            "reduction": "Sum",
            "nested": [GRID | {"n_dims_to_encode": 3}, {"otype": "Frequency", "n_frequencies": 4, "n_dims_to_encode": 1}],
        },
    ),
    "product": (
        4,
        {
            "otype": "Composite",
            "reduction": "Product",
            "nested": [GRID | {"n_dims_to_encode": 2}, GRID | {"n_dims_to_encode": 2, "base_resolution": 3}],
        },
    ),
}
NETWORKS = {
    **{f"{a} hidden": (5, 3, MLP | {"activation": a, "n_hidden_layers": 2}) for a in twin.ACTIVATIONS},
    **{f"{a} out": (7, 2, MLP | {"output_activation": a}) for a in twin.ACTIVATIONS},
    "64 x 3": (32, 16, MLP | {"n_neurons": 64, "n_hidden_layers": 3}),
    "128": (16, 17, MLP | {"n_neurons": 128}),
    "cutlass, any width": (3, 4, {"otype": "CutlassMLP", "n_neurons": 24, "n_hidden_layers": 2, "activation": "Tanh"}),
    "cutlass, no hidden layer": (6, 5, {"otype": "CutlassMLP", "n_hidden_layers": 0}),
    "cutlass, softplus and sigmoid": (
        6,
        1,
        {"otype": "CutlassMLP", "n_neurons": 32, "n_hidden_layers": 1, "activation": "Softplus", "output_activation": "Sigmoid"},
    ),
}
FIELDS = {
    "grid, one kernel": (3, 16, GRID | {"n_levels": 8}, MLP),
    "grid, filled up with zeros": (3, 4, GRID | {"n_levels": 5}, MLP | {"n_hidden_layers": 2}),
    "grid, tanh": (3, 2, GRID | {"n_levels": 8}, MLP | {"activation": "Tanh"}),
    "smooth grid, softplus": (3, 1, GRID | {"n_levels": 8, "interpolation": "Smoothstep"}, MLP | {"activation": "Softplus"}),
    "plane": (2, 3, GRID | {"n_levels": 8, "log2_hashmap_size": 6}, MLP),
    "frequency, filled up with ones": (2, 3, {"otype": "Frequency", "n_frequencies": 3}, MLP),
    "composite": (6, 3, {"otype": "Composite", "nested": [SH, GRID]}, MLP | {"activation": "SiLU"}),
    "sum": (6, 3, ENCODINGS["sum"][1], MLP | {"activation": "Sigmoid"}),
}


def clear_of_faces(n: int, dims: int, seed: int = 0) -> torch.Tensor:
    """Points in [0, 1], of 14 bits, at which no level of the grids here has a cell face within 1e-4 cells, nor the waves a turn."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randint(1 << 14, (400 * n, dims), generator=generator) / (1 << 14)
    grids = [c for _, c in ENCODINGS.values() if twin.kind(c) == "Grid"] + [GRID | {"n_levels": 8}, GRID | {"base_resolution": 3}]
    scales = {level[0] for config in grids for level in twin.grid_levels(config, dims)} | {2.0**k / 4 for k in range(8)}
    for scale in scales:
        position = x.double() * scale + 0.5
        x = x[((position - position.round()).abs() > 1e-4 * max(1.0, scale / 64)).all(1)]
    assert len(x) >= n
    return x[:n]


def tolerance(config: dict, dims: int) -> float:
    """Of an encoding: where no fused multiply-add is to be had, a place in the finest grid is a rounding of its size off."""
    finest = max((level[0] for level in twin.grid_levels(config, dims)), default=0.0) if twin.kind(config) == "Grid" else 0.0
    return max(TOLERANCE, finest * 2.0**-24)


def close(actual: torch.Tensor | None, expected: torch.Tensor | None, what: str, tolerance: float = TOLERANCE) -> None:
    actual = torch.zeros_like(expected) if actual is None else actual
    scale = max(float(expected.detach().abs().max()), 1e-6)
    error = float((actual.double() - expected).detach().abs().max()) / scale
    assert error <= tolerance, f"{what}: {error:.2e} of {scale:.2e}"


def derivatives(function, x, params, weights, pull):
    """Value, first gradients, and the gradients of a function of dL/dx to everything it depends on."""
    y = function(x, params)
    dx, dparams = torch.autograd.grad((y * weights).sum(), [x, params], create_graph=True, allow_unused=True)
    result = {"forward": y, "dx": dx, "dparams": dparams}
    if dx is not None and dx.requires_grad:
        loss = (dx * pull).sum() + 0.5 * (dx * dx).sum()
        for name, value in zip(("d2x", "d2params", "d2weights"), torch.autograd.grad(loss, [x, params, weights], allow_unused=True)):
            result[name] = value
    return result


def check(module, dims: int, outputs: int, encoding: dict, network: dict | None) -> None:
    torch.manual_seed(1)
    with torch.no_grad():  # far from the tiny initial tables, where errors would hide
        table = twin.parameters(encoding, dims)
        module.params[len(module.params) - table :] = torch.rand(table) * 2 - 1
    x, weights, pull = clear_of_faces(24, dims), torch.randn(24, outputs), torch.randn(24, dims)
    twins = [t.detach().double().requires_grad_() for t in (x, module.params, weights)]
    inputs = [t.clone().requires_grad_() for t in (x, weights)]

    def ours(x, params):
        return module(x)

    actual = derivatives(ours, inputs[0], module.params, inputs[1], pull)
    expected = derivatives(lambda x, p: twin.run(x, p, encoding, network, outputs), *twins, pull.double())
    for name, value in expected.items():
        if value is not None and value.numel():
            close(actual.get(name), value, name, tolerance(encoding, dims))


@pytest.mark.parametrize("name", ENCODINGS)
def test_encodings(name):
    dims, config = ENCODINGS[name]
    module = tcnn.Encoding(dims, config)
    assert len(module.params) == twin.parameters(config, dims)
    check(module, dims, module.n_output_dims, config, None)


@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name):
    inputs, outputs, config = NETWORKS[name]
    module = tcnn.Network(inputs, outputs, config)
    assert len(module.params) == sum(r * c for r, c in twin.shapes(inputs, outputs, config))
    check(module, inputs, outputs, {"otype": "Identity"}, config)


@pytest.mark.parametrize("name", FIELDS)
def test_networks_of_encodings(name):
    dims, outputs, encoding, network = FIELDS[name]
    check(tcnn.NetworkWithInputEncoding(dims, outputs, encoding, network), dims, outputs, encoding, network)


def test_harmonics_are_orthonormal():
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(16))  # exact for the products' polynomials
    z, phi = torch.meshgrid(nodes, torch.arange(32).double() / 32 * 2 * math.pi, indexing="ij")
    r = (1 - z * z).sqrt()
    d = torch.stack([r * phi.cos(), r * phi.sin(), z], -1).reshape(-1, 3)
    y = tcnn.Encoding(3, {"otype": "SphericalHarmonics", "degree": 8})((d / 2 + 0.5).float()).double()
    areas = (weights[:, None] * torch.full((32,), 2 * math.pi / 32, dtype=torch.float64)).reshape(-1)
    assert (y.T @ (areas[:, None] * y) - torch.eye(64, dtype=torch.float64)).abs().max() < 1e-5


@pytest.mark.parametrize("seed", [1337, 0, 2**40 + 7])
@pytest.mark.parametrize("activation", ["ReLU", "Sine"])
def test_initial_values_are_those_of_the_generator(seed, activation):
    """Matrices row by row; then the table as 128-thread blocks draw it, four numbers each, strided by the number of threads."""
    network = MLP | {"n_hidden_layers": 2, "activation": activation}
    module = tcnn.NetworkWithInputEncoding(3, 5, GRID, network, seed=seed)
    rng, expected = twin.Scalar(seed), []
    for i, (rows, columns) in enumerate(twin.shapes(8, 5, network)):
        bound = np.sqrt(np.float32(6 / (rows + columns)))
        if activation == "Sine":
            bound = np.float32(30 / columns) if i == 0 else np.sqrt(np.float32(6 / columns))
        expected += [rng.number() * np.float32(2) * bound - bound for _ in range(rows * columns)]
    size = twin.parameters(GRID, 3)
    threads = math.ceil(math.ceil(size / 4) / 128) * 128
    draws = [rng.number() for _ in range(4 * threads)]
    expected += [draws[4 * (i % threads) + i // threads] * np.float32(2e-4) - np.float32(1e-4) for i in range(size)]
    assert np.array_equal(module.params.detach().numpy(), np.array(expected, np.float32))


def test_two_tables_draw_one_after_another():
    """The generator moves on by the number of parameters, not of draws."""
    both = tcnn.Encoding(4, ENCODINGS["product"][1]).params.detach().numpy()
    first = twin.parameters(GRID, 2)
    rng = twin.Scalar(1337)
    for _ in range(first):
        rng.number()
    assert both[first] == rng.number() * np.float32(2e-4) - np.float32(1e-4)


def test_the_settings_of_instant_ngp_have_its_number_of_parameters():
    module = tcnn.Encoding(3, NGP | {"log2_hashmap_size": 19, "per_level_scale": math.exp(math.log(2048 / 16) / 15)})
    assert len(module.params) == 12_196_240
    assert module.native_tcnn_module.encoding.spec is not None


@pytest.mark.parametrize("n", [0, 1, 255, 257])
@pytest.mark.parametrize(
    "build", [lambda: tcnn.Encoding(3, GRID), lambda: tcnn.NetworkWithInputEncoding(3, 4, GRID | {"n_levels": 8}, MLP)]
)
def test_any_number_of_points(n, build):
    module = build()
    x = torch.rand(n, 3, requires_grad=True)
    y = module(x)
    assert y.shape == (n, module.n_output_dims)
    assert y.dtype == torch.float32
    y.sum().backward()
    assert x.grad.shape == (n, 3)
    assert module.params.grad.shape == module.params.shape


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_types_and_strides_of_points(dtype):
    module = tcnn.Network(3, 2, MLP)
    x = torch.rand(5, 6).to(dtype)[:, ::2]
    assert not x.is_contiguous()
    assert torch.equal(module(x), module(x.float().contiguous()))


def test_points_far_outside_are_values_too():
    y = tcnn.Encoding(3, GRID)(torch.tensor([[1e6, -3.0, 0.5], [0.2, -1e9, 2.0]]))
    assert torch.isfinite(y).all()


def test_under_autocast_it_computes_in_single_precision():
    module = tcnn.NetworkWithInputEncoding(3, 2, GRID, MLP | {"activation": "Tanh"})
    x = torch.rand(9, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = module(x)
    assert y.dtype == torch.float32
    assert torch.equal(y, module(x))


def test_attributes():
    module = tcnn.NetworkWithInputEncoding(3, 2, GRID, MLP, seed=3)
    assert (module.dtype, module.loss_scale, module.seed, module.jit_fusion) == (torch.float32, 1.0, 3, False)
    assert [name for name, _ in module.named_parameters()] == ["params"]
    assert list(module.state_dict()) == ["params"]
    assert "n_output_dims=2" in repr(module)
    assert "per_level_scale" in repr(module)
    assert module.native_tcnn_module.n_params() == module.params.numel()
    module.jit_fusion = True
    with pytest.raises(AttributeError):
        del module.jit_fusion
    assert tcnn.supports_jit_fusion() is False
    assert tcnn.free_temporary_memory() is None
    assert isinstance(module, tcnn.modules.Module)
    assert tcnn.Encoding(3, GRID, dtype=torch.float32).precision is tcnn.modules.Precision.Fp32


def test_a_copy_computes_the_same(tmp_path):
    module = tcnn.NetworkWithInputEncoding(3, 2, GRID, MLP, seed=5)
    x = torch.rand(7, 3)
    assert torch.equal(copy.deepcopy(module)(x), module(x))
    torch.save(module, tmp_path / "module.pt")
    assert torch.equal(torch.load(tmp_path / "module.pt", weights_only=False)(x), module(x))
    other = tcnn.NetworkWithInputEncoding(3, 2, GRID, MLP, seed=6)
    assert not torch.equal(other(x), module(x))
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(x), module(x))


def test_nothing_is_recorded_without_gradients():
    module = tcnn.NetworkWithInputEncoding(3, 2, GRID | {"n_levels": 8}, MLP)
    with torch.no_grad():
        assert not module(torch.rand(4, 3)).requires_grad


def test_gradient_of_part_of_the_inputs():
    module = tcnn.NetworkWithInputEncoding(3, 2, GRID | {"n_levels": 8}, MLP)
    module.params.requires_grad_(False)
    x = torch.rand(4, 3, requires_grad=True)
    module(x).sum().backward()
    assert x.grad.abs().sum() > 0
    assert module.params.grad is None


WRONG = {
    "encoding": (lambda: tcnn.Encoding(3, {"otype": "Wavelet"}), ["Wavelet", "HashGrid", "SphericalHarmonics"]),
    "interpolation": (lambda: tcnn.Encoding(3, GRID | {"interpolation": "Cubic"}), ["interpolation", "Cubic", "Linear", "Smoothstep"]),
    "features": (lambda: tcnn.Encoding(3, GRID | {"n_features_per_level": 3}), ["n_features_per_level", "3", "1, 2, 4, 8"]),
    "dimensions": (lambda: tcnn.Encoding(5, GRID), ["dimensions", "5", "2, 3, 4"]),
    "hash": (lambda: tcnn.Encoding(3, GRID | {"hash": "Rng"}), ["hash", "Rng", "CoherentPrime"]),
    "stochastic": (lambda: tcnn.Encoding(3, GRID | {"stochastic_interpolation": True}), ["stochastic_interpolation", "False"]),
    "degree": (lambda: tcnn.Encoding(3, {"otype": "SphericalHarmonics", "degree": 9}), ["degree", "1 to 8", "9"]),
    "harmonics in a plane": (lambda: tcnn.Encoding(2, {"otype": "SphericalHarmonics"}), ["dimensions", "2"]),
    "bins": (lambda: tcnn.Encoding(2, {"otype": "OneBlob", "n_bins": 12}), ["n_bins", "12", "powers of 2"]),
    "not a number": (lambda: tcnn.Encoding(2, {"otype": "OneBlob", "n_bins": "many"}), ["n_bins", "many"]),
    "nested": (lambda: tcnn.Encoding(2, {"otype": "Composite"}), ["nested"]),
    "too many": (lambda: tcnn.Encoding(2, {"otype": "Composite", "nested": [SH]}), ["3 dimensions", "2"]),
    "reduction": (lambda: tcnn.Encoding(3, {"otype": "Composite", "reduction": "Max", "nested": [SH]}), ["reduction", "Max", "Sum"]),
    "network": (lambda: tcnn.Network(3, 3, {"otype": "ResNet"}), ["ResNet", "FullyFusedMLP", "CutlassMLP"]),
    "width": (lambda: tcnn.Network(3, 3, MLP | {"n_neurons": 48}), ["n_neurons", "48", "16, 32, 64, 128", "CutlassMLP"]),
    "activation": (lambda: tcnn.Network(3, 3, MLP | {"activation": "Leaky ReLU"}), ["activation", "Leaky ReLU", "LeakyReLU"]),
    "no hidden layer": (lambda: tcnn.Network(3, 3, MLP | {"n_hidden_layers": 0}), ["n_hidden_layers", "1"]),
    "half": (lambda: tcnn.Encoding(3, GRID, dtype=torch.float16), ["float16", "float32"]),
    "shape": (lambda: tcnn.Encoding(3, GRID)(torch.rand(4, 2)), ["[N, 3]", "[4, 2]"]),
    "no dictionary": (lambda: tcnn.Encoding(3, "HashGrid"), ["dictionary", "str"]),
}


@pytest.mark.parametrize("name", WRONG)
def test_errors_name_the_option_and_what_is_supported(name):
    build, words = WRONG[name]
    with pytest.raises(RuntimeError) as error:
        build()
    assert isinstance(error.value, CompatError)
    assert all(word in str(error.value) for word in words), str(error.value)


def test_another_type_is_a_value_error():
    with pytest.raises(ValueError, match="float64"):
        tcnn.Encoding(3, GRID, dtype=torch.float64)


def test_unknown_keys_are_ignored():
    tcnn.Encoding(3, GRID | {"colour": "blue"})
