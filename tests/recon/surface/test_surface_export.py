"""Mesh files, read back with trimesh: scale, winding, colours, axes."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import trimesh
from scipy.spatial.transform import Rotation

from recon.errors import DataError, UsageError
from recon.geometry import Similarity
from recon.surface.atlas import unwrap
from recon.surface.export import export_mesh
from recon.surface.gltf import glb_bytes
from recon.surface.mesh import Mesh, transform_mesh, vertex_normals
from recon.surface.reading import read_surface
from recon.surface.texture import bake_texture, sample_texture

WORLD_FROM_SCENE = Similarity(231.0, Rotation.from_euler("xyz", [30, -70, 110], degrees=True).as_matrix(), np.array([1e5, -40.0, 700.0]))


def scene_mesh() -> Mesh:
    """A box without symmetry, in scene units."""
    box = trimesh.creation.box((0.2, 0.4, 0.8)).subdivide().subdivide()
    mesh = Mesh(np.array(box.vertices) + 0.05, np.array(box.faces, np.int32))
    colors = np.rint(255 * (mesh.vertices - mesh.vertices.min(0)) / np.ptp(mesh.vertices, axis=0)).astype(np.uint8)
    return replace(mesh, normals=vertex_normals(mesh), colors=colors)


def load(path: Path) -> trimesh.Trimesh:
    if path.suffix == ".3mf":
        return load_3mf(path)
    mesh = trimesh.load(path, process=False, force="mesh")
    assert isinstance(mesh, trimesh.Trimesh)
    return mesh


CORE = "{http://schemas.microsoft.com/3dmanufacturing/core/2015/02}"


def load_3mf(path: Path) -> trimesh.Trimesh:
    """By a reader of XML; trimesh has its own, for which lxml is needed (see below)."""
    with zipfile.ZipFile(path) as archive:
        model = ElementTree.fromstring(archive.read("3D/3dmodel.model"))
    vertices = [[float(v.attrib[k]) for k in "xyz"] for v in model.iter(f"{CORE}vertex")]
    faces = [[int(t.attrib[k]) for k in ("v1", "v2", "v3")] for t in model.iter(f"{CORE}triangle")]
    return trimesh.Trimesh(np.array(vertices), np.array(faces), process=False)


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl", ".3mf"])
def test_world_units_and_winding(tmp_path, suffix):
    mesh = scene_mesh()
    files = export_mesh(mesh, tmp_path / f"new/folder/mesh{suffix}", WORLD_FROM_SCENE, unit="mm")
    assert sorted(tmp_path.rglob("*.*")) == sorted(files)  # no temporary file is left
    back = load(files[0])
    if suffix == ".glb":
        back.apply_scale(1000.0)  # it is in metres
    expected = WORLD_FROM_SCENE.apply(mesh.vertices)
    if suffix == ".3mf":
        expected -= expected.min(0)  # on the plate of a printer
    tolerance = 0.01 if suffix == ".stl" else 1e-3  # float32 at 1e5 has steps of 0.008; the others store more, or relative to a centre
    np.testing.assert_allclose(back.bounds, [expected.min(0), expected.max(0)], atol=tolerance)
    assert back.volume == pytest.approx(0.2 * 0.4 * 0.8 * 231.0**3, rel=1e-3)  # positive: the faces look outward
    if suffix != ".stl":
        np.testing.assert_allclose(back.vertices, expected, atol=tolerance)
        np.testing.assert_array_equal(back.faces, mesh.faces)


def test_glb_normals_are_turned_with_the_mesh(tmp_path):
    mesh = scene_mesh()
    (path,) = export_mesh(mesh, tmp_path / "mesh.glb", WORLD_FROM_SCENE)
    assert mesh.normals is not None
    np.testing.assert_allclose(glb_attribute(path, "NORMAL", "<f4", 3), WORLD_FROM_SCENE.rotate(mesh.normals), atol=1e-6)


def test_ply_colours(tmp_path):
    mesh = scene_mesh()
    (path,) = export_mesh(mesh, tmp_path / "mesh.ply")
    assert mesh.colors is not None
    np.testing.assert_array_equal(np.asarray(load(path).visual.vertex_colors)[:, :3], mesh.colors)


def glb_tree(path: Path) -> dict:
    data = path.read_bytes()
    assert data[:4] == b"glTF"
    assert int.from_bytes(data[8:12], "little") == len(data)
    length = int.from_bytes(data[12:16], "little")
    assert length % 4 == 0
    return json.loads(data[20 : 20 + length])


def glb_attribute(path: Path, name: str, kind: str, width: int) -> np.ndarray:
    tree, data = glb_tree(path), path.read_bytes()
    accessor = tree["accessors"][tree["meshes"][0]["primitives"][0]["attributes"][name]]
    start = 20 + int.from_bytes(data[12:16], "little") + 8 + tree["bufferViews"][accessor["bufferView"]]["byteOffset"]
    return np.frombuffer(data, kind, accessor["count"] * width, start).reshape(-1, width)


def test_glb_vertex_colours_are_linear(tmp_path):
    mesh = scene_mesh()
    (path,) = export_mesh(mesh, tmp_path / "mesh.glb")
    rgba = glb_attribute(path, "COLOR_0", "<u2", 4) / 65535
    assert mesh.colors is not None
    srgb = mesh.colors / 255
    np.testing.assert_allclose(rgba[:, :3], np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4), atol=1e-4)
    assert glb_tree(path)["extensionsUsed"] == ["KHR_materials_unlit"]


UPS = ((0, 0, 1), (0, 0, -1), (2, 0, 0), (0, -1, 0), (0, 1, 0), (0.3, -0.5, 0.7))


@pytest.mark.parametrize("up", UPS)
@pytest.mark.parametrize("unit", ["mm", "in", None])
def test_a_glb_stands_upright_on_the_origin_and_knows_the_way_back(tmp_path, up, unit):
    mesh = transform_mesh(scene_mesh(), WORLD_FROM_SCENE)
    (path,) = export_mesh(mesh, tmp_path / "mesh.glb", up=np.array(up, np.float64), unit=unit)
    back = load(path)
    metres = {"mm": 0.001, "in": 0.0254, None: 1.0}[unit]
    heights = metres * mesh.vertices @ (np.array(up) / np.linalg.norm(up))
    np.testing.assert_allclose(back.vertices[:, 1], heights - heights.min(), atol=1e-4 * metres)
    low, high = back.bounds
    assert low[1] == pytest.approx(0.0, abs=1e-5 * metres)
    np.testing.assert_allclose((low + high)[[0, 2]], 0.0, atol=1e-4 * metres)
    assert back.volume == pytest.approx(0.2 * 0.4 * 0.8 * (231.0 * metres) ** 3, rel=1e-4)  # turned, not mirrored
    extras = glb_tree(path)["asset"]["extras"]
    assert extras["unit"] == unit
    matrix = np.array(extras["world_from_gltf"])
    homogeneous = np.concatenate([back.vertices, np.ones((len(back.vertices), 1))], axis=1)
    np.testing.assert_allclose((homogeneous @ matrix.T)[:, :3], mesh.vertices, atol=1e-4)
    found = read_surface(path)
    np.testing.assert_allclose(found.vertices, mesh.vertices, atol=1e-4)
    assert mesh.normals is not None


@pytest.mark.parametrize(
    "extras",
    [
        {"world_from_gltf": np.diag([2.0, 2.0, 3.0, 1.0]).tolist()},
        {"world_from_gltf": np.diag([-1.0, 1.0, 1.0, 1.0]).tolist()},
        {"world_from_gltf": [1, 2, 3]},
        {"world_from_gltf": np.full((4, 4), 1e300).tolist()},
        {"gltf_from_world_scale": 0.001},
    ],
)
def test_a_way_back_that_is_none_is_refused(tmp_path, extras):
    path = tmp_path / "mesh.glb"
    path.write_bytes(glb_bytes(scene_mesh(), extras, unlit=True))
    with pytest.raises(DataError, match=r"mesh\.glb"):
        read_surface(path)


@pytest.mark.parametrize("name", ["mesh", "Bügel & <Winkel>"])
def test_a_3mf_has_its_unit_and_says_where_it_was(tmp_path, name):
    mesh = transform_mesh(scene_mesh(), WORLD_FROM_SCENE)
    export_mesh(mesh, tmp_path / f"{name}.3mf", unit="cm")
    with zipfile.ZipFile(tmp_path / f"{name}.3mf") as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["[Content_Types].xml", "_rels/.rels", "3D/3dmodel.model"]
        model = ElementTree.fromstring(archive.read("3D/3dmodel.model"))
    assert model.get("unit") == "millimeter"
    (part,) = model.iter(f"{CORE}object")
    assert part.get("name") == name
    low = [
        float(x) for x in next(m.text for m in model.iter(f"{CORE}metadata") if m.get("name") == "Description").split("at ")[1].split()[:3]
    ]  # pyright: ignore
    np.testing.assert_allclose(low, mesh.vertices.min(0), rtol=1e-9)
    back = load(tmp_path / f"{name}.3mf")
    np.testing.assert_allclose(np.sort(back.vertices / 10.0 + low, axis=0), np.sort(mesh.vertices, axis=0), atol=1e-4)
    assert back.is_watertight


def test_trimesh_reads_the_3mf(tmp_path):
    pytest.importorskip("lxml", reason="trimesh reads .3mf with lxml")
    mesh = scene_mesh()
    export_mesh(mesh, tmp_path / "mesh.3mf", unit="cm")
    back = trimesh.load(tmp_path / "mesh.3mf", process=False, force="mesh")
    assert isinstance(back, trimesh.Trimesh)
    assert back.is_watertight
    assert back.units == "millimeter"
    assert back.volume == pytest.approx(1000.0 * 0.2 * 0.4 * 0.8)


@pytest.mark.parametrize("suffix", [".glb", ".obj"])
def test_texture_lands_where_it_belongs(tmp_path, suffix):
    """The colour read through the file's own texture coordinates is the colour of the point."""

    def color(points, normals):
        return np.clip(0.5 + points, 0, 1)

    mesh = bake_texture(unwrap(replace(scene_mesh(), colors=None), 256), color, resolution=256)
    files = export_mesh(mesh, tmp_path / f"mesh{suffix}")
    back = load(files[0])
    material = back.visual.material
    picture = material.baseColorTexture if suffix == ".glb" else material.image
    texture = np.asarray(picture.convert("RGB"))
    found = sample_texture(texture, np.asarray(back.visual.uv))
    np.testing.assert_allclose(found, color(back.vertices, None), atol=0.03)


