"""How many held-out photographs a run is compared with."""

from __future__ import annotations

import pytest

from recon.errors import UsageError
from recon.results.evaluation import evenly


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [
        (5, None, [0, 1, 2, 3, 4]),
        (5, 5, [0, 1, 2, 3, 4]),
        (5, 9, [0, 1, 2, 3, 4]),
        (5, 3, [0, 2, 4]),
        (200, 2, [0, 199]),
        (7, 1, [0]),
        (0, 3, []),
    ],
)
def test_views_are_spread_evenly(count, most, expected):
    assert evenly(list(range(count)), most) == expected  # pyright: ignore[reportArgumentType]


def test_no_view_comes_twice():
    chosen = evenly(list(range(200)), 50)  # pyright: ignore[reportArgumentType]
    assert len(set(chosen)) == 50


def test_less_than_one_view_is_refused():
    with pytest.raises(UsageError, match="--eval-views is 1 or more, or 0"):
        evenly([], -3)
