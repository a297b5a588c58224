"""Fitting a field to a picture: samples, placing of radial functions, evaluation and what is written."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from recon.console import Reporter
from recon.device import generator_of, to_numpy
from recon.evaluation.images import ssim
from recon.fields.base import Field
from recon.fit import pictures
from recon.fit.config import FitConfig
from recon.fit.loop import Batch, Draw, stratified
from recon.fit.raster import Raster, detail, shown, write_raster
from recon.fit.run import FitRun
from recon.system.files import write_picture

CANDIDATES = 2**22
"""Pixels that k-means looks at; of larger pictures a random part."""
CACHE_BYTES = 2**29
"""Neighbours of all pixels are kept if they take less than this; else each step searches its own."""
CHUNK = 2**17
"""Pixels evaluated at one time."""
SSIM_PIXELS = 2**24
"""Larger pictures are evaluated without SSIM, which takes about 200 bytes a pixel."""


def place_functions(field: Field, raster: Raster, config: FitConfig) -> tuple[float, ...]:
    """Put a NeuRBF's functions where the picture has detail. Widths: a hundredth of half a pixel to a twentieth of the longer side.

    Returns:
        The clustering's objective over its iterations.
    """
    device = raster.pixels.device
    generator = generator_of(device, config.seed + 1)
    count = raster.pixels.shape[0]
    if count <= CANDIDATES:
        ids = torch.arange(count, device=device)
    else:  # one random pixel of each of equally long stretches
        length = count / CANDIDATES
        moved = torch.rand(CANDIDATES, generator=generator, dtype=torch.float64, device=device)
        ids = ((torch.arange(CANDIDATES, device=device) + moved) * length).long().clamp_max(count - 1)
    weights = torch.cat([detail(raster, part) for part in ids.split(2**20)])
    mean = float(weights.mean())
    weights = weights + (1e-3 * mean if mean > 0 else 1.0)  # so that flat pictures have candidates too
    pixel = 2.0 / max(raster.width, raster.height)
    return field.place(raster.points(ids), weights, generator, least_width=pixel / 200.0, most_width=0.2)


def cached_neighbors(field: Field, raster: Raster) -> Tensor | None:
    """Neighbours of every pixel, if they fit into :data:`CACHE_BYTES`. int32 [H * W, K]"""
    count = raster.pixels.shape[0]
    if field.functions == 0 or count * 4 * field.neighbors > CACHE_BYTES:
        return None
    found = (field.find_neighbors(raster.points(ids)) for ids in torch.arange(count, device=raster.pixels.device).split(2**20))
    return torch.cat([part for part in found if part is not None])


def sampler(raster: Raster, neighbors: Tensor | None, config: FitConfig) -> Draw:
    """Stratified batches along the rows of pixels; an epoch takes every pixel once."""
    ids_of = stratified(raster.pixels.shape[0], config.batch, config.seed, raster.pixels.device)

    def draw(step: int) -> Batch:
        ids = ids_of(step)
        return Batch(raster.points(ids), raster.colors(ids), None if neighbors is None else torch.index_select(neighbors, 0, ids))

    return draw


def _pieces(raster: Raster, size: int) -> Iterator[Tensor]:
    """Numbers of consecutive pixels. int64 [at most size]"""
    count, device = raster.pixels.shape[0], raster.pixels.device
    return (torch.arange(start, min(start + size, count), device=device) for start in range(0, count, size))


@torch.no_grad()
def render(field: Field, raster: Raster, progress: Callable[[float], None]) -> np.ndarray:
    """The fitted picture at all pixel centres, in the type of the original (uint8 is rounded). [H, W, C]"""
    count, done = raster.pixels.shape[0], 0
    out = torch.empty_like(raster.pixels)
    for ids in _pieces(raster, CHUNK):
        values = field.values(raster.points(ids))
        if out.dtype == torch.uint8:
            values = (values.clamp(0.0, 1.0) * 255.0).round()
        out[ids] = values.to(out.dtype)
        done += len(ids)
        progress(done / count)
    return to_numpy(out.reshape(raster.height, raster.width, -1))


@torch.no_grad()
def squared_error(field: Field, raster: Raster) -> tuple[float, np.ndarray]:
    """Mean squared error of the unrounded values, clipped to [0, 1] unless HDR, and each pixel's mean absolute error [H, W] float32."""
    total, errors = 0.0, torch.empty(raster.pixels.shape[0], device=raster.pixels.device)
    for ids in _pieces(raster, CHUNK):
        values = field.values(raster.points(ids))
        difference = (values if raster.hdr else values.clamp(0.0, 1.0)) - raster.colors(ids)
        total += float(difference.double().square().sum())
        errors[ids] = difference.abs().mean(1)
    return total / raster.pixels.numel(), to_numpy(errors.reshape(raster.height, raster.width))


def evaluate(run: FitRun, field: Field, raster: Raster, reporter: Reporter) -> dict[str, Any]:
    """Figures of a fitted picture, and its files: ``fitted.png`` or ``.exr``, ``error.png``, ``crops.png``, ``psnr.png``."""
    began = time.perf_counter()
    fitted = render(field, raster, lambda share: reporter.progress("render", share, f"{share:.0%} of the pixels"))
    seconds = time.perf_counter() - began
    mse, errors = squared_error(field, raster)
    psnr = -10.0 * math.log10(mse) if mse > 0 else math.inf
    original = raster.array()
    small = raster.pixels.shape[0] <= SSIM_PIXELS
    results: dict[str, Any] = {
        "psnr": psnr,
        "psnr_8bit": _psnr_8bit(fitted, original) if original.dtype == np.uint8 else None,
        "ssim": ssim(fitted / 255.0, original / 255.0) if small and original.dtype == np.uint8 else None,
        "seconds_to_render": seconds,
        "protocol": {
            "psnr": "10 log10(1 / MSE) at the pixels that were fitted, all channels, "
            + ("linear values as they are" if raster.hdr else "sRGB in [0, 1], clipped, not rounded"),
            "psnr_8bit": "the same from the rounded picture that is written",
            "ssim": "Wang et al. 2004, Gaussian window 11x11, from the rounded picture",
        },
    }
    if raster.hdr:
        a, b = (shown(x, True).astype(np.float32) / 255.0 for x in (fitted, original))
        results["psnr_shown"] = -10.0 * math.log10(max(float(((a - b) ** 2).mean()), 1e-12))
        results["protocol"]["psnr_shown"] = "both clipped at 1, encoded as sRGB with 8 bits"
    write_raster(run.folder / "fitted", fitted, raster.hdr)
    write_picture(run.folder / "error.png", Image.fromarray(pictures.heat(errors, 0.05)))
    crops = pictures.zoom_crops(original, fitted, errors, lambda x: shown(x, raster.hdr))
    write_picture(run.folder / "crops.png", Image.fromarray(crops))
    rows = [r for r in run.metrics() if "psnr" in r]
    write_picture(run.folder / "psnr.png", pictures.plot([r["seconds"] for r in rows], [r["psnr"] for r in rows], "seconds", "PSNR, dB"))
    return results


def _psnr_8bit(a: np.ndarray, b: np.ndarray) -> float:
    total = sum(float(((x.astype(np.int32) - y) ** 2).sum()) for x, y in zip(a, b, strict=True))  # row by row: no copy of the picture
    return -10.0 * math.log10(total / a.size / 255.0**2) if total > 0 else math.inf
