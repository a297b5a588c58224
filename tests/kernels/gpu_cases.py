"""The ops of the GPU backends against the float64 reference, one function per case.

The same cases run on Triton's interpreter, on CUDA kernels compiled for the host, and on a real GPU.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import torch
from field_cases import GRIDS, assert_close, parameters, points
from torch import Tensor

import kernels
from kernels import HashGridSpec, MLPSpec, OccupancyGrid

NETWORKS = {
    "relu": dict(hidden=(16,), outputs=3, activation="relu"),
    "softplus": dict(hidden=(40, 24), outputs=17, activation="softplus", beta=20.0),
    "sigmoid_all": dict(hidden=(19,), outputs=2, activation="sigmoid", output_activation="sigmoid"),
    "affine": dict(hidden=(), outputs=4),
    "no_bias": dict(hidden=(32, 16), outputs=1, activation="softplus", beta=5.0, bias=False),
    "wide": dict(hidden=(100,), outputs=70, activation="relu"),
    "tensor": dict(hidden=(32, 64), outputs=17, activation="softplus", beta=20.0),
}
TENSOR_CORES = {True: (3e-5, 2e-4, 2e-4, 2e-2), False: (2e-2, 0.4, 0.3, 0.3)}
"""CUDA's kernels on tensor cores, with split operands or single ones: outputs, gradients by the point, to the table, to parameters."""
LENGTHS = (0, 1, 5, 70, 17, 0, 33, 32)
"""Samples of the rays of the packed cases: none, one, multiples of a block and not."""

Run = Callable[[str, torch.device, int], None]


def _leaves(device: torch.device, dtype: torch.dtype, *tensors: Tensor) -> list[Tensor]:
    return [t.to(device, dtype).clone().requires_grad_() for t in tensors]


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _compare(
    results: Callable[[str, torch.device, torch.dtype], list[Tensor]], backend: str, device: torch.device, *tolerances: float
) -> None:
    """What ``results`` gives on a backend in float32 against the reference in float64 on the CPU; one tolerance for all, or one each."""
    actual = results(backend, device, torch.float32)
    expected = results("reference", torch.device("cpu"), torch.float64)
    assert len(actual) == len(expected)
    for a, e, tolerance in zip(actual, expected, tolerances * len(expected)):
        assert a.device.type == device.type
        assert_close(a.cpu(), e, tolerance)


def _field_tolerances(backend: str, grid: HashGridSpec, mlp: MLPSpec, include_input: bool) -> list[float]:
    """Of order 0: outputs, gradients to x, table, parameters; of order 1: outputs, gradient, gradients to table, parameters."""
    tolerances = []
    for order in (0, 1):
        plain = (3e-5,) * 4
        if backend == "cuda":
            from kernels.backends.cuda.field import splits, uses_tensor_cores

            if uses_tensor_cores(grid, mlp, torch.float32, order, include_input):
                plain = TENSOR_CORES[splits(mlp, order)]
        tolerances += plain
    return tolerances


def hash_encode(backend: str, device: torch.device, n: int, grid: HashGridSpec, active: int | None) -> None:
    """Value, gradients, and the gradients of the gradient to x, including those at points outside the cube."""
    x = points(n, grid.dims, grid)
    if n > 3:
        x[0], x[1], x[2] = -0.3, 1.7, 0.99
    table = _random(1, grid.entries, grid.features)
    g, v = _random(2, n, grid.out_features), _random(3, n, grid.dims)

    def results(backend, device, dtype):
        a, b, c = _leaves(device, dtype, x, table, g)
        y = kernels.hash_encode(a, b, grid, active_levels=active, backend=backend)
        gx, gt = torch.autograd.grad((y * c).sum(), (a, b), create_graph=True)
        second = torch.autograd.grad((gx * v.to(device, dtype)).sum(), (a, b, c), allow_unused=True, retain_graph=True)
        second = [torch.zeros_like(t) if s is None else s for s, t in zip(second, (a, b, c))]
        mixed = torch.autograd.grad((gt**2).sum(), (a, c)) if n else []
        return [y, gx, gt, *second, *mixed]

    _compare(results, backend, device, 2e-5)


