"""The learning rate over a run, and what the seed decides."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.config.values import TrainConfig
from recon.model import build_method
from recon.optimizer import learning_rate
from tests.tiny import TINY_SETTINGS

CONFIG = TrainConfig(steps=1000, lr=0.01, lr_final=0.03, warmup_steps=50, decay_from=0.3)


@pytest.mark.parametrize(
    ("step", "share"),
    [(0, 1 / 50), (24, 0.5), (49, 1.0), (300, 1.0), (650, 0.03**0.5), (1000, 0.03)],
)
def test_the_rate_warms_up_stays_and_decays(step, share):
    """At the first step, half-way up, at the decay's start, at its middle (a geometric mean) and at the end."""
    assert learning_rate(CONFIG, step) == pytest.approx(CONFIG.lr * share, rel=1e-9)


def test_halvings_take_the_place_of_the_decay():
    config = replace(CONFIG, lr_halvings=(1 / 3, 2 / 3), warmup_steps=0)
    assert [learning_rate(config, s) / config.lr for s in (0, 333, 334, 666, 667, 1000)] == [1.0, 1.0, 0.5, 0.5, 0.25, 0.25]


@pytest.mark.parametrize("method", ["volsdf", "radiance", "nef"])
@pytest.mark.parametrize("field", ["hashgrid", "neurbf", "rbfnet", "mlp"])
def test_a_seed_decides_the_start(method, field):
    """The same seed twice is the same model; another seed is another one."""
    config = with_overrides(preset_config(method, field, "fast"), [*TINY_SETTINGS, "mlp.width=48"])
    a, b, other = (build_method(replace(config, seed=s), "alpha").state_dict() for s in (0, 0, 1))
    assert all(torch.equal(a[k], b[k]) for k in a)
    assert any(not torch.equal(a[k], other[k]) for k in a)
