"""The CUDA kernels compiled by the host's compiler, a block's threads taking turns, against the reference.

The text is the one that NVRTC gets, so bodies, indexing, the order of arguments and what threads do together are checked; the launch
itself and races between blocks are not.
"""

from __future__ import annotations

from importlib.util import find_spec

import gpu_cases
import pytest
import stereo_cases
import torch
from cuda_host import COMPILER, ORDERS, on_the_host

from kernels import OccupancyGrid

CASES = {**gpu_cases.CASES, **stereo_cases.CASES}

pytestmark = [
    pytest.mark.skipif(find_spec("cuda") is None or find_spec("cuda.core") is None, reason="cuda-core is not installed"),
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler"),
]


@pytest.fixture(scope="module")
def host_cuda(tmp_path_factory):
    """The cuda backend runs on CPU tensors while the module's tests last."""
    from warp_host import Emulator

    warps = Emulator(tmp_path_factory.mktemp("warps"), str(COMPILER), "permuted")
    with on_the_host(tmp_path_factory.mktemp("cuda_host"), field_mma=warps.launch) as host:
        yield host


def _size(name: str) -> int:
    return {"composite": 8, "distortion": 8, "bound": 8, "sample_pdf": 8, "march": 60}.get(name.split("-")[0], 37)


@pytest.mark.parametrize("name", CASES)
def test_matches_the_reference(name, host_cuda):
    CASES[name]("cuda", torch.device("cpu"), _size(name))


@pytest.mark.parametrize("order", range(1, len(ORDERS)), ids=ORDERS[1:])
@pytest.mark.parametrize("name", ["composite-density-0.0", "composite-alpha-0.01", "distortion", "rbf_layer-18", "patch_agreement-3"])
def test_whose_turn_it_is_does_not_matter(name, order, host_cuda, monkeypatch):
    from kernels.backends.cuda import rbf_layer

    monkeypatch.setattr(host_cuda, "order", order)
    monkeypatch.setattr(rbf_layer, "BLOCKS", 1)  # that a block goes through its samples in several turns
    CASES[name]("cuda", torch.device("cpu"), 2 * _size(name))


@pytest.mark.parametrize(
    "name",
    [
        "hash_encode-plane",
        "field_mlp-relu",
        "fused_field-softplus",
        "march-1-0.0",
        "laplace-True",
        "sample_pdf",
        "rbf_layer-18",
        "occupancy-3",
        "knn-3",
        "patch_agreement-3",
        "patch_agreement-alone",
        "patch_match-1",
        "filter_depth",
    ],
)
@pytest.mark.parametrize("n", [0, 1])
def test_few_elements(name, n, host_cuda):
    CASES[name]("cuda", torch.device("cpu"), n)


@pytest.mark.parametrize(("hidden", "active", "kept"), [((16,), 4, 64), ((12, 10), 3, 5)])
def test_samples_with_a_bound_are_those_of_the_cpu(hidden, active, kept, host_cuda, monkeypatch):
    """A sphere with bumps. A ray in a hundred may be so near a threshold that roundings decide. With few kept, rays are walked twice."""
    import kernels
    from kernels.backends.cuda import bounded

    monkeypatch.setattr(bounded, "CAP", kept)
    generator = torch.Generator().manual_seed(3)
    grid = kernels.HashGridSpec(levels=4, log2_table_size=8, base_resolution=4, finest_resolution=20)
    mlp = kernels.MLPSpec(grid.out_features + 3, hidden, 2, "softplus", 20.0)
    params = torch.zeros(mlp.params)
    layers = mlp.unpack(params)
    for weight, bias in layers[:-1]:
        weight.copy_(torch.randn(weight.shape, generator=generator) * (2 / weight.shape[0]) ** 0.5)
        bias.copy_(torch.randn(bias.shape, generator=generator) * 0.05)
    layers[-1][0][0] = (2 * torch.pi / hidden[-1]) ** 0.5 / (1 if len(hidden) == 1 else 1.4)
    layers[-1][1][0] = -0.5
    table = torch.randn(grid.entries, grid.features, generator=generator) * 0.02
    distance = kernels.HashDistance(table, params, grid, mlp, True, active)
    origins = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator), dim=1) * 1.5
    directions = torch.nn.functional.normalize(torch.randn(200, 3, generator=generator) * 0.3 - origins, dim=1)
    rays = (origins, directions, torch.zeros(200), torch.full((200,), 3.0))
    options = dict(
        step=0.05, beta=0.02, epsilon=0.1, cuts=3, visible=1e-3, faint=1e-3, slope=1.2, jitter=torch.rand(200, generator=generator)
    )
    found = kernels.bounded_samples(*rays, OccupancyGrid.full(16), distance, backend="cuda", **options)
    expected = kernels.bounded_samples(*rays, OccupancyGrid.full(16), distance, backend="cpu", **options)
    counts = [f.samples.offsets.diff() for f in (found, expected)]
    assert float(counts[1].float().mean()) > 4
    assert bool((counts[1] > 5).any())
    alike = counts[0] == counts[1]
    assert float(alike.float().mean()) >= 0.98
    assert float((found.met == expected.met).float().mean()) >= 0.98
    assert found.queries == pytest.approx(expected.queries, rel=0.02)
    for name in ("ray_indices", "t", "dt"):
        a, b = (getattr(f.samples, name)[alike[f.samples.ray_indices.long()]] for f in (found, expected))
        torch.testing.assert_close(a, b, atol=2e-6, rtol=1e-5)
    with pytest.raises(kernels.BackendError, match="HashDistance"):
        kernels.bounded_samples(*rays, OccupancyGrid.full(16), lambda p: p.norm(dim=1) - 0.5, backend="cuda", **options)


