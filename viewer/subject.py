"""What is looked at: a run with its data, or data alone."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recon.data.scene import Camera, Scene
from recon.geometry import Similarity
from recon.runs import Run

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Subject:
    """What is looked at.

    Attributes:
        title: Short name.
        run: The run, or None for data alone.
        data: The photographs, or None if they are not here any more.
        world_from_scene: The similarity; the page shows scene units.
        unit: Name of the world unit, or None.
        cameras: In the world.
        names, splits: Of their views.
        source: What the user gave as DATA.
    """

    title: str
    run: Run | None
    data: Scene | None
    world_from_scene: Similarity
    unit: str | None
    cameras: tuple[Camera, ...]
    names: tuple[str, ...]
    splits: tuple[str, ...]
    source: str

    @property
    def scene_from_world(self) -> Similarity:
        return self.world_from_scene.inverse()

    def up(self) -> np.ndarray:
        """The direction that is up in most photographs, scene axes; z if they have none in common. [3]"""
        total = np.sum([-c.world_from_camera[:, 1] for c in self.cameras], axis=0)
        if np.linalg.norm(total) < 0.05 * len(self.cameras):
            total = np.array([0.0, 0.0, 1.0])
        up = self.scene_from_world.rotate(total)
        return up / np.linalg.norm(up)


def data_subject(scene: Scene, source: str, run: Run | None = None) -> Subject:
    """Data alone, or those of a run that is being trained."""
    return Subject(
        title=scene.name,
        run=run,
        data=scene,
        world_from_scene=scene.world_from_scene,
        unit=scene.unit,
        cameras=tuple(v.camera for v in scene.views),
        names=tuple(v.name for v in scene.views),
        splits=tuple(v.split for v in scene.views),
        source=source,
    )


def run_subject(run: Run, data: Scene | None) -> Subject:
    """A run as its folder tells it.

    Args:
        run: The run.
        data: Its data; None: pictures from photographs are left out.
    """
    scene = run.scene
    by_name = {} if data is None else {v.name: v for v in data.views}
    if data is not None and set(by_name) != {v.name for v in scene.views}:
        _log.warning("the data of %s changed since it was trained; its photographs are not shown", run.folder)
        data = None
    return Subject(
        title=f"{scene.name} {run.config.method}-{run.config.field}",
        run=run,
        data=data,
        world_from_scene=scene.world_from_scene,
        unit=scene.unit,
        cameras=tuple(v.camera for v in scene.views),
        names=tuple(v.name for v in scene.views),
        splits=tuple(v.split for v in scene.views),
        source=scene.source,
    )


def is_run(path: Path) -> bool:
    """Whether a path is a run folder."""
    return (path / "config.yaml").is_file() and (path / "scene.json").is_file()
