"""The fused field's kernels on tensor cores, run warp by warp on a CPU (warp_host.h), against the reference in float64.

Two blocks of two or more tiles of 64 samples, the last one ragged; what is not written is NaN. Races between warps are found in whatever
order the threads run; conflicts of banks and addresses that are not aligned too. ``pytest -rP`` prints the errors.
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from importlib.util import find_spec

import pytest
import torch
from field_cases import parameters, points
from torch import Tensor

from kernels import HashGridSpec, MLPSpec
from kernels.backends.reference import field as reference

if find_spec("cuda") is None or find_spec("cuda.core") is None:
    pytest.skip("cuda-core is not installed", allow_module_level=True)

from warp_host import ORDERS, Emulator

from kernels.backends.cuda import field, runtime

COMPILER = shutil.which("g++") or shutil.which("c++")
SAMPLES = 64 * 3 + 19
SPLIT = {"out": 1e-5, "gradient": 2e-5, "dx": 5e-5, "dtable": 5e-5, "dparams": 3e-3}
SINGLE = {"out": 1e-2, "dx": 0.2, "dtable": 0.08, "dparams": 0.08}  # a relu takes the other side where its input is near 0
"""Largest error of a sample's numbers against the largest of them; of sums over samples, the norm of the error against theirs."""


@dataclass(frozen=True)
class Case:
    """A field, and how many times the tolerances it may have: each layer adds its rounding."""

    grid: HashGridSpec
    mlp: MLPSpec
    include_input: bool
    orders: tuple[int, ...] = (0, 1)
    active: int | None = None
    times: float = 1.0


def _grid(**options) -> HashGridSpec:
    return HashGridSpec(**{"log2_table_size": 11, "base_resolution": 6, "finest_resolution": 120, **options})


CASES = {
    "surface": Case(_grid(levels=14), MLPSpec(31, (64,), 16, "softplus"), True, (1,)),
    "surface_two": Case(_grid(levels=14), MLPSpec(31, (64, 64), 17, "softplus"), True, (1,), 9, 1.5),
    "radiance": Case(_grid(levels=16), MLPSpec(32, (64,), 16), False, (0,)),
    "distance": Case(_grid(levels=14), MLPSpec(31, (64,), 1, "softplus"), True, (0,), times=1.5),
    "deep": Case(
        _grid(levels=5, features=4, interpolation="smoothstep"),
        MLPSpec(23, (16, 32, 16, 64), 3, "softplus", 5.0, "sigmoid"),
        True,
        times=2.5,
    ),
    "plane": Case(_grid(dims=2, levels=3, features=8, finest_resolution=40), MLPSpec(24, (32,), 35, "sigmoid", bias=False), False),
    "single_features": Case(_grid(levels=5, features=1), MLPSpec(8, (16, 16), 5), True, times=1.5),
}
NAMES = [(name, order) for name, case in CASES.items() for order in case.orders]


