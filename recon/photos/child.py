"""``python -m recon.photos.child``: the part that calls pycolmap. One job, as JSON on the first line of stdin; lines of JSON on stdout.

It is a process of its own because pycolmap aborts on some inputs and because ending a process is the only sure way to stop it. It ends
by itself when stdin closes: with its parent. What is done stays in the job's database, so that the next child goes on from there.
"""

from __future__ import annotations

import copy
import json
import os
import sys
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap

from recon.photos.model import SparseModel, save_model
from recon.photos.pairs import choose_pairs

STILL_PX = 2.0
"""A match that moves less than this between two photographs has not moved."""
SELF_CALIBRATION_PHOTOGRAPHS = 20
"""Photographs of one camera from which its principal point can be told."""
REPRODUCIBLE = 100
"""Up to so many photographs cameras are placed by one thread, so that they come out alike each time; of more it would take too long."""
SECOND_COEFFICIENT_OBSERVATIONS = 20000
"""Observations of one camera from which a second coefficient of distortion can be told."""


def say(**values: Any) -> None:
    sys.stdout.write(json.dumps(values) + "\n")
    sys.stdout.flush()


def extract(job: dict[str, Any]) -> None:
    """SIFT of every photograph, one camera for each group; photographs that the database has are skipped."""
    options = pycolmap.FeatureExtractionOptions()
    options.num_threads = job["threads"]
    options.use_gpu = False
    options.sift.max_num_features = job["features"]
    options.sift.first_octave = job["first_octave"]
    if job["peak"] is not None:
        options.sift.peak_threshold = job["peak"]
    for group in job["groups"]:
        with pycolmap.Database.open(job["database"]) as database:
            todo = [name for name in group["names"] if not _known(database, name)]
            camera_id = _camera_of(database, group["names"])
        if not todo:
            continue
        reader = pycolmap.ImageReaderOptions()
        reader.camera_model = "SIMPLE_RADIAL"
        reader.default_focal_length_factor = group["factor"]
        if group["params"] is not None:
            reader.camera_params = ",".join(repr(float(p)) for p in group["params"])
        if camera_id is not None:
            reader.existing_camera_id = camera_id
        if job["masks"] is not None:
            reader.mask_path = job["masks"]
        # Entered beforehand, in their order: else a photograph's number is the order in which threads end, and the model depends on it.
        with pycolmap.Database.open(job["database"]) as database:
            new = [name for name in todo if database.read_image_with_name(name) is None]
        if new:
            pycolmap.import_images(job["database"], job["images"], pycolmap.CameraMode.SINGLE, new, reader)
        pycolmap.extract_features(
            job["database"],
            job["images"],
            image_names=todo,
            camera_mode=pycolmap.CameraMode.SINGLE,
            reader_options=reader,
            extraction_options=options,
            device=pycolmap.Device.cpu,
        )


def _known(database: Any, name: str) -> bool:
    image = database.read_image_with_name(name)
    return image is not None and database.exists_keypoints(image.image_id)


def _camera_of(database: Any, names: list[str]) -> int | None:
    """The camera that the group's photographs in the database share, if there are any."""
    for name in names:
        image = database.read_image_with_name(name)
        if image is not None:
            return image.camera_id
    return None


def match(job: dict[str, Any]) -> None:
    """Match and verify the pairs that are not in the database yet."""
    with pycolmap.Database.open(job["database"]) as database:
        images = {image.name: image.image_id for image in database.read_all_images()}
        names = [name for name in job["names"] if name in images]

        def largest(name: str, count: int) -> np.ndarray:
            """Descriptors of the photograph's features of the largest scale, unit length. [count, 128] float32"""
            scales = _scales(database.read_keypoints(images[name]))
            stored = database.read_descriptors(images[name])
            descriptors = np.asarray(getattr(stored, "data", stored), np.float32)[np.argsort(-scales, kind="stable")[:count]]
            return descriptors / np.maximum(np.linalg.norm(descriptors, axis=1, keepdims=True), 1e-6)

        pairs = choose_pairs(names, largest, job["neighbors"], lambda done, total: say(stage="pairs", done=done, total=total))
    say(stage="pairs", done=len(names), total=len(names), pairs=len(pairs))
    list_path = Path(job["out"]) / "pairs.txt"
    list_path.write_text("".join(f"{names[i]} {names[j]}\n" for i, j in pairs))
    matching = pycolmap.FeatureMatchingOptions()
    matching.num_threads = job["threads"]
    matching.use_gpu = False
    matching.guided_matching = job["guided"]
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = job["seed"]
    pairing = pycolmap.ImportedPairingOptions()
    pairing.match_list_path = str(list_path)
    pycolmap.match_image_pairs(
        job["database"],
        matching_options=matching,
        pairing_options=pairing,
        verification_options=verification,
        device=pycolmap.Device.cpu,
    )


