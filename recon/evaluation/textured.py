"""How the textured mesh looks from the held-out cameras: the test of what a user opens in another program."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from recon.data.scene import View
from recon.evaluation.images import image_metrics
from recon.evaluation.report import mean
from recon.evaluation.silhouettes import object_mask
from recon.rendering.meshes import render_mesh
from recon.rendering.rays import view_pixels
from recon.surface.mesh import Mesh
from recon.surface.raycast import ray_scene

SUPERSAMPLE = 2
PROTOCOL = (
    "the exported .glb (simplified, textured, no light) ray-cast from the held-out cameras with 2 x 2 rays a pixel, over white or the "
    "dataset's constant background, against the photographs over the same; mean of the per-view values; psnr_masked over the pixels of "
    "the mask, or of alpha above 127, alone"
)


def textured_mesh_metrics(
    mesh_world: Mesh,
    views: Sequence[View],
    background: object,
    keep: Callable[[View, np.ndarray], None] = lambda view, picture: None,
) -> dict | None:
    """Pictures of a mesh against photographs.

    Args:
        mesh_world: With texture or vertex colours, world units.
        views: Held-out views.
        background: ``Scene.background``. Where it is unknown, only views with a mask can be compared: a mesh has no background.
        keep: Called with each view and the mesh's picture, sRGB in [0, 1] [H, W, 3].
    Returns:
        ``psnr``, ``psnr_masked``, ``ssim``, ``ssim_masked`` (see :data:`recon.evaluation.images.PROTOCOL`; NaN where there is no mask),
        the same for each view, and the protocol. None if no view can be compared.
    """
    cast, per_view = ray_scene(mesh_world), []
    for view in views:
        wanted = photograph_over(view, background)
        if wanted is None:
            continue
        shown = render_mesh(cast, view.camera, shading="color", supersample=SUPERSAMPLE)
        alpha = shown["alpha"][..., None]
        picture = shown["rgb"] * alpha + _backdrop(background) * (1 - alpha)
        per_view.append({"view": view.name, **vars(image_metrics(picture, wanted, object_mask(view)))})
        keep(view, picture)
    if not per_view:
        return None
    figures = {key: mean([v[key] for v in per_view]) for key in ("psnr", "psnr_masked", "ssim", "ssim_masked")}
    return {**figures, "views": len(per_view), "faces": len(mesh_world.faces), "protocol": PROTOCOL, "per_view": per_view}


def photograph_over(view: View, background: object) -> np.ndarray | None:
    """A photograph as a mesh can be compared with it; None if what is behind the object is not known. [H, W, 3] in [0, 1]

    Over white by its alpha or mask; a photograph before a constant colour as it is.
    """
    rgba = view_pixels(view, background)
    if background == "unknown":
        mask = object_mask(view)
        if mask is None:
            return None
        rgba = np.concatenate([view.image[..., :3], np.uint8(255) * mask[..., None]], -1)
    rgba = rgba.astype(np.float32) / 255
    return rgba[..., :3] * rgba[..., 3:] + (1 - rgba[..., 3:])


def _backdrop(background: object) -> np.ndarray:
    return np.asarray(background, np.float32) if isinstance(background, tuple | list) else np.ones(3, np.float32)
