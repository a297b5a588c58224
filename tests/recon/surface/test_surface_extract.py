"""Extraction against analytic surfaces: radius, closedness, genus, independence of the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from recon.errors import DivergedError, UsageError
from recon.surface.extract import autograd_gradient, extract_density_mesh, extract_mesh
from recon.surface.mesh import check_mesh, face_cross


def sphere(p: Tensor, radius: float = 0.6) -> Tensor:
    return p.norm(dim=1) - radius


def torus(p: Tensor) -> Tensor:
    ring = p[:, :2].norm(dim=1) - 0.5
    return torch.stack([ring, p[:, 2]], 1).norm(dim=1) - 0.2


def box(p: Tensor) -> Tensor:
    q = p.abs() - torch.tensor([0.5, 0.3, 0.25])
    return q.clamp(min=0).norm(dim=1) + q.amax(1).clamp(max=0)


def gyroid(p: Tensor) -> Tensor:
    """Symmetric about the grid, so that many of marching cubes' comparisons are exact ties."""
    q = 12.0 * p
    return (q.sin() * q.roll(-1, 1).cos()).sum(1) / 12.0


def two_balls(p: Tensor) -> Tensor:
    return torch.minimum((p - torch.tensor([0.5, 0.0, 0.0])).norm(dim=1), (p + torch.tensor([0.5, 0.0, 0.0])).norm(dim=1)) - 0.3


@pytest.mark.parametrize(
    ("sdf", "volume", "genus", "components"),
    [
        (sphere, 4 / 3 * np.pi * 0.6**3, 0, 1),
        (torus, 2 * np.pi**2 * 0.5 * 0.2**2, 1, 1),
        (box, 8 * 0.5 * 0.3 * 0.25, 0, 1),
        (two_balls, 2 * 4 / 3 * np.pi * 0.3**3, 0, 2),
    ],
)
@pytest.mark.parametrize("resolution", [64, 75])
def test_analytic_solids(sdf, volume, genus, components, resolution):
    mesh = extract_mesh(sdf, resolution=resolution, gradient=autograd_gradient(sdf))
    report = check_mesh(mesh, sphere_radius=1.0)
    assert report.closed
    assert report.oriented
    assert report.genus == genus
    assert len(report.component_areas) == components
    assert report.volume == pytest.approx(volume, rel=0.01)
    assert report.degenerate_faces == 0
    assert report.bounds_area_fraction == 0
    # Newton's method puts every vertex onto the surface.
    assert np.abs(sdf(torch.from_numpy(mesh.vertices).float()).numpy()).max() < 1e-5
    assert mesh.normals is not None
    outward = (face_cross(mesh) * mesh.normals[mesh.faces].mean(1)).sum(1)
    assert (outward > 0).mean() > 0.99


def test_sphere_radius_with_and_without_newton():
    coarse = extract_mesh(sphere, resolution=64)
    snapped = extract_mesh(sphere, resolution=64, gradient=autograd_gradient(sphere))
    radius = np.linalg.norm(coarse.vertices, axis=1)
    # Linear interpolation on an edge of length h errs by at most h²/(8 r).
    assert np.abs(radius - 0.6).max() < (2 / 64) ** 2 / (8 * 0.6) * 1.1 + 1e-3 * 2 / 64
    assert np.abs(radius - 0.6).max() > 1e-5
    assert np.abs(np.linalg.norm(snapped.vertices, axis=1) - 0.6).max() < 1e-6
    assert snapped.normals is not None
    np.testing.assert_allclose(snapped.normals, snapped.vertices / 0.6, atol=1e-5)


@pytest.mark.parametrize("sdf", [sphere, torus, gyroid])
def test_blocks_do_not_change_the_mesh(sdf):
    whole = extract_mesh(sdf, resolution=56, block=56)
    for block in (8, 24, 48):
        parts = extract_mesh(sdf, resolution=56, block=block)
        np.testing.assert_array_equal(parts.vertices, whole.vertices)
        order = [np.lexsort(np.sort(m.faces, 1).T) for m in (whole, parts)]
        np.testing.assert_array_equal(np.sort(parts.faces, 1)[order[1]], np.sort(whole.faces, 1)[order[0]])


@pytest.mark.parametrize("scale", [1.0, 1e-4, 1e4])
def test_noise_is_closed_across_blocks(scale):
    """Random signs at every sample: every case of marching cubes, all ambiguous ones too."""
    rng = np.random.default_rng(0)
    table = torch.from_numpy(rng.standard_normal((41, 41, 41)) * scale).float()

    def noise(p: Tensor) -> Tensor:
        i = ((p + 1) * 20).round().long()
        return table[i[:, 0], i[:, 1], i[:, 2]]

    mesh = extract_mesh(noise, resolution=40, lipschitz=None, block=16)
    report = check_mesh(mesh)
    assert report.boundary_edges == 0
    assert report.oriented
    assert report.faces > 10_000
    assert len(extract_mesh(noise, resolution=40, lipschitz=None, block=40).vertices) == report.vertices


def test_samples_on_the_surface_leave_no_faces_without_area():
    """Grid points exactly on the surface: the faces of a box at multiples of the cell."""

    def aligned(p: Tensor) -> Tensor:
        return p.abs().amax(1) - 0.5

    report = check_mesh(extract_mesh(aligned, resolution=32))
    assert report.closed
    assert report.degenerate_faces == 0
    # Marching cubes cuts the twelve edges of the box by half a cell squared each.
    assert report.volume == pytest.approx(1 - 12 * (1 / 16) ** 2 / 2, abs=2e-3)


