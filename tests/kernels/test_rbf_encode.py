import math

import pytest
import torch
from packed_cases import backend_params, generator

import kernels
from kernels import ArgumentError

BACKENDS = backend_params("rbf_encode")
# dims, kernel, columns of shapes, normalize, taper, frequencies
CASES = [
    (2, "iq", 3, True, False, True),
    (2, "iq", 1, False, True, True),
    (3, "iq", 6, True, True, True),
    (3, "iq", 3, True, False, False),
    (2, "gauss", 3, True, True, True),
    (3, "gauss", 6, False, False, True),
    (2, "hat", 1, True, False, True),
    (3, "hat", 3, True, True, False),
    (3, "hat", 1, False, False, True),
]


def case(dims, width, channels=5, points=30, functions=40, k=5, dtype=torch.float64, seed=0):
    g = generator(seed)
    rand = lambda *shape: torch.rand(shape, generator=g, dtype=torch.float64)  # noqa: E731
    centers, x = rand(functions, dims), rand(points, dims)
    shapes = rand(functions, width) + 1
    if width == dims * (dims + 1) // 2 and width > dims:  # positive definite: L L^T
        lower = torch.tril(rand(functions, dims, dims)) + torch.eye(dims)
        row, column = torch.triu_indices(dims, dims)
        shapes = (lower @ lower.transpose(1, 2))[:, row, column] * 4
    neighbors = kernels.knn(centers, x, k, backend="reference")[0]
    neighbors[3, 2] = -1
    neighbors[4] = -1
    weights = torch.randn(functions, channels, generator=g, dtype=torch.float64)
    frequencies = 2 ** (rand(channels) * 4 - 1)
    return *(a.to(dtype) for a in (x, centers, shapes, weights)), neighbors, frequencies.to(dtype)


def written_out(x, centers, shapes, weights, neighbors, frequencies, kernel, normalize, taper):
    """One point and one neighbour at a time, in plain Python."""
    dims = x.shape[1]
    out = torch.zeros(x.shape[0], weights.shape[1], dtype=torch.float64)
    for i in range(x.shape[0]):
        ids = [int(k) for k in neighbors[i]]
        last = ids.pop() if taper else -1
        limit = None if last < 0 else 1.001 * sum(float(x[i, a] - centers[last, a]) ** 2 for a in range(dims))
        phi = []
        for k in ids:
            if k < 0:
                phi.append(0.0)
                continue
            d = [float(x[i, a] - centers[k, a]) for a in range(dims)]
            s = [float(v) for v in shapes[k]]
            if len(s) in (1, dims):
                matrix = [[(s[a] if len(s) == dims else s[0]) if a == b else 0.0 for b in range(dims)] for a in range(dims)]
            else:
                upper = {pair: s[n] for n, pair in enumerate((a, b) for a in range(dims) for b in range(a, dims))}
                matrix = [[upper[min(a, b), max(a, b)] for b in range(dims)] for a in range(dims)]
            r2 = sum(d[a] * matrix[a][b] * d[b] for a in range(dims) for b in range(dims))
            if kernel == "hat":
                value = math.prod(max(0.0, 1 - abs(d[a]) * matrix[a][a]) for a in range(dims))
            else:
                value = math.exp(-r2 / 2) if kernel == "gauss" else 1 / (1 + r2)
            if limit is not None:
                value *= max(0.0, 1 - sum(v * v for v in d) / limit) ** 2
            phi.append(value)
        total = sum(phi) + 1e-8 if normalize else 1.0
        for k, value in zip(ids, phi):
            if k >= 0:
                p = value / total
                out[i] += weights[k] * (p if frequencies is None else torch.sin(frequencies * p))
    return out


def options(kernel, normalize, taper):
    return {"kernel": kernel, "normalize": normalize, "taper": taper}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("dims", "kernel", "width", "normalize", "taper", "sines"), CASES)
def test_equals_its_formula(dims, kernel, width, normalize, taper, sines, dtype, backend):
    *tensors, neighbors, m = case(dims, width, dtype=dtype)
    m = m if sines else None
    got = kernels.rbf_encode(*tensors, neighbors, frequencies=m, **options(kernel, normalize, taper), backend=backend)
    expected = written_out(*(a.double() for a in tensors), neighbors, None if m is None else m.double(), kernel, normalize, taper)
    assert got.dtype == dtype
    assert torch.allclose(got.double(), expected, atol=2e-5 if dtype == torch.float32 else 1e-12)
    assert bool((got[4] == 0).all())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("dims", "kernel", "width", "normalize", "taper", "sines"), CASES)
