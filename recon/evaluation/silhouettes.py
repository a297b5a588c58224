"""How well the outline of a mesh agrees with masks: a check of the surface that needs no true surface."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recon.data.scene import Camera, View
from recon.errors import DataError
from recon.surface.mesh import Mesh
from recon.surface.raycast import RayScene, cast, ray_scene

PROTOCOL = "intersection over union of the mesh's silhouette (one ray through each pixel's centre) and the mask; mean over views"


def silhouette(mesh_world: Mesh | RayScene, camera: Camera) -> np.ndarray:
    """Pixels whose centre's ray hits the mesh. [H, W] bool"""
    scene = mesh_world if isinstance(mesh_world, RayScene) else ray_scene(mesh_world)
    rows_at_once = max(1, 2**20 // camera.width)
    out = np.zeros((camera.height, camera.width), bool)
    for start in range(0, camera.height, rows_at_once):
        rows = np.arange(start, min(start + rows_at_once, camera.height))
        out[rows] = cast(scene, *camera.rays(camera.pixel_centers(rows).reshape(-1, 2))).hit.reshape(len(rows), -1)
    return out


def object_mask(view: View) -> np.ndarray | None:
    """The mask that came with a view, or where its alpha is above one half; None without either. [H, W] bool"""
    if view.mask is not None and view.ignore is None:  # a mask with pixels to ignore was completed, and is no truth
        return view.mask > 127
    if view.image.shape[2] == 4:
        return view.image[..., 3] > 127
    return None


def silhouette_iou(mesh_world: Mesh, views: Sequence[View]) -> dict:
    """Silhouettes against masks.

    Args:
        mesh_world: In world units.
        views: Those without mask and alpha are left out.
    Returns:
        ``{"mean": float, "least": float, "per_view": {name: float}, "protocol": str}``
    Raises:
        DataError: If no view has a mask or alpha.
    """
    scene = ray_scene(mesh_world)
    per_view: dict[str, float] = {}
    for view in views:
        mask = object_mask(view)
        if mask is None:
            continue
        found = silhouette(scene, view.camera)
        union = int((found | mask).sum())
        per_view[view.name] = int((found & mask).sum()) / union if union else 1.0
    if not per_view:
        raise DataError("no view has a mask or alpha", hint="silhouettes can only be compared where masks are known")
    return {"mean": float(np.mean(list(per_view.values()))), "least": min(per_view.values()), "per_view": per_view, "protocol": PROTOCOL}
