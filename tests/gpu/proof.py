"""What a GPU gives, in at most eight minutes, in order of value: ``python -m tests.gpu.proof [--out FOLDER] [--lego FOLDER] [--dry]``.

Ceilings of the machine, correctness of every op, speeds beside tinycudann and nerfacc where they are, whole runs beside the CPU's figures,
the sanitizer. One table is printed, one ``proof.json`` written. What there is no time left for says so; the exit code is 1 if something is
wrong. ``--dry`` takes the same way on a device that is only pretended, with little work in it: its numbers mean nothing and are left out.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests" / "gpu"), str(ROOT / "tests" / "kernels")]

SECONDS = 480.0
"""For everything."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        section: Part of the proof.
        name: What was looked at.
        value: The figure, with its unit in ``unit``; None: none was taken.
        beside: What it is compared with, in words.
        outcome: "ok", "wrong", "not run", or "dry" for what was done without being measured.
        note: Why, where that needs a reason.
    """

    section: str
    name: str
    outcome: str
    value: float | None = None
    unit: str = ""
    beside: str = ""
    note: str = ""


class Bench:
    """The device, its clock, and how long there is left.

    Args:
        device: Where everything is done.
        backends: Of the ops, best first.
        dry: Whether the device is only pretended.
        out: Folder of whole runs.
        lego: Folder of a Blender dataset for whole runs, if there is one.
        seconds: For everything.
    """

    def __init__(self, device: torch.device, backends: tuple[str, ...], dry: bool, out: Path, lego: Path | None, seconds: float = SECONDS):
        self.device, self.backends, self.dry, self.out, self.lego = device, backends, dry, out, lego
        self.end = time.monotonic() + seconds

    def left(self) -> float:
        return self.end - time.monotonic()

    def size(self, real: int, little: int) -> int:
        return little if self.dry else real

    def seconds(self, function: Callable[[], object], repeats: int = 20) -> float:
        """Median time of a call after a warm-up; dry: it is called once, and the time means nothing."""
        if self.dry:
            function()
            return 0.0
        from test_benchmark import seconds

        return seconds(function, repeats)

    def figure(self, section: str, name: str, function: Callable[[], object], work: float, unit: str, beside: str = "") -> Row:
        """``work`` per second of a call, or what went wrong with it."""
        if self.left() < 5:
            return Row(section, name, "not run", note="no time left")
        try:
            time_of_one = self.seconds(function)
        except Exception as error:
            return Row(section, name, "wrong", note=_line(error))
        return Row(section, name, "dry", note="not measured") if self.dry else Row(section, name, "ok", work / time_of_one, unit, beside)


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"[:200]


def ceilings(bench: Bench) -> Iterator[Row]:
    """What torch reaches here: nothing of ours can be expected to be faster."""
    device = bench.device
    n = bench.size(1 << 28, 1 << 8)
    source, target = torch.rand(n, device=device), torch.empty(n, device=device)
    yield bench.figure("ceiling", "copy", lambda: target.copy_(source), 2 * 4 * n / 1e9, "GB/s")
    many = bench.size(1 << 24, 1 << 8)
    for megabytes in (10, 25, 50):
        rows = bench.size(megabytes << 17, 64)
        table, update = torch.zeros(rows, 2, device=device), torch.ones(many, 2, device=device)
        index = torch.randint(rows, (many,), device=device)
        gather = lambda table=table, index=index: table.index_select(0, index)  # noqa: E731
        add = lambda table=table, index=index, update=update: table.index_add_(0, index, update)  # noqa: E731
        yield bench.figure("ceiling", f"random reads of 8 bytes, {megabytes} MB", gather, many / 1e9, "G/s")
        yield bench.figure("ceiling", f"random additions of 8 bytes, {megabytes} MB", add, many / 1e9, "G/s")
    side = bench.size(8192, 16)
    for dtype in (torch.bfloat16, torch.float32):
        a = torch.ones(side, side, device=device, dtype=dtype)
        name = f"matrix product, {str(dtype).removeprefix('torch.')}"
        yield bench.figure("ceiling", name, lambda a=a: a @ a, 2 * side**3 / 1e12, "TFLOP/s")
    one = torch.zeros(1, device=device)
    yield bench.figure("ceiling", "launches", lambda: [one.add_(1) for _ in range(100)], 100 / 1e6, "M/s")


def correctness(bench: Bench) -> Iterator[Row]:
    """Every op, forward, backward and second order, against the float64 reference on the CPU: sizes that fill no block."""
    import stereo_cases
    from gpu_cases import CASES

    for backend in bench.backends:
        for name, case in {**CASES, **({} if backend == "triton" else stereo_cases.CASES)}.items():
            for n in (37,) if bench.dry else (37, 1001):
                if bench.left() < 0.4 * SECONDS and not bench.dry:
                    yield Row("op", f"{backend} {name}", "not run", note="no time left")
                    continue
                try:
                    case(backend, bench.device, n)
                except Exception as error:
                    yield Row("op", f"{backend} {name}, {n}", "wrong", note=_line(error))
                else:
                    yield Row("op", f"{backend} {name}, {n}", "dry" if bench.dry else "ok", note="right" if bench.dry else "")


def speeds(bench: Bench) -> Iterator[Row]:
    """Steps of fields and rays of a usual size, forward and backward."""
    import fields_at_work

    for name, function, work, unit in fields_at_work.cases(bench.device, bench.backends[0], bench.size(1 << 18, 128)):
        yield bench.figure("speed", name, function, work, unit)
    for name in fields_at_work.RIVALS:
        found = "dry: not looked for" if bench.dry else fields_at_work.missing(name)
        if found:
            yield Row("speed", name, "not run", note=found)
            continue
        for what, function, work, unit in fields_at_work.RIVALS[name](bench.device, bench.size(1 << 18, 128)):
            yield bench.figure("speed", f"{name}: {what}", function, work, unit)


def runs(bench: Bench) -> Iterator[Row]:
    """Whole runs by the command line, as a user would start them; dry: the commands are parsed, not run."""
    from whole_runs import COMMANDS, figures

    for run in COMMANDS:
        name = run.name
        if run.data == "lego" and bench.lego is None:
            yield Row("run", name, "not run", note="no --lego FOLDER")
            continue
        if not bench.dry and bench.left() < 30:
            yield Row("run", name, "not run", note="no time left")
            continue
        for figure in figures(run, bench.lego, bench.out, str(bench.device), bench.left() - 15, bench.dry):
            yield Row("run", f"{name}: {figure.name}", figure.outcome, figure.value, figure.unit, figure.beside, figure.note)


def sanitizer(bench: Bench) -> Iterator[Row]:
    """Reads and writes out of bounds, once."""
    from whole_runs import sanitized

    outcome, note = ("dry", "not run") if bench.dry else sanitized(bench.left() - 5)
    yield Row("sanitizer", "compute-sanitizer memcheck", outcome, note=note)


SECTIONS = (ceilings, correctness, speeds, runs, sanitizer)


def prove(bench: Bench, told: Callable[[Row], None]) -> list[Row]:
    """All rows, each told as soon as it is known. What breaks a section is a row of it."""
    rows: list[Row] = []
    for section in SECTIONS:
        try:
            for row in section(bench):
                rows.append(row)
                told(row)
        except Exception as error:
            rows.append(Row(section.__name__, "the section itself", "wrong", note=_line(error)))
            told(rows[-1])
    return rows


def table(rows: list[Row], dry: bool) -> str:
    """Markdown."""
    head = ["**Dry: nothing was measured on a GPU.**", ""] if dry else []
    lines = [*head, "| | what | figure | beside | |", "|---|---|---|---|---|"]
    for r in rows:
        value = "" if r.value is None else f"{r.value:.4g} {r.unit}"
        lines.append(f"| {r.section} | {r.name} | {value} | {r.beside} | {r.outcome}{f': {r.note}' if r.note else ''} |")
    return "\n".join(lines)


def record(rows: list[Row], bench: Bench) -> dict[str, Any]:
    """What proof.json holds."""
    gpu = None if bench.dry else torch.cuda.get_device_name(bench.device)
    counts = {outcome: sum(r.outcome == outcome for r in rows) for outcome in ("ok", "wrong", "not run", "dry")}
    machine = {"gpu": gpu, "torch": torch.__version__, "python": platform.python_version()}
    return {"measured": not bench.dry, "machine": machine, "counts": counts, "rows": [asdict(r) for r in rows]}


def started(arguments: argparse.Namespace) -> Bench:
    """The device to prove something on."""
    if arguments.dry:
        from tests.pretend import device, kernels

        kernels.install()
        return Bench(device.install(), (device.NAME,), True, arguments.out, arguments.lego)
    from gpu import reason

    if reason():
        raise SystemExit(f"{reason()}; --dry goes through everything without measuring")
    backends = tuple(name for name in ("cuda", "triton") if not reason(name))
    if not backends:
        raise SystemExit("there is a GPU, but no kernels for it; pip install 'formfield[gpu]' brings their compiler")
    return Bench(torch.device("cuda", 0), backends, False, arguments.out, arguments.lego)


def main(words: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.gpu.proof", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("proof"), help="folder of proof.json and of whole runs")
    parser.add_argument("--lego", type=Path, help="folder of a Blender dataset for whole runs")
    parser.add_argument("--dry", action="store_true", help="no GPU: the same way on a pretended device, nothing measured")
    bench = started(arguments := parser.parse_args(words))
    arguments.out.mkdir(parents=True, exist_ok=True)
    rows = prove(bench, lambda row: print(f"{row.section}: {row.name}: {row.outcome} {row.note}", file=sys.stderr, flush=True))
    (arguments.out / "proof.json").write_text(json.dumps(record(rows, bench), indent=1))
    print(table(rows, bench.dry))
    return int(any(row.outcome == "wrong" for row in rows))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