def test_gradcheck_to_first_and_second_order(dims, kernel, width, normalize, taper, sines, backend):
    *tensors, neighbors, m = case(dims, width, channels=3, points=6, functions=12, k=4)
    for t in tensors:
        t.requires_grad_()

    def encode(*args):
        return kernels.rbf_encode(*args, neighbors, frequencies=m if sines else None, **options(kernel, normalize, taper), backend=backend)

    assert torch.autograd.gradcheck(encode, tensors, eps=1e-7)

    def slope(*args):
        out = encode(*args)
        (by_x,) = torch.autograd.grad(out, args[0], torch.cos(torch.arange(out.numel(), dtype=out.dtype)).view_as(out), create_graph=True)
        return by_x

    assert torch.autograd.gradcheck(slope, tensors, eps=1e-7)


@pytest.mark.parametrize("backend", BACKENDS)
def test_second_order_to_the_incoming_gradient(backend):
    """What a network behind the encoding needs: d (v . dL/dx) / d (dL/d out) is the derivative of the encoding along v."""
    x, centers, shapes, weights, neighbors, m = case(3, 6)
    x.requires_grad_()
    v = torch.randn(x.shape, generator=generator(1), dtype=torch.float64)
    encode = lambda p: kernels.rbf_encode(p, centers, shapes, weights, neighbors, frequencies=m, backend=backend)  # noqa: E731
    out = encode(x)
    incoming = torch.ones_like(out, requires_grad=True)
    (by_x,) = torch.autograd.grad(out, x, incoming, create_graph=True)
    (got,) = torch.autograd.grad((by_x * v).sum(), incoming)
    h = 1e-6
    assert torch.allclose(got, (encode(x.detach() + h * v) - encode(x.detach() - h * v)) / (2 * h), atol=1e-7)


@pytest.mark.parametrize("backend", backend_params("rbf_encode")[1:])
@pytest.mark.parametrize("channels", [1, 7, 16, 33])
@pytest.mark.parametrize("detach", [False, True])
def test_float32_equals_the_reference(channels, detach, backend):
    """Every gradient, many groups of points, channels that do not fill the vectors."""
    *tensors, neighbors, m = case(2, 3, channels, points=1000, functions=200, k=4, dtype=torch.float32, seed=2)

    def run(dtype, name):
        leaves = [t.detach().to(dtype, copy=True).requires_grad_() for t in tensors]
        out = kernels.rbf_encode(*leaves, neighbors, frequencies=m.to(dtype), detach_normalizer=detach, backend=name)
        out.square().sum().backward()
        return [out.detach(), *(leaf.grad for leaf in leaves)]

    for got, exact in zip(run(torch.float32, backend), run(torch.float64, "reference")):
        assert torch.allclose(got.double(), exact, rtol=1e-4, atol=2e-5 * float(exact.abs().max()))


@pytest.mark.parametrize("backend", backend_params("rbf_encode")[1:])
@pytest.mark.parametrize("second", [False, True])
def test_float32_second_order_equals_the_reference(second, backend):
    *tensors, neighbors, m = case(3, 1, 16, points=500, functions=100, k=9, dtype=torch.float32, seed=3)

    def run(dtype, name):
        leaves = [t.detach().to(dtype, copy=True).requires_grad_() for t in tensors]
        out = kernels.rbf_encode(*leaves, neighbors, frequencies=m.to(dtype), taper=True, backend=name)
        (by_x,) = torch.autograd.grad(out.square().sum() if second else out.sum(), leaves[0], create_graph=True)
        by_x.square().sum().backward()
        return [leaf.grad for leaf in leaves]

    for got, exact in zip(run(torch.float32, backend), run(torch.float64, "reference")):
        assert torch.allclose(got.double(), exact, rtol=1e-3, atol=1e-4 * float(exact.abs().max()))


@pytest.mark.parametrize("backend", BACKENDS)
def test_high_frequencies(backend):
    """NeuRBF's range up to 2^12: the phase of float32 is good to some 1e-4 radians."""
    x, centers, shapes, weights, neighbors, _ = case(2, 3, channels=32)
    m = torch.logspace(-3, 12, 32, base=2, dtype=torch.float64)
    exact = kernels.rbf_encode(x, centers, shapes, weights, neighbors, frequencies=m, backend="reference")
    single = [t.float() for t in (x, centers, shapes, weights)]
    got = kernels.rbf_encode(*single, neighbors, frequencies=m.float(), backend=backend)
    error = (got.double() - exact).abs().amax(0)
    assert bool((error < 1e-5 + 2e-6 * m).all())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("taper", [False, True])
