"""How a process ends when something is wrong: a line on stderr, and an exit code."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from recon.errors import CapabilityError, Interrupted, MemoryLimitError, ReconError


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """End the process as errors say: 0 ok, 1 bug, 2 usage, 3 bad data, 4 missing capability, 5 out of memory, 6 diverged, 130
    interrupted."""
    try:
        yield
    except ReconError as error:
        _say(f"error: {error}")
        sys.exit(error.exit_code)
    except MemoryError as error:
        _say(f"error: out of memory ({error}); try --downscale 2 or a smaller resolution")
        sys.exit(MemoryLimitError.exit_code)
    except KeyboardInterrupt:
        _say("interrupted")
        sys.exit(Interrupted.exit_code)
    except Exception as error:
        # The kernels know nothing of this package's errors: a forced backend that is missing is the user's to mend.
        kernels_module = sys.modules.get("kernels")
        if kernels_module is not None and isinstance(error, kernels_module.BackendError):
            _say(f"error: {error}")
            sys.exit(CapabilityError.exit_code)
        raise


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
