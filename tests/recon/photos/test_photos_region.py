"""Up, region and the way to the world, on reconstructions with a known answer in a frame of their own."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from recon.photos.region import region, support_plane, turn_to_z, up_of_cameras, upward, world_from_model
from tests.recon.photos.made_up import SIZE, ball, seen_from, some_similarity, usual_model
from tests.recon.photos.studio import around

Z = np.array([0.0, 0.0, 1.0])


@pytest.mark.parametrize(("elevations", "turn"), [((35,), 360), ((35,), 60), ((20, 60), 120), ((80,), 90), ((-30, 30), 200)])
def test_level_cameras_say_exactly_what_is_up_even_from_one_side(elevations, turn):
    """Their mean up would lean by the elevation when all stand on one side."""
    frame = some_similarity()
    cameras = around((1, 2, 3), 4.0, elevations, 12, *SIZE, 50.0, turn)
    poses = np.stack([frame.apply_to_pose(c.world_from_camera) for c in cameras])
    np.testing.assert_allclose(up_of_cameras(poses), frame.rotate(Z), atol=1e-9)


def test_a_few_rolled_photographs_do_not_matter():
    cameras = around((0, 0, 0), 4.0, (30, 50), 20, *SIZE, 50.0)
    poses = np.stack([c.world_from_camera for c in cameras])
    roll = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    poses[[3, 8, 15], :, :3] = poses[[3, 8, 15], :, :3] @ roll
    assert np.degrees(np.arccos(up_of_cameras(poses) @ Z)) < 2.0


def test_cameras_side_by_side_use_their_mean_up():
    cameras = around((0, 0, 0), 4.0, (0,), 2, *SIZE, 50.0, turn_deg=4)
    poses = np.stack([c.world_from_camera for c in cameras])
    np.testing.assert_allclose(up_of_cameras(poses), Z, atol=1e-6)


@pytest.mark.parametrize("up", [Z, -Z, np.array([1.0, 0, 0]), np.array([0.6, 0.0, -0.8]), np.array([0, 1e-9, -1.0])])
def test_turn_to_z_is_a_rotation_that_does_it(up):
    up = up / np.linalg.norm(up)
    rotation = turn_to_z(up)
    np.testing.assert_allclose(rotation @ up, Z, atol=1e-7)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-7)
    assert np.linalg.det(rotation) == pytest.approx(1.0, abs=1e-7)


def test_support_plane_gives_up_where_cameras_are_all_tilted():
    """Cameras rolled by 12 degrees together: only the table knows."""
    generator = np.random.default_rng(1)
    table = np.concatenate([generator.uniform(-2, 2, (200, 2)), np.zeros((200, 1))], axis=1)
    cameras = around((0, 0, 0.5), 5.0, (20, 45), 14, *SIZE, 60.0)
    model = seen_from(cameras, np.concatenate([ball(300, 0.6, (0, 0, 0.9)), table]))
    roll = Rotation.from_euler("z", 12, degrees=True).as_matrix()
    poses = model.world_from_camera.copy()
    poses[:, :, :3] = poses[:, :, :3] @ roll
    frame = some_similarity()
    turned = replace(model, world_from_camera=poses).transformed(frame)
    found = upward(turned)
    assert "plane" in found.how
    np.testing.assert_allclose(found.direction, frame.rotate(Z), atol=1e-6)


@pytest.mark.parametrize("below", [0.0, 0.2])
def test_a_plane_with_things_below_it_carries_nothing(below):
    """A table top that half of the object hangs under is no support, nor is a ball without a table."""
    generator = np.random.default_rng(1)
    table = np.concatenate([generator.uniform(-2, 2, (200 if below else 0, 2)), np.zeros((200 if below else 0, 1))], axis=1)
    model = seen_from(around((0, 0, 0), 5.0, (20, 45), 14, *SIZE, 60.0), np.concatenate([ball(300, 0.8), table]))
    assert support_plane(model, Z, 0) is None


def test_region_holds_the_object_and_not_what_is_behind_it():
    generator = np.random.default_rng(2)
    wall = generator.uniform(-12, 12, (500, 3)) + np.array([0, 0, -9.0])
    cameras = around((0, 0, 0), 5.0, (20, 50, 75), 24, *SIZE, 30.0)
    model = seen_from(cameras, np.concatenate([ball(600, 1.0), wall]))
    found = region(model)
    assert np.linalg.norm(found.center) < 0.15
    assert 1.0 < found.radius < 1.4
    assert np.linalg.norm(model.centers - found.center, axis=1).min() > found.radius / 0.91


def test_what_rises_above_a_support_is_the_object():
    """Ten times as many points on a wide sheet of paper, off to one side, as on the object."""
    generator = np.random.default_rng(1)
    sheet = np.concatenate([generator.uniform(-3, 2, (3000, 2)), np.zeros((3000, 1))], axis=1)
    thing = generator.uniform((-0.5, -0.3, 0.0), (0.5, 0.3, 0.8), (300, 3))
    frame = some_similarity()
    model = seen_from(around((0, 0, 0.3), 5.0, (20, 45), 14, *SIZE, 60.0), np.concatenate([sheet, thing])).transformed(frame)
    up = upward(model)
    found = region(model, None, up.plane)
    corners = frame.apply(np.stack(np.meshgrid([-0.5, 0.5], [-0.3, 0.3], [0.0, 0.8]), -1).reshape(-1, 3))
    assert np.linalg.norm(corners - found.center, axis=1).max() < found.radius < 2.3 * frame.scale
    assert region(model).radius > 1.2 * found.radius


def test_region_moves_with_the_frame():
    frame, model = some_similarity(), usual_model()
    here, there = region(model), region(model.transformed(frame))
    assert there.radius == pytest.approx(frame.scale * here.radius, rel=1e-9)
    np.testing.assert_allclose(there.center, frame.apply(here.center), atol=1e-6)


def test_region_without_points_comes_from_the_cameras():
    model = usual_model()
    few = replace(model, errors=np.full(len(model.points), 9.0))
    found = region(few)
    assert "cameras alone" in found.how
    np.testing.assert_allclose(found.center, 0, atol=1e-6)


def test_region_uses_only_points_inside_of_masks():
    model = usual_model()
    inside = model.points[:, 0] > 0.2
    assert region(model, inside).center[0] > 0.3


@pytest.mark.parametrize(("scale", "radius"), [(None, 1.0), (25.0, 25.0 * 1.1)])
def test_world_is_upright_centred_and_scaled(scale, radius):
    frame = some_similarity()
    model = usual_model().transformed(frame)
    where = region(model)
    world = world_from_model(frame.rotate(Z), where, scale)
    np.testing.assert_allclose(world.rotate(frame.rotate(Z)), Z, atol=1e-9)
    np.testing.assert_allclose(world.apply(where.center), 0, atol=1e-9)
    assert where.radius * world.scale == pytest.approx(radius if scale is None else where.radius * scale, rel=1e-9)
