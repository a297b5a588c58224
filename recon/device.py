"""Where a model is computed: on the CPU or on a GPU. The one place of this package that knows CUDA.

Models, pixels and random numbers of a run are on one device; a function works where its inputs are. Constructors make tensors on the CPU,
so that initial values are the same everywhere, and the whole is moved then. What leaves torch leaves it through :func:`to_numpy`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

import kernels
from recon import team
from recon.errors import CapabilityError, UsageError

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Choice:
    """A device, and why it is this one."""

    device: torch.device
    why: str

    @property
    def line(self) -> str:
        """For the user, with what has no kernel on that device."""
        slow = plain_ops(self.device)
        return f"{self.device} ({self.why})" + (f"; in plain torch, for want of a kernel there: {', '.join(slow)}" if slow else "")


def choose(name: str = "auto") -> Choice:
    """The device that a name stands for.

    Args:
        name: "auto": the first GPU if torch finds one that this program has kernels for, else the CPU. "cpu", "cuda" or "cuda:N": that one.
            Of several processes of one run (:mod:`recon.team`) each takes the GPU with its own number on the machine.
    Raises:
        UsageError: For another name.
        CapabilityError: If the GPU that is asked for is not there, or torch cannot use it.
    """
    kind, _, number = name.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (":" in name and not (kind == "cuda" and number.isdecimal())):
        raise UsageError(f"--device {name}: there is no such device", "give auto, cpu, cuda or cuda:N")
    if kind == "cpu":
        return Choice(CPU, "as asked for")
    if number and team.here().size > 1:
        raise UsageError(
            f"--device {name}: {team.here().size} processes cannot share one GPU", "give auto or cuda: each takes one of its own"
        )
    own = team.local_rank()
    missing = _missing()
    if kind == "auto":
        if missing is not None:
            return Choice(CPU, f"auto: {missing}")
        gpu = torch.device("cuda", own)
        if own >= torch.cuda.device_count():
            raise CapabilityError(
                f"process {own} has no GPU: there are {torch.cuda.device_count()}",
                "start as many processes as there are GPUs, or --device cpu",
            )
        if all(backend == "reference" for backend in kernels.available_backends(gpu)):
            return Choice(CPU, "auto: there is a GPU, but no kernels for it; pip install 'formfield[gpu]' brings their compiler")
        return Choice(gpu, f"auto: {torch.cuda.get_device_name(gpu)}")
    if missing is not None:
        raise CapabilityError(f"--device {name}: {missing}", "use --device cpu, or install a CUDA build of torch beside an NVIDIA driver")
    count = torch.cuda.device_count()
    index = int(number) if number else own
    if index >= count:
        raise CapabilityError(f"--device {name}: there are {count} GPUs, numbered from 0, and this is to be number {index}", "use another")
    gpu = torch.device("cuda", index)
    return Choice(gpu, torch.cuda.get_device_name(gpu))


def _missing() -> str | None:
    """What is missing for a GPU to be used, or None."""
    if torch.version.cuda is None:
        return f"torch {torch.__version__} is built without CUDA"
    if not torch.cuda.is_available():
        return "torch finds no NVIDIA GPU, or no driver for it"
    return None


def plain_ops(device: torch.device) -> list[str]:
    """Ops that have no kernel on a GPU, for which plain torch does what they are for; none on the CPU, which says so itself."""
    if device.type == "cpu":
        return []
    return [row["op"] for row in kernels.backend_report(device) if row["backend"] == "reference"]


def generator_of(device: torch.device, seed: int) -> torch.Generator:
    """A source of random numbers on a device."""
    return torch.Generator(device=device).manual_seed(seed)


def reseeds(device: torch.device) -> bool:
    """Whether random numbers of a run begin anew at every step, from its seed and the step's number.

    So it is on a GPU: the state of its generator means nothing elsewhere, and a run can go on on another device, or another kind of GPU.
    On the CPU one stream goes through the whole run, and its state is in the checkpoints.
    """
    return device.type != "cpu"


def step_seed(seed: int, step: int) -> int:
    """The seed of one step, of which no two are related. In [0, 2^63)"""
    return int.from_bytes(hashlib.blake2b(f"{seed} {step}".encode(), digest_size=8).digest(), "little") >> 1


def to_numpy(tensor: Tensor) -> np.ndarray:
    """The numbers of a tensor, from wherever it is; of one on the CPU the same memory."""
    return tensor.detach().cpu().numpy()


def from_numpy(array: np.ndarray, device: torch.device) -> Tensor:
    """An array as float32 on a device."""
    return torch.from_numpy(np.ascontiguousarray(array, np.float32)).to(device)
