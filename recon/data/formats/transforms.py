"""What every ``transforms*.json`` dialect shares: strict JSON, poses, intrinsics."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from recon.data.formats.files import read_text
from recon.data.listing import Findings, FrameProblem, Intrinsics, Lens

FOCAL_KEYS = ("fl_x", "fl_y", "camera_angle_x", "camera_angle_y", "x_fov", "y_fov")
# instant-ngp's ways to say that a picture is no perspective one.
NOT_PERSPECTIVE = ("equirectangular", "latlong", "ftheta_p0")
SUPPORTED_MODELS = ("SIMPLE_PINHOLE", "PINHOLE", "PERSPECTIVE", "SIMPLE_RADIAL", "RADIAL", "OPENCV", "FULL_OPENCV", "OPENCV_FISHEYE")


def read_json(file: Path, findings: Findings, kind: type[Any] = dict) -> Any:
    """Parse a JSON file whose top level is an object (or a list: ``kind``); what is wrong goes to ``findings.fatal`` and gives None."""
    text = read_text(file, findings)
    if text is None:
        return None
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        findings.fatal.append(f"{file.name}: is not JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except (RecursionError, ValueError) as error:
        findings.fatal.append(f"{file.name}: is not usable JSON ({type(error).__name__}: nested too deeply or a number too long)")
    else:
        if isinstance(data, kind):
            return data
        expected = "an object {...}" if kind is dict else "a list [...]"
        findings.fatal.append(f"{file.name}: the top level must be {expected}, found {type(data).__name__}")
    return None


def frame_list(data: dict, file: Path, findings: Findings) -> list:
    """The list under "frames"; what is wrong goes to ``findings.fatal`` and gives an empty list."""
    frames = data.get("frames")
    if not isinstance(frames, list):
        findings.fatal.append(f'{file.name}: has no list "frames"')
        return []
    if not frames:
        findings.fatal.append(f'{file.name}: the list "frames" is empty: no images')
    return frames


def pose(raw: Any, key: str, opengl: bool) -> np.ndarray:
    """A camera-to-world matrix, 3x4 or 4x4, or its numbers in a row, as ``world_from_camera`` with OpenCV axes. [3, 4] float64; may hold
    NaN.

    Raises:
        FrameProblem: Not a matrix of numbers, or a last row other than 0 0 0 1.
    """
    try:
        matrix = np.array(raw, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise FrameProblem(f'"{key}" must be a 4x4 matrix of numbers') from error
    if matrix.shape in ((12,), (16,)):
        matrix = matrix.reshape(-1, 4)
    if matrix.shape not in ((3, 4), (4, 4)):
        raise FrameProblem(f'"{key}" must be a 4x4 matrix, found ' + (f"shape {matrix.shape}" if raw is not None else "none"))
    if matrix.shape == (4, 4) and np.isfinite(matrix).all() and not np.allclose(matrix[3], [0, 0, 0, 1], atol=1e-6):
        raise FrameProblem(f'the last row of "{key}" must be 0 0 0 1: is the matrix transposed?')
    matrix = matrix[:3].copy()
    if opengl:
        # x right, y up, looking along -z, to x right, y down, z forward: same centre, y and z turned round.
        matrix[:, 1:3] *= -1.0
    return matrix


def intrinsics(shared: dict, frame: dict, model: str | None = None) -> Intrinsics:
    """Intrinsics of one frame: its own numbers, and the shared ones where it has none.

    ``camera_intrinsics`` (a 3x3 matrix per frame, as NEF writes it) has pixel centres at integers and is shifted by half a pixel; the
    scalar keys (COLMAP's convention) and NeuS2's ``intrinsic_matrix`` have them at +0.5 already. ``x_fov`` is in degrees.

    Raises:
        FrameProblem: A value is no number, a size no positive integer, or the camera model is unknown.
    """
    matrix = frame.get("camera_intrinsics", shared.get("camera_intrinsics"))
    width, height = _size(frame, shared, "w"), _size(frame, shared, "h")
    if matrix is not None:
        return from_matrix(matrix, "camera_intrinsics", width, height)
    matrix = frame.get("intrinsic_matrix", shared.get("intrinsic_matrix"))
    if matrix is not None:
        return from_matrix(matrix, "intrinsic_matrix", width, height, center=0.0)
    wrong = next((key for key in NOT_PERSPECTIVE if frame.get(key, shared.get(key))), None)
    if wrong is not None:
        raise FrameProblem(
            f'"{wrong}" says that these are no perspective pictures, which are not read: cut them into perspective ones first'
        )
    # A frame with its own focal length must not inherit the other kind from the shared ones.
    source = frame if any(key in frame for key in FOCAL_KEYS) else shared
    angle_x, angle_y = (_number(source, {}, f"camera_angle_{axis}") or _radians(_number(source, {}, f"{axis}_fov")) for axis in "xy")
    model = str(frame.get("camera_model", shared.get("camera_model", model or "OPENCV")))
    if frame.get("is_fisheye", shared.get("is_fisheye", False)):
        model = "OPENCV_FISHEYE"
    k = tuple(_number(frame, shared, f"k{i}") or 0.0 for i in range(1, 7))
    p = (_number(frame, shared, "p1") or 0.0, _number(frame, shared, "p2") or 0.0)
    return Intrinsics(
        fx=_number(source, {}, "fl_x"),
        fy=_number(source, {}, "fl_y"),
        cx=_number(frame, shared, "cx"),
        cy=_number(frame, shared, "cy"),
        width=width,
        height=height,
        angle_x=angle_x,
        angle_y=angle_y,
        lens=_lens(model, k, p),
    )


def from_matrix(raw: Any, key: str, width: int | None, height: int | None, center: float = 0.5) -> Intrinsics:
    """Intrinsics from a 3x3 (or larger) matrix; ``center`` is added to the principal point: half a pixel if pixel centres are integers."""
    try:
        k = np.array(raw, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise FrameProblem(f'"{key}" must be a 3x3 matrix of numbers') from error
    if k.ndim != 2 or k.shape[0] < 3 or k.shape[1] < 3:
        raise FrameProblem(f'"{key}" must be a 3x3 matrix, found shape {k.shape}')
    return Intrinsics(
        fx=float(k[0, 0]),
        fy=float(k[1, 1]),
        cx=float(k[0, 2]) + center,
        cy=float(k[1, 2]) + center,
        width=width,
        height=height,
        skew=float(k[0, 1]),
    )


def _lens(model: str, k: tuple, p: tuple[float, float]) -> Lens:
    name = model.upper()
    if name not in SUPPORTED_MODELS:
        raise FrameProblem(
            f'unknown camera_model "{model}": supported are {", ".join(SUPPORTED_MODELS)}; undistort the images first otherwise'
        )
    if name == "OPENCV_FISHEYE":
        return Lens("fisheye", k, p)
    if name in ("SIMPLE_PINHOLE", "PINHOLE", "PERSPECTIVE") and (any(k) or any(p)):
        raise FrameProblem(
            f'camera_model is "{model}", which has no distortion, but distortion coefficients are given: remove one or the other'
        )
    rational = name == "FULL_OPENCV" or any(k[4:])
    return Lens("rational" if rational else "polynomial", k, p)


def _number(frame: dict, shared: dict, key: str) -> float | None:
    value = frame.get(key, shared.get(key))
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise FrameProblem(f'"{key}" must be a number, found {value!r}')
    try:
        return float(value)
    except ValueError as error:
        raise FrameProblem(f'"{key}" must be a number, found {value!r}') from error
    except OverflowError as error:
        raise FrameProblem(f'"{key}" is too large a number') from error


def _radians(degrees: float | None) -> float | None:
    return None if degrees is None else math.radians(degrees)


def _size(frame: dict, shared: dict, key: str) -> int | None:
    value = _number(frame, shared, key)
    if value is None:
        return None
    if not 1 <= value < 1e6 or value != int(value):
        raise FrameProblem(f'"{key}" must be the image size in whole pixels, found {value:g}')
    return int(value)
