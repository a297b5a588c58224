"""2D edges of all training views: given with the data, found in the photographs, or guided by a surface."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from recon.console import Reporter
from recon.curves.edges2d.detector import detect
from recon.curves.edges2d.maps import common_shift, draw_edges, find_map_folders, given_folder, map_points, read_maps, snapped, undistorted
from recon.curves.edges2d.ridges import KIND_CREASE, KIND_GIVEN, KIND_INTENSITY, KIND_SILHOUETTE, KIND_STEP, EdgePoints, no_points
from recon.curves.edges2d.surface_given import explained, guide_from, surface_points
from recon.data.scene import Camera, Scene, View
from recon.data.silhouettes import masks_are_silhouettes, silhouettes_of
from recon.errors import DataError, UsageError

__all__ = [
    "KIND_CREASE",
    "KIND_GIVEN",
    "KIND_INTENSITY",
    "KIND_SILHOUETTE",
    "KIND_STEP",
    "EdgeView",
    "Edges",
    "find_edges",
]

Result = TypeVar("Result")
# From this share of a map's points on edges of the photographs, the photographs decide where all of them are.
CONFIRMED_SHARE = 0.5
# A surface that is given belongs to the scene if its centre is within this many of its radii, and its diagonal between these: the object
# itself has at most 2, a scan with what stands around it a few.
FARTHEST_GUIDE, SMALLEST_GUIDE, LARGEST_GUIDE = 2, 0.02, 6


@dataclass(frozen=True)
class EdgeView:
    """Edges seen in one view.

    Attributes:
        name: The view's name.
        camera: In the world, at the resolution of ``strength``.
        strength: Soft edge map, given or drawn from the points: lines one to two pixels wide, 1 on strong edges. [H, W] float32 in [0, 1]
        points: Points on edges, (x, y) in pixels with pixel centres at +0.5, about one per pixel along an edge. [N, 2] float32
        normals: Unit normals of the edge in the image; only the line matters, not the sign. [N, 2] float32
        weights: Confidence of each point in (0, 1]. [N] float32
        kinds: KIND_INTENSITY, KIND_SILHOUETTE (outlines, where known), KIND_CREASE, KIND_STEP or KIND_GIVEN. With ``surface:``,
            KIND_SILHOUETTE are only outlines of smooth surfaces, which are at another place of the object in every view. [N] uint8
    """

    name: str
    camera: Camera
    strength: np.ndarray
    points: np.ndarray
    normals: np.ndarray
    weights: np.ndarray
    kinds: np.ndarray


@dataclass(frozen=True)
class Edges:
    """Edges of all training views of a scene.

    Attributes:
        views: In the scene's order; views without any edge are kept, with empty arrays.
        source: "given: edge_DexiNed", "auto" or "surface: RUN".
        offset_free: The points may all be displaced by the same fraction of a pixel, which whoever uses them has to estimate: given maps
            of which the photographs confirm little.
        warnings: For the user, one line each.
        mesh: The surface that guided them, in world units, for visibility.
    """

    views: tuple[EdgeView, ...]
    source: str
    offset_free: bool
    warnings: tuple[str, ...]
    mesh: Path | None = None

    @property
    def count(self) -> int:
        """Edge points in all views."""
        return sum(len(view.points) for view in self.views)


def find_edges(scene: Scene, choice: str | None = None, reporter: Reporter | None = None) -> Edges:
    """2D edges of a scene's training views.

    Args:
        scene: The data.
        choice: "given": maps that come with the data; "given:FOLDER": maps in that folder, of the dataset or anywhere; "auto": found in
            the photographs; "surface:RUN": found on the mesh of a finished run (or on a mesh file in world units) and in the
            photographs where they confirm it. None: given ones if there are any, else auto.
        reporter: Where progress goes.
    Raises:
        UsageError: The choice does not exist, or does not fit the data.
        DataError: No view has an edge.
    """
    views = scene.split("train")
    kind, _, rest = (choice or "").partition(":")
    if kind not in ("", "given", "auto", "surface") or (kind == "auto" and rest) or (kind == "surface" and not rest):
        raise UsageError(f"there are no edges {choice!r}", "Use --edges auto, given, given:FOLDER or surface:RUN.")
    if kind == "surface":
        return _checked(_guided(scene, views, rest, reporter))
    if kind == "given" or (kind == "" and find_map_folders(scene.source, views) and not undistorted(scene)):
        return _checked(_given(scene, views, rest, reporter))
    made = each_view("edges", views, lambda k: view_edges(views[k], detect_view(scene, views[k])), reporter)
    return _checked(Edges(tuple(made), "auto", False, ()))


def detect_view(scene: Scene, view: View, faint: bool = False) -> EdgePoints:
    """The detector on one photograph, with what the scene knows of its background, within the bounds of the scene."""
    region = in_bounds(scene, view.camera)
    if scene.background == "alpha":
        return detect(view.image, view.image[..., 3].astype(np.float32) / 255, True, region, faint)
    if view.mask is not None and (scene.background == "masks" or masks_are_silhouettes([view])):
        return detect(view.image, view.mask.astype(np.float32) / 255, False, region, faint)
    silhouettes = silhouettes_of([view], scene.background)
    return detect(view.image, None if silhouettes is None else silhouettes[0].astype(np.float32), False, region, faint)


def in_bounds(scene: Scene, camera: Camera) -> np.ndarray:
    """Pixels whose ray meets the sphere that holds the object. [H, W] bool"""
    x, y = np.meshgrid(*camera.pixel_slopes())
    to_center = (scene.world_from_scene.translation - camera.center) @ camera.world_from_camera[:, :3]
    along = (x * to_center[0] + y * to_center[1] + to_center[2]) / np.sqrt(x**2 + y**2 + 1)
    radius = scene.world_from_scene.scale
    distance = float(to_center @ to_center)
    return (distance - along**2 <= radius**2) & ((along > 0) | (distance <= radius**2))


def view_edges(view: View, found: EdgePoints, strength: np.ndarray | None = None, camera: Camera | None = None) -> EdgeView:
    """Points of a view with their map, drawn from them unless one is given."""
    camera = camera or view.camera
    strength = draw_edges(found, camera.width, camera.height) if strength is None else strength
    return EdgeView(view.name, camera, strength, found.points, found.normals, found.weights, found.kinds)


def each_view(stage: str, views: Sequence[View], work: Callable[[int], Result], reporter: Reporter | None) -> list[Result]:
    """``work(k)`` for every view, in a few threads, with progress. Memory: about 150 bytes per pixel of each view in work."""
    out: list[Result] = []
    with ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        for k, result in enumerate(pool.map(work, range(len(views)))):
            out.append(result)
            if reporter is not None:
                reporter.progress(stage, (k + 1) / len(views), f"view {k + 1} of {len(views)}")
    return out


def _given(scene: Scene, views: Sequence[View], choice: str, reporter: Reporter | None) -> Edges:
    if undistorted(scene):
        raise UsageError(
            "the photographs were undistorted when they were read, edge maps drawn on the files do not fit them",
            "Undistort photographs and maps first, or use --edges auto.",
        )
    if choice:
        folder = given_folder(scene.source, views, choice)
    else:
        folders = find_map_folders(scene.source, views)
        if not folders:
            raise UsageError(
                f"{scene.source} holds no edge maps", "Put them in a folder edge_NAME, name it: --edges given:FOLDER, or use auto."
            )
        folder = folders[0]
    given = read_maps(folder, views)
    if reporter is not None:
        reporter.say(
            f"edge maps: {folder.label}, {folder.count} of {len(views)} views, {'black on white' if given.inverted else 'white on black'}"
        )

    def read(k: int) -> tuple[EdgePoints, EdgePoints]:
        """Points of the map and of the photograph, both in the map's pixels."""
        strength = given.maps[k]
        if strength is None:
            return no_points(), no_points()
        camera = views[k].camera.resized(strength.shape[1], strength.shape[0])
        factor = np.array([camera.width / views[k].camera.width, camera.height / views[k].camera.height], np.float32)
        seen = detect_view(scene, views[k], faint=True)
        normals = seen.normals / factor
        normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)
        return map_points(strength, in_bounds(scene, camera)), EdgePoints(seen.points * factor, normals, seen.weights, seen.kinds)

    pairs = each_view("edges", views, read, reporter)
    shift = np.median([common_shift(*pair) for pair in pairs], axis=0)
    moved = [snapped(*pair, shift) for pair in pairs]
    share = float(np.mean([s for (_, s), m in zip(moved, given.maps, strict=True) if m is not None]))
    confirmed = share >= CONFIRMED_SHARE
    if reporter is not None:
        x, y = -shift
        line = f"{100 * share:.0f} % of the maps' edges are in the photographs too"
        if confirmed:
            line += f" and are taken where those show them; apart from outlines, the maps are displaced by ({x:+.2f}, {y:+.2f}) px"
        reporter.say(line)
    made = []
    for k, view in enumerate(views):
        strength = given.maps[k]
        if strength is None:
            made.append(view_edges(view, no_points()))
            continue
        camera = view.camera.resized(strength.shape[1], strength.shape[0])
        strength = np.where(in_bounds(scene, camera), strength, 0).astype(np.float32)
        made.append(view_edges(view, moved[k][0] if confirmed else pairs[k][0], strength, camera))
    return Edges(tuple(made), f"given: {folder.label}", not confirmed, given.warnings)


