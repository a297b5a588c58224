"""`recon inspect`: what a dataset was understood to be, as facts and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from recon.console import Reporter
from recon.curves.edges2d.edges import find_edges
from recon.curves.edges2d.pictures import edge_counts, edge_sheet
from recon.data.inspect import camera_picture, describe
from recon.data.scene import Scene


def inspect_scene(scene: Scene, edges: str | None, out: Path, reporter: Reporter) -> tuple[dict[str, Any], list[Path]]:
    """Describe a dataset and draw it.

    Args:
        scene: The data.
        edges: Where 2D edges come from, to find and draw them too; None: not.
        out: Folder of the pictures; it is made.
        reporter: Where progress and warnings go.
    Returns:
        The facts, plain values; and the pictures: cameras and bounds, then the edges.
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
    return facts, pictures
