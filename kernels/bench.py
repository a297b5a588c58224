"""Speed of the field kernels: ``python -m kernels.bench [--json] [--threads N] [--markdown README.md]``.

Every figure is the median of repeated runs after a warm-up, beside the same work on the plain torch reference and, where arithmetic
or memory is what limits it, beside this machine's own rate for that (torch's matrix product, a copy of memory) in the same run.
Samples lie along rays, 64 to a ray, as in training.
"""

from __future__ import annotations

import argparse
import json
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

import kernels
from kernels import HashGridSpec, KernelError, MLPSpec, bench_rays, bench_report
from kernels.bench_report import Report, Row

SAMPLES = 2**18
REFERENCE_SAMPLES = 2**14  # the reference needs seconds for more; its rate hardly depends on it
SAMPLES_PER_RAY = 64


def seconds(function: Callable[[], object], budget: float = 1.5, least: int = 3) -> float:
    """Median time of a call after a warm-up: ``least`` calls or more, as long as they take less than ``budget`` seconds together."""
    function()
    times: list[float] = []
    while len(times) < least or (sum(times) < budget and len(times) < 30):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def sgemm_flops() -> float:
    """Floating point operations per second of torch's float32 matrix product, 1024 x 1024 x 1024, best of many."""
    a = torch.randn(1024, 1024)
    best = min(seconds(lambda: a @ a, 0.2) for _ in range(3))
    return 2 * 1024**3 / best


def copy_bandwidth() -> float:
    """Bytes per second read and written by a copy of 128 MiB, best of several."""
    a = torch.zeros(2**25)
    b = torch.ones(2**25)
    return 2 * a.numel() * 4 / min(seconds(lambda: a.copy_(b), 0.2) for _ in range(3))


def ray_points(n: int) -> Tensor:
    """Points along random rays through [0, 1]^3, 64 to a ray."""
    generator = torch.Generator().manual_seed(0)
    rays = n // SAMPLES_PER_RAY
    origin = 0.35 + 0.3 * torch.rand(rays, 1, 3, generator=generator)
    direction = torch.nn.functional.normalize(torch.randn(rays, 1, 3, generator=generator), dim=-1)
    t = (torch.arange(SAMPLES_PER_RAY)[None, :, None] / SAMPLES_PER_RAY - 0.5) * 0.5
    return (origin + direction * t).reshape(-1, 3).clamp(0, 1)


class FieldCase:
    """Tensors of one configuration: a grid, a density network 32-64-16 and a colour network 32-64-64-3."""

    def __init__(self, n: int, levels: int, features: int, log2_table_size: int):
        self.x = ray_points(n)
        self.grid = HashGridSpec(levels=levels, features=features, log2_table_size=log2_table_size)
        inputs = self.grid.out_features
        self.density = MLPSpec(inputs, (64,), 16)
        self.colour = MLPSpec(32, (64, 64), 3, output_activation="sigmoid")
        self.sdf = MLPSpec(inputs + 3, (64,), 17, activation="softplus", beta=100.0)
        torch.manual_seed(0)
        self.table = (torch.rand(self.grid.entries, features) * 2e-4 - 1e-4).requires_grad_()
        self.params = {spec: (torch.randn(spec.params) * 0.15).requires_grad_() for spec in (self.density, self.colour, self.sdf)}
        self.rows = torch.randn(n, 32, requires_grad=True)
        self.directions = torch.randn(n, 16)
        self.encoding_gradient = torch.randn(n, self.grid.out_features)

    def encode(self, backend: str) -> None:
        """Encoding, forward."""
        with torch.no_grad():
            kernels.hash_encode(self.x, self.table, self.grid, backend=backend)

    def encode_step(self, backend: str) -> None:
        """Encoding, forward and backward to the table."""
        y = kernels.hash_encode(self.x, self.table, self.grid, backend=backend)
        torch.autograd.grad(y, self.table, self.encoding_gradient)

    def density_forward(self, backend: str) -> None:
        """Encoding and density network, forward."""
        with torch.no_grad():
            kernels.fused_field(self.x, self.table, self.params[self.density], self.grid, self.density, backend=backend)

    def training_step(self, backend: str) -> None:
        """Encoding, density network and colour network, forward and backward to all parameters."""
        y = kernels.fused_field(self.x, self.table, self.params[self.density], self.grid, self.density, backend=backend)
        colour = kernels.field_mlp(torch.cat([y, self.directions], 1), self.params[self.colour], self.colour, backend=backend)
        torch.autograd.grad(colour.sum() + y[:, 0].sum(), (self.table, self.params[self.density], self.params[self.colour]))

    def jet_forward(self, backend: str) -> None:
        """Value, spatial gradient and features of a signed distance network 35-64-17, forward."""
        with torch.no_grad():
            self._jet(backend)

    def jet_step(self, backend: str) -> None:
        """The same with backward through value and gradient to all parameters."""
        out, gradient = self._jet(backend)
        eikonal = (gradient.norm(dim=1) - 1).square().sum()
        torch.autograd.grad(out.sum() + eikonal, (self.table, self.params[self.sdf]))

    def _jet(self, backend: str) -> tuple[Tensor, Tensor]:
        return kernels.fused_field(
            self.x, self.table, self.params[self.sdf], self.grid, self.sdf, order=1, include_input=True, backend=backend
        )

    def network_forward(self, backend: str) -> None:
        """Colour network alone, forward."""
        with torch.no_grad():
            kernels.field_mlp(self.rows, self.params[self.colour], self.colour, backend=backend)

    def network_step(self, backend: str) -> None:
        """Colour network alone, forward and backward to inputs and parameters."""
        y = kernels.field_mlp(self.rows, self.params[self.colour], self.colour, backend=backend)
        torch.autograd.grad(y.sum(), (self.rows, self.params[self.colour]))


