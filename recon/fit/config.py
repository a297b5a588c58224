"""What a fit is made of. Nothing here imports torch, so that ``--help`` is quick."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from recon.config.values import FieldName, FieldsConfig, HashGridConfig, NeuRBFConfig, RBFNetConfig
from recon.errors import UsageError

SignalName = Literal["image", "sdf"]
LossName = Literal["l1", "l2", "relative_l2", "mape", "scaled_l2"]


@dataclass(frozen=True, kw_only=True)
class FitConfig(FieldsConfig):
    """Everything that decides a fit's result, beside the signal."""

    signal: SignalName = "image"
    """image: colours over the pixels. sdf: signed distance of a shape."""
    field: FieldName = "neurbf"
    params: int = 337_000
    """Budget of trained numbers that the field's sizes below were chosen for."""
    seed: int = 0
    crop: int | None = None
    """Images: fit only the square of this many pixels in the middle."""
    steps: int = 6500
    batch: int = 16384
    """Pixels or points of a step."""
    lr: float = 1e-2
    lr_final: float = 0.01
    """Share of the learning rate left at the end of its cosine decay."""
    loss: LossName = "l2"
    """l2, l1; relative_l2: (p - y)^2 / (p^2 + 0.01), for HDR; mape: |p - y| / (|y| + 0.01); scaled_l2: (p - y)^2 / (|y| + 0.1)."""
    normal_weight: float = 0.0
    """Shapes: weight of the mean distance between the field's gradient and the true normal, at the points on the surface."""
    pool: int = 1_500_000
    """Shapes: points drawn once, with their distances, that steps choose from."""
    checkpoint_every: int = 2000
    """Steps between checkpoints."""
    checkpoint_seconds: float = 120.0
    """And seconds between them at most."""
    log_every: int = 50
    resolution: int = 384
    """Shapes: cells along the longest axis of the extracted mesh."""


def fit_preset(signal: SignalName, field: FieldName, hdr: bool = False) -> FitConfig:
    """Settings of a signal and a field before the sizes are chosen; see ``docs/fields.md`` for where they come from."""
    if signal == "image":
        config = FitConfig(
            signal=signal,
            field=field,
            loss="relative_l2" if hdr else "l2",
            neurbf=NeuRBFConfig(
                features=32,
                neighbors=4,
                shape="full",
                taper=False,
                frequencies=(2.0**-3, 2.0**12),
                trunk_frequencies=(1.0, 100.0),
                levels=2,
                grid_features=2,
                feature_lr_factor=0.5,
            ),
            rbfnet=RBFNetConfig(levels=16),
            hashgrid=HashGridConfig(levels=16, hidden=(64, 64)),
        )
        return replace(config, lr=1e-3) if field == "mlp" else config
    config = FitConfig(
        signal=signal,
        field=field,
        params=856_009,
        steps=5500,
        batch=16384,
        loss="l1",
        normal_weight=0.05,
        lr=5e-3,
        resolution=1024,
        neurbf=NeuRBFConfig(
            features=16,
            neighbors=8,
            kernel="hat",
            taper=False,
            frequencies=(1.0, 8.0),
            trunk_frequencies=(3.0, 30.0),
            levels=16,
            finest_resolution=512,
            interpolation="smoothstep",
        ),
        rbfnet=RBFNetConfig(levels=8, base_resolution=16, finest_resolution=256),
        hashgrid=HashGridConfig(levels=16, finest_resolution=2048, hidden=(64, 64)),
    )
    if field == "rbfnet":
        return replace(config, steps=850, batch=32768, lr=1e-2, pool=1_000_000, resolution=384)
    return replace(config, lr=1e-3) if field == "mlp" else config


def parse_count(text: str) -> int:
    """A number of parameters: ``337k``, ``1.2M``, ``128871``.

    Raises:
        UsageError: If it is none.
    """
    factor = {"k": 1e3, "m": 1e6}.get(text[-1:].lower(), 1.0)
    try:
        value = float(text if factor == 1.0 else text[:-1]) * factor
    except ValueError as error:
        raise UsageError(f"--params {text}: not a number", "for example 337k, 1.2M or 128871") from error
    if not 1000 <= value <= 1e9:
        raise UsageError(f"--params {text}: out of range", "give between 1k and 1000M")
    return round(value)