def _guided(scene: Scene, views: Sequence[View], path: str, reporter: Reporter | None) -> Edges:
    guide, file = guide_from(path)
    radius = scene.world_from_scene.scale
    if (
        np.linalg.norm(guide.rays.center - scene.world_from_scene.translation) > FARTHEST_GUIDE * radius
        or not SMALLEST_GUIDE < guide.diagonal / radius < LARGEST_GUIDE
    ):
        raise UsageError(
            f"{file} is not a surface of this scene: its bounding box (centre {np.round(guide.rays.center, 4).tolist()}, diagonal "
            f"{guide.diagonal:.4g}) does not fit the scene's bounds",
            "Give a run of the same data, or a mesh in the same world units.",
        )

    def work(k: int) -> EdgeView:
        surface = surface_points(guide, views[k].camera, in_bounds(scene, views[k].camera))
        seen = detect_view(scene, views[k], faint=True)
        outline = (seen.kinds == KIND_SILHOUETTE) & (scene.background == "alpha")
        return view_edges(views[k], explained(surface, seen, outline))

    return Edges(tuple(each_view("edges", views, work, reporter)), f"surface: {path}", False, (), file)


def _checked(edges: Edges) -> Edges:
    """With a warning that names views without any edge.

    Raises:
        DataError: No view has one.
    """
    empty = [view.name for view in edges.views if not len(view.points)]
    if len(empty) == len(edges.views):
        raise DataError(
            f"no edge was found in any of the {len(empty)} training views (edges: {edges.source})",
            hint="Is there an object with edges in the pictures? Look at them with recon inspect DATA --edges auto.",
        )
    if not empty:
        return edges
    line = f"{len(empty)} of {len(edges.views)} views have no edges ({', '.join(empty[:3])}{', ...' if len(empty) > 3 else ''})"
    return Edges(edges.views, edges.source, edges.offset_free, (*edges.warnings, line), edges.mesh)
