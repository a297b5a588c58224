"""Small inputs rebuilt from what users of such programs reported: each gives what its page says, where the folder of them is there.

Every kind of them is also made up in the tests beside this one, so that a copy of the project without that folder tests them, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from recon.data.listing import natural_key
from recon.data.load import load_scene
from recon.data.scene import Scene
from recon.errors import DataError

CASES = Path(__file__).resolve().parents[4] / "shared" / "cases"
pytestmark = [
    pytest.mark.data,
    pytest.mark.skipif(not CASES.is_dir(), reason=f"the folder of users' cases ({CASES}) is absent"),
]
CENTER, HALF = np.array([119.9, -44.95, 90.64]), 68.4
"""The bracket that most cases show: the middle of what its cameras look at, and a radius that holds it."""


@dataclass(frozen=True)
class Loads:
    """A case that loads: what must be so, and words of its notes or warnings."""

    views: int = 12
    said: tuple[str, ...] = ()
    background: str | None = None
    exact: bool = True
    scale: float = 1.0
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)
    bounded: bool = True
    folder: str = ""
    unit: str | None = None


@dataclass(frozen=True)
class Refused:
    """A case that is refused: words of the message, and how many lines of problems it has."""

    said: tuple[str, ...]
    lines: int | None = 1
    folder: str = ""


UTM = (448262.5, 5411930.25, 112.75)
TABLE: dict[str, Loads | Refused] = {
    "01-no-extension": Loads(),
    "02-backslash-paths": Loads(),
    "03-absolute-paths-other-machine": Loads(said=("another machine",)),
    "04-parent-relative-paths": Loads(said=("beside its folder",), folder="json"),
    "05-several-cameras-portrait-landscape": Loads(bounded=False),
    "06-exif-rotated-upright-intrinsics": Loads(said=("EXIF",), bounded=False),
    "08-masks-jpeg-half-size-1bit": Loads(said=("masks resampled",), background="masks"),
    "09-colmap-named-masks-no-mask_path": Loads(said=("which the dataset does not name",), background="masks"),
    "11-inverted-masks-black-is-object": Loads(said=("black is taken for the object",), background="masks"),
    "13-neus-own-scan-in-metres": Loads(background="masks", folder="scan3", scale=0.001),
    "14-colmap-sparse-bin": Loads(),
    "16-georeferenced-utm": Loads(scale=0.001, offset=UTM),
    "17-tiny-world-1e-6": Loads(scale=1e-6),
    "19-neus2-from_na-opencv-poses": Loads(said=("from_na",), background="alpha"),
    "20-opencv-poses-in-transforms": Loads(said=("--axes opencv",), exact=False, bounded=False),
    "22-left-handed-unity": Refused(("mirrored",)),
    "23-heic-photos": Refused(("HEIC", "JPEG")),
    "27-mixed-image-modes": Loads(said=("CMYK",)),
    "28-premultiplied-alpha": Loads(said=("premultiplied",), background="alpha"),
    "29-palette-transparency": Loads(background="alpha"),
    "30-two-views-registered": Refused(("only 2 views",)),
    "31-three-views": Loads(views=3, said=("too few",), bounded=False),
    "33-all-poses-identity": Refused(("all cameras are equal",)),
    "34-duplicate-frames": Loads(views=17, said=("there twice", "copy_r_000")),
    "36-only-images_4-kept": Loads(said=("images_4/",)),
    "37-images_2-with-full-size-intrinsics": Loads(said=("rescaled",)),
    "38-cropped-pictures-other-aspect": Refused(("another shape",)),
    "39-applied-transform-scale": Loads(said=("applied_transform",)),
    "40-applied-transform-mirrored": Loads(said=("mirror",), exact=False),
    "41-polycam-raw-export": Loads(unit="m"),
    "42-realitycapture-csv": Loads(exact=False, bounded=False),
    "45-middlebury-par": Loads(),
    "47-unicode-nfd-names": Loads(),
    "48-utf16-json": Loads(),
    "49-blendernerf-test-not-rendered": Loads(said=("none of which exists", "held out (2 of 12)"), background="alpha"),
    "51-wild-distortion": Refused(("folds back",)),
    "52-equirectangular": Refused(("EQUIRECTANGULAR", "supported are")),
    "53-ngp-equirectangular-flag": Refused(("equirectangular", "perspective")),
    "54-neuralangelo-sphere": Loads(said=("sphere_center",)),
    "55-intrinsics-as-strings": Loads(),
    "57-column-major-matrices": Refused(("transposed",)),
    "58-sdfstudio-meta_data": Loads(background="masks"),
    "59-one-sided-180-white": Loads(views=13, exact=False),
    "70-nonsquare-pixels-offcentre": Loads(views=8),
    "72-opencv-tangential": Loads(views=8, said=("distortion",)),
    "73-fisheye-opencv": Loads(views=8, said=("of its resolution",)),
    "75-circular-fisheye-180": Loads(views=8),
    "77-camera_angle_x-only-portrait": Loads(views=8),
    "78-fl_x-of-full-size-no-wh": Refused(("another image size",)),
    "80-forward-facing-grid": Loads(said=("look the same way",)),
    "83-absolute-paths-300-frames": Refused(("300 frames", "absolute")),
    "85-ignore-masks-movable-person": Loads(said=("left out of the loss",), background="unknown", bounded=False),
    "86-jpeg-truncated-tail": Refused(("r_004", "--skip-bad-frames")),
    "87-exposure-drift": Loads(background="alpha"),
    "89-zip-or-video-given": Refused(("a video",), lines=0, folder="capture.mp4"),
    "90-nan-poses-tracking-lost": Refused(("NaN", "--skip-bad-frames"), lines=2),
    "92-parent-folder-given": Loads(said=("bracket_processed/",)),
    "S-05-terminal-escape": Refused(("\\x1b",), folder="data"),
}
DOTS = ("70-", "72-", "73-", "75-", "77-", "80-")
"""Cases that show points at known places instead of the bracket."""


@cache
def truth() -> dict[str, np.ndarray]:
    """Poses of the bracket's views by number, from the case whose file is plain."""
    scene = load_scene(CASES / "01-no-extension", split="all")
    return {str(k): v.camera.world_from_camera for k, v in enumerate(sorted(scene.views, key=lambda v: natural_key(v.name)))}