def _random(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def _inputs(case: Case, n: int) -> dict[str, Tensor]:
    table, params = parameters(case.grid, case.mlp)
    x = points(n, case.grid.dims, case.grid)
    if n > 3:
        x[0], x[1] = -0.2873, 1.691
    g, v = _random(3, n, case.mlp.outputs), _random(4, n, case.grid.dims)
    return {"x": x.float(), "table": (table * 0.3).float(), "params": params.float(), "g": g, "v": v}


def _expected(case: Case, order: int, given: dict[str, Tensor]) -> dict[str, Tensor]:
    x, table, params = (given[name].double().requires_grad_() for name in ("x", "table", "params"))
    active = case.grid.levels if case.active is None else case.active
    arguments = (table, params, case.grid, case.mlp, case.include_input, active)
    if order == 0:
        out = reference.fused_field(x, *arguments)
        gradients = torch.autograd.grad((out * given["g"].double()).sum(), (x, table, params))
        return {"out": out.detach(), **dict(zip(("dx", "dtable", "dparams"), gradients))}
    out, gradient = reference.fused_field_jet(x.detach(), *arguments)
    loss = (out * given["g"].double()).sum() + (gradient * given["v"].double()).sum()
    gradients = torch.autograd.grad(loss, (table, params))
    return {"out": out.detach(), "gradient": gradient.detach(), **dict(zip(("dtable", "dparams"), gradients))}


def _run(case: Case, order: int, given: dict[str, Tensor]) -> dict[str, Tensor]:
    """What the launchers write; results that are written and not added to begin as NaN."""
    n, active = len(given["x"]), case.grid.levels if case.active is None else case.active
    specs = (given["x"], given["table"], given["params"], case.grid, case.mlp, case.include_input, active)
    found = {"out": torch.full((n, case.mlp.outputs), torch.nan)}
    written = torch.full((n, case.grid.dims), torch.nan)
    found["gradient" if order else "dx"] = written
    field.fused_field_forward(*specs, found["out"], written if order else None)
    found["dtable"], found["dparams"] = torch.zeros_like(given["table"]), torch.zeros_like(given["params"])
    adjoints = (given["g"], given["v"] if order else None, None if order else written)
    field.fused_field_backward(*specs, *adjoints, found["dtable"], found["dparams"])
    return found


def _errors(found: dict[str, Tensor], expected: dict[str, Tensor]) -> dict[str, float]:
    def relative(name: str, e: Tensor) -> float:
        size = Tensor.norm if name in ("dtable", "dparams") else (lambda t: t.abs().max())
        return float(size(found[name].double() - e) / size(e))

    return {name: relative(name, e) for name, e in expected.items()}


def _within(errors: dict[str, float], limits: dict[str, float], times: float) -> bool:
    return all(error <= times * limits[name] for name, error in errors.items())  # NaN is not


@pytest.fixture(scope="module")
def emulator(tmp_path_factory):
    """Kernels on tensor cores run on CPU tensors while the module's tests last."""
    if COMPILER is None:
        pytest.skip("there is no C++ compiler")
    emulator = Emulator(tmp_path_factory.mktemp("warps"), COMPILER)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "launch", emulator.launch)
        yield emulator


@pytest.mark.parametrize(("name", "order"), NAMES)
def test_matches_the_reference(name, order, emulator, monkeypatch):
    case = CASES[name]
    assert field.uses_tensor_cores(case.grid, case.mlp, torch.float32, order, case.include_input)
    given = _inputs(case, SAMPLES)
    expected = _expected(case, order, given)
    limits = SPLIT if field.splits(case.mlp, order) else SINGLE
    results = []
    emulator.turns.clear()
    for schedule in ORDERS if name in ("surface", "radiance") else ("permuted",):
        monkeypatch.setattr(emulator, "order", schedule)
        results.append(_run(case, order, given))
        errors = _errors(results[-1], expected)
        print(name, order, schedule, {k: f"{e:.1e}" for k, e in errors.items()})
        assert _within(errors, limits, case.times), errors
    assert all(torch.equal(r["out"], results[0]["out"]) for r in results)
    assert emulator.races == 0
    # no conflicts of banks, but where a lane reads two levels of one feature each: four lanes are then 64 bytes apart
    levels = 2 if case.grid.features == 1 else 1
    assert all(turns <= (levels if kind == "four" else 1) for kind, turns in emulator.turns.items()), emulator.turns


def test_radiance_would_be_as_exact_with_split_operands(emulator, monkeypatch):
    """What is not exact in it is the rounding of single operands, and nothing else."""
    case = CASES["radiance"]
    given = _inputs(case, SAMPLES)
    monkeypatch.setattr(field, "splits", lambda mlp, order: True)
    errors = _errors(_run(case, 0, given), _expected(case, 0, given))
    print(errors)
    assert _within(errors, SPLIT, 1.0), errors


@pytest.mark.parametrize("n", [1, 15, 64, 65])
def test_few_samples(n, emulator):
    case = CASES["single_features"]
    given = _inputs(case, n)
    for order in (0, 1):
        assert _within(_errors(_run(case, order, given), _expected(case, order, given)), SINGLE | {"gradient": 1e-4}, case.times)


def test_tensors_that_begin_between_two_numbers(emulator):
    """Views into a longer vector: an entry is read and added to at once, so a copy is taken, and put back."""
    case = Case(_grid(levels=3), MLPSpec(9, (16,), 2), True)
    given = _inputs(case, 20)
    shifted = {name: torch.cat([t.new_zeros(1), t.flatten()])[1:].view_as(t) for name, t in given.items()}
    assert shifted["table"].data_ptr() % 8
    wanted = _run(case, 0, given)
    full = torch.full
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "zeros_like", lambda t: torch.zeros(t.numel() + 1)[1:].view_as(t))
        patch.setattr(torch, "full", lambda shape, value: full((shape[0] * shape[1] + 1,), value)[1:].view(shape))
        found = _run(case, 0, shifted)
    assert found["out"].data_ptr() % 8
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("name", ["single_features", "plane"])
def test_what_is_not_a_number_is_not_hidden(name, emulator):
    case = CASES[name]
    given = _inputs(case, 20)
    given["params"][0] = torch.nan
    assert _run(case, 0, given)["out"].isnan().all()


