"""DTU as IDR, VolSDF and NeuS use it: ``cameras_sphere.npz`` or ``cameras.npz`` (``world_mat_i``, ``scale_mat_i``), ``image/``, ``mask/``.

``world_mat_i`` is the projection P = K [R | t] with OpenCV axes and integer pixel centres; ``scale_mat_i`` maps scene to world.
Source: IDR, DATA_CONVENTION.md; NeuS, arXiv:2106.10689.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from scipy.linalg import rq

from recon.data.formats.base import Claim
from recon.data.listing import IMAGE_SUFFIXES, Findings, Frame, FrameProblem, Intrinsics, Listing, natural_key
from recon.errors import DataError
from recon.geometry import Similarity
from recon.system.foreign import load_npz

FORMAT = "dtu"
CAMERA_FILES = ("cameras_sphere.npz", "cameras.npz", "cameras_large.npz")
IMAGE_FOLDERS = ("image", "images", "rgb")
MASK_FOLDERS = ("mask", "masks")
DTU_DISTANCE = (450.0, 1000.0)
"""Of DTU's cameras from the middle of what they see, mm (measured on its scans: 600 to 700)."""


FILES = "cameras_sphere.npz (DTU, IDR, NeuS)"
LARGEST_CAMERAS = 64 * 2**20
"""No archive of cameras holds more, bytes: that is 250,000 of them."""


def owns(path: Path) -> Claim | None:
    if path.name in CAMERA_FILES and path.is_file():
        return Claim(path.parent, path)
    name = next((name for name in CAMERA_FILES if (path / name).is_file()), None)
    return None if name is None else Claim(path, path / name)


def read(claim: Claim, findings: Findings) -> Listing:
    """List a DTU/NeuS dataset. Its ``scale_mat`` gives the bounds; the world unit is mm if the cameras stand as DTU's do."""
    root, file = claim.root, claim.source
    arrays = _read_npz(file, findings)
    indices = sorted(int(match[1]) for key in arrays if (match := re.fullmatch(r"world_mat_(\d+)", key)))
    if not indices:
        if not findings.fatal:
            findings.fatal.append(f"{file.name}: holds no world_mat_0, world_mat_1, ...")
        return Listing(root, FORMAT, ())
    images = _match(root, IMAGE_FOLDERS, indices, "images", findings)
    if images is None:
        return Listing(root, FORMAT, ())
    has_masks = any((root / folder).is_dir() for folder in MASK_FOLDERS)
    masks = _match(root, MASK_FOLDERS, indices, "masks", findings) if has_masks else None
    frames = []
    for index in indices:
        path = images[index]
        name = path.relative_to(root).as_posix()
        where = f"{file.name} world_mat_{index} ({name})"
        try:
            k, world_from_camera = decompose_projection(arrays[f"world_mat_{index}"])
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
            continue
        # Integer pixel centres become +0.5.
        intrinsics = Intrinsics(fx=k[0, 0], fy=k[1, 1], cx=k[0, 2] + 0.5, cy=k[1, 2] + 0.5, skew=k[0, 1])
        mask = None if masks is None else masks[index]
        frames.append(
            Frame(where, name, path, world_from_camera, intrinsics, None, mask if mask is not None and mask.is_file() else None, "object")
        )
    bounds, note = _scale_mat(arrays, indices, file, findings)
    unit = _unit(root, frames, bounds, findings)
    return Listing(root, FORMAT, tuple(frames), world_from_scene=bounds, bounds_note=note, unit=unit)


def _unit(root: Path, frames: list[Frame], bounds: Similarity | None, findings: Findings) -> str | None:
    """ "mm" for DTU's scans. A folder's name proves nothing by itself: DTU's cameras also stand half a metre and more from what they
    see."""
    if bounds is None or not frames or not re.search(r"dtu|(^|[^a-z])scan_?\d", f"{root.parent.name}/{root.name}".lower()):
        return None
    distance = float(np.median([np.linalg.norm(f.world_from_camera[:, 3] - bounds.translation) for f in frames]))
    if not DTU_DISTANCE[0] <= distance <= DTU_DISTANCE[1]:
        return None
    findings.notes.append(f"unit: mm, because the folder's name says DTU and the cameras stand {distance:.0f} away, as DTU's do")
    return "mm"


