"""What is fuzzed: a folder with whole files, which of them is mutated, and the reader that must return or say in one line what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import trimesh

from recon import pipeline
from recon.checkpoint import load_checkpoint
from recon.config.files import load_config, with_overrides
from recon.config.values import RunConfig
from recon.console import Reporter
from recon.curves.files.polylines import read_curves, write_parametric_edges
from recon.curves.files.wireframe import save
from recon.data.record import read_record
from recon.evaluation.truth.curves import read_curve_truth
from recon.opening import open_data
from recon.runs import read_status
from recon.surface.reading import read_mesh, read_surface
from scenes.benchmark.suite import read_suite
from scenes.files import truth_from_file
from scenes.making.solid import load_mesh, save_mesh
from tests.recon.data import data_scenes, written_formats
from tests.recon.data.data_scenes import cameras
from tests.tiny import TINY_SETTINGS, tiny_scene, write_blender
from tests.viewer.runs import tiny_wireframe
from viewer.paths import load_path


@dataclass(frozen=True)
class Target:
    """A reader of foreign files.

    Attributes:
        name: Of the target.
        file: The file below the folder of whole files that is mutated; of a folder, one after the other of the files that are no pictures.
        read: Reads what is in a folder.
    """

    name: str
    file: str
    read: Callable[[Path], object]

    def files(self, folder: Path) -> list[Path]:
        """What is mutated, of whole files in a folder."""
        path = folder / self.file
        return [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file() and p.suffix not in (".png", ".jpg"))


def make_whole(folder: Path) -> None:
    """Write the whole files: tiny ones, so that thousands of mutants are read in minutes."""
    write_blender(folder / "blender", count=4, size=8)
    run = pipeline.start(tiny_scene(), "tiny", with_overrides(RunConfig(), [*TINY_SETTINGS, "train.steps=1"]), folder / "runs")
    pipeline.fit(run, tiny_scene(), Reporter(quiet=True))
    run.folder.rename(folder / "run")
    save(tiny_wireframe(), folder / "curves.json")
    write_parametric_edges(tiny_wireframe(), folder / "parametric_edges.json")
    ball = trimesh.creation.icosphere(1)
    for suffix in ("ply", "obj", "stl", "glb", "off"):
        ball.export(folder / f"mesh.{suffix}")
    (folder / "ascii.ply").write_bytes(trimesh.exchange.ply.export_ply(ball, encoding="ascii"))
    trimesh.PointCloud(ball.vertices).export(folder / "points.ply")
    pose = np.eye(4)[:3].tolist()
    keys = [{"time_s": k, "vertical_fov_deg": 50, "world_from_camera": pose} for k in range(3)]
    head = {"format": "formfield camera path", "version": 1, "frame": "world", "axes": "opencv", "fps": 24, "closed": False}
    (folder / "path.json").write_text(json.dumps({**head, "keyframes": keys}))
    (folder / "suite.yaml").write_text("about: two jobs\njobs:\n- scenes: [bracket]\n  methods: [volsdf]\n  seeds: [0, 1]\n")
    for name, write in DATASETS.items():
        (folder / name).mkdir()
        write(folder / name, cameras(4, width=16, height=12, fx=19.0, fy=18.5, cx=8.3, cy=5.7))
    solid = truth_from_file(folder / "mesh.ply").solid
    save_mesh(folder / "solid.npz", solid)


DATASETS: dict[str, Callable] = {
    "nerfstudio": data_scenes.write_nerfstudio,
    "dtu": data_scenes.write_dtu,
    "emap": data_scenes.write_emap,
    "colmap_bin": written_formats.write_colmap_bin,
    "colmap_txt": written_formats.write_colmap_txt,
    "llff": written_formats.write_llff,
    "middlebury": written_formats.write_middlebury,
    "mvsnet": written_formats.write_mvsnet,
    "bundler": written_formats.write_bundler,
    "nvm": written_formats.write_nvm,
    "polycam": written_formats.write_polycam,
    "record3d": written_formats.write_record3d,
    "metashape": written_formats.write_metashape,
    "realitycapture": written_formats.write_realitycapture,
    "opensfm": written_formats.write_opensfm,
    "openmvg": written_formats.write_openmvg,
}


def _dataset(name: str) -> Target:
    return Target(name, name, lambda f: open_data(str(f / name), RunConfig()))


def _mesh(name: str) -> Target:
    return Target(name.replace(".", "_"), name, lambda f: read_surface(f / name))


TARGETS = (
    Target("blender", "blender/transforms_train.json", lambda f: open_data(str(f / "blender"), RunConfig())),
    *(_dataset(name) for name in DATASETS),
    Target("picture", "blender/train/r_0.png", lambda f: open_data(str(f / "blender"), RunConfig())),
    Target("scene_json", "run/scene.json", lambda f: read_record(f / "run" / "scene.json")),
    Target("status_json", "run/status.json", lambda f: read_status(f / "run")),
    Target("config", "run/config.yaml", lambda f: load_config(f / "run" / "config.yaml")),
    Target("state_json", "run/checkpoints/step_00000001/state.json", lambda f: load_checkpoint(f / "run" / "checkpoints")),
    Target("tensors", "run/checkpoints/step_00000001/model.safetensors", lambda f: load_checkpoint(f / "run" / "checkpoints")),
    Target("curves", "curves.json", lambda f: read_curves(f / "curves.json")),
    Target("edges", "parametric_edges.json", lambda f: read_curves(f / "parametric_edges.json")),
    Target("path", "path.json", lambda f: load_path(f / "path.json")),
    Target("suite", "suite.yaml", lambda f: read_suite(str(f / "suite.yaml"))),
    *(_mesh(name) for name in ("mesh.ply", "ascii.ply", "mesh.obj", "mesh.stl", "mesh.glb", "mesh.off")),
    Target("solid", "solid.npz", lambda f: load_mesh(f / "solid.npz")),
    Target("cad", "mesh.obj", lambda f: truth_from_file(f / "mesh.obj")),
    Target("points", "points.ply", lambda f: read_curve_truth(f / "points.ply")),
    Target("mesh", "mesh.stl", lambda f: read_mesh(f / "mesh.stl")),
)
