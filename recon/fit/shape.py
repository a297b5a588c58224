"""Fitting a signed distance to a mesh or to oriented points: true distances, samples, evaluation and what is written."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recon.console import Reporter, duration
from recon.data.scene import Camera
from recon.device import CPU, from_numpy, generator_of, to_numpy
from recon.evaluation.sdf import PROTOCOL, intersection_over_union, normal_errors
from recon.evaluation.surfaces import point_to_mesh, surface_metrics
from recon.fields.base import Field
from recon.fields.morton import morton_order
from recon.fit.config import FitConfig
from recon.fit.loop import Batch, Draw, stratified
from recon.fit.run import FitRun
from recon.fit.truth import Shape
from recon.geometry import look_at
from recon.rendering.meshes import over, render_mesh
from recon.surface.export import export_mesh
from recon.surface.extract import extract_mesh
from recon.surface.mesh import Mesh
from recon.surface.raycast import ray_scene
from recon.system.files import write_picture

NEAR = 0.01
"""Standard deviation of the points near the surface, scene units (NeuRBF)."""
SURFACE_SHARE, NEAR_SHARE = 4 / 8, 3 / 8
"""Shares of the pool; the rest is uniform in the cube (NeuRBF, Instant-NGP)."""
EVALUATION_POINTS = 2**20
CHUNK = 2**17
PREVIEW_SIZE = 480
"""Pixels of each of the preview's pictures."""


@dataclass(frozen=True)
class Pool:
    """Points with true distances, drawn once, in Morton order.

    Attributes:
        points: In [-1, 1]^3. [N, 3]
        distance: Negative inside. [N, 1]
        on_surface: Whether a point lies on the surface. [N] bool
        normals: Of the points on the surface, unit, outwards; of the others zero. [N, 3]
    """

    points: Tensor
    distance: Tensor
    on_surface: Tensor
    normals: Tensor


def make_pool(shape: Shape, config: FitConfig, reporter: Reporter, device: torch.device = CPU) -> Pool:
    """Draw ``config.pool`` points: half on the surface, three eighths near it, the rest uniform. Takes up to 20 microseconds a point."""
    began = time.perf_counter()
    rng = np.random.default_rng(config.seed)
    on, normals = shape.sample_with_normals(round(SURFACE_SHARE * config.pool), rng)
    near_count = round(NEAR_SHARE * config.pool)
    near = shape.sample(near_count, rng) + rng.normal(0.0, NEAR, (near_count, 3))
    uniform = rng.uniform(-1.0, 1.0, (config.pool - len(on) - near_count, 3))
    off = np.clip(np.concatenate([near, uniform]), -1.0, 1.0)
    distances = []
    for start in range(0, len(off), CHUNK):
        distances.append(shape.signed_distance(off[start : start + CHUNK]))
        reporter.progress("distances", min(start + CHUNK, len(off)) / len(off), f"{min(start + CHUNK, len(off))} of {len(off)}")
    points = torch.from_numpy(np.concatenate([on, off])).float()
    distance = torch.from_numpy(np.concatenate([np.zeros(len(on)), *distances])).float()
    order = morton_order(points)
    reporter.say(f"{len(points)} points with distances in {duration(time.perf_counter() - began)}; {shape.sign_rule}")
    outwards = torch.cat([torch.from_numpy(normals).float(), torch.zeros(len(off), 3, device=CPU)])
    rows = (points[order], distance[order, None], order < len(on), outwards[order])
    return Pool(*(row.contiguous().to(device) for row in rows))


def place_functions(field: Field, pool: Pool, config: FitConfig) -> tuple[float, ...]:
    """Put a NeuRBF's functions evenly on the surface.

    NeuRBF weighs points by 1 / (|sdf| + 1e-9): against points on the surface, all others weigh nothing. So only the former are used.
    """
    points = pool.points[pool.on_surface]
    generator = generator_of(points.device, config.seed + 1)
    return field.place(points, torch.ones(len(points), device=points.device), generator, least_width=1e-4, most_width=0.2)


def cached_neighbors(field: Field, pool: Pool) -> Tensor | None:
    """Neighbours of the pool's points. int32 [N, K]"""
    if field.functions == 0:
        return None
    found = (field.find_neighbors(part) for part in pool.points.split(CHUNK))
    return torch.cat([part for part in found if part is not None])


