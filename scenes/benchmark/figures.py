"""The figures of a batch: read from jobs' results, averaged over seeds and scenes, and compared with another batch's."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Figure:
    """One measured number, and when a change of it counts.

    Attributes:
        key: In JSON.
        title, unit, digits: How it is shown.
        higher_is_better: Direction.
        absolute, relative: A change counts if it is larger than both ``absolute`` and ``relative * |before|``, and than twice the
            standard error of the difference where both sides have several seeds.
        of_machine: Depends on the machine: compared only between equal machines, threads and jobs at once.
    """

    key: str
    title: str
    unit: str
    digits: int
    higher_is_better: bool
    absolute: float = 0.0
    relative: float = 0.0
    of_machine: bool = False


FIGURES = (
    Figure("psnr", "PSNR", "dB", 2, True, absolute=0.1),
    Figure("psnr_masked", "PSNR inside", "dB", 2, True, absolute=0.1),
    Figure("ssim", "SSIM", "", 4, True, absolute=0.002),
    Figure("iou_inside", "inside IoU", "", 4, True, absolute=0.0005),
    Figure("normal_error", "normal error", "degrees", 2, False, relative=0.05),
    Figure("silhouette_iou", "silhouette IoU", "", 4, True, absolute=0.002),
    Figure("chamfer_percent", "Chamfer-L1", "% of diagonal", 3, False, relative=0.05),
    Figure("accuracy_percent", "accuracy", "% of diagonal", 3, False, relative=0.05),
    Figure("completeness_percent", "completeness", "% of diagonal", 3, False, relative=0.05),
    Figure("fscore", "F-score at 0.5 %", "", 4, True, absolute=0.005),
    Figure("normal_consistency", "normals", "mean |cos|", 4, True, absolute=0.002),
    Figure("points_accuracy", "stereo's points", "% of diagonal", 3, False, relative=0.05),
    Figure("points_completeness", "stereo's completeness", "% of diagonal", 3, False, relative=0.05),
    Figure("curve_f5", "curves F at 5 mm", "%", 1, True, absolute=1.0),
    Figure("curve_f10", "curves F at 10 mm", "%", 1, True, absolute=1.0),
    Figure("curve_types", "right type", "% of matched length", 1, True, absolute=1.0),
    Figure("curve_junctions", "junctions found", "%", 1, True, absolute=2.0),
    Figure("curve_count", "curves too many or few", "%", 1, False, absolute=5.0),
    Figure("trained_thousands", "trained", "thousand numbers", 1, False, relative=0.01),
    Figure("stored_thousands", "stored", "thousand numbers", 1, False, relative=0.01),
    Figure("training_seconds", "training", "s", 1, False, relative=0.1, of_machine=True),
    Figure("seconds", "in all", "s", 1, False, relative=0.1, of_machine=True),
    Figure("peak_memory_gib", "memory", "GiB", 2, False, relative=0.1, of_machine=True),
)
FSCORE_SHARE = 0.005
"""Threshold of the F-score, as a share of the truth's bounding diagonal."""
GROUP = ("scene", "method", "field", "preset", "label", "settings")
"""What jobs that differ by their seed only have in common."""
VARIANT = GROUP[1:]


def job_figures(results: dict[str, Any], seconds: float | None, peak_memory: int | None) -> dict[str, float | None]:
    """The figures of one job; None where there is no such figure.

    Args:
        results: ``eval/results.json`` of its run, with the counts of its numbers; a fit has its figures at the top.
        seconds: Wall time of its process.
        peak_memory: Bytes.
    """
    images, silhouettes, surface, curves = (results.get(k) or {} for k in ("images", "silhouettes", "surface", "curves"))
    images = images or {k: results.get(k) for k in ("psnr", "ssim")}
    exact, points = curves.get("exact") or {}, results.get("points") or {}
    percent, fscore = None, None
    if surface:
        percent = 100.0 / surface["truth_diagonal"]
        limits = np.asarray(surface["thresholds"]) / surface["truth_diagonal"]
        at = np.flatnonzero(np.isclose(limits, FSCORE_SHARE))
        fscore = surface["fscore"][at[0]] if len(at) else None
    return {
        "psnr": number(images.get("psnr")),
        "psnr_masked": number(images.get("psnr_masked")),
        "ssim": number(images.get("ssim")),
        "iou_inside": number(results.get("iou_inside")),
        "normal_error": number(results.get("nae_deg")),
        "silhouette_iou": number(silhouettes.get("mean")),
        "chamfer_percent": number(surface.get("chamfer_percent_of_diagonal")),
        "accuracy_percent": None if percent is None else surface["accuracy"] * percent,
        "completeness_percent": None if percent is None else surface["completeness"] * percent,
        "fscore": number(fscore),
        "normal_consistency": number(surface.get("normal_consistency")),
        "points_accuracy": number(points.get("accuracy_percent")),
        "points_completeness": number(points.get("completeness_percent")),
        "curve_f5": _percent(curves.get("f5")),
        "curve_f10": _percent(curves.get("f10")),
        "curve_types": _percent(exact["types"]["agreement"]) if exact else None,
        "curve_junctions": _percent(exact["junctions"]["recall"]) if exact else None,
        "curve_count": _percent(abs(exact["count_ratio"] - 1)) if exact else None,
        "trained_thousands": _thousands(results.get("trained_numbers")),
        "stored_thousands": _thousands(results.get("stored_numbers")),
        "training_seconds": number(results.get("training_seconds")),
        "seconds": seconds,
        "peak_memory_gib": None if peak_memory is None else peak_memory / 2**30,
    }


