import math

import pytest
import torch
from packed_cases import backend_params, generator, packed_offsets

import kernels
from kernels import ArgumentError

DENSITY = backend_params("laplace_density")
BOUND = backend_params("error_bound")


@pytest.mark.parametrize("backend", DENSITY)
@pytest.mark.parametrize("beta", [1e-3, 0.1, 2.0])
def test_values_on_and_far_from_the_surface(beta, backend):
    sdf = torch.tensor([0.0, -50 * beta, beta, 2 * beta, -beta, 1e4], dtype=torch.float64)
    got = kernels.laplace_density(sdf, torch.tensor(beta, dtype=torch.float64), backend=backend) * beta
    expected = [0.5, 1.0, 0.5 / math.e, 0.5 / math.e**2, 1 - 0.5 / math.e, 0.0]
    assert torch.allclose(got, torch.tensor(expected, dtype=torch.float64), atol=1e-15)


@pytest.mark.parametrize("backend", DENSITY)
@pytest.mark.parametrize("per_point", [False, True])
def test_gradcheck(per_point, backend):
    g = generator(0)
    sdf = torch.randn(12, generator=g, dtype=torch.float64) * 0.3
    beta = torch.rand(12, generator=g, dtype=torch.float64) + 0.1 if per_point else torch.tensor(0.2, dtype=torch.float64)
    inputs = [sdf.requires_grad_(), beta.requires_grad_()]
    assert torch.autograd.gradcheck(lambda s, b: kernels.laplace_density(s, b, backend=backend), inputs)


@pytest.mark.parametrize("backend", DENSITY)
def test_gradient_on_the_surface(backend):
    sdf = torch.zeros(3, requires_grad=True)
    kernels.laplace_density(sdf, torch.tensor(0.1), backend=backend).sum().backward()
    assert torch.allclose(sdf.grad, torch.full((3,), -1 / (2 * 0.1**2)))


@pytest.mark.parametrize("backend", DENSITY)
@pytest.mark.parametrize("n", [0, 1, 1001])
def test_float32_and_sizes(n, backend):
    sdf = torch.randn(n, generator=generator(1)) * 0.2
    beta = torch.tensor(0.05)

    def run(dtype, name):
        s, b = (x.detach().to(dtype, copy=True).requires_grad_() for x in (sdf, beta))
        out = kernels.laplace_density(s, b, backend=name)
        out.square().sum().backward()
        return out.detach().double(), s.grad.double(), b.grad.double()

    for a, b in zip(run(torch.float32, backend), run(torch.float64, "reference")):
        assert torch.allclose(a, b, rtol=3e-5, atol=1e-6)


@pytest.mark.parametrize(("length", "expected"), [(6.0, 0.862283), (3.0, 0.431141)])
def test_lemma_2(length, expected):
    t = torch.linspace(0, length, 128, dtype=torch.float64)
    beta = kernels.bound_beta(torch.cat([t, t[:1]]), packed_offsets(128, 0, 1), 0.1)
    assert beta.tolist() == pytest.approx([expected, 0.0, 0.0], abs=5e-7)


def sphere(p):
    return p.norm(dim=-1) - 0.6


def box(p):
    q = p.abs() - torch.tensor([0.5, 0.4, 0.3], dtype=p.dtype)
    return q.clamp_min(0).norm(dim=-1) + q.amax(-1).clamp_max(0)


def true_error(shape, o, d, t, beta, fine):
    """Largest opacity error of the left-endpoint rule on each ray [R], t [R, n]; exact opacity by the midpoint rule between samples."""
    u = (torch.arange(fine, dtype=t.dtype) + 0.5) / fine
    delta = t.diff(dim=1)
    x = t[:, :-1, None] + delta[..., None] * u
    density = lambda s: kernels.laplace_density(s.reshape(-1), beta, backend="reference").reshape(s.shape)  # noqa: E731
    sigma = density(shape(o[:, None, None] + x[..., None] * d[:, None, None]))
    exact = (sigma * delta[..., None] / fine).flatten(1).cumsum(1)
    left = density(shape(o[:, None] + t[:, :-1, None] * d[:, None]))
    rule = (left[..., None] * (delta[..., None] / fine).expand(-1, -1, fine)).flatten(1).cumsum(1)
    return (torch.exp(-exact) - torch.exp(-rule)).abs().amax(1)


@pytest.mark.parametrize("shape", [sphere, box])
@pytest.mark.parametrize("backend", BOUND)
def test_bound_holds_on_random_rays(shape, backend):
    g = generator(2)
    rays, n = 10000, 24
    o = torch.nn.functional.normalize(torch.randn(rays, 3, generator=g, dtype=torch.float64), dim=-1) * 1.2
    aim = torch.randn(rays, 3, generator=g, dtype=torch.float64) * 0.4
    d = torch.nn.functional.normalize(aim - o, dim=-1)
    t = (torch.rand(rays, n, generator=g, dtype=torch.float64) * 2.4).sort(1).values
    offsets = torch.arange(0, rays * n + 1, n)
    tight = 0
    for beta in (0.02, 0.1, 0.4):
        b = torch.tensor(beta, dtype=torch.float64)
        sdf = shape(o[:, None] + t[..., None] * d[:, None]).reshape(-1)
        bound = kernels.error_bound(sdf, t.reshape(-1), offsets, b, backend=backend)
        error = true_error(shape, o, d, t, b, 24)
        assert bool((error <= bound + 2e-3).all())  # 2e-3: the midpoint rule's own error at the smallest beta
        assert float((error - bound).max()) < 2e-3
        tight += int((bound < 0.5).sum())
    assert tight > rays // 4  # and the bound says something


