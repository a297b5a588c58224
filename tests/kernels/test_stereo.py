"""Stereo against exact depth, and the native kernels against their plain torch twins."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

import kernels
from kernels import ArgumentError, PlaneMap, StereoView
from tests.stereo_scenes import Eye, Plane, Shot, Sphere, around, looking_at, shoot

SIZE, FOCAL, DISTANCE = 320, 384.0, 3.0
PIXEL = DISTANCE / FOCAL
RANGE = (1.0, 9.0)
SLANT = np.radians(35.0)
SLANTED = Plane(np.zeros(3), np.array([np.sin(SLANT), 0.0, -np.cos(SLANT)]))


def view_of(shot: Shot, **changes) -> StereoView:
    pose = shot.eye.world_from_camera
    rotation = pose[:, :3].T
    matrix = torch.from_numpy(np.concatenate([rotation, -(rotation @ pose[:, 3])[:, None]], 1))
    return dataclasses.replace(StereoView(torch.from_numpy(shot.grey), shot.eye.intrinsics, matrix), **changes)


def shots_of(things: list, degrees: float = 8.0, size: int = SIZE, **more) -> list[Shot]:
    eyes = around(np.zeros(3), DISTANCE, degrees, size, FOCAL * size / SIZE)
    return [shoot(eye, things, 4.0 * PIXEL * SIZE / size, **more) for eye in eyes]


@pytest.fixture(scope="module")
def slanted() -> list[Shot]:
    return shots_of([SLANTED])


@pytest.fixture(scope="module")
def matched(slanted: list[Shot]) -> PlaneMap:
    return match(slanted)


def match(shots: list[Shot], **more) -> PlaneMap:
    views = [view_of(shot) for shot in shots]
    return kernels.patch_match(views[0], views[1:], RANGE, **more)


def inner(values, margin: int = 12):
    return np.asarray(values)[margin:-margin, margin:-margin]


def signed_error(planes: PlaneMap, shot: Shot) -> np.ndarray:
    return planes.depth.numpy() / shot.depth - 1.0


def degrees_off(normal: torch.Tensor, shot: Shot) -> np.ndarray:
    return np.degrees(np.arccos(np.clip((normal.numpy() * shot.normal).sum(-1), -1.0, 1.0)))


def test_depth_and_normals_of_a_slanted_plane(slanted: list[Shot], matched: PlaneMap) -> None:
    error = np.abs(inner(signed_error(matched, slanted[0])))
    assert np.median(error) < 5e-4
    assert (error < 1e-3).mean() > 0.95
    refit = degrees_off(kernels.refit_normals(matched.depth, slanted[0].eye.intrinsics), slanted[0])
    assert np.median(inner(refit)) < 1.0
    assert np.percentile(inner(refit), 90) < 2.0
    own = degrees_off(matched.normal, slanted[0])
    assert np.median(inner(refit)) < np.median(inner(own))
    assert torch.allclose(matched.normal.norm(dim=-1), torch.ones(SIZE, SIZE), atol=1e-5)


def test_no_half_pixel_is_lost(slanted: list[Shot]) -> None:
    """Half a pixel would be 0.5 / 53 pixels of disparity, 1 % of depth; from one side, so that errors do not cancel."""
    view, right = view_of(slanted[0]), view_of(slanted[2])
    off = dataclasses.replace(right, intrinsics=(FOCAL, FOCAL, SIZE / 2 + 0.5, SIZE / 2))
    middle, moved = (np.median(inner(signed_error(kernels.patch_match(view, [s], RANGE), slanted[0]), 40)) for s in (right, off))
    assert abs(middle) < 5e-5
    assert abs(moved) > 5e-3


def test_the_radius_of_a_sphere() -> None:
    ball, wall = Sphere(np.zeros(3), 0.8), Plane(np.array([0.0, 0.0, 1.5]), np.array([0.2, 0.0, -1.0]) / np.hypot(0.2, 1.0))
    shots = shots_of([ball, wall])
    planes = match(shots)
    directions = shots[0].eye.rays()
    points = planes.depth.numpy()[..., None] * directions
    pose = shots[0].eye.world_from_camera
    there = np.linalg.norm(directions * shots[0].depth[..., None] @ pose[:, :3].T + pose[:, 3], axis=-1)
    edge = np.hypot(*(np.indices((SIZE, SIZE)) + 0.5 - SIZE / 2)) > 0.8 / np.sqrt(DISTANCE**2 - 0.64) * FOCAL - 12
    on_ball = (there < 0.81) & ~edge
    p = points[on_ball]
    solution = np.linalg.lstsq(np.concatenate([2 * p, np.ones((len(p), 1))], 1), (p**2).sum(1), rcond=None)[0]
    radius = np.sqrt(solution[3] + (solution[:3] ** 2).sum())
    assert radius == pytest.approx(0.8, rel=5e-3)  # planes in a window of 11 pixels lie a little inside a ball
    error = np.abs(signed_error(planes, shots[0]))[on_ball]
    assert np.median(error) < 1e-3
    assert (error < 0.01).all()


def test_an_occluding_square_and_what_the_filter_leaves() -> None:
    square = Plane(np.array([0.0, 0.0, -0.6]), np.array([0.0, 0.0, -1.0]), half=0.4)
    wall = Plane(np.zeros(3), np.array([0.0, 0.0, -1.0]))
    shots = shots_of([square, wall])
    views = [view_of(s) for s in shots]
    planes = [kernels.patch_match(v, [o for o in views if o is not v], RANGE) for v in views]
    views = [dataclasses.replace(v, depth=p.depth) for v, p in zip(views, planes, strict=True)]
    again = [
        kernels.patch_match(v, [o for o in views if o is not v], RANGE, iterations=1, geometric_weight=0.2, start=p, seed=1)
        for v, p in zip(views, planes, strict=True)
    ]
    views = [dataclasses.replace(v, depth=torch.where(p.cost < 0.6, p.depth, 0.0)) for v, p in zip(views, again, strict=True)]
    agreement = kernels.filter_depth(views[0], views[1:])
    half = 0.4 / (DISTANCE - 0.6) * FOCAL
    across = np.abs(np.indices((SIZE, SIZE)) + 0.5 - SIZE / 2).max(0) - half  # pixels outside the square's edge
    middle = np.abs(np.indices((SIZE, SIZE)) + 0.5 - SIZE / 2).max(0) < SIZE / 2 - 12
    kept = (agreement.count.numpy() >= 2) & middle
    error = np.abs(agreement.depth.numpy() / shots[0].depth - 1.0)
    gross = kept & (error > 0.02)
    assert kept.mean() > 0.7
    assert (np.abs(across[gross]) < 6).all()  # half a window at most
    assert gross.sum() < 0.02 * kept.sum()
    # The edge itself lies where it should, to two pixels in the mean.
    before = (agreement.depth.numpy() < DISTANCE - 0.3) & kept
    assert np.sqrt(before.sum()) == pytest.approx(2 * half, abs=4.0)


def test_no_depth_without_texture() -> None:
    plain = Plane(np.array([0.0, 0.0, -0.01]), np.array([0.0, 0.0, -1.0]), half=0.4)
    planes = match(shots_of([Plane(np.zeros(3), np.array([0.0, 0.0, -1.0]))], plain=plain))
    half = 0.4 / (DISTANCE - 0.01) * FOCAL
    across = np.abs(np.indices((SIZE, SIZE)) + 0.5 - SIZE / 2).max(0)
    assert not planes.depth[torch.from_numpy(across < half - 6)].any()
    assert (planes.depth[torch.from_numpy((across > half + 6) & (across < SIZE / 2 - 12))] > 0).all()


def test_gain_and_offset_change_nothing(slanted: list[Shot]) -> None:
    narrow = [dataclasses.replace(s, grey=np.rint(40 + s.grey * 0.6).astype(np.uint8)) for s in slanted]
    other = [
        *narrow[:2],
        dataclasses.replace(narrow[2], grey=np.rint(10 + narrow[2].grey * 1.3).clip(0, 255).astype(np.uint8)),
        *narrow[3:],
    ]
    same, changed = (inner(np.abs(signed_error(match(shots), slanted[0]))) for shots in (narrow, other))
    assert np.median(changed) < 1.3 * np.median(same)
    assert (changed < 1e-2).all()


def test_the_same_bits_for_any_number_of_threads(slanted: list[Shot], matched: PlaneMap) -> None:
    before = torch.get_num_threads()
    try:
        for threads in (1, 2, 8):
            torch.set_num_threads(threads)
            again = match(slanted)
            assert torch.equal(again.depth, matched.depth)
            assert torch.equal(again.normal, matched.normal)
    finally:
        torch.set_num_threads(before)
    assert not torch.equal(match(slanted, seed=1, iterations=1).depth, match(slanted, iterations=1).depth)


def test_three_times_the_range_costs_nothing(slanted: list[Shot]) -> None:
    views = [view_of(s) for s in slanted]
    narrow, wide = (kernels.patch_match(views[0], views[1:], r) for r in ((1.5, 5.0), (0.5, 15.0)))
    shares = [(np.abs(inner(signed_error(p, slanted[0]))) < 1e-3).mean() for p in (narrow, wide)]
    assert abs(shares[0] - shares[1]) < 0.01


def test_masks_bound_the_view_and_its_sources(slanted: list[Shot]) -> None:
    disc = torch.from_numpy((np.hypot(*(np.indices((SIZE, SIZE)) - SIZE / 2)) < 60).astype(np.uint8))
    views = [view_of(s, mask=disc) for s in slanted]
    planes = kernels.patch_match(views[0], views[1:], RANGE)
    assert not planes.depth[disc == 0].any()
    assert (planes.depth[disc > 0] > 0).all()
    nowhere = [dataclasses.replace(v, mask=torch.zeros_like(disc)) for v in views[1:]]
    assert (kernels.patch_match(views[0], nowhere, RANGE, iterations=1).cost >= 2.0).all()


def test_one_source_and_no_overlap(slanted: list[Shot]) -> None:
    views = [view_of(s) for s in slanted]
    pair = kernels.patch_match(views[0], views[1:2], RANGE)
    assert np.median(np.abs(inner(signed_error(pair, slanted[0]), 40))) < 1e-3
    away = Eye(SIZE, SIZE, FOCAL, looking_at(np.array([0.0, 0.0, -3.0]), np.array([0.0, 0.0, -9.0])))
    apart = kernels.patch_match(views[0], [view_of(shoot(away, [SLANTED], 4 * PIXEL))], RANGE, iterations=1)
    assert (apart.cost >= 2.0).all()
    twice = kernels.patch_match(views[0], [views[0], views[0]], RANGE, iterations=1)  # no base line: anything fits, and nothing breaks
    assert torch.isfinite(twice.depth).all()


@pytest.fixture(scope="module")
def small() -> list[StereoView]:
    shots = shots_of([Sphere(np.zeros(3), 0.8), SLANTED], size=48)
    mask = torch.ones(48, 48, dtype=torch.uint8)
    mask[:5, :9] = 0
    return [view_of(s, mask=mask, depth=torch.from_numpy(s.depth.astype(np.float32))) for s in shots]


@pytest.mark.parametrize("geometric", [0.0, 0.2])
def test_costs_are_those_of_the_reference(small: list[StereoView], geometric: float) -> None:
    generator = torch.Generator().manual_seed(0)
    depth = small[0].depth * (1.0 + 0.02 * torch.randn(48, 48, generator=generator))
    normal = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, -1.0]) + 0.5 * torch.randn(48, 48, 3, generator=generator), dim=-1)
    planes = PlaneMap(depth, normal, depth)
    native, reference = (
        kernels.patch_costs(small[0], small[1:], planes, geometric_weight=geometric, backend=b) for b in (None, "reference")
    )
    assert (native < 2.0).float().mean() > 0.5
    # A pixel on the border of a source, or of a depth's pixel, may fall to either side.
    assert ((native - reference).abs() < 2e-4).float().mean() > 0.995


def test_matching_follows_the_reference(small: list[StereoView]) -> None:
    native, reference = (kernels.patch_match(small[0], small[1:], RANGE, iterations=2, seed=5, backend=b) for b in (None, "reference"))
    assert torch.equal(native.depth > 0, reference.depth > 0)
    same = (native.depth - reference.depth).abs() <= 1e-3 * reference.depth
    assert same.float().mean() > 0.98
    assert not native.depth[:5, :9].any()


def test_filter_and_normals_are_those_of_the_reference(small: list[StereoView]) -> None:
    generator = torch.Generator().manual_seed(1)
    views = [dataclasses.replace(v, depth=v.depth * (1.0 + 0.004 * torch.randn(48, 48, generator=generator))) for v in small]
    views[0].depth[20:24, 20:24] = 0.0
    native, reference = (kernels.filter_depth(views[0], views[1:], earlier=2, backend=b) for b in (None, "reference"))
    assert 0.1 < (native.count >= 2).float().mean() < 0.95
    for name in ("count", "before"):
        assert (getattr(native, name) == getattr(reference, name)).float().mean() > 0.999
    agreeing = native.count == reference.count
    assert torch.allclose(native.depth[agreeing], reference.depth[agreeing], rtol=1e-5)
    assert torch.allclose(native.angle[agreeing], reference.angle[agreeing], atol=1e-5)
    normals = [kernels.refit_normals(views[0].depth, views[0].intrinsics, backend=b) for b in (None, "reference")]
    assert torch.allclose(*normals, atol=2e-3)


def test_exact_depth_agrees_everywhere_it_is_seen() -> None:
    shots = shots_of([SLANTED], size=160)
    views = [view_of(s, depth=torch.from_numpy(s.depth.astype(np.float32))) for s in shots]
    agreement = kernels.filter_depth(views[0], views[1:])
    assert (inner(agreement.count) == 4).all()
    assert np.allclose(inner(agreement.depth), inner(shots[0].depth), rtol=1e-5)
    assert np.degrees(float(agreement.angle[80, 80])) == pytest.approx(8.0, abs=0.1)
    normals = kernels.refit_normals(views[0].depth, views[0].intrinsics)
    assert inner(degrees_off(normals, shots[0])).max() < 0.1
    fitted = normals.norm(dim=-1) > 0.5  # not in the picture's corners, where a window has too little of the surface
    points, directions = kernels.fuse_depth(views[0], views[0].depth, normals, (agreement.count >= 2) & fitted)
    assert torch.allclose(points.double() @ torch.from_numpy(SLANTED.normal), torch.zeros(len(points)).double(), atol=1e-5)
    assert (directions.double() @ torch.from_numpy(SLANTED.normal) > 0.999).all()


@pytest.mark.parametrize("isa", ["baseline", "avx2"])
def test_instruction_sets_agree(isa: str) -> None:
    """Cost and planes of the narrower vectors, in a process of their own, are those of the widest."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import torch, test_stereo as t\n"
        "views = [t.view_of(s) for s in t.shots_of([t.SLANTED], size=64)]\n"
        "p = t.kernels.patch_match(views[0], views[1:], t.RANGE, iterations=2)\n"
        "print(float(p.cost.double().median()), float(p.depth.double().mean()))\n"
    )
    figures = []
    for chosen in (None, isa):
        environment = {**os.environ, **({"FORMFIELD_ISA": chosen} if chosen else {})}
        command = [sys.executable, "-c", code, os.path.dirname(__file__)]
        out = subprocess.run(command, env=environment, capture_output=True, text=True, check=True, cwd=os.getcwd()).stdout
        figures.append([float(v) for v in out.split()])
    assert figures[0][0] == pytest.approx(figures[1][0], abs=1e-3)
    assert figures[0][1] == pytest.approx(figures[1][1], rel=1e-3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"depth_range": (2.0, 1.0)}, "0 < near < far"),
        ({"best": 0}, "best must be"),
        ({"sources": []}, "sources"),
        ({"seed": -1}, "seed"),
        ({"geometric_weight": 0.2}, "no depth"),
        ({"view": {"grey": torch.zeros(8, 8)}}, "uint8"),
        ({"view": {"intrinsics": (0.0, 1.0, 1.0, 1.0)}}, "focal"),
        ({"view": {"mask": torch.zeros(3, 3, dtype=torch.uint8)}}, "mask"),
    ],
)
def test_wrong_arguments_are_named(change: dict, says: str) -> None:
    view = StereoView(torch.zeros(8, 8, dtype=torch.uint8), (8.0, 8.0, 4.0, 4.0), torch.eye(4, dtype=torch.float64)[:3])
    arguments = {"view": view, "sources": [view], "depth_range": (1.0, 2.0), **change}
    if isinstance(arguments["view"], dict):
        arguments["view"] = dataclasses.replace(view, **arguments["view"])
    with pytest.raises(ArgumentError, match=says):
        kernels.patch_match(arguments.pop("view"), arguments.pop("sources"), arguments.pop("depth_range"), **arguments)
