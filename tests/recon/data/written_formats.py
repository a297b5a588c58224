"""Made-up datasets in the formats of other programs. The formulas are written out again from the formats' descriptions."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from tests.recon.data.data_scenes import Truth, blobs, save, write_json, write_nerfstudio


def w2c(t: Truth) -> tuple[np.ndarray, np.ndarray]:
    r = t.rotation.T
    return r, -r @ t.center


def c2w_opengl(t: Truth) -> np.ndarray:
    return np.array(t.opengl())


def pictures(root: Path, folder: str, truths: list[Truth], names=lambda i: f"p{i:03d}.png") -> list[str]:
    for i, t in enumerate(truths):
        save(root / folder / names(i), blobs(t))
    return [names(i) for i in range(len(truths))]


def colmap_rows(truths: list[Truth], names: list[str]) -> list[tuple]:
    rows = []
    for t, name in zip(truths, names, strict=True):
        r, translation = w2c(t)
        x, y, z, w = Rotation.from_matrix(r).as_quat()
        rows.append((w, x, y, z, *translation, name))
    return rows


def colmap_camera(t: Truth) -> tuple[str, int, list[float]]:
    lens = t.lens
    if lens.get("camera_model") == "OPENCV_FISHEYE":
        return "OPENCV_FISHEYE", 5, [t.fx, t.fy, t.cx, t.cy, *(lens.get(f"k{i}", 0.0) for i in range(1, 5))]
    if lens:
        return "OPENCV", 4, [t.fx, t.fy, t.cx, t.cy, *(lens.get(k, 0.0) for k in ("k1", "k2", "p1", "p2"))]
    return "PINHOLE", 1, [t.fx, t.fy, t.cx, t.cy]


def write_colmap_bin(
    root: Path, truths: list[Truth], place: str = "sparse/0", points: np.ndarray | None = None, images: str = "images"
) -> None:
    model = root / place
    model.mkdir(parents=True)
    _, number, parameters = colmap_camera(truths[0])
    head = struct.pack("<Q", 1) + struct.pack("<iiQQ", 7, number, truths[0].width, truths[0].height)
    (model / "cameras.bin").write_bytes(head + struct.pack(f"<{len(parameters)}d", *parameters))
    data = struct.pack("<Q", len(truths))
    for i, row in enumerate(colmap_rows(truths, pictures(root, images, truths))):
        data += struct.pack("<I7di", i + 1, *row[:7], 7) + row[7].encode() + b"\0" + struct.pack("<Q", 2) + b"\1" * 48
    (model / "images.bin").write_bytes(data)
    points = np.zeros((0, 3)) if points is None else points
    data = struct.pack("<Q", len(points))
    for i, p in enumerate(points):
        data += struct.pack("<Q3d3BdQ", i, *p, 10, 20, 30, 0.4, 3 + i % 3) + b"\0" * 8 * (3 + i % 3)
    (model / "points3D.bin").write_bytes(data)
    (model / "rigs.bin").write_bytes(b"what newer versions add")
    (model / "frames.bin").write_bytes(b"what newer versions add")


def write_colmap_txt(root: Path, truths: list[Truth], place: str = "sparse", images: str = "images") -> None:
    model = root / place
    model.mkdir(parents=True)
    name, _, parameters = colmap_camera(truths[0])
    text = f"# Camera list\n3 {name} {truths[0].width} {truths[0].height} " + " ".join(map(repr, map(float, parameters)))
    (model / "cameras.txt").write_text(text + "\n")
    lines = ["# Image list", "# Number of images"]
    for i, row in enumerate(colmap_rows(truths, pictures(root, images, truths, lambda i: f"sub dir/p {i}.png"))):
        lines += [f"{i + 1} " + " ".join(repr(float(v)) for v in row[:7]) + f" 3 {row[7]}", "" if i % 2 else "1.5 2.5 -1"]
    (model / "images.txt").write_text("\n".join(lines) + "\n")
    (model / "points3D.txt").write_text("# 3D point list\n1 0.1 0.2 0.3 255 0 0 0.5 1 0 2 0 3 0\n")


def write_llff(root: Path, truths: list[Truth]) -> None:
    pictures(root, "images", truths)
    rows = []
    for t in truths:
        m = c2w_opengl(t)  # right, up, back
        pose = np.stack([-m[:3, 1], m[:3, 0], m[:3, 2], m[:3, 3], [t.height, t.width, t.fx]], axis=1)
        rows.append([*pose.ravel(), 1.0, 5.0])
    np.save(root / "poses_bounds.npy", np.array(rows))


def write_middlebury(root: Path, truths: list[Truth]) -> None:
    lines = [str(len(truths))]
    for t, name in zip(truths, pictures(root, "", truths), strict=True):
        r, translation = w2c(t)
        k = [t.fx, 0, t.cx - 0.5, 0, t.fy, t.cy - 0.5, 0, 0, 1]
        lines.append(" ".join([name, *(repr(float(v)) for v in (*k, *r.ravel(), *translation))]))
    (root / "dino_par.txt").write_text("\n".join(lines))


def write_mvsnet(root: Path, truths: list[Truth]) -> None:
    pictures(root, "blended_images", truths, lambda i: f"{i:08d}.jpg.png")
    for i, t in enumerate(truths):
        (root / "blended_images" / f"{i:08d}.jpg.png").rename(root / "blended_images" / f"{i:08d}.png")
        r, translation = w2c(t)
        e = np.eye(4)
        e[:3, :3], e[:3, 3] = r, translation
        k = [[t.fx, 0, t.cx - 0.5], [0, t.fy, t.cy - 0.5], [0, 0, 1]]
        text = "extrinsic\n" + "\n".join(" ".join(repr(float(v)) for v in row) for row in e)
        text += "\n\nintrinsic\n" + "\n".join(" ".join(repr(float(v)) for v in row) for row in k) + "\n\n1.0 0.01 128 5.0\n"
        (root / "cams").mkdir(exist_ok=True)
        (root / "cams" / f"{i:08d}_cam.txt").write_text(text)
    (root / "cams" / "pair.txt").write_text("10\n")


def write_bundler(root: Path, truths: list[Truth]) -> None:
    names = pictures(root, "images", truths)
    lines = ["# Bundle file v0.3", f"{len(truths) + 1} 1"]
    for t in truths:
        m = c2w_opengl(t)
        r = m[:3, :3].T
        lines.append(f"{t.fx!r} {t.lens.get('k1', 0.0)} {t.lens.get('k2', 0.0)}")
        lines += [" ".join(repr(float(v)) for v in row) for row in (*r, -r @ t.center)]
    lines += ["0 0 0", "0 0 0", "0 0 0", "0 0 0", "0 0 0"]  # a picture that was not registered
    lines += ["0.1 0.2 0.3", "255 0 0", "2 0 0 1.0 2.0 1 0 1.0 2.0"]
    (root / "bundle.out").write_text("\n".join(lines) + "\n")
    (root / "list.txt").write_text("\n".join([*(f"images/{n} 0 {truths[0].fx}" for n in names), "images/lost.png"]) + "\n")


def write_nvm(root: Path, truths: list[Truth]) -> None:
    names = pictures(root, "", truths)
    lines = ["NVM_V3 ", "", str(len(truths))]
    for t, name in zip(truths, names, strict=True):
        x, y, z, w = Rotation.from_matrix(t.rotation.T).as_quat()
        lines.append(f"{name}\t" + " ".join(repr(float(v)) for v in (t.fx, w, x, y, z, *t.center)) + " 0 0")
    lines += ["", "1", "0.1 0.2 0.3 255 0 0 2 0 0 1.0 2.0 1 0 1.0 2.0", "", "0"]
    (root / "model.nvm").write_text("\n".join(lines))


def write_polycam(root: Path, truths: list[Truth]) -> None:
    for i, t in enumerate(truths):
        save(root / "keyframes" / "corrected_images" / f"{1000 + i}.png", blobs(t))
        m = c2w_opengl(t)
        camera = {f"t_{r}{c}": m[r, c] for r in range(3) for c in range(4)}
        camera |= {"fx": t.fx, "fy": t.fy, "cx": t.cx, "cy": t.cy, "width": t.width, "height": t.height, "blur_score": 80.0}
        folder = root / "keyframes" / "corrected_cameras"
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / f"{1000 + i}.json", camera)


def write_record3d(root: Path, truths: list[Truth]) -> None:
    pictures(root, "rgb", truths, lambda i: f"{i}.png")
    poses = [[*Rotation.from_matrix(c2w_opengl(t)[:3, :3]).as_quat(), *t.center] for t in truths]
    t = truths[0]
    k = np.array([[t.fx, 0, t.cx], [0, t.fy, t.cy], [0, 0, 1]])
    write_json(root / "metadata", {"w": t.width, "h": t.height, "fps": 60, "K": k.T.ravel().tolist(), "poses": np.array(poses).tolist()})


def write_metashape(root: Path, truths: list[Truth]) -> None:
    """With a chunk that is turned, scaled and moved against the world, and Metashape's own order of p1 and p2."""
    names = pictures(root, "photos", truths)
    t, scale, turn, shift = truths[0], 2.5, Rotation.from_rotvec([0.2, -0.3, 0.5]).as_matrix(), np.array([3.0, -4.0, 5.0])
    f, b1 = t.fy, t.fx - t.fy
    calibration = f"<f>{f!r}</f><cx>{t.cx - t.width / 2!r}</cx><cy>{t.cy - t.height / 2!r}</cy><b1>{b1!r}</b1>"
    calibration += "".join(f"<{k}>{t.lens.get(k, 0.0)!r}</{k}>" for k in ("k1", "k2", "k3", "k4"))
    calibration += f"<p1>{t.lens.get('p2', 0.0)!r}</p1><p2>{t.lens.get('p1', 0.0)!r}</p2>"
    size = f'<resolution width="{t.width}" height="{t.height}"/>'
    cameras = '<camera id="99" sensor_id="0" label="lost.png"></camera>'
    for i, (t, name) in enumerate(zip(truths, names, strict=True)):
        m = np.eye(4)
        m[:3, :3], m[:3, 3] = turn.T @ t.rotation, turn.T @ (t.center - shift) / scale
        numbers = " ".join(repr(float(v)) for v in m.ravel())
        cameras += f'<camera id="{i}" sensor_id="0" label="{name[:-4]}"><transform>{numbers}</transform></camera>'
    transform = f"<transform><rotation>{' '.join(repr(float(v)) for v in turn.ravel())}</rotation>"
    transform += f"<translation>{' '.join(repr(float(v)) for v in shift)}</translation><scale>{scale}</scale></transform>"
    sensor = f'<sensor id="0" label="x" type="frame">{size}<calibration type="frame" class="initial">{size}<f>1</f></calibration>'
    sensor += f'<calibration type="frame" class="adjusted">{size}{calibration}</calibration></sensor>'
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<document version="1.5.0"><chunk label="Chunk 1"><sensors>{sensor}</sensors>'
    (root / "cameras.xml").write_text(text + f"<cameras>{cameras}</cameras>{transform}</chunk></document>")