@pytest.mark.parametrize("backend", BOUND)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_bound_equals_its_formula(dtype, backend):
    """One ray, written out in plain Python."""
    g = generator(3)
    t = torch.rand(20, generator=g, dtype=torch.float64).sort().values * 2
    f = torch.cos(3 * t) * 0.3
    beta = 0.15
    depth = error = worst = 0.0
    for k in range(19):
        a, b, c = float(t[k + 1] - t[k]), abs(float(f[k])), abs(float(f[k + 1]))
        if f[k] * f[k + 1] <= 0 or b + c <= a:
            distance = 0.0 if f[k] * f[k + 1] <= 0 or (a * a + b * b > c * c and a * a + c * c > b * b) else min(b, c)
        elif a * a + b * b <= c * c:
            distance = b
        elif a * a + c * c <= b * b:
            distance = c
        else:
            s = (a + b + c) / 2
            distance = 2 * math.sqrt(s * (s - a) * (s - b) * (s - c)) / a
        error += a * a * math.exp(-distance / beta) / (4 * beta * beta)
        worst = max(worst, math.exp(-depth) * (math.exp(error) - 1))
        density = (0.5 * math.exp(-f[k] / beta) if f[k] >= 0 else 1 - 0.5 * math.exp(f[k] / beta)) / beta
        depth += density * a
    args = (f.to(dtype), t.to(dtype), packed_offsets(20))
    got = kernels.error_bound(*args, torch.tensor(beta, dtype=dtype), backend=backend)
    assert float(got) == pytest.approx(worst, rel=1e-4 if dtype == torch.float32 else 1e-9)
    each = kernels.opacity_error(*args, torch.tensor([beta], dtype=dtype), backend=backend)
    assert float(each.max()) == pytest.approx(worst, rel=1e-4 if dtype == torch.float32 else 1e-9)
    assert float(each[-1]) == 0.0


@pytest.mark.parametrize("backend", BOUND)
def test_bound_on_degenerate_rays(backend):
    """No samples, one sample, samples on top of each other, a bound that would overflow."""
    offsets = packed_offsets(0, 1, 3, 2)
    sdf = torch.tensor([0.1, 0.2, 0.2, 0.2, 0.0, 0.0])
    t = torch.tensor([1.0, 2.0, 2.0, 2.0, 0.0, 6.0])
    bound = kernels.error_bound(sdf, t, offsets, torch.tensor(1e-3), backend=backend)
    assert bound[:3].tolist() == [0.0, 0.0, 0.0]
    assert float(bound[3]) == pytest.approx(1e6, rel=1e-3)


@pytest.mark.parametrize("backend", backend_params("solve_beta"))
def test_solved_beta_meets_the_bound_and_is_nearly_smallest(backend):
    g = generator(4)
    rays, n, epsilon = 500, 64, 0.1
    t = (torch.rand(rays, n, generator=g, dtype=torch.float64) * 3).sort(1).values
    sdf = (
        (t - 1 - torch.rand(rays, 1, generator=g, dtype=torch.float64)).abs() - 0.2 + torch.rand(rays, 1, generator=g).double() * 0.4
    ).reshape(-1)
    offsets = torch.arange(0, rays * n + 1, n)
    beta0 = torch.tensor(0.01, dtype=torch.float64)
    beta = kernels.solve_beta(sdf, t.reshape(-1), offsets, beta0, epsilon, iterations=20, backend=backend)
    bound = lambda b: kernels.error_bound(sdf, t.reshape(-1), offsets, b, backend="reference")  # noqa: E731
    assert bool((bound(beta) <= epsilon * (1 + 1e-9)).all())
    assert bool((beta >= beta0).all())
    converged = bound(beta0.expand(rays)) <= epsilon
    assert torch.equal(converged, beta == beta0)
    assert 0 < int(converged.sum()) < rays
    assert bool((bound(beta * 0.99)[~converged] > epsilon).all())
    assert torch.allclose(
        beta, kernels.solve_beta(sdf, t.reshape(-1), offsets, beta0, epsilon, iterations=20, backend="reference"), rtol=1e-9
    )


def test_bad_arguments():
    one = torch.ones(2)
    with pytest.raises(ArgumentError, match="beta must be positive"):
        kernels.laplace_density(one, torch.tensor(0.0))
    with pytest.raises(ArgumentError, match=r"beta must be torch\.float32"):
        kernels.error_bound(one, one, packed_offsets(2), torch.ones(2))
    with pytest.raises(ArgumentError, match="epsilon"):
        kernels.solve_beta(one, one, packed_offsets(2), torch.tensor(0.1), 0.0)
