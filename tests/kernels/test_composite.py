import math

import pytest
import torch
from packed_cases import backend_params, generator, packed_offsets, random_offsets

import kernels
from kernels import ArgumentError

DENSITY = backend_params("composite")
ALPHA = backend_params("composite_alpha")
DISTORTION = backend_params("distortion_loss")


def loop(alpha, channels, offsets, early_stop):
    """Float64, one sample at a time."""
    rays, c = len(offsets) - 1, channels.shape[1]
    values, opacity, weights = torch.zeros(rays, c).double(), torch.zeros(rays).double(), torch.zeros(len(alpha)).double()
    for r in range(rays):
        transmittance = 1.0
        for i in range(offsets[r], offsets[r + 1]):
            if transmittance < early_stop:
                break
            weights[i] = transmittance * alpha[i]
            values[r] += weights[i] * channels[i]
            opacity[r] += weights[i]
            transmittance *= 1 - float(alpha[i])
    return values, opacity, weights


def case(rays, longest, channels, seed, dtype=torch.float64, scale=5.0):
    g = generator(seed)
    offsets = random_offsets(rays, longest, g)
    n = int(offsets[-1])
    density = (torch.rand(n, generator=g, dtype=torch.float64) * scale).to(dtype)
    dt = (torch.rand(n, generator=g, dtype=torch.float64) * 0.1 + 0.01).to(dtype)
    return density, dt, torch.randn(n, channels, generator=g, dtype=torch.float64).to(dtype), offsets


@pytest.mark.parametrize("backend", DENSITY)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("channels", "early_stop"), [(0, 0.0), (1, 0.0), (3, 0.0), (4, 0.3), (9, 1e-4), (20, 0.0)])
def test_density_form_equals_loop(channels, early_stop, dtype, backend):
    density, dt, c, offsets = case(40, 30, channels, 0, dtype)
    got = kernels.composite(density, dt, c, offsets, early_stop=early_stop, backend=backend)
    expected = loop(1 - torch.exp(-density.double() * dt.double()), c.double(), offsets, early_stop)
    for a, b in zip(got, expected):
        assert a.dtype == dtype
        assert torch.allclose(a.double(), b, rtol=0, atol=3e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("backend", ALPHA)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("channels", "early_stop"), [(3, 0.0), (4, 0.3), (17, 0.0)])
