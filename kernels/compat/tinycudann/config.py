"""Reading of the configuration dictionaries: values with defaults, checked, with errors that name the option."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from ..errors import CompatError as CompatError
from ..errors import unsupported as unsupported

T = TypeVar("T")
Config = Mapping[str, Any]


def mapping(what: str, config: object) -> Config:
    """The configuration itself, or an error where it is no dictionary. Anything with ``items`` and ``get`` will do."""
    if isinstance(config, Mapping):
        return config
    if hasattr(config, "items") and hasattr(config, "get"):
        return dict(config.items())  # type: ignore[attr-defined]
    raise CompatError(f"{what} must be a dictionary, not {type(config).__name__}")


def integer(where: str, config: Config, key: str, default: int, low: int, high: int = 1 << 31) -> int:
    """An integer in [low, high]. A float without a fraction is one."""
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or int(value) != value:
        raise CompatError(f"{where}.{key} must be an integer, not {value!r}")
    if not low <= value <= high:
        raise CompatError(f"{where}.{key} must be {low} to {high}, not {value}")
    return int(value)


def number(where: str, config: Config, key: str, default: float) -> float:
    """A finite number."""
    value = config.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise CompatError(f"{where}.{key} must be a finite number, not {value!r}")
    return float(value)


def choice(where: str, config: Config, key: str, default: str, options: Sequence[str]) -> str:
    """One of ``options``, whatever its case."""
    value = config.get(key, default)
    for option in options:
        if isinstance(value, str) and value.lower() == option.lower():
            return option
    raise unsupported(f"{where}.{key}", value, options)


def switched_off(where: str, config: Config, *keys: str) -> None:
    """Options that must not be on."""
    for key in keys:
        if config.get(key, False):
            raise unsupported(f"{where}.{key}", config[key], [False])
