"""`recon doctor`: what this installation can do, and what would make it do more."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

import kernels
from recon import __version__
from recon.device import choose
from recon.errors import install_hint
from recon.runs import processor

IMPORT_NAMES = ("recon", "kernels", "scenes", "viewer")
EXTRAS = {
    "viewer": ("viser", "pyvista", "imageio_ffmpeg"),
    "photos": ("pycolmap", "pillow_heif", "av", "cv2"),
    "cad": ("OCP", "ezdxf"),
    "gpu": ("triton", "cuda.core"),
    "hdr": ("OpenEXR",),
    "ray": ("ray",),
    "slurm": ("submitit",),
    "dropins": ("nerfacc",),
    "dev": ("pytest", "hypothesis", "playwright", "ruff", "pyright", "nanobind", "scikit_build_core", "pdoc"),
}
"""Import names that each extra brings."""
INSTRUCTION_SETS = ("sse4_2", "avx2", "fma", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve")


def diagnose() -> dict[str, Any]:
    """Everything that `recon doctor` shows, as plain values."""
    choice = choose()
    return {
        "version": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "instruction_sets": _instruction_sets(),
        "memory_gib": _memory_gib(),
        "device": choice.line,
        "compiler": shutil.which("c++") or shutil.which("g++") or shutil.which("clang++"),
        "kernels": kernels.backend_report(choice.device),
        "extras": {name: [m for m in modules if not _found(m)] for name, modules in EXTRAS.items()},
        "warnings": foreign_owners(),
    }


def foreign_owners() -> list[str]:
    """Warnings about distributions other than this one that own one of our import names (PyPI's `kernels` is somebody else's)."""
    owners = importlib.metadata.packages_distributions()
    warnings = []
    for name in IMPORT_NAMES:
        others = sorted({d for d in owners.get(name, []) if d != "formfield"})
        if others:
            warnings.append(
                f"the import name '{name}' also belongs to the distribution '{others[0]}': install formfield into an environment of its own"
            )
    return warnings


def lines(report: dict[str, Any]) -> list[str]:
    """The report as text, a line each."""
    out = [
        f"formfield {report['version']}, Python {report['python']}, torch {report['torch']}",
        f"{report['processor']}: {report['cores']} cores, {report['threads']} threads, {report['memory_gib']:.1f} GiB memory, "
        f"{' '.join(report['instruction_sets']) or 'no known instruction sets'}",
        f"a step runs on {report['device']}",
        f"C++ compiler: {report['compiler'] or 'none'}",
        "kernels:",
    ]
    width = max(len(row["op"]) for row in report["kernels"])
    out += [f"  {row['op']:{width}}  {row['backend']:9}  {row['why']}" for row in report["kernels"]]
    out.append("extras:")
    width = max(map(len, EXTRAS))
    for name, missing in report["extras"].items():
        out.append(f"  {name:{width}} " + (f"missing {', '.join(missing)}: {install_hint(name)}" if missing else "installed"))
    return out + [f"warning: {w}" for w in report["warnings"]]


def _found(module: str) -> bool:
    with suppress(ModuleNotFoundError):
        return importlib.util.find_spec(module) is not None
    return False


def _instruction_sets() -> list[str]:
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith(("flags", "Features")):
                flags = set(line.partition(":")[2].split())
                return [name for name in INSTRUCTION_SETS if name in flags]
    return []


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
