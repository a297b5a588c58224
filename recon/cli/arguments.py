"""What the subcommands take on the command line, parts of the configuration among them. Nothing here imports torch: ``--help`` answers at
once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from recon.cli.flags import Device, PageOptions, Settings, TrainOptions
from recon.config.values import CurveFormat, DataConfig, ExportConfig, FieldName, MeshFormat, Unit
from recon.photos.options import USUAL, PhotoOptions


@dataclass(frozen=True)
class Process:
    """Photographs or a video in; a dataset with cameras out, that `reconstruct` and other programs read (needs the extra [photos])."""

    photographs: tyro.conf.Positional[Path]
    """A folder of photographs, or a video."""
    out: Path
    """Folder of the dataset. What took time is kept in it: the same command again, with other options or after Ctrl-C, goes on from it."""
    photos: tyro.conf.OmitArgPrefixes[PhotoOptions] = USUAL
    unit: Unit | None = None
    """Unit of the dataset's lengths; default: that of the length given with --marker or --distance."""
    scale: float | None = None
    """Multiply the dataset's lengths by this; without --marker or --distance the region's radius is 1."""
    masks: str | None = None
    """A folder of masks; none. Default: those found beside the photographs, and transparency. They go into the dataset."""
    seed: int = 0
    """Everything random follows from it."""
    json: bool = False
    """Print the report as JSON."""


@dataclass(frozen=True)
class Reconstruct:
    """Images in; trained model, closed mesh with colour, test renders, figures and pictures out."""

    data: tyro.conf.Positional[str]
    """Photographs or a video; a folder or file of images with cameras; or scenes:NAME for a built-in scene."""
    train: tyro.conf.OmitArgPrefixes[TrainOptions] = TrainOptions()
    images: tyro.conf.OmitArgPrefixes[DataConfig] = DataConfig()
    photos: tyro.conf.OmitArgPrefixes[PhotoOptions] = USUAL
    mesh: tyro.conf.OmitArgPrefixes[ExportConfig] = ExportConfig()
    truth: Path | None = None
    """Mesh, curves or a folder of both to compare the result with, in world units; built-in scenes bring their own."""
    eval_views: int | None = None
    """Compare with at most so many of the held-out photographs, evenly spread over them; 0: with all. Default: 50, of a draft 4."""
    view: bool = False
    """Watch it in the browser while it trains; the page stays open at the end, until Ctrl-C (needs the extra [viewer])."""
    page: tyro.conf.OmitArgPrefixes[PageOptions] = PageOptions()


@dataclass(frozen=True)
class Train:
    """Train only; evaluate, render and export the run afterwards."""

    data: tyro.conf.Positional[str]
    """Photographs or a video; a folder or file of images with cameras; or scenes:NAME for a built-in scene."""
    train: tyro.conf.OmitArgPrefixes[TrainOptions] = TrainOptions()
    images: tyro.conf.OmitArgPrefixes[DataConfig] = DataConfig()
    photos: tyro.conf.OmitArgPrefixes[PhotoOptions] = USUAL


@dataclass(frozen=True)
class Fit:
    """Fit a field to a picture (.png, .jpg, .exr) or to a shape (.obj, .ply, .stl; .ply of points with normals)."""

    source: tyro.conf.Positional[Path]
    """The picture, mesh or points."""
    field: FieldName = "neurbf"
    params: str | None = None
    """Budget of trained numbers, for example 337k or 1.2M; default: 337k for pictures, 856k for shapes."""
    crop: int | None = None
    """Pictures: fit only the square of this many pixels in the middle."""
    out: Path = Path("runs")
    """Where run folders are made."""
    seed: int = 0
    """Everything random follows from it."""
    device: Device = "auto"
    settings: Settings = ()
    """Change any value of the fit: --set steps=500 neurbf.kernel=gauss. See fit.yaml of a run for all names."""
    json: bool = False
    """Print the results as JSON."""


@dataclass(frozen=True)
class Inspect:
    """Say what a dataset was understood to be, and draw its cameras and bounds."""

    data: tyro.conf.Positional[str]
    """Photographs or a video; a folder or file of images with cameras; or scenes:NAME for a built-in scene."""
    images: tyro.conf.OmitArgPrefixes[DataConfig] = DataConfig()
    photos: tyro.conf.OmitArgPrefixes[PhotoOptions] = USUAL
    edges: str | None = None
    """Find 2D edges too and draw them: auto, given, given:FOLDER or surface:RUN."""
    depth: bool = False
    """Find depth by stereo too, and draw it."""
    out: Path | None = None
    """Folder for the picture; default: the current one."""
    json: bool = False
    """Print facts as JSON."""


