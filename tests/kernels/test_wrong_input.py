"""Every op with every kind of wrong or unusual input: it works, or raises one clear error that names what is wrong.

Rows of the table: op x backend. Columns: number type, type of one tensor only, device, rank, length, too small a table, NaN and infinity,
no samples, one, an odd number, tensors that are not contiguous. Runs under the sanitizers too (kernels/native/sanitize.sh).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import pytest
import torch
from packed_cases import backend_params
from torch import Tensor

import kernels
from kernels import ArgumentError, HashGridSpec, KernelError, MLPSpec, OccupancyGrid

GRID = HashGridSpec(levels=3, features=4, log2_table_size=7, base_resolution=4, finest_resolution=16)
NETWORK = MLPSpec(GRID.out_features, (9,), 5, "softplus", 10.0)
Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class Op:
    """One row.

    Attributes:
        name: Of the function, and of the op that is dispatched.
        tensors: Good arguments for so many samples.
        call: Runs it on them.
        free: Tensors whose first length may be anything (of offsets: longer, as rays without samples are).
        wide: Tensors whose last length may be anything.
        refuses: Tensors in which NaN raises; in the others it may only reach results.
        reads_only: False for ops that work in place, which then refuse tensors that are not contiguous.
    """

    name: str
    tensors: Callable[[int], Tensors]
    call: Callable[[Tensors, str], object]
    free: tuple[str, ...] = ()
    refuses: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()
    reads_only: bool = True


def rand(*shape: int) -> Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def packed(n: int) -> Tensor:
    """Three rays, the first without samples."""
    return torch.tensor([0, 0, n - n // 3, n])


def rays(n: int) -> Tensors:
    directions = torch.nn.functional.normalize(rand(n, 3) - 0.4, dim=1)
    return {"origins": -2 * directions + 0.1 * rand(n, 3), "directions": directions, "near": rand(n), "far": 4 + rand(n), "jitter": rand(n)}


def march(t: Tensors, backend: str) -> object:
    bundle = (t["origins"], t["directions"], t["near"], t["far"])
    s = kernels.march_rays(*bundle, OccupancyGrid.full(8), step=0.1, jitter=t["jitter"], backend=backend)
    return s.offsets, s.t, s.dt


def update(t: Tensors, backend: str) -> object:
    grid = OccupancyGrid.empty(8)
    kernels.update_occupancy(grid, t["values"], 0.5, backend=backend)
    return grid.bitfield


def in_place(function: Callable[..., None], **options) -> Callable[[Tensors, str], object]:
    def call(t: Tensors, backend: str) -> object:
        function(**t, **options, backend=backend)
        return tuple(t.values())

    return call


def plain(function: Callable[..., object], **options) -> Callable[[Tensors, str], object]:
    return lambda t, backend: function(**t, **options, backend=backend)


def neighbors(n: int) -> Tensor:
    return torch.arange(3 * n, dtype=torch.int32).view(n, 3) % 7


TABLE = {"table": rand(GRID.entries, GRID.features)}
PARAMS = {"params": rand(NETWORK.params) - 0.5}
OPS = [
    Op("hash_encode", lambda n: {"x": rand(n, 3), **TABLE}, plain(kernels.hash_encode, spec=GRID), ("x",), ("x",)),
    Op("field_mlp", lambda n: {"x": rand(n, NETWORK.inputs), **PARAMS}, plain(kernels.field_mlp, spec=NETWORK), ("x",)),
    Op(
        "hash_encode",
        lambda n: {"grad": rand(n, GRID.out_features), "x": rand(n, 3), **TABLE},
        plain(kernels.hash_encode_pullback, spec=GRID),
        refuses=("x",),
    ),
    Op("field_mlp", lambda n: {"x": rand(n, NETWORK.inputs), **PARAMS}, plain(kernels.field_mlp, spec=NETWORK, order=1), ("x",)),
    Op("fused_field", lambda n: {"x": rand(n, 3), **TABLE, **PARAMS}, plain(kernels.fused_field, grid=GRID, mlp=NETWORK), ("x",), ("x",)),
    Op(
        "fused_field",
        lambda n: {"x": rand(n, 3), **TABLE, **PARAMS},
        plain(kernels.fused_field, grid=GRID, mlp=NETWORK, order=1),
        ("x",),
        ("x",),
    ),
    Op("march_rays", rays, march, refuses=("origins", "directions", "near", "far", "jitter")),
    Op(
        "composite",
        lambda n: {"density": rand(n), "dt": rand(n), "channels": rand(n, 4), "offsets": packed(n)},
        plain(kernels.composite),
        ("offsets",),
        wide=("channels",),
    ),
    Op(
        "composite_alpha",
        lambda n: {"alpha": rand(n), "channels": rand(n, 4), "offsets": packed(n)},
        plain(kernels.composite_alpha),
        ("offsets",),
        wide=("channels",),
    ),
    Op(
        "distortion_loss",
        lambda n: {"weights": rand(n), "t": rand(n), "dt": rand(n), "offsets": packed(n)},
        plain(kernels.distortion_loss),
        ("offsets",),
    ),
    Op("laplace_density", lambda n: {"sdf": rand(n) - 0.5, "beta": 0.1 + rand(n)}, plain(kernels.laplace_density)),
    Op(
        "opacity_error",
        lambda n: {"sdf": rand(n), "t": rand(n).sort()[0], "offsets": packed(n), "beta": torch.tensor(0.1)},
        plain(kernels.opacity_error),
        ("offsets",),
    ),
    Op(
        "error_bound",
        lambda n: {"sdf": rand(n), "t": rand(n).sort()[0], "offsets": packed(n), "beta": torch.tensor([0.1, 0.2, 0.3])},
        plain(kernels.error_bound),
    ),
    Op(
        "solve_beta",
        lambda n: {"sdf": rand(n), "t": rand(n).sort()[0], "offsets": packed(n), "beta": torch.tensor(0.1)},
        plain(kernels.solve_beta, epsilon=0.1),
        ("offsets",),
    ),
    Op(
        "sample_pdf",
        lambda n: {"bins": rand(n).sort()[0], "weights": rand(n), "u": rand(3, 5), "offsets": packed(n)},
        plain(kernels.sample_pdf),
        refuses=("weights", "u"),
        wide=("u",),
    ),
    Op(
        "rbf_encode",
        lambda n: {
            "x": rand(n, 2),
            "centers": rand(7, 2),
            "shapes": 1 + rand(7, 1),
            "weights": rand(7, 5),
            "neighbors": neighbors(n),
            "frequencies": rand(5),
        },
        plain(kernels.rbf_encode),
        refuses=("frequencies",),
        wide=("neighbors",),
    ),
    Op(
        "rbf_encode",
        lambda n: {
            "grad": rand(n, 5),
            "x": rand(n, 2),
            "centers": rand(7, 2),
            "shapes": 1 + rand(7, 1),
            "weights": rand(7, 5),
            "neighbors": neighbors(n),
            "frequencies": rand(5),
        },
        plain(kernels.rbf_encode_pullback),
        refuses=("frequencies",),
        wide=("neighbors",),
    ),
    *(
        Op(
            "rbf_layer",
            lambda n: {"features": rand(n, 6), "centers": rand(9, 6), "log_betas": rand(9, 6), "weight": rand(3, 9), "bias": rand(3)},
            plain(kernels.rbf_layer, order=order),
            ("features",),
        )
        for order in (0, 1)
    ),
    Op(
        "knn",
        lambda n: {"points": rand(40, 3), "queries": rand(n, 3)},
        plain(kernels.knn, k=4),
        ("points", "queries"),
        ("points", "queries"),
    ),
    Op("update_occupancy", lambda n: {"values": rand(1, 512)}, update),
    Op(
        "decay_occupancy",
        lambda n: {"values": rand(50), "fresh": rand(n), "indices": torch.arange(n) % 50},
        in_place(kernels.decay_occupancy),
        ("values",),
        reads_only=False,
    ),
    Op(
        "adam_step",
        lambda n: {
            "param": rand(n, 2),
            "grad": rand(n, 2),
            "exp_avg": rand(n, 2),
            "exp_avg_sq": rand(n, 2),
            "steps": torch.zeros(n, dtype=torch.int32),
        },
        in_place(kernels.adam_step, lr=0.1, skip_zero=True),
        reads_only=False,
    ),
]


def rows() -> list:
    """Every op on every backend, those skipped that cannot run here."""
    made = []
    for i, op in enumerate(OPS):
        for backend in backend_params(op.name):
            marked = not isinstance(backend, str)
            name = str(backend.values[0]) if marked else backend
            made.append(pytest.param(op, name, id=f"{op.name}-{i}-{name}", marks=backend.marks if marked else ()))
    return made


ROWS = pytest.mark.parametrize(("op", "backend"), rows())


def results(value: object) -> list[Tensor]:
    return [v for v in value if v is not None] if isinstance(value, tuple) else [value]  # type: ignore[list-item]


def refused(op: Op, backend: str, tensors: Tensors) -> str:
    with pytest.raises(KernelError) as caught:
        op.call(tensors, backend)
    assert isinstance(caught.value, ArgumentError)
    return str(caught.value)


@ROWS
def test_a_wrong_number_type_is_named(op, backend):
    good = op.tensors(13)
    for name, tensor in good.items():
        for dtype in (torch.float16, torch.int16, torch.complex64):
            refused(op, backend, {**good, name: tensor.to(dtype)})
        if tensor.is_floating_point() and sum(t.is_floating_point() for t in good.values()) > 1:
            message = refused(op, backend, {**good, name: tensor.double()})
            assert "float64" in message


@ROWS
def test_a_tensor_on_another_device_is_refused(op, backend):
    good = op.tensors(13)
    if len(good) == 1:
        refused(op, backend, {name: tensor.to("meta") for name, tensor in good.items()})
        return
    for name, tensor in good.items():
        assert "meta" in refused(op, backend, {**good, name: tensor.to("meta")}), name


@ROWS
def test_wrong_ranks_and_lengths_are_refused(op, backend):
    good = op.tensors(13)
    for name, tensor in good.items():
        refused(op, backend, {**good, name: tensor[None, None]})
        if tensor.dim():
            refused(op, backend, {**good, name: tensor.flatten()[0]} if name != "beta" else {**good, name: tensor[None]})
        if name not in op.free and tensor.dim():
            refused(op, backend, {**good, name: torch.cat([tensor, tensor[-1:]])})
            refused(op, backend, {**good, name: tensor[:-1]})  # a table, or anything else, that is too small
        if name == "offsets":
            for wrong in (tensor[:-1], tensor + 1, tensor.flip(0), tensor * 2, torch.tensor([0, 9, 4, 13])):
                refused(op, backend, {**good, name: wrong})
        if tensor.dim() > 1 and name not in op.wide:
            refused(op, backend, {**good, name: torch.cat([tensor] * 9, -1)})


@ROWS
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_or_computed_with(op, backend, bad):
    good = op.tensors(13)
    for name, tensor in good.items():
        if not tensor.is_floating_point():
            continue
        broken = tensor.clone()
        broken.view(-1)[-1] = bad
        arguments = {**{key: value.clone() for key, value in good.items()}, name: broken}
        if name in op.refuses and (math.isnan(bad) or op.name not in ("march_rays", "sample_pdf")):
            assert name in refused(op, backend, arguments)
            continue
        with suppress(ArgumentError):  # infinity may be refused too
            op.call(arguments, backend)


@ROWS
@pytest.mark.parametrize("n", [0, 1, 2, 15, 17, 49, 257])
def test_any_number_of_samples_works(op, backend, n):
    """As the reference, in shape and in value."""
    tensors = op.tensors(n)
    found = results(op.call({key: value.clone() for key, value in tensors.items()}, backend))
    expected = results(op.call({key: value.clone() for key, value in tensors.items()}, "reference"))
    assert [t.shape for t in found] == [t.shape for t in expected]
    for a, b in zip(found, expected):
        if a.dtype != torch.int32:  # of neighbours at the same distance, either may come first
            torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5, equal_nan=True)


@ROWS
def test_tensors_that_are_not_contiguous(op, backend):
    tensors = op.tensors(14)
    strided = {key: torch.stack([value, value], -1)[..., 0] for key, value in tensors.items()}
    assert not any(value.is_contiguous() for value in strided.values() if value.dim())
    if not op.reads_only:
        assert "contiguous" in refused(op, backend, strided)
        return
    for a, b in zip(results(op.call(strided, backend)), results(op.call(tensors, backend))):
        close = 1e-4 if backend == "reference" else 0  # torch may take another matrix product
        torch.testing.assert_close(a, b, rtol=close, atol=close, equal_nan=True)
