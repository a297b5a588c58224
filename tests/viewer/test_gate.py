"""Turns between training and rendering, with threads that only sleep."""

from __future__ import annotations

import threading
import time

import pytest

from viewer.gate import Gate


class Trainer:
    """Takes steps of a fixed length until it is told to stop."""

    def __init__(self, gate: Gate, step_seconds: float = 0.004):
        self.gate, self.steps, self.step_seconds = gate, 0, step_seconds
        self.inside = False
        self.thread = threading.Thread(target=self._run)
        gate.begin()
        self.thread.start()

    def _run(self) -> None:
        while True:
            self.inside = True
            time.sleep(self.step_seconds)
            self.steps += 1
            self.inside = False
            if self.gate.between_steps():
                break
        self.gate.end()

    def finish(self) -> None:
        self.gate.stop()
        self.thread.join(timeout=10)
        assert not self.thread.is_alive()


def render(gate: Gate, trainer: Trainer, seconds: float, chunk: float = 0.002) -> float:
    """Draw as much as is allowed for a while; the time spent drawing."""
    busy, deadline = 0.0, time.monotonic() + seconds
    while time.monotonic() < deadline:
        with gate.turn():
            assert not trainer.inside
            began = time.perf_counter()
            time.sleep(chunk)
            busy += time.perf_counter() - began
    return busy


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_rendering_gets_its_share_and_no_more(share: float):
    gate = Gate(share)
    trainer = Trainer(gate)
    try:
        render(gate, trainer, 0.3)  # uses up what was saved
        busy = render(gate, trainer, 1.5)
    finally:
        trainer.finish()
    assert 0.25 * share < busy / 1.5 < 1.3 * share


def test_training_does_not_wait_when_nobody_looks():
    gate = Gate(0.5)
    trainer = Trainer(gate, 0.001)
    time.sleep(0.5)
    trainer.finish()
    assert trainer.steps > 100


def test_pausing_holds_the_counter_and_frees_the_view():
    gate = Gate(0.1)
    trainer = Trainer(gate)
    try:
        time.sleep(0.05)
        gate.pause(True)
        time.sleep(0.1)
        held = trainer.steps
        assert render(gate, trainer, 0.4) > 0.25
        assert trainer.steps == held
        gate.pause(False)
        time.sleep(0.2)
        assert trainer.steps > held
    finally:
        trainer.finish()


def test_stopping_ends_a_paused_run():
    gate = Gate()
    trainer = Trainer(gate)
    gate.pause(True)
    time.sleep(0.05)
    trainer.finish()


def test_an_interrupt_ends_a_pause():
    """Ctrl-C only sets a flag; a paused run must see it."""
    gate = Gate()
    gate.begin()
    gate.pause(True)
    asked = threading.Event()
    threading.Timer(0.1, asked.set).start()
    assert gate.between_steps(asked.is_set) is False  # the trainer knows itself that it was asked
    assert asked.is_set()


def test_after_training_rendering_is_free():
    gate = Gate(0.05)
    trainer = Trainer(gate)
    trainer.finish()
    assert render(gate, trainer, 0.2) > 0.1


def test_a_turn_that_fails_is_given_back():
    gate = Gate()
    with pytest.raises(RuntimeError), gate.turn():
        raise RuntimeError
    with gate.turn():
        pass


def test_saved_time_is_bounded():
    """After a long time without visitors, the first one does not hold training for long."""
    now = [0.0]
    gate = Gate(0.5, clock=lambda: now[0])
    gate.begin()
    now[0] = 3600.0
    gate.between_steps()
    assert gate._credit <= 0.3