def number(value: Any) -> float | None:
    """A figure as results.json holds it: "inf" and "-inf" are text there."""
    return None if value is None else float(value)


def _thousands(count: int | None) -> float | None:
    return None if count is None else count / 1000


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def spread(values: Sequence[float | None]) -> dict[str, Any] | None:
    """Mean, sample standard deviation (None for one value) and count of the values that exist; None if none does."""
    known = [v for v in values if v is not None]
    if not known:
        return None
    finite = all(math.isfinite(v) for v in known)
    deviation = float(np.std(known, ddof=1)) if finite and len(known) > 1 else None
    return {"mean": float(np.mean(known)), "sd": deviation, "n": len(known)}


def over_seeds(rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of jobs that differ by their seed only, as one row each: figures as mean and spread, ``done`` of ``jobs``, seeds."""
    result = []
    for key, members in _grouped(rows, GROUP):
        finished = [m for m in members if m["state"] == "done"]
        figures = {f.key: spread([m["figures"].get(f.key) for m in finished]) for f in FIGURES}
        seeds = sorted(m["seed"] for m in members)
        machines = sorted({m["machine"] for m in finished if m.get("machine")})
        data = sorted({m["data_fingerprint"] for m in members})
        counts = {"seeds": seeds, "jobs": len(members), "done": len(finished)}
        result.append({**key, **counts, "figures": figures, "machines": machines, "data": data})
    return result


def over_scenes(groups: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of :func:`over_seeds` averaged over scenes, for each method, field, preset and variant.

    The spread is that of the mean between seeds, from the scenes' own spreads (root of the sum of squares over the number of scenes); None
    if a scene has one seed only. ``n`` counts scenes: means over different scenes cannot be compared.
    """
    result = []
    for key, members in _grouped(groups, VARIANT):
        figures: dict[str, Any] = {}
        for f in FIGURES:
            known = [m["figures"][f.key] for m in members if m["figures"][f.key] is not None]
            if not known:
                figures[f.key] = None
                continue
            deviations = [k["sd"] for k in known]
            sd = None if None in deviations else math.sqrt(sum(d * d for d in deviations)) / len(known)
            figures[f.key] = {"mean": float(np.mean([k["mean"] for k in known])), "sd": sd, "n": len(known)}
        done = [m["scene"] for m in members if m["done"]]
        result.append({**key, "scenes": [m["scene"] for m in members], "done": done, "figures": figures})
    return result


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """What got better or worse between two summaries.

    Returns:
        ``{"before", "after": where they come from, "changes": [...], "same": count, "incomparable": count, "states": [...], "only_before",
        "only_after": names, "notes": [...], "thresholds": in words}``; a change holds group, figure, before, after, threshold and verdict
        ("better" or "worse").
    """
    old, new = ({_name(g): g for g in s["groups"]} for s in (before, after))
    changes, states, notes, same, incomparable = [], [], [], 0, 0
    for name in [n for n in old if n in new]:
        a, b = old[name], new[name]
        if a["data"] != b["data"]:
            notes.append(f"{name}: the data are not the same; its figures are compared all the same")
        if (a["done"], a["jobs"]) != (b["done"], b["jobs"]):
            states.append({"group": name, "before": f"{a['done']} of {a['jobs']} done", "after": f"{b['done']} of {b['jobs']} done"})
        for f in FIGURES:
            x, y = a["figures"].get(f.key), b["figures"].get(f.key)
            if x is None or y is None:
                continue
            if f.of_machine and a["machines"] != b["machines"]:
                incomparable += 1
                continue
            verdict, limit = judge(f, x, y)
            if verdict == "same":
                same += 1
            else:
                changes.append({"group": name, "figure": f.key, "before": x, "after": y, "threshold": limit, "verdict": verdict})
    return {
        "before": before["folder"],
        "after": after["folder"],
        "changes": changes,
        "same": same,
        "incomparable": incomparable,
        "states": states,
        "only_before": [n for n in old if n not in new],
        "only_after": [n for n in new if n not in old],
        "notes": notes,
        "thresholds": {f.key: threshold_words(f) for f in FIGURES},
    }


def judge(figure: Figure, before: dict[str, Any], after: dict[str, Any]) -> tuple[str, float]:
    """ "better", "worse" or "same", and the change that would have counted."""
    x, y = before["mean"], after["mean"]
    limit = max(figure.absolute, figure.relative * abs(x) if math.isfinite(x) else 0.0)
    if before["sd"] is not None and after["sd"] is not None:
        limit = max(limit, 2.0 * math.sqrt(before["sd"] ** 2 / before["n"] + after["sd"] ** 2 / after["n"]))
    if x == y or abs(y - x) <= limit:  # two infinities are equal
        return "same", limit
    return ("better" if (y > x) == figure.higher_is_better else "worse"), limit


def threshold_words(figure: Figure) -> str:
    """A figure's threshold as a reader is told it."""
    value = f"{figure.relative * 100:g} %" if figure.relative else f"{figure.absolute:g} {figure.unit}".strip()
    return f"{figure.title}: more than {value}" + (", on equal machines only" if figure.of_machine else "")


def comparison_lines(comparison: dict[str, Any]) -> list[str]:
    """A comparison for the terminal."""
    by_key = {f.key: f for f in FIGURES}
    lines = [f"before: {comparison['before']}", f"after:  {comparison['after']}"]
    width = max((len(c["group"]) for c in comparison["changes"]), default=0)
    for verdict in ("worse", "better"):
        for c in comparison["changes"]:
            if c["verdict"] == verdict:
                f = by_key[c["figure"]]
                shown = f"{show(f, c['before'])} -> {show(f, c['after'])} {f.unit}".rstrip()
                lines.append(f"{verdict:6}  {c['group']:{width}}  {f.title}: {shown}  (counts above {c['threshold']:.{f.digits + 1}f})")
    lines += [f"jobs    {s['group']}: {s['before']} -> {s['after']}" for s in comparison["states"]]
    lines += [f"only before: {n}" for n in comparison["only_before"]] + [f"only after: {n}" for n in comparison["only_after"]]
    lines += [f"note: {n}" for n in comparison["notes"]]
    count = {v: sum(c["verdict"] == v for c in comparison["changes"]) for v in ("better", "worse")}
    lines.append(f"{count['better']} figures better, {count['worse']} worse, {comparison['same']} within the thresholds")
    if comparison["incomparable"]:
        lines.append(f"{comparison['incomparable']} times and memories not compared: machine, threads or jobs at once differ")
    lines.append("thresholds: " + "; ".join(comparison["thresholds"].values()))
    lines.append("and twice the standard error of the difference, where both sides have several seeds")
    return lines


def show(figure: Figure, value: dict[str, Any] | None) -> str:
    """Mean and spread as text: "29.31 ± 0.05"."""
    if value is None:
        return "–"
    text = f"{value['mean']:.{figure.digits}f}"
    return text if value["sd"] is None else f"{text} ± {value['sd']:.{figure.digits}f}"


def variant(row: dict[str, Any]) -> str:
    """Method, field, preset and what else makes a row's configuration, as text."""
    more = row["label"] or " ".join(row["settings"])
    return f"{row['method']} {row['field']} {row['preset']}" + (f" ({more})" if more else "")


def differing(rows: Sequence[dict[str, Any]]) -> tuple[str, Callable[[dict[str, Any]], str]]:
    """What all rows have in common of method, field, preset and settings, as text; and a row's name by the rest, else :func:`variant`."""
    alike = [k for k in ("method", "field", "preset") if len({row[k] for row in rows}) == 1]
    labelled = any(row["label"] for row in rows)
    shared = [s for s in rows[0]["settings"] if not labelled and all(s in row["settings"] for row in rows)] if rows else []

    def name(row: dict[str, Any]) -> str:
        parts = [row[k] for k in ("method", "field", "preset") if k not in alike]
        more = row["label"] or " ".join(s for s in row["settings"] if s not in shared)
        return " ".join(parts) + (f" ({more})" if parts and more else more)

    if len({name(row) for row in rows}) <= 1:
        return "", variant
    return " ".join([*(rows[0][k] for k in alike), *([f"({' '.join(shared)})"] if shared else [])]), name


def _name(group: dict[str, Any]) -> str:
    extra = f" [{' '.join(group['settings'])}]" if group["label"] and group["settings"] else ""
    return f"{group['scene']} {variant(group)}{extra}"


def _grouped(rows: Iterable[dict[str, Any]], names: Sequence[str]) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    """Rows by equal values, in the order of their first members."""
    plain: Callable[[Any], Any] = lambda v: tuple(v) if isinstance(v, list) else v  # noqa: E731
    found: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(tuple(plain(row[n]) for n in names), []).append(row)
    return [({n: members[0][n] for n in names}, members) for members in found.values()]