def _scales(keypoints: Any) -> np.ndarray:
    """Scale of each keypoint from its affine shape: x, y, a11, a12, a21, a22 (or x, y, scale, orientation). [N]"""
    values = np.asarray(keypoints, np.float64)
    if values.shape[1] >= 6:
        return (np.hypot(values[:, 2], values[:, 4]) + np.hypot(values[:, 3], values[:, 5])) / 2
    return values[:, 2]


def facts(job: dict[str, Any]) -> dict[str, Any]:
    """What the database says of each photograph: features, its best partner, and how many of its matches stand still."""
    with pycolmap.Database.open(job["database"]) as database:
        images = {image.image_id: image.name for image in database.read_all_images()}
        wanted = {i for i, name in images.items() if name in set(job["names"])}
        points = {i: np.asarray(database.read_keypoints(i), np.float64)[:, :2] for i in wanted if database.exists_keypoints(i)}
        found = {images[i]: {"features": len(points.get(i, ())), "best": None, "inliers": 0, "partners": 0} for i in wanted}
        pair_ids, geometries = database.read_two_view_geometries()
        verified, still, compared = 0, 0.0, 0
        for pair_id, geometry in zip(pair_ids, geometries, strict=True):
            a, b = pycolmap.pair_id_to_image_pair(pair_id)
            inliers = np.asarray(geometry.inlier_matches).reshape(-1, 2)
            if a not in wanted or b not in wanted or len(inliers) < job["min_inliers"]:
                continue
            verified += 1
            for one, other in ((a, b), (b, a)):
                row = found[images[one]]
                row["partners"] += 1
                if len(inliers) > row["inliers"]:
                    row["best"], row["inliers"] = images[other], len(inliers)
            moved = np.linalg.norm(points[a][inliers[:, 0]] - points[b][inliers[:, 1]], axis=1)
            compared += 1
            still += float(np.mean(moved < STILL_PX) > 0.5)
    return {"photographs": found, "verified_pairs": verified, "still_share": still / max(1, compared)}


def map_cameras(job: dict[str, Any]) -> None:
    """Incremental mapping; every model goes to ``out/model_K.npz``, the one with the most photographs first."""
    options = pycolmap.IncrementalPipelineOptions()
    options.min_model_size = 3
    options.random_seed = job["seed"]
    # Sums of several threads differ in their last bits, and which points are outliers may follow from that.
    options.num_threads = 1 if len(job["names"]) <= REPRODUCIBLE else job["threads"]
    options.image_names = job["names"]
    options.ba_refine_focal_length = options.ba_refine_extra_params = not job["fixed_lens"]
    for name, value in job["mapper"].items():
        setattr(options.mapper, name, value)
    count = 0

    def registered() -> None:
        nonlocal count
        count += 1
        say(stage="cameras", done=min(count + 2, len(job["names"])), total=len(job["names"]))

    out = Path(job["out"])
    folder = out / "mapper"
    folder.mkdir(exist_ok=True)
    models = pycolmap.incremental_mapping(
        job["database"],
        job["images"],
        folder,
        options=options,
        input_path=job["start"] or "",
        next_image_callback=registered,
    )
    ranked = sorted(models.values(), key=lambda m: (-m.num_reg_images(), -m.num_points3D()))
    for rank, model in enumerate(ranked):
        save_model(to_plain(model if job["fixed_lens"] else refined(model)), out / f"model_{rank}.npz")
    if ranked:
        best = folder / "best"
        best.mkdir(exist_ok=True)
        ranked[0].write(best)
    say(stage="done", models=[m.num_reg_images() for m in ranked], facts=facts(job))


