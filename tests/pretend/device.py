"""A pretend accelerator: tensors that say ``pretend:0``, lie in ordinary memory, and refuse what CUDA refuses.

It shows without a GPU that a program keeps its tensors together, and how often it waits for the device. Values are real: what runs on it
gives the CPU's numbers. It does not show CUDA's own rounding, asynchrony, memory or streams.

    install()                               # once per process, and for good: such tests have a process of their own
    x = torch.rand(5, device="pretend")
    with watch() as seen:                   # counts host synchronisations, uploads, and work left on the CPU
        ...
"""

# pyright: reportAttributeAccessIssue=false, reportAssignmentType=false
# Torch's insides, which its types do not tell of.
from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

NAME = "pretend"
PROJECT = ("/recon/", "/kernels/", "/viewer/", "/scenes/")
aten: Any = torch.ops.aten


def available() -> bool:
    """Whether this version of torch can have devices written in Python."""
    return hasattr(torch.utils.backend_registration, "_setup_privateuseone_for_python_backend")


class PretendTensor(torch.Tensor):
    """A tensor of the pretend device; ``held`` is the CPU tensor with its numbers, same sizes and strides."""

    held: torch.Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor, requires_grad: bool = False):
        self = torch.Tensor._make_wrapper_subclass(
            cls, held.size(), strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype, layout=held.layout,
            device=torch.device(NAME, 0), requires_grad=requires_grad,
        )  # fmt: skip
        self.held = held
        return self

    def __tensor_flatten__(self):  # so nn.Module.to swaps parameters in place, as it does between CPU and CUDA
        return ["held"], None

    @staticmethod
    def __tensor_unflatten__(inner, context, size, stride):
        return PretendTensor(inner["held"])

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return run(func, args, kwargs or {})

    def __repr__(self):
        with torch._C._DisableTorchDispatch():
            return f"{self.held!r}@{NAME}"

    # torch and safetensors treat these before or beside dispatch
    def tolist(self):
        return self.cpu().tolist()

    def numpy(self, *, force=False):
        if force:
            return self.detach().cpu().numpy()
        raise TypeError(f"can't convert {NAME}:0 device type tensor to numpy. Use Tensor.cpu() to copy the tensor to host memory first.")

    def __array__(self, *args, **kwargs):
        return self.numpy()

    def untyped_storage(self):
        return self.held.untyped_storage()

    def data_ptr(self):
        return self.held.data_ptr()

    def __reduce_ex__(self, protocol):
        raise NotImplementedError("pickling a tensor of the pretend device: save .cpu()")

    def __deepcopy__(self, memo):
        out = self.detach().clone()
        out.requires_grad_(self.requires_grad)
        return memo.setdefault(id(self), out)


class PretendGenerator(torch.Generator):
    """What ``torch.Generator("pretend")`` gives; the numbers are those of the CPU generator, so that runs can be compared."""

    _numbers: ClassVar[set[int]] = set()  # _cdata of those alive: torch hands a new Python object of the same C++ generator to dispatch

    def __init__(self):
        self._numbers.add(self._cdata)

    def __del__(self):
        self._numbers.discard(self._cdata)

    device = property(lambda self: torch.device(NAME, 0))


_real_generator = torch.Generator


class _GeneratorMeta(type):
    def __instancecheck__(cls, thing):
        return isinstance(thing, _real_generator)


class _Generator(metaclass=_GeneratorMeta):
    """Stands for ``torch.Generator`` after :func:`install`."""

    def __new__(cls, device: Any = "cpu"):
        return PretendGenerator() if torch.device(device).type == NAME else _real_generator(device)


def _is_our_generator(thing: Any) -> bool:
    return isinstance(thing, _real_generator) and thing._cdata in PretendGenerator._numbers


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


