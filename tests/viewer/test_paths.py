"""Camera paths: against circles, whose interpolation is known exactly, and files of this program and of nerfstudio."""

import json

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from recon.errors import DataError, UsageError
from recon.geometry import look_at
from viewer.paths import CameraPath, Keyframe, load_path, save_path

UP = np.array([0.0, 0.0, 1.0])


def on_circle(angle: float, radius: float = 3.0) -> np.ndarray:
    return look_at(radius * np.array([np.cos(angle), np.sin(angle), 0.0]), np.zeros(3), UP)


def circle(count: int, closed: bool = True) -> CameraPath:
    keys = tuple(Keyframe(on_circle(2 * np.pi * i / count), 0.7, 0.5 * i) for i in range(count))
    return CameraPath(keys, closed=closed)


def radial_error(count: int) -> float:
    """By hand: a Catmull-Rom span over the angle h has its middle at cos(h/2) + sin(h/2) sin(h) / 4 of the radius."""
    h = 2 * np.pi / count
    return 1 - (np.cos(h / 2) + np.sin(h / 2) * np.sin(h) / 4)


@pytest.mark.parametrize("count", [4, 8, 24])
def test_a_closed_circle_stays_a_circle(count: int):
    path = circle(count)
    assert path.duration_s == pytest.approx(0.5 * count)
    times = np.linspace(0, path.duration_s, 12 * count, endpoint=False)
    poses, fov = path.at(times)
    radius = np.linalg.norm(poses[:, :, 3], axis=1)
    assert radius.max() <= 3 * (1 + 1e-12)
    assert 3 - radius.min() == pytest.approx(3 * radial_error(count), rel=1e-9)
    np.testing.assert_allclose(poses[:, 2, 3], 0, atol=1e-12)
    np.testing.assert_allclose(fov, 0.7)
    # Turns about one axis at one speed are turned through at that speed, all the way round.
    wanted = np.stack([on_circle(2 * np.pi * t / path.duration_s)[:, :3] for t in times])
    np.testing.assert_allclose(poses[:, :, :3], wanted, atol=1e-9)


@pytest.mark.parametrize("closed", [False, True])
def test_keys_are_met_and_velocity_is_continuous(closed: bool):
    rng = np.random.default_rng(3)
    times = np.cumsum(rng.uniform(0.2, 2.0, 6))
    keys = tuple(
        Keyframe(
            np.concatenate([Rotation.random(random_state=int(i)).as_matrix(), rng.normal(size=(3, 1)) * 4], 1), 0.4 + 0.1 * i, float(t)
        )
        for i, t in enumerate(times)
    )
    path = CameraPath(keys, closed=closed)
    poses, fov = path.at(times)
    for key, pose, angle in zip(keys, poses, fov, strict=True):
        np.testing.assert_allclose(pose, key.world_from_camera, atol=1e-9)
        assert angle == pytest.approx(key.vertical_fov_rad)
    h = 1e-6
    inner = times if closed else times[1:-1]
    before, at, after = (path.at(inner + d)[0] for d in (-h, 0.0, h))
    np.testing.assert_allclose((at - before) / h, (after - at) / h, atol=2e-3 * np.abs(at - before).max() / h)


def test_no_overshoot_where_keys_are_close():
    """Two keys close together between far ones: with centripetal knots the path does not turn back between them."""
    x = [0.0, 5.0, 5.1, 10.0]
    keys = tuple(Keyframe(np.concatenate([np.eye(3), [[v], [0.0], [0.0]]], 1), 0.5, float(i)) for i, v in enumerate(x))
    poses, _ = CameraPath(keys).at(np.linspace(0, 3, 400))
    assert (np.diff(poses[:, 0, 3]) >= -1e-9).all()


def test_a_camera_that_only_turns_and_one_that_does_nothing():
    keys = tuple(
        Keyframe(np.concatenate([Rotation.from_rotvec([0, 0.4 * i, 0]).as_matrix(), np.ones((3, 1))], 1), 0.5, i) for i in range(3)
    )
    poses, _ = CameraPath(keys).at(np.linspace(-1, 3, 9))
    np.testing.assert_allclose(poses[:, :, 3], 1.0)
    angles = Rotation.from_matrix(poses[:, :, :3]).as_rotvec()[:, 1]
    np.testing.assert_allclose(angles, 0.4 * np.clip(np.linspace(-1, 3, 9), 0, 2), atol=1e-12)
    single = CameraPath(keys[:1])
    assert single.duration_s == 0
    assert len(single.cameras(20, 10)) == 1


