"""What each preset gives and how long it takes: the one place that help, the README and a run's first line quote.

Seconds on two cores, 50 photographs of 400 x 400 (the bracket): training, and everything beside it (start, extraction, texture, figures,
pictures). Those that are marked as measured are of an AMD EPYC whose instructions end with AVX2; AVX-512 is faster. How the two are to each
other is also what the time left is estimated by while a run trains.
"""

from __future__ import annotations

from dataclasses import dataclass

from recon.config.values import MethodName, PresetName


@dataclass(frozen=True)
class Time:
    """Seconds of training, and of what follows; whether this program measured them as it stands, or they were estimated."""

    training: float
    after: float
    measured: bool = False

    @property
    def total(self) -> float:
        return self.training + self.after


GIVES: dict[PresetName, str] = {
    "draft": "whether cameras, bounds and masks are right: the shape is there, coarse and without fine texture",
    "fast": "good enough to look at and to decide by; a surface is a closed, textured mesh",
    "balanced": "finer texture and edges, twice the resolution: what to keep",
    "paper": "the published settings, to compare with the papers",
}

TIMES: dict[tuple[MethodName, PresetName], Time] = {
    ("volsdf", "draft"): Time(50, 60, measured=True),
    ("volsdf", "fast"): Time(280, 200, measured=True),
    ("volsdf", "balanced"): Time(900, 300),
    ("volsdf", "paper"): Time(40 * 3600, 900),
    ("radiance", "draft"): Time(65, 40, measured=True),
    ("radiance", "fast"): Time(390, 145),
    ("radiance", "balanced"): Time(1600, 180),
    ("radiance", "paper"): Time(20 * 3600, 600),
    ("nef", "draft"): Time(25, 105, measured=True),
    ("nef", "fast"): Time(55, 130, measured=True),
    ("nef", "balanced"): Time(170, 140),
    ("nef", "paper"): Time(6 * 3600, 60),
}


def about(seconds: float) -> str:
    """A time as one says it: "about 1 minute", "about 20 minutes", "about 11 hours"."""
    if seconds < 90:
        return "about 1 minute"
    if seconds < 5400:
        return f"about {round(seconds / 60)} minutes"
    return f"about {round(seconds / 3600)} hours"


def preset_help() -> str:
    """A sentence for each preset: for a surface, how long on two cores, and what it gives."""
    return " ".join(f"{name}: {about(TIMES['volsdf', name].total)} on two cores for a surface, {gives}." for name, gives in GIVES.items())


def first_line(method: MethodName, preset: PresetName) -> str:
    """What a run says before it begins."""
    t = TIMES[method, preset]
    return f"preset {preset}: {GIVES[preset]}; {about(t.total)} on two cores, {100 * t.after / t.total:.0f} % of it after training"


def readme_rows() -> list[str]:
    """The README's table of presets, as Markdown."""
    names: tuple[MethodName, ...] = ("volsdf", "radiance", "nef")
    rows = ["| preset | surface | views | wireframe | gives |", "|---|---|---|---|---|"]
    for preset, gives in GIVES.items():
        rows.append(f"| `{preset}` | {' | '.join(about(TIMES[m, preset].total) for m in names)} | {gives} |")
    return rows


def after_share(method: MethodName, preset: PresetName) -> float:
    """Time of what follows training, as a share of training's."""
    t = TIMES[method, preset]
    return t.after / t.training