@dataclass(frozen=True)
class Solid:
    """Make a CAD solid (STEP) of a finished run's surface, or of any closed mesh: planes, cylinders, cones, spheres, tori (extra [cad])."""

    what: tyro.conf.Positional[Path]
    """A run folder of --method volsdf; or a closed mesh: .ply, .obj, .stl, .glb, .off."""
    curves: Path | None = None
    """Its edges: a run of --method nef, or a curves.json. Evidence, not a requirement."""
    snap: Literal["off", "suggest"] = "suggest"
    """suggest: name round numbers near the measured ones in the report; nothing is changed. off: do not."""
    freeform: Literal["bspline", "facets", "omit"] = "bspline"
    """What becomes of parts that no such surface explains: B-spline patches, plane facets, or a hole."""
    unit: Unit | None = None
    """Unit of a mesh file that does not say it itself; files of a solid are in millimetres."""
    out: Path | None = None
    """Folder for solid.step, report.html and the others; default: the run's folder solid, or NAME-solid here for a mesh."""
    seed: int = 0
    """Everything random follows from it."""
    device: Device = "auto"
    json: bool = False
    """Print the report as JSON."""


@dataclass(frozen=True)
class Resume:
    """Go on with an interrupted run from its last whole checkpoint; then evaluate and export as `reconstruct` does."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    truth: Path | None = None
    """Mesh, curves or a folder of both to compare the result with, in world units."""
    eval_views: int | None = None
    """Compare with at most so many of the held-out photographs, evenly spread over them; 0: with all. Default: 50, of a draft 4."""
    device: Device = "auto"


@dataclass(frozen=True)
class Evaluate:
    """Render the held-out views of a run and compare: PSNR, SSIM, silhouettes, and geometry where there is truth."""

    run: tyro.conf.Positional[Path]
    """A run folder; or a curves.json, parametric_edges.json or solid's .step to compare with --truth."""
    truth: Path | None = None
    """Mesh, curves.json, ABC features, STEP, sampled .ply, or a folder that holds them, in world units; built-in scenes bring their own.
    Or DTU's evaluation data: the folder that holds Points/ and ObsMask/."""
    scan: int | None = None
    """Which of DTU's scans; default: the number in the dataset's path."""
    cull: Literal["none", "neus", "monosdf", "2dgs"] | None = None
    """Against a DTU scan: first cut off what lies outside of the masks, grown as these do (50, 12, 24 pixels of 1600). Default: none if
    the run used masks, else neus."""
    eval_views: int | None = None
    """Compare with at most so many of the held-out photographs, evenly spread over them; 0: with all. Default: 50, of a draft 4."""
    halves: bool = False
    """How well the surface is known, without a truth: train the same twice more, on every second photograph each, and compare the two
    surfaces. Takes as long as training twice; kept in RUN/halves."""
    best_texture: bool = False
    """How good a texture of this mesh could be: compare the one that is nearest to the training and the held-out photographs, too."""
    device: Device = "auto"
    json: bool = False
    """Print the results as JSON."""


@dataclass(frozen=True)
class Render:
    """Pictures and films of a run without a display: a turntable, a camera path, or the views of a split."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    of: tyro.conf.UseAppendAction[tuple[tuple[Literal["field", "mesh", "curves"], ...], ...]] = ()
    """field (the default): the trained model. mesh, curves, or both: what was exported (needs the extra [viewer])."""
    orbit: bool = False
    """A turn about the object; so it is without --path and --split, too."""
    path: Path | None = None
    """A camera path made in the viewer, or nerfstudio's camera_path.json."""
    split: Literal["test", "train"] | None = None
    """The cameras of a split."""
    modes: tyro.conf.UseAppendAction[
        tuple[tuple[Literal["color", "depth", "normal", "opacity", "edge", "error", "clay", "overlay"], ...], ...]
    ] = ()
    """What is shown; default: color (of an edge field: edge). clay: a lit mesh. error, overlay: against and over a split's photographs."""
    size: int | None = None
    """Longer side, pixels; default: 400, for a split the size of the photographs."""
    frames: int | None = None
    """Pictures of the turn (default 48) or along the path."""
    fps: float | None = None
    """Frames per second of a film; default: the path's, else 24."""
    depth_range: tuple[float, float] | None = None
    """Nearest and farthest distance of the colours of depth, world units; default: the bounds of the object."""
    out: Path | None = None
    """A film (.mp4, .gif), or a folder for .png; default: in the run's folder renders."""
    device: Device = "auto"


