"""How near a rendered picture is to a photograph. Pictures are sRGB in [0, 1], [H, W, C]; figures are computed in float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from skimage.metrics import structural_similarity

from recon.errors import UsageError

PROTOCOL = {
    "psnr": "10 log10(1 / MSE), MSE over all pixels and channels of one image, sRGB in [0, 1]; mean over images",
    "ssim": "Wang et al. 2004: Gaussian window 11x11, sigma 1.5, K1 0.01, K2 0.03, per channel, mean over the pixels whose window fits",
    "psnr_masked": "MSE over the pixels of the mask only",
    "ssim_masked": "mean of the same SSIM map over the pixels of the mask whose window fits",
}
_RADIUS = 5
"""Of SSIM's window, pixels: 3.5 sigma."""


@dataclass(frozen=True)
class ImageMetrics:
    """One picture's figures; see ``PROTOCOL``. Masked figures are NaN without a mask, or if it is empty."""

    psnr: float
    ssim: float
    psnr_masked: float
    ssim_masked: float


def psnr(rendered: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Peak signal-to-noise ratio in dB; inf for equal pictures.

    Args:
        rendered, truth: [H, W, C] in [0, 1]
        mask: Pixels that count, [H, W] bool; None: all. NaN if it is empty.
    """
    _check_shapes(rendered, truth, mask)
    squared = (_as_float(rendered) - _as_float(truth)) ** 2
    if mask is not None:
        squared = squared[mask]
    if squared.size == 0:
        return float("nan")
    error = float(squared.mean())
    return float("inf") if error == 0 else -10 * float(np.log10(error))


def ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Structural similarity at every pixel whose 11x11 window fits, mean over channels. [H, W, C] -> [H - 10, W - 10]

    Raises:
        UsageError: If a side is shorter than 11 pixels, or the shapes differ.
    """
    _check_shapes(a, b, None)
    if min(a.shape[:2]) < 2 * _RADIUS + 1:
        raise UsageError(f"SSIM needs pictures of at least 11x11 pixels, not {a.shape[1]}x{a.shape[0]}", "evaluate at a higher resolution")
    found = structural_similarity(
        _as_float(a),
        _as_float(b),
        data_range=1.0,
        channel_axis=2,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    values = np.asarray(found[1])
    return values[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS].mean(2)


def ssim(rendered: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of :func:`ssim_map`, over the mask [H, W] bool if there is one; NaN if no pixel counts."""
    values = ssim_map(rendered, truth)
    _check_shapes(rendered, truth, mask)
    if mask is not None:
        values = values[mask[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]]
    return float(values.mean()) if values.size else float("nan")


def image_metrics(rendered: np.ndarray, truth: np.ndarray, mask: np.ndarray | None = None) -> ImageMetrics:
    """All figures of one picture."""
    missing = float("nan")
    values = ssim_map(rendered, truth)
    inner = None if mask is None else values[mask[_RADIUS:-_RADIUS, _RADIUS:-_RADIUS]]
    return ImageMetrics(
        psnr=psnr(rendered, truth),
        ssim=float(values.mean()),
        psnr_masked=missing if mask is None else psnr(rendered, truth, mask),
        ssim_masked=missing if inner is None or inner.size == 0 else float(inner.mean()),
    )


def _as_float(image: np.ndarray) -> np.ndarray:
    if image.dtype == np.uint8:
        return image / 255.0
    return image.astype(np.float64)


def _check_shapes(a: np.ndarray, b: np.ndarray, mask: np.ndarray | None) -> None:
    if a.ndim != 3 or a.shape != b.shape or (mask is not None and mask.shape != a.shape[:2]):
        sizes = [x.shape for x in (a, b, mask) if x is not None]
        raise UsageError(f"pictures (and mask) of different shapes cannot be compared: {sizes}", "render at the size of the photograph")
