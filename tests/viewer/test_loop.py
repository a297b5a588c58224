"""The render loop with visitors that are lists and a painter that counts: sizes, refinement, cancelling, errors, fairness."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from viewer.loop import LEVELS, MOST_CHUNK_RAYS, Frame, Painting, RenderLoop

WAIT = 20.0


def until(condition: Callable[[], bool], seconds: float = WAIT) -> bool:
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.002)
    return condition()


@dataclass
class Page:
    """A visitor."""

    frames: list[Frame] = field(default_factory=list)
    notices: list[tuple[str, str]] = field(default_factory=list)

    def levels(self) -> list[str]:
        return [f.level for f in self.frames]

    def notice(self, title: str, text: str) -> None:
        self.notices.append((title, text))


@dataclass
class Painter:
    """Paints the order, a number, into every pixel; sleeps as long as a model of the given speed would take."""

    rays_per_second: float = 2e6
    fail_on: int | None = None
    chunks: list[tuple[int, int]] = field(default_factory=list)
    hold: threading.Event | None = None

    def __call__(self, order: int, width: int, height: int, rays_per_chunk: int, level: str) -> Painting:
        rows = max(1, rays_per_chunk // width)
        for first in range(0, height, rows):
            count = min(rows, height - first) * width
            assert count <= MOST_CHUNK_RAYS or rows == 1
            time.sleep(count / self.rays_per_second)
            if order == self.fail_on:
                raise RuntimeError("no such order")
            self.chunks.append((order, count))
            yield first * width + count
            if self.hold is not None and level == "full":
                assert self.hold.wait(WAIT)
        return Frame(np.full((height, width, 3), order, np.uint8), None, level, 0.0)


@pytest.fixture
def loops() -> Iterator[Callable[..., RenderLoop[int]]]:
    made: list[RenderLoop[int]] = []

    def make(painter: Painter, size: tuple[int, int] = (320, 240), **options) -> RenderLoop[int]:
        made.append(RenderLoop(painter, lambda _: size, **options))
        return made[-1]

    yield make
    for loop in made:
        loop.close()
        assert not loop._thread.is_alive()


def enter(loop: RenderLoop[int], visitor: int = 0) -> Page:
    page = Page()
    loop.add(visitor, page.frames.append, page.notice)
    return page


def test_a_still_camera_is_refined_to_the_full_size_once(loops):
    loop = loops(Painter(rays_per_second=3e5))
    page = enter(loop)
    loop.look(0, 7)
    assert until(lambda: len(page.frames) == 3)
    time.sleep(0.5)
    assert page.levels() == list(LEVELS)
    widths = [f.image.shape[1] for f in page.frames]
    assert widths[0] < widths[1] <= widths[2] == 320
    assert page.frames[2].image.shape == (240, 320, 3)
    assert (page.frames[2].image == 7).all()


def test_sizes_follow_the_measured_speed(loops):
    """Ten times the speed, ten times the pixels; the shape stays that of the window."""
    areas = []
    for speed in (5e4, 5e5):
        loop = loops(Painter(rays_per_second=speed), size=(1600, 1200))
        page = enter(loop)
        for order in range(25):
            shown = len(page.frames)
            loop.look(0, order)
            assert until(lambda n=shown, page=page: len(page.frames) > n)
        height, width = page.frames[-1].image.shape[:2]
        assert width / height == pytest.approx(4 / 3, rel=0.05)
        areas.append(width * height)
        assert loop.rays_per_second == pytest.approx(speed, rel=0.6)
    assert 4 < areas[1] / areas[0] < 25


def test_moving_cancels_within_a_chunk(loops):
    held = threading.Event()
    painter = Painter(hold=held)
    loop = loops(painter, size=(640, 480))
    page = enter(loop)
    loop.look(0, 1)
    assert until(lambda: len(page.frames) == 2)  # moving, still; the full picture is held after its first chunk
    assert until(lambda: len(painter.chunks) > 0 and painter.chunks[-1][0] == 1)
    time.sleep(0.3)
    chunks_of_first = sum(order == 1 for order, _ in painter.chunks)
    loop.look(0, 2)
    held.set()
    assert until(lambda: any((f.image == 2).all() for f in page.frames))
    assert sum(order == 1 for order, _ in painter.chunks) <= chunks_of_first + 1
    assert loop.frames_cancelled == 1
    assert not any(f.level == "full" and (f.image == 1).all() for f in page.frames)


def test_while_it_moves_only_the_coarse_level_is_drawn(loops):
    loop = loops(Painter())
    page = enter(loop)
    for order in range(40):
        loop.look(0, order)
        time.sleep(0.02)
    assert len(page.frames) >= 5
    assert set(page.levels()) == {"moving"}
    assert until(lambda: page.levels()[-1] == "full")
    assert (page.frames[-1].image == 39).all()


def test_an_exception_is_told_once_and_the_loop_lives(loops):
    loop = loops(Painter(fail_on=13))
    page, other = enter(loop), enter(loop, 1)
    loop.look(0, 13)
    assert until(lambda: bool(page.notices))
    time.sleep(0.4)
    assert len(page.notices) == 1
    assert "no such order" in page.notices[0][1]
    assert not page.frames
    assert not other.notices
    loop.look(0, 14)
    loop.look(1, 15)
    assert until(lambda: "full" in page.levels() and "full" in other.levels())


def test_a_visitor_that_cannot_be_shown_anything_does_not_end_the_loop(loops):
    loop = loops(Painter())

    def gone(*_) -> None:
        raise ConnectionError("gone")

    loop.add(0, gone, gone)
    page = enter(loop, 1)
    loop.look(0, 1)
    loop.look(1, 2)
    assert until(lambda: "full" in page.levels())


def test_two_visitors_share_the_loop_fairly(loops):
    """One moves all the time; the other still gets all levels."""
    loop = loops(Painter())
    busy, calm = enter(loop, 0), enter(loop, 1)
    loop.look(1, 200)
    stop = threading.Event()

    def move() -> None:
        order = 0
        while not stop.wait(0.005):
            order = (order + 1) % 100
            loop.look(0, order)

    thread = threading.Thread(target=move)
    thread.start()
    try:
        assert until(lambda: "full" in calm.levels())
    finally:
        stop.set()
        thread.join()
    assert len(busy.frames) >= 2
    assert all((f.image == 200).all() for f in calm.frames)
    assert not any((f.image == 200).all() for f in busy.frames)


def test_a_visitor_who_left_gets_nothing_more(loops):
    loop = loops(Painter(rays_per_second=1e5))
    page = enter(loop)
    loop.look(0, 1)
    assert until(lambda: len(page.frames) >= 1)
    loop.remove(0)
    time.sleep(0.1)
    shown = len(page.frames)
    loop.look(0, 2)
    time.sleep(0.4)
    assert len(page.frames) == shown


def test_refresh_draws_finished_pictures_again_and_no_others(loops):
    loop = loops(Painter(), is_live=lambda: True)
    page, waiting = enter(loop), enter(loop, 1)
    loop.look(0, 1)
    assert until(lambda: page.levels() == ["moving", "still"])
    time.sleep(0.3)
    assert page.levels() == ["moving", "still"]  # a model in training is never drawn at the last level
    loop.refresh()
    assert until(lambda: page.levels() == ["moving", "still", "still"])
    assert not waiting.frames


def test_no_order_means_no_picture(loops):
    loop = loops(Painter())
    page = enter(loop)
    loop.look(0, None)
    time.sleep(0.3)
    assert not page.frames


def test_chunks_are_drawn_in_turn(loops):
    """The turn is held during chunks and released between them."""
    inside, entered = threading.Lock(), []

    class Turn:
        def __enter__(self) -> None:
            assert inside.acquire(timeout=WAIT)
            entered.append(1)

        def __exit__(self, *_) -> None:
            inside.release()

    loop = loops(Painter(), turn=Turn)
    page = enter(loop)
    with inside:
        loop.look(0, 1)
        time.sleep(0.2)
        assert not page.frames
    assert until(lambda: "full" in page.levels())
    assert len(entered) > 3
