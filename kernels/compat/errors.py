"""Errors of the drop-ins: of the kinds that the packages they stand in for raise."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import KernelError


class CompatError(KernelError, RuntimeError):
    """Something that a drop-in does not do; the message names it and what is supported."""


def unsupported(option: str, value: object, supported: Iterable[object]) -> CompatError:
    """The error for a value that is not among those supported."""
    return CompatError(f"{option}: {value!r} is not supported; supported are {', '.join(str(s) for s in supported)}")
