import pytest
import torch
from packed_cases import backend_params, generator

import kernels
from kernels import ArgumentError

BACKENDS = backend_params("rbf_layer")
NATIVE = BACKENDS[1:]


def case(points, width, neurons, outputs, dtype=torch.float64, seed=0):
    g = generator(seed)
    randn = lambda *shape: torch.randn(shape, generator=g, dtype=torch.float64)  # noqa: E731
    log_betas = randn(neurons, width) * 0.5 - torch.log(torch.tensor(float(width)))
    tensors = (randn(points, width), randn(neurons, width), log_betas, randn(outputs, neurons), randn(outputs))
    return [t.to(dtype) for t in tensors]


def written_out(features, centers, log_betas, weight, bias):
    d = features[:, None] - centers[None]
    return torch.exp(-0.5 * (torch.exp(log_betas) * d * d).sum(-1)) @ weight.T + bias


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "shape", [(0, 4, 3, 2), (1, 1, 1, 1), (5, 18, 32, 49), (63, 32, 64, 3), (64, 7, 5, 1), (65, 3, 9, 4), (5000, 6, 8, 2)]
)
def test_equals_its_formula(shape, dtype, backend):
    tensors = case(*shape, dtype=dtype)
    got = kernels.rbf_layer(*tensors, backend=backend)
    assert (got.dtype, got.shape) == (dtype, (shape[0], shape[3]))
    assert torch.allclose(got.double(), written_out(*(t.double() for t in tensors)), atol=1e-4 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gradcheck_to_first_and_second_order(backend):
    tensors = [t.requires_grad_() for t in case(6, 3, 4, 2)]
    layer = lambda *args: kernels.rbf_layer(*args, backend=backend)  # noqa: E731
    assert torch.autograd.gradcheck(layer, tensors)

    def slope(incoming, *args):
        return torch.autograd.grad(layer(*args), args[0], incoming, create_graph=True)[0]

    incoming = torch.randn(6, 2, generator=generator(1), dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(slope, [incoming, *tensors])


@pytest.mark.parametrize("backend", NATIVE)
@pytest.mark.parametrize("points", [1, 100, 9001])
def test_float32_gradients_equal_the_formula(points, backend):
    tensors = case(points, 20, 33, 5, torch.float32, seed=2)

    def run(function, dtype):
        leaves = [t.to(dtype, copy=True).requires_grad_() for t in tensors]
        out = function(*leaves)
        (by_features,) = torch.autograd.grad(out.square().sum(), leaves[0], create_graph=True)
        first = torch.autograd.grad(out.square().sum(), leaves, retain_graph=True)
        second = torch.autograd.grad(by_features.square().sum(), leaves[:4])
        return [*first, *second]

    for got, exact in zip(run(lambda *a: kernels.rbf_layer(*a, backend=backend), torch.float32), run(written_out, torch.float64)):
        assert torch.allclose(got.double(), exact, rtol=1e-4, atol=2e-5 * float(exact.abs().max()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_far_features_give_zero_not_nan(backend):
    features, centers, log_betas, weight, bias = case(10, 4, 6, 2, torch.float32)
    features = (features + 1e4).requires_grad_()
    out = kernels.rbf_layer(features, centers, log_betas, weight, bias, backend=backend)
    assert torch.allclose(out, bias.expand_as(out))
    out.sum().backward()
    assert bool((features.grad == 0).all())


@pytest.mark.parametrize("backend", NATIVE)
def test_non_contiguous_and_same_bits_on_any_number_of_threads(backend):
    tensors = case(10000, 8, 12, 3, torch.float32)
    wide = torch.cat([tensors[0], tensors[0]], 1)[:, 8:]
    threads = torch.get_num_threads()
    results = []
    try:
        for count, features in ((1, tensors[0]), (2, wide)):
            torch.set_num_threads(count)
            leaves = [t.detach().requires_grad_() for t in (features, *tensors[1:])]
            out = kernels.rbf_layer(*leaves, backend=backend)
            results.append([out, *torch.autograd.grad(out.square().sum(), leaves)])
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(a, b) for a, b in zip(*results))


@pytest.mark.parametrize("index", range(5))
def test_bad_arguments(index):
    tensors = case(4, 3, 5, 2)
    tensors[index] = tensors[index].float()
    with pytest.raises(ArgumentError, match="agree"):
        kernels.rbf_layer(*tensors)
    tensors = case(4, 3, 5, 2)
    tensors[index] = torch.zeros(7, 6, dtype=torch.float64)
    with pytest.raises(ArgumentError, match="shape"):
        kernels.rbf_layer(*tensors)
