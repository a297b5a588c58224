"""Batch evaluation: a suite is a YAML list of scene x method x field x preset x seed, and of signal x field x seed; what it asks for
becomes jobs.

Everything that a job's result depends on is in its name's hash (configuration, data, true mesh, source code), so a finished job is found
again by its folder alone, whichever suite asked for it.

::

    OUT/jobs/<scene>-<method>-<field>-<preset>-s<seed>-<hash>/   job.json status.json attempt_01/{log.txt, <scene>/<method>-<field>/<run>/}
    OUT/<suite>/<UTC>/                                           summary.json summary.md report.html
"""

from __future__ import annotations

import functools
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import yaml

from recon.config.files import from_dict, to_dict, with_overrides
from recon.config.presets import preset_config
from recon.config.values import FieldName, MethodName, PresetName, RunConfig
from recon.errors import DataError, UsageError
from recon.fit.config import FitConfig
from recon.system.foreign import reading
from scenes import signals
from scenes.library import DATA, PREFIX, base_name, entry

SUITES = Path(__file__).parent / "suites"
_ROOT = Path(__file__).parents[2]
_SOURCES = (".py", ".h", ".cpp", ".cu")
_NOT_PART_OF_RESULTS = "scenes/benchmark/"


@dataclass(frozen=True)
class Entry:
    """One item of a suite's ``jobs``: all combinations of its lists.

    Attributes:
        scenes: ``scenes:NAME``, or folders relative to the suite's file. None: the folders given on the command line.
        methods, fields, presets, seeds: As on the command line of `recon reconstruct`.
        set: Changes to the configuration, ``dotted.path=value``.
        label: Name of this variant in tables.
        truth: What `recon evaluate --truth` takes for the one scene, relative to the suite's file; built-in scenes bring their own.
    """

    scenes: tuple[str, ...] | None = None
    methods: tuple[MethodName, ...] = ("volsdf",)
    fields: tuple[FieldName, ...] = ("hashgrid",)
    presets: tuple[PresetName, ...] = ("fast",)
    seeds: tuple[int, ...] = (0,)
    set: tuple[str, ...] = ()
    label: str = ""
    truth: str | None = None


@dataclass(frozen=True)
class FitEntry:
    """One item of a suite's ``fits``: all combinations of its lists.

    Attributes:
        sources: ``signals:NAME``, or pictures and meshes relative to the suite's file. None: those given on the command line, without any
            the built-in ones.
        fields, params, crop, seeds, set: As on the command line of `recon fit`.
        label: Name of this variant in tables.
    """

    sources: tuple[str, ...] | None = None
    fields: tuple[FieldName, ...] = ("neurbf",)
    params: str | int | None = None
    crop: int | None = None
    seeds: tuple[int, ...] = (0,)
    set: tuple[str, ...] = ()
    label: str = ""


@dataclass(frozen=True)
class SuiteFile:
    """A suite as it is written down: one line about it, and its entries: reconstructions, and fits of fields to pictures and shapes."""

    about: str = ""
    jobs: tuple[Entry, ...] = ()
    fits: tuple[FitEntry, ...] = ()


@dataclass(frozen=True)
class Suite:
    """A suite that was read.

    Attributes:
        name: Of the file, without suffix.
        path: The file.
        content: What it says.
    """

    name: str
    path: Path
    content: SuiteFile


@dataclass(frozen=True)
class Job:
    """One reconstruction or fit to be made and measured.

    Attributes:
        scene: Short name of the data.
        source: ``scenes:NAME``, ``signals:NAME`` or an absolute path.
        config: All settings.
        settings: Those that the suite changed.
        label: Name of the variant.
        truth: Absolute path of the truth, if it is a file or folder.
        data: Fingerprint of the data and of the truth.
        code: Fingerprint of the source code.
    """

    scene: str
    source: str
    config: RunConfig | FitConfig
    settings: tuple[str, ...]
    label: str
    truth: str | None
    data: str
    code: str

    @property
    def key(self) -> str:
        """Hash of everything that decides the result."""
        return _digest(json.dumps([to_dict(self.config), self.data, self.code], sort_keys=True).encode())

    @property
    def method(self) -> str:
        """What the field represents: a method, or the kind of signal of a fit, "image" or "sdf"."""
        return self.config.signal if isinstance(self.config, FitConfig) else self.config.method

    @property
    def preset(self) -> str:
        """The preset; of fits, which have but one, "fit"."""
        return "fit" if isinstance(self.config, FitConfig) else self.config.preset

    @property
    def name(self) -> str:
        """Of the job's folder."""
        return f"{self.scene}-{self.method}-{self.config.field}-{self.preset}-s{self.config.seed}-{self.key[:12]}"

    def to_json(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": "fit" if isinstance(self.config, FitConfig) else "reconstruct",
            "key": self.key,
            "scene": self.scene,
            "source": self.source,
            "truth": self.truth,
            "label": self.label,
            "settings": list(self.settings),
            "config": to_dict(self.config),
            "data_fingerprint": self.data,
            "code_fingerprint": self.code,
        }


