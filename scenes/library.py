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
from recon.data.scene import Camera, Scene, View
from recon.errors import DataError, UsageError
from recon.geometry import Similarity
from recon.system.foreign import load_npz
from scenes.catalog import CATALOG, Entry
from scenes.making import organic
from scenes.making.cameras import fibonacci_directions, orbit_directions, surround
from scenes.making.materials import PLAIN, Material
from scenes.making.render import RenderOptions, render_views
from scenes.making.solid import Solid, load_mesh
from scenes.making.tracing import tracer

DATA = Path(__file__).parent / "data"
PREFIX = "scenes:"
PLAIN_SUFFIX = "-plain"
"""``scenes:NAME-plain`` is the scene without its texture: edges in its pictures are edges of its shape."""
MARGIN = 1.1
"""Scene units are chosen so that the object's bounding sphere has radius 1 / MARGIN."""
CACHED_VARIANTS = 6
"""Renderings of one scene that are kept (a set of 60 views takes about 5 MB); the oldest go first."""
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
    """

    name: str
    solid: Solid
    unit: str | None
    material: Material
    step: Path | None = None

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
    def world_from_scene(self) -> Similarity:
        """Scene units, in which the object has radius 1 / :data:`MARGIN` about the origin, to world units."""
        return Similarity(MARGIN * self.solid.radius, np.eye(3), self.solid.center)


@dataclass(frozen=True)
class SceneOptions:
    """How many pictures of a scene are taken, from where, and how.

    Attributes:
        width, height: Pixels.
        train, test: Numbers of views; held-out views are spread evenly among the others.
        path: "fibonacci" sees the object from all sides, "orbit" circles at the elevations below.
        elevations_deg: For "orbit".
        fovs_deg: Horizontal fields of view, taken in turns.
        principal_jitter_px: Largest displacement of the principal point from the picture's centre.
        plain: Plain grey instead of the scene's own material.
        render: Supersampling, exposure, noise, blur, seed, threads.
    """

    width: int = 400
    height: int = 400
    train: int = 48
    test: int = 12
    path: Literal["fibonacci", "orbit"] = "fibonacci"
    elevations_deg: tuple[float, ...] = (-15.0, 15.0, 45.0)
    fovs_deg: tuple[float, ...] = (36.0,)
    principal_jitter_px: float = 0.0
    plain: bool = False
    render: RenderOptions = field(default_factory=RenderOptions)

    def __post_init__(self) -> None:
        if self.train < 1 or self.test < 0 or not self.fovs_deg or not self.elevations_deg:
            raise UsageError("a scene needs at least one training view, a field of view and an elevation")
        if self.path not in ("fibonacci", "orbit"):
            raise UsageError(f"camera path {self.path!r} is neither 'fibonacci' nor 'orbit'")


def names() -> tuple[str, ...]:
    """Names of the built-in scenes."""
    return tuple(entry.name for entry in CATALOG)


def entry(name: str) -> Entry:
    """The catalogue entry of a scene, with or without the prefix ``scenes:``; ``NAME-plain`` is the same in plain grey.

    Raises:
        UsageError: If there is no such scene.
    """
    wanted = name.removeprefix(PREFIX)
    base = wanted.removesuffix(PLAIN_SUFFIX)
    for candidate in CATALOG:
        if candidate.name == base:
            return candidate if base == wanted else replace(candidate, name=wanted, material=PLAIN)
    raise UsageError(
        f"there is no built-in scene {wanted!r}", f"Built-in scenes: {', '.join(names())}; each also as NAME{PLAIN_SUFFIX}, in plain grey."
    )


def truth(name: str) -> Truth:
    """Surface and curves of a built-in scene, in world units.

    Raises:
        UsageError: If there is no such scene.
        DataError: If its files are missing or damaged.
    """
    found = entry(name)
    base = found.name.removesuffix(PLAIN_SUFFIX)
    if found.kind == "organic":
        return Truth(found.name, organic.solid(base), found.unit, found.material)
    folder = DATA / base
    solid = load_mesh(folder / "mesh.npz")
    vertices, sharp, tangent = curve_files.read(folder / "curves.json")
    solid = replace(solid, curve_vertices=vertices, curves=sharp, tangent_curves=tangent)
    step = folder / "part.step"
    return Truth(found.name, solid, found.unit, found.material, step if step.is_file() else None)


def cameras(known: Truth, options: SceneOptions) -> tuple[tuple[Camera, ...], tuple[Camera, ...]]:
    """Training and held-out cameras around an object."""
    count = options.train + options.test
    if options.path == "fibonacci":
        directions = fibonacci_directions(count)
    else:
        directions = orbit_directions(count, [math.radians(e) for e in options.elevations_deg])
    fovs = [math.radians(f) for f in options.fovs_deg]
    solid, jitter = known.solid, options.principal_jitter_px
    everything = surround(
        solid.center, solid.radius, directions, options.width, options.height, fovs, principal_jitter_px=jitter, seed=options.render.seed
    )
    held = {int((k + 0.5) * count / options.test) for k in range(options.test)}
    return (
        tuple(c for k, c in enumerate(everything) if k not in held),
        tuple(c for k, c in enumerate(everything) if k in held),
    )


def photograph(known: Truth, options: SceneOptions) -> tuple[View, ...]:
    """Render all views of an object; about a third of a second each at 400 x 400 on two cores."""
    train, test = cameras(known, options)
    pictures = render_views(tracer(known.solid), [*train, *test], PLAIN if options.plain else known.material, options.render)
    return _views(pictures, train, test)


def load(name: str, options: SceneOptions | None = None, cache: bool = True) -> Scene:
    """A built-in scene, ready to be reconstructed: 48 + 12 RGBA views with exact cameras unless options say otherwise.

    Args:
        name: With or without the prefix ``scenes:``.
        options: Number and kind of views.
        cache: Keep the rendered pictures in the user's cache folder (``$FORMFIELD_CACHE``, else ``$XDG_CACHE_HOME/formfield``, else
            ``~/.cache/formfield``), keyed by everything that they depend on.
    Returns:
        The scene; its world is millimetres, away from the origin.
    """
    options = options or SceneOptions()
    known = truth(name)
    views = _cached(known, options) if cache else photograph(known, options)
    similarity = known.world_from_scene
    notes = (
        f"built-in scene; bounds known: centre {np.round(similarity.translation, 3).tolist()}, radius {similarity.scale:.3f} {known.unit}",
        f"split by construction: {options.train} training views, {options.test} held out",
    )
    return Scene(known.name, Path(PREFIX + known.name), "built-in", views, similarity, "alpha", known.unit, notes)


def _views(pictures: Sequence[np.ndarray], train: Sequence[Camera], test: Sequence[Camera]) -> tuple[View, ...]:
    first = [View(f"train/r_{k:03d}.png", pictures[k], c, "train") for k, c in enumerate(train)]
    return (*first, *(View(f"test/r_{k:03d}.png", pictures[len(train) + k], c, "test") for k, c in enumerate(test)))


def cache_folder() -> Path:
    """Where rendered views are kept between runs."""
    if os.environ.get("FORMFIELD_CACHE"):
        return Path(os.environ["FORMFIELD_CACHE"]) / "scenes"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "formfield" / "scenes"


def _cache_key(known: Truth, options: SceneOptions) -> str:
    mesh = DATA / known.name.removesuffix(PLAIN_SUFFIX) / "mesh.npz"
    digest = hashlib.sha256(mesh.read_bytes() if mesh.is_file() else b"formula")
    for module in _PICTURE_MODULES:
        digest.update(module.read_bytes())
    material = PLAIN if options.plain else known.material
    shown = [f"{k}={v}" for k, v in vars(options.render).items() if k != "threads"]
    digest.update(repr(([f"{k}={v}" for k, v in vars(options).items() if k != "render"], shown, material)).encode())
    return digest.hexdigest()[:20]


def _cached(known: Truth, options: SceneOptions) -> tuple[View, ...]:
    train, test = cameras(known, options)
    path = cache_folder() / f"{known.name}-{_cache_key(known, options)}.npz"
    shape = (options.train + options.test, options.height, options.width, 4)
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
        kept = sorted(path.parent.glob(f"{known.name}-*.npz"), key=lambda p: p.stat().st_mtime)
        for old in kept[:-CACHED_VARIANTS]:
            old.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("the pictures of %s are not kept for the next run: %s", known.name, error)
        temporary.unlink(missing_ok=True)
    return views
