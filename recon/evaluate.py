"""A run against what is known: held-out views, silhouettes, and the true surface where there is one."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np
from PIL import Image

from recon.checkpoint import write_text_atomically
from recon.console import Reporter
from recon.data.scene import Scene, View
from recon.evaluation.images import psnr, ssim
from recon.evaluation.surfaces import compare_surfaces, silhouette_iou
from recon.geometry import Similarity
from recon.methods.base import Method
from recon.rendering.image import render_view, to_uint8
from recon.rendering.rays import view_pixels
from recon.runs import Run
from recon.surface.mesh import Mesh
from recon.surface.reading import read_mesh

PROTOCOL = (
    "sRGB in [0, 1], not quantised, whole image; transparent pixels of photograph and render over white; "
    "mean of the per-view values; SSIM with an 11x11 Gaussian window of sigma 1.5, K1 0.01, K2 0.03"
)


def evaluate(run: Run, method: Method, scene: Scene, truth: Mesh | None, reporter: Reporter) -> dict[str, Any]:
    """Evaluate a trained run and write ``eval/results.json`` and the rendered views.

    Args:
        run: Where results go; its exported mesh is evaluated if there is one.
        method: The trained model.
        scene: Its data.
        truth: True surface in world units.
        reporter: Where progress goes.
    """
    run.eval.mkdir(parents=True, exist_ok=True)
    results: dict[str, Any] = {
        "run": run.folder.name,
        "scene": scene.name,
        "method": run.config.method,
        "field": run.config.field,
        "preset": run.config.preset,
        "unit": scene.unit,
        "training_seconds": training_seconds(run),
        "images": _images(run, method, scene, reporter),
    }
    mesh_path = run.exports / "mesh.ply"
    if mesh_path.is_file():
        mesh = read_mesh(mesh_path)
        with_shape = [v for v in scene.views if v.mask is not None or v.image.shape[2] == 4]
        if with_shape:
            results["silhouettes"] = _silhouettes(mesh, with_shape)
        if truth is not None:
            reporter.say("comparing with the true surface")
            results["surface"] = compare_surfaces(mesh, truth)
    write_text_atomically(run.eval / "results.json", json.dumps(results, indent=1))
    return results


def _images(run: Run, method: Method, scene: Scene, reporter: Reporter) -> dict[str, Any] | None:
    """PSNR and SSIM on the held-out views; None if there are none."""
    views = scene.split("test")
    per_view, began = [], time.perf_counter()
    for i, view in enumerate(views):
        rendered = render_view(method, view.camera, scene.scene_from_world)
        wanted = photograph(view, scene)
        scores = {"view": view.name, "psnr": psnr(rendered.rgb, wanted), "ssim": ssim(rendered.rgb, wanted)}
        per_view.append(scores)
        name = view.name.replace("/", "_").rsplit(".", 1)[0].lstrip("._")
        Image.fromarray(to_uint8(rendered.rgb)).save(run.eval / f"{name}.png")
        reporter.progress("evaluate", (i + 1) / len(views), f"view {i + 1}/{len(views)}  PSNR {scores['psnr']:.2f} dB")
    if not per_view:
        return None
    return {
        "protocol": PROTOCOL,
        "split": "test",
        "views": len(per_view),
        "psnr": float(np.mean([s["psnr"] for s in per_view])),
        "ssim": float(np.mean([s["ssim"] for s in per_view])),
        "seconds_per_view": (time.perf_counter() - began) / len(per_view),
        "per_view": per_view,
    }


def photograph(view: View, scene: Scene) -> np.ndarray:
    """The photograph as rendering is compared with it: over white where it is transparent. [H, W, 3] in [0, 1]"""
    rgba = view_pixels(view, scene.background).astype(np.float32) / 255.0
    return rgba[..., :3] * rgba[..., 3:] + (1.0 - rgba[..., 3:])


def object_mask(view: View) -> np.ndarray:
    """Where the object is, by the given mask or else alpha; used for judging whether or not it was used for training. [H, W] bool"""
    return (view.mask if view.mask is not None else view.image[..., 3]) > 127


def _silhouettes(mesh: Mesh, views: list[View]) -> dict[str, Any]:
    scores = [silhouette_iou(mesh, v.camera, object_mask(v)) for v in views]
    return {
        "protocol": "intersection over union of the ray-cast mesh at pixel centres and mask > 127, mean over all views, training views included",
        "views": len(views),
        "iou": float(np.mean(scores)),
        "worst_iou": float(np.min(scores)),
    }


def training_seconds(run: Run) -> float | None:
    """Time spent in the training loop, over all sessions of the run."""
    path = run.folder / "metrics.jsonl"
    if not path.is_file():
        return None
    rows = path.read_text().splitlines()
    return float(json.loads(rows[-1])["seconds"]) if rows else None


def summary_lines(results: dict[str, Any]) -> list[str]:
    """The figures that matter, for the terminal."""
    lines = []
    if results["images"] is not None:
        images = results["images"]
        lines.append(f"held-out views ({images['views']}): PSNR {images['psnr']:.2f} dB, SSIM {images['ssim']:.4f}")
    if "silhouettes" in results:
        lines.append(f"silhouettes: IoU {results['silhouettes']['iou']:.4f} (worst view {results['silhouettes']['worst_iou']:.4f})")
    if "surface" in results:
        s = results["surface"]
        unit = results["unit"] or "world units"
        share = 100.0 * s["chamfer_l1"] / s["diagonal"]
        lines.append(f"surface: Chamfer-L1 {s['chamfer_l1']:.4g} {unit} = {share:.3f} % of the diagonal")
        lines.append(f"surface: normal consistency {s['normal_consistency']:.4f}")
    return lines


def scene_from_world(run: Run) -> Similarity:
    """The similarity of a run."""
    return Similarity.from_json(run.scene_info()["world_from_scene"]).inverse()
