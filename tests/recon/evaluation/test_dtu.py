"""DTU's protocol from its files to its figures, on a made-up scan of a ball whose distances are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from recon.data.scene import Camera, View
from recon.errors import DataError, UsageError
from recon.evaluation.dtu import CULL_RADIUS, DtuTruth, cull_by_masks, evaluate_dtu, scan_number
from recon.evaluation.truth.known import read_truth
from recon.geometry import look_at
from recon.surface.mesh import Mesh, keep_faces
from tests.recon.evaluation.dtu_files import write_dtu

CENTER, RADIUS = np.array([100.0, -20.0, 600.0]), 10.0


def ball(radius: float, center: np.ndarray = CENTER) -> Mesh:
    sphere = trimesh.creation.icosphere(5)
    return Mesh(center + radius * np.array(sphere.vertices), np.array(sphere.faces, np.int32))


def join(a: Mesh, b: Mesh) -> Mesh:
    return Mesh(np.concatenate([a.vertices, b.vertices]), np.concatenate([a.faces, b.faces + len(a.vertices)]))


def scan_of(folder: Path, **options) -> DtuTruth:
    truth = read_truth(write_dtu(folder, 24, CENTER, RADIUS, **options)).dtu
    assert truth is not None
    return truth


def masked_views(radius: float, width: int = 400) -> list[View]:
    """Exact outlines of a ball about the centre, from two sides."""
    views = []
    for i, toward in enumerate(([1.0, 0.2, 0.1], [-0.3, 1.0, 0.2])):
        eye = CENTER + 100.0 * np.array(toward) / np.linalg.norm(toward)
        camera = Camera(width, width, 2.0 * width, 2.0 * width, width / 2, width / 2, look_at(eye, CENTER, np.array([0.0, 0.0, 1.0])))
        y, x = np.mgrid[:width, :width] + 0.5
        outline = camera.fx * radius / np.sqrt(100.0**2 - radius**2)
        mask = (np.hypot(x - camera.cx, y - camera.cy) <= outline).astype(np.uint8) * 255
        views.append(View(f"{i}.png", np.zeros((width, width, 3), np.uint8), camera, "train", mask))
    return views


@pytest.mark.parametrize("delta", [0.0, 0.5, -1.0, 3.0])
def test_a_ball_of_another_radius_is_as_far_away_as_it_is(tmp_path, delta):
    found = evaluate_dtu(ball(RADIUS + delta), scan_of(tmp_path), [], "none")
    # Points against points: about a tenth of a millimetre even for the same surface.
    for key in ("d2s", "s2d", "overall"):
        assert found[key] == pytest.approx(np.hypot(abs(delta), 0.1), abs=0.05)
    assert (found["scan"], found["unit"], found["culling"]) == (24, "mm", {"name": "none"})


def test_what_the_scanner_did_not_see_costs_no_accuracy(tmp_path):
    """A knob in unseen voxels counts for nothing, the same knob in seen ones does."""
    knob = ball(2.0, CENTER + np.array([0, 0, -12.0]))
    mesh = join(ball(RADIUS), knob)
    everything = evaluate_dtu(mesh, scan_of(tmp_path / "a"), [], "none")
    upper = evaluate_dtu(mesh, scan_of(tmp_path / "b", seen=lambda p: p[:, 2] > CENTER[2] - 5), [], "none")
    assert upper["d2s"] < 0.13
    assert everything["d2s"] > upper["d2s"] + 0.02
    assert upper["points_observed"] < everything["points_observed"]


def test_what_lies_under_the_table_costs_no_completeness(tmp_path):
    """Half a ball is incomplete, unless the other half is under the plane."""
    whole = ball(RADIUS)
    half = keep_faces(whole, whole.vertices[whole.faces].mean(1)[:, 2] > CENTER[2])
    assert evaluate_dtu(half, scan_of(tmp_path / "a"), [], "none")["s2d"] > 1.0
    table = evaluate_dtu(half, scan_of(tmp_path / "b", plane=(0, 0, 1.0, -CENTER[2] - 0.5)), [], "none")
    assert table["s2d"] < 0.14


def test_distances_of_20_mm_are_left_out_not_clamped(tmp_path):
    far = ball(RADIUS, CENTER + np.array([0, 0, 45.0]))  # its nearest point is 25 mm away
    found = evaluate_dtu(join(ball(RADIUS), far), scan_of(tmp_path), [], "none")
    assert found["d2s"] < 0.13


@pytest.mark.parametrize(("cull", "stays"), [("neus", True), ("2dgs", True), ("monosdf", False)])
def test_masks_are_grown_as_far_as_the_convention_says(cull, stays):
    """A thin ring that the camera sees 5 pixels of 400 outside of the ball's mask: 20 of 1600, beyond MonoSDF's 12 only."""
    view = masked_views(RADIUS)[0]
    toward = view.camera.center - CENTER
    a = np.cross(toward, [0.0, 0.0, 1.0]) / np.linalg.norm(np.cross(toward, [0.0, 0.0, 1.0]))
    b = np.cross(toward, a) / np.linalg.norm(toward)
    outline = RADIUS / np.sqrt(100.0**2 - RADIUS**2) * 100.0  # of the ball, in the plane through its centre
    rings = [CENTER + r * (np.cos(t)[:, None] * a + np.sin(t)[:, None] * b) for r in (outline + 0.62, outline + 0.63)
             for t in [np.linspace(0, 2 * np.pi, 90, endpoint=False)]]  # fmt: skip
    i = np.arange(90)
    j = (i + 1) % 90
    ring = Mesh(np.concatenate(rings), np.concatenate([np.stack([i, j, 90 + i], 1), np.stack([j, 90 + j, 90 + i], 1)]).astype(np.int32))
    assert len(cull_by_masks(ring, [view], CULL_RADIUS[cull] / 4).faces) == (len(ring.faces) if stays else 0)


@pytest.mark.parametrize("cull", ["neus", "monosdf", "2dgs"])
def test_culling_is_done_and_told(tmp_path, cull):
    """A knob far outside of the masks, 3 to 5 mm from the scan, costs accuracy until it is cut off."""
    views, truth = masked_views(RADIUS), scan_of(tmp_path)
    mesh = join(ball(RADIUS), ball(1.0, CENTER + np.array([0, 0, 14.0])))
    assert evaluate_dtu(mesh, truth, views, "none")["d2s"] > 0.13
    found = evaluate_dtu(mesh, truth, views, cull)
    assert found["d2s"] < 0.13
    told = found["culling"]
    assert (told["name"], told["views"], told["faces_removed"]) == (cull, 2, len(ball(1.0).faces))
    assert told["dilation_px"] == told["dilation_px_at_1600"] / 4 == CULL_RADIUS[cull] / 4


def test_culling_needs_masks(tmp_path):
    with pytest.raises(UsageError, match="--cull none"):
        evaluate_dtu(ball(RADIUS), scan_of(tmp_path), [], "neus")


@pytest.mark.parametrize(
    ("path", "scan"),
    [("/data/DTU/scan24", 24), ("dtu_scan_105/cameras.npz", 105), ("scan1/dtu_scan24", 24), ("scanner/x", None), ("scenes:bracket", None)],
)
def test_the_dataset_names_its_scan(path, scan):
    assert scan_number(path) == scan


def test_which_scan(tmp_path):
    write_dtu(tmp_path, 24, CENTER, RADIUS, count=50)
    only = read_truth(tmp_path).dtu
    assert only is not None
    assert only.scan == 24
    write_dtu(tmp_path, 114, CENTER, RADIUS, count=50)
    with pytest.raises(UsageError, match="which scan"):
        read_truth(tmp_path)
    chosen = read_truth(tmp_path, 114)
    assert chosen.dtu is not None
    assert chosen.dtu.scan == 114
    assert chosen.known == "a DTU scan"
    with pytest.raises(DataError, match="stl037"):
        read_truth(tmp_path, 37)
