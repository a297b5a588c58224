"""How a process ends when something is wrong: a line on stderr, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from recon.errors import CapabilityError, Interrupted, MemoryLimitError, ReconError, refused
from recon.system.stopping import signals_as_interrupts
from recon.system.text import printable

BROKEN_PIPE = 141
"""As shells count a process that ended by SIGPIPE."""


@contextmanager
def errors_as_exit_codes() -> Iterator[None]:
    """End the process as errors say: 0 ok, 1 bug, 2 usage, 3 bad data, 4 missing capability, 5 out of memory, 6 diverged, 7 refused by the
    system (disk full, no permission), 130 interrupted, 141 nobody reads what is printed."""
    try:
        with signals_as_interrupts():
            yield
            sys.stdout.flush()
    except ReconError as error:
        _say(f"error: {printable(str(error))}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        # Of the output (`recon inspect DATA | head -1`): what was to be done is done. Python would try once more, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except OSError as error:
        refusal = refused(error)
        _say(f"error: {printable(str(refusal))}")
        sys.exit(refusal.exit_code)
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
    with suppress(OSError):  # the terminal is gone: there is nobody to tell
        sys.stderr.write(line + "\n")
