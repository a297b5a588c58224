"""Solids of many parts, one line each: ``python -m tests.solid_batch m1 bracket,tee`` or ``m2 bracket --seed 1 --drop 0.15``."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from types import SimpleNamespace
from typing import Any

import numpy as np
import trimesh

from recon.curves.files.occ import box_diagonal, occ, read_step, write_step
from recon.evaluation.solids import evaluate_solid, part_of, read_part
from recon.evaluation.surfaces import surface_metrics
from recon.solid.model import SolidInput, SolidOptions, SolidResult
from recon.solid.reconstruct import reconstruct_solid
from recon.surface.mesh import Mesh
from scenes import modelling
from scenes.cad import tessellate
from scenes.library import Truth, truth
from scenes.parts import PARTS

CACHE = Path(gettempdir()) / "solid_batch"


def _cpu() -> float:
    """Seconds of this process and of its children that ended."""
    return sum(os.times()[:4])


def reread_valid(result: SolidResult) -> bool:
    """Whether the solid is still one after it was written as STEP and read."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "part.step"
        write_step(path, result.shape)
        return bool(occ("BRepCheck").BRepCheck_Analyzer(read_step(path)).IsValid())


def matched(result: SolidResult, known: Truth) -> tuple[int, int, int]:
    """Regions that are a true face one to one: the same triangles (nearest ones) by area, IoU at least 0.8. Matched, found, true."""
    import igl

    solid = known.solid
    region = np.full(len(result.mesh.faces), -1)
    for k, r in enumerate(result.regions):
        region[r.triangles] = k
    v, f = np.asarray(result.mesh.vertices), np.asarray(result.mesh.faces)
    middle = v[f].mean(1)
    nearest = igl.point_mesh_squared_distance(middle, np.ascontiguousarray(solid.vertices), solid.faces.astype(np.int64))[1]
    true = solid.patches[nearest]
    area = np.linalg.norm(np.cross(v[f[:, 1]] - v[f[:, 0]], v[f[:, 2]] - v[f[:, 0]]), axis=1)
    both = Counter()
    for a, b, w in zip(region.tolist(), true.tolist(), area.tolist(), strict=True):
        both[(a, b)] += w
    of_region = np.bincount(region, weights=area)
    of_true = np.bincount(true, weights=area, minlength=solid.patches.max() + 1)
    good = sum(w / (of_region[a] + of_true[b] - w) >= 0.8 for (a, b), w in both.items())
    return good, len(result.regions), int(solid.patches.max() + 1)


def against_step(result: SolidResult, known: Truth) -> str:
    """F1 of faces of the right kind, median radius error (% of the diagonal), Chamfer of the solid and as a part of its mesh's."""
    if result.status != "solid" or known.step is None:
        return ""
    parts = part_of(result.shape, "solid"), read_part(known.step)
    figures = evaluate_solid(*parts)
    mesh = Mesh(np.asarray(result.mesh.vertices), np.asarray(result.mesh.faces, np.int32))
    before = surface_metrics(mesh, parts[1].facets.mesh, samples=40_000).chamfer_l1
    radius = figures["radii"]["median"]
    radii = "-" if radius is None else f"{100 * radius / parts[1].diagonal:.4f}"
    ratio = f"{figures['chamfer_percent_of_diagonal']:.4f} ({figures['chamfer'] / before:.2f})"
    return f"STEP F1 {figures['faces']['f1']:.3f} radii % {radii} Chamfer % {ratio} "


def line(name: str, result: SolidResult, known: Truth, seconds: float) -> str:
    good, count, true = matched(result, known)
    again = reread_valid(result) if result.status == "solid" else "-"
    kinds = Counter(r.primitive.kind for r in result.regions)
    kept = Counter(c.kind for c in result.constraints if c.kept)
    dropped = Counter(c.kind for c in result.constraints if not c.kept)
    against = against_step(result, known)
    volume = "-" if result.volume_error is None else f"{100 * result.volume_error:+.4f}"
    return (f"{name:13s} {result.status:10s} reread {again!s:5s} faces {good}/{count}/{true} F1 {2 * good / (count + true):.3f} "
            f"{against}tol {result.tolerance:.1e} vol % {volume} cpu {seconds:.1f} {dict(kinds)} kept {dict(kept)} dropped {dict(dropped)} "
            f"{'; '.join(result.reasons)}")  # fmt: skip


