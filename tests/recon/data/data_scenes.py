"""Small datasets with known truth, written in every convention. The formulas here are written out again, not taken from the loaders."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

DEVELOPMENT_DATA = Path(__file__).resolve().parents[4] / "shared" / "data"

# One point per colour channel, so that blobs never overlap.
POINTS = np.array([[0.35, 0.1, -0.2], [-0.3, 0.25, 0.15], [0.05, -0.4, 0.3]])


@dataclass(frozen=True)
class Truth:
    """A camera in OpenCV axes with continuous pixel coordinates (the image covers [0, w] x [0, h])."""

    width: int
    height: int
    fx: float
    fy: float
    cx: float
    cy: float
    rotation: np.ndarray  # world from camera
    center: np.ndarray
    lens: dict

    def project(self, points: np.ndarray) -> np.ndarray:
        """Pixels in the photograph, distortion included."""
        p = (points - self.center) @ self.rotation
        x, y = p[:, 0] / p[:, 2], p[:, 1] / p[:, 2]
        k = [self.lens.get(f"k{i}", 0.0) for i in range(1, 7)]
        p1, p2 = self.lens.get("p1", 0.0), self.lens.get("p2", 0.0)
        model = self.lens.get("camera_model", "OPENCV")
        if model == "OPENCV_FISHEYE":
            r = np.sqrt(x**2 + y**2)
            theta = np.arctan(r)
            distorted = theta + k[0] * theta**3 + k[1] * theta**5 + k[2] * theta**7 + k[3] * theta**9
            x, y = x * distorted / r, y * distorted / r
        else:
            r2 = x**2 + y**2
            if model == "FULL_OPENCV":
                radial = (1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3) / (1 + k[3] * r2 + k[4] * r2**2 + k[5] * r2**3)
            else:
                radial = 1 + k[0] * r2 + k[1] * r2**2 + k[2] * r2**3 + k[3] * r2**4
            x, y = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x**2), y * radial + p1 * (r2 + 2 * y**2) + 2 * p2 * x * y
        return np.stack([self.fx * x + self.cx, self.fy * y + self.cy], axis=1)

    def opengl(self) -> list:
        """4x4 camera-to-world with OpenGL axes: columns right, up, backward."""
        m = np.eye(4)
        m[:3, 0], m[:3, 1], m[:3, 2], m[:3, 3] = self.rotation[:, 0], -self.rotation[:, 1], -self.rotation[:, 2], self.center
        return m.tolist()


def cameras(
    count: int = 10, width: int = 160, height: int = 120, fx: float = 190.0, fy: float = 185.0, cx: float = 83.3, cy: float = 57.1, **lens
) -> list[Truth]:
    """Cameras around the origin at distance 3, at changing heights, each looking near the origin."""
    out = []
    for i in range(count):
        angle, up = 2 * np.pi * i / count + 0.3, 0.3 + 0.9 * ((i * 7) % count) / count
        center = 3.0 * np.array([np.cos(angle) * np.cos(up), np.sin(angle) * np.cos(up), np.sin(up)])
        forward = -center / np.linalg.norm(center)
        right = np.cross(forward, [0, 0, 1.0])
        right /= np.linalg.norm(right)
        out.append(Truth(width, height, fx, fy, cx, cy, np.stack([right, np.cross(forward, right), forward], 1), center, lens))
    return out


def blobs(truth: Truth, sigma: float = 2.0) -> np.ndarray:
    """A picture with a Gaussian blob at each point's projection, one per channel. [H, W, 3] uint8"""
    x, y = np.meshgrid(np.arange(truth.width) + 0.5, np.arange(truth.height) + 0.5)
    channels = [np.exp(-((x - u) ** 2 + (y - v) ** 2) / (2 * sigma**2)) for u, v in truth.project(POINTS)]
    return np.rint(255 * np.stack(channels, -1)).astype(np.uint8)


def centroids(image: np.ndarray) -> np.ndarray:
    """Centroid of each channel in continuous pixel coordinates. [3, 2]"""
    values = image[..., :3].astype(np.float64)
    values[values < 3] = 0
    x, y = np.arange(image.shape[1]) + 0.5, np.arange(image.shape[0]) + 0.5
    total = values.sum(axis=(0, 1))
    return np.stack([(values.sum(axis=0) * x[:, None]).sum(axis=0) / total, (values.sum(axis=1) * y[:, None]).sum(axis=0) / total], axis=1)