def field_mlp(backend: str, device: torch.device, n: int, name: str) -> None:
    """Order 0 and order 1 with the gradients through all of their outputs."""
    spec = MLPSpec(13, **NETWORKS[name])
    x, g, params = _random(0, n, 13), _random(1, n, spec.outputs), parameters(GRIDS["plane"], spec)[1]
    v = _random(2, n, 13)

    def results(backend, device, dtype):
        a, b = _leaves(device, dtype, x, params)
        y = kernels.field_mlp(a, b, spec, backend=backend)
        first = torch.autograd.grad((y * g.to(device, dtype)).sum(), (a, b))
        jet, gradient = kernels.field_mlp(a, b, spec, order=1, backend=backend)
        objective = (jet * g.to(device, dtype)).sum() + (gradient * v.to(device, dtype)).sum()
        return [y, *first, jet, gradient, *torch.autograd.grad(objective, (a, b))]

    _compare(results, backend, device, 1e-5)


def fused_field(backend: str, device: torch.device, n: int, grid: HashGridSpec, name: str, include_input: bool, active: int | None) -> None:
    """Order 0 with all gradients, and order 1 with the gradients through both of its outputs."""
    mlp = MLPSpec(grid.out_features + (grid.dims if include_input else 0), **NETWORKS[name])
    table, params = parameters(grid, mlp)
    x, g, v = points(n, grid.dims, grid), _random(1, n, mlp.outputs), _random(2, n, grid.dims)

    def results(backend, device, dtype):
        options = dict(include_input=include_input, active_levels=active, backend=backend)
        a, b, c = _leaves(device, dtype, x, table, params)
        out = kernels.fused_field(a, b, c, grid, mlp, **options)
        first = torch.autograd.grad((out * g.to(device, dtype)).sum(), (a, b, c))
        jet, gradient = kernels.fused_field(a.detach(), b, c, grid, mlp, order=1, **options)
        objective = (jet * g.to(device, dtype)).sum() + (gradient * v.to(device, dtype)).sum()
        return [out, *first, jet, gradient, *torch.autograd.grad(objective, (b, c))]

    _compare(results, backend, device, *_field_tolerances(backend, grid, mlp, include_input))


def adam(backend: str, device: torch.device, n: int, skip_zero: bool, width: int) -> None:
    """Three steps, some rows without a gradient."""
    shape = (n, width) if width else (n,)
    values = [_random(s, *shape) for s in range(4)]

    def results(backend, device, dtype):
        param, m, v = (t.to(device, dtype).clone() for t in (values[0], values[1] * 1e-3, values[2].square() * 1e-6))
        steps = torch.zeros(n if skip_zero else 1, dtype=torch.int32, device=device)
        for step in range(3):
            grad = (values[3] * 1e-3 * (step + 1)).to(device, dtype)
            grad[step::2] = 0
            kernels.adam_step(param, grad, m, v, steps, lr=1e-2, weight_decay=1e-3, skip_zero=skip_zero, backend=backend)
        return [param, m, v, grad, steps.double()]

    _compare(results, backend, device, 1e-5)


def march(backend: str, device: torch.device, n: int, cascades: int, cone: float) -> None:
    """The samples of the reference in float32, all of them at the same places."""
    generator = torch.Generator().manual_seed(n + cascades)
    origins = torch.randn(n, 3, generator=generator) * 2
    directions = torch.nn.functional.normalize(torch.randn(n, 3, generator=generator) * 0.5 - origins, dim=1)
    near, far = torch.full((n,), 0.05), torch.full((n,), 6.0)
    if n > 3:
        origins[0], directions[0] = torch.tensor([-3.0, 0.1, 0.2]), torch.tensor([1.0, 0.0, 0.0])  # along an axis
        origins[1], directions[1] = torch.tensor([-3.0, 5.0, 0.2]), torch.tensor([1.0, 0.0, 0.0])  # past the cube
        far[2] = 0.0
    jitter = torch.rand(n, generator=generator)
    bits = torch.randint(0, 256, (cascades, 64), generator=generator) & torch.randint(0, 256, (cascades, 64), generator=generator)
    grid = OccupancyGrid(8, cascades, bits.to(torch.uint8))
    options = dict(step=0.05, cone_angle=cone, max_samples=40)
    expected = kernels.march_rays(origins, directions, near, far, grid, jitter=jitter, backend="reference", **options)
    on = [t.to(device) for t in (origins, directions, near, far)]
    actual = kernels.march_rays(*on, grid.to(device), jitter=jitter.to(device), backend=backend, **options)
    assert torch.equal(actual.offsets.cpu(), expected.offsets)
    assert torch.equal(actual.ray_indices.cpu(), expected.ray_indices)
    assert_close(actual.t.cpu(), expected.t, 1e-6)
    assert_close(actual.dt.cpu(), expected.dt, 1e-5)


def _packed(n: int) -> tuple[Tensor, int]:
    lengths = LENGTHS[:n] if n <= len(LENGTHS) else torch.randint(0, 90, (n,), generator=torch.Generator().manual_seed(n)).tolist()
    offsets = torch.tensor([0, *lengths]).cumsum(0)
    return offsets, int(offsets[-1])


