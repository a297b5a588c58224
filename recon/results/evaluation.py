"""A run against what is known: held-out views, silhouettes, and the true surface where there is one."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from recon.console import Reporter
from recon.curves.files.polylines import read_curves
from recon.curves.files.wireframe import load
from recon.data.scene import Scene, View, moved
from recon.errors import UsageError
from recon.evaluation.curves import evaluate_curves
from recon.evaluation.dtu import CullName, evaluate_dtu
from recon.evaluation.images import PROTOCOL as IMAGE_PROTOCOL
from recon.evaluation.images import image_metrics
from recon.evaluation.points import point_metrics
from recon.evaluation.report import mean, to_plain
from recon.evaluation.silhouettes import object_mask, silhouette_iou
from recon.evaluation.surfaces import surface_metrics
from recon.evaluation.textured import textured_mesh_metrics
from recon.evaluation.truth.curves import read_curve_truth
from recon.evaluation.truth.known import GroundTruth
from recon.methods.base import Method
from recon.rendering.image import render_view, to_uint8
from recon.rendering.rays import view_pixels
from recon.results.figures import CurveFigures, PictureFigures, Results
from recon.runs import Run
from recon.stereo.points import read_ply
from recon.surface.mesh import Mesh, transform_mesh
from recon.surface.photographs import best_texture
from recon.surface.reading import read_mesh, read_surface
from recon.system.files import write_picture


def evaluate(
    run: Run,
    method: Method,
    scene: Scene,
    truth: GroundTruth,
    reporter: Reporter,
    cull: CullName | None = None,
    most_views: int | None = None,
    halves: dict[str, Any] | None = None,
    best: bool = False,
) -> Results:
    """Evaluate a trained run; writes ``eval/results.json`` and the rendered held-out views.

    Args:
        run: Where results go; its exported mesh and curves are evaluated if there are any.
        method: The trained model.
        scene: Its data.
        truth: What is known of the object.
        reporter: Where progress goes.
        cull: Against a DTU scan, what the mesh is cut by beforehand; None for the convention: nothing if the run used masks, else
            NeuS's masks.
        most_views: Compare with at most so many held-out photographs, evenly spread over them; None: with all.
        halves: What :func:`recon.results.halves.compare_halves` found, if it was asked for.
        best: Compare the best texture, too, which shows what one colour a place can do.
    Returns:
        The figures, with all that ``results.json`` holds.
    """
    run.eval.mkdir(parents=True, exist_ok=True)
    held_out = scene.split("test")
    views = evenly(held_out, most_views)
    if len(views) < len(held_out):
        reporter.say(f"comparing with {len(views)} of the {len(held_out)} held-out photographs; --eval-views 0 compares with all")
    results: dict[str, Any] = {
        "run": run.folder.name,
        "scene": scene.name,
        "method": run.config.method,
        "field": run.config.field,
        "preset": run.config.preset,
        "unit": scene.unit,
        "training_seconds": training_seconds(run),
        # An edge field shows edges: there is no photograph to compare them with.
        "images": _images(run, method, scene, views, reporter) if "color" in method.modes else None,
    }
    mesh_path = run.exports / "mesh.ply"
    if mesh_path.is_file():
        mesh = read_mesh(mesh_path)
        if any(object_mask(v) is not None for v in scene.views):
            reporter.say("comparing silhouettes with masks")
            results["silhouettes"] = silhouette_iou(mesh, scene.views)
        if truth.surface is not None:
            reporter.say("comparing with the true surface")
            eyes = None if truth.around is None else [v.camera for v in scene.split("train")]
            results["surface"] = surface_metrics(mesh, truth.surface, unit=scene.unit, cameras=eyes, around=truth.around).to_json()
        if truth.dtu is not None:
            reporter.say(f"comparing with DTU's scan {truth.dtu.scan}")
            usual: CullName = "none" if run.config.data.use_masks else "neus"
            results["dtu"] = evaluate_dtu(mesh, truth.dtu, scene.views, cull or usual)
    points_path = run.exports / "points.ply"
    if points_path.is_file() and truth.surface is not None:
        eyes = [v.camera for v in scene.split("train")]
        results["points"] = point_metrics(read_ply(points_path)[0], truth.surface, eyes, truth.around)
    textured_path = run.exports / "mesh.glb"
    if textured_path.is_file() and views:
        reporter.say("comparing the textured mesh with the held-out photographs")
        textured = read_surface(textured_path)
        results["textured_mesh"] = _textured(run, textured, scene, views, reporter)
        if best:
            results["best_texture"] = _best_texture(textured, scene, views, reporter)
    if halves is not None:
        results["halves"] = halves
    curves_path = run.exports / "curves.json"
    if curves_path.is_file() and truth.curves is not None:
        reporter.say("comparing with the true curves")
        results["curves"] = evaluate_curves(load(curves_path), truth.curves)
    if truth.solid is not None and (found := solid_file(run.solid)) is not None:
        reporter.say("comparing with the true solid")
        results["solid"] = evaluate_solid_file(found, truth.solid)
        if results.get("surface"):
            results["solid"]["chamfer_of_mesh"] = results["surface"]["chamfer_l1"]
    if truth.known and not {"surface", "points", "dtu", "curves", "solid"} & set(results):
        reporter.warn(f"nothing of this run can be compared with the truth, which holds {truth.known} only")
    results = to_plain(results)
    run.write_results(results)
    return Results.of(results)


def evenly(views: Sequence[View], most: int | None) -> list[View]:
    """At most so many of the views, evenly spread over them; None: all.

    Raises:
        UsageError: For a number below 1.
    """
    if most is not None and most < 1:
        raise UsageError(f"cannot compare with {most} photographs", "--eval-views is 1 or more, or 0 for all")
    if most is None or len(views) <= most:
        return list(views)
    return [views[i] for i in np.linspace(0, len(views) - 1, most).round().astype(int)]


def _images(run: Run, method: Method, scene: Scene, views: Sequence[View], reporter: Reporter) -> dict[str, Any] | None:
    """PSNR and SSIM on these held-out views; None if there are none."""
    per_view, began = [], time.perf_counter()
    for i, view in enumerate(views):
        rendered = render_view(method, view.camera, scene.scene_from_world)
        shown = photograph(view, scene)
        if view.ignore is not None:
            shown = np.where(view.ignore[..., None], rendered.rgb, shown)  # what masks ignore counts as right
        scores = image_metrics(rendered.rgb, shown, object_mask(view))
        per_view.append({"view": view.name, **vars(scores)})
        write_picture(run.eval / f"{view_stem(view.name)}.png", Image.fromarray(to_uint8(rendered.rgb)))
        reporter.progress("evaluate", (i + 1) / len(views), f"view {i + 1}/{len(views)}  PSNR {scores.psnr:.2f} dB")
    if not per_view:
        return None
    figures = {k: mean([s[k] for s in per_view]) for k in IMAGE_PROTOCOL}
    return {
        "protocol": {**IMAGE_PROTOCOL, "transparent": "photograph and render are composited over white"},
        "split": "test",
        "views": len(per_view),
        "held_out": len(scene.split("test")),
        **figures,
        "seconds_per_view": (time.perf_counter() - began) / len(per_view),
        "per_view": per_view,
    }


def _textured(run: Run, mesh: Mesh, scene: Scene, views: Sequence[View], reporter: Reporter) -> dict[str, Any] | None:
    """The exported .glb from the held-out cameras; None if the photographs have a background that is not known."""

    def keep(view: View, picture: np.ndarray) -> None:
        write_picture(run.eval / f"{view_stem(view.name)}-mesh.png", Image.fromarray(to_uint8(picture)))

    figures = textured_mesh_metrics(mesh, views, scene.background, keep)
    if figures is None:
        reporter.say("the textured mesh has no background, and the photographs no mask: their pictures are not compared")
    return figures


def _best_texture(mesh: Mesh, scene: Scene, views: Sequence[View], reporter: Reporter) -> dict[str, Any] | None:
    """The same for the texture that is nearest to the training photographs and these."""
    to_scene = scene.scene_from_world

    def progress(share: float, text: str) -> None:
        reporter.progress("best texture", share, text)

    painted = best_texture(transform_mesh(mesh, to_scene), moved((*scene.split("train"), *views), to_scene), progress)
    return textured_mesh_metrics(transform_mesh(painted, to_scene.inverse()), views, scene.background)


def photograph(view: View, scene: Scene) -> np.ndarray:
    """The photograph as rendering is compared with it: over white where it is transparent. [H, W, 3] in [0, 1]"""
    rgba = view_pixels(view, scene.background).astype(np.float32) / 255.0
    return rgba[..., :3] * rgba[..., 3:] + (1.0 - rgba[..., 3:])


def view_stem(name: str) -> str:
    """A view's name as a file name without folder or suffix: "./train/r_0.png" -> "train_r_0"."""
    path = Path(name)
    return "_".join(part for part in (*path.parts[:-1], path.stem) if part not in (".", "..", "/"))