def disc(truth: Truth, radius: float = 0.7) -> np.ndarray:
    """Silhouette of a sphere around the origin by ray casting. [H, W] bool"""
    x, y = np.meshgrid((np.arange(truth.width) + 0.5 - truth.cx) / truth.fx, (np.arange(truth.height) + 0.5 - truth.cy) / truth.fy)
    d = np.stack([x, y, np.ones_like(x)], -1)
    d = d / np.linalg.norm(d, axis=-1, keepdims=True) @ truth.rotation.T
    along = -(d @ truth.center)
    return (truth.center @ truth.center - along**2 <= radius**2) & (along > 0)


def save(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def write_json(path: Path, data) -> None:
    path.write_text(json.dumps(data))


def write_blender(root: Path, truths: list[Truth], pixels=blobs, held_out: int = 3) -> None:
    for split, chosen in (("train", truths[held_out:]), ("test", truths[:held_out])):
        frames = []
        for i, truth in enumerate(chosen):
            save(root / split / f"r_{i}.png", pixels(truth))
            frames.append({"file_path": f"./{split}/r_{i}", "rotation": 0.1, "transform_matrix": truth.opengl()})
        angle = 2 * np.arctan(truths[0].width / 2 / truths[0].fx)
        write_json(root / f"transforms_{split}.json", {"camera_angle_x": angle, "frames": frames})


def write_nef(root: Path, truths: list[Truth]) -> None:
    """NEF's ABC layout: intrinsics per frame with integer pixel centres, edge maps in train/, photographs in train_img/."""
    frames = []
    for i, t in enumerate(truths):
        save(root / "train" / f"{i}_colors.png", np.zeros((t.height, t.width), np.uint8))
        save(root / "train_img" / f"{i}_colors.png", blobs(t))
        k = [[t.fx, 0, t.cx - 0.5], [0, t.fy, t.cy - 0.5], [0, 0, 1]]
        frames.append({"file_path": f"./train/{i}_colors", "camera_intrinsics": k, "transform_matrix": t.opengl()})
    write_json(root / "transforms_train.json", {"camera_angle_x": 0.69, "frames": frames})


def write_nerfstudio(root: Path, truths: list[Truth], shared: bool = True, pixels=blobs, **extra) -> dict:
    frames = []
    for i, t in enumerate(truths):
        save(root / "images" / f"frame_{i}.png", pixels(t))
        own = {"fl_x": t.fx, "fl_y": t.fy, "cx": t.cx, "cy": t.cy, "w": t.width, "h": t.height, **t.lens}
        frames.append({"file_path": f"images/frame_{i}.png", "transform_matrix": t.opengl(), **({} if shared else own)})
    data = {**(own if shared else {}), **extra, "frames": frames}
    write_json(root / "transforms.json", data)
    return data


def write_dtu(root: Path, truths: list[Truth], pixels=blobs, masks: bool = False, file_name: str = "cameras_sphere.npz") -> np.ndarray:
    """Returns the scale_mat."""
    scale_mat = np.array([[1.5, 0, 0, 0.1], [0, 1.5, 0, -0.2], [0, 0, 1.5, 0.05], [0, 0, 0, 1]])
    arrays = {}
    for i, t in enumerate(truths):
        save(root / "image" / f"{i:06d}.png", pixels(t))
        if masks:
            save(root / "mask" / f"{i:03d}.png", np.repeat(255 * disc(t).astype(np.uint8)[..., None], 3, 2))
        k = np.array([[t.fx, 0, t.cx - 0.5], [0, t.fy, t.cy - 0.5], [0, 0, 1]])
        p = np.eye(4)
        p[:3, :3], p[:3, 3] = k @ t.rotation.T, -k @ t.rotation.T @ t.center
        arrays[f"world_mat_{i}"] = p * (-1.0 if i % 2 else 3.7)  # P is defined up to a factor
        arrays[f"world_mat_{i}"][3] = [0, 0, 0, 1]
        arrays[f"scale_mat_{i}"] = scale_mat
    np.savez(root / file_name, **arrays)
    return scale_mat


def write_emap(root: Path, truths: list[Truth]) -> None:
    frames = []
    for i, t in enumerate(truths):
        save(root / "color" / f"{i}_colors.png", blobs(t))
        pose = np.eye(4)
        pose[:3, :3], pose[:3, 3] = t.rotation, t.center
        k = [[t.fx, 0, t.cx - 0.5], [0, t.fy, t.cy - 0.5], [0, 0, 1]]
        frames.append({"rgb_path": f"{i}_colors.png", "camtoworld": pose.tolist(), "intrinsics": k})
    write_json(root / "meta_data.json", {"camera_model": "OPENCV", "width": truths[0].width, "height": truths[0].height, "frames": frames})