@pytest.mark.parametrize("sphere_radius", [1.0, None])
def test_cut_at_the_border_closes_the_mesh(sphere_radius):
    """A half space ends at the sphere, or at the box."""
    mesh = extract_mesh(lambda p: p[:, 2] - 0.1, resolution=40, sphere_radius=sphere_radius)
    report = check_mesh(mesh, ((-1, -1, -1), (1, 1, 1)), sphere_radius=sphere_radius)
    height = 1.1
    assert report.closed
    assert report.volume == pytest.approx(np.pi * height**2 * (3 - height) / 3 if sphere_radius else 4 * height, rel=8e-3)
    assert [p.kind for p in report.problems] == ["touches_bounds"]
    assert report.bounds_area_fraction > 0.5


def test_box_that_is_no_cube():
    mesh = extract_mesh(lambda p: sphere(p - torch.tensor([3.0, 0.0, 0.0]), 0.4), resolution=50, bounds=((2, -0.5, -0.45), (4, 0.5, 0.45)),
                        sphere_radius=None)  # fmt: skip
    assert check_mesh(mesh).closed
    assert np.abs(np.linalg.norm(mesh.vertices - [3, 0, 0], axis=1) - 0.4).max() < 1e-3


def test_a_wrong_lipschitz_bound_costs_time_not_holes():
    """A distance that overestimates twentyfold fools the search, unless the surface is followed."""
    messages: list[str] = []

    def steep(p: Tensor) -> Tensor:
        q = p - torch.tensor([0.03, 0.05, 0.01])
        return 20 * (torch.stack([q[:, 0], q[:, 1] + 0.3 * (6 * q[:, 0]).sin(), q[:, 2]], 1).norm(dim=1) - 0.4)

    mesh = extract_mesh(steep, resolution=72, lipschitz=1.0, progress=lambda _, text: messages.append(text))
    dense = extract_mesh(steep, resolution=72, lipschitz=None)
    assert any("again" in text for text in messages)
    assert check_mesh(mesh).closed
    np.testing.assert_array_equal(mesh.vertices, dense.vertices)


def test_a_steep_part_is_followed_without_sampling_everything():
    calls = 0

    def with_needle(p: Tensor) -> Tensor:
        """A ball, and a needle that sticks out of it, thirty times as steep."""
        nonlocal calls
        calls += len(p)
        along = p[:, 0].clamp(0.3, 0.85)
        needle = torch.stack([p[:, 0] - along, p[:, 1] - 0.07, p[:, 2]], 1).norm(dim=1) - 0.02
        return torch.minimum(sphere(p, 0.4), 30 * needle)

    mesh = extract_mesh(with_needle, resolution=160)
    assert calls < 0.6 * 161**3
    assert check_mesh(mesh).closed
    np.testing.assert_array_equal(mesh.vertices, extract_mesh(with_needle, resolution=160, lipschitz=None).vertices)


def test_only_a_shell_is_sampled():
    calls = 0

    def counted(p: Tensor) -> Tensor:
        nonlocal calls
        calls += len(p)
        return sphere(p)

    extract_mesh(counted, resolution=256)
    assert calls < 0.09 * 257**3


def test_density_field():
    def density(p: Tensor) -> Tensor:
        return 100 * torch.sigmoid((0.5 - p.norm(dim=1)) * 40)

    mesh = extract_density_mesh(density, threshold=50.0, resolution=48, gradient=autograd_gradient(density))
    assert check_mesh(mesh).closed
    assert check_mesh(mesh).volume > 0
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.5).max() < 1e-4


@pytest.mark.parametrize("scale", [1.0, 1e3, 1e-3])
def test_scale_of_the_function_does_not_bend_the_surface(scale):
    mesh = extract_mesh(lambda p: scale * sphere(p), resolution=64, lipschitz=None)
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.6).max() < 3e-4


def test_density_that_fills_the_region_is_cut_at_the_sphere():
    mesh = extract_density_mesh(lambda p: 1000.0 + 0 * p[:, 0], threshold=50.0, resolution=48)
    assert check_mesh(mesh).closed
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 1).max() < 2e-3


def test_level_offsets_the_surface():
    mesh = extract_mesh(sphere, resolution=64, level=0.1, gradient=autograd_gradient(sphere))
    assert np.abs(np.linalg.norm(mesh.vertices, axis=1) - 0.7).max() < 1e-6


def test_no_surface_gives_an_empty_mesh():
    mesh = extract_mesh(lambda p: p.norm(dim=1) + 1, resolution=32)
    assert len(mesh.faces) == 0
    assert [p.kind for p in check_mesh(mesh).problems] == ["empty"]


@pytest.mark.parametrize(
    ("error", "call"),
    [
        (DivergedError, lambda: extract_mesh(lambda p: p[:, 0] * float("nan"), resolution=16)),
        (UsageError, lambda: extract_mesh(sphere, resolution=1)),
        (UsageError, lambda: extract_density_mesh(sphere, threshold=0.0, resolution=16)),
        (UsageError, lambda: extract_mesh(sphere, resolution=16, block=10)),
        (UsageError, lambda: extract_mesh(sphere, resolution=16, bounds=((0, 0, 0), (1, 0, 1)))),
    ],
)
def test_errors(error, call):
    with pytest.raises(error):
        call()


def test_memory_of_512():
    """The stated bound: a slab of at most 384 MiB and 200 bytes a vertex; nothing grows with the volume except the coarse search."""
    import tracemalloc

    tracemalloc.start()
    mesh = extract_mesh(sphere, resolution=512)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(mesh.vertices) > 400_000
    assert peak < 384 * 2**20 + 200 * len(mesh.vertices)
