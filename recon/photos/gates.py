"""Is a reconstruction to be believed? Everything that is wrong with it, each with what was seen and what to photograph instead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recon.photos.cameras import Group
from recon.photos.decode import Photo
from recon.photos.model import SparseModel

FEW_FEATURES = 200
REGISTERED_SHARE, LEAST_REGISTERED_SHARE = 0.8, 0.5
SECOND_MODEL_SHARE = 0.2
STILL_SHARE = 0.3
"""Share of the pairs most of whose matches do not move: beyond, the background wins."""
FOCAL_OF_FILE = (0.6, 1.6)
FOCAL_OF_ANY = (0.5, 4.0)
"""Focal lengths in longer sides: fields of view of 90 and 14 degrees."""
DISTORTION = 0.3
DISTORTION_AT_CORNER = 0.02
REPROJECTION_PX = 1.0
"""Of copies up to 800 pixels long; on larger ones it grows with them."""
LEAST_TRACK = 3.0
PARALLEL = 0.01
OVERLAP = "take them so that each shows at least two thirds of what the one before shows, all around, with the object still"
TEXTURE = "put a plain object on a printed newspaper, in even light, and keep everything sharp"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong.

    Attributes:
        code: Short name.
        refuses: Whether the cameras must not be used.
        text: What was seen.
        advice: What to do instead.
    """

    code: str
    refuses: bool
    text: str
    advice: str


def judge(models: Sequence[SparseModel], facts: dict[str, Any], photos: Sequence[Photo], groups: Sequence[Group]) -> list[Finding]:
    """Everything wrong with the models of a try, the gravest first.

    Args:
        models: The one with the most photographs first.
        facts: Of the child: features and partners of each photograph, share of pairs that stand still.
        photos: All that were given to the search.
        groups: The same by camera.
    """
    n = len(photos)
    still = still_camera(facts, n)
    if not models:
        return still or [nothing_found(facts, photos)]
    findings = still
    best = models[0]
    if len(models) > 1 and len(models[1].names) >= max(3, SECOND_MODEL_SHARE * n):
        findings.append(two_groups(models, photos))
    share = len(best.names) / n
    if share < LEAST_REGISTERED_SHARE:
        findings.append(Finding("few", True, f"only {len(best.names)} of {n} photographs could be joined", OVERLAP))
    elif share < REGISTERED_SHARE:
        findings.append(Finding("some", False, f"{n - len(best.names)} of {n} photographs could not be joined to the others", OVERLAP))
    findings += lens_findings(best, groups)
    findings += fit_findings(best)
    axes = best.world_from_camera[:, :, 2]
    spread = float(np.linalg.eigvalsh(np.eye(3) - np.einsum("ni,nj->ij", axes, axes) / len(axes))[0])
    if spread < PARALLEL:
        advice = "go around the object, and take some from above"
        findings.append(Finding("one side", False, "all photographs look the same way: only that side can be found", advice))
    return sorted(findings, key=lambda finding: not finding.refuses)


def still_camera(facts: dict[str, Any], n: int) -> list[Finding]:
    """A background that does not move between photographs while the object turns."""
    if facts["verified_pairs"] == 0 or facts["still_share"] < STILL_SHARE:
        return []
    return [
        Finding(
            "still",
            True,
            f"the camera stands still: in {facts['still_share']:.0%} of the pairs that match, most of what matches is at the same place of "
            "the picture. The background wins over an object that turns before it",
            "move the camera around the object; or, with a turntable, give masks, or photograph before a plain background without texture",
        )
    ]


def nothing_found(facts: dict[str, Any], photos: Sequence[Photo]) -> Finding:
    """No model at all: why, as far as the database tells."""
    n = len(photos)
    if n < 3:
        return Finding(
            "count", True, f"{n} photograph{'s' * (n > 1)}: a shape needs at least three, from different places", "take 20 to 60 around it"
        )
    rows = facts["photographs"]
    plain = sum(rows[p.work]["features"] < FEW_FEATURES for p in photos)
    alone = sum(rows[p.work]["partners"] == 0 for p in photos)
    seen = f"no two photographs have enough in common: {facts['verified_pairs']} of {n * (n - 1) // 2} pairs match"
    if facts["verified_pairs"]:
        seen = (
            f"{facts['verified_pairs']} of {n * (n - 1) // 2} pairs of photographs match, but none shows one thing from two places far "
            "enough apart, or with enough matches"
        )
    if plain:
        seen += f"; {plain} of {n} photographs have fewer than {FEW_FEATURES} distinct places (blurred, or plain)"
    elif alone:
        seen += f"; {alone} of {n} match no other one"
    return Finding("nothing", True, seen, f"{OVERLAP}; {TEXTURE}")


def two_groups(models: Sequence[SparseModel], photos: Sequence[Photo]) -> Finding:
    """Photographs that fall apart."""
    name = {photo.work: photo.name for photo in photos}
    large = [model for model in models if len(model.names) >= max(3, SECOND_MODEL_SHARE * len(photos))]

    def listed(model: SparseModel) -> str:
        names = [name[w] for w in sorted(model.names, key=lambda w: [p.work for p in photos].index(w))]
        return f"{len(names)} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"

    return Finding(
        "groups",
        True,
        f"the photographs fall into {len(large)} groups with nothing in common: " + " and ".join(listed(model) for model in large),
        "if they show one object, photograph a bridge between the groups, step by step from one to the other; if they show different "
        "objects, process each in a folder of its own",
    )


def lens_findings(model: SparseModel, groups: Sequence[Group]) -> list[Finding]:
    """Focal lengths and distortions that no lens has."""
    out = []
    group_of = {photo.work: group for group in groups for photo in group.photos}
    for index in np.unique(model.camera):
        group = group_of[model.names[int(np.argmax(model.camera == index))]]
        f, _, _, k1, _ = model.params[index]
        longest = float(model.sizes[index].max())
        corner = float((model.sizes[index] / 2 / f) @ (model.sizes[index] / 2 / f))
        ratio = f / longest
        low, high = FOCAL_OF_ANY
        said = ""
        if group.trusted and group.focal is not None:
            low, high = (group.focal * factor for factor in FOCAL_OF_FILE)
            said = f", the files say {group.focal:.2f}"
        if not low <= ratio <= high:
            text = f"the focal length came out as {ratio:.2f} times the longer side ({group.label}{said})"
        elif abs(k1) > DISTORTION and abs(k1) * corner > DISTORTION_AT_CORNER:
            text = f"the lens came out as bent as none is (k1 = {k1:.2f}; {group.label})"
        else:
            continue
        out.append(Finding("lens", True, f"the cameras are not believable: {text}", f"use one lens at one zoom; {OVERLAP}"))
    return out


def fit_findings(model: SparseModel) -> list[Finding]:
    """Points that do not lie where the photographs see them, or that too few see."""
    size = float(np.median(model.sizes.max(axis=1)))
    error, track = model.reprojection_error, float(model.tracks.mean()) if len(model.points) else 0.0
    limit = REPROJECTION_PX * max(1.0, size / 800)
    out = []
    if error > limit:
        out.append(
            Finding(
                "fit",
                True,
                f"the cameras are not believable: points miss the photographs by {error:.2f} pixels on average (usual: < {limit:.2f})",
                "did something move, or was the zoom changed? Keep object and background still, at one zoom",
            )
        )
    if track < LEAST_TRACK and len(model.names) > 3:
        out.append(
            Finding(
                "tracks",
                True,
                f"the cameras are not believable: a point is seen in {track:.1f} photographs on average, fewer than 3",
                OVERLAP,
            )
        )
    return out
