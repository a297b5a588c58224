"""The README's commands as they stand there, on tiny data: all of them, and three walks of people who want something.

What stands for a place of the README (DATA, RUN, ...) is made here; of what would take long only the amount is less: ``LESS``. Commands
that cannot be tried so are named with the test that tries them.
"""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import trimesh

from recon.cli.main import main, parse
from tests.tiny import CENTER, RADIUS, TINY_SETTINGS, write_blender

README = Path(__file__).resolve().parents[2] / "README.md"
TINY = ["--set", *TINY_SETTINGS]
FIT = ["--set", "steps=3"]
QUICK = ["--size", "24"]
LESS: dict[str, list[str]] = {
    "reconstruct": TINY, "fit": FIT, "inspect": [], "export": [], "resume": [], "evaluate": [], "view": [],
    "swap": [*QUICK, "--views", "1"], "render": [*QUICK, "--frames", "2"], "scene": ["--views", "3", "--size", "32"], "solid": [],
}  # fmt: skip
"""What is added to a command so that it takes a moment."""
ELSEWHERE = {
    "recon reconstruct PHOTOS": "tests/recon/photos/test_photos_process.py",
    "recon reconstruct FILM.mp4 --marker aruco_4x4_50:40mm": "tests/recon/photos/test_photos_process.py",
    "recon process PHOTOS --out DATA": "tests/recon/photos/test_photos_process.py",
    "recon view RUN": "tests/viewer/test_command.py",
    "recon scene part.step --out DATA": "tests/scenes/test_scene_files.py",
    "recon benchmark smoke": "tests/scenes/benchmark/test_benchmark_jobs.py",
    "recon reconstruct DATA --method nef --edges surface:RUN": "tests/e2e/test_nef.py",
    "recon export RUN points": "tests/recon/stereo/test_depth.py",
    "recon inspect DATA --depth": "tests/recon/stereo/test_depth.py",
    "recon reconstruct DATA --method solid": "tests/e2e/test_solid.py",
}


def commands() -> list[str]:
    """Of the README's blocks and text, without what is said about them."""
    text = README.read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()] + re.findall(r"`(recon \w+ [^`]*)`", text)
    return list(dict.fromkeys(shlex.join(shlex.split(line, comments=True)) for line in lines if line.startswith("recon ")))


def test_no_command_is_forgotten():
    known = commands()
    assert len(known) > 20
    assert set(ELSEWHERE) <= set(known)
    assert all((README.parent / test).is_file() for test in ELSEWHERE.values())
    assert {shlex.split(c)[1] for c in known if c not in ELSEWHERE} <= set(LESS) | {"doctor"}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the README's commands take: photographs with cameras, two finished runs, a picture, a shape."""
    folder = tmp_path_factory.mktemp("user")
    write_blender(folder / "DATA")
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (24, 32, 3), np.uint8).repeat(2, 0)).save(folder / "picture.png")
    trimesh.creation.icosphere(2).export(folder / "shape.obj")
    trimesh.creation.box((30.0, 20.0, 10.0)).subdivide().subdivide().subdivide().export(folder / "scan.stl")
    return folder


