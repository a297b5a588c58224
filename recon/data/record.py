"""What a run's ``scene.json`` says about its data: everything of a :class:`~recon.data.scene.Scene` but pictures and points."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recon.data.scene import BackgroundKind, Camera, Scene
from recon.errors import DataError
from recon.geometry import Similarity
from recon.system.foreign import read_object, reading

_KEYS = {
    "name": str, "source": str, "format": str, "background": (str, list), "unit": (str, type(None)), "world_from_scene": dict, "views": list
}  # fmt: skip
_WHAT, _HINT = "a run's scene.json", "restore it, or start a new run"


@dataclass(frozen=True)
class ViewRecord:
    """A photograph's name, split and camera (world)."""

    name: str
    split: Literal["train", "test"]
    camera: Camera


@dataclass(frozen=True)
class SceneRecord:
    """What the scene of a run was.

    Attributes:
        source: What the user gave: an absolute path, or ``scenes:NAME``.
        views: In the order of the scene's; at least one.

    The others are those of :class:`~recon.data.scene.Scene`.
    """

    name: str
    source: str
    format: str
    background: BackgroundKind
    unit: str | None
    world_from_scene: Similarity
    views: tuple[ViewRecord, ...]
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def split(self, name: Literal["train", "test"]) -> tuple[ViewRecord, ...]:
        """The views of one split, in order."""
        return tuple(v for v in self.views if v.split == name)

    @property
    def scene_from_world(self) -> Similarity:
        return self.world_from_scene.inverse()

    @property
    def camera_centers(self) -> np.ndarray:
        """Where the photographs were taken from, scene units. [V, 3] float64"""
        scene_from_world = self.scene_from_world
        return np.stack([scene_from_world.apply(v.camera.center) for v in self.views])

    @property
    def cameras_in_scene(self) -> list[Camera]:
        """All views' cameras, in scene units."""
        scene_from_world, cameras = self.scene_from_world, [v.camera for v in self.views]
        return [replace(c, world_from_camera=scene_from_world.apply_to_pose(c.world_from_camera)) for c in cameras]

    def to_json(self) -> dict[str, Any]:
        """What ``scene.json`` holds."""
        return {
            "name": self.name,
            "source": self.source,
            "format": self.format,
            "background": self.background,
            "unit": self.unit,
            "world_from_scene": self.world_from_scene.to_json(),
            "views": [{"name": v.name, "split": v.split, "camera": v.camera.to_json()} for v in self.views],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
        }


def record_of(scene: Scene, source: str) -> SceneRecord:
    """What a run remembers of a scene.

    Args:
        source: What the user gave, to open the data again later.
    """
    return SceneRecord(
        name=scene.name,
        source=source if source.startswith("scenes:") else str(Path(source).resolve()),
        format=scene.format,
        background=scene.background,
        unit=scene.unit,
        world_from_scene=scene.world_from_scene,
        views=tuple(ViewRecord(v.name, v.split, v.camera) for v in scene.views),
        notes=scene.notes,
        warnings=scene.warnings,
    )


def read_record(path: Path) -> SceneRecord:
    """Read a run's ``scene.json``.

    Raises:
        DataError: If it is missing or of another shape; every problem is named.
    """
    data = read_object(path, _WHAT, _KEYS, _HINT)
    problems = [] if data["views"] else ["it has no views"]
    with reading(path, f"{_WHAT}: world_from_scene", _HINT):
        world_from_scene = Similarity.from_json(data["world_from_scene"])
        parts = (world_from_scene.scale, world_from_scene.rotation.reshape(3, 3), world_from_scene.translation.reshape(3))
        if not (all(np.isfinite(p).all() for p in parts) and world_from_scene.scale > 0):
            problems.append("world_from_scene is not a similarity")
    views = []
    for number, view in enumerate(data["views"]):
        with reading(path, f"{_WHAT}: views[{number}]", _HINT):
            record = ViewRecord(view["name"], view["split"], Camera.from_json(view["camera"]))
            if not _is_camera(record.camera):
                problems.append(f"views[{number}]: its camera is not one")
            if not isinstance(record.name, str) or record.split not in ("train", "test"):
                problems.append(f"views[{number}]: a view has a name and a split, train or test")
            views.append(record)
    if problems:
        raise DataError(f"{path}: not {_WHAT}", problems, _HINT)
    with reading(path, f"{_WHAT}: background", _HINT):
        background: Any = data["background"] if isinstance(data["background"], str) else _color(data["background"])
    return SceneRecord(
        name=data["name"],
        source=data["source"],
        format=data["format"],
        background=background,
        unit=data["unit"],
        world_from_scene=world_from_scene,
        views=tuple(views),
        notes=tuple(data.get("notes", ())),
        warnings=tuple(data.get("warnings", ())),
    )


def _is_camera(camera: Camera) -> bool:
    numbers = (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy)
    finite = np.isfinite(np.array(numbers, np.float64)).all() and np.isfinite(camera.world_from_camera.reshape(3, 4)).all()
    return bool(finite and camera.width >= 1 and camera.height >= 1 and camera.fx > 0 and camera.fy > 0)


def _color(values: list[Any]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue
