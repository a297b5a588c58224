"""Two examples for the help of every command, and how its text is put together."""

from __future__ import annotations

import inspect

EXAMPLES: dict[str, tuple[str, str]] = {
    "process": ("recon process PHOTOS --out DATA", "recon process FILM.mp4 --out DATA --marker aruco_4x4_50:40mm"),
    "reconstruct": ("recon reconstruct PHOTOS --preset draft", "recon reconstruct DATA --preset balanced --name bracket --view"),
    "inspect": ("recon inspect DATA", "recon inspect scenes:bracket --depth"),
    "train": ("recon train DATA --method radiance", "recon train DATA --set train.steps=500"),
    "fit": ("recon fit picture.png --params 337k", "recon fit shape.obj --field rbfnet"),
    "solid": ("recon solid latest --curves RUN", "recon solid part.stl --unit mm --freeform facets"),
    "resume": ("recon resume latest", "recon resume RUN --eval-views 0"),
    "evaluate": ("recon evaluate latest", "recon evaluate RUN --truth mesh.ply --json"),
    "render": ("recon render latest --orbit", "recon render RUN --split test --modes color error --out pictures"),
    "export": ("recon export latest mesh --formats glb 3mf --out PARTS", "recon export RUN mesh --resolution 1024 --texture-size 4096"),
    "swap": ("recon swap RUN_A RUN_B", "recon swap RUN_A RUN_B --orbit --export"),
    "compare": ("recon compare RUN RUN", "recon compare RUN RUN --format latex"),
    "view": ("recon view latest", "recon view RUN --export page.html"),
    "scene": ("recon scene bracket --out DATA", "recon scene part.step --out DATA --views 60"),
    "benchmark": ("recon benchmark smoke", "recon benchmark --compare BEFORE AFTER"),
    "doctor": ("recon doctor", "recon doctor --json"),
}


def told(name: str, command: type) -> str:
    """A command's help: what its class says, and the examples."""
    return f"{inspect.getdoc(command)}\n\nExamples:\n" + "\n".join(f"  {line}" for line in EXAMPLES[name])
