"""The built-in scenes by name: their views as a :class:`Scene`, their truth, and both written to a folder."""

from __future__ import annotations

import hashlib
import logging
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from recon.curves.files import curve as curve_files
from recon.curves.files.curve import Curve
from recon.data.bounds import from_cameras
from recon.data.scene import Camera, Scene, View
from recon.errors import DataError, UsageError
from recon.geometry import Similarity
from recon.system.foreign import load_npz
from scenes.catalog import CATALOG, Entry
from scenes.making import organic, relief
from scenes.making.cameras import arc_directions, fibonacci_directions, orbit_directions, surround
from scenes.making.materials import PLAIN, Material
from scenes.making.render import RenderOptions, render_views
from scenes.making.solid import Solid, load_mesh
from scenes.making.stage import Part, render_stage, stage, together
from scenes.making.surroundings import in_room, outdoors
from scenes.making.tracing import Tracer, tracer

DATA = Path(__file__).parent / "data"
PREFIX = "scenes:"
PLAIN_SUFFIX = "-plain"
"""``scenes:NAME-plain`` is the scene without its texture: edges in its pictures are edges of its shape."""
STUDIO_SUFFIX = "-studio"
"""``scenes:NAME-studio`` is the object on a table in a room, as one would photograph it: no alpha, a real background."""
MARGIN = 1.1
"""Scene units are chosen so that the object's bounding sphere has radius 1 / MARGIN."""
CACHED_VARIANTS = 6
"""Renderings of one scene that are kept (a set of 60 views takes about 5 MB); the oldest go first."""
KEY_LENGTH = 20
_PICTURE_MODULES = (*sorted((Path(__file__).parent / "making").glob("*.py")), Path(__file__))
"""What pictures depend on: a change of it makes them anew."""
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Truth:
    """What a scene really is. World units throughout.

    Attributes:
        name: Of the scene.
        solid: Mesh with smooth normals, and exact curves.
        unit: Name of the world unit, or None.
        material: What it is rendered with.
        step: STEP file of the exact solid, if there is one.
        around: What else is in the pictures; empty where the object is alone before nothing.
    """

    name: str
    solid: Solid
    unit: str | None
    material: Material
    step: Path | None = None
    around: tuple[Part, ...] = ()

    @property
    def vertices(self) -> np.ndarray:
        """Vertices of the closed mesh. [V, 3] float64"""
        return self.solid.vertices

    @property
    def faces(self) -> np.ndarray:
        """Triangles, outward. [F, 3] int32"""
        return self.solid.faces

    @property
    def curves(self) -> tuple[Curve, ...]:
        """Sharp feature curves."""
        return self.solid.curves

    @property
    def tangent_curves(self) -> tuple[Curve, ...]:
        """Boundaries of fillets: tangent faces whose curvature jumps."""
        return self.solid.tangent_curves

    @property
    def diagonal(self) -> float:
        """Of the axis-aligned bounding box."""
        return self.solid.diagonal

    @property
    def parts(self) -> tuple[Part, ...]:
        """All that is in the pictures, the object first."""
        return (Part(self.name, self.solid, self.material), *self.around)

    @property
    def rest(self) -> Solid | None:
        """What is around the object as one; None where nothing is."""
        return together([p.solid for p in self.around]) if self.around else None

    def traced(self) -> Tracer:
        """All that is in the pictures, ready for ray casting."""
        return stage(self.parts).tracer if self.around else tracer(self.solid)

    @property
    def world_from_scene(self) -> Similarity:
        """Scene units, in which the object has radius 1 / :data:`MARGIN` about the origin, to world units."""
        return Similarity(MARGIN * self.solid.radius, np.eye(3), self.solid.center)


@dataclass(frozen=True)
class SceneOptions:
    """How many pictures of a scene are taken, from where, and how.

    Attributes:
        width, height: Pixels.
        train, test: Numbers of views; held-out views are spread evenly among the others.
        path: "fibonacci" sees the object from all sides, "orbit" circles at the elevations below, "arc" goes along a part of a circle.
        elevations_deg: For "orbit" and "arc".
        arc_deg: For "arc"; 360 is a whole turn.
        middle_deg: For "arc": where its middle is, from the x axis towards the y axis.
        fovs_deg: Horizontal fields of view, taken in turns.
        fill: Part of the picture's shorter side that the object's sphere covers.
        principal_jitter_px: Largest displacement of the principal point from the picture's centre.
        plain: Plain grey instead of the scene's own material.
        render: Supersampling, exposure, noise, blur, seed, threads.
    """

    width: int = 400
    height: int = 400
    train: int = 48
    test: int = 12
    path: Literal["fibonacci", "orbit", "arc"] = "fibonacci"
    elevations_deg: tuple[float, ...] = (-15.0, 15.0, 45.0)
    arc_deg: float = 360.0
    middle_deg: float = -65.0
    fovs_deg: tuple[float, ...] = (36.0,)
    fill: float = 0.94
    principal_jitter_px: float = 0.0
    plain: bool = False
    render: RenderOptions = field(default_factory=RenderOptions)

    def __post_init__(self) -> None:
        if self.train < 1 or self.test < 0 or not self.fovs_deg or not self.elevations_deg:
            raise UsageError("a scene needs at least one training view, a field of view and an elevation")
        if self.path not in ("fibonacci", "orbit", "arc"):
            raise UsageError(f"camera path {self.path!r} is neither 'fibonacci' nor 'orbit' nor 'arc'")
        if not 0 < self.arc_deg <= 360:
            raise UsageError(f"an arc of {self.arc_deg:g} degrees", "give more than 0, and at most 360")