def refined(model: Any) -> Any:
    """One more bundle adjustment with the principal point free, and k2 where much was seen, if every camera took enough photographs.

    On a few photographs both only fit noise. A principal point that leaves the middle by more than 5 % is no lens: the model is left as
    it was.
    """
    images = [image for image in model.images.values() if image.has_pose]
    per_camera = Counter(image.camera_id for image in images)
    if min(per_camera.values(), default=0) < SELF_CALIBRATION_PHOTOGRAPHS:
        return model
    observations = Counter[int]()
    for image in images:
        observations[image.camera_id] += image.num_points3D
    better = copy.deepcopy(model)
    for camera_id in per_camera:
        camera = better.cameras[camera_id]
        if observations[camera_id] >= SECOND_COEFFICIENT_OBSERVATIONS:
            f, cx, cy, k1 = camera.params
            camera.model = pycolmap.CameraModelId.RADIAL
            camera.params = [f, cx, cy, k1, 0.0]
    options = pycolmap.BundleAdjustmentOptions()
    options.refine_principal_point = True
    options.print_summary = False
    pycolmap.bundle_adjustment(better, options)
    for camera_id in per_camera:
        camera = better.cameras[camera_id]
        moved = np.abs(np.asarray(camera.params[1:3]) - np.array([camera.width, camera.height]) / 2).max()
        if not moved < 0.05 * max(camera.width, camera.height):
            return model
    better.update_point_3d_errors()
    return better


def to_plain(model: Any) -> SparseModel:
    """pycolmap's reconstruction as arrays; photographs in order of names."""
    images = sorted((image for image in model.images.values() if image.has_pose), key=lambda image: image.name)
    index = {image.image_id: row for row, image in enumerate(images)}
    poses = np.empty((len(images), 3, 4))
    for row, image in enumerate(images):
        rigid = image.cam_from_world()
        rotation = np.asarray(rigid.rotation.matrix()).T
        poses[row] = np.concatenate([rotation, -rotation @ np.asarray(rigid.translation).reshape(3, 1)], axis=1)
    camera_ids = sorted({image.camera_id for image in images})
    cameras = [model.cameras[i] for i in camera_ids]
    points = sorted(model.points3D.items())
    rows, columns, pixels = [], [], []
    for column, (_, point) in enumerate(points):
        for element in point.track.elements:
            if element.image_id in index:
                rows.append(index[element.image_id])
                columns.append(column)
                pixels.append(model.images[element.image_id].points2D[element.point2D_idx].xy)
    return SparseModel(
        names=tuple(image.name for image in images),
        world_from_camera=poses,
        camera=np.array([camera_ids.index(image.camera_id) for image in images], np.int64),
        params=np.array([[*c.params, 0.0][:5] for c in cameras], np.float64).reshape(-1, 5),
        sizes=np.array([(c.width, c.height) for c in cameras], np.int64).reshape(-1, 2),
        points=np.array([p.xyz for _, p in points], np.float64).reshape(-1, 3),
        colors=np.array([p.color for _, p in points], np.uint8).reshape(-1, 3),
        errors=np.array([p.error for _, p in points], np.float64),
        seen_by=np.array(rows, np.int64),
        seen=np.array(columns, np.int64),
        pixels=np.array(pixels, np.float64).reshape(-1, 2),
    )


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(1)


def main() -> None:
    job = json.loads(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    pycolmap.logging.minloglevel = 3
    pycolmap.set_random_seed(job["seed"])
    if "features" in job["steps"]:
        extract(job)
        say(stage="features", done=len(job["names"]), total=len(job["names"]))
    if "matches" in job["steps"]:
        match(job)
    map_cameras(job)
    sys.stdout.flush()
    os._exit(0)  # the destructors of its libraries have crashed after the work was done


if __name__ == "__main__":
    main()