def sampler(pool: Pool, neighbors: Tensor | None, config: FitConfig) -> Draw:
    """Stratified batches along the pool's Morton order; an epoch takes every point once."""
    ids_of = stratified(len(pool.points), config.batch, config.seed, pool.points.device)

    def take(rows: Tensor, ids: Tensor) -> Tensor:
        return torch.index_select(rows, 0, ids)  # a third of the time of rows[ids]

    def draw(step: int) -> Batch:
        ids = ids_of(step)
        if config.normal_weight == 0:
            return Batch(take(pool.points, ids), take(pool.distance, ids), None if neighbors is None else take(neighbors, ids))
        # points on the surface first: only they are asked for their gradient
        on = take(pool.on_surface, ids)
        above, rest = ids[on], ids[~on]
        ids = torch.cat([above, rest])
        near = None if neighbors is None else take(neighbors, ids)
        return Batch(take(pool.points, ids), take(pool.distance, ids), near, take(pool.normals, above))

    return draw


@torch.no_grad()
def evaluate(run: FitRun, field: Field, shape: Shape, reporter: Reporter) -> dict[str, Any]:
    """Figures of a fitted distance, and its files: ``mesh.ply`` in the file's own unit, ``preview.png``."""
    rng = np.random.default_rng(12345)
    points = rng.uniform(-1.0, 1.0, (EVALUATION_POINTS, 3))
    order = to_numpy(morton_order(torch.from_numpy(points).float()))
    points = points[order].astype(np.float32).astype(np.float64)  # where the field is asked
    reporter.say("comparing inside and outside")
    inside = shape.inside(points)
    device = torch.device(run.device)
    found = to_numpy(torch.cat([field.values(p)[:, 0] for p in from_numpy(points, device).split(CHUNK)])) < 0
    results: dict[str, Any] = {
        "sign_rule": shape.sign_rule,
        "iou_inside": intersection_over_union(found, inside),
        "iou_outside_released": intersection_over_union(~found, ~inside),
    }
    began = time.perf_counter()
    mesh = extract_mesh(
        lambda p: field.values(p)[:, 0],
        resolution=run.config.resolution,
        sphere_radius=None,
        points_per_call=CHUNK,
        device=device,
        progress=lambda share, text: reporter.progress("extract", share, text),
    )
    results["seconds_to_extract"] = time.perf_counter() - began
    if len(mesh.faces) == 0:
        reporter.warn("the field has no surface yet: more steps are needed")
        return {**results, "protocol": PROTOCOL}
    export_mesh(mesh, run.folder / "mesh.ply", shape.world_from_scene, unit=None)
    reporter.say("comparing the surfaces")
    if shape.mesh is not None:
        results.update(vars(normal_errors(mesh, shape.mesh)))
        results["surface"] = surface_metrics(mesh, shape.mesh).to_json()
    else:
        distances, _ = point_to_mesh(shape.vertices, mesh)
        results["points_to_mesh_mean"] = float(distances.mean())
        results["points_to_mesh_max"] = float(distances.max())
    write_picture(run.folder / "preview.png", Image.fromarray(_preview(mesh, shape.mesh, PREVIEW_SIZE)))
    unit = "distances are in scene units: the file's divided by " + format(shape.world_from_scene.scale, ".6g")
    return {**results, "protocol": {**PROTOCOL, "unit": unit}}


def _preview(mesh: Mesh, truth: Mesh | None, size: int) -> np.ndarray:
    """Fitted and true surface from two sides. uint8"""
    rows = []
    for eye in (np.array([1.6, 1.2, 2.4]), np.array([-2.0, 0.8, -2.0])):
        camera = Camera(size, size, 1.3 * size, 1.3 * size, size / 2, size / 2, look_at(eye, np.zeros(3), np.array([0.0, 1.0, 0.0])))
        shown = [over(render_mesh(ray_scene(m), camera, shading="clay")) for m in (mesh, truth) if m is not None]
        rows.append(np.concatenate(shown, axis=1))
    return np.concatenate(rows, axis=0)


def lines(results: dict[str, Any]) -> list[str]:
    """A fitted shape's figures, for the terminal."""
    out = [f"inside IoU {results['iou_inside']:.5f}"]
    if "nae_deg" in results:
        surface = results["surface"]
        out[0] += f", NAE {results['nae_deg']:.2f} deg (of two samplings of the truth: {results['floor_deg']:.2f})"
        share = surface["chamfer_percent_of_diagonal"]
        out.append(f"Chamfer-L1 {share:.4f} % of the diagonal, normal consistency {surface['normal_consistency']:.4f}")
    elif "points_to_mesh_mean" in results:
        out.append(f"points to mesh: mean {results['points_to_mesh_mean']:.3g}, greatest {results['points_to_mesh_max']:.3g} (scene units)")
    return out