def composite(backend: str, device: torch.device, n: int, form: str, channels: int, early_stop: float) -> None:
    """Values, opacity, weights, and gradients through all three; opaque, empty and very thin samples among them."""
    offsets, samples = _packed(n)
    first = _random(0, samples).abs() * (8 if form == "density" else 0.3)
    if form == "alpha":
        first = first.clamp(max=0.9)
    if samples > 30:
        first[20], first[22], first[8] = (1e5 if form == "density" else 1.0), 0.0, 1e-5
    dt, values = _random(1, samples).abs() * 0.05, _random(2, samples, channels)
    weights = [_random(3, n, channels), _random(4, n), _random(5, samples)]

    def results(backend, device, dtype):
        a, d, c = _leaves(device, dtype, first, dt, values)
        options = dict(early_stop=early_stop, backend=backend)
        at = offsets.to(device)
        out = kernels.composite(a, d, c, at, **options) if form == "density" else kernels.composite_alpha(a, c, at, **options)
        loss = sum((o * w.to(device, dtype)).sum() for o, w in zip(out, weights))
        return [*out, *torch.autograd.grad(loss, (a, d, c) if form == "density" else (a, c))]

    _compare(results, backend, device, 1e-5)


def distortion(backend: str, device: torch.device, n: int) -> None:
    """Loss and its gradient."""
    offsets, samples = _packed(n)
    weights, dt, g = _random(0, samples).abs(), _random(1, samples).abs(), _random(2, n)
    t = _random(3, samples).abs().cumsum(0)

    def results(backend, device, dtype):
        (w,) = _leaves(device, dtype, weights)
        loss = kernels.distortion_loss(w, t.to(device, dtype), dt.to(device, dtype), offsets.to(device), backend=backend)
        return [loss, *torch.autograd.grad((loss * g.to(device, dtype)).sum(), w)]

    _compare(results, backend, device, 1e-4)


