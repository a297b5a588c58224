"""Objects in a room, and the facade: what pictures show is what is known to be there."""

from __future__ import annotations

import math
from dataclasses import replace

import imageio.v3 as iio
import numpy as np
import pytest

import scenes
from recon.config.values import DataConfig, RunConfig
from recon.data.load import load_scene
from recon.errors import UsageError
from recon.opening import open_data
from scenes.library import SceneOptions, cameras, truth, usual
from scenes.making import relief
from scenes.making.cameras import arc_directions, look_at, surround
from scenes.making.materials import Material
from scenes.making.render import RenderOptions, render_geometry, render_linear
from scenes.making.solid import edge_counts, signed_volume
from scenes.making.stage import Part, stage, stage_linear, together
from scenes.making.surroundings import box, in_room
from scenes.making.tracing import tracer

SMALL = RenderOptions(supersampling=2)


@pytest.mark.parametrize(("arc", "count", "step"), [(360.0, 12, 30.0), (180.0, 13, 15.0), (100.0, 11, 10.0), (40.0, 1, None)])
def test_an_arc_goes_evenly_about_its_middle(arc, count, step):
    d = arc_directions(count, [0.0], math.radians(arc), math.radians(-65.0))
    np.testing.assert_allclose(np.linalg.norm(d, axis=1), 1)
    if step is not None:
        np.testing.assert_allclose(np.degrees(np.arccos(np.clip((d[1:] * d[:-1]).sum(1), -1, 1))), step, atol=1e-9)
    if arc < 360 and count > 1:  # as far to one side as to the other
        middle = d[0] + d[-1] if arc < 180 else d[count // 2]
        assert np.degrees(np.arctan2(middle[1], middle[0])) == pytest.approx(-65.0)


@pytest.mark.parametrize("side", ["all", "-x", "+x", "-y", "+y", "-z", "+z"])
def test_boxes_face_outwards_and_walls_inwards(side):
    low, high = np.array([1.0, -2.0, 3.0]), np.array([4.0, 0.0, 8.0])
    solid = box(low, high, side)
    if side == "all":
        assert edge_counts(solid.faces) == (0, 0, 0)
        assert signed_volume(solid.vertices, solid.faces) == pytest.approx(30.0)
        return
    axis, end = "xyz".index(side[1]), low if side[0] == "-" else high
    assert (solid.vertices[:, axis] == end[axis]).all()
    a, b, c = solid.vertices[solid.faces[0]]
    inward = np.cross(b - a, c - a)
    assert inward[axis] * ((low + high) / 2 - end)[axis] > 0


def test_the_first_part_looks_as_it_does_alone():
    """In the pixels that it fills: nothing else is there to shade or light it."""
    solid = box(np.zeros(3), np.ones(3))
    camera = surround(solid.center, solid.radius, np.array([[0.6, -0.64, 0.48]]), 48, 40)[0]
    material = Material()
    alone, alpha = render_linear(tracer(solid), camera, material, 4, 5)
    among = stage_linear(stage([Part("cube", solid, material)]), camera, 4, 5)
    np.testing.assert_allclose(among[alpha == 1], alone[alpha == 1], atol=1e-5)
    assert (alpha == 1).sum() > 200


def test_a_room_hides_nothing_and_has_no_gaps():
    known = truth("crystal-studio")
    solid, everything = known.solid, known.traced()
    for camera in cameras(known, replace(usual(known.name), width=60, height=60, train=5, test=1))[0]:
        seen = render_geometry(everything, camera)
        assert np.isfinite(seen.depth_z).all()
        alone = render_geometry(tracer(solid), camera)
        hit = np.isfinite(alone.depth_z)
        assert hit.mean() > 0.05
        np.testing.assert_allclose(seen.depth_z[hit], alone.depth_z[hit], rtol=1e-5)
        assert seen.distance.max() < 16 * solid.radius  # the room's walls end the view


def test_what_glows_casts_no_shadow():
    """A wall about everything would leave the inside dark."""
    solid = box(np.zeros(3), np.ones(3))
    shell = [
        Part(side, box(-9 * np.ones(3), 10 * np.ones(3), side), Material(), glows=True) for side in ("-x", "+x", "-y", "+y", "-z", "+z")
    ]
    camera = surround(solid.center, solid.radius, np.array([[0.6, -0.64, 0.48]]), 32, 32)[0]
    part = Part("cube", solid, Material())
    alone = stage_linear(stage([part]), camera, 2)
    inside = stage_linear(stage([part, *shell]), camera, 2)
    middle = (slice(12, 20), slice(12, 20))
    np.testing.assert_allclose(inside[middle], alone[middle], atol=1e-5)


def test_few_samples_are_as_good_as_all_away_from_the_object():
    """The room of a picture with 4 and with 16 samples a pixel: equal to what sampling a fine texture leaves."""
    known = truth("crystal-studio")
    camera = cameras(known, replace(usual(known.name), width=40, height=40))[0][0]
    ready = stage(known.parts)
    off = np.abs(stage_linear(ready, camera, 4, 1) - stage_linear(ready, camera, 8, 1))
    assert np.median(off) < 0.02
    assert np.quantile(off, 0.98) < 0.12


@pytest.mark.parametrize(
    ("name", "train", "test"), [("duck-studio", 24, 6), ("facade", 11, 3), ("crystal-plain-studio", 24, 6), ("duck", 48, 12)]
)
def test_usual_photographs(name, train, test):
    options = usual(name)
    assert (options.train, options.test) == (train, test)
    known = truth(name)
    first, held = cameras(known, options)
    assert (len(first), len(held)) == (train, test)
    if known.around:
        glowing = together([p.solid for p in known.around if p.glows]).bounds
        eyes = np.stack([c.center for c in (*first, *held)])
        assert (eyes > glowing[0]).all()
        assert (eyes < glowing[1]).all()


def test_no_part_of_a_room_goes_through_the_object():
    for name in ("bracket", "duck", "asteroid"):
        solid = truth(name).solid
        table = next(p for p in in_room(solid) if p.name == "table").solid.bounds
        assert 0 < solid.vertices[:, 2].min() - table[1, 2] < 2e-3 * solid.radius
        assert (solid.bounds[0, :2] > table[0, :2]).all()
        assert (solid.bounds[1, :2] < table[1, :2]).all()


@pytest.mark.parametrize("changed", [{"exposure": 0.5}, {"noise": 0.05}, {"views": 4}, {"arc_deg": 120.0}, {}])
def test_a_scene_in_a_room(changed):
    scene = scenes.load(
        "crystal-studio", scenes.photographed(SceneOptions(train=3, test=1, path="arc", render=SMALL), 24, **changed), cache=False
    )
    assert scene.background == "unknown"
    assert all(v.image.shape == (24, 24, 3) and v.mask is None for v in scene.views)
    plain = scenes.load("crystal-studio", scenes.photographed(SceneOptions(train=3, test=1, path="arc", render=SMALL), 24), cache=False)
    assert len(scene.split("train")) == changed.get("views", 3)
    assert ([v.image.tobytes() for v in scene.views] == [v.image.tobytes() for v in plain.views]) == (not changed)
    # Nothing but the cameras says where the object is.
    center, radius = truth("crystal-studio").solid.center, truth("crystal-studio").solid.radius
    assert np.linalg.norm(scene.world_from_scene.translation - center) < 0.2 * radius
    assert scene.world_from_scene.scale > radius


def test_the_facade_is_a_closed_slab_whose_front_is_the_relief():
    solid = relief.facade()
    assert edge_counts(solid.faces) == (0, 0, 0)
    low, high = solid.bounds - relief.PLACE
    np.testing.assert_allclose((low[[0, 2]], high[[0, 2]]), ((-6, 0), (6, 8)))
    assert signed_volume(solid.vertices, solid.faces) > 0.8 * 12 * 8 * relief.THICKNESS
    rng = np.random.default_rng(0)
    x, z = rng.uniform(-5.9, 5.9, 400), rng.uniform(0.1, 7.9, 400)
    wanted = relief.depth(x, z)
    eye = relief.PLACE + np.array([0.0, -40.0, 4.0])
    ready = tracer(solid)
    away = np.broadcast_to([0.0, 1.0, 0.0], (400, 3))
    start = np.stack([x, np.full(400, eye[1] - relief.PLACE[1]), z], 1) + relief.PLACE
    t, _ = ready.distance(ready.to_local(start), away)
    found = 40.0 - t * ready.radius
    assert (np.abs(found - wanted) < 0.03).mean() > 0.93  # all but on steps
    assert (wanted < -0.2).mean() > 0.03
    assert (wanted > 0.3).mean() > 0.1


@pytest.mark.parametrize("name", ["facade-studio", "duck-studio-plain", "nothing-studio"])
def test_there_is_no_such_room(name):
    with pytest.raises(UsageError, match="no built-in scene"):
        scenes.truth(name)


def test_cameras_look_level_past_the_facade():
    for camera in cameras(truth("facade"), usual("facade"))[0]:
        assert camera.center[2] > relief.PLACE[2] + 1.0
        assert camera.center[1] < relief.PLACE[1] - 5.0
        np.testing.assert_allclose(camera.world_from_camera[:, :3], look_at(camera.center, truth("facade").solid.center)[:, :3], atol=1e-9)


@pytest.mark.parametrize("changed", [{"views": 5}, {"arc": 90.0}, {"exposure": 0.1}, {"noise": 0.01}])
def test_photographs_that_were_taken_cannot_be_taken_otherwise(tmp_path, changed):
    with pytest.raises(UsageError, match="taken already"):
        open_data(str(tmp_path), RunConfig(data=DataConfig(**changed)))


def test_a_room_written_as_a_dataset_has_the_depth_of_all_that_is_seen(tmp_path):
    out = scenes.write(
        "crystal-studio", tmp_path / "room", SceneOptions(24, 20, train=2, test=1, path="arc", fovs_deg=(50.0,), render=SMALL)
    )
    assert iio.imread(out / "train" / "r_000.png").shape == (20, 24, 3)
    with np.load(out / "truth" / "geometry" / "train" / "r_000.npz") as arrays:
        assert np.isfinite(arrays["depth_z"]).all()
    again = load_scene(out)
    assert again.background == "unknown"
    assert [len(again.split(s)) for s in ("train", "test")] == [2, 1]