def training_seconds(run: Run) -> float | None:
    """Time spent in the training loop, over all sessions of the run."""
    rows = run.metrics()
    seconds = rows[-1].get("seconds") if rows else None
    return float(seconds) if isinstance(seconds, int | float) else None


def summary_lines(results: Results) -> list[str]:
    """The figures that matter, for the terminal."""
    lines = []
    if (images := results.images) is not None:
        counted = f"{images.views}" + (f" of {images.held_out}" if images.held_out > images.views else "")
        ssim = "" if images.ssim is None else f", SSIM {images.ssim:.4f}"
        lines.append(f"held-out views ({counted}): PSNR {images.psnr:.2f} dB{_inside(images)}{ssim}")
    if (silhouettes := results.silhouettes) is not None:
        lines.append(f"silhouettes: IoU {silhouettes.mean:.4f} (worst view {silhouettes.least:.4f})")
    if (textured := results.textured_mesh) is not None:
        lines.append(f"textured mesh, the same views: PSNR {textured.psnr:.2f} dB{_inside(textured)}")
    if (best := results.best_texture) is not None:
        lines.append(f"the best texture for the same views: PSNR {best.psnr:.2f} dB{_inside(best)}")
    if (surface := results.surface) is not None:
        unit = results.unit or "world units"
        lines.append(f"surface: Chamfer-L1 {surface.chamfer_l1:.4g} {unit} = {surface.chamfer_percent:.3f} % of the diagonal")
        lines.append(f"surface: normal consistency {surface.normal_consistency:.4f}")
        if surface.around_share is not None:
            share = 100.0 / surface.truth_diagonal
            accuracy, completeness = share * surface.accuracy, share * surface.completeness
            lines.append(f"surface: accuracy {accuracy:.3f} %, completeness of what two photographs see {completeness:.3f} %")
    if (halves := results.halves) is not None:
        apart = f"{halves.chamfer_percent:.3f} % of the diagonal apart, normals agree to {halves.normal_consistency:.4f}"
        lines.append(f"two halves of the photographs: surfaces {apart}")
    if (points := results.points) is not None and points.accuracy_percent is not None:
        of = f"accuracy {points.accuracy_percent:.3f} %, completeness {points.completeness_percent:.3f} %"
        lines.append(f"points of stereo: {points.points} on the object, {of}")
    if (dtu := results.dtu) is not None:
        figures = f"Chamfer {dtu.chamfer:.3f} mm (accuracy {dtu.accuracy:.3f}, completeness {dtu.completeness:.3f})"
        lines.append(f"DTU scan {dtu.scan}: {figures}, culled by: {dtu.culling}")
    if results.curves is not None:
        lines += curve_lines(results.curves)
    if results.solid is not None:
        from recon.evaluation.solids import solid_lines

        lines += solid_lines(results.solid)
    return lines


