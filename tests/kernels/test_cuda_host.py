"""The CUDA kernels compiled by the host's compiler, their threads run one after another, against the reference.

The text is the one that NVRTC gets, so bodies, indexing and the order of arguments are checked; races and the launch itself are not.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from importlib.util import find_spec

import pytest
import torch
from gpu_cases import CASES

COMPILER = shutil.which("g++") or shutil.which("c++")
pytestmark = [
    pytest.mark.skipif(find_spec("cuda") is None or find_spec("cuda.core") is None, reason="cuda-core is not installed"),
    pytest.mark.skipif(COMPILER is None, reason="there is no C++ compiler"),
]
WARP_KERNELS = ("mlp_backward_rows", "field_backward", "field_jet_backward", "layer_backward_rows")
"""These also run threads beyond the last sample, as a GPU does."""


@pytest.fixture(scope="module")
def host_cuda(tmp_path_factory):
    """Runs the cuda backend on CPU tensors while the module's tests last."""
    from kernels.backends import cuda
    from kernels.backends.cuda import runtime

    folder = tmp_path_factory.mktemp("cuda_host")
    libraries: dict[object, ctypes.CDLL] = {}

    def library(unit) -> ctypes.CDLL:
        if unit not in libraries:
            path = folder / f"unit{len(libraries)}"
            path.with_suffix(".cpp").write_text(
                f'{"".join(f"#define {k} {v}" + chr(10) for k, v in unit.defines)}#include "cuda/{unit.file}.cu"\n'
            )
            command = [COMPILER, "-std=c++17", "-O1", "-shared", "-fPIC", "-ffp-contract=off", f"-I{runtime.NATIVE}"]
            subprocess.run([*command, str(path.with_suffix(".cpp")), "-o", str(path.with_suffix(".so"))], check=True)
            libraries[unit] = ctypes.CDLL(str(path.with_suffix(".so")))
        return libraries[unit]

    def run(unit, entry, threads, *arguments):
        if 0 in threads:
            return
        for a in arguments:
            assert not isinstance(a, torch.Tensor) or a.is_contiguous()
        loaded = library(unit)
        function, place = loaded[entry], loaded["set_thread"]
        values = [ctypes.c_double(v) if isinstance(v, float) else ctypes.c_int64(v) for v in map(runtime._argument, arguments)]
        beyond = 3 if entry in WARP_KERNELS else 1
        for y in range(threads[1]):
            for x in range(threads[0] + beyond):
                place(ctypes.c_int64(x), ctypes.c_int64(y))
                function(*values)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "launch", run)
        patch.setattr(cuda, "status", lambda kind: (kind == "cpu", "compiled for the host"))
        yield


def _size(name: str) -> int:
    return {"composite": 8, "distortion": 8, "bound": 8, "sample_pdf": 8, "march": 60}.get(name.split("-")[0], 37)


@pytest.mark.parametrize("name", CASES)
def test_matches_the_reference(name, host_cuda):
    CASES[name]("cuda", torch.device("cpu"), _size(name))


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
    ],
)
@pytest.mark.parametrize("n", [0, 1])
def test_few_elements(name, n, host_cuda):
    CASES[name]("cuda", torch.device("cpu"), n)


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