def suite_names() -> tuple[str, ...]:
    """Suites that come with the program."""
    return tuple(sorted(p.stem for p in SUITES.glob("*.yaml")))


def read_suite(name: str) -> Suite:
    """Read a suite, strictly.

    Args:
        name: Of one that comes with the program, or the path of a .yaml file.
    Raises:
        UsageError: Unknown name, text that is not YAML, an unknown key (with its place) or a value that does not fit.
    """
    path = Path(name) if Path(name).suffix in (".yaml", ".yml") else SUITES / f"{name}.yaml"
    if not path.is_file():
        raise UsageError(f"there is no suite '{name}'", f"suites: {', '.join(suite_names())}, or the path of a .yaml file")
    with reading(path, "YAML"):
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    content: SuiteFile = from_dict(SuiteFile, data, str(path))
    if not content.jobs and not content.fits:
        raise UsageError(f"{path}: 'jobs' is empty, and so is 'fits'", "list at least one entry with scenes and methods, or with sources")
    return Suite(path.stem, path, content)


def plan(suite: Suite, folders: Sequence[Path] = ()) -> list[Job]:
    """All jobs of a suite, each once, in the order in which they are written.

    Args:
        suite: From :func:`read_suite`.
        folders: Datasets given on the command line, for entries without scenes.
    Raises:
        UsageError: Unknown scene or setting, folders missing or superfluous, two datasets of one name.
        DataError: A folder or truth does not exist.
    """
    wants = any(item.scenes is None for item in suite.content.jobs)
    takes = wants or any(item.sources is None for item in suite.content.fits)
    if wants and not folders:
        raise UsageError(
            f"the suite '{suite.name}' evaluates data of your own, and none was given", f"recon benchmark {suite.name} --data FOLDER ..."
        )
    if folders and not takes:
        raise UsageError(
            f"the suite '{suite.name}' names its own scenes: --data does not fit", "drop --data, or use the suite 'real' or 'signals'"
        )
    jobs, sources = {}, {}
    found = [
        *(job for i, item in enumerate(suite.content.jobs) for job in _expand(item, f"{suite.path}.jobs[{i}]", suite.path.parent, folders)),
        *(job for i, item in enumerate(suite.content.fits) for job in _fits(item, f"{suite.path}.fits[{i}]", suite.path.parent, folders)),
    ]
    for job in found:
        jobs.setdefault(job.name, job)
        if sources.setdefault(job.scene, job.source) != job.source:
            raise UsageError(f"{sources[job.scene]} and {job.source} are both called '{job.scene}'", "rename one of them")
    return list(jobs.values())


def _fits(item: FitEntry, where: str, beside: Path, files: Sequence[Path]) -> list[Job]:
    from recon.fit.config import parse_count
    from recon.fit.fit import configure

    for name in ("sources", "fields", "seeds"):
        if getattr(item, name) == ():
            raise UsageError(f"{where}.{name}: is empty")
    builtin = tuple(signals.PREFIX + name for name in signals.names())
    sources = item.sources or tuple(str(f.resolve()) for f in files) or builtin
    jobs = []
    for given, field, seed in product(sources, item.fields, item.seeds):
        source = given if given.startswith(signals.PREFIX) else str((beside / given).resolve())
        try:
            file = signals.file_of(source) if source.startswith(signals.PREFIX) else source
            config = configure(
                Path(file),
                field,
                params=None if item.params is None else parse_count(str(item.params)),
                crop=item.crop,
                seed=seed,
                settings=item.set,
            )
            data = signal_fingerprint(source)
        except UsageError as error:
            raise UsageError(f"{where}: {error.message}", error.hint) from error
        more = ([f"params={item.params}"] if item.params else []) + ([f"crop={item.crop}"] if item.crop else [])
        settings = (*more, *item.set)
        jobs.append(Job(scene_name(file), source, config, settings, item.label, None, data, code_fingerprint()))
    return jobs