def _inside(pictures: PictureFigures) -> str:
    return "" if pictures.psnr_masked is None else f", inside the object {pictures.psnr_masked:.2f} dB"


def curve_lines(curves: CurveFigures) -> list[str]:
    """The figures of curves that matter, for the terminal."""
    scores = ", ".join(f"{100 * score:.1f} % at {mm} mm" for score, mm in ((curves.f5, 5), (curves.f10, 10), (curves.f20, 20)))
    lines = [f"curves: F-score {scores} (EMAP's protocol; 1 mm = 0.001 of the object's longest side)"]
    exact = curves.exact
    if exact is None:
        return [*lines, f"curves: {curves.curves}; the truth is points only, so types and junctions are not compared"]
    types = "" if exact.agreement is None else f", right type for {100 * exact.agreement:.1f} % of the matched length"
    junctions = "" if exact.junctions is None else f", {100 * exact.junctions:.1f} % of the junctions found"
    return [*lines, f"curves: {curves.curves} for {curves.curves_truth} true ones{types}{junctions}"]


def evaluate_curve_file(path: Path, truth: Path | None) -> dict[str, Any]:
    """Curves without a run, in this program's file or in EMAP's, against the truth.

    Raises:
        UsageError: If there is no truth to compare with.
    """
    if truth is None:
        raise UsageError(f"{path}: compared with what?", "give --truth, or a run of a built-in scene")
    return to_plain(evaluate_curves(read_curves(path), read_curve_truth(truth)))


def solid_file(folder: Path) -> Path | None:
    """The STEP file that `recon solid` left in a folder, of a solid or of a partial one."""
    return next((path for path in (folder / "solid.step", folder / "partial.step") if path.is_file()), None)


def evaluate_solid_file(path: Path, truth: Path | None) -> dict[str, Any]:
    """A solid without a run, by whomever, against the true one; what the report beside it states of its errors is checked, too.

    Raises:
        UsageError: If there is no truth to compare with, or it is no STEP file.
        CapabilityError: Without OpenCASCADE.
        DataError: If a file is missing or broken.
    """
    from recon.evaluation.solids import evaluate_solid, read_part, stated_sigmas

    if truth is None:
        raise UsageError(f"{path}: compared with what?", "give --truth part.step")
    if truth.is_dir():
        truth = next((p for p in (truth / "part.step", truth / "truth" / "part.step") if p.is_file()), truth)
    if truth.suffix.lower() not in (".step", ".stp"):
        raise UsageError(f"{truth}: a solid is compared with a STEP file", "give --truth part.step")
    report = path.with_name("report.json")
    return to_plain(evaluate_solid(read_part(path), read_part(truth), stated_sigmas(report) if report.is_file() else ()))