@dataclass(frozen=True)
class Export:
    """Write a run's mesh (.glb and .obj with texture, .ply, .stl, .3mf), its curves, its cameras, or points by stereo (.ply)."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    what: tyro.conf.Positional[Literal["mesh", "cameras", "curves", "points"]] = "mesh"
    mesh: tyro.conf.OmitArgPrefixes[ExportConfig] = ExportConfig()
    formats: tyro.conf.UseAppendAction[tuple[tuple[MeshFormat | CurveFormat, ...], ...]] = ()
    """Of the mesh: glb (for the web), obj, ply, stl, 3mf (for printing, with units); default: all but 3mf. Of the curves: json, edges
    (EMAP's parametric_edges.json), obj, ply, svg, dxf, step; default: all whose packages are installed."""
    out: Path | None = None
    """Folder to write to; default: the run's exports."""
    overwrite: bool = False
    """Also over a mesh that was made from more steps, or at a higher resolution."""
    device: Device = "auto"


@dataclass(frozen=True)
class Swap:
    """Exchange shape and appearance of two volsdf runs: each one's surface under the other's radiance network."""

    run_a: tyro.conf.Positional[Path]
    """A run folder; the pictures are taken from its cameras."""
    run_b: tyro.conf.Positional[Path]
    """Another one, with features of the same length."""
    views: int = 3
    """Number of cameras."""
    size: int = 400
    """Longer side of each panel, pixels."""
    orbit: bool = False
    """Also a film of a turn about the object."""
    frames: int = 48
    """Pictures of the turn."""
    export: bool = False
    """Also A's mesh with B's appearance: mesh.glb (textured) and mesh.ply."""
    out: Path | None = None
    """Folder; default: renders/swap-... of RUN_A."""
    device: Device = "auto"


@dataclass(frozen=True)
class View:
    """Look at a run, or at a dataset, in the browser: field, mesh, curves and cameras together (needs the extra [viewer])."""

    what: tyro.conf.Positional[str]
    """A run folder, a folder or file of posed images, or scenes:NAME."""
    page: tyro.conf.OmitArgPrefixes[PageOptions] = PageOptions()
    images: tyro.conf.OmitArgPrefixes[DataConfig] = DataConfig()
    export: Path | None = None
    """Do not serve: write one .html with mesh, curves and cameras that opens without this program."""
    device: Device = "auto"


@dataclass(frozen=True)
class Compare:
    """Put the figures of runs that were evaluated side by side, a row each."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """Run folders, of reconstructions and fits."""
    format: Literal["text", "csv", "markdown", "latex"] = "text"
    """How the table is written."""


@dataclass(frozen=True)
class Doctor:
    """Versions, cores, memory, which backend every kernel would use and why, which extras are missing."""

    json: bool = False
    """Print as JSON."""


@dataclass(frozen=True)
class MakeScene:
    """Write a built-in scene, or one rendered from a CAD file or mesh, as a dataset with its truth."""

    name: tyro.conf.Positional[str]
    """Name of a built-in scene, or a .step, .stp, .obj, .ply, .stl or .glb file."""
    out: Path
    """Folder to write."""
    views: int | None = None
    """Training views, a quarter as many are held out; default: 48, in a room 24, of the facade 11."""
    size: int = 400
    """Width and height, pixels."""
    arc: float | None = None
    """The camera goes along an arc of so many degrees, 360 for a whole turn; default: all around, of the facade 100."""
    exposure: float = 0.0
    """Standard deviation of the exposures, stops."""
    noise: float = 0.0
    """Standard deviation of the sensor's noise, as a share of the full range."""


@dataclass(frozen=True)
class Benchmark:
    """Run a suite of reconstructions and fits and report on them; finished jobs are not run again. Or compare two reports."""

    suite: tyro.conf.Positional[str | None] = None
    """smoke, cad, captures, surface, fields, signals, real, or the path of a .yaml file of your own."""
    data: tyro.conf.UseAppendAction[tuple[tuple[Path, ...], ...]] = ()
    """Datasets, for suites that name none (real); pictures and meshes for signals."""
    jobs: int = 1
    """Jobs at one time."""
    threads: int | None = None
    """Threads of each job; default: this machine's cores divided by --jobs."""
    out: Path = Path("runs/benchmarks")
    """Where jobs and reports are kept."""
    executor: Literal["local", "ray", "slurm"] = "local"
    """local: processes here. ray: the cluster of RAY_ADDRESS, or a local one. slurm: by submitit."""
    slurm: Annotated[tuple[tuple[str, ...], ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="NAME=VALUE ...")] = ()
    """More settings of Slurm jobs: --slurm timeout_min=240 slurm_partition=cpu mem_gb=8."""
    device: Device = "auto"
    compare: tuple[Path, Path] | None = None
    """Two report folders, before and after: what got better or worse."""
    json: bool = False
    """Print the summary or the comparison as JSON."""


Command = (
    Annotated[Process, tyro.conf.subcommand("process")]
    | Annotated[Reconstruct, tyro.conf.subcommand("reconstruct")]
    | Annotated[Inspect, tyro.conf.subcommand("inspect")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Fit, tyro.conf.subcommand("fit")]
    | Annotated[Solid, tyro.conf.subcommand("solid")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Render, tyro.conf.subcommand("render")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[Swap, tyro.conf.subcommand("swap")]
    | Annotated[Compare, tyro.conf.subcommand("compare")]
    | Annotated[View, tyro.conf.subcommand("view")]
    | Annotated[MakeScene, tyro.conf.subcommand("scene")]
    | Annotated[Benchmark, tyro.conf.subcommand("benchmark")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)
