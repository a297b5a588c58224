"""`recon fit`, readable top to bottom: read the signal, choose sizes, place functions, optimise, evaluate."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from recon.checkpoint import Checkpoint, load_checkpoint
from recon.config.files import with_overrides
from recon.config.values import FieldName
from recon.console import Reporter, duration
from recon.errors import DataError, UsageError
from recon.evaluation.report import to_plain
from recon.fields.base import Field, FieldModule
from recon.fields.make import sized
from recon.fit import image, shape
from recon.fit.build import build_field, stored_numbers, trained_numbers, use_of
from recon.fit.config import FitConfig, SignalName, fit_preset
from recon.fit.loop import Draw, optimise
from recon.fit.raster import SUFFIXES, Raster, read_raster
from recon.fit.run import FitRun, create_fit
from recon.fit.truth import Shape, read_shape

SHAPE_SUFFIXES = (".obj", ".ply", ".stl", ".glb", ".off")


def signal_of(source: Path) -> SignalName:
    """What kind of signal a file holds, by its name.

    Raises:
        UsageError: If it is neither a picture nor a mesh.
    """
    suffix = source.suffix.lower()
    if suffix in SUFFIXES:
        return "image"
    if suffix in SHAPE_SUFFIXES:
        return "sdf"
    raise UsageError(f"{source}: neither a picture nor a mesh", f"known endings: {', '.join([*SUFFIXES, *SHAPE_SUFFIXES])}")


def configure(
    source: Path, field: FieldName, *, params: int | None = None, crop: int | None = None, seed: int = 0, settings: Sequence[str] = ()
) -> FitConfig:
    """The preset for a file and a field, with a budget and single settings; sizes are chosen later, by :func:`start`.

    Args:
        source: Picture, mesh or points.
        field: Which field.
        params: Budget of trained numbers; None: the preset's.
        crop: Pictures: the square of this many pixels in the middle.
        seed: Everything random follows from it.
        settings: ``name=value``, names with dots: ``steps=500``, ``neurbf.kernel=gauss``.
    Raises:
        UsageError: For a setting that does not exist or does not fit.
    """
    signal = signal_of(source)
    config = replace(fit_preset(signal, field, source.suffix.lower() == ".exr"), seed=seed, crop=crop)
    if crop is not None and signal != "image":
        raise UsageError("--crop is for pictures")
    if params is not None:
        config = replace(config, params=params)
    return with_overrides(config, settings)


def start(source: Path, config: FitConfig, out: Path, device: str = "cpu") -> FitRun:
    """Read the signal, choose the field's sizes for the budget and make the run's folder; it is to be computed on a device."""
    if config.signal == "image":
        raster = read_raster(source, config.crop)
        use = use_of(config, raster.channels, raster.width, raster.height)
        config = sized(config, config.params, use, max(raster.width, raster.height) // 2)
        facts = {"width": raster.width, "height": raster.height, "channels": raster.channels, "hdr": raster.hdr}
        return create_fit(out, source, config, facts, device)
    found = read_shape(source)
    return create_fit(out, source, sized(config, config.params, use_of(config)), found.facts(), device)


def field_of(run: FitRun) -> FieldModule:
    """The run's field, freshly initialised, on its device."""
    picture = (run.signal["channels"], run.signal["width"], run.signal["height"]) if run.config.signal == "image" else ()
    return build_field(run.config, use_of(run.config, *picture)).to(torch.device(run.device))


def fit(run: FitRun, reporter: Reporter) -> dict[str, Any]:
    """Fit (or go on fitting) a run, then evaluate it.

    Returns:
        The contents of ``eval/results.json``.
    """
    with run.writing(), run.ending():
        return _fit(run, reporter)