@pytest.mark.parametrize("name", TABLE)
def test_case(name):
    wanted = TABLE[name]
    path = CASES / name / wanted.folder
    if isinstance(wanted, Refused):
        with pytest.raises(DataError) as caught:
            load_scene(path)
        message = str(caught.value)
        for word in wanted.said:
            assert word in message, message
        assert wanted.lines is None or len(caught.value.problems) == wanted.lines, message
        assert not any(ord(c) < 32 and c != "\n" for c in message)
        assert caught.value.hint
        return
    scene = load_scene(path)
    assert len(scene.views) == wanted.views
    assert wanted.background is None or scene.background == wanted.background
    assert scene.unit == wanted.unit
    lines = "\n".join((*scene.notes, *scene.warnings))
    for word in wanted.said:
        assert word in lines, lines
    if name.startswith(DOTS):
        check_dots(scene)
        return
    if wanted.exact and wanted.views == 12:
        check_poses(scene, wanted)
    if wanted.bounded:
        center = (scene.world_from_scene.translation - wanted.offset) / wanted.scale
        np.testing.assert_allclose(center, CENTER, atol=4.0)
        assert 0.9 * HALF < scene.world_from_scene.scale / wanted.scale < 1.1 * HALF


def check_poses(scene: Scene, wanted: Loads) -> None:
    views = sorted(scene.views, key=lambda v: natural_key(Path(v.name).name))
    for k, view in enumerate(views):
        pose = truth()[str(k)]
        np.testing.assert_allclose(view.camera.world_from_camera[:, :3], pose[:, :3], atol=1e-9 if wanted.scale == 1 else 1e-6)
        # UTM coordinates have seven digits before the point, and NeuS's files 32-bit numbers.
        np.testing.assert_allclose(
            (view.camera.center - wanted.offset) / wanted.scale, pose[:, 3], atol=1e-6 if wanted.scale == 1 else 2e-5
        )


def check_dots(scene: Scene) -> None:
    """Bright blobs lie where the cameras project the points to, to a quarter of a pixel in the median."""
    points = np.random.default_rng(0).uniform(-0.8, 0.8, (14, 3))
    errors = []
    for view in scene.views:
        image = view.image[..., :3].mean(2)
        uv, _ = view.camera.project(points)
        gaps = np.linalg.norm(uv[:, None] - uv[None], axis=2) + 99 * np.eye(len(uv))
        for (u, v), gap in zip(uv, gaps.min(axis=1), strict=True):
            column, row = int(u) - 5, int(v) - 5
            if gap < 11 or column < 1 or row < 1 or column + 12 > image.shape[1] or row + 12 > image.shape[0]:
                continue
            part = np.clip(image[row : row + 11, column : column + 11] - 30, 0, None)
            if part.sum() < 200:
                errors.append(11.0)
                continue
            y, x = np.mgrid[0:11, 0:11] + 0.5
            errors.append(np.hypot((part * x).sum() / part.sum() + column - u, (part * y).sum() / part.sum() + row - v))
    assert len(errors) >= 10
    assert np.median(errors) < 0.25


def test_every_case_of_an_input_is_in_the_table():
    """Cases of outputs (O...), of programs' own files (95) and of the viewer (S-01) have their tests where those are."""
    inputs = {p.name for p in CASES.iterdir() if p.is_dir() and not p.name.startswith(("O", "95-", "S-01"))}
    assert inputs == set(TABLE)
