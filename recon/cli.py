"""The command line: thin, and the only place that prints results."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from recon.config import FieldName, MethodName, PresetName, RunConfig, preset_config, with_overrides
from recon.errors import CapabilityError, Interrupted, MemoryLimitError, ReconError, UsageError

if TYPE_CHECKING:
    from recon.console import Reporter
    from recon.data.scene import Scene
    from recon.surface.mesh import Mesh

# Torch and everything that needs it is imported inside the functions, so that --help answers at once.


@dataclass(frozen=True)
class DataOptions:
    """How images are read."""

    downscale: float = 1.0
    """Divide the image sizes by this."""
    max_size: int | None = None
    """Shrink images so that their longer side has at most this many pixels."""
    holdout: int = 8
    """Hold out every n-th view for testing where the dataset has no split of its own."""
    no_masks: bool = False
    """Do not use object masks (alpha is always used: there is nothing behind it)."""
    bounds: tuple[float, float, float, float] | None = None
    """Centre x y z and radius, in world units, of the sphere that holds the object; default: found from the images."""
    skip_bad_frames: bool = False
    """Leave out unreadable or contradictory frames with a warning instead of stopping."""

    def settings(self) -> list[str]:
        """The same as settings of a run's configuration."""
        return [
            f"data.downscale={self.downscale}",
            f"data.max_size={'null' if self.max_size is None else self.max_size}",
            f"data.holdout={self.holdout}",
            f"data.use_masks={'false' if self.no_masks else 'true'}",
            f"data.skip_bad_frames={'true' if self.skip_bad_frames else 'false'}",
            f"data.bounds={'null' if self.bounds is None else list(self.bounds)}",
        ]


@dataclass(frozen=True)
class TrainOptions:
    """What is trained and how."""

    method: MethodName = "volsdf"
    """volsdf: a surface. radiance: views only."""
    field: FieldName = "hashgrid"
    """How the function is represented: a hash grid (fast), or VolSDF's 8 x 256 network (very slow on a CPU)."""
    preset: PresetName = "fast"
    """fast: about 5 minutes on two cores; balanced: about 20; paper: the published settings, hours."""
    out: Path = Path("runs")
    """Where run folders are made."""
    seed: int = 0
    """Everything random follows from it."""
    set: tuple[str, ...] = ()
    """Change any value of the configuration: --set train.steps=500 hashgrid.levels=12. See config.yaml of a run for all names."""


@dataclass(frozen=True)
class Reconstruct:
    """Images in; trained model, closed mesh with colour, test renders, figures and pictures out."""

    data: tyro.conf.Positional[str]
    """A folder or file of posed images, or scenes:NAME for a built-in scene."""
    train: tyro.conf.OmitArgPrefixes[TrainOptions] = TrainOptions()
    images: tyro.conf.OmitArgPrefixes[DataOptions] = DataOptions()
    truth: Path | None = None
    """A mesh to compare the result with, in world units; built-in scenes bring their own."""


@dataclass(frozen=True)
class Train:
    """Train only; evaluate, render and export the run afterwards."""

    data: tyro.conf.Positional[str]
    """A folder or file of posed images, or scenes:NAME for a built-in scene."""
    train: tyro.conf.OmitArgPrefixes[TrainOptions] = TrainOptions()
    images: tyro.conf.OmitArgPrefixes[DataOptions] = DataOptions()


@dataclass(frozen=True)
class Inspect:
    """Say what a dataset was understood to be, and draw its cameras and bounds."""

    data: tyro.conf.Positional[str]
    """A folder or file of posed images, or scenes:NAME for a built-in scene."""
    images: tyro.conf.OmitArgPrefixes[DataOptions] = DataOptions()
    out: Path | None = None
    """Folder for the picture; default: the current one."""
    json: bool = False
    """Print facts as JSON."""


@dataclass(frozen=True)
class Resume:
    """Go on with an interrupted run from its last whole checkpoint; then evaluate and export as `reconstruct` does."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    truth: Path | None = None
    """A mesh to compare the result with, in world units."""


@dataclass(frozen=True)
class Evaluate:
    """Render the held-out views of a run and compare: PSNR, SSIM, silhouettes, and geometry where there is truth."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    truth: Path | None = None
    """A mesh to compare with, in world units; built-in scenes bring their own."""
    json: bool = False
    """Print the results as JSON."""