def laplace(backend: str, device: torch.device, n: int, per_sample: bool) -> None:
    """Density and gradients, at distance 0 too."""
    sdf, g = _random(0, n) * 0.2, _random(2, n)
    sdf[: n // 8] = 0
    beta = _random(1, n).abs() * 0.1 + 0.05 if per_sample else torch.tensor(0.07, dtype=torch.float64)

    def results(backend, device, dtype):
        a, b = _leaves(device, dtype, sdf, beta)
        y = kernels.laplace_density(a, b, backend=backend)
        return [y, *torch.autograd.grad((y * g.to(device, dtype)).sum(), (a, b))]

    _compare(results, backend, device, 1e-5)


def bound(backend: str, device: torch.device, n: int, per_ray: bool) -> None:
    """Interval bounds, ray bounds and the smallest beta."""
    offsets, samples = _packed(n)
    sdf, t = _random(0, samples) * 0.2, _random(1, samples).abs().cumsum(0) * 0.02
    beta = _random(2, n).abs() * 0.2 + 0.2 if per_ray else torch.tensor(0.3, dtype=torch.float64)

    def results(backend, device, dtype):
        packed = sdf.to(device, dtype), t.to(device, dtype), offsets.to(device), beta.to(device, dtype)
        errors = kernels.opacity_error(*packed, backend=backend)
        return [errors, kernels.error_bound(*packed, backend=backend), kernels.solve_beta(*packed, 0.1, backend=backend)]

    _compare(results, backend, device, 1e-3)  # bisection takes the other half where a bound is within rounding of epsilon


def sample_pdf(backend: str, device: torch.device, n: int) -> None:
    """Samples of random weights, and of none; NaN for rays without points."""
    offsets, samples = _packed(n)
    bins, weights = _random(0, samples).abs().cumsum(0) * 0.1, _random(1, samples).abs()
    if n > 4:
        weights[int(offsets[4]) : int(offsets[5])] = 0
    u = _random(2, n, 9).abs().clamp(max=1)
    u[:, 0] = 0

    def results(backend, device, dtype):
        tensors = (t.to(device, dtype) for t in (bins, weights, u))
        out = kernels.sample_pdf(*tensors, offsets.to(device), backend=backend)
        return [out.isnan().double(), out.nan_to_num()]

    _compare(results, backend, device, 1e-5)


def rbf_encode(
    backend: str, device: torch.device, n: int, dims: int, kernel: str, width: int, normalize: bool, taper: bool, waves: bool
) -> None:
    """Value, gradients, and the gradients of the gradient to x; missing neighbours among the points."""
    functions, channels, columns = 25, 5, 4
    generator = torch.Generator().manual_seed(0)
    x, centers, shapes = (
        torch.rand(s, generator=generator, dtype=torch.float64) for s in ((n, dims), (functions, dims), (functions, width))
    )
    shapes = shapes * 0.3 + (0.0 if width > dims else 1.0)
    if width > dims:
        shapes[:, [0, 2] if dims == 2 else [0, 3, 5]] += 1.5  # the diagonal: positive definite
    neighbors = kernels.knn(centers, x, columns, backend="reference")[0]
    if n > 4:
        neighbors[3, 2], neighbors[4] = -1, -1
    weights, g, v = _random(1, functions, channels), _random(2, n, channels), _random(3, n, dims)
    frequencies = torch.rand(channels, generator=generator, dtype=torch.float64) * 6 if waves else None

    def results(backend, device, dtype):
        inputs = _leaves(device, dtype, x, centers, shapes, weights, g)
        options = dict(kernel=kernel, normalize=normalize, taper=taper, backend=backend)
        y = kernels.rbf_encode(
            *inputs[:4], neighbors.to(device), frequencies=None if frequencies is None else frequencies.to(device, dtype), **options
        )
        first = torch.autograd.grad((y * inputs[4]).sum(), inputs[:4], create_graph=True)
        second = torch.autograd.grad((first[0] * v.to(device, dtype)).sum(), inputs, allow_unused=True)
        return [y, *first, *(torch.zeros_like(t) if s is None else s for s, t in zip(second, inputs))]

    _compare(results, backend, device, 1e-4)


def rbf_layer(backend: str, device: torch.device, n: int, width: int, neurons: int, outputs: int) -> None:
    """Value, gradients, and the gradients of the gradient to the features."""
    log_betas = _random(1, neurons, width) * 0.5 - torch.log(torch.tensor(float(width)))
    inputs = (_random(0, n, width), _random(2, neurons, width), log_betas, _random(3, outputs, neurons), _random(4, outputs))
    g, v = _random(5, n, outputs), _random(6, n, width)

    def results(backend, device, dtype):
        leaves = _leaves(device, dtype, *inputs, g)
        y = kernels.rbf_layer(*leaves[:5], backend=backend)
        first = torch.autograd.grad((y * leaves[5]).sum(), leaves[:5], create_graph=True)
        second = torch.autograd.grad((first[0] * v.to(device, dtype)).sum(), leaves, allow_unused=True)
        return [y, *first, *(torch.zeros_like(t) if s is None else s for s, t in zip(second, leaves))]

    _compare(results, backend, device, 3e-5)


def occupancy(backend: str, device: torch.device, n: int, cascades: int) -> None:
    """Bits, and the running maximum of all and of some cells: repeated and invisible ones, NaN, infinity and negative values among them."""
    generator = torch.Generator().manual_seed(n)
    values = torch.rand(cascades, 512, generator=generator)
    values[:, :20], values[0, 20], values[0, 21] = -1.0, 0.0, -0.0
    fresh = torch.randn(cascades * 512, generator=generator)
    fresh[0], fresh[30], fresh[31] = 2.0, float("nan"), float("inf")
    indices = torch.randint(0, cascades * 512, (n,), generator=generator)
    indices[: n // 4] = 40
    some = torch.randn(n, generator=generator)
    if n > 3:
        indices[:3], some[0], some[2], some[3] = torch.tensor([5, 20, 21]), 3.0, 0.5, float("nan")

    def results(backend, device, dtype):
        running = values.to(device, dtype).clone()
        kernels.decay_occupancy(running, fresh.to(device, dtype).view(cascades, 512), decay=0.75, backend=backend)
        whole = running.clone()
        kernels.decay_occupancy(running, some.to(device, dtype), indices.to(device), decay=0.5, backend=backend)
        grid = OccupancyGrid.full(8, cascades, device=device)
        kernels.update_occupancy(grid, running, 0.25, backend=backend)
        return [t.nan_to_num(posinf=1e3).double() for t in (whole, running, grid.bitfield)]

    _compare(results, backend, device, 1e-6)


def seen(backend: str, device: torch.device, n: int, cascade: int) -> None:
    """What n cameras see, but for cells within rounding of a plane of a frustum."""
    generator = torch.Generator().manual_seed(n)
    rotations = torch.linalg.qr(torch.randn(n, 3, 3, generator=generator, dtype=torch.float64))[0]
    poses = torch.cat([rotations, torch.randn(n, 3, 1, generator=generator, dtype=torch.float64)], 2)
    k = torch.tensor([[30.0, 0, 15], [0, 30, 12], [0, 0, 1]]).expand(n, 3, 3)
    size = torch.tensor([[32.0, 24.0]]).expand(n, 2)
    grid = OccupancyGrid.full(8, 3)
    few = [t[:2] for t in (k, poses, size)]
    for cameras in (few, (k, poses, size)):
        expected = kernels.cells_seen(grid, *cameras, 0.2, cascade, backend="reference")
        on = (t.to(device) for t in cameras)
        actual = kernels.cells_seen(grid.to(device), *on, 0.2, cascade, backend=backend).cpu()
        assert int((actual != expected).sum()) <= 1


def knn(backend: str, device: torch.device, n: int, dims: int) -> None:
    """Distances of the nearest points of n queries, and that the indices are theirs; clustered and repeated points among them."""
    generator = torch.Generator().manual_seed(dims)
    points = torch.rand(300, dims, generator=generator)
    points[100:250] = points[0] + points[100:250] * 1e-3
    points[250:270] = points[1]
    queries = torch.rand(n, dims, generator=generator)
    for cloud in (points, points[:5], points[:0]):
        expected = kernels.knn(cloud.double(), queries.double(), 8, backend="reference")[1]
        index = kernels.ops.knn.knn_index(cloud.to(device), backend=backend)
        indices, squared = (t.cpu() for t in kernels.knn(index, queries.to(device), 8, backend=backend))
        torch.testing.assert_close(squared.double(), expected, rtol=1e-5, atol=1e-7)
        found = indices >= 0
        assert torch.equal(found, torch.isfinite(expected))
        if len(cloud):
            own = (queries[:, None] - cloud[indices.clamp_min(0).long()]).square().sum(-1)
            torch.testing.assert_close(own[found], squared[found], rtol=1e-5, atol=1e-7)


def cases() -> Iterator[tuple[str, Run]]:
    """(name, function of backend, device, size) of every case."""

    def bind(function: Callable[..., None], *arguments) -> Run:
        return lambda backend, device, n: function(backend, device, n, *arguments)

    for name, grid in GRIDS.items():
        yield f"hash_encode-{name}", bind(hash_encode, grid, None)
    yield "hash_encode-active", bind(hash_encode, GRIDS["dense_and_hashed"], 3)
    for name in NETWORKS:
        yield f"field_mlp-{name}", bind(field_mlp, name)
    for name, (grid, network, include, active) in {
        "softplus": ("smoothstep", "softplus", True, None),
        "linear_relu": ("dense_and_hashed", "relu", False, 2),
        "plane": ("plane_smooth", "sigmoid_all", True, None),
        "affine": ("four_features", "affine", False, None),
        "tensor": ("dense_and_hashed", "tensor", True, None),
    }.items():
        yield f"fused_field-{name}", bind(fused_field, GRIDS[grid], network, include, active)
    for skip_zero, width in product((False, True), (0, 3)):
        yield f"adam-{skip_zero}-{width}", bind(adam, skip_zero, width)
    for cascades, cone in ((1, 0.0), (3, 0.0), (3, 0.02)):
        yield f"march-{cascades}-{cone}", bind(march, cascades, cone)
    for form, channels, early_stop in (("density", 3, 0.0), ("density", 5, 1e-2), ("alpha", 4, 0.0), ("alpha", 1, 1e-2)):
        yield f"composite-{form}-{early_stop}", bind(composite, form, channels, early_stop)
    yield "distortion", distortion
    for flag in (False, True):
        yield f"laplace-{flag}", bind(laplace, flag)
        yield f"bound-{flag}", bind(bound, flag)
    yield "sample_pdf", sample_pdf
    for shape in ((18, 9, 20), (3, 5, 1), (32, 16, 3)):
        yield f"rbf_layer-{shape[0]}", bind(rbf_layer, *shape)
    for cascades in (1, 3):
        yield f"occupancy-{cascades}", bind(occupancy, cascades)
        yield f"seen-{cascades}", bind(seen, cascades - 1)
    for dims in (2, 3):
        yield f"knn-{dims}", bind(knn, dims)
    for dims, kernel, width, normalize, taper, waves in (
        (2, "iq", 3, True, False, True),
        (3, "iq", 6, True, True, True),
        (3, "gauss", 3, False, True, False),
        (2, "hat", 2, True, False, True),
    ):
        yield f"rbf_encode-{dims}-{kernel}", bind(rbf_encode, dims, kernel, width, normalize, taper, waves)


CASES: dict[str, Run] = dict(cases())