def m1(name: str) -> str:
    known = truth("scenes:" + name)
    start = _cpu()
    result = reconstruct_solid(SolidInput(known.vertices, known.faces), SolidOptions())
    return line(name, result, known, _cpu() - start)


def noisy_shape(shape: Any, seed: int) -> SolidInput:
    """A shape as a reconstruction gives it, of about 90 cells: see :func:`noisy`."""
    made, diagonal = tessellate(shape, box_diagonal(shape), "part"), box_diagonal(shape)
    known = SimpleNamespace(vertices=made.vertices, faces=made.faces, diagonal=diagonal)
    return noisy(known, seed, 90)  # pyright: ignore[reportArgumentType]


def bored_block(height: float = 20, bore: tuple[float, float, float] = (17, 15, 8)) -> Any:
    """A block of 40 x 30 with a bore through it, at x, y and of a radius."""
    x, y, radius = bore
    return modelling.cut(modelling.box((0, 0, 0), (40, 30, height)), modelling.cylinder((x, y, -1), (0, 0, 1), radius, 30))


def noisy(known: Truth, seed: int, cells: int = 230) -> SolidInput:
    """As a good reconstruction is: marching cubes, rounded edges, errors of 0.05 % of the diagonal that are alike over 2 %."""
    import igl
    from scipy.ndimage import gaussian_filter
    from skimage.measure import marching_cubes

    v, f = np.ascontiguousarray(known.vertices), known.faces.astype(np.int64)
    h = known.diagonal / cells
    low = v.min(0) - 4 * h
    shape = np.ceil((v.max(0) + 4 * h - low) / h).astype(int)

    def sdf(x: np.ndarray) -> np.ndarray:
        return igl.signed_distance(np.ascontiguousarray(x), v, f, sign_type=igl.SIGNED_DISTANCE_TYPE_PSEUDONORMAL)[0]

    coarse = -(-shape // 4)
    axes = [low[k] + h * (4 * np.arange(coarse[k]) + 1.5) for k in range(3)]
    blocks = sdf(np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 3)).reshape(coarse)
    grid = np.kron(blocks, np.ones((4, 4, 4)))[: shape[0], : shape[1], : shape[2]]
    near = np.abs(grid) < (1.5 * np.sqrt(3) + 3.2) * h
    grid[near] = sdf(low + h * np.argwhere(near))
    sigma = 5e-4 * known.diagonal
    rng = np.random.default_rng(seed)
    field = gaussian_filter(rng.normal(size=shape).astype(np.float32), 0.02 * known.diagonal / h)
    grid = gaussian_filter(np.clip(grid, -6 * h, 6 * h), 0.8) + field * (sigma / field.std())
    grid += 0.15 * sigma * rng.normal(size=shape)
    grid[np.abs(grid) < 1e-3 * h] = 1e-3 * h
    points, faces, _, _ = marching_cubes(grid, 0.0)
    points = low + h * points
    mesh = trimesh.Trimesh(points, faces, process=False)
    mesh = max(mesh.split(only_watertight=False), key=lambda m: len(m.faces))
    return SolidInput(np.asarray(mesh.vertices), np.asarray(mesh.faces))


def curves(known: Truth, drop: float, seed: int) -> tuple[np.ndarray, ...]:
    """Sharp curves as polylines, a part of them left out."""
    rng = np.random.default_rng(seed)
    return tuple(c.sample(0.003 * known.diagonal)[0] for c in known.curves if rng.random() >= drop)


def m2(name: str, seed: int, drop: float) -> str:
    known = truth("scenes:" + name)
    kept = CACHE / f"{name}_{seed}.npz"
    if kept.is_file():
        with np.load(kept) as data:
            given = SolidInput(data["v"], data["f"])
    else:
        given = noisy(known, seed)
        CACHE.mkdir(parents=True, exist_ok=True)
        np.savez(kept, v=given.vertices, f=given.faces)
    given = replace(given, curves=curves(known, drop, seed), sigma=5e-4 * known.diagonal)
    start = _cpu()
    result = reconstruct_solid(given, SolidOptions())
    return line(f"{name} s{seed} d{drop:g}", result, known, _cpu() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("level", choices=["m1", "m2"])
    parser.add_argument("parts", nargs="?", default=",".join(PARTS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--drop", type=float, default=0.0)
    args = parser.parse_args()
    for name in args.parts.split(","):
        print(m1(name) if args.level == "m1" else m2(name, args.seed, args.drop), flush=True)


if __name__ == "__main__":
    main()
