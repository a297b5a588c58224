"""Order 1 in closed form: gradients to features and points, and theirs, against autograd through the plain reference in float64."""

from __future__ import annotations

import pytest
import torch
from field_cases import GRIDS, assert_close, native_or_skip, points

import kernels
from kernels import ArgumentError, HashGridSpec, MLPSpec

BACKENDS = ["reference", "cpu"]
NETWORKS = {
    "softplus": MLPSpec(7, (20, 16), 5, "softplus", 8.0),
    "relu": MLPSpec(7, (17,), 3, "relu"),
    "sigmoid": MLPSpec(5, (16,), 2, "softplus", 5.0, output_activation="sigmoid"),
    "linear": MLPSpec(6, (), 4, "relu"),
    "no_bias": MLPSpec(9, (8, 8, 8), 1, "softplus", 10.0, bias=False),
}


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "cpu":
        native_or_skip("field_mlp")
    return request.param


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def leaves(dtype: torch.dtype, *tensors: torch.Tensor) -> list[torch.Tensor]:
    return [t.to(dtype).requires_grad_() for t in tensors]


def derivatives(results: tuple[torch.Tensor, ...], inputs: list[torch.Tensor]) -> list[torch.Tensor]:
    """The results, and the gradients of a loss that is not linear in them; zeros to what they do not depend on."""
    loss = torch.stack([(r * r * 0.5 + 0.3 * r).sum() for r in results]).sum() + 0.0 * inputs[0].sum()
    gradients = torch.autograd.grad(loss, inputs, allow_unused=True)
    return [*results, *(torch.zeros_like(t) if g is None else g for g, t in zip(gradients, inputs, strict=True))]


# --- networks ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NETWORKS)
def test_network_gradients_are_numerical_derivatives(name: str, backend: str):
    spec = NETWORKS[name]
    x, params = leaves(torch.float64, randn(4, spec.inputs), 0.4 * randn(spec.params, seed=1))
    assert torch.autograd.gradcheck(lambda x, p: kernels.field_mlp(x, p, spec, order=1, backend=backend), (x, params))
    assert torch.autograd.gradcheck(lambda x: kernels.field_mlp(x, params, spec, backend=backend)[:, 0], (x,))
    slope = torch.autograd.grad(kernels.field_mlp(x, params, spec, backend=backend)[:, 0].sum(), x)[0]
    torch.testing.assert_close(kernels.field_mlp(x, params, spec, order=1, backend=backend)[1], slope)


@pytest.mark.parametrize("n", [0, 1, 47, 333])
@pytest.mark.parametrize("name", NETWORKS)
def test_native_network_in_float32(name: str, n: int):
    native_or_skip("field_mlp")
    spec = NETWORKS[name]
    found = []
    for backend, dtype in (("cpu", torch.float32), ("reference", torch.float64)):
        inputs = leaves(dtype, randn(n, spec.inputs), 0.4 * randn(spec.params, seed=1))
        found.append(derivatives(kernels.field_mlp(*inputs, spec, order=1, backend=backend), inputs))
    for actual, expected in zip(*found, strict=True):
        assert_close(actual, expected, 2e-5)


# --- grids ------------------------------------------------------------------------------------------------------------------------------


def by_autograd(spec: HashGridSpec, g: torch.Tensor, x: torch.Tensor, table: torch.Tensor, levels: int | None) -> torch.Tensor:
    x = x.detach().requires_grad_()
    encoded = kernels.hash_encode(x, table, spec, active_levels=levels, backend="reference")
    return torch.autograd.grad(encoded, x, g, create_graph=True)[0]


@pytest.mark.parametrize("levels", [None, 0, 1])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", GRIDS)
def test_grid_pullback(name: str, dtype: torch.dtype, levels: int | None, backend: str):
    spec = GRIDS[name]
    for n in (1, 100):
        x, tensors = points(n, spec.dims, spec), (randn(n, spec.out_features), randn(spec.entries, spec.features, seed=1))
        g, table = leaves(dtype, *tensors)
        pulled = kernels.hash_encode_pullback(g, x.to(dtype), table, spec, active_levels=levels, backend=backend)
        truth = leaves(torch.float64, *tensors)
        expected = derivatives((by_autograd(spec, truth[0], x, truth[1], levels),), truth)
        for actual, wanted in zip(derivatives((pulled,), [g, table]), expected, strict=True):
            assert_close(actual, wanted, 1e-4 if dtype == torch.float32 else 1e-12)


def test_grid_pullback_of_many_points_and_threads():
    """More points than one group holds; the sums are those of the reference whatever the number of threads."""
    native_or_skip("hash_encode")
    spec, n, threads = GRIDS["dense_and_hashed"], 60_000, torch.get_num_threads()
    x, tensors = points(n, 3, spec), (randn(n, spec.out_features), randn(spec.entries, 2, seed=1))
    truth = leaves(torch.float64, *tensors)
    expected = derivatives((by_autograd(spec, truth[0], x, truth[1], None),), truth)
    try:
        for count in (1, 2):
            torch.set_num_threads(count)
            g, table = leaves(torch.float32, *tensors)
            found = derivatives((kernels.hash_encode_pullback(g, x.float(), table, spec, backend="cpu"),), [g, table])
            for actual, wanted in zip(found, expected, strict=True):
                assert_close(actual, wanted, 1e-4)
    finally:
        torch.set_num_threads(threads)


