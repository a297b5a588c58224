"""Every built-in scene also in plain grey."""

from __future__ import annotations

import numpy as np
import pytest

import scenes
from recon.errors import UsageError
from scenes.making.render import RenderOptions


@pytest.mark.parametrize("name", ["crystal", "duck"])
def test_plain_is_the_same_shape_without_texture(name: str):
    textured, plain = scenes.truth(name), scenes.truth(f"scenes:{name}-plain")
    np.testing.assert_array_equal(textured.solid.vertices, plain.solid.vertices)
    assert len(textured.solid.curves) == len(plain.solid.curves)
    options = scenes.SceneOptions(width=64, height=64, train=2, test=0, render=RenderOptions(supersampling=1))
    grey = scenes.load(f"scenes:{name}-plain", options).views[0].image
    color = scenes.load(f"scenes:{name}", options).views[0].image
    np.testing.assert_array_equal(grey[..., 3], color[..., 3])
    inside = grey[..., 3] == 255
    assert np.ptp(grey[inside][:, :3].astype(int), axis=1).max() <= 25  # white light of the sky is a little blue
    assert np.ptp(color[inside][:, :3].astype(int), axis=1).max() > 30


def test_unknown_names_say_what_there_is():
    with pytest.raises(UsageError, match="no built-in scene 'nothing-plain'"):
        scenes.truth("scenes:nothing-plain")