def test_alpha_form_equals_loop(channels, early_stop, dtype, backend):
    density, _, c, offsets = case(40, 30, channels, 1, dtype, scale=1.0)
    density[::7] = 1.0
    got = kernels.composite_alpha(density, c, offsets, early_stop=early_stop, backend=backend)
    for a, b in zip(got, loop(density.double(), c.double(), offsets, early_stop)):
        assert torch.allclose(a.double(), b, rtol=0, atol=3e-6 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("backend", DENSITY)
@pytest.mark.parametrize("early_stop", [0.0, 0.5])
def test_density_gradcheck(early_stop, backend):
    density, dt, c, offsets = case(6, 5, 2, 2)
    inputs = [x.requires_grad_() for x in (density, dt, c)]
    assert torch.autograd.gradcheck(lambda d, t, x: kernels.composite(d, t, x, offsets, early_stop=early_stop, backend=backend), inputs)


@pytest.mark.parametrize("backend", ALPHA)
def test_alpha_gradcheck_with_opaque_samples(backend):
    g = generator(3)
    offsets = packed_offsets(4, 0, 1, 5)
    alpha = torch.rand(10, generator=g, dtype=torch.float64)
    alpha[[1, 4, 7]] = torch.tensor([1.0, 1.0, 0.0], dtype=torch.float64)
    c = torch.randn(10, 3, generator=g, dtype=torch.float64)
    inputs = [alpha.requires_grad_(), c.requires_grad_()]
    assert torch.autograd.gradcheck(lambda a, x: kernels.composite_alpha(a, x, offsets, backend=backend), inputs)


@pytest.mark.parametrize("backend", DENSITY)
def test_gradients_of_some_outputs_and_inputs_only(backend):
    density, dt, c, offsets = case(10, 8, 3, 4)
    full = density.clone().requires_grad_()
    _, opacity, _ = kernels.composite(full, dt, c, offsets, backend="reference")
    (expected,) = torch.autograd.grad(opacity.square().sum(), full)
    one = density.clone().requires_grad_()
    (got,) = torch.autograd.grad(kernels.composite(one, dt, c, offsets, backend=backend)[1].square().sum(), one)
    assert torch.allclose(got, expected, atol=1e-12)
    color = c.clone().requires_grad_()
    values, _, weights = kernels.composite(density, dt, color, offsets, backend=backend)
    (got,) = torch.autograd.grad(values.sum(), color)
    assert torch.allclose(got, weights[:, None].expand_as(c), atol=1e-12)


@pytest.mark.parametrize("backend", DENSITY)
def test_extremes(backend):
    """Zero density, density so high that one sample is opaque, an empty ray, a ray of 1024 samples."""
    offsets = packed_offsets(3, 0, 3, 1, 1024)
    density = torch.cat([torch.zeros(3), torch.tensor([0.0, 1e4, 1e4]), torch.tensor([1e30]), torch.full((1024,), 2.0)]).requires_grad_()
    dt = torch.cat([torch.full((7,), 0.1), torch.full((1024,), 1e-3)])
    values, opacity, weights = kernels.composite(density, dt, torch.ones(1031, 1), offsets, backend=backend)
    assert torch.allclose(opacity, torch.tensor([0.0, 0.0, 1.0, 1.0, 1 - math.exp(-2.048)]), atol=2e-6)
    assert torch.equal(values[1], torch.zeros(1))
    assert weights[3:6].tolist() == [0.0, 1.0, 0.0]
    values.sum().backward()
    assert bool(torch.isfinite(density.grad).all())
    assert torch.allclose(density.grad[:3], torch.full((3,), 0.1))  # d opacity / d density = dt T_f
    assert torch.allclose(density.grad[7:], torch.full((1024,), 1e-3 * math.exp(-2.048)), rtol=1e-5)


@pytest.mark.parametrize("backend", DENSITY)
@pytest.mark.parametrize("scale", [5.0, 50.0, 200.0])
def test_float32_gradient_does_not_cancel(scale, backend):
    """200 samples a ray, most of them behind an opaque front: the front's gradients keep 4 digits."""
    g = generator(5)
    offsets = torch.arange(0, 51 * 200, 200)
    density, dt = torch.rand(10000, generator=g) * scale, torch.full((10000,), 0.02)
    c = torch.rand(10000, 3, generator=g)

    def gradient(dtype, name):
        d = density.detach().to(dtype, copy=True).requires_grad_()
        values, _, _ = kernels.composite(d, dt.to(dtype), c.to(dtype), offsets, backend=name)
        values.sum().backward()
        return d.grad.double()

    exact = gradient(torch.float64, "reference")
    got = gradient(torch.float32, backend)
    transmittance = torch.exp(-(density.double() * 0.02).view(50, 200).cumsum(1)).view(-1)
    front = transmittance > 1e-4
    worst = ((got - exact).abs() / exact.abs().clamp_min(1e-7))[front].view(-1)
    assert float(worst.median()) < 1e-5
    assert float(((got - exact).abs()[front] / (0.02 * transmittance[front])).max()) < 1e-3


@pytest.mark.parametrize("backend", DENSITY)
def test_early_stop_takes_weight_and_gradient(backend):
    offsets = packed_offsets(4)
    density = torch.tensor([1.0, 10.0, 3.0, 2.0], requires_grad=True)
    _, opacity, weights = kernels.composite(density, torch.ones(4), torch.ones(4, 1), offsets, early_stop=1e-3, backend=backend)
    assert weights[2:].tolist() == [0.0, 0.0]
    assert weights[1] > 0
    opacity.sum().backward()
    assert density.grad[2:].tolist() == [0.0, 0.0]
    assert density.grad[0] != 0


@pytest.mark.parametrize("backend", DISTORTION)
def test_distortion_equals_double_sum_and_gradcheck(backend):
    weights, dt, _, offsets = case(8, 7, 1, 6)
    t = torch.rand(len(dt), generator=generator(7), dtype=torch.float64)
    for r in range(8):
        part = slice(int(offsets[r]), int(offsets[r + 1]))
        t[part] = t[part].sort().values + 3
    got = kernels.distortion_loss(weights, t, dt, offsets, backend=backend)
    for r in range(8):
        part = slice(int(offsets[r]), int(offsets[r + 1]))
        w, x, d = weights[part], t[part], dt[part]
        expected = (w[:, None] * w * (x[:, None] - x).abs()).sum() + (w * w * d).sum() / 3
        assert float(got[r]) == pytest.approx(float(expected), abs=1e-12)
    assert torch.autograd.gradcheck(lambda w: kernels.distortion_loss(w, t, dt, offsets, backend=backend), [weights.requires_grad_()])


@pytest.mark.parametrize("backend", DENSITY)
def test_distortion_through_weights(backend):
    """The loss on the weights reaches the density, on every backend the same."""
    density, dt, c, offsets = case(12, 9, 3, 8)
    t = torch.cat([x.cumsum(0) for x in dt.split(offsets.diff().tolist())])

    def gradient(name):
        d = density.clone().requires_grad_()
        values, _, weights = kernels.composite(d, dt, c, offsets, backend=name)
        (values.square().sum() + kernels.distortion_loss(weights, t, dt, offsets, backend=name).sum()).backward()
        return d.grad

    assert torch.allclose(gradient(backend), gradient("reference"), atol=1e-12)


@pytest.mark.parametrize("backend", DENSITY)
@pytest.mark.parametrize("rays", [0, 1, 7])
def test_nothing_to_composite(rays, backend):
    empty = torch.zeros(0, requires_grad=True)
    values, opacity, weights = kernels.composite(
        empty, torch.zeros(0), torch.zeros(0, 3), torch.zeros(rays + 1, dtype=torch.int64), backend=backend
    )
    assert (values.shape, opacity.shape, weights.shape) == ((rays, 3), (rays,), (0,))
    assert float(values.detach().sum()) == 0.0
    values.sum().backward()


@pytest.mark.parametrize("backend", DENSITY)
def test_non_contiguous_and_deterministic(backend):
    density, dt, c, offsets = case(300, 40, 6, 9, torch.float32)
    wide = torch.stack([density, density], 1)
    threads = torch.get_num_threads()
    results = []
    try:
        for count, args in ((1, (density, dt, c[:, ::2].contiguous())), (2, (wide[:, 1], dt, c[:, ::2]))):
            torch.set_num_threads(count)
            leaf = args[0].clone().requires_grad_()
            out = kernels.composite(leaf, *args[1:], offsets, backend=backend)
            out[0].square().sum().backward()
            results.append((*out, leaf.grad))
    finally:
        torch.set_num_threads(threads)
    if backend == "reference":
        return  # torch's own reductions may differ by the number of threads
    for a, b in zip(*results):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"dt": torch.ones(3)}, "dt must have shape"),
        ({"density": torch.ones(4, dtype=torch.int64)}, "density must be float32"),
        ({"channels": torch.ones(4)}, "channels must have shape"),
        ({"channels": torch.ones(4, 3).double()}, "agree"),
        ({"offsets": torch.tensor([0, 3])}, "offsets must rise"),
        ({"offsets": torch.tensor([0, 5, 4])}, "offsets must rise"),
        ({"offsets": torch.tensor([0, 4], dtype=torch.int32)}, "int64"),
        ({"early_stop": 1.0}, "early_stop"),
    ],
)
def test_bad_arguments(change, match):
    args = {"density": torch.ones(4), "dt": torch.ones(4), "channels": torch.ones(4, 3), "offsets": torch.tensor([0, 4])}
    with pytest.raises(ArgumentError, match=match):
        kernels.composite(**{**args, **change})
