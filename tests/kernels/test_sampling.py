import numpy as np
import pytest
import torch
from packed_cases import backend_params, generator, packed_offsets, random_offsets

import kernels
from kernels import ArgumentError

BACKENDS = backend_params("sample_pdf")


def case(rays, longest, samples, seed, dtype):
    g = generator(seed)
    offsets = random_offsets(rays, longest, g)
    n = int(offsets[-1])
    bins = torch.cat([torch.zeros(0)] + [torch.rand(int(m), generator=g).sort().values * 3 for m in offsets.diff()]).to(dtype)
    weights = torch.rand(n, generator=g).to(dtype)
    u = torch.rand(rays, samples, generator=g).sort(1).values.to(dtype)
    return bins, weights, u, offsets


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_equals_interpolated_cdf(dtype, backend):
    bins, weights, u, offsets = case(60, 12, 33, 0, dtype)
    got = kernels.sample_pdf(bins, weights, u, offsets, backend=backend)
    for r in range(60):
        x, w = (a[offsets[r] : offsets[r + 1]].double().numpy() for a in (bins, weights))
        if len(x) < 2:
            assert bool(torch.isnan(got[r]).all()) if len(x) == 0 else bool((got[r] == bins[offsets[r]]).all())
            continue
        cdf = np.concatenate([[0], np.cumsum(w[:-1])])
        expected = np.interp(u[r].double().numpy() * cdf[-1], cdf, x)
        assert np.allclose(got[r].double().numpy(), expected, atol=2e-5 if dtype == torch.float32 else 1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("holes", [0.0, 0.6, 1.0])
def test_sorted_inside_and_never_in_a_hole(holes, backend):
    bins, weights, u, offsets = case(200, 20, 64, 1, torch.float32)
    weights = torch.where(torch.rand(weights.shape, generator=generator(2)) < holes, 0.0, weights)
    u[:, 0], u[:, -1] = 0.0, 1.0
    got = kernels.sample_pdf(bins, weights, u, offsets, backend=backend)
    for r in range(200):
        x, w = bins[offsets[r] : offsets[r + 1]], weights[offsets[r] : offsets[r + 1]][:-1]
        if len(x) < 2:
            continue
        assert bool((got[r].diff() >= 0).all())
        assert bool((got[r] >= x[0]).all() and (got[r] <= x[-1]).all())
        if float(w.sum()) > 0:
            k = torch.searchsorted(x, got[r, 1:-1].contiguous(), right=True).clamp(1, len(x) - 1) - 1
            strictly = (got[r, 1:-1] > x[k]) & (got[r, 1:-1] < x[k + 1])
            assert bool((w[k[strictly]] > 0).all())
        else:
            assert torch.allclose(got[r], x[0] + u[r] * (x[-1] - x[0]), atol=1e-5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_empty(backend):
    assert kernels.sample_pdf(torch.zeros(0), torch.zeros(0), torch.zeros(0, 5), packed_offsets(), backend=backend).shape == (0, 5)
    assert kernels.sample_pdf(torch.zeros(2), torch.ones(2), torch.zeros(1, 0), packed_offsets(2), backend=backend).shape == (1, 0)
    assert bool(
        torch.isnan(kernels.sample_pdf(torch.zeros(0), torch.zeros(0), torch.zeros(1, 2), packed_offsets(0), backend=backend)).all()
    )


@pytest.mark.parametrize(
    ("weights", "u", "match"),
    [
        (torch.tensor([-1.0, 1]), torch.rand(1, 3), "negative"),
        (torch.ones(2), torch.full((1, 3), 1.5), "u must be"),
        (torch.ones(2), torch.rand(2, 3), "entries"),
    ],
)
def test_bad_arguments(weights, u, match):
    with pytest.raises(ArgumentError, match=match):
        kernels.sample_pdf(torch.tensor([0.0, 1]), weights, u, packed_offsets(2))