def write_realitycapture(root: Path, truths: list[Truth]) -> None:
    lines = ["#name,x,y,alt,heading,pitch,roll,f,px,py,k1,k2,k3,k4,t1,t2"]
    for t, name in zip(truths, pictures(root, "images", truths), strict=True):
        yaw, pitch, roll = Rotation.from_matrix(c2w_opengl(t)[:3, :3]).as_euler("ZXY", degrees=True)
        millimetres = 36.0 / max(t.width, t.height)
        pp = ((t.cx - t.width / 2) * millimetres, (t.cy - t.height / 2) * millimetres)
        k = [t.lens.get(key, 0.0) for key in ("k1", "k2", "k3", "k4", "p1", "p2")]
        values = (*t.center, -yaw, pitch, roll, t.fx * millimetres, *pp, *k)
        lines.append(",".join([name, *(repr(float(v)) for v in values)]))
    (root / "export.csv").write_text("\n".join(lines) + "\n")


def write_opensfm(root: Path, truths: list[Truth]) -> None:
    names = pictures(root, "images", truths)
    t = truths[0]
    size = max(t.width, t.height)
    camera = {"projection_type": "brown", "width": t.width, "height": t.height, "focal_x": t.fx / size, "focal_y": t.fy / size}
    camera |= {"c_x": (t.cx - t.width / 2) / size, "c_y": (t.cy - t.height / 2) / size}
    camera |= {k: t.lens.get(k, 0.0) for k in ("k1", "k2", "k3", "p1", "p2")}
    shots = {}
    for t, name in zip(truths, names, strict=True):
        r, translation = w2c(t)
        shots[name] = {"rotation": Rotation.from_matrix(r).as_rotvec().tolist(), "translation": translation.tolist(), "camera": "phone"}
    points = {"1": {"coordinates": [0.1, 0.2, 0.3], "color": [255, 0, 0]}}
    small = {"cameras": {"phone": camera}, "shots": {"lost.png": shots[names[0]]}, "points": {}}
    write_json(root / "reconstruction.json", [small, {"cameras": {"phone": camera}, "shots": shots, "points": points}])