def test_gradients_are_numerical_derivatives(host_cuda):
    """In float64, which the bodies are templates for: first and second order of the hash grid, and the jet of the fused field."""
    from field_cases import GRIDS, parameters, points

    import kernels

    grid = GRIDS["plane_smooth"]
    mlp = kernels.MLPSpec(grid.out_features, (6,), 2, "softplus", 3.0)
    x, (table, params) = points(2, 2, grid).requires_grad_(), parameters(grid, mlp)
    directions = torch.randn(2, *table.shape, dtype=torch.float64)
    knobs = torch.zeros(2, dtype=torch.float64, requires_grad=True)

    def encode(x, knobs):
        return kernels.hash_encode(x, table + torch.einsum("k,kef->ef", knobs, directions), grid, backend="cuda")

    def jet(knobs):
        moved = table + torch.einsum("k,kef->ef", knobs, directions)
        return kernels.fused_field(x.detach(), moved, params, grid, mlp, order=1, backend="cuda")

    assert torch.autograd.gradcheck(encode, (x, knobs), fast_mode=True)
    assert torch.autograd.gradgradcheck(encode, (x, knobs), fast_mode=True)
    assert torch.autograd.gradcheck(jet, (knobs,), fast_mode=True)


def _operators() -> dict[str, tuple[object, tuple]]:
    """Every differentiable operator of the GPU backends with arguments for it."""
    from kernels.ops import composite, field, hash_encode, laplace, mlp, rbf, rbf_layer
    from kernels.specs import HashGridSpec, MLPSpec

    def r(*shape):
        return torch.rand(*shape, requires_grad=True)

    grid = HashGridSpec(levels=2, log2_table_size=6, base_resolution=3, finest_resolution=5)
    network = MLPSpec(grid.out_features, (4,), 2, "softplus", 3.0)
    fields = (r(5, 3), r(grid.entries, 2), r(network.params), grid.to_ints(), network.to_ints(), network.beta, False, 2, "cuda", False)
    offsets = torch.tensor([0, 2, 2, 5])
    functions = (r(5, 2), r(7, 2), r(7, 1), r(7, 3), torch.arange(10, dtype=torch.int32).view(5, 2) % 7, None, 0, 1, "cuda")
    return {
        "hash_encode": (hash_encode._encode, (r(5, 3), r(grid.entries, 2), grid.to_ints(), 2, "cuda")),
        "field_mlp": (mlp._mlp, (r(5, 4), r(network.params), network.to_ints(), network.beta, "cuda")),
        "fused_field": (field._field, fields),
        "fused_field_jet": (field._jet, (fields[0].detach(), *fields[1:])),
        "composite": (composite._composite, (r(5), r(5), r(5, 2), offsets, 0.0, "cuda")),
        "composite_alpha": (composite._alpha, (r(5), r(5, 2), offsets, 0.0, "cuda")),
        "distortion": (composite._distortion, (r(5), torch.rand(5), torch.rand(5), offsets, "cuda")),
        "laplace": (laplace._density, (r(5), r(5), "cuda")),
        "rbf_encode": (rbf._encode, functions),
        "rbf_layer": (rbf_layer._layer, (r(5, 3), r(4, 3), r(4, 3), r(2, 4), r(2), "cuda")),
    }


@pytest.mark.parametrize(
    "name",
    [
        "hash_encode", "field_mlp", "fused_field", "fused_field_jet", "composite", "composite_alpha", "distortion", "laplace",
        "rbf_encode", "rbf_layer",
    ],
)  # fmt: skip
def test_operators_are_well_formed(name, host_cuda):
    """Schemas, fake kernels and gradients that torch.compile can use."""
    operator, arguments = _operators()[name]
    torch.library.opcheck(
        operator, arguments, test_utils=("test_schema", "test_faketensor", "test_autograd_registration", "test_aot_dispatch_dynamic")
    )