def adam_row(case: FieldCase, bandwidth: float) -> Row:
    """Adam on the whole table, every row touched: parameters per second, and bytes against a copy."""
    rates = []
    for backend in ("cpu", "reference"):
        param = case.table.detach().clone()
        grad = torch.randn_like(param)
        m, v = torch.zeros_like(param), torch.zeros_like(param)
        steps = torch.zeros(param.shape[0], dtype=torch.int32)
        step = lambda p=param, g=grad, m=m, v=v, s=steps, b=backend: kernels.adam_step(p, g, m, v, s, lr=1e-2, skip_zero=True, backend=b)  # noqa: E731
        rates.append(param.numel() / seconds(step))
    # read: value, gradient, two averages, half a count; written: value, two averages, half a count
    return Row("Adam, parameters of the table", rates[0], rates[1], "copy bandwidth", rates[0] * 4 * (4.5 + 3.5) / bandwidth)


def measure(flops: float, bandwidth: float) -> list[Row]:
    """All rows of the table, given what the machine does at most."""
    rows: list[Row] = []
    for label, shape in (("L16 F2 T2^19", (16, 2, 19)), ("L8 F4 T2^17", (8, 4, 17))):
        big, small = FieldCase(SAMPLES, *shape), FieldCase(REFERENCE_SAMPLES, *shape)
        cases = [
            ("encoding, forward", "encode"),
            ("encoding, forward + backward", "encode_step"),
            ("density 32-64-16, forward", "density_forward"),
            ("32-64-16 and 32-64-64-3, forward + backward", "training_step"),
            ("order 1, 35-64-17 softplus, forward", "jet_forward"),
            ("order 1, 35-64-17 softplus, forward + backward", "jet_step"),
        ]
        for name, method in cases:
            rate = SAMPLES / seconds(lambda m=method, c=big: getattr(c, m)("cpu"))
            reference = REFERENCE_SAMPLES / seconds(lambda m=method, c=small: getattr(c, m)("reference"), 1.0, 2)
            rows.append(Row(f"{label}: {name}", rate, reference))
        if shape[2] == 19:
            products = sum(o * i for i, o in pairwise(big.colour.widths))
            for name, method, passes in (("forward", "network_forward", 1), ("forward + backward", "network_step", 3)):
                rate = SAMPLES / seconds(lambda m=method, c=big: getattr(c, m)("cpu"))
                reference = SAMPLES / seconds(lambda m=method, c=big: getattr(c, m)("reference"), 1.0)
                share = rate * 2 * products * passes / flops
                rows.append(Row(f"network 32-64-64-3, {name}", rate, reference, "sgemm", share))
            rows.append(adam_row(big, bandwidth))
    for case in bench_rays.cases():
        (native, call), (fewer, slow) = case.native, case.reference
        rows.append(Row(case.name, native / seconds(call), fewer / seconds(slow, 1.0, 2)))
    return rows


def peak_memory() -> dict[str, float]:
    """Extra memory of a training step of 2^18 samples, in MiB, beyond inputs, parameters and their gradients (run in a fresh process)."""
    case = FieldCase(SAMPLES, 16, 2, 19)
    scale = 1024 if sys.platform != "darwin" else 1024**2
    small = FieldCase(64, 4, 2, 8)
    small.training_step("cpu")
    small.jet_step("cpu")
    held = [torch.ones_like(case.table)]  # stands for the gradient of the table, which is not extra
    result = {}
    for name, step in (("training step", case.training_step), ("order 1 step", case.jet_step)):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        if name == "training step":
            held.clear()
        step("cpu")
        result[name] = max(0.0, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / scale)
    result["order 1 step"] += result["training step"]  # the high-water mark only rises
    return result


def machine() -> dict[str, str | int]:
    """What the figures were taken on."""
    from .backends.cpu import isa  # needs the extension

    return {
        "processor": platform.processor() or platform.machine(),
        "instructions": isa(),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
    }


def run() -> Report:
    """Everything, the memory in a process of its own."""
    command = [sys.executable, "-m", "kernels.bench", "--memory", "--threads", str(torch.get_num_threads())]
    memory = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    flops, bandwidth = sgemm_flops(), copy_bandwidth()
    limits = {"matrix product of torch, float32 operations": flops, "copy of memory, bytes": bandwidth}
    return Report(machine(), measure(flops, bandwidth), limits, memory)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m kernels.bench", description="Speed of the field kernels on this machine.")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="also write the table between the marks in this Markdown page")
    parser.add_argument("--results", type=Path, metavar="FILE", help="what --json printed before; nothing is measured")
    parser.add_argument("--threads", type=int, default=None, help="threads to use (torch's default)")
    parser.add_argument("--memory", action="store_true", help="only the peak memory of a step, as JSON")
    arguments = parser.parse_args()
    try:
        if arguments.markdown:
            bench_report.check_page(arguments.markdown)  # now, rather than after some minutes of measuring
        if arguments.threads:
            torch.set_num_threads(arguments.threads)
        if arguments.results:
            report = bench_report.from_json(json.loads(arguments.results.read_text()))
        else:
            kernels.backends.raw("cpu", "field", torch.empty(0))  # one clear error now, rather than after the reference has been timed
            if arguments.memory:
                print(json.dumps(peak_memory()))
                return
            report = run()
        if arguments.markdown:
            bench_report.write_page(arguments.markdown, report)
    except (KernelError, OSError, json.JSONDecodeError) as error:
        parser.error(str(error))
    print(json.dumps(bench_report.as_json(report), indent=1) if arguments.json else bench_report.as_text(report))


if __name__ == "__main__":
    main()