def write_openmvg(root: Path, truths: list[Truth]) -> None:
    """One camera a picture, whose kind is named only the first time, as cereal writes it."""
    names = pictures(root, "images", truths)
    views, intrinsics, extrinsics = [], [], []
    for i, (t, name) in enumerate(zip(truths, names, strict=True)):
        data = {"local_path": "", "filename": name, "width": t.width, "height": t.height, "id_view": i, "id_intrinsic": i, "id_pose": i}
        views.append({"key": i, "value": {"polymorphic_id": 1073741824, "ptr_wrapper": {"id": 2147483649 + i, "data": data}}})
        lens = [t.lens.get(k, 0.0) for k in ("k1", "k2", "k3", "p1", "p2")]
        base = {"width": t.width, "height": t.height, "focal_length": t.fx, "principal_point": [t.cx - 0.5, t.cy - 0.5]}
        value = {"polymorphic_id": 2147483649} | ({} if i else {"polymorphic_name": "pinhole_brown_t2"})
        if i:
            value["polymorphic_id"] = 1
        intrinsics.append({"key": i, "value": value | {"ptr_wrapper": {"id": 9 + i, "data": {"value0": base, "disto_t2": lens}}}})
        extrinsics.append({"key": i, "value": {"rotation": t.rotation.T.tolist(), "center": t.center.tolist()}})
    lost = {"key": 77, "value": {"ptr_wrapper": {"data": {"filename": "lost.png", "id_view": 77, "id_intrinsic": 0, "id_pose": 77}}}}
    structure = [{"key": 1, "value": {"X": [0.1, 0.2, 0.3], "observations": [{}, {}]}}]
    data = {"sfm_data_version": "0.3", "root_path": "/home/anna/x", "views": [*views, lost], "intrinsics": intrinsics}
    write_json(root / "sfm_data.json", data | {"extrinsics": extrinsics, "structure": structure})


