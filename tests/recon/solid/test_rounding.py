"""Round numbers are suggested where they mean something, and nowhere else."""

from __future__ import annotations

import pytest

from recon.solid.rounding import suggest

CASES = [
    # measured, sigma, unit, round number or None
    pytest.param(20.03, 0.05, "mm", 20.0, id="a round number within one sigma"),
    pytest.param(20.03, 0.02, "mm", None, id="beyond one sigma"),
    pytest.param(12.51, 0.02, "mm", 12.5, id="a half"),
    pytest.param(12.26, 0.02, "mm", 12.25, id="a quarter"),
    pytest.param(12.31, 0.015, "mm", 12.3, id="a tenth"),
    pytest.param(12.31, 0.03, "mm", None, id="tenths are too fine for this sigma"),
    pytest.param(12.37, 0.30, "mm", None, id="any number is near a multiple of one"),
    pytest.param(0.01, 0.02, "mm", None, id="nothing is rounded to zero"),
    pytest.param(20.0, None, "mm", None, id="no sigma, no suggestion"),
    pytest.param(20.0, 0.0, None, 20.0, id="exact"),
    pytest.param(6.36, 0.02, "in", 6.35, id="a quarter of an inch"),
    pytest.param(20.0, 0.05, "in", None, id="millimetres in a world of inches"),
]


@pytest.mark.parametrize(("measured", "sigma", "unit", "value"), CASES)
def test_what_is_suggested(measured: float, sigma: float | None, unit: str | None, value: float | None):
    found = suggest(measured, sigma, unit)
    assert (None if found is None else found.value) == pytest.approx(value)


def test_chance_is_that_of_any_number():
    found = suggest(20.03, 0.05, "mm")
    assert found is not None
    assert found.chance == pytest.approx(0.1)  # within 0.05 on either side of every millimetre
    assert found.step == 1.0
