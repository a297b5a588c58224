"""What is run on the pretend device and compared with the CPU. Run by test_pretend.py, in a process of its own:

python -m tests.pretend.checks NAME ...        # prints a line of JSON for each: name, "ok" or the traceback
"""

from __future__ import annotations

import json
import math
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import recon.train
from recon import pipeline
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.config.values import RunConfig
from recon.console import Reporter
from recon.curves.files.wireframe import load as load_wireframe
from recon.curves.wireframe import build
from recon.device import CPU, choose, from_numpy, generator_of, to_numpy
from recon.evaluation.truth.known import GroundTruth
from recon.methods import volsdf_samples
from recon.model import build_method
from recon.optimizer import Adam
from recon.rendering.edge_rays import EdgeBank
from recon.rendering.image import render_view
from recon.rendering.rays import PixelBank
from recon.results.mesh import export_mesh
from recon.results.wireframe import make_wireframe
from recon.runs import open_run
from recon.stereo.agreement import Agreement
from recon.stereo.known import find_maps
from tests import tiny, tiny_box
from tests.pretend.device import NAME, PretendTensor, Seen, install, watch

QUIET = Reporter(quiet=True)
SMALL = ("mlp.width=64", "mlp.depth=3", "mlp.skip=2", "nef.coarse_samples=16", "nef.fine_samples=16", "rbfnet.neurons=16")
NEF_SMALL = tuple(s for s in SMALL if not s.startswith("rbfnet"))
RAYS = 48

STEPS: dict[str, Any] = {
    f"step {method} {field} {kind} {'paper ' if preset == 'paper' else ''}".strip(): (method, field, preset, background, settings)
    for method, field, preset, settings in (
        ("radiance", "hashgrid", "fast", ()),
        ("radiance", "rbfnet", "fast", ()),
        ("radiance", "neurbf", "fast", ("neurbf.warmup_steps=1",)),
        ("radiance", "mlp", "fast", ()),
        ("volsdf", "hashgrid", "fast", ()),
        ("volsdf", "rbfnet", "fast", ()),
        ("volsdf", "neurbf", "fast", ("neurbf.warmup_steps=1",)),
        ("volsdf", "mlp", "fast", ()),
    )
    for kind, background in (("alpha", "alpha"), ("unknown", "unknown"), ("one colour", (0.2, 0.4, 0.6)))
} | {
    "step nef hashgrid": ("nef", "hashgrid", "fast", "alpha", ("nef.occupancy_from=1",)),
    "step nef neurbf": ("nef", "neurbf", "fast", "alpha", ("nef.occupancy_from=1", "neurbf.warmup_steps=1")),
    "step nef mlp, hierarchical": ("nef", "mlp", "fast", "alpha", ("nef.sampling=hierarchical",)),
    "step volsdf mlp unknown, algorithm 1": ("volsdf", "mlp", "fast", "unknown", ("volsdf.sampling=algorithm1",)),
}  # fmt: skip

SYNCS: dict[str, tuple[str, int]] = {
    "syncs radiance": ("step radiance hashgrid alpha", 3),
    "syncs volsdf": ("step volsdf hashgrid alpha", 7),
    "syncs nef": ("step nef hashgrid", 4),
}
"""A step that neither looks again where there is something nor places functions: how often it may wait for the device."""


def configured(method: Any, field: Any, preset: Any, settings: tuple[str, ...]) -> RunConfig:
    small = (*tiny_box.TINY_SETTINGS, *NEF_SMALL) if method == "nef" else (*tiny.TINY_SETTINGS, *SMALL)
    if field == "neurbf":
        small = (*small, *(s for s in tiny.TINY_SETTINGS if s.startswith("neurbf")))
    return with_overrides(preset_config(method, field, preset), (*small, *settings))