@dataclass(frozen=True)
class Render:
    """Render a run: a turntable, or every view of a split."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    what: Literal["orbit", "test", "train"] = "orbit"
    """orbit: a turntable as .mp4 (.gif without ffmpeg). test, train: the views of that split as .png."""
    frames: int = 48
    """Frames of the orbit."""
    size: int = 400
    """Longer side of the pictures, pixels."""


@dataclass(frozen=True)
class Export:
    """Write a run's mesh (.glb with texture, .obj, .ply, .stl) or its cameras, in world units."""

    run: tyro.conf.Positional[Path]
    """A run folder."""
    what: tyro.conf.Positional[Literal["mesh", "cameras"]] = "mesh"
    resolution: int | None = None
    """Cells along the longest axis; default: the run's configuration."""
    faces: int | None = None
    """Face budget of the textured mesh; default: the run's configuration."""
    keep_all: bool = False
    """Keep all components, not only the largest."""


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
    views: int = 48
    """Training views."""
    size: int = 400
    """Width and height, pixels."""


Command = (
    Annotated[Reconstruct, tyro.conf.subcommand("reconstruct")]
    | Annotated[Inspect, tyro.conf.subcommand("inspect")]
    | Annotated[Train, tyro.conf.subcommand("train")]
    | Annotated[Resume, tyro.conf.subcommand("resume")]
    | Annotated[Evaluate, tyro.conf.subcommand("evaluate")]
    | Annotated[Render, tyro.conf.subcommand("render")]
    | Annotated[Export, tyro.conf.subcommand("export")]
    | Annotated[MakeScene, tyro.conf.subcommand("scene")]
    | Annotated[Doctor, tyro.conf.subcommand("doctor")]
)


def run_config(train: TrainOptions, images: DataOptions) -> RunConfig:
    """The preset with everything that the command line changes."""
    settings = [f"seed={train.seed}", *images.settings(), *train.set]
    return with_overrides(preset_config(train.method, train.field, train.preset), settings)


def open_data(source: str, config: RunConfig) -> Scene:
    """The dataset behind ``DATA``: a path, or ``scenes:NAME``."""
    d = config.data
    if source.startswith("scenes:"):
        import scenes

        if not d.use_masks:
            raise UsageError(
                "the built-in scenes have a transparent background: there is nothing behind the object to learn", "drop --no-masks"
            )
        usual = scenes.SceneOptions()
        size = min(round(usual.width / d.downscale), d.max_size or usual.width)
        return scenes.load(source, scenes.SceneOptions(width=size, height=size))
    import numpy as np

    from recon.data.load import load_scene
    from recon.geometry import Similarity

    bounds = None
    if d.bounds is not None:
        *center, radius = d.bounds
        bounds = Similarity(radius, translation=np.array(center))
    return load_scene(
        Path(source),
        downscale=d.downscale,
        max_size=d.max_size,
        holdout=d.holdout,
        use_masks=d.use_masks,
        skip_bad_frames=d.skip_bad_frames,
        world_from_scene=bounds,
    )


def open_truth(source: str, given: Path | None) -> Mesh | None:
    """The true surface in world units, if there is one."""
    if given is None and not source.startswith("scenes:"):
        return None
    from recon.surface.mesh import Mesh
    from recon.surface.reading import read_mesh

    if given is not None:
        return read_mesh(given)
    import scenes

    solid = scenes.truth(source).solid
    return Mesh(solid.vertices, solid.faces)


def tell_scene(scene: Scene, reporter: Reporter) -> None:
    """One line on the dataset, then its notes and warnings."""
    train, test = (len(scene.split(s)) for s in ("train", "test"))
    camera = scene.views[0].camera
    reporter.say(f"{scene.name}: {scene.format}, {train} training and {test} held-out views, first {camera.width}x{camera.height}")
    for note in scene.notes:
        reporter.say(f"  {note}")
    for warning in scene.warnings:
        reporter.warn(warning)


def reconstruct(command: Reconstruct) -> None:
    from recon import pipeline
    from recon.console import Reporter

    config = run_config(command.train, command.images)
    truth = open_truth(command.data, command.truth)
    with Reporter() as reporter:
        scene = open_data(command.data, config)
        tell_scene(scene, reporter)
        run = pipeline.start(scene, command.data, config, command.train.out)
        results = pipeline.reconstruct(run, scene, truth, reporter)
    print_results(run.folder, results)


def train(command: Train) -> None:
    from recon import pipeline
    from recon.console import Reporter

    config = run_config(command.train, command.images)
    with Reporter() as reporter:
        scene = open_data(command.data, config)
        tell_scene(scene, reporter)
        run = pipeline.start(scene, command.data, config, command.train.out)
        pipeline.fit(run, scene, reporter)
    print(run.folder)


def resume(command: Resume) -> None:
    from recon import pipeline
    from recon.console import Reporter
    from recon.runs import open_run

    run = open_run(command.run)
    source = run.scene_info()["source"]
    with Reporter() as reporter:
        results = pipeline.reconstruct(run, open_data(source, run.config), open_truth(source, command.truth), reporter)
    print_results(run.folder, results)