@pytest.fixture
def here(place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(place)
    return place


def tried(command: str, capsys: pytest.CaptureFixture[str], *more: str, **names: str) -> str:
    """Run a command of the README, with more words; what it printed."""
    assert command in commands(), f"the README does not say {command}"
    words = [names.get(word, word) for word in shlex.split(command)[1:]]
    less = LESS[words[0]]
    capsys.readouterr()
    main([*words, *less, *more])
    return capsys.readouterr().out


def run_named(name: str) -> Path:
    (found,) = Path("runs").glob(f"*/*/{name}")
    return found


def test_a_model_for_the_web(here: Path, capsys: pytest.CaptureFixture[str]):
    """Look first, a draft, the model; then a file for a page, standing in metres, and a page of its own."""
    assert "views" in tried("recon inspect DATA", capsys)
    tried("recon reconstruct DATA --preset draft", capsys)
    said = tried("recon reconstruct DATA --method volsdf --preset fast --name bracket", capsys)
    assert "exports/mesh.glb" in said
    assert "recon view" in said
    run = str(run_named("bracket"))
    # The name alone is the run, from here on.
    printed = tried("recon export RUN mesh --formats glb 3mf --out PARTS", capsys, RUN="bracket").splitlines()
    assert sorted(printed) == ["PARTS/mesh.3mf", "PARTS/mesh.glb"]
    back = trimesh.load(here / "PARTS" / "mesh.glb", force="mesh", process=False)
    assert isinstance(back, trimesh.Trimesh)
    assert back.bounds[0][1] == pytest.approx(0.0, abs=1e-3)
    np.testing.assert_allclose(back.bounds.mean(0)[[0, 2]], 0.0, atol=1e-3)
    tried("recon view RUN --export page.html", capsys, RUN=run)
    assert (here / "page.html").stat().st_size > 10_000
    tried("recon render RUN --orbit", capsys, RUN="latest")
    for command in ("recon resume RUN", "recon evaluate RUN", "recon export RUN cameras", "recon export RUN mesh --support keep"):
        tried(command, capsys, RUN=run)
    assert (Path(run) / "exports" / "cameras" / "transforms.json").is_file()
    tried("recon export RUN mesh --resolution 1024 --texture-size 4096", capsys, RUN=run, **{"1024": "48", "4096": "256"})


def test_a_comparison_of_methods(here: Path, capsys: pytest.CaptureFixture[str]):
    """Two runs of the same photographs, named; a table of both for a paper."""
    tried("recon reconstruct DATA --method radiance --preset fast", capsys)
    for name in ("a", "b"):
        main(["reconstruct", "DATA", "--name", name, "--seed", str(ord(name)), *TINY])
    capsys.readouterr()
    main(["compare", "a", "b", "--format", "latex"])
    table = capsys.readouterr().out
    assert table.count(r"\\") == 3
    assert "PSNR" in table
    tried("recon swap RUN_A RUN_B", capsys, RUN_A="a", RUN_B="b")
    figures = [json.loads((run_named(n) / "eval" / "results.json").read_text()) for n in ("a", "b")]
    assert all(f["images"]["psnr"] > 0 for f in figures)


def test_a_part_for_cad(here: Path, capsys: pytest.CaptureFixture[str]):
    """Lines of the photographs to curves that CAD programs open."""
    tried("recon reconstruct DATA --method nef", capsys)
    (run,) = (p.parent for p in Path("runs").glob("*/nef-*/*/config.yaml"))
    assert (run / "exports" / "curves.json").is_file()
    capsys.readouterr()
    main(["export", str(run), "curves", "--formats", "json", "obj", "--out", "CAD"])
    assert sorted(p.name for p in (here / "CAD").iterdir()) == ["curves.json", "curves.obj"]
    said = tried("recon solid scan.stl --unit mm", capsys)
    assert "a valid closed solid of 6 faces" in said
    assert (here / "scan-solid" / "solid.step").is_file()


def test_the_rest(here: Path, capsys: pytest.CaptureFixture[str]):
    """Pictures and shapes, and a scene that is made up."""
    tried("recon fit picture.png --params 337k --field neurbf", capsys, **{"337k": "20k"})
    tried("recon fit shape.obj --field rbfnet", capsys, "--params", "10k")
    tried("recon scene bracket --out DATA", capsys, DATA="MADE")
    assert list((here / "MADE").glob("transforms*.json"))
    main(["inspect", "MADE", "--out", str(here)])


def test_python_as_the_readme_has_it(here: Path):
    """The block runs as it stands, but for the amount."""
    import recon

    block = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert block is not None
    points = CENTER + RADIUS * np.array([[0.0, 0.0, 0.5], [0.1, 0.0, 0.0]])
    code = block[1].replace('name="bracket"', f'name="from python", settings={list(TINY_SETTINGS)!r}')
    known: dict = {"points": points, "recon": recon}
    exec(compile(code, "README.md", "exec"), known)
    assert known["found"].gradient.shape == (2, 3)
    assert known["run"].folder.name == "from python"


def test_what_is_tried_elsewhere_parses():
    for command in ELSEWHERE:
        parse(shlex.split(command)[1:])
