"""Turns between training and rendering: one at a time, and rendering gets at most a share of the time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

DEFAULT_SHARE = 0.15
"""Of the time while training. Training then takes 1 / (1 - 0.15) = 1.18 times as long, and encoding pictures comes on top."""
MOST_CREDIT = 0.3
"""Seconds of rendering that may be saved up, so that a visitor who starts to move sees something at once."""

LOOK_SECONDS = 0.2
"""How often a paused training looks whether it was interrupted: a signal wakes nobody who waits."""


class Gate:
    """Shared by the training thread and the render loop.

    Rendering reads the model while nothing changes it: between two training steps, while training is paused, and after it ended. Time that
    training took earns rendering time; rendering waits while it has none left.

    Args:
        clock: Seconds; for tests.
    """

    def __init__(self, share: float = DEFAULT_SHARE, clock: Callable[[], float] = time.perf_counter):
        self.share = share
        self.training = False
        self.stop_asked = False
        self._clock = clock
        self._changed = threading.Condition()
        self._paused = False
        self._open = False
        self._inside = False
        self._waiting = 0
        self._credit = 0.0
        self._left_at = clock()

    @property
    def paused(self) -> bool:
        return self._paused

    def pause(self, paused: bool) -> None:
        """Hold training after its current step, or let it go on."""
        with self._changed:
            self._paused = paused
            self._changed.notify_all()

    def stop(self) -> None:
        """Ask training to save a checkpoint and end."""
        with self._changed:
            self.stop_asked = True
            self._changed.notify_all()

    def begin(self) -> None:
        """Training starts."""
        with self._changed:
            while self._inside:
                self._changed.wait()
            self.training, self._open, self._left_at = True, False, self._clock()

    def end(self) -> None:
        """Training is over: rendering is free."""
        with self._changed:
            self.training = False
            self._changed.notify_all()

    def between_steps(self, stopping: Callable[[], bool] = lambda: False) -> bool:
        """Called by the training thread: waits while it is paused, and lets rendering have its share.

        Args:
            stopping: Whether training was asked to stop in another way (Ctrl-C): then a pause ends.
        Returns:
            True if training is to stop.
        """
        with self._changed:
            earned = (self._clock() - self._left_at) * self.share / (1.0 - self.share)
            self._credit = min(self._credit + earned, MOST_CREDIT)
            self._open = True
            self._changed.notify_all()
            while self._inside or (self._has_to_wait() and not (self.stop_asked or stopping())):
                self._changed.wait(LOOK_SECONDS)
            self._open = False
            self._left_at = self._clock()
            return self.stop_asked

    def _has_to_wait(self) -> bool:
        return self._paused or (self._waiting > 0 and self._credit > 0.0)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Held by the render loop while it reads the model; keep it short."""
        with self._changed:
            self._waiting += 1
            self._changed.notify_all()
            while self._inside or (self.training and not (self._open and (self._paused or self._credit > 0.0))):
                self._changed.wait()
            self._waiting -= 1
            self._inside = True
        began = self._clock()
        try:
            yield
        finally:
            with self._changed:
                self._inside = False
                if self.training and not self._paused:
                    self._credit -= self._clock() - began
                self._changed.notify_all()
