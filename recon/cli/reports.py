"""The commands that report on what is there already: runs beside each other, the machine, and suites of runs."""

from __future__ import annotations

import json

from recon.cli.arguments import Benchmark, Compare, Doctor
from recon.cli.flags import flat
from recon.errors import ReconError, UsageError


def compare(command: Compare) -> None:
    from recon.results.comparison import compare as table

    if not command.runs:
        raise UsageError("which runs?", "recon compare RUN RUN")
    print(table(command.runs, command.format))


def doctor(command: Doctor) -> None:
    from recon.doctor import diagnose, lines

    report = diagnose()
    print(json.dumps(report, indent=1) if command.json else "\n".join(lines(report)))


def benchmark(command: Benchmark) -> None:
    from scenes.benchmark import figures, report

    if command.compare is not None:
        if command.suite is not None:
            raise UsageError("--compare takes two report folders and runs no suite", "recon benchmark --compare BEFORE AFTER")
        comparison = figures.compare(*(report.read_summary(p) for p in command.compare))
        print(json.dumps(comparison, indent=1) if command.json else "\n".join(figures.comparison_lines(comparison)))
        return
    if command.suite is None:
        raise UsageError("which suite?", "recon benchmark SUITE, or recon benchmark --compare BEFORE AFTER")
    from recon.console import Reporter
    from scenes.benchmark import run as batch

    options = batch.BatchOptions(command.out, command.jobs, command.threads, command.executor, flat(command.slurm), command.device)
    with Reporter(quiet=command.json) as reporter:
        folder, summary = batch.run_suite(command.suite, flat(command.data), options, reporter.say)
    print(json.dumps(summary, indent=1) if command.json else "\n".join([*report.text_lines(summary), f"report: {folder / 'report.html'}"]))
    failed = [row["name"] for row in summary["rows"] if row["state"] != "done"]
    if failed:
        raise ReconError(f"{len(failed)} of {len(summary['rows'])} jobs failed: {', '.join(failed)}", f"see {folder / 'summary.md'}")