def test_empty_mesh_is_still_a_valid_glb(tmp_path):
    (path,) = export_mesh(Mesh.empty(), tmp_path / "mesh.glb")
    assert "meshes" not in glb_tree(path)


def test_a_failed_write_leaves_the_old_file(tmp_path):
    (path,) = export_mesh(scene_mesh(), tmp_path / "mesh.ply")
    before = path.read_bytes()
    with pytest.raises(IndexError):
        export_mesh(replace(scene_mesh(), normals=np.zeros((len(scene_mesh().vertices), 2))), path)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("name", "up"), [("mesh.fbx", None), ("mesh", None), ("mesh.ply", np.array([0.0, 0.0, 1.0]))])
def test_errors(tmp_path, name, up):
    with pytest.raises(UsageError):
        export_mesh(scene_mesh(), tmp_path / name, up=up)


@pytest.mark.parametrize(("unit", "glb", "stl"), [("m", 1.0, 1000.0), ("cm", 0.01, 10.0), ("in", 0.0254, 25.4), (None, 1.0, 1.0)])
def test_units_reach_every_format(tmp_path, unit, glb, stl):
    """A .glb is in metres and an .stl in millimetres; .obj and .ply keep the world's numbers and name its unit."""
    mesh = scene_mesh()
    size = np.ptp(mesh.vertices, axis=0)
    for suffix, factor in ((".glb", glb), (".stl", stl), (".3mf", stl), (".obj", 1.0), (".ply", 1.0)):
        (path, *_) = export_mesh(mesh, tmp_path / f"mesh{suffix}", unit=unit)
        np.testing.assert_allclose(np.ptp(load(path).bounds, axis=0), factor * size, rtol=1e-5)
    np.testing.assert_allclose(read_surface(tmp_path / "mesh.glb").vertices, mesh.vertices, atol=1e-5)  # back in the world's unit
    assert (unit or "unknown").encode() in (tmp_path / "mesh.ply").read_bytes()[:200]
    assert (b"mm" if unit else b"unknown") in (tmp_path / "mesh.stl").read_bytes()[:80]


