"""Data of your own program, without writing a dataset to disk first: arrays become a scene, and the scene a mesh.

    python examples/own_loader.py capture.npz [train.steps=500 ...]

``capture.npz`` holds ``images`` [V, H, W, 3 or 4] uint8 (with four channels the last is straight alpha), ``world_from_camera`` [V, 3, 4]
with OpenCV axes (x right, y down, z forward), ``intrinsics`` [V, 4] as fx, fy, cx, cy in pixels (the centre of the first pixel is at
0.5, 0.5), and ``sphere`` [4]: centre and radius, in world units, of a ball that holds the object.
"""

import sys
from pathlib import Path

import numpy as np

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.console import Reporter
from recon.data.scene import Camera, Scene, View
from recon.evaluation.truth.known import GroundTruth
from recon.geometry import Similarity
from recon.results.evaluation import summary_lines


def read_capture(path: Path) -> Scene:
    """Every eighth view is held out, to measure on."""
    with np.load(path, allow_pickle=False) as file:
        images, poses, intrinsics, sphere = (file[name] for name in ("images", "world_from_camera", "intrinsics", "sphere"))
    views = []
    for i, (image, pose, (fx, fy, cx, cy)) in enumerate(zip(images, poses, intrinsics, strict=True)):
        camera = Camera(image.shape[1], image.shape[0], float(fx), float(fy), float(cx), float(cy), pose.astype(np.float64))
        views.append(View(f"{i:04d}", image, camera, "test" if i % 8 == 0 else "train"))
    background = "alpha" if images.shape[-1] == 4 else "unknown"
    bounds = Similarity(float(sphere[3]), translation=sphere[:3].astype(np.float64))
    return Scene(path.stem, path, "own", tuple(views), bounds, background)


def main(path: str, *settings: str) -> None:
    scene = read_capture(Path(path))
    config = with_overrides(preset_config("volsdf", None, "fast"), list(settings))
    with Reporter() as reporter:
        run = pipeline.start(scene, path, config, Path("runs"))
        results = pipeline.reconstruct(run, scene, GroundTruth(), reporter)
    print("\n".join(summary_lines(results)))
    print(run.exports / "mesh.glb")


if __name__ == "__main__":
    main(*sys.argv[1:])
