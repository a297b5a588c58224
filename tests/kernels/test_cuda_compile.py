"""The CUDA kernels compiled by NVRTC for GPUs that are not there, and the cache of what was compiled.

``pytest -rP`` prints registers, local memory and spills of each.
"""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch

from kernels import BackendError, HashGridSpec, MLPSpec

if find_spec("cuda") is None or find_spec("cuda.core") is None:
    pytest.skip("cuda-core is not installed", allow_module_level=True)

from sass import IN_MEMORY

from kernels.backends.cuda import (
    adam,
    bounded,
    composite,
    field,
    hash_encode,
    knn,
    mlp,
    patch_agreement,
    patch_match,
    rbf,
    rbf_layer,
    runtime,
)
from kernels.backends.cuda.runtime import Unit, unit_of

ONE = torch.empty(1)
GRID = HashGridSpec(levels=16, finest_resolution=2048)
UNITS = {
    "hash_encode_3d": hash_encode._unit(ONE, GRID),
    "hash_encode_2d_double": hash_encode._unit(ONE.double(), HashGridSpec(dims=2, features=8, interpolation="smoothstep")),
    "field": field._field(ONE, GRID, MLPSpec(35, (16,), 4, "softplus"), True),
    "field_mma": field.tensor_unit(GRID, MLPSpec(35, (16,), 4, "softplus"), True, 1),
    "mlp": unit_of("field", ONE, **mlp.network(MLPSpec(32, (16, 16), 3, output_activation="sigmoid"))),
    "march": unit_of("march", ONE, CONE=0),
    "march_cone": unit_of("march", ONE, CONE=1),
    "march_cone_double": unit_of("march", ONE.double(), CONE=1),
    "composite": composite._composite_unit(torch.empty(0, 4)),
    "composite_any": composite._composite_unit(torch.empty(0, 17, dtype=torch.float64)),
    "bounded": bounded._unit(ONE, GRID, MLPSpec(32, (18,), 1, "relu"), False),
    "density": unit_of("density", ONE),
    "knn": knn._unit(ONE, 3, 7),
    "knn_most": knn._unit(ONE, 2, 64),
    "patch_agreement": patch_agreement._unit(ONE, 3),
    "patch_agreement_double": patch_agreement._unit(ONE.double(), 5),
    "patch_match": patch_match._unit(ONE, 2),
    "patch_match_4": patch_match._unit(ONE, 4),
    "depth_maps": unit_of("depth_maps", ONE),
    "rbf": rbf._unit(torch.empty(0, 3), torch.empty(0, 6), torch.empty(0, 7), ONE, 0, 3),
    "rbf_many_double": rbf._unit(torch.empty(0, 2).double(), torch.empty(0, 2), torch.empty(0, 64), None, 2, 0),
    "rbf_layer": rbf_layer._layer(torch.empty(1, 18), 16),
    "rbf_layer_double": rbf_layer._layer(torch.empty(1, 3, dtype=torch.float64), 4),
    "occupancy": unit_of("occupancy", ONE),
    "occupancy_double": unit_of("occupancy", ONE.double()),
    "adam": adam._unit(ONE, 0, True),
    "adam_rows_double": adam._unit(ONE.double(), 8, True),
}


def check(unit: Unit, arch: str) -> None:
    code, log = runtime.compile_unit(unit, arch)
    assert code[:4] == b"\x7fELF"
    found = runtime.resources(log)
    assert found
    for name, needs in found.items():
        print(f"{arch} {name:24} {needs}")
        assert needs.registers <= 255
        assert max(needs.spill_stores, needs.spill_loads) <= IN_MEMORY.get(name, 0), name


@pytest.mark.parametrize("arch", ["sm_80", "sm_90", "sm_120"])
@pytest.mark.parametrize("name", UNITS)
def test_compiles(name, arch):
    check(UNITS[name], arch)


def test_a_usual_network_compiles():
    check(field._field(ONE, GRID, MLPSpec(35, (64, 64), 16, "softplus"), True), "sm_90")


def test_every_file_is_compiled():
    files = {path.stem for path in (runtime.NATIVE / "cuda").glob("*.cu")}
    assert files == {unit.file for unit in UNITS.values()}


def test_the_source_is_whole():
    text = runtime.source(UNITS["march"])
    assert "#include" not in text
    assert text.count("struct OccupancyBits") == 1
    assert text.startswith("#define REAL float\n")


def test_errors_say_what_is_wrong():
    with pytest.raises(BackendError, match=r"march\.cu for sm_1"):
        runtime.compile_unit(UNITS["march"], "sm_1")
    with pytest.raises(BackendError, match="NETWORK"):
        runtime.compile_unit(Unit("field", (("WIDTH", "3"),)), "sm_90")


def test_cubins_are_compiled_once(tmp_path, monkeypatch):
    monkeypatch.setenv(runtime.CACHE_VARIABLE, str(tmp_path))
    first = runtime.cubin(UNITS["adam"], "sm_80")
    files = list((tmp_path / "cuda").iterdir())
    assert len(files) == 1  # no temporary file is left
    assert files[0].read_bytes() == first
    monkeypatch.setattr(runtime, "compile_unit", lambda *_: pytest.fail("compiled again"))
    assert runtime.cubin(UNITS["adam"], "sm_80") == first


@pytest.mark.parametrize("change", ["arch", "defines", "compiler"])
def test_the_key_covers_what_the_code_depends_on(change, tmp_path, monkeypatch):
    monkeypatch.setenv(runtime.CACHE_VARIABLE, str(tmp_path))
    compiled = []
    monkeypatch.setattr(runtime, "compile_unit", lambda unit, arch: (compiled.append((unit, arch)), (b"code", ""))[1])
    unit, arch = UNITS["adam"], "sm_80"
    runtime.cubin(unit, arch)
    if change == "arch":
        arch = "sm_90"
    elif change == "defines":
        unit = Unit(unit.file, (("REAL", "double"),))
    else:
        monkeypatch.setattr(runtime, "nvrtc_version", lambda: "99.0")
    runtime.cubin(unit, arch)
    assert len(compiled) == 2


def test_an_unwritable_cache_is_no_error(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv(runtime.CACHE_VARIABLE, str(tmp_path / "file"))
    monkeypatch.setattr(runtime, "compile_unit", lambda *_: (b"code", ""))
    assert runtime.cubin(UNITS["adam"], "sm_80") == b"code"
    assert "not kept" in caplog.text