# What CUDA refuses.
MAY_MIX = {aten.copy_.default, aten._to_copy.default, aten._copy_from.default, aten._has_compatible_shallow_copy_type.default}
INDEX_PUT = {aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default, aten._unsafe_index_put.default}
INDEXING = INDEX_PUT | {aten.index.Tensor, aten._unsafe_index.Tensor}  # indices may be on the CPU
SCALAR_TOO = {aten.masked_fill_.Tensor, aten.masked_fill.Tensor, aten.fill_.Tensor, aten.where.self, aten.index_fill_.int_Tensor}
SYNCS = {  # CUDA's kernels read a number back before they can go on
    aten._local_scalar_dense.default: "item", aten.nonzero.default: "nonzero", aten.masked_select.default: "masked_select",
    aten._unique2.default: "unique", aten.unique_consecutive.default: "unique", aten.unique_dim.default: "unique",
    aten.equal.default: "equal", aten.bincount.default: "bincount", aten.histc.default: "histc", aten.multinomial.default: "multinomial",
    aten.linalg_eigh.default: "linalg", aten._linalg_eigh.default: "linalg", aten._linalg_solve_ex.result: "linalg",
    aten.linalg_inv_ex.default: "linalg", aten._linalg_svd.default: "linalg", aten.linalg_cholesky_ex.default: "linalg",
    aten.is_nonzero.default: "item",
}  # fmt: skip


@lru_cache(maxsize=1)
def cpu_only() -> frozenset[str]:
    """Ops that torch has on the CPU and not on CUDA, from the table that the wheel carries (torchgen)."""
    import torchgen

    text = (Path(torchgen.__file__).parent / "packaged/ATen/native/native_functions.yaml").read_text()
    names = []
    for block in re.split(r"^- func: ", text, flags=re.M)[1:]:
        found = re.search(r"^  dispatch:\n((?:    .*\n|\s*#.*\n)+)", block, flags=re.M)
        keys = set(re.findall(r"[A-Za-z0-9]+", " ".join(re.findall(r"^    ([^:#\n]+):", found[1], flags=re.M)))) if found else set()
        if "CPU" in keys and "CUDA" not in keys and not any(k.startswith("Composite") for k in keys):
            names.append(block[: block.index("(")])
    return frozenset(names)


@cache
def _composite(func: Any) -> bool:
    return torch._C._dispatch_has_kernel_for_dispatch_key(func.name(), "CompositeImplicitAutograd")


def _mixed() -> RuntimeError:
    return RuntimeError(f"Expected all tensors to be on the same device, but found at least two devices, {NAME}:0 and cpu!")


def _check(func: Any, flat: list[Any]) -> None:
    name = func._schema.name.split("::")[1] + (f".{func._overloadname}" if func._overloadname != "default" else "")
    if func.namespace == "aten" and name in cpu_only():
        raise NotImplementedError(f"Could not run 'aten::{name}' with arguments from the '{NAME}' backend: CUDA does not have it either")
    for a in flat:
        if isinstance(a, _real_generator) and not _is_our_generator(a):
            raise RuntimeError(f"Expected a '{NAME}' device type for generator but found 'cpu'")
    if func in INDEXING:
        if not isinstance(flat[0], PretendTensor):
            raise RuntimeError("indices should be either on cpu or on the same device as the indexed tensor (cpu)")
        value = next(a for a in reversed(flat) if isinstance(a, torch.Tensor)) if func in INDEX_PUT else None
        if isinstance(value, torch.Tensor) and not isinstance(value, PretendTensor) and value.dim() > 0:
            raise _mixed()
        return
    if func in MAY_MIX:
        return
    scalars_too = torch.Tag.pointwise in func.tags or func in SCALAR_TOO
    for a in flat:
        if isinstance(a, torch.Tensor) and not isinstance(a, PretendTensor) and not (scalars_too and a.dim() == 0):
            raise _mixed()


class Seen:
    """What happened while watched: counters over (kind, place); ``cpu`` is work on tensors of the CPU."""

    def __init__(self):
        self.syncs: Counter[tuple[str, str]] = Counter()
        self.uploads: Counter[tuple[str, str]] = Counter()
        self.cpu: Counter[tuple[str, str]] = Counter()
        self.ops = 0

    def table(self, which: str = "syncs") -> str:
        """One line for each kind and place."""
        return "\n".join(f"{n:5d}  {kind:16s} {place}" for (kind, place), n in getattr(self, which).most_common())

    def total(self, which: str = "syncs") -> int:
        return sum(getattr(self, which).values())


