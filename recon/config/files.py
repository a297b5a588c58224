"""Configurations as plain YAML, written next to every run and read back strictly: an unknown key or a wrong type is an error, not a silent
default. Nothing here imports torch, so that ``--help`` is quick."""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import yaml

from recon.config.ranges import out_of_range
from recon.config.values import RunConfig
from recon.errors import UsageError
from recon.system.files import write_text_atomically
from recon.system.foreign import reading

T = typing.TypeVar("T")
EDGE_METHOD = "nef"


def to_dict(config: Any) -> dict:
    """Nested plain values; tuples become lists."""

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        return list(value) if isinstance(value, tuple) else value

    return plain(config)


def from_dict(cls: type, data: Any, where: str = "config") -> Any:
    """Build a configuration dataclass from plain values, strictly.

    Raises:
        UsageError: For an unknown key or a value of the wrong type, naming its dotted path and what would fit.
    """
    if not isinstance(data, dict):
        raise UsageError(f"{where}: expected a mapping, found {type(data).__name__}")
    hints = typing.get_type_hints(cls)
    names = [f.name for f in dataclasses.fields(cls)]
    unknown = [k for k in data if k not in names]
    if unknown:
        raise UsageError(f"{where}: unknown key '{unknown[0]}'", f"known keys: {', '.join(names)}")
    values = {k: _checked(hints[k], v, f"{where}.{k}") for k, v in data.items()}
    for name, value in values.items():
        wrong = out_of_range(cls.__name__, name, value)
        if wrong is not None:
            raise UsageError(f"{where}.{name}: {wrong}")
    return cls(**values)


def similar_settings(name: str, data: dict) -> list[str]:
    """Full names of the settings that somebody may have meant by a name that does not exist: "steps" -> "train.steps"."""

    def names(node: dict, before: str) -> Iterator[str]:
        for key, value in node.items():
            if isinstance(value, dict):
                yield from names(value, f"{before}{key}.")
            else:
                yield before + key

    known, last = list(names(data, "")), name.split(".")[-1]

    def ending(word: str) -> list[str]:
        return [k for k in known if k.split(".")[-1] == word]

    close = difflib.get_close_matches(last, {k.split(".")[-1] for k in known}, 3, 0.75)
    return ending(last) or [k for word in close for k in ending(word)] or difflib.get_close_matches(name, known, 3, 0.6)


def no_such_setting(item: str, name: str, data: dict) -> UsageError:
    """The error for ``--set``, with what may have been meant."""
    meant = similar_settings(name, data)
    return UsageError(
        f"--set {item}: there is no '{name}'", f"did you mean {', '.join(meant[:5])}?" if meant else f"known: {', '.join(data)}"
    )


def _checked(hint: Any, value: Any, where: str) -> Any:
    """The value as the annotated type, or a UsageError."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return from_dict(typing.cast(type, hint), value, where)
    if origin is Literal:
        if value in args:
            return value
        raise UsageError(f"{where}: {value!r} is not one of {', '.join(map(repr, args))}")
    if origin in (types.UnionType, typing.Union):
        if value is None and type(None) in args:
            return None
        kinds = [a for a in args if a is not type(None)]
        return _checked(next((a for a in kinds if type(value) is a), kinds[0]), value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise UsageError(f"{where}: expected a list, found {value!r}")
        if args[-1] is not Ellipsis and len(value) != len(args):
            raise UsageError(f"{where}: expected {len(args)} values, found {len(value)}")
        return tuple(_checked(args[0], v, f"{where}[{i}]") for i, v in enumerate(value))
    if hint is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, hint) and not (hint is int and isinstance(value, bool)):
        return value
    raise UsageError(f"{where}: expected {hint.__name__}, found {value!r}")


def with_overrides(config: T, overrides: typing.Sequence[str]) -> T:
    """A configuration (a run's or a fit's) after ``dotted.path=value`` settings; values are read as YAML.

    Raises:
        UsageError: For a malformed setting, an unknown path or a wrong type.
    """
    data = to_dict(config)
    for item in overrides:
        path, equals, text = item.partition("=")
        if not equals:
            raise UsageError(f"--set {item}: expected name=value", "for example --set train.steps=500")
        node, keys = data, path.strip().split(".")
        for key in keys[:-1]:
            if not isinstance(node.get(key), dict):
                raise no_such_setting(item, path.strip(), data)
            node = node[key]
        if keys[-1] not in node:
            raise no_such_setting(item, path.strip(), data)
        if isinstance(node[keys[-1]], dict):
            inside = next(iter(node[keys[-1]]))
            raise UsageError(f"--set {item}: that is a group of settings", f"for example --set {path.strip()}.{inside}=VALUE")
        try:
            value = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            raise UsageError(f"--set {item[:80]}: the value is not YAML ({str(error).splitlines()[0]})") from error
        # YAML 1.1 reads "1e-3" as text; numbers are what is meant wherever a number stands now.
        if isinstance(value, str) and isinstance(node[keys[-1]], (int, float)):
            with contextlib.suppress(ValueError):  # from_dict then says what was expected
                value = float(value)
        # And "on", "off", "yes", "no" as truth values; a word is what is meant wherever a word stands now.
        if isinstance(value, bool) and isinstance(node[keys[-1]], str):
            value = text.strip()
        node[keys[-1]] = value
    return from_dict(type(config), data)


SCHEMA = 3
"""Of the files that are written now. 2: photographs were not compared on the surface. 1: and every surface had VolSDF's density. 0, without
a number: and edge fields did without bad frames whatever their file said."""


def save_config(config: Any, path: Path) -> None:
    """Write a configuration as YAML, with the number of the schema; single values first, then groups of them."""
    values = {"schema": SCHEMA, **to_dict(config)}
    ordered = dict(sorted(values.items(), key=lambda item: isinstance(item[1], dict)))
    write_text_atomically(path, yaml.safe_dump(ordered, sort_keys=False))


def load_config(path: Path) -> RunConfig:
    """Read a run's configuration written by :func:`save_config`, of this or an earlier schema, strictly."""
    return read_config(RunConfig, path)


def read_config(cls: type[T], path: Path) -> T:
    """Read what :func:`save_config` wrote, strictly.

    Raises:
        UsageError: If the file cannot be read, is of a later schema, or holds an unknown key or a value of the wrong type.
    """
    with reading(path, "a configuration"):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    schema = data.pop("schema", 0) if isinstance(data, dict) else 0
    if not isinstance(schema, int) or isinstance(schema, bool) or not 0 <= schema <= SCHEMA:
        raise UsageError(
            f"{path}: written by a later version of the program (schema {schema!r}, this one reads 0 to {SCHEMA})", "update it"
        )
    if schema == 0 and isinstance(data, dict) and data.get("method") == EDGE_METHOD and isinstance(data.get("data"), dict):
        data["data"]["skip_bad_frames"] = True
    if schema < 2 and isinstance(data, dict) and isinstance(data.get("volsdf"), dict):
        data["volsdf"].setdefault("density", "laplace")
    if schema < 3 and isinstance(data, dict) and isinstance(data.get("volsdf"), dict):
        data["volsdf"].setdefault("agreement_weight", 0.0)
    return from_dict(cls, data, str(path))
