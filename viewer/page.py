"""`recon view RUN --export page.html`: mesh, curves and cameras in one file that opens from disk and asks nobody for anything."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib import resources
from pathlib import Path
from string import Template
from typing import Any

import numpy as np
from PIL import Image
from scipy.spatial import KDTree

from recon.curves import Wireframe
from recon.curves.files.curve import Curve
from recon.data.scene import Camera
from recon.geometry import Similarity
from recon.rendering.colormaps import CURVE_COLORS
from recon.rendering.orbit import common_up
from recon.results.figures import read_results
from recon.runs import Run
from recon.solid.deviation import deviation
from recon.solid.report import COLORS
from recon.solid.viewing import SolidView, load_view
from recon.surface.gltf import glb_bytes
from recon.surface.mesh import Mesh, vertex_normals
from recon.surface.simplify import simplify
from recon.system.files import write_text_atomically
from viewer.loading import curves_file, load_surface, load_wireframe, solid_folder, surface_file

MAX_FACES = 100_000
"""Faces of a mesh without texture; one with a texture was simplified when it was exported."""
MAX_TEXTURE = 2048
SCRIPTS = ("glb.js", "view.js", "draw.js", "main.js")


@dataclass(frozen=True)
class PageSize:
    """How large a page is: all of it, and the mesh's share (before base64 makes it a third larger), bytes."""

    total: int
    mesh: int


def write_page(run: Run, path: Path) -> PageSize:
    """Write the page of a run: its exported mesh and curves, as far as it has them, and its cameras.

    The mesh is the exported ``mesh.glb`` with its texture at no more than 2048 x 2048 and as JPEG; where only ``mesh.ply`` exists, that
    with vertex colours and at most 100,000 faces. It can be read back from the page: the element ``mesh`` is a .glb in base64.

    Args:
        run: A run folder.
        path: An .html file; its folder is made.
    """
    scene = run.scene
    cameras = [(v.name, v.split, v.camera) for v in scene.views]
    mesh = light_mesh(load_surface(run)) if surface_file(run) is not None else None
    wireframe = load_wireframe(run) if curves_file(run) is not None else None
    folder = solid_folder(run)
    html, mesh_bytes = page_html(
        f"{scene.name}: {run.config.method}, {run.config.field}",
        mesh,
        wireframe,
        cameras,
        scene.world_from_scene,
        unit=scene.unit,
        facts=_facts(run),
        solid=None if folder is None else load_view(folder),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text_atomically(path, html)
    return PageSize(len(html.encode()), mesh_bytes)


def light_mesh(mesh: Mesh) -> Mesh:
    """A mesh that a page can carry: see :func:`write_page`. Colours of vertices that move are those of the nearest vertex before."""
    if mesh.texture is not None:
        if max(mesh.texture.shape[:2]) <= MAX_TEXTURE:
            return mesh
        smaller = Image.fromarray(mesh.texture)
        smaller.thumbnail((MAX_TEXTURE, MAX_TEXTURE), Image.Resampling.BOX)
        return replace(mesh, texture=np.asarray(smaller))
    small = simplify(mesh, MAX_FACES)
    if small is mesh:
        return mesh if mesh.normals is not None else replace(mesh, normals=vertex_normals(mesh))
    colors = None if mesh.colors is None else mesh.colors[KDTree(mesh.vertices).query(small.vertices, workers=-1)[1]]
    return replace(small, normals=vertex_normals(small), colors=colors)


def page_html(
    title: str,
    mesh_world: Mesh | None,
    wireframe_world: Wireframe | None,
    cameras: Sequence[tuple[str, str, Camera]],
    world_from_scene: Similarity,
    *,
    unit: str | None = None,
    facts: Sequence[str] = (),
    solid: SolidView | None = None,
) -> tuple[str, int]:
    """The page as text, and the size of its mesh in bytes.

    Args:
        title: Shown, and the page's title.
        mesh_world, wireframe_world: What is shown, world units, or None.
        cameras: Name, split ("train", "test") and camera in the world.
        world_from_scene: The sphere that is shown.
        unit: Name of the world unit.
        facts: Lines of text beside the picture.
        solid: Of the run, world units, or None; the surface is then also shown in the colours of its deviation.
    """
    local_from_world = replace(
        world_from_scene.inverse(), rotation=np.eye(3), translation=-world_from_scene.translation / world_from_scene.scale
    )
    glb = b"" if mesh_world is None else glb_bytes(mesh_world, {"unit": unit, "axes": "world"}, unlit=True, picture=".jpg")
    curves = () if wireframe_world is None else wireframe_world.curves
    data: dict[str, Any] = {
        "mesh": bool(glb),
        "center": world_from_scene.translation.tolist(),
        "radius": world_from_scene.scale,
        "home": _home(
            [*(part.vertices for part in (mesh_world, solid and solid.facets) if part), *(c.control_points for c in curves)],
            local_from_world,
        ),
        "solid": None if solid is None else _solid(solid, local_from_world),
        "deviation": None if solid is None or mesh_world is None else _deviation(mesh_world, solid),
        "up": common_up([c for _, _, c in cameras]).tolist(),
        "unit": unit or "world units",
        "colors": CURVE_COLORS,
        "curves": [_curve(c, local_from_world) for c in curves],
        "cameras": [_camera(name, split, camera, local_from_world) for name, split, camera in cameras],
    }
    web = resources.files("viewer") / "web"
    text = {name: (web / name).read_text(encoding="utf-8") for name in ("page.html", "style.css", *SCRIPTS)}
    html = Template(text["page.html"]).substitute(
        title=escape(title),
        style=text["style.css"],
        facts="\n".join(f"<p>{escape(line)}</p>" for line in (*facts, *_contents(mesh_world, wireframe_world, solid, len(glb)))),
        # No name can end the element that the data are in.
        data=json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        mesh=base64.b64encode(glb).decode("ascii"),
        script="\n".join(text[name] for name in SCRIPTS),
    )
    return html, len(glb)


def _home(parts_world: Sequence[np.ndarray], local_from_world: Similarity) -> dict[str, Any]:
    """The ball that is seen at first, local units: about the box of everything shown; the whole sphere if there is nothing."""
    corners = [corner for part in parts_world if len(part) for corner in (part.min(0), part.max(0))]
    if not corners:
        return {"target": [0.0, 0.0, 0.0], "radius": 1.0}
    low, high = local_from_world.apply(np.min(corners, 0)), local_from_world.apply(np.max(corners, 0))
    return {"target": ((low + high) / 2).tolist(), "radius": float(np.linalg.norm(high - low) / 2)}


def _curve(curve: Curve, local_from_world: Similarity) -> dict[str, Any]:
    """A curve as a chain of points no farther apart than 1/100 of the sphere's radius; of a line its ends."""
    local = curve.transformed(local_from_world)
    points = local.control_points[[0, -1]] if curve.type == "line" else local.sample(0.01)[0]
    return {
        "type": curve.type,
        "length": curve.length,
        "support": curve.support,
        "rmse_px": curve.rmse_px,
        "points": _floats(points),
    }


def _solid(solid: SolidView, local_from_world: Similarity) -> dict[str, Any]:
    """Corners of its triangles one by one, each with its face, and its edges as chains of points; local units."""
    facets = solid.facets
    corners = facets.triangles.ravel()
    return {
        "positions": _floats(local_from_world.apply(facets.vertices[corners])),
        "normals": _floats(facets.normals[corners]),
        "colors": _floats(solid.colors[corners] / 255.0),
        "owners": _floats(np.repeat(facets.face, 3)),
        "edges": [_floats(local_from_world.apply(edge)) for edge in solid.edges],
        "faces": solid.words,
        "kinds": {kind: _hex(COLORS[kind]) for kind in COLORS if kind in solid.kinds},
        "counts": {kind: solid.kinds.count(kind) for kind in solid.kinds},
        "closed": solid.solid,
        "reach": solid.reach,
    }


def _deviation(mesh_world: Mesh, solid: SolidView) -> str:
    """Signed distance of the mesh's vertices from the solid, in parts of the distance at which the colours end."""
    return _floats(deviation(mesh_world, solid.facets).distance / solid.reach)


def _floats(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values, "<f4").tobytes()).decode("ascii")