_seen: Seen | None = None


def _place() -> str:
    """file:line of the innermost frame in the project; "elsewhere": the test itself, or autograd's thread of the device."""
    frame = sys._getframe(1)
    while frame is not None:
        file = frame.f_code.co_filename
        if file != __file__ and "/tests/" not in file and "site-packages" not in file:
            for part in PROJECT:
                if part in file:
                    return f"{file[file.rindex(part) + 1 :]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"


def _note(which: str, kind: str) -> None:
    if _seen is not None:
        getattr(_seen, which)[kind, _place()] += 1


def _count(func: Any, args: Any, kwargs: Any) -> None:
    if _seen is None:
        return
    _seen.ops += 1
    if func in SYNCS:
        _note("syncs", SYNCS[func])
    elif func in INDEXING:
        put = func in INDEX_PUT
        accumulate = (args[3] if len(args) > 3 else kwargs.get("accumulate", False)) if put else False
        filled = put and not accumulate and isinstance(args[2], torch.Tensor) and args[2].dim() == 0
        for index in args[1]:
            if index is None:
                continue
            if index.dtype in (torch.bool, torch.uint8) and not filled:
                _note("syncs", "boolean index")
            if not isinstance(index, PretendTensor):
                _note("uploads", "cpu index")
    elif func is aten.repeat_interleave.Tensor and kwargs.get("output_size") is None:
        _note("syncs", "repeat_interleave")
    elif func in (aten.copy_.default, aten._to_copy.default, aten._copy_from.default):
        _count_copy(func, args, kwargs)


def _count_copy(func: Any, args: Any, kwargs: Any) -> None:
    blocking = not kwargs.get("non_blocking", args[2] if len(args) > 2 else False)
    if func is aten._to_copy.default:
        source, down = args[0], kwargs.get("device") is not None and not _is_ours(kwargs["device"])
        up = _is_ours(kwargs.get("device"))
    else:
        to, source = (args[0], args[1]) if func is aten.copy_.default else (args[1], args[0])
        down, up = not isinstance(to, PretendTensor), isinstance(to, PretendTensor)
    if isinstance(source, PretendTensor) and down and blocking:
        _note("syncs", "copy to cpu")
    elif not isinstance(source, PretendTensor) and up:
        _note("uploads", "copy to device" if blocking else "copy, not waiting")


def run(func: Any, args: Any, kwargs: Any) -> Any:
    """One op below autograd: check it as CUDA would, run it on the held tensors, wrap what comes out."""
    if func is aten.is_pinned.default:
        return False
    if func.namespace not in ("aten", "prims"):  # an op written in Python: its body runs on the device's tensors
        body = torch._library.custom_ops.OPDEFS.get(func._schema.name)
        if body is not None:
            return body._init_fn(*args, **kwargs)
    if _composite(func):  # below autograd (in the body of an op written in Python) torch hands these over in one piece
        return func.decompose(*args, **kwargs)
    flat = pytree.tree_leaves((args, kwargs))
    _check(func, flat)
    _count(func, args, kwargs)
    wanted = kwargs.get("device")
    ours = _is_ours(wanted) if wanted is not None else any(isinstance(a, PretendTensor) for a in flat)
    if func is aten._copy_from.default:
        args[1].held.copy_(args[0]) if isinstance(args[1], PretendTensor) else args[1].copy_(args[0].held)
        return args[1]
    held_args, held_kwargs = pytree.tree_map_only(PretendTensor, lambda t: t.held, (args, kwargs))
    if wanted is not None:
        held_kwargs = {**held_kwargs, "device": torch.device("cpu")}
    held_kwargs.pop("pin_memory", None)
    if func is aten._to_copy.default:
        held_kwargs.pop("non_blocking", None)
    out = func(*held_args, **held_kwargs)
    if torch.Tag.inplace_view in func.tags:
        raise NotImplementedError(f"{func} changes a tensor's shape in place: not on the pretend device")
    return _wrapped(func, args, kwargs, out, ours)