OUTPUTS_SUMS = (
    "    block_sync();\n    outer<I, true>(sums, values_of(task, I + 1), values_of(task, I));\n    if constexpr (ORDER == 1) outer_first"
)
BARRIERS = {
    "after the weights": ("    stage_levels(levels, active, pool);\n    block_sync();\n", 2),
    "before the outputs' sums": (OUTPUTS_SUMS, 1),
    "before adjoints take the place of values": ("        block_sync();  // until here", 1),
    "before a layer's sums": ("        block_sync();\n        outer<I, true>", 1),
    "after a tile": ("        block_sync();  // the next", 1),
}  # fmt: skip


@pytest.mark.parametrize("name", BARRIERS)
def test_a_barrier_that_is_missing_is_noticed(name, emulator):
    """Each in turn is taken out of the text of a small field; which orders give wrong numbers is printed."""
    case, (text, times) = CASES["single_features"], BARRIERS[name]
    given = _inputs(case, SAMPLES)
    expected = _expected(case, 1, given)
    source = runtime.source(field.tensor_unit(case.grid, case.mlp, case.include_input, 1))
    assert source.count(text) == times
    mutant = Emulator(emulator.folder / name.replace(" ", "_"), emulator.compiler)
    mutant.folder.mkdir()
    mutant.change = lambda plain: plain.replace(text, text.replace("block_sync();", ""))
    caught = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime, "launch", mutant.launch)
        for schedule in ORDERS:
            mutant.order = schedule
            try:
                sound = _within(_errors(_run(case, 1, given), expected), SPLIT, case.times)
            except AssertionError:  # the emulator's: an address out of all tensors
                sound = False
            caught += [] if sound else [schedule]
    print(f"without the barrier {name}: {mutant.races} races; wrong numbers in the orders {caught}")
    assert mutant.races > 0


WIDE = HashGridSpec(levels=16, features=8)
TAKEN = {
    "default surface": (_grid(levels=14), MLPSpec(31, (64,), 16, "softplus"), torch.float32, 1, True, True),
    "radiance": (_grid(levels=16), MLPSpec(32, (64,), 16), torch.float32, 0, False, True),
    "edges": (_grid(levels=10), MLPSpec(20, (32,), 17, "softplus"), torch.float32, 0, False, True),
    "double": (_grid(levels=14), MLPSpec(31, (64,), 16, "softplus"), torch.float64, 1, True, False),
    "affine": (_grid(levels=14), MLPSpec(28, (), 16), torch.float32, 0, False, False),
    "odd width": (_grid(levels=14), MLPSpec(28, (40,), 16), torch.float32, 0, False, False),
    "wide": (_grid(levels=14), MLPSpec(28, (128,), 16), torch.float32, 0, False, False),
    "many outputs": (_grid(levels=14), MLPSpec(28, (64,), 65), torch.float32, 0, False, False),
    "many features": (WIDE, MLPSpec(128, (64,), 16), torch.float32, 0, False, False),
    "four layers of 64": (_grid(levels=14), MLPSpec(28, (64,) * 4, 16), torch.float32, 0, False, True),
    "too much shared memory": (_grid(levels=14), MLPSpec(28, (64,) * 4, 16), torch.float32, 1, False, False),
}


@pytest.mark.parametrize("name", TAKEN)
def test_what_is_taken(name):
    grid, mlp, dtype, order, include_input, taken = TAKEN[name]
    assert field.uses_tensor_cores(grid, mlp, dtype, order, include_input) is taken


@pytest.mark.parametrize(("capability", "has"), [((7, 5), False), ((8, 0), True), ((9, 0), True), ((12, 0), True)])
def test_older_gpus_run_one_thread_per_sample(capability, has, monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert field.has_tensor_cores(torch.device("cuda", 0)) is has
    assert field.has_tensor_cores(torch.device("cpu"))
