"""`recon inspect`: what a dataset was understood to be, as facts and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recon.config.values import StereoConfig
from recon.console import Reporter
from recon.curves.edges2d.edges import find_edges
from recon.curves.edges2d.pictures import edge_counts, edge_sheet
from recon.data.inspect import camera_picture, describe
from recon.data.scene import Scene
from recon.stereo.known import find_maps, share_found
from recon.stereo.pictures import depth_sheet


def inspect_scene(
    scene: Scene, edges: str | None, out: Path, reporter: Reporter, depth: StereoConfig | None = None
) -> tuple[dict[str, Any], list[Path]]:
    """Describe a dataset and draw it.

    Args:
        scene: The data.
        edges: Where 2D edges come from, to find and draw them too; None: not.
        out: Folder of the pictures; it is made.
        reporter: Where progress and warnings go.
        depth: How depth is found by stereo, to find and draw it too; None: not.
    Returns:
        The facts, plain values; and the pictures: cameras and bounds, then the edges, then depth.
    """
    facts, pictures = describe(scene), [out / f"{scene.name}-cameras.png"]
    out.mkdir(parents=True, exist_ok=True)
    camera_picture(scene, pictures[0])
    if edges is not None:
        found = find_edges(scene, edges, reporter)
        for warning in found.warnings:
            reporter.warn(warning)
        facts["edges"] = edge_counts(found)
        pictures.append(out / f"{scene.name}-edges.png")
        edge_sheet(found, scene, pictures[-1])
    if depth is not None:
        maps = find_maps(scene, depth, 0, reporter)[0]
        facts["depth_share"] = round(share_found(scene, maps), 4)
        pictures.append(out / f"{scene.name}-depth.png")
        depth_sheet(maps, scene, pictures[-1])
    return facts, pictures