def write_nerfcapture(root: Path, truths: list[Truth]) -> None:
    frames = []
    for i, t in enumerate(truths):
        save(root / "images" / f"{i}.png", blobs(t))
        own = {"fl_x": t.fx, "fl_y": t.fy, "cx": t.cx, "cy": t.cy, "w": t.width, "h": t.height}
        frames.append(
            {"file_path": f"images/{i}", "transform_matrix": t.opengl(), "timestamp": 0.1 * i, "depth_path": f"images/{i}.depth.png", **own}
        )
    write_json(root / "transforms.json", {"frames": frames, "depth_integer_scale": 1.0})


def write_neus2(root: Path, truths: list[Truth]) -> None:
    """OpenCV axes, an intrinsic matrix per frame, 16 numbers in a row."""
    frames = []
    for i, t in enumerate(truths):
        save(root / "images" / f"{i}.png", blobs(t))
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = t.rotation, t.center
        k = [[t.fx, 0, t.cx, 0], [0, t.fy, t.cy, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
        frames.append({"file_path": f"images/{i}.png", "transform_matrix": pose.ravel().tolist(), "intrinsic_matrix": k})
    write_json(root / "transform.json", {"from_na": True, "w": truths[0].width, "h": truths[0].height, "frames": frames})


def write_x_fov(root: Path, truths: list[Truth]) -> None:
    data = write_nerfstudio(root, truths)
    t = truths[0]
    data = {k: v for k, v in data.items() if k not in ("fl_x", "fl_y")}
    data |= {"x_fov": float(np.degrees(2 * np.arctan(t.width / 2 / t.fx))), "y_fov": float(np.degrees(2 * np.arctan(t.height / 2 / t.fy)))}
    (root / "transforms.json").write_text(json.dumps(data), encoding="utf-16")


FULL = {}  # all that the format can say
CENTRED = {"cx": 80.0, "cy": 60.0, "fy": 190.0}
SQUARE = {"fy": 190.0}
BROWN = {"k1": 0.06, "k2": -0.08, "p1": -0.001, "p2": 0.0005}
# Writer, cameras that the format can express, name of the format.
WRITERS = {
    "COLMAP binary": (write_colmap_bin, FULL, "colmap"),
    "COLMAP text": (write_colmap_txt, FULL, "colmap"),
    "COLMAP with distortion": (write_colmap_bin, BROWN, "colmap"),
    "COLMAP fisheye": (write_colmap_txt, {"camera_model": "OPENCV_FISHEYE", "k1": 0.05, "k2": -0.01, "k3": 0.003, "k4": -0.001}, "colmap"),
    "LLFF": (write_llff, CENTRED, "llff"),
    "Middlebury": (write_middlebury, FULL, "middlebury"),
    "MVSNet": (write_mvsnet, FULL, "mvsnet"),
    "Bundler": (write_bundler, CENTRED | {"k1": 0.05, "k2": -0.02}, "bundler"),
    "NVM": (write_nvm, CENTRED, "nvm"),
    "Polycam": (write_polycam, FULL, "polycam"),
    "Record3D": (write_record3d, FULL, "record3d"),
    "Metashape": (write_metashape, FULL, "metashape"),
    "Metashape with distortion": (write_metashape, BROWN | {"k3": 0.01}, "metashape"),
    "RealityCapture": (write_realitycapture, SQUARE, "realitycapture"),
    "RealityCapture with distortion": (write_realitycapture, SQUARE | BROWN, "realitycapture"),
    "OpenSfM": (write_opensfm, FULL, "opensfm"),
    "OpenSfM with distortion": (write_opensfm, BROWN | {"k3": 0.01}, "opensfm"),
    "OpenMVG": (write_openmvg, SQUARE, "openmvg"),
    "OpenMVG with distortion": (write_openmvg, SQUARE | BROWN | {"k3": 0.01}, "openmvg"),
    "NeRFCapture": (write_nerfcapture, FULL, "nerfstudio"),
    "NeuS2": (write_neus2, FULL, "nerfstudio"),
    "x_fov in UTF-16": (write_x_fov, FULL, "nerfstudio"),
}
