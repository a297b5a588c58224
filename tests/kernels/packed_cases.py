"""Shared by the tests of the ops on rays: backends to run, random packed data."""

import pytest
import torch

from kernels import backends


def backend_params(op):
    """Every backend of an op on the CPU; those that cannot run here are skipped with the reason."""
    usable, why = backends.status(op, "cpu")
    return ["reference", pytest.param("cpu", marks=pytest.mark.skipif(not usable, reason=why))]


def packed_offsets(*lengths):
    return torch.tensor([0, *torch.tensor(lengths, dtype=torch.int64).cumsum(0).tolist()], dtype=torch.int64)


def random_offsets(rays, longest, generator):
    n = torch.randint(0, longest + 1, (rays,), generator=generator)
    return torch.cat([torch.zeros(1, dtype=torch.int64), n.cumsum(0)])


def generator(seed):
    return torch.Generator().manual_seed(seed)
