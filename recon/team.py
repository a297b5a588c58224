"""Several processes that train one run: ``torchrun --nproc-per-node N -m recon train DATA``.

Each has a share of the rays of every step; gradients and figures are averaged (NCCL between GPUs, gloo between CPUs), so that all have the
same model at every step. The first one, the lead, is the one that writes: the others work in folders of their own, which are thrown away,
and end when training ends.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist
from torch import Tensor

from recon.errors import DataError, UsageError

if TYPE_CHECKING:
    from recon.fields.base import ParameterGroup
    from recon.methods.base import Losses, Method
    from recon.runs import Run


NUMBERS = torch.device("cpu")
"""Where the numbers of a step are, whatever the device of the model."""


@dataclass(frozen=True)
class Team:
    """The processes that train together.

    Args:
        rank: This one's number, from 0.
        size: How many there are.
    """

    rank: int = 0
    size: int = 1

    @property
    def lead(self) -> bool:
        """Whether this process writes."""
        return self.rank == 0

    def share(self, rays: int) -> int:
        """This process's part of the rays of a step, at least one."""
        return max(1, rays // self.size + (self.rank < rays % self.size))

    def mean(self, losses: Losses, rays: int) -> tuple[Losses, int]:
        """What the step gave in all: means of the numbers, sums of samples and rays. ``total`` stays this process's.

        Raises:
            DataError: If the processes differ in what they compute.
        """
        if self.size == 1:
            return losses, rays
        names, figures = sorted(losses.terms), sorted(losses.figures)
        numbers = [rays, losses.samples, losses.value, losses.squared_error, *(losses.terms[n] for n in names)]
        numbers += [losses.figures[n] for n in figures]
        lengths = torch.tensor([len(numbers), -len(numbers)], device=NUMBERS)
        dist.all_reduce(lengths, dist.ReduceOp.MAX)
        if lengths[0] != -lengths[1]:
            raise DataError("the processes compute different losses", hint="start all of them with the same version and the same command")
        summed = torch.tensor(numbers, dtype=torch.float64, device=NUMBERS)
        dist.all_reduce(summed)
        total_rays, samples, *means = [summed[0], summed[1], *summed[2:] / self.size]
        value, squared, *rest = (float(m) for m in means)
        terms, others = dict(zip(names, rest, strict=False)), dict(zip(figures, rest[len(names) :], strict=True))
        shared = replace(losses, value=value, squared_error=squared, terms=terms, figures=others, samples=int(samples))
        return shared, int(total_rays)

    def average(self, groups: list[ParameterGroup]) -> None:
        """The mean of all processes' gradients in the place of each one's own. A parameter that none has a gradient of keeps none."""
        if self.size == 1:
            return
        have = torch.tensor([g.tensor.grad is not None for g in groups], dtype=torch.int32, device=NUMBERS)
        dist.all_reduce(have, dist.ReduceOp.MAX)
        for group, some in zip(groups, have.tolist(), strict=True):
            if not some:
                continue
            grad = group.tensor.grad
            grad = torch.zeros_like(group.tensor.data) if grad is None else grad.contiguous()
            dist.all_reduce(grad)
            group.tensor.grad = grad.div_(self.size)

    def agree(self, method: Method) -> None:
        """The lead's parameters and grids for all."""
        if self.size == 1:
            return
        with torch.no_grad():
            for _, tensor in sorted(method.state_dict(keep_vars=True).items()):  # pyright: ignore[reportCallIssue]
                _broadcast(tensor.data)

    def any(self, wish: bool) -> bool:
        """Whether one of them wishes it: all stop at the same step."""
        if self.size == 1:
            return wish
        flag = torch.tensor([int(wish)], device=NUMBERS)
        dist.all_reduce(flag, dist.ReduceOp.MAX)
        return bool(flag)

    @contextmanager
    def lead_first(self) -> Iterator[None]:
        """The lead does it, then the others: what it writes for all is there then."""
        if self.size > 1 and not self.lead:
            _meet()
        yield
        if self.size > 1 and self.lead:
            _meet()

    @contextmanager
    def own_folder(self, out: Path) -> Iterator[Path]:
        """Where this process writes: ``out`` for the lead, for the others a folder that is gone afterwards."""
        if self.lead:
            yield out
            return
        with tempfile.TemporaryDirectory(prefix="formfield-") as folder:
            yield Path(folder)

    @contextmanager
    def own_run(self, run: Run) -> Iterator[Run]:
        """The run itself for the lead; for the others a copy of what going on needs, before the lead changes anything."""
        if self.lead:
            if self.size > 1:
                _meet()
            yield run
            return
        with tempfile.TemporaryDirectory(prefix="formfield-") as folder:
            for name in ("config.yaml", "scene.json", "status.json"):
                shutil.copy(run.folder / name, folder)
            if run.checkpoints.is_dir():
                shutil.copytree(run.checkpoints, Path(folder) / run.checkpoints.name)
            _meet()
            yield replace(run, folder=Path(folder))


def _meet() -> None:
    """Wait for each other, by way of the CPU: a barrier of NCCL would take the first GPU for everybody's."""
    dist.all_reduce(torch.zeros(1, device=NUMBERS))


def _broadcast(tensor: Tensor) -> None:
    sent = tensor.contiguous()
    bits = sent.view(torch.uint8) if sent.dtype == torch.bool else sent
    dist.broadcast(bits, 0)
    if sent is not tensor:
        tensor.copy_(sent)


ALONE = Team()


def _number(name: str, default: int) -> int:
    text = os.environ.get(name, "")
    return int(text) if text.isdecimal() else default


def here() -> Team:
    """The team that this process was started in: alone, but under torchrun."""
    size = max(_number("WORLD_SIZE", 1), 1) if "MASTER_ADDR" in os.environ else 1
    return Team(min(_number("RANK", 0), size - 1), size)


def local_rank() -> int:
    """This process's number on its machine, for its GPU."""
    return _number("LOCAL_RANK", 0) if here().size > 1 else 0


TOGETHER = ("reconstruct", "train", "resume")
"""Commands that several processes can do together."""


@contextmanager
def gathered(device: str) -> Iterator[Team]:
    """Meet the other processes of this one's team, while the context lasts.

    Args:
        device: Where this process computes.
    """
    team = here()
    if team.size == 1:
        yield team
        return
    kind = torch.device(device).type
    # The numbers of a step are on the CPU whatever the device: gloo for these. The lead may be busy for long with data.
    dist.init_process_group("gloo" if kind == "cpu" else f"cpu:gloo,{kind}:nccl", timeout=timedelta(days=1))
    try:
        yield team
    finally:
        dist.destroy_process_group()


def refuse_together(command: str) -> None:
    """Raise unless one process is at work, or the command is one of :data:`TOGETHER`."""
    if here().size > 1 and command not in TOGETHER:
        raise UsageError(f"{command} is done by one process, and this is one of {here().size}", f"torchrun is for {', '.join(TOGETHER)}")
