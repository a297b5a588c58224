"""PSNR and SSIM against closed forms and scikit-image."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from recon.errors import UsageError
from recon.evaluation.images import PROTOCOL, image_metrics, psnr, ssim, ssim_map
from recon.evaluation.report import mean, to_plain

RNG = np.random.default_rng(0)
A = RNG.random((40, 53, 3))
B = np.clip(A + 0.1 * RNG.standard_normal(A.shape), 0, 1)


@pytest.mark.parametrize("offset", [0.5, 0.1, 0.001])
def test_psnr_of_a_constant_error(offset):
    assert psnr(np.full((20, 20, 3), 0.3), np.full((20, 20, 3), 0.3 + offset)) == pytest.approx(-20 * math.log10(offset))


def test_equal_pictures():
    metrics = image_metrics(A, A)
    assert metrics.psnr == math.inf
    assert metrics.ssim == pytest.approx(1.0)
    assert math.isnan(metrics.psnr_masked)


@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_scikit_images(channels):
    a, b = A[..., :channels], B[..., :channels]
    expected = structural_similarity(a, b, data_range=1.0, channel_axis=2, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-12)
    assert ssim(a, b) == pytest.approx(ssim(b, a))


@pytest.mark.parametrize(("low", "high"), [(0.2, 0.7), (0.0, 1.0)])
def test_ssim_in_closed_form(low, high):
    """Even pictures have their means alone; a picture and its negative about one half have the covariance turned round."""
    even = [np.full((20, 20, 3), v) for v in (low, high)]
    c1, c2 = 0.01**2, 0.03**2
    assert ssim(*even) == pytest.approx((2 * low * high + c1) / (low**2 + high**2 + c1), rel=1e-9)
    # Columns in turns of two values: of a window with weights w the mean and the variance follow from the weight of the even columns.
    w = np.exp(-0.5 * (np.arange(-5, 6) / 1.5) ** 2)
    share = w[::2].sum() / w.sum()
    board = np.tile(np.array([low, high])[np.arange(21) % 2], (21, 1))[..., None]
    found = ssim_map(board, 1.0 - board)[0, 0]
    # At column 5, the first whose window fits, the window's even places (0, 2, ...) hold the low value.
    mean, variance = share * low + (1 - share) * high, share * (1 - share) * (high - low) ** 2
    other = 1.0 - mean
    wanted = (2 * mean * other + c1) * (-2 * variance + c2) / ((mean**2 + other**2 + c1) * (2 * variance + c2))
    assert found == pytest.approx(wanted, rel=1e-6)


def test_bytes_and_floats_agree():
    a, b = (np.rint(x * 255).astype(np.uint8) for x in (A, B))
    assert psnr(a, b) == pytest.approx(psnr(a / 255, b / 255))
    assert ssim(a, b) == pytest.approx(ssim(a / 255, b / 255))


def test_masks_look_only_inside():
    mask = np.zeros(A.shape[:2], bool)
    mask[15:30, 20:40] = True
    spoiled = B.copy()
    spoiled[:4] = 0  # far enough from the mask for no window of it to reach
    assert psnr(spoiled, A, mask) == psnr(B, A, mask)
    assert psnr(spoiled, A) < psnr(B, A)
    assert ssim(spoiled, A, mask) == pytest.approx(ssim(B, A, mask))
    assert ssim(B, A, mask) == pytest.approx(ssim_map(B, A)[10:25, 15:35].mean())
    metrics = image_metrics(B, A, mask)
    assert metrics.psnr_masked == psnr(B, A, mask)
    assert metrics.ssim_masked == pytest.approx(ssim(B, A, mask))
    nothing = image_metrics(B, A, np.zeros_like(mask))
    assert math.isnan(nothing.psnr_masked)
    assert math.isnan(nothing.ssim_masked)
    assert set(metrics.__dict__) == set(PROTOCOL)


@pytest.mark.parametrize(("a", "b"), [(A, B[:-1]), (A[..., 0], B[..., 0]), (A[:5], B[:5])])
def test_errors(a, b):
    with pytest.raises(UsageError):
        image_metrics(a, b)


def test_plain_values_are_strict_json():
    value = {"a": math.inf, "b": [-math.inf, math.nan, np.float32(0.5)], "c": (np.int64(3), True, None, "x"), "d": np.eye(2)}
    text = json.dumps(to_plain(value), allow_nan=False)
    assert json.loads(text) == {"a": "inf", "b": ["-inf", None, 0.5], "c": [3, True, None, "x"], "d": [[1, 0], [0, 1]]}
    with pytest.raises(TypeError):
        to_plain({"a": object()})


def test_means_leave_nothing_out():
    assert mean([1.0, 3.0]) == 2
    assert mean([1.0, math.inf]) == math.inf
    assert math.isnan(mean([]))
