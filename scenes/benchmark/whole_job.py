"""The main job measured whole: ``python -m scenes.benchmark.whole_job [SCENE ...] [--against REVISION] [--keep]``.

For each scene a ``recon reconstruct`` in a process of its own, and what it cost, stage by stage, beside what it reached. Other work on the
machine shows in these figures: run it on a quiet one, and compare only what was measured in one run (``--against`` pairs every scene with
an earlier revision of the repository, one after the other) or on one machine (:data:`KEPT`, the figures of the last release).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from recon.errors import DataError, ReconError, UsageError
from recon.results.costs import cpu_seconds, read_costs
from recon.system.files import read_records, write_text_atomically
from scenes.benchmark.figures import job_figures

ROOT = Path(__file__).parents[2]
KEPT = Path(__file__).with_name("whole_job.json")
SCENES = ("bracket", "duck", "ribs")
LATE = 0.25
"""Samples per second and queries a ray are those of the last quarter of training, when the surface stands."""


@dataclass(frozen=True)
class Job:
    """What one reconstruction cost and reached; None where a revision does not tell.

    Attributes:
        scene: Built-in scene.
        cpu, wall: Of the whole process, seconds.
        stages: CPU seconds by stage; the rest is starting, and reading the data (or rendering it, the first time).
        samples: Thousand samples per CPU second of training, late.
        queries: Distances asked for a ray, late.
        peak_gib: Most memory.
        psnr: Of held-out views, dB.
        chamfer: Chamfer-L1, % of the diagonal.
    """

    scene: str
    cpu: float
    wall: float
    stages: dict[str, float]
    samples: float | None
    queries: float | None
    peak_gib: float | None
    psnr: float | None
    chamfer: float | None


def measure(scene: str, tree: Path, threads: int, options: list[str]) -> Job:
    """Reconstruct a built-in scene with the program as it stands in ``tree``.

    Raises:
        DataError: It failed; its last lines are told.
    """
    with TemporaryDirectory() as out:
        command = [sys.executable, "-m", "recon", "reconstruct", f"scenes:{scene}", "--out", out, *options]
        environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": str(threads)}
        wall, cpu = time.perf_counter(), cpu_seconds()
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True)
        wall, cpu = time.perf_counter() - wall, cpu_seconds() - cpu
        if done.returncode:
            raise DataError(f"{scene}: {' '.join(command[1:])} ended with {done.returncode}", done.stderr.splitlines()[-5:])
        results = next(Path(out).glob("*/*/*/eval/results.json"))
        return read_job(scene, results.parents[1], cpu, wall)


def read_job(scene: str, run: Path, cpu: float, wall: float) -> Job:
    """The figures of a finished run, and what its process took."""
    figures = job_figures(json.loads((run / "eval" / "results.json").read_text(encoding="utf-8")), wall, None)
    costs, lines = read_costs(run), read_records(run / "metrics.jsonl")
    late = lines[-max(round(LATE * len(lines)), 1) :]
    training = costs["stages"].get("training")
    busy = training["cpu"] / max(training["wall"], 1e-9) if training else None  # threads at work, on average

    def mean(key: str) -> float | None:
        values = [line[key] for line in late if line.get(key) is not None]
        return sum(values) / len(values) if values else None

    stages = {name: spent["cpu"] for name, spent in costs["stages"].items()}
    if stages:
        stages["rest"] = max(cpu - sum(stages.values()), 0.0)
    rate = mean("samples_per_second")
    return Job(
        scene,
        round(cpu, 1),
        round(wall, 1),
        stages,
        None if rate is None or not busy else round(rate / busy / 1e3, 1),
        mean("sdf_queries_per_ray"),
        costs["peak_gib"],
        figures["psnr"],
        figures["chamfer_percent"],
    )


def table(jobs: list[Job], before: dict[str, Job], title: str) -> list[str]:
    """Rows of Markdown: each job, and its CPU time as a share of that of the job it is compared with."""
    stages = list(dict.fromkeys(name for job in (*jobs, *before.values()) for name in job.stages))
    head = ["scene", "CPU s", "wall s", *stages, "k samples / CPU s", "queries / ray", "GiB", "PSNR", "Chamfer %", f"CPU of {title}"]
    rows = [head, ["---"] * len(head)]
    for job in jobs:
        known = before.get(job.scene)
        rows.append([job.scene, *_cells(job, stages), "" if known is None else f"{job.cpu / known.cpu:.2f} ×"])
        if known is not None:
            rows.append([f"{job.scene}, {title}", *_cells(known, stages), ""])
    return [f"| {' | '.join(row)} |" for row in rows]


def _cells(job: Job, stages: list[str]) -> list[str]:
    def cell(value: float | None, digits: int) -> str:
        return "" if value is None else f"{value:.{digits}f}"

    spent = [cell(job.stages.get(name), 0) for name in stages]
    rates = [cell(job.samples, 0), cell(job.queries, 1), cell(job.peak_gib, 2)]
    return [cell(job.cpu, 0), cell(job.wall, 0), *spent, *rates, cell(job.psnr, 2), cell(job.chamfer, 3)]


def checked_out(revision: str, folder: Path) -> Path:
    """An earlier revision of this repository in a folder of its own, with its native kernels built."""
    tree = folder / "tree"
    for command in (
        ["git", "worktree", "add", "--quiet", "--detach", str(tree), revision],
        ["cmake", "-S", str(tree), "-B", str(folder / "build"), f"-DPython_EXECUTABLE={sys.executable}", "-DCMAKE_BUILD_TYPE=Release"],
        ["cmake", "--build", str(folder / "build")],
    ):
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode:
            raise UsageError(f"{' '.join(command[:3])} failed: {done.stderr.strip().splitlines()[-1:]}", "is it a revision of this clone?")
    for built in (folder / "build").glob("_native*.so"):
        built.rename(tree / "kernels" / built.name)
    return tree


def machine() -> str:
    """What the figures were measured on."""
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {platform.system()}"


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m scenes.benchmark.whole_job", description="What the main job costs, stage by stage.")
    parser.add_argument("scenes", nargs="*", default=list(SCENES), help="built-in scenes")
    parser.add_argument("--against", help="a revision of this clone; each scene is run with it too")
    parser.add_argument("--keep", action="store_true", help=f"write the figures into {KEPT.name}, to be compared with from now on")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--option", action="append", default=[], help="a word for recon reconstruct, e.g. --option=--preset=draft")
    given = parser.parse_args(words)
    jobs: list[Job] = []
    before: dict[str, Job] = {}
    with TemporaryDirectory() as folder:
        earlier = checked_out(given.against, Path(folder)) if given.against else None
        try:
            for scene in given.scenes:
                if earlier is not None:
                    before[scene] = measure(scene, earlier, given.threads, given.option)
                jobs.append(measure(scene, ROOT, given.threads, given.option))
                print(f"{scene}: {jobs[-1].cpu:.0f} CPU seconds, {jobs[-1].wall:.0f} s", file=sys.stderr)
        finally:
            if earlier is not None:
                subprocess.run(["git", "worktree", "remove", "--force", str(earlier)], cwd=ROOT, check=False)
    title = given.against or "the last release"
    if not given.against and KEPT.is_file():
        kept = json.loads(KEPT.read_text(encoding="utf-8"))
        before = {j["scene"]: Job(**j) for j in kept["jobs"]} if kept["options"] == given.option else {}
        print(f"the last release was measured on: {kept['machine']}")
    print(f"{machine()}, {given.threads} threads", *table(jobs, before, title), sep="\n")
    if given.keep:
        document: dict[str, Any] = {
            "machine": machine(),
            "threads": given.threads,
            "options": given.option,
            "jobs": list(map(asdict, jobs)),
        }
        write_text_atomically(KEPT, json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    try:
        main()
    except ReconError as error:
        print(error, file=sys.stderr)
        sys.exit(error.exit_code)