STUDIO = SceneOptions(train=24, test=6, path="arc", elevations_deg=(18.0, 38.0), fovs_deg=(50.0,), fill=0.62)
"""A turn about a table, with the camera in two heights."""
STREET = SceneOptions(
    train=11, test=3, path="arc", elevations_deg=(3.0, 12.0), arc_deg=100.0, middle_deg=-90.0, fovs_deg=(50.0,), fill=0.96
)
"""Past a house front."""


def usual(name: str) -> SceneOptions:
    """How a scene is photographed unless options say otherwise.

    Raises:
        UsageError: If there is no such scene.
    """
    found = entry(name)
    return STREET if found.kind == "relief" else STUDIO if found.name.endswith(STUDIO_SUFFIX) else SceneOptions()


def photographed(
    options: SceneOptions, size: int, views: int | None = None, arc_deg: float | None = None, exposure: float = 0.0, noise: float = 0.0
) -> SceneOptions:
    """Options with some of them changed.

    Args:
        options: As they are, mostly :func:`usual`.
        size: Width and height, pixels.
        views: Training views; a quarter as many are held out.
        arc_deg: Go along an arc of this many degrees.
        exposure: Standard deviation of the exposure, stops.
        noise: Standard deviation of the noise, as a part of the full range.
    """
    if views is not None:
        options = replace(options, train=views, test=max(views // 4, 1))
    if arc_deg is not None:
        options = replace(options, path="arc", arc_deg=arc_deg)
    render = replace(options.render, exposure_jitter=exposure, noise=noise)
    return replace(options, width=size, height=size, render=render)


def names() -> tuple[str, ...]:
    """Names of the built-in scenes."""
    return tuple(entry.name for entry in CATALOG)


def entry(name: str) -> Entry:
    """The catalogue entry of a scene, with or without the prefix ``scenes:``; ``NAME-plain`` is the same in plain grey,
    ``NAME-studio`` on a table in a room, ``NAME-plain-studio`` both.

    Raises:
        UsageError: If there is no such scene.
    """
    wanted = name.removeprefix(PREFIX)
    base = base_name(wanted)
    for candidate in CATALOG:
        if candidate.name != base or (candidate.kind == "relief" and wanted.endswith(STUDIO_SUFFIX)):
            continue
        plain = wanted.removesuffix(STUDIO_SUFFIX).endswith(PLAIN_SUFFIX)
        return replace(candidate, name=wanted, material=PLAIN if plain else candidate.material)
    raise UsageError(
        f"there is no built-in scene {wanted!r}",
        f"Built-in scenes: {', '.join(names())}; each also as NAME{PLAIN_SUFFIX}, in plain grey, and all but the facade as "
        f"NAME{STUDIO_SUFFIX}, on a table in a room.",
    )


def base_name(name: str) -> str:
    """Of a scene that may be in plain grey or in a room: its name in the catalogue."""
    return name.removesuffix(STUDIO_SUFFIX).removesuffix(PLAIN_SUFFIX)


def truth(name: str) -> Truth:
    """Surface and curves of a built-in scene, in world units.

    Raises:
        UsageError: If there is no such scene.
        DataError: If its files are missing or damaged.
    """
    found = entry(name)
    base = base_name(found.name)
    if found.kind == "relief":
        solid = relief.facade()
        return Truth(found.name, solid, found.unit, found.material, around=outdoors(solid))
    if found.kind == "organic":
        solid, step = organic.solid(base), None
    else:
        folder = DATA / base
        solid, step = load_mesh(folder / "mesh.npz"), folder / "part.step"
        vertices, sharp, tangent = curve_files.read(folder / "curves.json")
        solid = replace(solid, curve_vertices=vertices, curves=sharp, tangent_curves=tangent)
    around = in_room(solid) if found.name.endswith(STUDIO_SUFFIX) else ()
    return Truth(found.name, solid, found.unit, found.material, step if step is not None and step.is_file() else None, around)


def cameras(known: Truth, options: SceneOptions) -> tuple[tuple[Camera, ...], tuple[Camera, ...]]:
    """Training and held-out cameras around an object."""
    count = options.train + options.test
    if options.path == "fibonacci":
        directions = fibonacci_directions(count)
    elif options.path == "orbit":
        directions = orbit_directions(count, [math.radians(e) for e in options.elevations_deg])
    else:
        heights = [math.radians(e) for e in options.elevations_deg]
        directions = arc_directions(count, heights, math.radians(options.arc_deg), math.radians(options.middle_deg))
    fovs = [math.radians(f) for f in options.fovs_deg]
    solid, jitter = known.solid, options.principal_jitter_px
    everything = surround(
        solid.center, solid.radius, directions, options.width, options.height, fovs, options.fill, jitter, options.render.seed
    )
    held = {int((k + 0.5) * count / options.test) for k in range(options.test)}
    return (
        tuple(c for k, c in enumerate(everything) if k not in held),
        tuple(c for k, c in enumerate(everything) if k in held),
    )


def photograph(known: Truth, options: SceneOptions) -> tuple[View, ...]:
    """Render all views of an object; about a third of a second each at 400 x 400 on two cores, with a room about it a second."""
    train, test = cameras(known, options)
    material = PLAIN if options.plain else known.material
    if known.around:
        pictures = render_stage(stage(replace(known, material=material).parts), [*train, *test], options.render)
    else:
        pictures = render_views(tracer(known.solid), [*train, *test], material, options.render)
    return _views(pictures, train, test)


def load(name: str, options: SceneOptions | None = None, cache: bool = True) -> Scene:
    """A built-in scene, ready to be reconstructed: 48 + 12 RGBA views with exact cameras unless options say otherwise; in a room 24 + 6
    without alpha, and nothing is said of where the object is.

    Args:
        name: With or without the prefix ``scenes:``.
        options: Number and kind of views; None: :func:`usual`.
        cache: Keep the rendered pictures in the user's cache folder (``$FORMFIELD_CACHE``, else ``$XDG_CACHE_HOME/formfield``, else
            ``~/.cache/formfield``), keyed by everything that they depend on.
    Returns:
        The scene; its world is millimetres, away from the origin; of the facade metres.
    """
    options = options or usual(name)
    known = truth(name)
    views = _cached(known, options) if cache else photograph(known, options)
    split = f"split by construction: {options.train} training views, {options.test} held out"
    path = Path(PREFIX + known.name)
    if known.around:
        similarity, note, warning = from_cameras([v.camera for v in views if v.split == "train"])
        warnings = () if warning is None else (warning,)
        return Scene(known.name, path, "built-in", views, similarity, "unknown", known.unit, (f"built-in scene; {note}", split), warnings)
    similarity = known.world_from_scene
    notes = (
        f"built-in scene; bounds known: centre {np.round(similarity.translation, 3).tolist()}, radius {similarity.scale:.3f} {known.unit}",
        split,
    )
    return Scene(known.name, path, "built-in", views, similarity, "alpha", known.unit, notes)


def _views(pictures: Sequence[np.ndarray], train: Sequence[Camera], test: Sequence[Camera]) -> tuple[View, ...]:
    first = [View(f"train/r_{k:03d}.png", pictures[k], c, "train") for k, c in enumerate(train)]
    return (*first, *(View(f"test/r_{k:03d}.png", pictures[len(train) + k], c, "test") for k, c in enumerate(test)))


def cache_folder() -> Path:
    """Where rendered views are kept between runs."""
    if os.environ.get("FORMFIELD_CACHE"):
        return Path(os.environ["FORMFIELD_CACHE"]) / "scenes"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "formfield" / "scenes"


def _cache_key(known: Truth, options: SceneOptions) -> str:
    mesh = DATA / base_name(known.name) / "mesh.npz"
    digest = hashlib.sha256(mesh.read_bytes() if mesh.is_file() else b"formula")
    for module in _PICTURE_MODULES:
        digest.update(module.read_bytes())
    material = PLAIN if options.plain else known.material
    shown = [f"{k}={v}" for k, v in vars(options.render).items() if k != "threads"]
    digest.update(repr(([f"{k}={v}" for k, v in vars(options).items() if k != "render"], shown, material)).encode())
    return digest.hexdigest()[:KEY_LENGTH]


def _cached(known: Truth, options: SceneOptions) -> tuple[View, ...]:
    train, test = cameras(known, options)
    path = cache_folder() / f"{known.name}-{_cache_key(known, options)}.npz"
    shape = (options.train + options.test, options.height, options.width, 3 if known.around else 4)
    if path.is_file():
        try:
            pictures = load_npz(path, "rendered pictures")["pictures"]
            if pictures.shape != shape or pictures.dtype != np.uint8:
                raise DataError(f"pictures {pictures.shape} instead of {shape}")
            return _views(list(pictures), train, test)
        except Exception as error:  # a damaged archive raises many types; whatever it is, rendering again mends it
            logger.warning("rendering %s again: its cache %s is damaged (%s)", known.name, path, error)
    views = photograph(known, options)
    temporary = path.with_name(f"{path.stem}.{os.getpid()}.tmp.npz")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(temporary, pictures=np.stack([v.image for v in views]))
        os.replace(temporary, path)
        kept = sorted(path.parent.glob(f"{known.name}-{'[0-9a-f]' * KEY_LENGTH}.npz"), key=lambda p: p.stat().st_mtime)
        for old in kept[:-CACHED_VARIANTS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("the pictures of %s are not kept for the next run: %s", known.name, error)
        temporary.unlink(missing_ok=True)
    return views
