"""What was found, as plain values and as lines for the user."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recon.console import duration
from recon.photos.cameras import Group
from recon.photos.decode import Photo
from recon.photos.gates import FEW_FEATURES
from recon.photos.tries import Attempt

if TYPE_CHECKING:
    from recon.photos.input import Input
    from recon.photos.placing import Placed

SHOWN = 12
"""Reasons that the summary names; the report names all."""


def left_out_reasons(attempt: Attempt, photos: Sequence[Photo], weak: dict[str, str]) -> dict[str, str]:
    """Why each photograph without a camera has none, by name."""
    placed = set(attempt.models[0].names) if attempt.models else set()
    elsewhere = {name for model in attempt.models[1:] for name in model.names}
    names = {photo.work: photo.name for photo in photos}
    reasons = dict(weak)
    for photo in photos:
        if photo.work in placed:
            continue
        row = attempt.facts["photographs"].get(photo.work, {"features": 0, "partners": 0, "inliers": 0, "best": None})
        if photo.work in elsewhere:
            reasons[photo.name] = "belongs to another group that nothing joins to this one"
        elif row["features"] < FEW_FEATURES:
            reasons[photo.name] = f"only {row['features']} distinct places in it (blurred, dark or plain)"
        elif row["partners"] == 0:
            reasons[photo.name] = "matches no other photograph"
        else:
            reasons[photo.name] = (
                f"matches {names.get(row['best'], 'another')} best, at {row['inliers']} places: too few to say where it was taken"
            )
    return reasons


def report_of(
    source: Path, out: Path, given: Input, best: Attempt, made: Sequence[Attempt], groups: Sequence[Group], placed: Placed, seconds: float
) -> dict[str, Any]:
    """The content of report.json."""
    model = placed.model
    counts = np.bincount(model.seen_by, minlength=len(model.names))
    unit = placed.scale.unit
    return {
        "state": "done",
        "source": str(source),
        "dataset": str(out),
        "photographs": {"given": given.given, "used": len(placed.photos)},
        "left_out": {**given.left_out, **left_out_reasons(best, given.photos, placed.weak)},
        "cameras": [
            {
                "label": group.label,
                "photographs": len(group.photos),
                "focal_of_files_px": None if group.focal is None else group.focal * max(group.photos[0].width, group.photos[0].height),
            }
            for group in groups
        ],
        "lenses": [
            {"width": int(w), "height": int(h), "f": f, "cx": cx, "cy": cy, "k1": k1, "k2": k2}
            for (w, h), (f, cx, cy, k1, k2) in zip(model.sizes.tolist(), model.params.tolist(), strict=True)
        ],
        "points": len(model.points),
        "reprojection_px": round(model.reprojection_error, 3),
        "copies_px": int(model.sizes.max()),
        "track_length": round(float(model.tracks.mean()), 2),
        "observations": {photo.name: int(count) for photo, count in zip(placed.photos, counts, strict=True)},
        "up": {"how": placed.up.how},
        "region": {"how": placed.region.how, "center": [0.0, 0.0, 0.0], "radius": placed.radius},
        "scale": {"how": placed.scale.how, "unit": unit},
        "findings": [vars(finding) for finding in best.findings],
        "notes": list(given.notes),
        "tries": [{"settings": attempt.settings.words, "registered": attempt.registered, "refused": attempt.refused} for attempt in made],
        "seconds": round(seconds, 1),
    }


def folded(reasons: dict[str, str]) -> list[str]:
    """Reasons by name as lines: one line for a reason that many share, and at most twelve."""
    by_reason: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        by_reason.setdefault(reason, []).append(name)
    lines = []
    for reason, names in by_reason.items():
        shown = ", ".join(names) if len(names) <= 3 else f"{len(names)} photographs ({', '.join(names[:3])}, ...)"
        lines.append(f"{shown}: {reason}")
    return lines if len(lines) <= SHOWN else [*lines[:SHOWN], f"and {len(lines) - SHOWN} reasons more, all in report.json"]


def summary_lines(report: dict[str, Any]) -> list[str]:
    """The report as text."""
    counts, unit = report["photographs"], report["scale"]["unit"] or "(in a unit of its own)"
    radius = report["region"]["radius"]
    lines = [
        f"photographs: {counts['used']} of {counts['given']} have a camera; {report['points']} points, each seen "
        f"{report['track_length']:.1f} times, missed by {report['reprojection_px']:.2f} pixels of {report['copies_px']}",
        f"region: a sphere of radius {radius:.4g} {unit}, found by {report['region']['how']}; up: {report['up']['how']}",
        f"scale: {report['scale']['how']}",
    ]
    lines += [f"left out: {line}" for line in folded(report["left_out"])]
    lines.append(f"time: {duration(report['seconds'])}")
    return lines


def next_command(report: dict[str, Any]) -> str:
    """What to do with the dataset."""
    folder = Path(report["dataset"])
    return f"dataset: {folder} (picture: {folder / 'cameras.png'})\nnext: recon reconstruct {shlex.quote(str(folder))}"
