"""``python -m scenes.build [NAME ...]``: make the data files of the built-in CAD scenes.

Needs the extra ``[cad]``; users of scenes do not.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from pathlib import Path

from recon.curves.files.curve import to_json
from recon.errors import ReconError, UsageError
from scenes.catalog import CATALOG, Entry
from scenes.making.solid import Solid, save_mesh

DATA = Path(__file__).parent / "data"
logger = logging.getLogger(__name__)


def build(entry: Entry, folder: Path) -> Solid:
    """Model one CAD scene and write ``mesh.npz``, ``curves.json`` and ``part.step`` into ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    from recon.curves.files.occ import write_step
    from scenes.cad import solid_from_shape
    from scenes.parts import PARTS

    shape = PARTS[entry.name]()
    solid, _ = solid_from_shape(shape, f"scenes:{entry.name}")
    step = folder / "part.step"
    write_step(step, shape, product=entry.name)
    # the writer's clock is left out, so that building again changes nothing
    step.write_text(
        re.sub(r"'\d{4}-\d\d-\d\dT[\d:]+'", "'2026-01-01T00:00:00'", step.read_text(encoding="utf-8"), count=1), encoding="utf-8"
    )
    document = to_json(solid.curve_vertices, solid.curves, solid.tangent_curves, entry.unit)
    (folder / "curves.json").write_text(json.dumps(document, separators=(",", ":")) + "\n", encoding="utf-8")
    save_mesh(folder / "mesh.npz", solid)
    return solid


def main(names: list[str]) -> None:
    """Build the named CAD scenes, or all."""
    known = {entry.name: entry for entry in CATALOG if entry.kind == "cad"}
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise UsageError(f"unknown scenes: {', '.join(unknown)}", f"Known: {', '.join(known)}.")
    for name in names or list(known):
        solid = build(known[name], DATA / name)
        size = sum(f.stat().st_size for f in (DATA / name).iterdir())
        logger.info("%-12s %6d triangles, %3d curves, %3d tangent, diagonal %7.2f, %4d KiB", name, len(solid.faces), len(solid.curves),
                    len(solid.tangent_curves), solid.diagonal, size // 1024)  # fmt: skip


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        main(sys.argv[1:])
    except ReconError as error:
        logger.error("%s", error)
        sys.exit(error.exit_code)
