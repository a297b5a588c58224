"""What values a setting may have, by its name: whatever lies outside is an error before anything is made, not a failure in the middle."""

from __future__ import annotations

import math
from typing import Any

MANY = 2**31 - 1
_SHARE, _WEIGHT, _LENGTH, _COUNT = (0.0, 1.0), (0.0, 1e9), (1e-9, 1e3), (1, MANY)

RANGES: dict[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1),
    # data
    "downscale": (1e-3, 1e4), "max_size": (1, 10**6), "usual_size": (1, 10**6), "holdout": (0, 10**6), "DataConfig.scale": (1e-12, 1e12),
    "DataConfig.views": (1, 10**4), "arc": (1e-3, 360.0), "exposure": (0.0, 10.0), "noise": (0.0, 1.0),
    # depth first
    "StereoConfig.pixels": (10**4, 10**9), "StereoConfig.weight": _WEIGHT,
    # fields
    "levels": (1, 32), "features": (1, 256), "grid_features": (1, 16), "log2_table_size": (2, 28), "base_resolution": (1, 2**16),
    "finest_resolution": (1, 2**16), "hidden": (1, 4096), "functions": (1, 10**8), "neighbors": (1, 64), "neurons": (1, 4096),
    "feature_lr_factor": _WEIGHT, "neuron_lr_factor": _WEIGHT, "grid_init": _WEIGHT, "least_spread": _LENGTH, "warmup_steps": (0, MANY),
    "width": (1, 4096), "depth": (1, 64), "skip": (0, 64), "MLPConfig.frequencies": (0, 32),
    # methods
    "samples": (1, 4096), "first_step": _LENGTH, "step": _LENGTH, "epsilon": _LENGTH, "rounds": (0, 100), "color_levels": (1, 32),
    "color_log2_table_size": (2, 28), "color_base_resolution": (1, 2**16), "color_finest_resolution": (1, 2**16), "shell_radius": _LENGTH,
    "beta_init": _LENGTH, "beta_floor": _LENGTH, "beta_min": _LENGTH, "hull_beta_init": _LENGTH, "hull_beta_floor": _LENGTH,
    "hull_beta_ceiling": _LENGTH, "eikonal_weight": _WEIGHT, "curvature_weight": _WEIGHT, "curvature_step": _LENGTH,
    "curvature_points": _SHARE, "free_space_weight": _WEIGHT, "background_preference": _WEIGHT, "squared_weight": _WEIGHT,
    "init_radius": (1e-3, 1.0), "levels_init": _SHARE, "coarse_until": (1e-6, 1.0), "beta_lr_factor": _WEIGHT, "uniform_points": _SHARE,
    "map_size": (8, 2**15), "importance": _SHARE, "coarse_samples": (2, 4096), "fine_samples": (1, 4096), "occupancy_from": (0, MANY),
    "consistency_weight": _WEIGHT, "agreement_weight": _WEIGHT, "sparsity_weight": _WEIGHT,
    # training
    "steps": _COUNT, "samples_per_step": _COUNT, "max_rays": (1, 2**24), "batch": (1, 2**24), "lr": (1e-300, 1e300), "lr_final": (0.0, 1e6),
    "decay_from": _SHARE, "occupancy_resolution": (8, 1024), "occupancy_every": _COUNT, "checkpoint_every": _COUNT,
    "checkpoint_seconds": (0.0, 1e9), "keep_checkpoints": (1, MANY), "log_every": _COUNT, "lr_halvings": _SHARE, "beta2": (0.0, 1.0 - 1e-9),
    "eps": (1e-300, 1.0), "normal_weight": _WEIGHT, "pool": (1, 10**9),
    # results
    "eval_views": (0, MANY), "turn_frames": (1, 10**5), "turn_size": (16, 2**14),
    "ExportConfig.resolution": (8, 2**13), "texture_size": (16, 2**14), "texture_faces": (4, 10**8),
}  # fmt: skip
"""Least and greatest value, of each entry where a setting holds several. A name stands after its class where it means several things."""

POWERS_OF_TWO = ("occupancy_resolution",)


def out_of_range(cls: str, name: str, value: Any) -> str | None:
    """Why a setting cannot have a value, or None.

    Args:
        cls: Name of the configuration's class.
        name: Of the setting.
        value: A number, or several; anything else has no range.
    """
    values = value if isinstance(value, tuple) else (value,)
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    low, high = RANGES.get(f"{cls}.{name}", RANGES.get(name, (-math.inf, math.inf)))
    for number in numbers:
        if not math.isfinite(number):
            return "must be a finite number"
        if not low <= number <= high:
            return f"{number:g} is out of range: {low:g} to {high:g}"
        if name in POWERS_OF_TWO and (number < 1 or int(number) & (int(number) - 1)):
            return f"{number:g} is not a power of two"
    return None
