"""What is minimised is the sum of the terms that are reported, for every method and background."""

from __future__ import annotations

import pytest
import torch

from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.model import build_method
from recon.rendering.rays import PixelBank
from tests.tiny import TINY_SETTINGS, tiny_scene

ALWAYS = {"volsdf": {"color", "eikonal", "curvature"}, "radiance": {"color"}, "nef": {"color", "consistency", "sparsity"}}


@pytest.mark.parametrize("background", ["alpha", "unknown", (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("method", ["volsdf", "radiance", "nef"])
def test_the_total_is_the_sum_of_the_terms(method, background):
    config = with_overrides(preset_config(method, "hashgrid", "fast"), [*TINY_SETTINGS, "volsdf.curvature_weight=0.5"])
    model = build_method(config, background, 8)
    model.set_progress(0.5)  # all terms have their weight
    generator = torch.Generator().manual_seed(0)
    rays, targets = PixelBank(tiny_scene(background)).draw(200, generator)
    found = model.losses(rays, targets, generator)
    assert float(found.total.detach()) == pytest.approx(sum(found.terms.values()), rel=1e-5)
    wanted = set(ALWAYS[method])
    if method == "volsdf":
        wanted |= {"free_space"} if background == "alpha" else {"squared", "opacity"} if background == "unknown" else set()
    assert set(found.terms) == wanted
    assert all(value > 0 for value in found.terms.values())


@pytest.mark.parametrize(
    ("weight", "term"), [("eikonal_weight", "eikonal"), ("free_space_weight", "free_space"), ("curvature_weight", "curvature")]
)
def test_a_weight_scales_its_term_in_the_total(weight, term):
    """Twice the weight is twice the term, in the total too, and nothing else changes."""
    found = []
    for factor in (1.0, 2.0):
        config = with_overrides(preset_config("volsdf", "hashgrid", "fast"), [*TINY_SETTINGS, f"volsdf.{weight}={0.3 * factor}"])
        model = build_method(config, "alpha", 8)
        model.set_progress(0.5)
        generator = torch.Generator().manual_seed(0)
        rays, targets = PixelBank(tiny_scene()).draw(200, generator)
        found.append(model.losses(rays, targets, generator))
    one, two = found
    assert two.terms[term] == pytest.approx(2.0 * one.terms[term], rel=1e-5)
    assert float(two.total.detach()) - float(one.total.detach()) == pytest.approx(one.terms[term], rel=1e-3, abs=1e-6)