def decompose_projection(matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Split P = s K [R | t] into K (positive diagonal, K[2, 2] = 1; [3, 3]) and ``world_from_camera`` ([3, 4], rigid, OpenCV axes).

    Raises:
        FrameProblem: Not a 3x4 or 4x4 matrix of finite numbers, or singular.
    """
    try:
        p = np.asarray(matrix, np.float64)
    except (TypeError, ValueError) as error:
        raise FrameProblem("the projection matrix is not made of numbers") from error
    if p.shape not in ((3, 4), (4, 4)):
        raise FrameProblem(f"the projection matrix must be 4x4, found shape {p.shape}")
    p = p[:3]
    if not np.isfinite(p).all():
        raise FrameProblem("the projection matrix holds NaN or infinity")
    m = p[:, :3]
    norms = np.linalg.norm(m, axis=1)
    if norms.min() == 0 or abs(np.linalg.det(m / norms[:, None])) < 1e-12:
        raise FrameProblem("the projection matrix is singular: it is no camera")
    if np.linalg.det(m) < 0:
        # P is defined up to a factor, sign included; the camera that looks forward has a positive determinant.
        m, p = -m, -p
    k, r = rq(m)
    signs = np.sign(np.diag(k))
    k, r = k * signs, signs[:, None] * r
    center = -np.linalg.solve(m, p[:, 3])
    return k / k[2, 2], np.concatenate([r.T, center[:, None]], axis=1)


def _read_npz(file: Path, findings: Findings) -> dict[str, np.ndarray]:
    """All world_mat and scale_mat arrays; what is wrong goes to ``findings.fatal``."""
    try:
        data = load_npz(file, "an .npz archive of cameras", LARGEST_CAMERAS, "copy it again")
    except DataError as error:
        findings.fatal.append(str(error.message).removeprefix(f"{file.parent}/") + ": copy it again")
        return {}
    return {key: value for key, value in data.items() if re.fullmatch(r"(world|scale)_mat_\d+", key)}


def _match(root: Path, folders: tuple[str, ...], indices: list[int], what: str, findings: Findings) -> dict[int, Path] | None:
    """Pair camera indices with files: by order if the counts agree, else by the number in the file's name."""
    folder = next((root / name for name in folders if (root / name).is_dir()), None)
    files = [] if folder is None else [f for f in folder.iterdir() if f.suffix.lower() in IMAGE_SUFFIXES and f.is_file()]
    if folder is None or not files:
        findings.fatal.append(f"no {what}: the folder {' or '.join(folders)} is missing or holds no {'/'.join(IMAGE_SUFFIXES)} file")
        return None
    files.sort(key=lambda f: natural_key(f.name))
    if len(files) == len(indices):
        return dict(zip(indices, files, strict=True))
    numbers = [re.findall(r"\d+", f.stem) for f in files]
    by_number = {int(found[-1]): f for found, f in zip(numbers, files, strict=True) if found}
    if len(by_number) != len(files) or not set(by_number) & set(indices):
        findings.fatal.append(
            f"{len(files)} {what} in {folder.name}/ but {len(indices)} cameras, and the file names do not say which is which"
        )
        return None
    ignored = sorted(set(by_number) - set(indices))
    if ignored:
        findings.warnings.append(
            f"{len(ignored)} {what} in {folder.name}/ have no camera (first: {by_number[ignored[0]].name}) and are left out"
        )
    sample = files[0]
    digits = len(re.findall(r"\d+", sample.stem)[-1])
    return {i: by_number.get(i, folder / f"{i:0{digits}d}{sample.suffix}") for i in indices}


def _scale_mat(arrays: dict[str, np.ndarray], indices: list[int], file: Path, findings: Findings) -> tuple[Similarity | None, str]:
    """``world_from_scene`` from the scale_mats, if they are all the same similarity."""
    mats = [np.asarray(arrays[f"scale_mat_{i}"], np.float64) for i in indices if f"scale_mat_{i}" in arrays]
    if not mats:
        return None, ""
    first = mats[0]
    if first.shape != (4, 4) or not all(
        m.shape == (4, 4) and np.allclose(m, first, rtol=1e-4, atol=1e-6 * np.abs(first).max()) for m in mats
    ):
        findings.warnings.append(f"{file.name}: the scale_mats differ between views and are not used; bounds are found otherwise")
        return None, ""
    linear = first[:3, :3]
    determinant = np.linalg.det(linear) if np.isfinite(first).all() else 0.0
    scale = float(np.cbrt(determinant))
    if scale <= 0 or not np.allclose(linear.T @ linear, scale**2 * np.eye(3), atol=1e-3 * scale**2):
        findings.warnings.append(f"{file.name}: scale_mat is no similarity and is not used; bounds are found otherwise")
        return None, ""
    u, _, vt = np.linalg.svd(linear)
    return Similarity(scale, u @ vt, first[:3, 3]), f"scale_mat of {file.name}"