def test_taper_makes_it_continuous(taper, backend):
    g = generator(4)
    centers = torch.rand(400, 2, generator=g, dtype=torch.float64)
    x = torch.linspace(0.2, 0.8, 20001, dtype=torch.float64)[:, None] * torch.tensor([1.0, 0.37], dtype=torch.float64) + 0.1
    neighbors = kernels.knn(centers, x, 5)[0]
    weights = torch.randn(400, 8, generator=g, dtype=torch.float64)
    shapes = torch.full((400, 1), 100.0, dtype=torch.float64)
    m = torch.full((8,), 8.0, dtype=torch.float64)
    ids = neighbors if taper else neighbors[:, :4].contiguous()
    out = kernels.rbf_encode(x, centers, shapes, weights, ids, frequencies=m, taper=taper, backend=backend)
    jump = float(out.diff(dim=0).abs().max())
    assert jump < 0.05 if taper else jump > 0.5


@pytest.mark.parametrize("backend", BACKENDS)
def test_ties_and_coincidence_give_numbers(backend):
    """All neighbours at the same distance; a point on a centre; all neighbours on one spot."""
    centers = torch.tensor([[0.0, 0], [1, 0], [0, 1], [1, 1], [5, 5], [5, 5], [5, 5]]).double()
    x = torch.tensor([[0.5, 0.5], [0.0, 0.0], [5.0, 5.0]], dtype=torch.float64, requires_grad=True)
    neighbors = torch.tensor([[0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 4]], dtype=torch.int32)
    out = kernels.rbf_encode(x, centers, torch.ones(7, 1).double(), torch.ones(7, 2).double(), neighbors, taper=True, backend=backend)
    out.sum().backward()
    assert bool(torch.isfinite(out).all())
    assert bool(torch.isfinite(x.grad).all())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("points", [0, 1])
def test_few_points(points, backend):
    x, centers, shapes, weights, neighbors, m = case(2, 3, points=30)
    w = weights.requires_grad_()
    out = kernels.rbf_encode(x[:points], centers, shapes, w, neighbors[:points], frequencies=m, backend=backend)
    assert out.shape == (points, 5)
    out.sum().backward()
    assert w.grad.shape == w.shape


def test_same_bits_on_any_number_of_threads():
    x, centers, shapes, weights, neighbors, m = case(2, 3, 32, points=5000, functions=300, dtype=torch.float32)
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            leaves = [t.clone().requires_grad_() for t in (x, centers, shapes, weights)]
            out = kernels.rbf_encode(*leaves, neighbors, frequencies=m)
            out.square().sum().backward()
            results.append([out, *(leaf.grad for leaf in leaves)])
    finally:
        torch.set_num_threads(threads)
    if kernels.backend("rbf_encode") == "reference":
        return
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_unsupported_derivatives_are_refused():
    if kernels.backend("rbf_encode") == "reference":
        pytest.skip("the reference differentiates everything")
    x, centers, shapes, weights, neighbors, m = case(2, 3)
    x.requires_grad_()
    out = kernels.rbf_encode(x, centers, shapes, weights, neighbors, frequencies=m, detach_normalizer=True)
    (by_x,) = torch.autograd.grad(out.sum(), x, create_graph=True)
    with pytest.raises(ArgumentError, match="detach_normalizer"):
        by_x.sum().backward()


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"x": torch.zeros(4, 4)}, "x must have shape"),
        ({"centers": torch.zeros(5, 3)}, "centers must have shape"),
        ({"shapes": torch.zeros(5, 4)}, "columns, not 4"),
        ({"kernel": "box"}, "kernel must be one of"),
        ({"neighbors": torch.zeros(4, 3, dtype=torch.int64)}, "int32"),
        ({"neighbors": torch.full((4, 3), 5, dtype=torch.int32)}, "-1 to 4"),
        ({"neighbors": torch.zeros(4, 1, dtype=torch.int32), "taper": True}, "2 to 64"),
        ({"frequencies": torch.ones(3)}, "frequencies must have shape"),
        ({"frequencies": torch.full((2,), math.inf)}, "finite"),
    ],
)
def test_bad_arguments(change, match):
    args = {
        "x": torch.zeros(4, 2),
        "centers": torch.zeros(5, 2),
        "shapes": torch.ones(5, 1),
        "weights": torch.ones(5, 2),
        "neighbors": torch.zeros(4, 3, dtype=torch.int32),
    }
    with pytest.raises(ArgumentError, match=match):
        kernels.rbf_encode(**{**args, **change})
