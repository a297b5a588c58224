"""Errors of the kernels. The application turns them into its own user errors."""

from __future__ import annotations


class KernelError(Exception):
    """Base of everything the kernels raise on purpose."""


class ArgumentError(KernelError, ValueError):
    """An argument has the wrong shape, dtype, device or range; the message names it."""


class BackendError(KernelError, RuntimeError):
    """A backend was asked for that cannot run here; the message says why and what to do."""