FAR = np.array([448262.5, 5411930.25, 112.75])


@pytest.mark.parametrize("suffix", [".glb", ".obj", ".ply", ".stl"])
def test_a_small_part_far_from_the_origin_keeps_its_shape(tmp_path, suffix):
    """0.1 m in UTM coordinates: to a ten-thousandth of its size in every format; an .stl says where its origin lies."""
    mesh = replace(scene_mesh(), vertices=0.1 * scene_mesh().vertices + FAR)
    (path, *_) = export_mesh(mesh, tmp_path / f"mesh{suffix}", unit="m")
    back, shift = load(path), np.zeros(3)
    assert (back.area_faces > 0).all()
    vertices = np.asarray(back.vertices, np.float64)
    if suffix == ".stl":
        head = path.read_bytes()[:80].decode()
        shift = np.array([float(word) for word in head.split("origin")[1].split()])
        vertices = (vertices + shift) / 1000.0
        expected = mesh.vertices[mesh.faces].reshape(-1, 3)
        np.testing.assert_allclose(vertices.reshape(-1, 3)[: len(expected)].mean(0), expected.mean(0), atol=1e-5)
        np.testing.assert_allclose(np.ptp(vertices, axis=0), np.ptp(expected, axis=0), atol=1e-5)
    else:
        np.testing.assert_allclose(vertices, mesh.vertices, atol=1e-5)


def test_an_obj_is_closed_across_its_texture_seams(tmp_path):
    mesh = bake_texture(unwrap(replace(scene_mesh(), colors=None), 256), lambda p, n: np.clip(0.5 + p, 0, 1), resolution=64)
    (path, *_) = export_mesh(mesh, tmp_path / "mesh.obj")
    lines = [line.split() for line in path.read_text().splitlines()]
    positions = [tuple(words[1:4]) for words in lines if words[0] == "v"]
    assert len(set(positions)) == len(positions) == len(np.unique(mesh.vertices, axis=0)) < len(mesh.vertices)
    faces = np.array([[[int(k) for k in corner.split("/")] for corner in words[1:]] for words in lines if words[0] == "f"])
    closed = trimesh.Trimesh(np.array(positions, float), faces[:, :, 0] - 1, process=False)
    assert closed.is_watertight
    assert closed.volume == pytest.approx(0.2 * 0.4 * 0.8)
    assert faces[:, :, 1].max() == sum(words[0] == "vt" for words in lines) == len(mesh.vertices)
