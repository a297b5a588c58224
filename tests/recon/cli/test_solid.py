"""`recon solid`: what it refuses in a line, and what it leaves, on true solids where a reconstruction would take too long."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("OCP")

from recon.cli.configuration import run_config, wireframe_config
from recon.cli.main import main, parse
from recon.config.values import DataConfig
from recon.console import Reporter
from recon.curves.files.occ import read_step
from recon.errors import UsageError
from recon.evaluation.solids import stated_sigmas
from recon.results import solid as making
from recon.results.evaluation import evaluate_solid_file, solid_file
from recon.results.solid import bare_vertices, solid_result_lines, write_result
from recon.results.solid_sources import file_unit, mesh_source, welded
from recon.solid.anatomy import check
from recon.surface.export import export_mesh
from recon.surface.mesh import Mesh, check_mesh
from recon.surface.reading import read_mesh
from scenes.library import DATA
from tests.recon.solid.truths import result_of, source_of, without_faces


def box_mesh(missing: int = 0) -> Mesh:
    import trimesh

    made = trimesh.creation.box((30, 20, 10))
    return Mesh(np.asarray(made.vertices, np.float64), np.asarray(made.faces, np.int32)[missing:])


def inside_out() -> Mesh:
    return replace(box_mesh(), faces=box_mesh().faces[:, ::-1])


def touching() -> Mesh:
    """Two boxes that share an edge."""
    one = box_mesh()
    vertices = np.concatenate([one.vertices, np.add(one.vertices, (30, 20, 0))])
    return Mesh(vertices, np.concatenate([one.faces, one.faces + len(one.vertices)]))


REFUSED = [
    pytest.param("a.stl", box_mesh(), [], 2, "does not say in which unit", id="no unit"),
    pytest.param("a.ply", box_mesh(1), ["--unit", "mm"], 3, "the mesh is open: 3 edges", id="open"),
    pytest.param("a.ply", inside_out(), ["--unit", "mm"], 3, "inside out", id="inside out"),
    pytest.param("a.ply", touching(), ["--unit", "mm"], 3, "touches itself: 1 edges", id="touching"),
    pytest.param("a.ply", box_mesh(), ["--unit", "mm", "--curves", "nothing.json"], 3, "there are no curves", id="no curves"),
    pytest.param("b.ply", None, ["--unit", "mm"], 3, "no such file", id="no mesh"),
    pytest.param("text.ply", "no mesh", ["--unit", "mm"], 3, "not a mesh", id="no mesh in it"),
]


@pytest.mark.parametrize(("name", "content", "flags", "code", "said"), REFUSED)
def test_bad_input_is_one_line(name, content, flags, code, said, tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    if isinstance(content, Mesh):
        export_mesh(content, tmp_path / name)
    elif content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(SystemExit) as ended:
        main(["solid", name, *flags])
    assert ended.value.code == code
    told = capsys.readouterr().err
    assert said in told
    assert "Traceback" not in told
    assert not (tmp_path / "a-solid").exists()


@pytest.mark.parametrize("name", ["a.ply", "a.obj", "a.stl", "a.glb"])
def test_our_own_files_say_their_unit(name: str, tmp_path: Path):
    export_mesh(box_mesh(), tmp_path / name, unit="cm")
    said = file_unit(tmp_path / name)
    assert said == ("mm" if name == "a.stl" else "cm")  # an .stl with a unit is in millimetres, whatever the world is
    source = mesh_source(tmp_path / name, None, None)
    size = np.ptp(source.given.vertices, axis=0)
    assert np.allclose(size, [300, 200, 100] if name == "a.stl" else [30, 20, 10], rtol=1e-6)
    with pytest.raises(UsageError, match="the file says that it is in"):
        mesh_source(tmp_path / name, "in", None)


def test_others_files_do_not(tmp_path: Path):
    export_mesh(box_mesh(), tmp_path / "a.stl")
    assert file_unit(tmp_path / "a.stl") is None
    export_mesh(box_mesh(), tmp_path / "a.glb")
    assert file_unit(tmp_path / "a.glb") == "m"


def test_triangles_of_an_stl_share_their_corners(tmp_path: Path):
    export_mesh(box_mesh(), tmp_path / "a.stl")
    assert check_mesh(read_mesh(tmp_path / "a.stl")).boundary_edges > 0
    assert check_mesh(welded(read_mesh(tmp_path / "a.stl"))).closed


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    """The files of a true solid whose mesh was moved outwards by 0.05 mm, under a name that is no name."""
    folder = tmp_path_factory.mktemp("flange")
    source = source_of("flange")
    source = replace(source, product="<script>alert(1)</script>", label="<b>flange</b>")
    with Reporter(quiet=True) as reporter:
        found = write_result(result_of("flange"), source, "suggest", folder, reporter, 60.0)
    return folder, found


def test_everything_is_left(finished):
    folder, found = finished
    names = {"solid.step", "solid.brep", "report.json", "report.html", "deviation.ply", "solid.png", "solid_view.npz"}
    assert {p.name for p in folder.iterdir()} == names
    assert json.loads((folder / "report.json").read_text()) == found
    assert found["status"] == "solid"
    assert check(read_step(folder / "solid.step")).is_solid
    assert solid_file(folder) == folder / "solid.step"
    assert "a valid closed solid of 17 faces" in solid_result_lines(found)[0]


def test_the_report_names_sizes_and_round_numbers(finished):
    _, found = finished
    bores = [f for f in found["faces"] if f["kind"] == "cylinder" and abs(f["sizes"]["radius"]["measured"] - 4) < 1e-6]
    assert len(bores) == 6
    assert all(f["hollow"] and f["photographs"] == 12 for f in bores)
    assert bores[0]["sizes"]["radius"]["suggestion"]["value"] == 4.0
    distances = sorted(d["measured"] for d in found["distances"])
    assert np.allclose(distances, [2, 10, 12, 28, 38, 40], atol=1e-6)  # z = -2, 0, 10, 38
    assert found["constraints"][1]["kept"] is False


def test_the_page_runs_nothing(finished):
    folder, _ = finished
    page = (folder / "report.html").read_text()
    assert "<script" not in page
    assert "<b>rms" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "default-src 'none'" in page
    assert "data:image/png;base64," in page
    assert page.count("<tr>") > 17


def test_deviation_is_that_of_the_mesh(tmp_path: Path):
    """Moved outwards by 0.05 mm along its normals, the mesh is 0.05 mm outside, and red."""
    from recon.results.solid import CHORD, _in_world
    from recon.solid.deviation import colored, deviation
    from recon.solid.facets import facets
    from scenes.modelling import box

    shape = box((0, 0, 0), (3, 2, 1))
    solid = _in_world(facets(shape, CHORD, "a box"), 10.0)
    import trimesh

    made = trimesh.creation.box((0.31, 0.21, 0.11)).subdivide().apply_translation((0.15, 0.1, 0.05))
    mesh = Mesh(np.asarray(made.vertices), np.asarray(made.faces, np.int32))
    found = deviation(mesh, solid)
    assert found.figures()["largest"] == pytest.approx(0.005 * np.sqrt(3), rel=1e-6)
    assert found.distance.min() == pytest.approx(0.005, rel=1e-6)
    assert (colored(mesh, found).colors[:, 0] > colored(mesh, found).colors[:, 2]).all()
    # What lies over a hole is not the solid's error: it is in no figure, and grey.
    high = mesh.vertices[:, 2] > 0.104
    dented = replace(mesh, vertices=mesh.vertices + np.where(high, 1.0, 0.0)[:, None] * [0.0, 0.0, 0.5])
    open_above = deviation(dented, solid, high)
    assert open_above.figures()["largest"] == pytest.approx(0.005 * np.sqrt(3), rel=1e-6)
    assert open_above.quantile(1.0) < 0.01 < deviation(dented, solid).quantile(1.0)
    assert ((colored(dented, open_above).colors == 70).all(1) == high).all()
    inner = deviation(replace(mesh, vertices=(mesh.vertices - [0.15, 0.1, 0.05]) * 0.9 + [0.15, 0.1, 0.05]), solid)
    assert inner.distance.max() < 0


def test_what_lies_over_a_hole_is_known():
    """Two regions on a strip, the second without a face: its own vertices are bare, the shared ones are not."""
    strip = Mesh(np.array([[x, y, 0.0] for x in range(5) for y in range(2)]), np.zeros((0, 3), np.int32))
    regions = [SimpleNamespace(vertices=np.arange(0, 6)), SimpleNamespace(vertices=np.arange(4, 10))]
    result = SimpleNamespace(regions=regions, mesh=strip)
    finer = Mesh(np.array([[0.2, 0.1, 0.0], [1.9, 0.9, 0.0], [2.8, 0.2, 0.0], [4.0, 1.0, 0.0]]), np.zeros((0, 3), np.int32))
    assert bare_vertices(result, [0], finer).tolist() == [False, False, True, True]  # pyright: ignore[reportArgumentType]
    assert not bare_vertices(result, [0, 1], finer).any()  # pyright: ignore[reportArgumentType]


def test_an_open_shell_is_called_partial(tmp_path: Path):
    result = without_faces(result_of("crystal"), 2)
    with Reporter(quiet=True) as reporter:
        found = write_result(result, source_of("crystal"), "off", tmp_path, reporter, 60.0)
    assert found["status"] == "open_shell"
    assert found["reasons"][0] == "1 face is missing"
    assert solid_file(tmp_path) == tmp_path / "partial.step"
    assert not (tmp_path / "solid.step").exists()
    page = (tmp_path / "report.html").read_text()
    assert "not a solid" in page
    assert "nothing &lt;fits&gt; there" in page
    assert all(d["suggestion"] is None for d in found["distances"])
    assert [f["region"] for f in found["faces"]] == list(range(2, 31))


def test_a_solid_is_evaluated_with_its_report(finished):
    folder, _ = finished
    figures = evaluate_solid_file(folder / "solid.step", DATA / "flange" / "part.step")
    assert figures["faces"]["f1"] == 1.0
    assert figures["radii"]["within_2_sigma"] == 1.0
    assert figures["distances"]["within_2_sigma"] == 1.0
    assert len(stated_sigmas(folder / "report.json")) == 17
    with pytest.raises(UsageError, match="compared with what"):
        evaluate_solid_file(folder / "solid.step", None)


def test_nothing_made_is_an_error_with_its_reasons(tmp_path: Path, monkeypatch, capsys):
    export_mesh(box_mesh(), tmp_path / "a.ply", unit="mm")
    nothing = replace(result_of("crystal"), status="none", shape=None, faces=[], reasons=["31 regions of free form have no surface"])
    monkeypatch.setattr(making, "reconstruct_solid", lambda given, options, progress: nothing)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["solid", "a.ply"])
    assert ended.value.code == 3
    assert "31 regions of free form" in capsys.readouterr().err
    assert not (tmp_path / "a-solid").exists()


def test_a_solid_is_reconstructed_by_a_surface_and_its_wireframe():
    train = parse(["reconstruct", "scenes:tee", "--method", "solid", "--preset", "balanced", "--set", "train.steps=7"]).train
    surface = run_config(train, DataConfig())
    assert (surface.method, surface.preset, surface.train.steps) == ("volsdf", "balanced", 7)
    wire = wireframe_config(train, DataConfig(), Path("/runs/a"))
    assert (wire.method, wire.preset, wire.nef.edges) == ("nef", "balanced", "surface:/runs/a")
    other = replace(train, edges="auto")
    assert wireframe_config(other, DataConfig(), Path("/runs/a")).nef.edges == "auto"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["train", "scenes:tee", "--method", "solid"], "recon reconstruct DATA --method solid"),
        (["reconstruct", "scenes:tee", "--method", "solid", "--view"], "recon view RUN"),
    ],
)
def test_what_a_solid_is_not_made_by(words, said, capsys):
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err