# --- radial functions -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kernel", ["iq", "gauss", "hat"])
@pytest.mark.parametrize("taper", [False, True])
@pytest.mark.parametrize("sines", [False, True])
def test_radial_pullback(dims: int, dtype: torch.dtype, kernel: str, taper: bool, sines: bool, backend: str):
    centers = torch.rand(30, dims, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    x = torch.rand(50, dims, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    shapes = torch.full((30, 1), 1.5 if kernel == "hat" else 9.0, dtype=torch.float64)
    neighbors = kernels.knn(centers, x, 5, backend="reference")[0]
    tensors = (randn(50, 6), randn(30, 6, seed=1))
    m = torch.linspace(1.0, 8.0, 6, dtype=torch.float64) if sines else None

    def functions(kind: torch.dtype):
        options = {"frequencies": None if m is None else m.to(kind), "kernel": kernel, "taper": taper}
        return (centers.to(kind), shapes.to(kind)), options

    def truth(g: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
        placed, options = functions(torch.float64)
        at = x.clone().requires_grad_()
        encoded = kernels.rbf_encode(at, *placed, weights, neighbors, **options, backend="reference")
        return torch.autograd.grad(encoded, at, g, create_graph=True)[0]

    placed, options = functions(dtype)
    g, weights = leaves(dtype, *tensors)
    pulled = kernels.rbf_encode_pullback(g, x.to(dtype), *placed, weights, neighbors, **options, backend=backend)
    wanted = leaves(torch.float64, *tensors)
    expected = derivatives((truth(*wanted),), wanted)
    for actual, right in zip(derivatives((pulled,), [g, weights]), expected, strict=True):
        assert_close(actual, right, 2e-4 if dtype == torch.float32 else 1e-11)


# --- the Gaussian layer -----------------------------------------------------------------------------------------------------------------


def layer(n: int, width: int = 5, neurons: int = 9, outputs: int = 3) -> list[torch.Tensor]:
    shapes = ((n, width), (neurons, width), (neurons, width), (outputs, neurons), (outputs,))
    return [scale * randn(*s, seed=i) for i, (s, scale) in enumerate(zip(shapes, (1.0, 1.0, 0.3, 1.0, 1.0), strict=True))]


def test_layer_gradients_are_numerical_derivatives(backend: str):
    inputs = leaves(torch.float64, *layer(4))
    assert torch.autograd.gradcheck(lambda *t: kernels.rbf_layer(*t, order=1, backend=backend), inputs)
    slope = torch.autograd.grad(kernels.rbf_layer(*inputs, backend=backend)[:, 0].sum(), inputs[0])[0]
    torch.testing.assert_close(kernels.rbf_layer(*inputs, order=1, backend=backend)[1], slope)


@pytest.mark.parametrize("n", [0, 1, 100, 5000])
def test_native_layer_in_float32(n: int):
    native_or_skip("rbf_layer")
    found = []
    for backend, dtype in (("cpu", torch.float32), ("reference", torch.float64)):
        inputs = leaves(dtype, *layer(n, 31, 64, 16))
        found.append(derivatives(kernels.rbf_layer(*inputs, order=1, backend=backend), inputs))
    for actual, expected in zip(*found, strict=True):
        assert_close(actual, expected, 1e-4)


# --- what is refused --------------------------------------------------------------------------------------------------------------------


def test_points_that_require_a_gradient_are_refused(backend: str):
    spec = GRIDS["plane"]
    x = torch.rand(5, 2, requires_grad=True)
    g, table = torch.rand(5, spec.out_features), torch.rand(spec.entries, spec.features)
    with pytest.raises(ArgumentError, match="detach"):
        kernels.hash_encode_pullback(g, x, table, spec, backend=backend)
    functions = (torch.rand(4, 2), torch.ones(4, 1), torch.rand(4, 3), torch.zeros(5, 1, dtype=torch.int32))
    with pytest.raises(ArgumentError, match="detach"):
        kernels.rbf_encode_pullback(torch.rand(5, 3), x, *functions, backend=backend)
    with pytest.raises(ArgumentError, match="grad"):
        kernels.hash_encode_pullback(g[:, :1], x.detach(), table, spec, backend=backend)
    with pytest.raises(ArgumentError, match="grad"):
        kernels.rbf_encode_pullback(torch.rand(5, 4), x.detach(), *functions, backend=backend)


@pytest.mark.parametrize("order", [2, -1])
def test_other_orders_are_refused(order, backend: str):
    spec = NETWORKS["relu"]
    with pytest.raises(ArgumentError, match="order"):
        kernels.field_mlp(torch.rand(2, 7), torch.rand(spec.params), spec, order=order, backend=backend)
    with pytest.raises(ArgumentError, match="order"):
        kernels.rbf_layer(*[t.float() for t in layer(2)], order=order, backend=backend)
