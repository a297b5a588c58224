"""Camera paths: a few keyframes, smooth in between, kept as a small JSON file that the viewer and ``recon render --path`` share.

The file::

    {"format": "formfield camera path", "version": 1, "frame": "world", "axes": "opencv", "fps": 24, "closed": false,
     "keyframes": [{"time_s": 0.0, "vertical_fov_deg": 40.0, "world_from_camera": [[r, r, r, x], [r, r, r, y], [r, r, r, z]]}, ...]}

Axes are OpenCV's (x right, y down, z forward), positions are in world units. nerfstudio's ``camera_path.json`` is read too.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.spatial.transform import Rotation

from recon.data.scene import Camera
from recon.errors import DataError, UsageError
from recon.system.files import write_text_atomically
from recon.system.foreign import read_json, reading

FORMAT = "formfield camera path"
VERSION = 1


@dataclass(frozen=True)
class Keyframe:
    """One camera that a path goes through.

    Attributes:
        world_from_camera: Rigid pose, OpenCV axes, world units. [3, 4] float64
        vertical_fov_rad: Angle from the top to the bottom of the picture, radians.
        time_s: When, seconds from the start.
    """

    world_from_camera: np.ndarray
    vertical_fov_rad: float
    time_s: float


@dataclass(frozen=True)
class CameraPath:
    """Keyframes and how they are joined.

    Positions are a cubic spline through the keyframes with Catmull-Rom tangents over centripetal knots (Yuksel et al. 2011: it makes
    no loops between keys that lie close together), rotations cubic Bézier curves on the quaternions (Shoemake 1985), the
    field of view monotone between keys. All three have a continuous velocity.

    Attributes:
        keyframes: At least one, in order of time.
        closed: Go back to the first keyframe after the last, in the mean time between keyframes.
        fps: Frames per second when it is filmed.
    """

    keyframes: tuple[Keyframe, ...]
    closed: bool = False
    fps: float = 24.0

    def __post_init__(self) -> None:
        problems = []
        if not self.keyframes:
            problems.append("it has no keyframes")
        times = [k.time_s for k in self.keyframes]
        if not np.isfinite(times).all() or (np.diff(times) <= 0).any():
            problems.append("the times of its keyframes do not increase")
        if not (np.isfinite(self.fps) and self.fps > 0):
            problems.append(f"its frame rate is {self.fps}")
        for i, key in enumerate(self.keyframes):
            pose = np.asarray(key.world_from_camera, np.float64)
            if pose.shape != (3, 4) or not np.isfinite(pose).all():
                problems.append(f"keyframe {i}: world_from_camera is not 3 x 4 finite numbers")
            elif np.abs(pose[:, :3] @ pose[:, :3].T - np.eye(3)).max() > 1e-3 or np.linalg.det(pose[:, :3]) < 0:
                problems.append(f"keyframe {i}: world_from_camera is not a rotation and a position")
            if not 0 < key.vertical_fov_rad < np.pi:
                problems.append(f"keyframe {i}: a vertical field of view of {np.degrees(key.vertical_fov_rad):.3g} degrees")
        if problems:
            raise DataError("this camera path cannot be used:", problems, "see docs/conventions.md for axes")

    @property
    def duration_s(self) -> float:
        """From the first keyframe to the last, and back to the first if closed."""
        times = [k.time_s for k in self.keyframes]
        return (times[-1] - times[0]) + (self._closing_s() if self.closed else 0.0)

    def _closing_s(self) -> float:
        times = [k.time_s for k in self.keyframes]
        return (times[-1] - times[0]) / (len(times) - 1) if len(times) > 1 else 0.0

    def at(self, times_s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Poses and vertical fields of view at some times.

        Args:
            times_s: On the keyframes' clock; before the first and after the last they hold still, or go round if closed. [N]
        Returns:
            ``world_from_camera`` [N, 3, 4] float64, vertical fields of view in radians [N].
        """
        asked = np.asarray(times_s, np.float64)
        if len(self.keyframes) == 1:
            (key,) = self.keyframes
            return np.repeat(np.asarray(key.world_from_camera, np.float64)[None], len(asked), 0), np.full(len(asked), key.vertical_fov_rad)
        times, positions, rotations, angles = self._keys()
        start, end = self.keyframes[0].time_s, self.keyframes[0].time_s + self.duration_s
        t = start + np.mod(asked - start, end - start) if self.closed else np.clip(asked, start, end)
        knots = _centripetal_knots(positions)
        # The knots say how a curve bends, the times when the camera passes; a monotone map leads from one to the other.
        at_knot = PchipInterpolator(times, knots)(t)
        poses = np.empty((len(t), 3, 4))
        poses[:, :, 3] = _hermite(knots, positions, at_knot)
        poses[:, :, :3] = _rotations(times, rotations, t)
        return poses, PchipInterpolator(times, angles)(t)

    def cameras(self, width: int, height: int, frames: int | None = None) -> list[Camera]:
        """Cameras of the film.

        Args:
            width, height: Size of the pictures, pixels.
            frames: How many, evenly spaced in time; default: what ``fps`` and the duration give.
        """
        if frames is not None and frames < 1:
            raise UsageError(f"{frames} frames", "at least one")
        if frames is None:
            spans = round(self.duration_s * self.fps)
            frames = max(spans if self.closed else spans + 1, 1)
        start = self.keyframes[0].time_s
        # Round a closed path the last frame is not the first again.
        times = start + self.duration_s * np.arange(frames) / max(frames if self.closed else frames - 1, 1)
        poses, angles = self.at(times)
        focal = 0.5 * height / np.tan(0.5 * angles)
        return [Camera(width, height, float(f), float(f), width / 2, height / 2, p) for p, f in zip(poses, focal, strict=True)]

    def _keys(self) -> tuple[np.ndarray, np.ndarray, Rotation, np.ndarray]:
        """Times [K], positions [K, 3], rotations and angles [K] of the keys; of a closed path with three more at either end."""
        times = np.array([k.time_s for k in self.keyframes])
        poses = np.stack([np.asarray(k.world_from_camera, np.float64) for k in self.keyframes])
        angles = np.array([k.vertical_fov_rad for k in self.keyframes])
        if self.closed:
            count = len(times)
            index = np.arange(-3, count + 4)
            times = times[index % count] + (index // count) * self.duration_s
            poses, angles = poses[index % count], angles[index % count]
        return times, poses[:, :, 3], Rotation.from_matrix(poses[:, :, :3]), angles


def _centripetal_knots(points: np.ndarray) -> np.ndarray:
    """Knots that grow by the square root of the distance; points that coincide get a small step of their own. [K, 3] -> [K]"""
    step = np.sqrt(np.linalg.norm(np.diff(points, axis=0), axis=1))
    largest = step.max()
    step = np.maximum(step, 1e-3 * largest) if largest > 0 else np.ones_like(step)
    return np.concatenate([[0.0], np.cumsum(step)])


def _tangents(knots: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Derivatives at the knots from the slopes of the K-1 spans: of the parabola through three neighbours; at the ends, of one through the
    end point and the neighbour's derivative. [K], [K-1, 3] -> [K, 3]"""
    if len(slopes) == 1:
        return np.repeat(slopes, 2, axis=0)
    before, after = np.diff(knots)[:-1, None], np.diff(knots)[1:, None]
    inner = (after * slopes[:-1] + before * slopes[1:]) / (before + after)
    return np.concatenate([2 * slopes[:1] - inner[:1], inner, 2 * slopes[-1:] - inner[-1:]])


def _spans(knots: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Index of the span [N], local parameter in [0, 1] [N], length of the span [N]."""
    i = np.clip(np.searchsorted(knots, at, side="right") - 1, 0, len(knots) - 2)
    length = knots[i + 1] - knots[i]
    return i, (at - knots[i]) / length, length


def _hermite(knots: np.ndarray, points: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Cubic Hermite interpolation. [K], [K, 3], [N] -> [N, 3]"""
    tangents = _tangents(knots, np.diff(points, axis=0) / np.diff(knots)[:, None])
    i, s, length = _spans(knots, at)
    s, length = s[:, None], length[:, None]
    value = (1 + 2 * s) * (1 - s) ** 2 * points[i] + s**2 * (3 - 2 * s) * points[i + 1]
    return value + length * (s * (1 - s) ** 2 * tangents[i] - s**2 * (1 - s) * tangents[i + 1])


def _rotations(times: np.ndarray, rotations: Rotation, at: np.ndarray) -> np.ndarray:
    """Bézier curves by de Casteljau's construction, each step the shortest rotation between two. [K], K rotations, [N] -> [N, 3, 3]"""
    spans = np.diff(times)
    turns = (rotations[:-1].inv() * rotations[1:]).as_rotvec()  # in the camera's own axes
    tangents = _tangents(times, turns / spans[:, None])
    i, s, length = _spans(times, at)
    third = length[:, None] / 3
    quaternions = rotations.as_quat()
    start, end = Rotation.from_quat(quaternions[i]), Rotation.from_quat(quaternions[i + 1])
    points = [start, start * Rotation.from_rotvec(third * tangents[i]), end * Rotation.from_rotvec(-third * tangents[i + 1]), end]
    while len(points) > 1:
        points = [a * Rotation.from_rotvec(s[:, None] * (a.inv() * b).as_rotvec()) for a, b in pairwise(points)]
    return points[0].as_matrix()


def save_path(path: CameraPath, file: Path) -> None:
    """Write the file described above."""
    keyframes = [
        {
            "time_s": k.time_s,
            "vertical_fov_deg": float(np.degrees(k.vertical_fov_rad)),
            "world_from_camera": np.asarray(k.world_from_camera).tolist(),
        }
        for k in path.keyframes
    ]
    head = {"format": FORMAT, "version": VERSION, "frame": "world", "axes": "opencv", "fps": path.fps, "closed": path.closed}
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(file, json.dumps({**head, "keyframes": keyframes}, indent=1))


def load_path(file: Path) -> CameraPath:
    """Read a camera path: this program's, or nerfstudio's ``camera_path.json``.

    nerfstudio's file holds sampled frames in the frame of its model; if its ``dataparser_transforms.json`` lies beside the file, they are
    brought back to the world of the dataset by it, and are taken as world coordinates otherwise.

    Raises:
        DataError: If the file is missing, of another format, or not a path of perspective cameras.
    """
    hint = "make one in the viewer: recon view RUN, panel Path"
    data = read_json(file, "a camera path", hint)
    with reading(file, "a whole camera path", hint):
        try:
            if isinstance(data, dict) and data.get("format") == FORMAT:
                return _own(data)
            if isinstance(data, dict) and "camera_path" in data:
                return _nerfstudio(data, file)
        except DataError as error:
            raise DataError(f"{file}: {error.message}", hint=error.hint) from error
    raise DataError(f"{file}: neither a camera path of this program nor of nerfstudio", hint='it should have "format" and "keyframes"')


def _own(data: dict[str, Any]) -> CameraPath:
    if data["version"] != VERSION:
        raise DataError(f"a camera path of version {data['version']!r}; this program reads version {VERSION}")
    keys = tuple(
        Keyframe(np.array(k["world_from_camera"], np.float64), float(np.radians(float(k["vertical_fov_deg"]))), float(k["time_s"]))
        for k in data["keyframes"]
    )
    return CameraPath(keys, bool(data["closed"]), float(data["fps"]))


def _nerfstudio(data: dict[str, Any], file: Path) -> CameraPath:
    kind = data.get("camera_type", "perspective")
    if kind != "perspective":
        raise DataError(f"it asks for {kind!r} cameras; only perspective ones can be rendered")
    fps = float(data.get("fps", 24.0))
    rotation, offset, scale = np.eye(3), np.zeros(3), 1.0
    transforms = file.parent / "dataparser_transforms.json"
    if transforms.is_file():
        # model = scale * (transform applied to world)
        known = json.loads(transforms.read_text(encoding="utf-8"))
        matrix = np.array(known["transform"], np.float64)
        rotation, offset, scale = matrix[:3, :3], matrix[:3, 3], float(known["scale"])
    keys = []
    for i, frame in enumerate(data["camera_path"]):
        pose = np.array(frame["camera_to_world"], np.float64).reshape(4, 4)[:3]
        pose[:, 1:3] *= -1.0  # OpenGL axes
        world = np.concatenate([rotation.T @ pose[:, :3], (rotation.T @ (pose[:, 3] / scale - offset))[:, None]], axis=1)
        keys.append(Keyframe(world, float(np.radians(float(frame["fov"]))), i / fps))
    return CameraPath(tuple(keys), closed=False, fps=fps)