def evaluate(command: Evaluate) -> None:
    from recon import pipeline
    from recon.console import Reporter
    from recon.runs import open_run

    run = open_run(command.run)
    source = run.scene_info()["source"]
    with Reporter() as reporter:
        scene, truth = open_data(source, run.config), open_truth(source, command.truth)
        results = pipeline.evaluate(run, pipeline.load_method(run, reporter), scene, truth, reporter)
    if command.json:
        print(json.dumps(results, indent=1))
    else:
        print_results(run.folder, results)


def render(command: Render) -> None:
    from recon import pipeline
    from recon.console import Reporter
    from recon.preview import render_orbit, render_split
    from recon.runs import open_run

    run = open_run(command.run)
    with Reporter() as reporter:
        method = pipeline.load_method(run, reporter)
        if command.what == "orbit":
            print(render_orbit(run, method, command.frames, command.size, reporter))
        else:
            scene = open_data(run.scene_info()["source"], run.config)
            print(render_split(run, method, scene, command.what, reporter))


def export(command: Export) -> None:
    from dataclasses import replace

    from recon import pipeline
    from recon.console import Reporter
    from recon.exporting import export_cameras, export_mesh
    from recon.runs import open_run

    run = open_run(command.run)
    with Reporter() as reporter:
        if command.what == "cameras":
            print(export_cameras(run))
            return
        settings = run.config.export
        settings = replace(
            settings,
            resolution=command.resolution or settings.resolution,
            texture_faces=command.faces or settings.texture_faces,
            keep="all" if command.keep_all else settings.keep,
        )
        export_mesh(run, pipeline.load_method(run, reporter), settings, reporter)
    for path in sorted(run.exports.glob("mesh.*")):
        print(path)


def inspect(command: Inspect) -> None:
    from recon.console import Reporter
    from recon.data.inspect import camera_picture, describe

    config = with_overrides(RunConfig(), command.images.settings())
    with Reporter(quiet=command.json) as reporter:
        scene = open_data(command.data, config)
        tell_scene(scene, reporter)
    facts = describe(scene)
    picture = (command.out or Path(".")) / f"{scene.name}-cameras.png"
    picture.parent.mkdir(parents=True, exist_ok=True)
    camera_picture(scene, picture)
    if command.json:
        print(json.dumps({**facts, "picture": str(picture)}, indent=1))
        return
    for key, value in facts.items():
        if key not in ("notes", "warnings"):
            print(f"{key}: {json.dumps(value)}")
    print(f"picture: {picture}")


def doctor(command: Doctor) -> None:
    from recon.doctor import diagnose, lines

    report = diagnose()
    print(json.dumps(report, indent=1) if command.json else "\n".join(lines(report)))


def make_scene(command: MakeScene) -> None:
    import scenes

    path = Path(command.name)
    if path.suffix:
        print(scenes.write_file(path, command.out, views=command.views, size=command.size))
    else:
        print(scenes.write(command.name.removeprefix("scenes:"), command.out, views=command.views, size=command.size))


def print_results(folder: Path, results: dict) -> None:
    """The figures that matter, a line each, then where everything is."""
    from recon.evaluate import summary_lines

    print("\n".join([*summary_lines(results), f"run: {folder}"]))


def main(args: Sequence[str] | None = None) -> None:
    """Entry point: parse, run, and turn errors into exit codes (0 ok, 1 bug, 2 usage, 3 bad data, 4 missing capability, 5 out of
    memory, 6 diverged, 130 interrupted)."""
    command = tyro.cli(Command, args=args, prog="recon", description=__doc__, config=(tyro.conf.FlagCreatePairsOff,))
    try:
        match command:
            case Reconstruct():
                reconstruct(command)
            case Inspect():
                inspect(command)
            case Train():
                train(command)
            case Resume():
                resume(command)
            case Evaluate():
                evaluate(command)
            case Render():
                render(command)
            case Export():
                export(command)
            case MakeScene():
                make_scene(command)
            case Doctor():
                doctor(command)
    except ReconError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError as error:
        print(f"error: out of memory ({error}); try --downscale 2 or a smaller resolution", file=sys.stderr)
        sys.exit(MemoryLimitError.exit_code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(Interrupted.exit_code)
    except Exception as error:
        # The kernels know nothing of this package's errors: a forced backend that is missing is the user's to mend.
        kernels_module = sys.modules.get("kernels")
        if kernels_module is not None and isinstance(error, kernels_module.BackendError):
            print(f"error: {error}", file=sys.stderr)
            sys.exit(CapabilityError.exit_code)
        raise


if __name__ == "__main__":
    main()