def test_cameras_of_a_film():
    path = circle(8)
    cameras = path.cameras(64, 48)
    assert len(cameras) == 96  # 4 s at 24 frames a second, and the first frame does not come again
    camera = cameras[0]
    assert (camera.cx, camera.cy, camera.width) == (32, 24, 64)
    assert 2 * np.arctan(24 / camera.fy) == pytest.approx(0.7)
    assert camera.fx == camera.fy
    open_path = circle(8, closed=False)
    first, last = (open_path.cameras(64, 48, frames=5)[i].world_from_camera for i in (0, -1))
    np.testing.assert_allclose(first, open_path.keyframes[0].world_from_camera, atol=1e-12)
    np.testing.assert_allclose(last, open_path.keyframes[-1].world_from_camera, atol=1e-12)
    with pytest.raises(UsageError):
        path.cameras(64, 48, frames=0)


def test_saved_and_read_back(tmp_path):
    path = circle(5)
    save_path(path, tmp_path / "deep" / "path.json")
    back = load_path(tmp_path / "deep" / "path.json")
    assert (back.closed, back.fps, len(back.keyframes)) == (True, 24.0, 5)
    for a, b in zip(path.keyframes, back.keyframes, strict=True):
        np.testing.assert_array_equal(a.world_from_camera, b.world_from_camera)
        assert (a.vertical_fov_rad, a.time_s) == (pytest.approx(b.vertical_fov_rad), b.time_s)


@pytest.mark.parametrize("scaled", [False, True])
def test_nerfstudio(tmp_path, scaled: bool):
    """Its frames have OpenGL axes and a vertical field of view in degrees; its model is a scaled and turned world."""
    wanted = [on_circle(0.1 * i) for i in range(4)]
    turn, offset, scale = Rotation.from_rotvec([0.2, -0.5, 0.3]).as_matrix(), np.array([1.0, -2.0, 0.5]), 0.25
    if scaled:
        known = {"transform": np.concatenate([turn, offset[:, None]], 1).tolist(), "scale": scale}
        (tmp_path / "dataparser_transforms.json").write_text(json.dumps(known))
    frames = []
    for pose in wanted:
        matrix = np.eye(4)
        matrix[:3] = pose
        if scaled:
            matrix[:3, :3] = turn @ pose[:, :3]
            matrix[:3, 3] = scale * (turn @ pose[:, 3] + offset)
        matrix[:3, 1:3] *= -1
        frames.append({"camera_to_world": matrix.ravel().tolist(), "fov": 50.0, "aspect": 1.5})
    (tmp_path / "camera_path.json").write_text(json.dumps({"camera_type": "perspective", "fps": 10, "seconds": 0.4, "camera_path": frames}))
    path = load_path(tmp_path / "camera_path.json")
    assert path.fps == 10
    for key, pose in zip(path.keyframes, wanted, strict=True):
        np.testing.assert_allclose(key.world_from_camera, pose, atol=1e-12)
        assert np.degrees(key.vertical_fov_rad) == pytest.approx(50)


KEY = {"time_s": 0, "vertical_fov_deg": 40, "world_from_camera": np.eye(4)[:3].tolist()}
HEAD = {"format": "formfield camera path", "version": 1, "fps": 24, "closed": False}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not JSON"),
        ("[]", "neither"),
        (json.dumps({**HEAD, "version": 9, "keyframes": []}), "version 9"),
        (json.dumps({**HEAD, "keyframes": []}), "no keyframes"),
        (json.dumps({**HEAD, "keyframes": [KEY, KEY]}), "do not increase"),
        (json.dumps({**HEAD, "keyframes": [{"time_s": 0}]}), "not a whole"),
        (json.dumps({**HEAD, "fps": 0, "keyframes": [KEY]}), "frame rate"),
        (json.dumps({**HEAD, "keyframes": [{**KEY, "vertical_fov_deg": 180}]}), "180"),
        (json.dumps({**HEAD, "keyframes": [{**KEY, "world_from_camera": (2 * np.eye(4)[:3]).tolist()}]}), "not a rotation"),
        (json.dumps({**HEAD, "keyframes": [{**KEY, "world_from_camera": [[1, 2], [3, 4]]}]}), "3 x 4"),
        (json.dumps({"camera_path": [], "camera_type": "equirectangular"}), "perspective"),
    ],
)
def test_bad_files_say_what_is_wrong(tmp_path, text: str, says: str):
    file = tmp_path / "path.json"
    file.write_text(text)
    with pytest.raises(DataError, match=says) as caught:
        load_path(file)
    assert str(file) in str(caught.value)
    with pytest.raises(DataError, match="no such"):
        load_path(tmp_path / "other.json")
