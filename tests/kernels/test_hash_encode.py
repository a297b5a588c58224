"""Hash grid encoding: every backend against a definition written out point by point, and properties."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from field_cases import GRIDS, assert_close, native_or_skip, parameters, points

from kernels import ArgumentError, HashGridSpec, MLPSpec, hash_encode
from kernels.specs import grid_from_ints

BACKENDS = ["reference", "cpu"]


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "cpu":
        native_or_skip("hash_encode")
    return request.param


def encode_by_hand(x: list[float], table: torch.Tensor, spec: HashGridSpec) -> list[float]:
    """One point, plain Python numbers, straight from the definition."""
    result = []
    growth = (spec.finest_resolution / spec.base_resolution) ** (1 / max(spec.levels - 1, 1))
    offset = 0
    for level in range(spec.levels):
        scale = float(torch.tensor(spec.base_resolution * growth**level - 1.0, dtype=torch.float32))
        resolution = math.ceil(scale) + 1
        size = min(-(-(resolution**spec.dims) // 8) * 8, 2**spec.log2_table_size)
        position = [v * scale + 0.5 for v in x]
        cell = [math.floor(p) for p in position]
        u = [p - c for p, c in zip(position, cell)]
        if spec.interpolation == "smoothstep":
            u = [v * v * (3 - 2 * v) for v in u]
        value = [0.0] * spec.features
        for corner in itertools.product((0, 1), repeat=spec.dims):
            vertex = [(c + k) % 2**32 for c, k in zip(cell, corner)]
            if size < resolution**spec.dims:
                index = 0
                for v, prime in zip(vertex, (1, 2654435761, 805459861)):
                    index ^= v * prime % 2**32
            else:
                index = sum(v * resolution**axis for axis, v in enumerate(vertex)) % 2**32
            weight = math.prod(v if k else 1 - v for v, k in zip(u, corner))
            for f in range(spec.features):
                value[f] += weight * float(table[offset + index % size, f])
        result += value
        offset += size
    assert offset == spec.entries
    return result


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_matches_the_definition(name, dtype, backend):
    spec = GRIDS[name]
    x = torch.cat(
        [
            points(20, spec.dims, spec),
            torch.zeros(1, spec.dims),
            torch.ones(1, spec.dims),
            torch.full((1, spec.dims), 0.5),
            torch.full((1, spec.dims), -0.37),
            torch.full((1, spec.dims), 1.61),
            torch.tensor([[-3.2, 7.7, 0.1][: spec.dims]], dtype=torch.float64),
        ]
    ).float()
    table = torch.rand(spec.entries, spec.features, generator=torch.Generator().manual_seed(3))
    expected = torch.tensor([encode_by_hand(row, table, spec) for row in x.tolist()], dtype=torch.float64)
    actual = hash_encode(x.to(dtype), table.to(dtype), spec, backend=backend)
    assert_close(actual, expected, 3e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("name", GRIDS)
def test_gradients_are_numerical_derivatives(name, backend):
    spec = GRIDS[name]
    x = points(3, spec.dims, spec, margin=0.01).requires_grad_()
    table = torch.rand(spec.entries, spec.features, dtype=torch.float64)
    rows = torch.zeros(spec.entries, 1, dtype=torch.float64)
    rows[: min(64, spec.entries)] = 1  # gradcheck would perturb every entry: a scalar on each half is enough
    knobs = torch.tensor([1.0, 0.7], dtype=torch.float64, requires_grad=True)

    def function(x, knobs):
        return hash_encode(x, table * (knobs[0] * rows + knobs[1] * (1 - rows)), spec, backend=backend)

    assert torch.autograd.gradcheck(function, (x, knobs))
    assert torch.autograd.gradgradcheck(function, (x, knobs))


@pytest.mark.parametrize("n", [0, 1, 17, 333])
@pytest.mark.parametrize("name", GRIDS)
def test_native_matches_the_reference(name, n):
    native_or_skip("hash_encode")
    spec = GRIDS[name]
    x = points(n, spec.dims, spec, torch.float32)
    table = torch.randn(spec.entries, spec.features, generator=torch.Generator().manual_seed(1))
    gy = torch.randn(n, spec.out_features, generator=torch.Generator().manual_seed(2))
    v = torch.randn(n, spec.dims, generator=torch.Generator().manual_seed(4))
    results = []
    for backend, dtype in (("cpu", torch.float32), ("reference", torch.float64)):
        a = x.to(dtype).t().contiguous().t().requires_grad_()  # not contiguous
        b = table.to(dtype).requires_grad_()
        g = gy.to(dtype).requires_grad_()
        y = hash_encode(a, b, spec, backend=backend)
        gx, gt = torch.autograd.grad(y, (a, b), g, create_graph=True)
        second = torch.autograd.grad((gx * v.to(dtype)).sum() + gt.pow(2).sum(), (a, b, g), allow_unused=True)
        results.append([y, gx, gt, *(torch.zeros_like(t) if s is None else s for s, t in zip(second, (a, b, g)))])
    for actual, expected in zip(*results):
        assert_close(actual.detach(), expected.detach(), 3e-4)


def test_constant_table_gives_the_constant_inside_and_outside(backend):
    spec = GRIDS["dense_and_hashed"]
    x = torch.rand(200, 3) * 6 - 3
    y = hash_encode(x, torch.full((spec.entries, 2), 1.25), spec, backend=backend)
    assert_close(y, torch.full((200, spec.out_features), 1.25), 1e-6)


def test_gradient_of_the_table_sums_to_the_gradient_of_the_output(backend):
    spec = GRIDS["four_features"]
    table = torch.zeros(spec.entries, spec.features, requires_grad=True)
    gy = torch.randn(500, spec.out_features, generator=torch.Generator().manual_seed(0))
    hash_encode(torch.rand(500, 3, generator=torch.Generator().manual_seed(1)), table, spec, backend=backend).backward(gy)
    assert table.grad is not None
    for level in range(spec.levels):
        got = table.grad[spec.offsets[level] : spec.offsets[level + 1]].sum(0)
        assert torch.allclose(got, gy[:, level * 4 : level * 4 + 4].sum(0), atol=1e-3)


def test_inactive_levels_are_zero_and_get_no_gradient(backend):
    spec = GRIDS["dense_and_hashed"]
    x = torch.rand(50, 3)
    table = torch.randn(spec.entries, 2, requires_grad=True)
    full = hash_encode(x, table, spec, backend=backend)
    for levels in (0, 2, spec.levels):
        some = hash_encode(x, table, spec, active_levels=levels, backend=backend)
        assert torch.equal(some[:, : 2 * levels], full[:, : 2 * levels])
        assert not some[:, 2 * levels :].any()
        (gradient,) = torch.autograd.grad(some.sum(), table)
        assert not gradient[spec.offsets[levels] :].any()


def test_sizes_of_the_published_configuration():
    spec = HashGridSpec()
    assert spec.entries * spec.features == 12196240
    assert spec.resolutions[0] == 16
    assert spec.resolutions[-1] == 2048
    boundary = HashGridSpec(levels=1, log2_table_size=9, base_resolution=8, finest_resolution=8)
    assert boundary.hashed == (False,)  # 8^3 = 2^9 entries just fit
    assert HashGridSpec(levels=1, log2_table_size=9, base_resolution=9, finest_resolution=9).hashed == (True,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, t: (x[:, :2], t), "shape"),
        (lambda x, t: (x, t[:-8]), "shape"),
        (lambda x, t: (x.half(), t), "float32 or float64"),
        (lambda x, t: (x.double(), t), "must agree"),
        (lambda x, t: (x.index_fill(0, torch.tensor([3]), float("nan")), t), "finite"),
        (lambda x, t: (x.index_fill(0, torch.tensor([3]), float("inf")), t), "finite"),
        (lambda x, t: (x.to("meta"), t), "must agree"),
    ],
)
def test_wrong_arguments_are_named(change, message, backend):
    spec = GRIDS["dense_and_hashed"]
    x, table = change(torch.rand(10, 3), torch.zeros(spec.entries, 2))
    with pytest.raises(ArgumentError, match=message):
        hash_encode(x, table, spec, backend=backend)


@pytest.mark.parametrize(
    "fields",
    [
        {"dims": 4},
        {"features": 3},
        {"levels": 0},
        {"log2_table_size": 2},
        {"base_resolution": 1},
        {"base_resolution": 64, "finest_resolution": 32},
        {"interpolation": "cubic"},
    ],
)
def test_impossible_grids_are_refused(fields):
    with pytest.raises(ArgumentError):
        HashGridSpec(**fields)


@pytest.mark.parametrize("fixed_points", [False, True])
def test_gradient_of_the_table_alone_differentiated_again(fixed_points):
    """``sum(w * dL/dtable)`` to the adjoint, and to the points unless they are fixed."""
    native_or_skip("hash_encode")
    grid = GRIDS["dense_and_hashed"]
    x, table = points(20, 3, grid), parameters(grid, MLPSpec(grid.out_features, (4,), 1))[0]
    w, adjoint = torch.randn(table.shape, dtype=x.dtype), torch.randn(20, grid.out_features, dtype=x.dtype)
    found = []
    for backend in ("cpu", "reference"):
        at, entries, g = (t.clone().requires_grad_() for t in (x, table, adjoint))
        at = at.detach() if fixed_points else at
        encoded = hash_encode(at, entries, grid, backend=backend)
        (by_table,) = torch.autograd.grad(encoded, entries, g, create_graph=True)
        found.append(torch.autograd.grad((by_table * w).sum(), (g,) if fixed_points else (g, at)))
    for a, b in zip(*found):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def test_growth_in_the_place_of_the_finest_resolution(backend):
    """Scales by the float32 ratio; the same grid where the ratio leads to whole numbers; kept in the operator's integers."""
    spec = HashGridSpec(levels=4, log2_table_size=9, base_resolution=4, growth=2.0)
    same = HashGridSpec(levels=4, log2_table_size=9, base_resolution=4, finest_resolution=32)
    assert (spec.scales, spec.offsets, spec.hashed) == (same.scales, same.offsets, same.hashed)
    assert spec.scales == (3, 7, 15, 31)
    x, table = torch.rand(30, 3), torch.rand(spec.entries, 2)
    assert torch.equal(hash_encode(x, table, spec, backend=backend), hash_encode(x, table, same, backend=backend))
    odd = HashGridSpec(levels=3, base_resolution=16, growth=1.3819)
    assert grid_from_ints(odd.to_ints()) == odd
    assert odd.scales == pytest.approx([16 * 1.3819**level - 1 for level in range(3)], rel=1e-6)
    with pytest.raises(ArgumentError, match="growth"):
        HashGridSpec(growth=0.5)
