import math

import pytest
import torch
from packed_cases import backend_params, generator

import kernels
from kernels import ArgumentError

BACKENDS = backend_params("knn")


def clouds(dims):
    g = generator(dims)
    uniform = torch.rand(3000, dims, generator=g)
    shell = torch.nn.functional.normalize(torch.randn(2000, dims, generator=g), dim=-1) * 0.7 + 1e-4 * torch.randn(2000, dims, generator=g)
    repeated = torch.rand(50, dims, generator=g).repeat(20, 1)
    lattice = torch.cartesian_prod(*[torch.arange(12.0)] * dims).reshape(-1, dims) / 12
    line = torch.cat([torch.rand(500, 1, generator=g), torch.zeros(500, dims - 1)], 1)
    clustered = torch.cat([uniform[:100] * 1e-5 + 0.3, uniform[100:200] * 100])
    return {"uniform": uniform, "shell": shell, "repeated": repeated, "lattice": lattice, "line": line, "clustered": clustered}


def check(points, queries, k, backend):
    index, squared = kernels.knn(points, queries, k, backend=backend)
    found = min(k, points.shape[0])
    assert (index.dtype, index.shape, squared.shape) == (torch.int32, (len(queries), k), (len(queries), k))
    assert bool((index[:, found:] == -1).all())
    assert bool((squared[:, found:] == math.inf).all())
    if found == 0:
        return
    index, squared = index[:, :found].long(), squared[:, :found].double()
    exact = (queries.double()[:, None] - points.double()[None]).square().sum(-1)
    expected = exact.sort(1).values[:, :found]
    scale = exact.amax() * 1e-9
    assert torch.allclose(squared, expected, rtol=3e-6, atol=float(scale))
    assert torch.allclose(exact.gather(1, index), expected, rtol=3e-6, atol=float(scale))  # the points named are at these distances
    assert bool((index.sort(1).values.diff(dim=1) > 0).all())  # and no point is named twice
    assert bool((squared.diff(dim=1) >= 0).all())


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("k", [1, 4, 9, 64])
@pytest.mark.parametrize("name", ["uniform", "shell", "repeated", "lattice", "line", "clustered"])
@pytest.mark.parametrize("dims", [2, 3])
def test_equals_brute_force(dims, name, k, dtype, backend):
    points = clouds(dims)[name].to(dtype)
    g = generator(7)
    around = points.mean(0) + torch.randn(60, dims, generator=g) * points.std() * 3
    along = torch.linspace(0, 1, 60)[:, None] * torch.ones(dims) * points.std() + points.mean(0)  # neighbouring queries in order
    check(points, torch.cat([around, along, points[:20], points[:20]]).to(dtype), k, backend)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("count", [0, 1, 3, 16, 17, 33, 1000])
def test_numbers_of_points(count, backend):
    points = torch.rand(count, 3, generator=generator(1))
    check(points, torch.rand(20, 3, generator=generator(2)), 5, backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_index_no_queries_non_contiguous_and_same_on_any_number_of_threads(backend):
    points = torch.rand(5000, 4, generator=generator(3))[:, 1:3]
    queries = torch.rand(4000, 2, generator=generator(4))
    index = kernels.knn_index(points, backend=backend)
    assert kernels.knn(index, queries[:0], 3, backend=backend)[0].shape == (0, 3)
    threads = torch.get_num_threads()
    results = []
    try:
        for count, asked in ((1, index), (2, index), (2, points)):
            torch.set_num_threads(count)
            results.append(kernels.knn(asked, queries, 4, backend=backend))
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert torch.equal(results[0][0], other[0])
        assert torch.equal(results[0][1], other[1])
    check(points, queries[:200], 4, backend)


def test_an_index_of_the_reference_serves_every_backend():
    points = torch.rand(100, 3, generator=generator(5))
    index = kernels.knn_index(points, backend="reference")
    check(points, points[:10], 3, None)
    assert torch.equal(kernels.knn(index, points, 1)[0][:, 0], torch.arange(100, dtype=torch.int32))


@pytest.mark.parametrize(
    ("points", "queries", "k", "match"),
    [
        (torch.rand(5, 4), torch.rand(5, 4), 1, "points must have shape"),
        (torch.rand(5, 3), torch.rand(5, 2), 1, "queries must have shape"),
        (torch.rand(5, 3), torch.rand(5, 3), 65, "k must be"),
        (torch.rand(5, 3), torch.full((1, 3), math.nan), 1, "queries must be finite"),
        (torch.full((5, 3), math.inf), torch.rand(1, 3), 1, "finite"),
    ],
)
def test_bad_arguments(points, queries, k, match):
    with pytest.raises(ArgumentError, match=match):
        kernels.knn(points, queries, k)
