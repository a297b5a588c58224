"""Work of a usual size for the proof: fields and rays, and the same by tinycudann and nerfacc."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator

import torch

import kernels
from kernels import HashGridSpec, MLPSpec, OccupancyGrid

Work = tuple[str, Callable[[], object], float, str]
"""What it is, a call, how much that does, unit of that per second."""
GRID = {"otype": "HashGrid", "n_levels": 16, "log2_hashmap_size": 19, "base_resolution": 16, "per_level_scale": 1.3819}
NETWORK = {"otype": "FullyFusedMLP", "n_neurons": 64, "n_hidden_layers": 1}


def points_along_rays(n: int, device: torch.device) -> torch.Tensor:
    """64 to a ray, in [0, 1]^3."""
    directions = torch.nn.functional.normalize(torch.randn(n // 64, 1, 3, device=device), dim=-1)
    steps = torch.arange(-32, 32, device=device, dtype=torch.float32)[:, None]
    return (0.5 + 0.01 * directions * steps).reshape(-1, 3).clamp(0, 1)


def cases(device: torch.device, backend: str, n: int) -> Iterator[Work]:
    """Ours."""
    x = points_along_rays(n, device)
    count = len(x) / 1e6
    for label, grid, mlp, order in (
        ("radiance field L16 F2 T2^19, 32-64-16", HashGridSpec(levels=16, features=2, log2_table_size=19), dict(activation="relu"), 0),
        (
            "distance field L14 F2 T2^17, 31-64-16, order 1",
            HashGridSpec(levels=14, features=2, log2_table_size=17),
            dict(activation="softplus", beta=100.0),
            1,
        ),
    ):
        include = order == 1
        spec = MLPSpec(grid.out_features + (3 if include else 0), (64,), 16, **mlp)
        table = (torch.rand(grid.entries, grid.features, device=device) * 1e-4).requires_grad_()
        params = (torch.randn(spec.params, device=device) * 0.1).requires_grad_()

        def forward(grid=grid, spec=spec, table=table, params=params, order=order, include=include):
            with torch.no_grad():
                return kernels.fused_field(x, table, params, grid, spec, order=order, include_input=include, backend=backend)

        def both(grid=grid, spec=spec, table=table, params=params, order=order, include=include):
            out = kernels.fused_field(x, table, params, grid, spec, order=order, include_input=include, backend=backend)
            return torch.autograd.grad(sum(o.sum() for o in (out if order else (out,))), (table, params))

        yield f"{label}, forward", forward, count, "M points/s"
        yield f"{label}, forward and backward", both, count, "M points/s"
    yield from ray_cases(device, backend, max(n >> 4, 8))
    if backend != "triton":
        yield from stereo_work(device, backend, max(n >> 9, 1))


def ray_cases(device: torch.device, backend: str, rays: int) -> Iterator[Work]:
    """Marching and compositing."""
    origins, directions, grid = towards_a_ball(device, rays)
    near, far = torch.zeros(rays, device=device), torch.full((rays,), 10.0, device=device)

    def march():
        return kernels.march_rays(origins, directions, near, far, grid, step=3**0.5 / 512, backend=backend)

    samples = march()
    count = len(samples)
    density, channels = torch.rand(count, device=device).requires_grad_(), torch.rand(count, 4, device=device).requires_grad_()

    def composite():
        values, _, _ = kernels.composite(density, samples.dt, channels, samples.offsets, backend=backend)
        return torch.autograd.grad(values.sum(), (density, channels))

    yield "march_rays", march, count / 1e6, "M samples/s"
    yield "composite, forward and backward", composite, count / 1e6, "M samples/s"


def stereo_work(device: torch.device, backend: str, windows: int) -> Iterator[Work]:
    """Depth of a photograph from four others, and what a step of training compares. A pixel has 13 hypotheses in an iteration."""
    from stereo_cases import RANGE, moved, pictures, views

    view, *others = (moved(v, device) for v in views(*((1024, 768) if windows > 1 else (24, 22))))
    pixels = view.grey.numel() / 1e6

    def match(iterations: int):
        return kernels.patch_match(view, others, RANGE, iterations=iterations, backend=backend)

    yield "patch_match, first planes", lambda: match(0), 4 * pixels, "M NCC/s"
    yield "patch_match, first planes and three iterations", lambda: match(3), 4 * (1 + 3 * 13) * pixels, "M NCC/s"
    yield "filter_depth, four others", lambda: kernels.filter_depth(view, others, backend=backend), pixels, "M pixels/s"
    yield "refit_normals", lambda: kernels.refit_normals(view.depth, view.intrinsics, backend=backend), pixels, "M pixels/s"
    given = pictures(torch.float32, device)
    middle = torch.rand(windows, 2, device=device) * 20.0 + 5.0
    numbers = (torch.zeros(windows, dtype=torch.int64, device=device), middle, torch.ones(windows, 3, device=device) * 0.02)
    yield "patch_agreement", lambda: kernels.patch_agreement(given, *numbers, backend=backend), 2 * windows / 1e6, "M NCC/s"


def towards_a_ball(device: torch.device, rays: int) -> tuple[torch.Tensor, torch.Tensor, OccupancyGrid]:
    """Rays from outside, and a grid that is occupied about a sphere."""
    origins = torch.nn.functional.normalize(torch.randn(rays, 3, device=device), dim=1) * 2.5
    directions = torch.nn.functional.normalize(torch.randn(rays, 3, device=device) * 0.3 - origins, dim=1)
    grid = OccupancyGrid.empty(128)
    shell = ((grid.cell_centers().norm(dim=1) - 0.6).abs() < 0.05).float()[None]
    kernels.update_occupancy(grid, shell, 0.5)
    return origins, directions, grid.to(device)


def missing(name: str) -> str:
    """Why a rival does not run here, "" if it does."""
    try:
        importlib.import_module(name)
        if name == "nerfacc" and importlib.import_module("nerfacc.cuda._backend")._C is None:
            return "has no compiled extension here"
    except (ImportError, OSError) as error:
        return f"does not run here: {str(error).splitlines()[0]}"
    return ""


def tinycudann(device: torch.device, n: int) -> Iterator[Work]:
    """The radiance field above, in its half precision."""
    module = importlib.import_module("tinycudann").NetworkWithInputEncoding(3, 16, GRID, NETWORK)
    x = points_along_rays(n, device)

    def forward():
        with torch.no_grad():
            return module(x)

    def both():
        return torch.autograd.grad(module(x).float().sum(), module.params)

    yield "radiance field L16 F2 T2^19, 32-64-16, forward", forward, len(x) / 1e6, "M points/s"
    yield "radiance field L16 F2 T2^19, 32-64-16, forward and backward", both, len(x) / 1e6, "M points/s"


def nerfacc(device: torch.device, n: int) -> Iterator[Work]:
    """Walks through the same grid."""
    package = importlib.import_module("nerfacc")
    origins, directions, _ = towards_a_ball(device, max(n >> 4, 8))
    edge = (torch.arange(128, device=device) + 0.5) / 64 - 1
    cells = torch.stack(torch.meshgrid(edge, edge, edge, indexing="ij"), -1)
    occupied = ((cells.norm(dim=-1) - 0.6).abs() < 0.05)[None]
    box = torch.tensor([[-1.0, -1, -1, 1, 1, 1]], device=device)

    def walk():
        return package.traverse_grids(origins, directions, occupied, box, step_size=3**0.5 / 512)

    yield "traverse_grids", walk, len(walk()[1].vals) / 1e6, "M samples/s"


RIVALS: dict[str, Callable[[torch.device, int], Iterator[Work]]] = {"tinycudann": tinycudann, "nerfacc": nerfacc}