def _wrapped(func: Any, args: Any, kwargs: Any, out: Any, ours: bool) -> Any:
    """An argument that was written to is returned itself; other results are wrapped."""
    returns = func._schema.returns
    if not returns:
        return None
    written = {}
    for i, argument in enumerate(func._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            value = kwargs.get(argument.name) if argument.kwarg_only or i >= len(args) else args[i]
            written[tuple(argument.alias_info.before_set)] = value
            if isinstance(value, PretendTensor) and value.shape != value.held.shape:
                raise NotImplementedError(f"{func} resized its output: not on the pretend device")

    def wrap(value):
        return PretendTensor(value) if ours and type(value) is torch.Tensor else value

    single = not isinstance(out, tuple) and len(returns) == 1
    results = []
    for value, what in zip((out,) if single else out, returns, strict=False):
        alias = what.alias_info
        results.append(written[tuple(alias.before_set)] if alias is not None and alias.is_write else pytree.tree_map(wrap, value))
    return results[0] if single else tuple(results)


FACTORY = re.compile(
    r"^(empty|zeros|ones|full|rand|randn|randint|randperm|arange|linspace|logspace|eye|scalar_tensor|tril_indices|triu_indices)"
)


class _Watch(TorchDispatchMode):
    """Sees ops of the CPU as well: generators of the wrong device, tensors made or computed there."""

    def __init__(self, seen: Seen):
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None):
        kwargs = kwargs or {}
        flat = pytree.tree_leaves((args, kwargs))
        if not (any(isinstance(a, PretendTensor) for a in flat) or _is_ours(kwargs.get("device"))):
            if any(_is_our_generator(a) for a in flat):
                raise RuntimeError(f"Expected a 'cpu' device type for generator but found '{NAME}'")
            name = func._schema.name.split("::")[1]
            if any(isinstance(a, torch.Tensor) and a.dim() > 0 for a in flat) or FACTORY.match(name):
                self.seen.cpu[name, _place()] += 1
        return func(*args, **kwargs)


@contextmanager
def watch() -> Iterator[Seen]:
    """Count synchronisations, uploads and work on tensors of the CPU."""
    global _seen
    before, _seen = _seen, Seen()
    try:
        with _Watch(_seen):
            yield _seen
    finally:
        _seen = before


def _factories() -> Iterator[Any]:
    """Overloads with a device and no tensor among their arguments."""
    for full in torch._C._dispatch_get_all_op_names():
        space, _, rest = full.partition("::")
        name, _, overload = rest.partition(".")
        if space != "aten":
            continue
        op = getattr(getattr(aten, name, None), overload or "default", None)
        if op is None:
            continue
        arguments = op._schema.arguments
        from_nothing = any(a.name == "device" for a in arguments) and not any("Tensor" in str(a.type) for a in arguments)
        if from_nothing and str(op._schema.returns[0].type) == "Tensor" and "sparse" not in name and "quantized" not in name:
            yield op


_kept: list[Any] = []


def install() -> torch.device:
    """Register the device, once per process."""
    if _kept:
        return torch.device(NAME, 0)
    torch.utils.backend_registration._setup_privateuseone_for_python_backend(NAME)
    anything = torch.library.Library("_", "IMPL")
    anything.fallback(lambda op, *args, **kwargs: run(op, args, kwargs), "PrivateUse1")
    some = torch.library.Library("aten", "IMPL")
    for op in [aten._copy_from.default, *_factories()]:  # their composites would make an empty tensor and resize it
        name = op._schema.name + (f".{op._overloadname}" if op._overloadname != "default" else "")
        some.impl(name.split("::")[1], lambda *args, _op=op, **kwargs: run(_op, args, kwargs), "PrivateUse1")
    torch.Generator = _Generator  # pyright: ignore[reportAttributeAccessIssue]
    _kept.extend([anything, some])
    return torch.device(NAME, 0)
