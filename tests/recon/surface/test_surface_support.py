"""The flat support of an object: found where there is one, and only there; cut off so that the mesh stays closed."""

import numpy as np
import pytest
import torch

from recon.surface.extract import extract_mesh
from recon.surface.mesh import check_mesh, largest_component
from recon.surface.support import find_support

UP = np.array([0.48, -0.6, 0.64])  # a unit vector along no axis


def plane(offset, wave=0.0, normal=UP):
    n = torch.tensor(normal, dtype=torch.float32)
    return lambda x: x @ n - offset - wave * torch.sin(9 * x[:, 0]) * torch.sin(7 * x[:, 1])


def ball(radius, height):
    center = torch.tensor(UP * height, dtype=torch.float32)
    return lambda x: (x - center).norm(dim=-1) - radius


def disc(radius, thickness):
    n = torch.tensor(UP, dtype=torch.float32)

    def sdf(x):
        along = x @ n
        aside = (x - along[:, None] * n).norm(dim=-1)
        return torch.maximum(along.abs() - thickness, aside - radius)

    return sdf


def box(center, half):
    """Along UP and two directions across it."""
    across = np.cross(UP, [1.0, 0.0, 0.0]) / np.linalg.norm(np.cross(UP, [1.0, 0.0, 0.0]))
    frame = torch.tensor(np.stack([UP, across, np.cross(UP, across)], axis=1), dtype=torch.float32)
    return lambda x: ((x @ frame - torch.tensor(center)).abs() - torch.tensor(half)).amax(-1)


def union(*parts):
    return lambda x: torch.stack([part(x) for part in parts]).amin(0)


def cameras(side=1.0, count=60, seed=0):
    """On a hemisphere of radius 2.5 about the origin, above the plane or below it."""
    d = np.random.default_rng(seed).normal(size=(count, 3))
    d /= np.linalg.norm(d, axis=1, keepdims=True)
    height = d @ UP
    return 2.5 * np.where((height * side < 0.2)[:, None], d + (side * 1.2 - height)[:, None] * UP, d)


def mesh_of(sdf, **options):
    return extract_mesh(sdf, resolution=96, **options)


@pytest.mark.parametrize("offset", [-0.5, -0.2, 0.1])
@pytest.mark.parametrize("wave", [0.0, 0.012])
def test_a_ball_on_a_table_is_cut_off_from_it(offset, wave):
    radius = 0.35
    sdf = union(plane(offset, wave), ball(radius, offset + radius - 0.02))
    found = find_support(mesh_of(sdf), cameras())
    assert found is not None
    assert found.normal @ UP > np.cos(np.radians(1.0))
    lift = found.offset - offset
    assert 0.0 < lift < 0.03  # above nearly all of the table, and little of the ball is lost
    alone = largest_component(mesh_of(sdf, above=found))
    report = check_mesh(alone, sphere_radius=1.0)
    assert report.closed
    assert report.bounds_area_fraction == 0.0
    sunk = lift + 0.02  # a ball less a cap of this height
    volume = 4 / 3 * np.pi * radius**3 - np.pi * sunk**2 * (radius - sunk / 3)
    assert report.volume == pytest.approx(volume, rel=0.02)


def test_a_wall_that_ends_before_the_sphere_is_cut_off_too():
    """As where a learnt background has explained the rest of it."""
    found = find_support(mesh_of(union(disc(0.78, 0.03), ball(0.35, 0.3))), cameras())
    assert found is not None
    assert found.normal @ UP > np.cos(np.radians(1.0))
    assert 0.0 < found.offset - 0.03 < 0.03


@pytest.mark.parametrize(
    ("sdf", "side"),
    [
        pytest.param(ball(0.6, 0.0), 1.0, id="an object that hangs in the air"),
        pytest.param(disc(0.8, 0.05), 1.0, id="a flat object that ends before the sphere"),
        pytest.param(union(box([-0.4, 0, 0], [0.4, 0.7, 0.6]), box([0.1, 0, 0], [0.1, 0.2, 0.2])), 1.0, id="the front of a house"),
        pytest.param(plane(-0.2), 1.0, id="a table with nothing on it"),
        pytest.param(union(plane(-0.3), ball(0.3, 0.0)), -1.0, id="cameras on the other side"),
        pytest.param(
            union(plane(-0.4), plane(-0.4, normal=[0.8, 0.0, -0.6]), plane(-0.4, normal=[0.36, 0.8, 0.48]), ball(0.3, 0.0)),
            1.0,
            id="the corner of a room",
        ),
        pytest.param(lambda x: torch.ones(len(x)), 1.0, id="nothing"),
    ],
)
def test_where_there_is_no_flat_support_none_is_found(sdf, side):
    assert find_support(mesh_of(sdf), cameras(side)) is None


def test_units_do_not_matter():
    sdf = union(plane(-0.3), ball(0.35, 0.0))
    mesh = mesh_of(sdf)
    once = find_support(mesh, cameras())
    ten = find_support(type(mesh)(mesh.vertices * 10.0, mesh.faces), cameras() * 10.0, sphere_radius=10.0)
    assert once is not None
    assert ten is not None
    np.testing.assert_allclose(ten.normal, once.normal, atol=1e-9)
    assert ten.offset == pytest.approx(10.0 * once.offset)
