"""Network and fused field: every backend against the reference in float64, and the reference against numerical derivatives."""

from __future__ import annotations

import pytest
import torch
from field_cases import GRIDS, assert_close, native_or_skip, parameters, points

from kernels import ArgumentError, HashGridSpec, MLPSpec, field_mlp, fused_field

BACKENDS = ["reference", "cpu"]
NETWORKS = {
    "relu": dict(hidden=(16,), outputs=3, activation="relu"),
    "softplus": dict(hidden=(64,), outputs=17, activation="softplus", beta=100.0),
    "soft_deep": dict(hidden=(24, 40), outputs=5, activation="softplus", beta=5.0),
    "sigmoid_out": dict(hidden=(19, 8), outputs=3, activation="relu", output_activation="sigmoid"),
    "sigmoid_all": dict(hidden=(9,), outputs=2, activation="sigmoid", output_activation="sigmoid"),
    "affine": dict(hidden=(), outputs=4),
    "no_bias": dict(hidden=(32, 64, 16), outputs=1, activation="softplus", beta=20.0, bias=False),
    "linear": dict(hidden=(7,), outputs=20, activation="none"),
    "wide": dict(hidden=(128, 100), outputs=33, activation="relu"),
}


@pytest.fixture(params=BACKENDS)
def backend(request):
    if request.param == "cpu":
        native_or_skip()
    return request.param


def network(name: str, inputs: int) -> MLPSpec:
    return MLPSpec(inputs, **NETWORKS[name])


@pytest.mark.parametrize("name", NETWORKS)
def test_mlp_gradients_are_numerical_derivatives(name, backend):
    spec = network(name, 6)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 6, generator=generator, dtype=torch.float64).requires_grad_()
    params = parameters(GRIDS["plane"], spec)[1]
    directions = torch.randn(5, spec.params, generator=generator, dtype=torch.float64)

    def function(x, knobs):
        return field_mlp(x, params + knobs @ directions, spec, backend=backend)

    assert torch.autograd.gradcheck(function, (x, torch.zeros(5, dtype=torch.float64, requires_grad=True)), fast_mode=True)