def _fit(run: FitRun, reporter: Reporter) -> dict[str, Any]:
    field, resumed = field_of(run), None
    if any(run.checkpoints.glob("step_????????")):
        resumed = _load(run, field, reporter)
        reporter.say(f"going on from step {resumed.step}")
    run.forget_metrics(after=resumed.step if resumed else 0)
    run.set_status("running", resumed.step if resumed else 0)
    signal = read_signal(run)
    started = time.perf_counter()
    draw = _prepare(run, field, signal, resumed, reporter)
    reporter.say(f"{run.config.field}: {trained_numbers(field)} trained numbers, {stored_numbers(field)} stored")
    optimise(run, field, draw, resumed, reporter, started)
    results = evaluate(run, reporter)
    run.set_status("done", run.config.steps)
    return results


def evaluate(run: FitRun, reporter: Reporter) -> dict[str, Any]:
    """Load a run's newest checkpoint, write its results and pictures anew, and return the figures."""
    field, signal = field_of(run), read_signal(run)
    checkpoint = _load(run, field, reporter)
    results: dict[str, Any] = {
        "run": run.folder.name,
        "source": run.signal["source"],
        "signal": run.config.signal,
        "field": run.config.field,
        "trained_numbers": trained_numbers(field),
        "stored_numbers": stored_numbers(field),
        "steps": checkpoint.step,
        "training_seconds": checkpoint.trainer["seconds"],
    }
    if isinstance(signal, Raster):
        results.update(image.evaluate(run, field, signal.to(torch.device(run.device)), reporter))
    else:
        results.update(shape.evaluate(run, field, signal, reporter))
    results = to_plain(results)
    run.write_results(results)
    return results


def read_signal(run: FitRun) -> Raster | Shape:
    """The picture or shape of a run.

    Raises:
        DataError: If it is not what the run was started with.
    """
    if run.config.signal == "image":
        raster = read_raster(run.source, run.config.crop)
        now = {"width": raster.width, "height": raster.height, "channels": raster.channels, "hdr": raster.hdr}
    else:
        raster = read_shape(run.source)
        now = raster.facts()
    changed = [k for k, v in now.items() if run.signal.get(k) != v]
    if changed:
        raise DataError(f"{run.source}: it changed since {run.folder} was started ({', '.join(changed)})", hint="start a new fit")
    return raster


def loaded_field(run: FitRun, reporter: Reporter) -> FieldModule:
    """The field of a run's newest whole checkpoint."""
    field = field_of(run)
    _load(run, field, reporter)
    return field


def _load(run: FitRun, field: FieldModule, reporter: Reporter) -> Checkpoint:
    checkpoint, skipped = load_checkpoint(run.checkpoints, ("seconds",))
    for line in skipped:
        reporter.warn(f"skipped checkpoint {line}")
    field.load_state_dict(checkpoint.model)
    return checkpoint


def _prepare(run: FitRun, field: Field, signal: Raster | Shape, resumed: Checkpoint | None, reporter: Reporter) -> Draw:
    """Place the functions of a new field that has some, and make what steps draw from."""
    config, device = run.config, torch.device(run.device)
    if isinstance(signal, Raster):
        signal = signal.to(device)
        if field.functions and resumed is None:
            began = time.perf_counter()
            image.place_functions(field, signal, config)
            reporter.say(f"{field.functions} functions placed in {duration(time.perf_counter() - began)}")
        return image.sampler(signal, image.cached_neighbors(field, signal), config)
    pool = shape.make_pool(signal, config, reporter, device)
    if field.functions and resumed is None:
        shape.place_functions(field, pool, config)
    return shape.sampler(pool, shape.cached_neighbors(field, pool), config)


def summary_lines(results: dict[str, Any]) -> list[str]:
    """The figures that matter, for the terminal."""
    size = f"{results['trained_numbers']} trained numbers ({results['stored_numbers']} stored)"
    lines = [f"{results['field']}: {size}, {results['steps']} steps, {duration(results['training_seconds'])}"]
    return lines + (image_lines(results) if results["signal"] == "image" else shape.lines(results))


def image_lines(results: dict[str, Any]) -> list[str]:
    """A fitted picture's figures."""
    psnr = results["psnr"]
    ssim = "" if results["ssim"] is None else f", SSIM {results['ssim']:.4f}"
    return [f"PSNR {psnr if isinstance(psnr, str) else format(psnr, '.2f')} dB{ssim}"]
