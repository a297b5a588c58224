"""The textured mesh against photographs whose difference from it is known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from recon.data.scene import Camera, View
from recon.evaluation.textured import textured_mesh_metrics
from recon.geometry import look_at
from recon.surface.mesh import Mesh

COLOR = np.array([200, 100, 40], np.uint8)
SPHERE = trimesh.creation.icosphere(6)
BALL = Mesh(np.array(SPHERE.vertices), np.array(SPHERE.faces, np.int32), colors=np.tile(COLOR, (len(SPHERE.vertices), 1)))
CAMERA = Camera(64, 64, 120.0, 120.0, 32.0, 32.0, look_at(np.array([5.0, 1.0, 2.0]), np.zeros(3), np.array([0.0, 0.0, 1.0])))


def coverage(camera: Camera, fine: int = 8) -> np.ndarray:
    """Share of each pixel that shows the unit ball, from the formula of its outline. [H, W]"""
    side = (np.arange(camera.width * fine) + 0.5) / fine
    origins, directions = camera.rays(np.stack(np.meshgrid(side, side), -1))
    b = (origins * directions).sum(-1)
    hit = b**2 - (origins**2).sum(-1) + 1 > 0
    return hit.reshape(camera.height, fine, camera.width, fine).mean((1, 3))


def view(offset: int = 0, background: tuple[float, float, float] | None = None) -> View:
    """The ball in its colour plus an offset: with alpha, or before a constant colour."""
    share = coverage(CAMERA)[..., None]
    color = COLOR.astype(np.float64) + offset
    if background is not None:
        return View("a.png", np.rint(share * color + 255 * (1 - share) * np.array(background)).astype(np.uint8), CAMERA, "test")
    rgb = np.broadcast_to(color, (64, 64, 3))
    return View("a.png", np.rint(np.concatenate([rgb, 255 * share], -1)).astype(np.uint8), CAMERA, "test")


def masked(v: View) -> View:
    """The same with a mask beside the picture instead of alpha."""
    return replace(v, image=v.image[..., :3], mask=v.image[..., 3])


@pytest.mark.parametrize(
    ("shown", "background"),
    [
        (view(), "alpha"),
        (view(background=(0.0, 0.2, 1.0)), (0.0, 0.2, 1.0)),
    ],
    ids=["alpha", "constant"],
)
def test_the_true_mesh_differs_by_its_edges_only(shown, background):
    """Of 2 x 2 rays a pixel of the outline is wrong by an eighth of its area at the most usual; inside nothing is."""
    found = textured_mesh_metrics(BALL, [shown], background)
    assert found is not None
    assert found["psnr"] > 35
    assert np.isnan(found["psnr_masked"]) == (background != "alpha")
    assert (found["views"], found["faces"]) == (1, len(BALL.faces))


@pytest.mark.parametrize("offset", [20, 50])
def test_a_wrong_colour_costs_what_it_differs(offset):
    """Nearly all pixels with alpha above one half are covered whole: there the error is the offset."""
    found = textured_mesh_metrics(BALL, [view(offset)], "alpha")
    assert found is not None
    assert found["psnr_masked"] == pytest.approx(-20 * np.log10(offset / 255), abs=0.5)
    share = coverage(CAMERA).mean()
    assert found["psnr"] == pytest.approx(-20 * np.log10(offset / 255) - 10 * np.log10(share), abs=0.6)


def test_masks_stand_for_alpha_where_there_is_none():
    """A mask as a matte says what alpha says; of an unknown background only whether it is above one half is used."""
    alpha, matte, unknown = (
        textured_mesh_metrics(BALL, [v], background)
        for v, background in ((view(10), "alpha"), (masked(view(10)), "masks"), (masked(view(10)), "unknown"))
    )
    assert alpha is not None
    assert matte is not None
    assert unknown is not None
    assert (matte["psnr"], matte["psnr_masked"]) == (alpha["psnr"], alpha["psnr_masked"])
    assert unknown["psnr"] == pytest.approx(alpha["psnr"], abs=6)


def test_pictures_without_mask_before_an_unknown_background_are_not_compared():
    plain = replace(view(), image=view().image[..., :3])
    assert textured_mesh_metrics(BALL, [plain], "unknown") is None
    found = textured_mesh_metrics(BALL, [plain, replace(masked(view()), name="b.png")], "unknown")
    assert found is not None
    assert [v["view"] for v in found["per_view"]] == ["b.png"]


def test_pictures_are_handed_out():
    kept: list[tuple[str, np.ndarray]] = []
    textured_mesh_metrics(BALL, [view()], "alpha", lambda v, picture: kept.append((v.name, picture)))
    ((name, picture),) = kept
    assert name == "a.png"
    np.testing.assert_allclose(picture[32, 32], COLOR / 255, atol=2e-3)
    np.testing.assert_allclose(picture[0, 0], 1.0)