@pytest.mark.parametrize("n", [0, 1, 47, 48, 49, 1001])
@pytest.mark.parametrize("name", NETWORKS)
def test_native_mlp_matches_the_reference(name, n):
    native_or_skip("field_mlp")
    spec = network(name, 13)
    params = parameters(GRIDS["plane"], spec)[1]
    x = torch.randn(n, 13, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    gy = torch.randn(n, spec.outputs, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    results = []
    for backend, dtype in (("cpu", torch.float32), ("reference", torch.float64), ("cpu", torch.float64)):
        a, b = x.to(dtype).clone().requires_grad_(), params.to(dtype).clone().requires_grad_()
        y = field_mlp(a, b, spec, backend=backend)
        results.append([y.detach(), *torch.autograd.grad(y, (a, b), gy.to(dtype))])
    for single, expected, double in zip(*results):
        assert_close(single, expected, 2e-5)
        assert_close(double, expected, 1e-12)


@pytest.mark.parametrize("include_input", [False, True])
@pytest.mark.parametrize("grid_name", GRIDS)
@pytest.mark.parametrize("name", ["relu", "softplus", "soft_deep", "sigmoid_all", "affine"])
def test_native_field_matches_the_reference(name, grid_name, include_input):
    native_or_skip()
    grid = GRIDS[grid_name]
    mlp = network(name, grid.out_features + (grid.dims if include_input else 0))
    table, params = parameters(grid, mlp)
    x = points(107, grid.dims, grid)
    generator = torch.Generator().manual_seed(5)
    gy = torch.randn(107, mlp.outputs, generator=generator, dtype=torch.float64)
    v = torch.randn(107, grid.dims, generator=generator, dtype=torch.float64)
    for order in (0, 1):
        for levels in (grid.levels, 1):
            results = []
            for backend, dtype in (("cpu", torch.float32), ("reference", torch.float64), ("cpu", torch.float64)):
                a = x.to(dtype).clone().requires_grad_(order == 0)
                t, p = table.to(dtype).clone().requires_grad_(), params.to(dtype).clone().requires_grad_()
                options = dict(include_input=include_input, active_levels=levels, backend=backend)
                if order == 0:
                    outputs = (fused_field(a, t, p, grid, mlp, **options),)
                    wanted = (a, t, p)
                else:
                    outputs = fused_field(a, t, p, grid, mlp, order=1, **options)
                    wanted = (t, p)
                objective = (outputs[0] * gy.to(dtype)).sum()
                if order == 1:
                    objective = objective + (outputs[1] * v.to(dtype)).sum()
                results.append([*(o.detach() for o in outputs), *torch.autograd.grad(objective, wanted)])
            for single, expected, double in zip(*results):
                assert_close(single, expected, 3e-4)
                assert_close(double, expected, 1e-11)


@pytest.mark.parametrize("name", ["softplus", "relu", "sigmoid_out"])
def test_order_1_backward_is_a_numerical_derivative(name, backend):
    grid = GRIDS["dense_and_hashed"]
    mlp = network(name, grid.out_features + 3)
    table, params = parameters(grid, mlp)
    x = points(4, 3, grid, margin=0.01)
    generator = torch.Generator().manual_seed(5)
    along_table = torch.randn(3, *table.shape, generator=generator, dtype=torch.float64)
    along_params = torch.randn(3, mlp.params, generator=generator, dtype=torch.float64)

    def function(a, b):
        return fused_field(
            x,
            table + torch.tensordot(a, along_table, 1),
            params + b @ along_params,
            grid,
            mlp,
            order=1,
            include_input=True,
            backend=backend,
        )

    knobs = [torch.zeros(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(function, knobs, eps=1e-7, atol=1e-5, rtol=1e-4, fast_mode=True)


def test_spatial_gradient_is_a_numerical_derivative(backend):
    grid = GRIDS["smoothstep"]
    mlp = network("soft_deep", grid.out_features + 3)
    table, params = parameters(grid, mlp)
    x = points(50, 3, grid, margin=0.01)
    _, gradient = fused_field(x, table, params, grid, mlp, order=1, include_input=True, backend=backend)
    for axis in range(3):
        step = torch.zeros(3, dtype=torch.float64)
        step[axis] = 1e-6
        high, low = (fused_field(x + s * step, table, params, grid, mlp, include_input=True, backend=backend)[:, 0] for s in (1, -1))
        assert_close(gradient[:, axis], (high - low) / 2e-6, 1e-6)


@pytest.mark.parametrize("n", [0, 1, 2, 47, 49, 70001])
def test_odd_sizes_and_strides(n, backend):
    grid = HashGridSpec(levels=4, log2_table_size=10, base_resolution=4, finest_resolution=64)
    mlp = MLPSpec(grid.out_features, (16,), 4, activation="softplus")
    table, params = (t.float().requires_grad_() for t in parameters(grid, mlp))
    x = torch.rand(3, n, generator=torch.Generator().manual_seed(0)).t()
    out, gradient = fused_field(x, table, params, grid, mlp, order=1, backend=backend)
    assert out.shape == (n, 4)
    assert gradient.shape == (n, 3)
    (out.sum() + gradient.square().sum()).backward()
    if n > 2:
        tail, tail_gradient = fused_field(x[-2:], table, params, grid, mlp, order=1, backend=backend)
        assert_close(out[-2:], tail, 1e-6)
        assert_close(gradient[-2:], tail_gradient, 1e-5)


@pytest.mark.parametrize("order", [0, 1])
def test_same_bits_twice_and_for_any_number_of_threads(order):
    native_or_skip()
    grid = HashGridSpec(levels=6, log2_table_size=10, base_resolution=4, finest_resolution=64)
    mlp = MLPSpec(grid.out_features, (32,), 5, activation="softplus")
    table, params = (t.float().requires_grad_() for t in parameters(grid, mlp))
    x = torch.rand(70000, 3, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    results = []
    try:
        for count in (1, 2, 3, 2):
            torch.set_num_threads(count)
            outputs = fused_field(x, table, params, grid, mlp, order=order, backend="cpu")
            outputs = outputs if isinstance(outputs, tuple) else (outputs,)
            objective = sum(o.square().sum() for o in outputs)
            results.append([*outputs, *torch.autograd.grad(objective, (table, params))])
    finally:
        torch.set_num_threads(threads)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


def test_gradient_works_without_recording(backend):
    grid = GRIDS["dense_and_hashed"]
    mlp = network("softplus", grid.out_features)
    table, params = (t.requires_grad_() for t in parameters(grid, mlp))
    x = points(5, 3, grid)
    expected = fused_field(x, table, params, grid, mlp, order=1, backend=backend)
    for context in (torch.no_grad(), torch.inference_mode()):
        with context:
            for a, b in zip(fused_field(x, table, params, grid, mlp, order=1, backend=backend), expected):
                assert not a.requires_grad
                assert torch.equal(a, b)


def test_extreme_activations_stay_finite(backend):
    spec = MLPSpec(2, (4,), 2, activation="softplus", beta=100.0, output_activation="sigmoid")
    params = torch.full((spec.params,), 50.0).requires_grad_()
    x = torch.tensor([[1e4, 1e4], [-1e4, -1e4], [0.0, 0.0], [-1.01, 0.0]], requires_grad=True)
    y = field_mlp(x, params, spec, backend=backend)
    y.sum().backward()
    assert params.grad is not None
    assert torch.isfinite(y).all()
    assert torch.isfinite(params.grad).all()


@pytest.mark.parametrize("activation", ["relu", "softplus", "sigmoid", "none"])
@pytest.mark.parametrize("output_activation", ["none", "sigmoid"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_is_not_a_number_is_not_hidden(activation, output_activation, dtype, backend):
    spec = MLPSpec(2, (4, 3), 2, activation=activation, output_activation=output_activation)
    params = torch.full((spec.params,), 0.1, dtype=dtype)
    params[0] = float("nan")
    assert field_mlp(torch.ones(50, 2, dtype=dtype), params, spec, backend=backend).isnan().all()


def test_wrong_arguments_are_named(backend):
    grid = GRIDS["dense_and_hashed"]
    mlp = network("relu", grid.out_features)
    table, params = (t.float() for t in parameters(grid, mlp))
    x = torch.rand(5, 3)
    for arguments, options, message in [
        ((x, table, params[:-1], grid, mlp), {}, "params"),
        ((x, table, params.double(), grid, mlp), {}, "params"),
        ((x, table, params, grid, mlp), {"include_input": True}, "inputs"),
        ((x, table, params, grid, mlp), {"order": 2}, "order"),
        ((x.requires_grad_(), table, params, grid, mlp), {"order": 1}, "detach"),
        ((x.detach() + float("nan"), table, params, grid, mlp), {}, "finite"),
        ((x.detach(), table, params, grid, mlp), {"active_levels": 9}, "active_levels"),
    ]:
        with pytest.raises(ArgumentError, match=message):
            fused_field(*arguments, backend=backend, **options)
    with pytest.raises(ArgumentError, match="shape"):
        field_mlp(x.detach(), params, mlp, backend=backend)
    with pytest.raises(ArgumentError, match="widths"):
        MLPSpec(3, (0,), 1)


@pytest.mark.parametrize("order", [0, 1])
@pytest.mark.parametrize("active", [1, None])
def test_a_second_backward_pass_finds_what_was_kept(order, active):
    """What the forward pass keeps for the gradients is not used up, and does not change what it gives; more points than a group."""
    native_or_skip()
    grid = GRIDS["dense_and_hashed"]
    mlp = MLPSpec(grid.out_features + 3, (8,), 2, activation="softplus", beta=5.0)
    table, params = (t.float().requires_grad_() for t in parameters(grid, mlp))
    x = points(50_000, 3, grid).float()
    options = {"include_input": True, "active_levels": active, "order": order, "backend": "cpu"}

    def values(*tensors):
        found = fused_field(x, *tensors, grid, mlp, **options)
        return found if order else (found,)

    found = values(table, params)
    for kept, plain in zip(found, values(table.detach(), params.detach()), strict=True):
        torch.testing.assert_close(kept.detach(), plain, atol=1e-6, rtol=1e-5)
    loss = sum((f * f).sum() for f in found)
    first = torch.autograd.grad(loss, (table, params), retain_graph=True)
    second = torch.autograd.grad(loss, (table, params))
    for a, b in zip(first, second, strict=True):
        assert torch.equal(a, b)
