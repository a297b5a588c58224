"""CUDA at run time: NVRTC compiles native/cuda/*.cu for the GPU found, cubins are cached, launches go to torch's current stream.

Needs the packages cuda-core, cuda-bindings and nvidia-cuda-nvrtc, and no CUDA toolkit; compiling needs no GPU and no driver either.
"""

# pyright: reportAttributeAccessIssue=false
# (the packages fill their namespaces when they are imported)
from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from cuda.bindings import driver, nvrtc
from cuda.core import LEGACY_DEFAULT_STREAM, Device, Kernel, LaunchConfig, ObjectCode, Program, ProgramOptions, Stream
from cuda.core import launch as cuda_launch
from torch import Tensor

from ...errors import BackendError

NATIVE = Path(__file__).parents[2] / "native"
CACHE_VARIABLE = "FORMFIELD_CACHE"
THREADS = 128  # of a block
SHARED = 48 * 1024  # bytes of shared memory that a block may have without asking
FLAGS = ("c++17", "fmad", "-v")  # what ProgramOptions below stand for, in the key of the cache
REALS = {torch.float32: "float", torch.float64: "double"}

_log = logging.getLogger(__name__)
_INCLUDE = re.compile(r'^\s*#include\s+([<"])([^>"]+)[>"].*$', re.MULTILINE)


@dataclass(frozen=True)
class Unit:
    """One translation unit: a file of native/cuda, with macros.

    Args:
        file: Name without the ending, e.g. ``"march"``.
        defines: Macros and their values.
    """

    file: str
    defines: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Resources:
    """What ptxas says a kernel needs: registers, bytes of local memory (stack), bytes of spills, per thread."""

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int


def unit_of(file: str, like: Tensor, **defines: object) -> Unit:
    """A file of native/cuda compiled for the numbers of ``like``, with further macros."""
    return Unit(file, (("REAL", REALS[like.dtype]), *((name, str(value)) for name, value in defines.items())))


def aligned(tensor: Tensor) -> Tensor:
    """The tensor, or a copy of it if it does not begin at a multiple of 16 bytes, as kernels need that read 16 bytes at a time."""
    return tensor.clone() if tensor.data_ptr() % 16 else tensor


def records(packed: bytes, device: torch.device) -> Tensor:
    """Structures that :mod:`struct` packed, for a kernel to read; their pointers must outlive its launch. uint8 [bytes]"""
    return torch.frombuffer(bytearray(packed or b"\0"), dtype=torch.uint8).to(device)


def source(unit: Unit) -> str:
    """The text that NVRTC compiles: macros, then the file with our headers pasted in; the compiler has the standard ones built in."""
    seen: set[str] = set()

    def paste(text: str) -> str:
        def replace(match: re.Match[str]) -> str:
            name = match[2]
            if match[1] == "<" or name in seen:
                return ""
            seen.add(name)
            return paste((NATIVE / name).read_text().replace("#pragma once", ""))

        return _INCLUDE.sub(replace, text)

    head = "".join(f"#define {name} {value}\n" for name, value in unit.defines)
    return head + paste((NATIVE / "cuda" / f"{unit.file}.cu").read_text())


def compile_unit(unit: Unit, arch: str) -> tuple[bytes, str]:
    """Compile for an architecture such as ``"sm_90"``.

    Returns:
        The cubin, and the log with what ptxas says about each kernel.
    Raises:
        BackendError: If NVRTC rejects the source or does not know the architecture.
    """
    log = io.StringIO()
    options = ProgramOptions(name=f"{unit.file}.cu", arch=arch, std="c++17", ptxas_options=["-v"])
    try:
        code = Program(source(unit), "c++", options).compile("cubin", logs=log).code
    except Exception as error:  # cuda-core has no public base of its errors; the log is in the message
        raise BackendError(f"NVRTC {nvrtc_version()} could not compile {unit.file}.cu for {arch}: {error}") from error
    return bytes(code), log.getvalue()


def resources(log: str) -> dict[str, Resources]:
    """The figures of each kernel in a log of :func:`compile_unit`."""
    found = {}
    for block in log.split("Compiling entry function '")[1:]:
        stack, stores, loads = (int(m) for m in re.findall(r"(\d+) bytes (?:stack frame|spill stores|spill loads)", block)[:3])
        registers = re.search(r"Used (\d+) registers", block)
        if registers is None:
            raise BackendError(f"the compiler's log has no register count: {block!r}")
        found[block.split("'")[0]] = Resources(int(registers[1]), stack, stores, loads)
    return found


