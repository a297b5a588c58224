"""The render loop: every visitor's picture, coarse while the camera moves, finer when it is still. Knows no browser and no model.

A visitor's picture goes through :data:`LEVELS`: ``moving`` is drawn at once, at a size that the measured speed allows; ``still`` and
``full`` follow when nothing has changed for a moment. A change of the camera or of a setting begins again at ``moving``; a finer picture
that is being drawn then is given up after its current chunk of rows. While a model is trained, ``refresh`` asks for finished pictures
again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

_log = logging.getLogger(__name__)

STILL_SECONDS = 0.2
"""Without a change for this long, the camera counts as still."""
LEVELS = ("moving", "still", "full")
LEVEL_SECONDS = {"moving": 0.07, "still": 0.4, "full": float("inf")}
"""How long the rendering of a level may take by the measured speed."""
CHUNK_SECONDS = 0.03
"""About how long a chunk of rows takes: so soon is a picture given up that nobody wants any more."""
LEAST_SIDE = 48
MOST_CHUNK_RAYS = 8192
"""Bounds the memory of a chunk: at most 1024 samples a ray, in practice some tens."""
FIRST_SPEED = 30_000.0
"""Rays a second, before anything was measured."""

O = TypeVar("O")
"""What a visitor wants to see; the loop only hands it on."""


@dataclass(frozen=True)
class Frame:
    """A picture for one visitor.

    Attributes:
        image: [H, W, 3] uint8
        depth_z: Distance along the optical axis, units of the scene that is shown; large where there is nothing. [H, W] float32 or None
        level: One of :data:`LEVELS`.
        seconds: Time its rendering took.
        caption: What the colours mean.
    """

    image: np.ndarray
    depth_z: np.ndarray | None
    level: str
    seconds: float
    caption: str = ""


Painting = Generator[int, None, Frame]
"""Yields the number of rays drawn so far after every chunk of rows, returns the frame."""


@dataclass
class _Visit(Generic[O]):
    """One visitor's state; guarded by the loop's lock."""

    show: Callable[[Frame], None]
    notice: Callable[[str, str], None]
    order: O | None = None
    version: int = 0
    changed_at: float = -1e9
    level: int = 0  # the next to draw; len(LEVELS) when there is nothing to do
    served_at: float = 0.0


class RenderLoop(Generic[O]):
    """Draws pictures in a thread of its own until it is closed.

    Args:
        paint: Begins a picture: order, longest side in pixels (None: as large as wanted), rays per chunk, level.
        size: Pixels (width, height) of an order's full picture.
        turn: Held while a chunk is drawn; see :class:`viewer.gate.Gate`.
        is_live: Whether the model is being trained; the level ``full`` is left out then, as it would be outdated before it is done.
    """

    def __init__(
        self,
        paint: Callable[[O, int, int, int, str], Painting],
        size: Callable[[O], tuple[int, int]],
        turn: Callable[[], AbstractContextManager[None]] = nullcontext,
        is_live: Callable[[], bool] = lambda: False,
    ):
        self._paint, self._size, self._turn, self._is_live = paint, size, turn, is_live
        self._changed = threading.Condition()
        self._visits: dict[int, _Visit[O]] = {}
        self._closed = False
        self.rays_per_second = FIRST_SPEED
        self.frames_done = 0
        self.frames_cancelled = 0
        self._thread = threading.Thread(target=self._run, name="viewer-render", daemon=True)
        self._thread.start()

    def add(self, visitor: int, show: Callable[[Frame], None], notice: Callable[[str, str], None]) -> None:
        """A visitor came. ``show`` and ``notice`` (title, text) are called in the loop's thread."""
        with self._changed:
            self._visits[visitor] = _Visit(show, notice)

    def remove(self, visitor: int) -> None:
        """A visitor left; what is drawn for them is given up."""
        with self._changed:
            self._visits.pop(visitor, None)
            self._changed.notify_all()

    def look(self, visitor: int, order: O | None) -> None:
        """A visitor's camera moved or their settings changed; None: they want no picture now."""
        with self._changed:
            visit = self._visits.get(visitor)
            if visit is None:
                return
            visit.order, visit.version, visit.level = order, visit.version + 1, 0
            visit.changed_at = time.monotonic()
            self._changed.notify_all()

    def refresh(self) -> None:
        """The model changed: draw finished pictures again."""
        with self._changed:
            for visit in self._visits.values():
                if visit.level > 1:
                    visit.level = 1
            self._changed.notify_all()

    def is_idle(self) -> bool:
        """Whether everybody's picture is finished."""
        with self._changed:
            last = len(LEVELS) - (1 if self._is_live() else 0)
            return all(v.order is None or v.level >= last for v in self._visits.values())

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        self._thread.join(timeout=10.0)

    def _run(self) -> None:
        while (job := self._next()) is not None:
            visitor, visit, order, version, level = job
            try:
                frame = self._draw(visit, order, version, level)
                if frame is not None:
                    visit.show(frame)
                    self.frames_done += 1
                    self._advance(visit, version, level)
            except Exception as error:
                # Whatever went wrong concerns this picture; the loop and the other visitors go on.
                _log.warning("rendering failed", exc_info=True)
                self._give_up(visit, version)
                self._tell(visitor, visit, error)

    def _tell(self, visitor: int, visit: _Visit[O], error: Exception) -> None:
        try:
            visit.notice("This view cannot be rendered", f"{type(error).__name__}: {error}")
        except Exception as gone:
            _log.warning("visitor %d cannot be told: %s", visitor, gone)

    def _next(self) -> tuple[int, _Visit[O], O, int, int] | None:
        """Wait for the visitor who was served longest ago among those with something to draw; None when closed."""
        with self._changed:
            while not self._closed:
                now = time.monotonic()
                last = len(LEVELS) - (1 if self._is_live() else 0)
                waiting, soonest = [], None
                for visitor, visit in self._visits.items():
                    if visit.order is None or visit.level >= last:
                        continue
                    ready_at = 0.0 if visit.level == 0 else visit.changed_at + STILL_SECONDS
                    if ready_at <= now:
                        waiting.append((visit.served_at, visitor, visit))
                    else:
                        soonest = min(ready_at, soonest or ready_at)
                if waiting:
                    _, visitor, visit = min(waiting, key=lambda w: w[:2])
                    visit.served_at = now
                    assert visit.order is not None
                    return visitor, visit, visit.order, visit.version, visit.level
                self._changed.wait(None if soonest is None else soonest - now)
        return None

    def _draw(self, visit: _Visit[O], order: O, version: int, level: int) -> Frame | None:
        """Draw one picture chunk by chunk; None if it was given up."""
        width, height = self._frame_size(order, level)
        rays_per_chunk = min(max(int(self.rays_per_second * CHUNK_SECONDS), width), MOST_CHUNK_RAYS)
        painting = self._paint(order, width, height, rays_per_chunk, LEVELS[level])
        busy, rays = 0.0, 0
        while True:
            with self._turn():
                began = time.perf_counter()
                try:
                    rays = next(painting)
                except StopIteration as done:
                    frame = done.value
                    break
                finally:
                    busy += time.perf_counter() - began
            if self._closed or not self._is_wanted(visit, version, level):
                painting.close()
                self.frames_cancelled += 1
                self._measure(rays, busy)
                return None
        self._measure(rays, busy)
        return frame if self._is_wanted(visit, version, level) else None

    def _frame_size(self, order: O, level: int) -> tuple[int, int]:
        """Pixels of a level's picture: as many as its time allows, at the shape of the full picture."""
        width, height = self._size(order)
        seconds = LEVEL_SECONDS[LEVELS[level]]
        scale = min(1.0, (self.rays_per_second * seconds / (width * height)) ** 0.5)
        scale = min(1.0, max(scale, LEAST_SIDE / max(width, height)))
        return max(round(width * scale), 1), max(round(height * scale), 1)

    def _measure(self, rays: int, seconds: float) -> None:
        if rays >= 256 and seconds > 0.0:
            self.rays_per_second = 0.6 * self.rays_per_second + 0.4 * rays / seconds

    def _is_wanted(self, visit: _Visit[O], version: int, level: int) -> bool:
        """Whether to go on with a picture. A coarse one is finished even if the camera moved on: cameras report more often than pictures
        can be drawn, and somebody who moves all the time would see none."""
        with self._changed:
            current = visit.version == version or (level == 0 and visit.order is not None)
            return current and any(v is visit for v in self._visits.values())

    def _advance(self, visit: _Visit[O], version: int, level: int) -> None:
        with self._changed:
            if visit.version == version and visit.level == level:
                visit.level = level + 1

    def _give_up(self, visit: _Visit[O], version: int) -> None:
        with self._changed:
            if visit.version == version:
                visit.level = len(LEVELS)
