"""``process``: from photographs or a video to a dataset with cameras, or to a refusal that says why."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recon.config.values import Unit
from recon.console import Reporter, duration
from recon.errors import DataError, Interrupted, UsageError
from recon.photos.cameras import Group, groups_of
from recon.photos.gates import Finding
from recon.photos.gather import gather
from recon.photos.input import Input, check_found, input_findings, prepare_copies, read_input
from recon.photos.masks import given_masks
from recon.photos.options import PhotoOptions
from recon.photos.picture import draw_cameras
from recon.photos.placing import place
from recon.photos.report import folded, left_out_reasons, report_of, summary_lines
from recon.photos.scale import check_options
from recon.photos.search import Clock, require_photos
from recon.photos.storing import write_json
from recon.photos.tries import Attempt, Ladder
from recon.photos.writing import Dataset, write_dataset
from recon.system.locks import locked

VIDEO_NEIGHBORS, PHOTO_NEIGHBORS = 10, 5
STAGES = {
    "video": "looking through the video",
    "frames": "writing frames",
    "photographs": "reading photographs",
    "features": "finding features",
    "pairs": "choosing pairs",
    "matches": "matching pairs",
    "cameras": "placing cameras",
    "markers": "looking for markers",
    "pictures": "writing pictures",
}


def process(
    source: Path,
    out: Path,
    options: PhotoOptions,
    reporter: Reporter,
    *,
    unit: Unit | None = None,
    factor: float | None = None,
    masks: str | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Find the cameras of photographs or of a video and write a dataset.

    Everything that took time is kept in ``out/work``: the same command again, with other options for the scale or after Ctrl-C, goes on
    from there.

    Args:
        source: Folder of photographs, or a video.
        out: Folder of the dataset; is made.
        options: Scale, frames, checks.
        reporter: Progress and warnings.
        unit: Of the world.
        factor: Makes the world so many times larger.
        masks: A folder of masks, or "none"; None: those beside the photographs.
        seed: Of everything random.
    Returns:
        The report, plain values, as in ``out/report.json``.
    Raises:
        UsageError: Options that contradict each other; ``out`` holds something else.
        DataError: No cameras that are to be believed; what was seen and what to photograph instead.
    """
    start = time.monotonic()
    check_options(options)
    require_photos()
    found = gather(source)
    check_found(source, found)
    with kept_work(out) as work:
        try:
            clock = Clock(reporter.progress, STAGES)
            given = read_input(found, work, options, clock)
            findings = input_findings(given)
            if findings:
                refuse(out, source, given, None, findings, time.monotonic() - start)
            groups = groups_of(given.photos)
            announce(given, groups, reporter)
            masks_of_object, ignored, notes = given_masks(given.photos, found.root, masks)
            for note in notes:
                reporter.say(note)
            ladder = Ladder(
                work,
                given.photos,
                groups,
                copies=lambda size: prepare_copies(given.photos, work, size, clock),
                masks=masks_of_object.folder_for(work) if masks_of_object.complete else None,
                seed=seed,
                neighbors=VIDEO_NEIGHBORS if found.videos and not found.photographs else PHOTO_NEIGHBORS,
                progress=clock,
                say=reporter.say,
            )
            best, made = ladder.climb()
            if not best.models or (best.refused and not options.force_cameras):
                refuse(out, source, given, best, list(best.findings), time.monotonic() - start, made)
            placed = place(best, given.photos, options, unit, factor, masks_of_object, clock, work)
            radius = None if masks_of_object.complete else placed.radius
            dataset = Dataset(placed.model, placed.photos, radius, placed.scale.unit, masks_of_object.files, ignored)
            write_dataset(out, dataset, lambda done, total: clock("pictures", done, total))
            report = report_of(source, out, given, best, made, groups, placed, time.monotonic() - start)
            copies = [work / str(best.settings.size) / photo.work for photo in placed.photos]
            draw_cameras(placed.model, placed.radius, copies, summary_lines(report)[:3], out / "cameras.png")
            write_json(out / "report.json", report)
        except KeyboardInterrupt as interruption:
            raise Interrupted(f"stopped; what is done is kept in {work}", "the same command goes on from there") from interruption
    for finding in best.findings:
        reporter.warn(f"{finding.text} ({finding.advice})")
    return report


@contextmanager
def kept_work(out: Path) -> Iterator[Path]:
    """The folder ``out/work``, for this process alone.

    Raises:
        UsageError: ``out`` holds something else, or another process works in it.
    """
    work = out / "work"
    if out.exists() and not out.is_dir():
        raise UsageError(f"{out}: is a file", "--out names a folder")
    if out.is_dir() and not work.is_dir() and any(out.iterdir()):
        raise UsageError(f"{out}: holds other files", "give a new folder with --out")
    work.mkdir(parents=True, exist_ok=True)
    with locked(work / "process.lock", UsageError(f"{out}: another process is at work in it", "wait for it, or stop it first")):
        yield work


def announce(given: Input, groups: Sequence[Group], reporter: Reporter) -> None:
    """What will be done, and about how long it takes."""
    n = len(given.photos)
    pairs = n * (n - 1) / 2 if n <= 60 else 35 * n
    seconds = (0.9 * n + 0.025 * pairs + 0.3 * n) / (os.cpu_count() or 1)
    reporter.say(
        f"{n} of {given.given} photographs, {len(groups)} camera{'s' * (len(groups) > 1)}; finding where they were taken takes about "
        f"{duration(seconds)}"
    )
    for note in given.notes:
        reporter.say(note)
    if len(groups) > 1:
        reporter.say("cameras: " + "; ".join(f"{group.label} ({len(group.photos)})" for group in groups[:6]))


def refuse(
    out: Path, source: Path, given: Input, best: Attempt | None, findings: list[Finding], seconds: float, made: Sequence[Attempt] = ()
) -> None:
    """Write the report of a refusal, and raise it.

    Raises:
        DataError: Always.
    """
    reasons = dict(given.left_out)
    if best is not None:
        reasons |= left_out_reasons(best, given.photos, {})
    report = {
        "state": "refused",
        "source": str(source),
        "photographs": {"given": given.given, "used": 0},
        "left_out": reasons,
        "findings": [vars(finding) for finding in findings],
        "tries": [{"settings": attempt.settings.words, "registered": attempt.registered} for attempt in made],
        "seconds": round(seconds, 1),
    }
    write_json(out / "report.json", report)
    refusing = [finding for finding in findings if finding.refuses]
    alone = any(finding.code in ("few", "nothing") for finding in refusing)  # else the finding itself says it of all
    problems = [finding.text for finding in refusing] + [f"left out: {line}" for line in folded(reasons if alone else given.left_out)]
    forced = "" if best is None or not best.models else ". --force-cameras goes on with what there is"
    raise DataError(f"{source}: no cameras that can be believed", problems, "; ".join(dict.fromkeys(f.advice for f in refusing)) + forced)