@lru_cache(maxsize=1)
def nvrtc_version() -> str:
    """Version of NVRTC.

    Raises:
        BackendError: If the library is not there.
    """
    try:
        status, major, minor = nvrtc.nvrtcVersion()
    except RuntimeError as error:
        raise BackendError(f"NVRTC was not found ({error}); install it with: pip install 'formfield[gpu]'") from error
    if status != nvrtc.nvrtcResult.NVRTC_SUCCESS:
        raise BackendError(f"NVRTC does not work: {status}")
    return f"{major}.{minor}"


def cache_folder() -> Path:
    """Where cubins are kept: $FORMFIELD_CACHE, else formfield in $XDG_CACHE_HOME or ~/.cache."""
    given = os.environ.get(CACHE_VARIABLE)
    return Path(given) if given else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "formfield"


def cubin(unit: Unit, arch: str) -> bytes:
    """The compiled unit, from the cache if it is there. The key covers the whole source, the architecture and the compiler."""
    key = hashlib.sha256("\0".join((source(unit), arch, nvrtc_version(), *FLAGS)).encode()).hexdigest()[:32]
    path = cache_folder() / "cuda" / f"{unit.file}-{arch}-{key}.cubin"
    if path.is_file():
        return path.read_bytes()
    code = compile_unit(unit, arch)[0]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.stem)
        with os.fdopen(handle, "wb") as file:
            file.write(code)
        os.replace(temporary, path)  # readers see the whole file or none
    except OSError as error:
        _log.warning("compiled CUDA kernels are not kept for the next run: %s", error)
    return code


@lru_cache(maxsize=1024)
def _kernel(unit: Unit, entry: str, device: int, shared: int) -> tuple[Kernel, int, ObjectCode]:
    """A kernel, how many of its blocks the whole GPU holds at once, and the module that must live as long as it."""
    Device(device).set_current()
    major, minor = torch.cuda.get_device_capability(device)
    module = ObjectCode.from_cubin(cubin(unit, f"sm_{major}{minor}"))
    kernel = module.get_kernel(entry)
    if shared > SHARED:
        attribute = driver.CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES
        (status,) = driver.cuKernelSetAttribute(attribute, shared, kernel.handle, driver.CUdevice(device))
        if status != driver.CUresult.CUDA_SUCCESS:
            raise BackendError(f"{entry} needs {shared} bytes of shared memory a block, which the GPU does not give: {status}")
    resident = kernel.occupancy.max_active_blocks_per_multiprocessor(THREADS, shared)
    return kernel, resident * Device(device).properties.multiprocessor_count, module


def launch(
    unit: Unit, entry: str, threads: tuple[int, int], *arguments: Tensor | int | float | None, shared: int = 0, stay: bool = False
) -> None:
    """Run a kernel on torch's current stream; nothing for zero threads.

    Args:
        unit: Where it is.
        entry: Its name.
        threads: At least how many along x (blocks of 128), and how many blocks along y.
        arguments: Tensors on one CUDA device, contiguous (passed as pointers; None is a null pointer), integers, numbers.
        shared: Bytes of shared memory of a block that the launch gives it.
        stay: No more blocks along x than the GPU holds at once: each then goes on to further elements by itself.
    """
    if 0 in threads:
        return
    device = next(a.device for a in arguments if isinstance(a, Tensor))
    kernel, held, _ = _kernel(unit, entry, device.index, shared)
    blocks = -(-threads[0] // THREADS)
    with torch.cuda.device(device):
        Device(device.index).set_current()
        handle = torch.cuda.current_stream(device).cuda_stream
        stream = Stream.from_handle(handle) if handle else LEGACY_DEFAULT_STREAM
        config = LaunchConfig(grid=(min(blocks, held) if stay else blocks, threads[1]), block=THREADS, shmem_size=shared)
        cuda_launch(stream, config, kernel, *map(_argument, arguments))


def _argument(value: Tensor | int | float | None) -> int | float:
    """As every kernel takes it: 64-bit integers (pointers are), doubles."""
    if value is None:
        return 0
    return value.data_ptr() if isinstance(value, Tensor) else float(value) if isinstance(value, float) else int(value)