def steps(case: str, device: torch.device, count: int, seen: list[Seen] | None = None) -> tuple[list[dict[str, float]], dict[str, Any]]:
    """Train a little; the numbers of every step, and the state at the end, on the CPU."""
    method_name, field, preset, background, settings = STEPS[case]
    config = configured(method_name, field, preset, settings)
    method = build_method(config, background, 8).to(device)
    if method_name == "nef":
        edges = tiny_box.box_edges(4, 16)
        pixels: Any = EdgeBank(edges.views, tiny_box.WORLD_FROM_SCENE.inverse(), 400, 0.5, True, device)
    else:
        scene = tiny.tiny_scene(background)
        pixels = PixelBank(scene, device)
        if method_name == "volsdf":  # as `prepare` does
            method.guidance.agreement = Agreement(scene, pixels)
    generator, optimizer, numbers = generator_of(device, 5), Adam(method.parameter_groups()), []
    method.set_progress(0.5)
    for step in range(count):
        if step < 2:
            method.refresh_occupancy(step, generator)
        with watch() if device.type == NAME else nothing() as found:
            rays, targets = pixels.draw(RAYS, generator)
            losses = method.losses(rays, targets, generator)
            losses.total.backward()
            optimizer.step(1e-3)
        if seen is not None and found is not None:
            seen.append(found)
        numbers.append(
            {**losses.terms, **losses.figures, "squared": losses.squared_error, "samples": losses.samples, "value": losses.value}
        )
    return numbers, {name: value.cpu() for name, value in method.state_dict().items()}


@contextmanager
def nothing() -> Iterator[None]:
    yield None


def check_step(case: str, device: torch.device) -> None:
    seen: list[Seen] = []
    (expected, state), (found, moved) = steps(case, CPU, 2), steps(case, device, 2, seen)
    assert [set(a) for a in expected] == [set(a) for a in found]
    for step, (a, b) in enumerate(zip(expected, found, strict=True)):
        for name, value in a.items():
            assert math.isclose(value, b[name], rel_tol=1e-5, abs_tol=1e-7), f"step {step}: {name} is {b[name]}, on the CPU {value}"
    for name, value in state.items():
        close = torch.allclose(
            value.double(), moved[name].double(), rtol=1e-4, atol=2e-3 * 1e-1
        )  # Adam's steps are 1e-3 whatever the gradient
        assert close, f"{name} differs by {(value.double() - moved[name].double()).abs().max()}"
    left = sum((s.cpu for s in seen), start=type(seen[0].cpu)())
    assert not left, "worked on the CPU:\n" + "\n".join(f"{n:5d}  {kind:16s} {place}" for (kind, place), n in left.most_common())


def check_syncs(name: str, device: torch.device) -> None:
    case, most = SYNCS[name]
    seen: list[Seen] = []
    steps(case, device, 4, seen)
    last = seen[-1]
    print(f"{name}: {last.total()} of {most}, {last.total('uploads')} uploads, {last.ops} ops\n{last.table()}", file=sys.stderr)
    assert 0 < last.total() <= most, f"{last.total()} times, at most {most} are promised:\n{last.table()}"


@contextmanager
def reseeded_everywhere() -> Iterator[None]:
    """So that a run on the CPU draws the numbers that it would draw elsewhere."""
    usual = recon.train.reseeds
    recon.train.reseeds = lambda device: True
    try:
        yield
    finally:
        recon.train.reseeds = usual


def trained(folder: Path, scene: Any, config: RunConfig, device: str) -> tuple[Any, Any]:
    run = pipeline.start(scene, "tiny", config, folder / device, device)
    with run.writing():
        return run, pipeline.fit(run, scene, QUIET)