def _expand(item: Entry, where: str, beside: Path, folders: Sequence[Path]) -> list[Job]:
    for name in ("scenes", "methods", "fields", "presets", "seeds"):
        if getattr(item, name) == ():
            raise UsageError(f"{where}.{name}: is empty")
    if item.scenes is None:
        sources = [str(folder.resolve()) for folder in folders]
    else:
        sources = [s if s.startswith(PREFIX) else str((beside / s).resolve()) for s in item.scenes]
    if item.truth is not None and len(sources) != 1:
        raise UsageError(f"{where}.truth: one truth cannot be that of {len(sources)} scenes", "write one entry for each scene")
    truth = None if item.truth is None else str((beside / item.truth).resolve())
    jobs = []
    for source, method, field, preset, seed in product(sources, item.methods, item.fields, item.presets, item.seeds):
        try:
            config = with_overrides(preset_config(method, field, preset), [f"seed={seed}", *item.set])
            data = data_fingerprint(source, truth)
        except UsageError as error:
            raise UsageError(f"{where}: {error.message}", error.hint) from error
        jobs.append(Job(scene_name(source), source, config, item.set, item.label, truth, data, code_fingerprint()))
    return jobs


def scene_name(source: str) -> str:
    """Short name of a dataset, fit for a file name."""
    return re.sub(r"[^\w.-]", "_", source.removeprefix(PREFIX) if source.startswith(PREFIX) else Path(source).stem)


@functools.cache
def data_fingerprint(source: str, truth: str | None = None) -> str:
    """Hash of the contents of a dataset: of a built-in scene's shipped files, or of every file in a folder (hidden ones left out).

    A dataset that is given as a file stands for its whole folder. Every file is read once, in blocks.

    Raises:
        UsageError: Unknown built-in scene.
        DataError: No such folder, or the truth does not exist.
    """
    if source.startswith(PREFIX):
        name = entry(source).name
        base, parts = DATA / base_name(name), [name]  # shapes by formula have no files: they are part of the source code
    else:
        path = Path(source)
        if not path.exists():
            raise DataError(f"{path} does not exist", hint="give the folder of a dataset")
        base, parts = (path if path.is_dir() else path.parent), [path.name if path.is_file() else ""]
    for path in sorted(base.rglob("*")):
        relative = path.relative_to(base)
        if path.is_file() and not any(part.startswith(".") for part in relative.parts):
            parts += [relative.as_posix(), _file_digest(path)]
    if truth is not None:
        known = Path(truth)
        if not known.exists():
            raise DataError(f"{truth}: there is no such truth", hint="'truth' names the mesh or curves to compare with, or their folder")
        files = [known] if known.is_file() else sorted(p for p in known.rglob("*") if p.is_file())
        parts += ["truth", *(part for p in files for part in (p.relative_to(known).as_posix(), _file_digest(p)))]
    return _digest(json.dumps(parts).encode())


@functools.cache
def signal_fingerprint(source: str) -> str:
    """Hash of a picture or mesh; built-in ones are part of the source code.

    Raises:
        DataError: No such file.
    """
    return _digest(json.dumps([source if source.startswith(signals.PREFIX) else _file_digest(Path(source))]).encode())


@functools.cache
def code_fingerprint() -> str:
    """Hash of the source code that makes results: kernels, program and scenes; batch evaluation itself is left out."""
    parts = []
    for package in ("kernels", "recon", "scenes"):
        for path in sorted((_ROOT / package).rglob("*")):
            name = path.relative_to(_ROOT).as_posix()
            if path.suffix in _SOURCES and not name.startswith(_NOT_PART_OF_RESULTS):
                parts += [name, _file_digest(path)]
    return _digest(json.dumps(parts).encode())


def _file_digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