def _hex(color: Sequence[float]) -> str:
    return "#" + "".join(f"{round(255 * c):02x}" for c in color)


def _camera(name: str, split: str, camera: Camera, local_from_world: Similarity) -> dict[str, Any]:
    sizes = {k: getattr(camera, k) for k in ("width", "height", "fx", "fy", "cx", "cy")}
    pose = local_from_world.apply_to_pose(camera.world_from_camera)
    return {"name": name, "split": split, **sizes, "rotation": pose[:, :3].tolist(), "eye": pose[:, 3].tolist()}


def _contents(mesh: Mesh | None, wireframe: Wireframe | None, solid: SolidView | None, mesh_bytes: int) -> list[str]:
    """What the page carries, a line each."""
    lines = [] if mesh is None else [f"surface: {len(mesh.faces)} faces, {mesh_bytes / 1e6:.1f} MB"]
    if solid is not None:
        lines.append(f"{'solid' if solid.solid else 'open shell, no solid'}: {len(solid.kinds)} faces")
    return lines if wireframe is None else [*lines, f"curves: {len(wireframe.curves)}, of total length {wireframe.length:.4g}"]


def _facts(run: Run) -> list[str]:
    """What the run's evaluation found, if it was evaluated."""
    from recon.results.evaluation import summary_lines

    path = run.eval / "results.json"
    return summary_lines(read_results(path)) if path.is_file() else []