def check_run(device: torch.device, folder: Path) -> None:
    """A whole reconstruction: training from the hull, checkpoints, resuming, moving to the CPU; views, figures, mesh."""
    scene = tiny.tiny_scene()
    config = configured("volsdf", "hashgrid", "fast", ("train.steps=6", "train.checkpoint_every=2", "train.max_rays=64"))
    run, method = trained(folder, scene, config, NAME)
    assert method.device == device
    with reseeded_everywhere():
        _, on_cpu = trained(folder, scene, config, "cpu")
    state, expected = method.state_dict(), on_cpu.state_dict()
    for name, value in expected.items():
        if value.is_floating_point():
            off = (value - state[name].cpu()).abs().max() if value.numel() else 0.0
            assert off < 5e-3, f"{name} differs by {off}"
    assert json.loads((run.folder / "status.json").read_text())["device"] == NAME
    # the last steps again, from a checkpoint
    last = max(run.checkpoints.glob("step_*"))
    for file in last.iterdir():
        file.unlink()
    last.rmdir()
    again = pipeline.fit(run, scene, QUIET).state_dict()
    assert all(torch.equal(again[name].cpu(), value.cpu()) for name, value in state.items())
    # the same checkpoint on the CPU, and going on there
    there = open_run(run.folder)
    assert all(torch.equal(value, state[name].cpu()) for name, value in pipeline.load_method(there, QUIET).state_dict().items())
    longer = replace(there, config=with_overrides(there.config, ("train.steps=8",)))
    assert pipeline.fit(longer, scene, QUIET).device == CPU
    view = scene.split("test")[0].camera
    here, moved = (render_view(m, view, scene.scene_from_world) for m in (pipeline.load_method(there, QUIET), method))
    assert here.rgb.shape == moved.rgb.shape
    # results, on the device
    method = pipeline.load_method(open_run(run.folder, NAME), QUIET)
    assert np.abs(render_view(method, view, scene.scene_from_world).rgb - here.rgb).max() < 2e-3
    results = pipeline.evaluate(run, method, scene, GroundTruth(), QUIET)
    expected = pipeline.evaluate(there, pipeline.load_method(there, QUIET), scene, GroundTruth(), QUIET)
    assert results.images is not None
    assert expected.images is not None
    assert abs(results.images.psnr - expected.images.psnr) < 0.05
    report = export_mesh(run, method, replace(config.export, resolution=24, texture_size=64), QUIET, scene.split("train"))
    assert report.faces > 100
    assert (run.exports / "mesh.glb").is_file()


def check_swap(device: torch.device, folder: Path) -> None:
    from recon.results.swap import SwapOptions, swap

    scene = tiny.tiny_scene()
    config = configured("volsdf", "hashgrid", "fast", ("train.steps=2", "train.max_rays=32"))
    runs = [trained(folder / str(i), scene, replace(config, seed=i), NAME)[0] for i in range(2)]
    written = swap(runs[0], runs[1], folder / "swapped", SwapOptions(views=1, size=24), QUIET)
    pictures = [np.asarray(Image.open(written[0]))]
    written = swap(open_run(runs[0].folder), open_run(runs[1].folder), folder / "on_cpu", SwapOptions(views=1, size=24), QUIET)
    assert np.abs(pictures[0].astype(int) - np.asarray(Image.open(written[0]))).max() <= 2


def check_wireframe(device: torch.device, folder: Path) -> None:
    scene = tiny_box.box_scene(4, 24)
    config = configured("nef", "hashgrid", "fast", ())
    run, asked = pipeline.start(scene, "box", config, folder, NAME), []

    def on_edges(points: torch.Tensor) -> torch.Tensor:  # the field that training would give
        assert isinstance(points, PretendTensor)
        asked.append(len(points))
        beyond = points.abs() - from_numpy(tiny_box.HALF / tiny_box.WORLD_FROM_SCENE.scale, device)
        squared = beyond**2
        away = torch.stack([squared.sum(1) - squared[:, k] + beyond[:, k].clamp_min(0.0) ** 2 for k in range(3)]).amin(0)
        return torch.exp(-away / 2e-3)

    make_wireframe(run, on_edges, tiny_box.box_edges(10, 40), scene, QUIET, ("json",), device)
    assert (run.exports / "curves.json").is_file()
    assert sum(asked) > 1000


def check_wireframe_run(device: torch.device, folder: Path) -> None:
    """A wireframe from beginning to end: trained, its curves found on a coarse grid and written; the curves are those of the CPU."""
    scene = tiny_box.box_scene(12, 48)
    settings = ("train.steps=100", "train.max_rays=1024", "train.samples_per_step=8192", "train.occupancy_resolution=32")
    field = ("hashgrid.levels=6", "hashgrid.log2_table_size=14", "hashgrid.finest_resolution=128", "nef.step=0.02")
    config = with_overrides(preset_config("nef", "hashgrid", "fast"), (*settings, *field))
    usual, build.FINE_GRID = build.FINE_GRID, 96
    found = {}
    try:
        for name in (NAME, "cpu"):
            run = pipeline.start(scene, "box", config, folder / name, name)
            with run.writing(), reseeded_everywhere() if name == "cpu" else nothing():
                method = pipeline.fit(run, scene, QUIET)
                assert method.device.type == name
                method.finish(run, scene, QUIET)
            found[name] = load_wireframe(run.exports / "curves.json")
    finally:
        build.FINE_GRID = usual
    here, there = found["cpu"], found[NAME]
    assert len(there.curves) >= 8, f"{len(there.curves)} curves of a box's 12"
    assert len(here.curves) == len(there.curves)
    a, b = (w.samples(0.02)[0] for w in (here, there))
    apart = np.linalg.norm(a[:, None] - b, axis=-1)
    assert max(apart.min(0).max(), apart.min(1).max()) < 5e-3, f"the curves lie {max(apart.min(0).max(), apart.min(1).max())} apart"


