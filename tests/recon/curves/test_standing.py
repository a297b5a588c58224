"""Edges of a printed support are told from the object's, on made-up points whose owner is known."""

from __future__ import annotations

import numpy as np
import pytest

from recon.curves.wireframe.standing import beside_object


def cameras(lowest: float = 0.5, count: int = 40) -> np.ndarray:
    """All around and above."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    height = lowest + np.linspace(0, 1.5, count)
    return np.stack([2 * np.cos(angle), 2 * np.sin(angle), height], axis=1)


def box_edges(low: np.ndarray, high: np.ndarray, each: int = 100) -> np.ndarray:
    """Points on the twelve edges of a box. [12 each, 3]"""
    t = np.linspace(0, 1, each)
    parts = []
    for axis in range(3):
        for a in (0, 1):
            for b in (0, 1):
                unit = np.zeros((each, 3))
                unit[:, axis], unit[:, axis - 2], unit[:, axis - 1] = t, a, b
                parts.append(low + unit * (high - low))
    return np.concatenate(parts)


def printed(rng: np.random.Generator, count: int, reach: float = 0.9) -> np.ndarray:
    """Points on the plane z = 0."""
    p = rng.uniform(-reach, reach, (4 * count, 2))
    p = p[np.hypot(*p.T) < reach][:count]
    return np.column_stack([p, np.zeros(len(p))])


def turned(rng: np.random.Generator) -> np.ndarray:
    q, r = np.linalg.qr(rng.normal(size=(3, 3)))
    return q * np.sign(np.diag(r)) * [1, 1, np.sign(np.linalg.det(q * np.sign(np.diag(r))))]


BOX = box_edges(np.array([-0.3, -0.2, 0.0]), np.array([0.3, 0.2, 0.4]))


@pytest.mark.parametrize("share", [0.5, 1, 5])
@pytest.mark.parametrize("seed", range(4))
def test_print_is_left_out_and_the_lowest_edges_stay(share, seed):
    """A box on a printed cloth, seen in any frame, with the noise of a field's ridges."""
    rng = np.random.default_rng(seed)
    cloth = printed(rng, int(share * len(BOX)))
    turn, shift = turned(rng), rng.normal(size=3) * 0.05
    points = np.concatenate([BOX, cloth]) + rng.normal(size=(len(BOX) + len(cloth), 3)) * 0.002
    found = beside_object(points @ turn.T + shift, cameras() @ turn.T + shift)
    assert found is not None
    assert found[: len(BOX)].mean() < 0.005
    away = np.maximum(np.abs(cloth[:, 0]) - 0.3, np.abs(cloth[:, 1]) - 0.2)
    assert found[len(BOX) :][away > 0.05].mean() > 0.98
    assert not found[len(BOX) :][away < 0].any()


def test_what_is_below_the_support_goes_too():
    """Reflections in a table, and fog of the field."""
    rng = np.random.default_rng(0)
    points = np.concatenate([BOX, printed(rng, 3000), [[0.0, 0.0, -0.2]]])
    found = beside_object(points, cameras())
    assert found is not None
    assert found[-1]


@pytest.mark.parametrize(
    ("points", "eyes"),
    [
        (BOX, cameras()),  # nothing around it
        (np.concatenate([BOX, printed(np.random.default_rng(0), 3000) - np.array([0, 0, 0.5])]), cameras(-1.2)),  # seen from below too
        (np.concatenate([BOX, box_edges(np.array([0.5, -0.8, 0.0]), np.array([0.9, 0.8, 0.0]))]), cameras()),  # a plate on one side
        (BOX[:50], cameras()),
        (printed(np.random.default_rng(0), 3000), cameras()),  # nothing stands on it
        (np.concatenate([BOX, box_edges(np.array([-0.8, -0.8, 0.0]), np.array([0.8, 0.8, 0.01]), 400)]), cameras()),  # on a thin plate
    ],
)
def test_without_a_support_nothing_is_left_out(points, eyes):
    assert beside_object(points, eyes) is None
