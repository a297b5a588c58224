"""Errors that a user can act on.

Every error that is the user's to mend is a :class:`ReconError`: it says what is wrong, where, and what to do. The command line
turns it into its exit code; anything else that escapes is a bug (exit code 1).
"""

from __future__ import annotations

import errno
import shlex
from pathlib import Path


class ReconError(Exception):
    """Base of all errors shown to users without a traceback.

    Args:
        message: What is wrong and where (file, frame).
        hint: What to do about it, one sentence.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str | None = None):
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}\n  -> {self.hint}"


class UsageError(ReconError):
    """The command or the configuration asks for something that does not exist or does not fit."""

    exit_code = 2


class DataError(ReconError):
    """A dataset, a run folder or a checkpoint is missing, broken or contradicts itself.

    Args:
        message: One line naming the dataset.
        problems: Every problem found, each naming its file and frame; at most 20 are shown.
        hint: What to do.
    """

    exit_code = 3
    max_shown = 20

    def __init__(self, message: str, problems: list[str] | None = None, hint: str | None = None):
        self.problems = list(problems or [])
        lines = [message, *(f"  - {p}" for p in self.problems[: self.max_shown])]
        if len(self.problems) > self.max_shown:
            lines.append(f"  - and {len(self.problems) - self.max_shown} more")
        super().__init__("\n".join(lines), hint)


class CapabilityError(ReconError):
    """Something optional (an extra, a backend, a device) is needed and absent."""

    exit_code = 4


class MemoryLimitError(ReconError):
    """The work does not fit into memory."""

    exit_code = 5


class DivergedError(ReconError):
    """Training produced a value that is not finite; the last good checkpoint is kept."""

    exit_code = 6


class StorageError(ReconError):
    """The operating system refuses: the disk is full or read-only, a folder may not be written to, a name is too long."""

    exit_code = 7


class Interrupted(ReconError):
    """The user stopped the run; a checkpoint was saved."""

    exit_code = 130


_REMEDIES = {
    errno.ENOSPC: "free some space on that disk, then run it again; a run goes on with recon resume RUN",
    errno.EDQUOT: "your quota on that disk is used up: free some space, then run it again; a run goes on with recon resume RUN",
    errno.EFBIG: "the disk takes no file that large",
    errno.EACCES: "give --out a folder that you may write to, or ask for the right to read the file",
    errno.EPERM: "give --out a folder that you may write to",
    errno.EROFS: "that disk is read-only: give --out another folder",
    errno.ENAMETOOLONG: "use shorter names, or an --out that is less deep",
    errno.ENOTDIR: "a file is in the place of a folder: give --out another name",
    errno.EISDIR: "a folder is in the place of a file: give --out another name",
    errno.EEXIST: "something of that name exists: give --out another name",
    errno.EMFILE: "too many files are open: raise the limit with ulimit -n",
    errno.EIO: "the disk reports a fault: look at it before you write to it again",
}


def refused(error: OSError) -> StorageError:
    """What the operating system refused, as an error for the user: path, reason, remedy."""
    where = [str(name) for name in (error.filename, error.filename2) if name is not None]
    return StorageError(": ".join([*where[:1], error.strerror or str(error)]), _REMEDIES.get(error.errno or 0))


def recon_command(*words: object) -> str:
    """A command of this program as it can be pasted into a shell: "recon resume 'runs/my runs/a'"."""
    return shlex.join(["recon", *map(str, words)])


def require_extra(module: str, extra: str, purpose: str):
    """Import an optional dependency, or say which extra brings it.

    Args:
        module: Import name, e.g. ``"viser"``.
        extra: Name of the extra in this project's ``pyproject.toml``, e.g. ``"viewer"``.
        purpose: What needs it, for the message.
    Returns:
        The imported module.
    Raises:
        CapabilityError: If it cannot be imported.
    """
    import importlib

    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise CapabilityError(
            f"{purpose} needs the package '{module.split('.')[0]}', which is not installed ({error})",
            install_hint(extra),
        ) from error


def install_hint(extra: str) -> str:
    """The command that installs an extra from where this program came: a clone, which pip can be told by its address.

    The name stands in no public registry, so the name alone would install nothing, or something else.
    """
    root = Path(__file__).resolve().parent.parent
    if (root / "pyproject.toml").is_file():
        return f"pip install 'formfield[{extra}] @ {root.as_uri()}'"
    return f"install the program's wheel again with the extra: pip install 'formfield[{extra}] @ file:///PATH/TO/THE.whl'"