def check_fit(device: torch.device, folder: Path) -> None:
    """A picture, with functions placed by k-means."""
    from recon.fit import fit as fits

    x, y = np.meshgrid(np.linspace(0, 6, 24), np.linspace(0, 6, 20))
    picture = folder / "picture.png"
    Image.fromarray(((0.5 + 0.5 * np.stack([np.sin(x), np.cos(y), np.sin(x + y)], -1)) * 255).astype(np.uint8)).save(picture)
    settings = ("steps=6", "batch=128", "checkpoint_every=3")
    config = fits.configure(picture, "neurbf", params=20000, settings=settings)
    psnr = {}
    for name in ("cpu", NAME):
        run = fits.start(picture, config, folder / name, name)
        psnr[name] = fits.fit(run, QUIET)["psnr"]
    assert abs(psnr["cpu"] - psnr[NAME]) < 0.01, psnr


def check_fit_shape(device: torch.device, folder: Path) -> None:
    import trimesh

    from recon.fit import fit as fits

    path = folder / "ball.ply"
    trimesh.creation.icosphere(2).export(path)
    config = fits.configure(path, "hashgrid", params=20000, settings=("steps=4", "batch=256", "pool=2000", "resolution=24"))
    run = fits.start(path, config, folder, NAME)
    field = fits.field_of(run)
    draw = fits._prepare(run, field, fits.read_signal(run), None, QUIET)
    fits.optimise(run, field, draw, None, QUIET, time.perf_counter())
    assert next(field.parameters()).device == device


def check_query(device: torch.device, folder: Path) -> None:
    from recon.results.query import load_run

    scene = tiny.tiny_scene()
    run, _ = trained(folder, scene, configured("radiance", "hashgrid", "fast", ("train.steps=2", "train.max_rays=32")), NAME)
    points = tiny.CENTER + np.random.default_rng(0).uniform(-1, 1, (20, 3))
    here, there = (load_run(run.folder, name).query(points, gradient=True) for name in ("cpu", NAME))
    assert np.allclose(here.values, there.values, rtol=1e-5)
    assert here.gradient is not None
    assert there.gradient is not None
    assert np.allclose(here.gradient, there.gradient, rtol=1e-4, atol=1e-6)


def check_painting(device: torch.device, folder: Path) -> None:
    from recon.geometry import Similarity
    from viewer.painter import Crop, Look, Order, Painter, window_camera

    method = build_method(configured("volsdf", "hashgrid", "fast", ()), "alpha", 8)
    order = Order(
        window_camera(np.array([0.0, 0.0, -3.0]), np.array([1.0, 0.0, 0.0, 0.0]), 0.8, 16, 12), Look(crop=Crop((-1, -1, -0.5), (1, 1, 1)))
    )
    frames = []
    for where in (CPU, device):
        painter = Painter(Similarity(), None, None)
        painter.method = method.to(where)
        painting = painter.paint(order, 16, 12, 64, "full")
        try:
            while True:
                next(painting)
        except StopIteration as done:
            frames.append(done.value)
    assert np.abs(frames[0].image.astype(int) - frames[1].image).max() <= 1
    assert np.allclose(frames[0].depth_z, frames[1].depth_z, rtol=1e-3)


