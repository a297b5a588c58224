"""That the tests of this folder are skipped exactly where there is no GPU (a condition that is a function, not its value, never skips)."""

import torch
from gpu import BACKENDS, needs_gpu, reason


def test_the_condition_is_a_value():
    for mark in (needs_gpu.mark, *(m for parameter in BACKENDS for m in (mark.mark for mark in parameter.marks))):
        assert isinstance(mark.args[0], bool)
        assert mark.kwargs["reason"]
    assert needs_gpu.mark.args[0] is not torch.cuda.is_available()


def test_the_condition_follows_the_machine(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no GPU" in reason()
    assert "no GPU" in reason("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert reason() == ""
