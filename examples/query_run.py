"""A finished run as a function of space: how far each of some points is from the surface, and in which direction it lies.

    python examples/query_run.py runs/bracket/volsdf-hashgrid/...  [points.txt]

Points are in the world's units, a line of x y z each; without a file, ten random ones inside the scene's bounds are taken.
"""

import sys
from pathlib import Path

import numpy as np

import recon


def main(run: str, points_file: str | None = None) -> None:
    field = recon.load(run)
    if field.kind != "signed distance":
        sys.exit(f"{run}: its values are of the kind {field.kind!r}; this example wants a signed distance (--method volsdf)")
    if points_file is None:
        in_scene = np.random.default_rng(0).uniform(-0.5, 0.5, (10, 3))
        points = field.from_points.inverse().apply(in_scene)
    else:
        points = np.loadtxt(Path(points_file), ndmin=2)
    found = field.query(points, gradient=True)
    print("x y z | distance (negative inside) | unit direction away from the surface")
    for point, distance, slope in zip(points, found.values[:, 0], found.gradient, strict=True):
        away = slope / np.linalg.norm(slope)
        print(" ".join(f"{v:.4g}" for v in point), "|", f"{distance:+.4g}", "|", " ".join(f"{v:+.3f}" for v in away))


if __name__ == "__main__":
    main(*sys.argv[1:])