def check_depth(device: torch.device, folder: Path) -> None:
    """Stereo of a run's photographs: the depth maps are on the CPU and its own, and the views were compared on the device."""
    from recon.stereo import match
    from tests.recon.stereo.test_depth import BALL, CENTER, eye_at, ring, scene_of
    from tests.stereo_scenes import Plane, shoot

    wall = Plane(CENTER + np.array([0.0, 0.0, 1.4]), np.array([0.0, 0.0, -1.0]))
    shots = [shoot(eye_at(direction, 48, 55.0), [BALL, wall], 0.4) for direction in ring(5, 50.0)]
    scene, asked, usual = scene_of(shots), [], match.kernels.patch_match

    def watched(view: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(view.grey.device)
        return usual(view, *arguments, **options)

    config = replace(RunConfig().stereo, pixels=5 * 48 * 48)
    match.kernels.patch_match = watched
    try:
        (here, _), (there, _) = (find_maps(scene, config, 3, QUIET, where) for where in (CPU, device))
    finally:
        match.kernels.patch_match = usual
    assert Counter(asked) == {CPU: 15, device: 15}, asked
    for a, b in zip(here, there, strict=True):
        for name in ("depth", "normal", "confidence", "angle", "count"):
            assert torch.equal(getattr(a, name), getattr(b, name)), name
    assert float((here[0].depth > 0).float().mean()) > 0.1


def check_rules(device: torch.device, folder: Path) -> None:
    """The pretend device itself refuses what CUDA refuses, and counts."""
    x = torch.ones(3, device=device)

    def refuses(act: Callable[[], object], words: str) -> None:
        said = "nothing"
        try:
            act()
        except (RuntimeError, TypeError, NotImplementedError) as error:
            said = str(error)
        assert words in said, f"{words!r} is not in {said!r}"

    refuses(lambda: x + torch.ones(3), "same device")
    refuses(lambda: torch.cat([x, torch.ones(3)]), "same device")
    refuses(lambda: x.numpy(), "convert")
    refuses(lambda: torch.rand(3, generator=torch.Generator(), device=device), "generator")
    refuses(lambda: torch.histogram(x, 4), "CUDA")
    assert (x * torch.tensor(2.0)).tolist() == [2.0, 2.0, 2.0]
    assert to_numpy(x).tolist() == [1.0, 1.0, 1.0]
    with watch() as seen:
        mask = x > 0.5
        float(x.sum())
        x[mask]
        mask.nonzero()
        x.repeat_interleave(torch.ones(3, dtype=torch.int64, device=device))
        torch.zeros(2)
    assert sorted(kind for kind, _ in seen.syncs.elements()) == ["boolean index", "item", "nonzero", "repeat_interleave"], seen.table()
    assert seen.total("cpu") == 1
    numbers = [torch.rand(4, generator=generator_of(where, 3), device=where).tolist() for where in (CPU, device)]
    assert numbers[0] == numbers[1]


WHOLE: dict[str, Callable[[torch.device, Path], None]] = {
    "rules": check_rules,
    "reconstruction, resumed and moved": check_run,
    "swap": check_swap,
    "wireframe": check_wireframe,
    "wireframe, from beginning to end": check_wireframe_run,
    "fit of a picture": check_fit,
    "fit of a shape": check_fit_shape,
    "depth": check_depth,
    "query": check_query,
    "painting": check_painting,
}
NAMES = (*WHOLE, *STEPS, *SYNCS)


def run_check(name: str, device: torch.device) -> None:
    if name in STEPS:
        check_step(name, device)
    elif name in SYNCS:
        check_syncs(name, device)
    else:
        with tempfile.TemporaryDirectory() as folder:
            WHOLE[name](device, Path(folder))


def main(names: tuple[str, ...]) -> None:
    torch.set_num_threads(1)
    volsdf_samples.walks = lambda *_: False  # on the CPU, too, what a GPU does: the two find different samples
    device = install()
    from tests.pretend.kernels import install as install_kernels

    install_kernels()
    assert choose("cpu").device == CPU
    for name in names or NAMES:
        began = time.process_time()
        try:
            run_check(name, device)
            outcome = "ok"
        except Exception:
            outcome = traceback.format_exc()
        print(json.dumps({"name": name, "outcome": outcome, "seconds": round(time.process_time() - began, 2)}), flush=True)


if __name__ == "__main__":
    main(tuple(sys.argv[1:]))
