"""Colour heads of radiance fields: spherical harmonics given by the field itself, against the formula, and on every field."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.fields.base import ParameterGroup, PlainField
from recon.methods.density import HARMONICS, DensityModel, outputs_of
from recon.model import build_method
from recon.optimizer import Adam, learning_rate
from recon.rendering.directions import spherical_harmonics
from recon.rendering.rays import PixelBank
from tests.tiny import TINY_SETTINGS, error_of_one_colour, tiny_scene

SETTINGS = (*TINY_SETTINGS, "mlp.width=32", "mlp.depth=4", "mlp.skip=2", "mlp.frequencies=2", "neurbf.warmup_steps=8", "train.steps=60")


class Given(PlainField):
    """A field whose values are written down."""

    def __init__(self, values: Tensor):
        self.given, self.outputs = values, values.shape[1]

    def values(self, points: Tensor, neighbors: Tensor | None = None) -> Tensor:
        return self.given[: len(points)]

    def values_and_gradient(self, points: Tensor, neighbors: Tensor | None = None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def parameter_groups(self) -> list[ParameterGroup]:
        return []


def test_colour_is_the_sum_of_harmonics():
    """Row by row, channel by channel; and what has no coefficient beyond the first looks the same from everywhere."""
    g = torch.Generator().manual_seed(0)
    values = torch.randn(6, outputs_of("harmonics", 15), generator=g)
    directions = torch.nn.functional.normalize(torch.randn(6, 3, generator=g), dim=1)
    model = DensityModel(Given(values), g, "harmonics")
    density, rgb = model(torch.zeros(6, 3), spherical_harmonics(directions))
    for i in range(6):
        basis = spherical_harmonics(directions[i : i + 1])[0].tolist()
        for c in range(3):
            z = sum(float(values[i, 1 + HARMONICS * c + k]) * basis[k] for k in range(HARMONICS))
            assert float(rgb[i, c]) == pytest.approx(1 / (1 + math.exp(-z)), abs=1e-6)
        assert float(density[i]) == pytest.approx(math.exp(float(values[i, 0]) - 1), rel=1e-5)
    assert model.parameter_groups() == []
    values.view(-1)[:] = 0.0
    values[:, [1, 1 + HARMONICS, 1 + 2 * HARMONICS]] = torch.tensor([1.0, -2.0, 3.0])
    _, same = model(torch.zeros(6, 3), spherical_harmonics(directions))
    assert torch.equal(same, same[:1].expand(6, 3))


def test_a_field_of_another_width_is_refused():
    with pytest.raises(AssertionError):
        DensityModel(Given(torch.zeros(1, 16)), torch.Generator(), "harmonics")


def test_the_coordinate_network_gives_harmonics():
    """A step of it takes long, so only once: the loss is finite and reaches every parameter, and there is no colour network."""
    config = with_overrides(preset_config("radiance", "mlp", "fast"), [*SETTINGS, "radiance.head=harmonics", "radiance.step=0.1"])
    model = build_method(config, "alpha")
    rays, targets = PixelBank(tiny_scene()).draw(16, torch.Generator().manual_seed(0))
    loss = model.losses(rays, targets, torch.Generator().manual_seed(1)).total
    assert math.isfinite(float(loss.detach()))
    loss.backward()
    assert all(g.tensor.grad is not None and bool(g.tensor.grad.any()) for g in model.parameter_groups())
    assert not any("color" in g.name for g in model.parameter_groups())


@pytest.mark.parametrize("field", ["hashgrid", "neurbf", "rbfnet"])
def test_every_field_learns_with_harmonics(field: str):
    """After 60 steps on one batch, half of the error of the best picture of one colour; the state has no colour network, and comes back
    whole."""
    settings = [*SETTINGS, "radiance.head=harmonics"]
    config = with_overrides(preset_config("radiance", field, "fast"), settings)  # pyright: ignore[reportArgumentType]
    model = build_method(config, "alpha")
    assert not any("color" in name for name in model.state_dict())
    generator = torch.Generator().manual_seed(0)
    optimizer = Adam(model.parameter_groups())
    rays, targets = PixelBank(tiny_scene()).draw(96, generator)
    losses = []
    for step in range(config.train.steps):
        if step % 8 == 0:
            model.refresh_occupancy(step, generator)
        found = model.losses(rays, targets, torch.Generator().manual_seed(1))
        losses.append(found.squared_error)
        found.total.backward()
        optimizer.step(learning_rate(config.train, step))
    assert all(math.isfinite(v) for v in losses)
    assert max(losses[-4:]) < 0.5 * error_of_one_colour(targets)
    again = build_method(config, "alpha")
    again.load_state_dict(model.state_dict())
    x = torch.rand(50, 3, generator=torch.Generator().manual_seed(2)) - 0.5
    normals = torch.nn.functional.normalize(x, dim=1)
    assert torch.equal(model.surface_color(x, normals), again.surface_color(x, normals))
