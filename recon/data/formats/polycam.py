"""Polycam's raw data: ``keyframes/corrected_images`` and ``keyframes/corrected_cameras/*.json`` (or ``images`` and ``cameras``, before its
own optimisation). Camera-to-world ``t_00 .. t_23`` with OpenGL axes; ARKit's world: y up, metres.
"""

from __future__ import annotations

from pathlib import Path

from recon.data.formats.base import Claim
from recon.data.formats.files import Files
from recon.data.formats.transforms import intrinsics, pose, read_json
from recon.data.listing import Findings, Frame, FrameProblem, Listing, natural_key

FORMAT = "polycam"
FILES = "keyframes/corrected_cameras (Polycam)"
PLACES = (("corrected_cameras", "corrected_images"), ("cameras", "images"))


def owns(path: Path) -> Claim | None:
    if path.is_file():
        return None
    root = path.parent if path.name == "keyframes" else path
    found = next((c for c, _ in PLACES if next((root / "keyframes" / c).glob("*.json"), None)), None)
    return None if found is None else Claim(root, root / "keyframes" / found)


def read(claim: Claim, findings: Findings) -> Listing:
    files, images = Files(claim.root), dict(PLACES)[claim.source.name]
    if claim.source.name == "cameras":
        findings.warnings.append("Polycam's cameras before its optimisation: export with loop closure (raw data of a processed capture)")
    frames = []
    for file in sorted(claim.source.glob("*.json"), key=lambda f: natural_key(f.name)):
        data = read_json(file, findings)
        if data is None:
            continue
        where = f"{claim.source.name}/{file.name}"
        try:
            name, path = files.locate(f"keyframes/{images}/{file.stem}", "name", ".jpg")
            matrix = pose([[data.get(f"t_{row}{column}") for column in range(4)] for row in range(3)], "t_00 .. t_23", opengl=True)
            shared = {"fl_x": data.get("fx"), "fl_y": data.get("fy"), "w": data.get("width"), "h": data.get("height")}
            k = intrinsics({**shared, "cx": data.get("cx"), "cy": data.get("cy")}, {})
            frames.append(Frame(f"{where} ({name})", name, path, matrix, k))
        except FrameProblem as problem:
            findings.bad.append((where, str(problem)))
    findings.notes.append("unit: m, as ARKit's world is in metres")
    return Listing(claim.root, FORMAT, tuple(frames), unit="m", axes="opengl")
