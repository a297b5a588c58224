"""The ladder of tries: quick settings first, others where they fail; what a try has done is kept and not done again."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from recon.photos.cameras import Group, job_groups
from recon.photos.decode import Photo
from recon.photos.gates import Finding, judge
from recon.photos.model import SparseModel, load_model
from recon.photos.search import Progress, run_child
from recon.photos.storing import read_json, write_json

RELAXED = {"init_min_num_inliers": 50, "init_min_tri_angle": 8.0, "abs_pose_min_num_inliers": 20}
GOOD_SHARE = 0.8
LEAST_INLIERS = 15


@dataclass(frozen=True)
class Settings:
    """One try.

    Attributes:
        size: Longer side of the copies, pixels.
        features: Most features of a photograph.
        first_octave: -1: also features of pictures enlarged twice.
        guided: Match again along the lines that a first match allows.
        masked: Features inside of the masks only.
        relaxed: Start from and go on with fewer matches.
        fixed_lens: Keep the focal length that the files say.
    """

    size: int = 1000
    features: int = 1500
    first_octave: int = 0
    guided: bool = False
    masked: bool = False
    relaxed: bool = False
    fixed_lens: bool = False

    @property
    def words(self) -> str:
        """For the user."""
        words = [f"{self.features} features at {self.size} pixels"]
        words += [word for word, on in (("guided matching", self.guided), ("inside of the masks", self.masked)) if on]
        words += [word for word, on in (("fewer matches suffice", self.relaxed), ("lens as the files say", self.fixed_lens)) if on]
        return ", ".join(words)


@dataclass(frozen=True)
class Attempt:
    """What a try gave.

    Attributes:
        settings: Of the try.
        models: The one with the most photographs first; may be empty.
        facts: What the database says of each photograph, and of the pairs.
        findings: What is wrong with it.
    """

    settings: Settings
    models: tuple[SparseModel, ...]
    facts: dict[str, Any]
    findings: tuple[Finding, ...]

    @property
    def registered(self) -> int:
        return len(self.models[0].names) if self.models else 0

    @property
    def refused(self) -> bool:
        return any(finding.refuses for finding in self.findings)

    @property
    def rank(self) -> tuple:
        """Greater is better."""
        return (not self.refused, self.registered, -self.models[0].reprojection_error if self.models else 0.0)


class Ladder:
    """Runs tries over one set of photographs.

    Args:
        work: Folder that keeps copies, features, matches and models.
        photos: All in the order in which they were taken.
        groups: The same by camera.
        copies: Makes the small copies of a size in ``work/SIZE``.
        masks: Folder of masks named ``WORK.png`` for a size, made on demand; None: there are none.
        seed: Of everything random.
        neighbors: Photographs this many places apart are matched in any case.
        progress, say: For the user.
    """

    def __init__(
        self,
        work: Path,
        photos: Sequence[Photo],
        groups: Sequence[Group],
        copies,
        masks,
        seed: int,
        neighbors: int,
        progress: Progress,
        say,
    ):
        self.work, self.photos, self.groups, self.copies, self.masks = work, photos, groups, copies, masks
        self.seed, self.neighbors, self.progress, self.say = seed, neighbors, progress, say

    def climb(self) -> tuple[Attempt, list[Attempt]]:
        """The best attempt, and all that were made."""
        made = [self.attempt(Settings())]

        def best() -> Attempt:
            return max(made, key=lambda attempt: attempt.rank)

        def more(settings: Settings, why: str) -> None:
            self.say(f"{why}: trying {settings.words}")
            made.append(self.attempt(settings, best()))

        n = len(self.photos)
        if n < 3:
            return best(), made
        still = any(finding.code == "still" for finding in best().findings)
        if still and self.masks is not None:
            more(replace(Settings(size=1600, features=3000), masked=True), "the background stands still")
        elif not still:
            if best().registered < n and best().facts["verified_pairs"]:
                more(replace(best().settings, relaxed=True), f"{best().registered} of {n} photographs have a camera")
            if any(finding.code == "lens" for finding in best().findings) and any(group.trusted for group in self.groups):
                more(replace(best().settings, fixed_lens=True), "the focal length is not believable")
            if best().refused or best().registered < GOOD_SHARE * n:
                rich = Settings(size=1600, features=3000, first_octave=-1)
                more(rich, "not good enough")
                apart = any(finding.code == "groups" for finding in best().findings)  # more matches of one kind will not join them
                if best().registered < n and best().facts["verified_pairs"] and not apart:
                    more(replace(rich, guided=True, relaxed=True), f"{best().registered} of {n} photographs have a camera")
        return best(), made

    def attempt(self, settings: Settings, before: Attempt | None = None) -> Attempt:
        """Run a try, or read what it gave when it was run before."""
        names = [photo.work for photo in self.photos]
        folder = self.work / f"features-{_key(replace(settings, relaxed=False, fixed_lens=False))}"
        out = folder / f"cameras-{_key([asdict(settings), names, self.seed, self.neighbors])}"
        stored = read_json(out / "result.json")
        if stored is None:
            self.copies(settings.size)
            out.mkdir(parents=True, exist_ok=True)
            stored = run_child(self._job(settings, folder, out, before), self.progress)
            write_json(out / "result.json", stored)
        models = tuple(load_model(out / f"model_{rank}.npz") for rank in range(len(stored["models"])))
        return Attempt(settings, models, stored["facts"], tuple(judge(models, stored["facts"], self.photos, self.groups)))

    def _job(self, settings: Settings, folder: Path, out: Path, before: Attempt | None) -> dict[str, Any]:
        same_features = before is not None and replace(settings, relaxed=False, fixed_lens=False) == replace(
            before.settings, relaxed=False, fixed_lens=False
        )
        start = None
        if same_features and settings.relaxed and before is not None and before.registered * 2 >= len(self.photos) and not before.refused:
            previous = folder / f"cameras-{_key([asdict(before.settings), [p.work for p in self.photos], self.seed, self.neighbors])}"
            start = str(previous / "mapper" / "best")
        return {
            "steps": ["features", "matches"],
            "database": str(folder / "database.db"),
            "images": str(self.work / str(settings.size)),
            "masks": None if not settings.masked or self.masks is None else str(self.masks(settings.size)),
            "names": [photo.work for photo in self.photos],
            "groups": job_groups(self.groups, settings.size),
            "features": settings.features,
            "first_octave": settings.first_octave,
            "peak": 0.003 if settings.masked else None,
            "guided": settings.guided,
            "neighbors": self.neighbors,
            "mapper": RELAXED if settings.relaxed else {},
            "fixed_lens": settings.fixed_lens,
            "min_inliers": LEAST_INLIERS,
            "start": start,
            "seed": self.seed,
            "threads": int(os.environ.get("FORMFIELD_THREADS", "0")) or -1,
            "out": str(out),
        }


def _key(value: Any) -> str:
    text = json.dumps(asdict(value) if isinstance(value, Settings) else value, sort_keys=True)
    return hashlib.sha1(text.encode()).hexdigest()[:10]
