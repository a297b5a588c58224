"""`recon render`: what it writes for every kind of camera, subject and mode, and what it refuses."""

from dataclasses import replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from PIL import Image

from recon import pipeline
from recon.config.files import with_overrides
from recon.config.presets import preset_config
from recon.console import Reporter
from recon.curves import Wireframe, save
from recon.curves.files.curve import line
from recon.errors import DataError, ReconError, UsageError
from recon.geometry import Similarity
from recon.model import METHODS
from recon.rendering.colormaps import apply_colormap
from recon.rendering.image import RenderedView
from recon.rendering.modes import depth_colors, mode_picture, sphere_depth_range
from recon.results.films import film
from recon.runs import Run
from recon.surface.export import export_mesh
from recon.surface.mesh import Mesh
from tests.tiny import CENTER, RADIUS, TINY_SETTINGS, tiny_scene
from tests.viewer.offscreen import why_not
from viewer.loading import load_surface
from viewer.paths import CameraPath, Keyframe, save_path
from viewer.render import RenderOptions, render


def trained(folder: Path, method: str) -> Run:
    scene = tiny_scene()
    config = with_overrides(preset_config(method, "hashgrid", "fast"), list(TINY_SETTINGS))  # pyright: ignore[reportArgumentType]
    run = pipeline.start(scene, "tiny", config, folder)
    with Reporter(quiet=True) as reporter:
        pipeline.fit(run, scene, reporter)
    return run


@pytest.fixture(scope="module")
def surface_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of a surface method, with an octahedron and three of its edges in the place of its exports."""
    run = trained(tmp_path_factory.mktemp("surface"), "volsdf")
    vertices = CENTER + RADIUS * np.concatenate([np.eye(3), -np.eye(3)])
    faces = [[0, 1, 2], [1, 3, 2], [3, 4, 2], [4, 0, 2], [1, 0, 5], [3, 1, 5], [4, 3, 5], [0, 4, 5]]
    colors = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [0, 255, 255], [255, 0, 255], [255, 255, 0]], np.uint8)
    export_mesh(Mesh(vertices, np.array(faces, np.int32), colors=colors), run.exports / "mesh.ply")
    edges = [(0, 1), (1, 2), (2, 0)]
    save(Wireframe(vertices[:3], tuple(line(vertices[a], vertices[b], vertices=(a, b)) for a, b in edges)), run.exports / "curves.json")
    return run


@pytest.fixture(scope="module")
def radiance_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("radiance"), "radiance")


def rendered(run: Run, **options) -> list[Path]:
    with Reporter(quiet=True) as reporter:
        return render(run, RenderOptions(**options), tiny_scene, reporter)


def test_a_split_in_every_mode(surface_run: Run, tmp_path: Path):
    modes = ("color", "depth", "normal", "opacity", "error")
    assert rendered(surface_run, split="test", modes=modes, out=tmp_path / "out") == [tmp_path / "out"]
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {f"{view}-{mode}.png" for view in ("08", "09") for mode in modes}
    pictures = {m: np.asarray(Image.open(tmp_path / "out" / f"08-{m}.png")) for m in modes}
    assert all(p.shape == (24, 24, 3) for p in pictures.values())
    photograph = tiny_scene().split("test")[0].image
    difference = np.abs(pictures["color"] / 255.0 - np.where(photograph[..., 3:] > 0, photograph[..., :3] / 255.0, 1.0)).mean(-1)
    wanted = apply_colormap(difference / 0.25, "magma")
    assert np.abs(pictures["error"] / 255.0 - wanted).max() < 0.05


def test_a_turn_as_films_and_pictures(surface_run: Run, tmp_path: Path):
    pytest.importorskip("imageio_ffmpeg", reason="mp4 needs the extra [viewer]")
    written = rendered(surface_run, frames=4, size=25, modes=("color", "opacity"), fps=8, out=tmp_path / "turn.mp4")
    assert written == [tmp_path / "turn-color.mp4", tmp_path / "turn-opacity.mp4"]
    assert iio.imread(written[0]).shape == (4, 24, 24, 3)
    assert iio.immeta(written[0])["fps"] == 8
    rendered(surface_run, frames=4, size=24, modes=("color",), out=tmp_path / "pictures")
    turn = np.stack([np.asarray(Image.open(tmp_path / "pictures" / f"{i:05d}-color.png")) for i in range(4)])
    assert np.abs(turn.astype(int) - iio.imread(written[0])).mean() < 6  # H.264 is lossy
    (usual,) = rendered(surface_run, frames=2, size=16)
    assert usual.parent == surface_run.renders
    assert usual.stem == "orbit"


def test_a_camera_path(surface_run: Run, tmp_path: Path):
    """Keyframes that are two of the run's own cameras show what these show."""
    views = surface_run.scene.views
    keys = tuple(Keyframe(views[i].camera.world_from_camera, 2 * np.arctan(12 / 36), float(i)) for i in (0, 1))
    save_path(CameraPath(keys, fps=2), tmp_path / "flight.json")
    rendered(surface_run, path=tmp_path / "flight.json", size=24, out=tmp_path / "path")
    rendered(surface_run, split="train", out=tmp_path / "train")
    assert len(list((tmp_path / "path").iterdir())) == 3
    for number, name in ((0, "00"), (2, "01")):
        flown, own = (np.asarray(Image.open(tmp_path / f)).astype(int) for f in (f"path/{number:05d}-color.png", f"train/{name}-color.png"))
        assert np.abs(flown - own).max() <= 1


@pytest.mark.parametrize("of", [("mesh",), ("curves",), ("mesh", "curves")], ids="+".join)
def test_geometry(surface_run: Run, tmp_path: Path, of: tuple[str, ...]):
    if why_not() is not None:
        pytest.skip(str(why_not()))
    modes = ("color", "depth", "opacity", "overlay") + (("clay", "normal", "error") if "mesh" in of else ())
    rendered(surface_run, of=of, split="test", size=64, modes=modes, out=tmp_path)
    pictures = {m: np.asarray(Image.open(tmp_path / f"08-{m}.png")) for m in modes}
    shares = (pictures["opacity"][..., 0] > 127).mean()
    assert (0.1 < shares < 0.6) if "mesh" in of else (0.0 < shares < 0.1)
    photograph = np.asarray(Image.fromarray(tiny_scene().split("test")[0].image).resize((64, 64), Image.Resampling.BILINEAR))
    free = (pictures["opacity"][..., 0] == 0) & (photograph[..., 3] == 255)
    assert np.abs(pictures["overlay"].astype(int) - photograph[..., :3])[free].max(initial=0) < 12
    (film_path,) = rendered(surface_run, of=of, frames=3, size=32, out=tmp_path / "turn.gif")
    assert Image.open(film_path).n_frames == 3  # pyright: ignore[reportAttributeAccessIssue]


def test_textures_are_read_back(tmp_path: Path):
    """A .glb goes through the file with its texture, its coordinates the right way up, and its place in the world."""
    picture = np.zeros((8, 4, 3), np.uint8)
    picture[:4] = [200, 10, 20]  # the upper half
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0]]) + 1000
    mesh = Mesh(vertices, np.array([[0, 1, 2]], np.int32), uv=np.array([[0.1, 0.9], [0.5, 0.2], [0.9, 0.9]]), texture=picture)
    run = Run(tmp_path, preset_config("volsdf", "hashgrid", "fast"))
    export_mesh(mesh, run.exports / "mesh.glb")
    back = load_surface(run)
    assert back.uv is not None
    np.testing.assert_allclose(back.uv, mesh.uv, atol=1e-6)
    np.testing.assert_array_equal(back.texture, picture)
    np.testing.assert_allclose(back.vertices, vertices, atol=1e-4)


def test_curves_are_shown_with_the_surface_they_were_found_on(surface_run: Run, tmp_path: Path):
    config = preset_config("nef", "hashgrid", "fast")
    for source in (f"surface:{surface_run.folder}", f"surface:{surface_run.exports / 'mesh.ply'}"):
        run = Run(tmp_path, replace(config, nef=replace(config.nef, edges=source)))
        assert len(load_surface(run).faces) == 8
    with pytest.raises(DataError, match="no mesh"):
        load_surface(Run(tmp_path, config))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"modes": ("normal",)}, "has no mode normal.*color, depth, opacity"),
        ({"modes": ("edge", "clay")}, "no mode edge or clay"),
        ({"modes": ("error",)}, "needs a photograph"),
        ({"modes": ("color", "color")}, "named twice"),
        ({"of": ("field", "mesh")}, "--of takes"),
        ({"of": ()}, "nothing"),
        ({"of": ("mesh",), "modes": ("error",)}, "needs a photograph"),
        ({"of": ("curves",), "modes": ("overlay",)}, "needs a photograph"),
        ({"of": ("curves",), "modes": ("error",), "split": "test"}, "no mode error.*overlay"),
        ({"modes": ("overlay",), "split": "test"}, "no mode overlay"),
        ({"of": ("mesh",)}, "no mesh.*recon export RUN mesh"),
        ({"of": ("curves",)}, "no curves.*recon export RUN curves"),
        ({"split": "test", "frames": 3}, "own cameras"),
        ({"frames": 0}, "at least one"),
        ({"size": 4}, "8 to 8192"),
        ({"depth_range": (2.0, 1.0)}, "depth range"),
        ({"out": Path("film.avi")}, "mp4 or .gif"),
        ({"fps": 1000.0, "out": Path("film.gif")}, "frames per second"),
        ({"path": Path("none.json")}, "none.json: there is no such file.*panel Path"),
    ],
)
def test_refusals_say_what_to_do(radiance_run: Run, options: dict, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ReconError, match=f"(?s){says}") as caught:
        rendered(radiance_run, **options)
    assert isinstance(caught.value, UsageError | DataError)
    assert not list(tmp_path.iterdir())


def test_modes_of_methods():
    assert "normal" in METHODS["volsdf"].modes
    assert "normal" not in METHODS["radiance"].modes
    assert METHODS["nef"].modes[0] == "edge"


def test_mode_pictures():
    opacity = np.array([[1.0, 1.0, 0.2]], np.float32)
    depth = np.array([[2.0, 4.0, 3.0]], np.float32)
    view = RenderedView(np.full((1, 3, 3), 0.5, np.float32), opacity, depth, None)
    colors = depth_colors(depth, opacity, (2.0, 4.0))
    np.testing.assert_array_equal(colors[0], [[0xFD, 0xE7, 0x25], [0x44, 0x01, 0x54], [255, 255, 255]])
    np.testing.assert_array_equal(mode_picture(view, "opacity")[0, :, 0], [255, 255, 51])
    np.testing.assert_array_equal(mode_picture(view, "edge"), np.full((1, 3, 3), 128))
    np.testing.assert_array_equal(mode_picture(view, "error", photograph=view.rgb), np.broadcast_to([0, 0, 4], (1, 3, 3)))
    for mode in ("normal", "error"):
        with pytest.raises(UsageError):
            mode_picture(view, mode)


def test_the_depth_range_holds_the_object():
    cameras = [v.camera for v in tiny_scene().views]
    near, far = sphere_depth_range(cameras, Similarity(5.0, np.eye(3), CENTER))
    assert (near, far) == (pytest.approx(7), pytest.approx(17))


@pytest.mark.parametrize("suffix", [".gif", ".mp4"])
def test_a_film_that_fails_leaves_nothing(tmp_path: Path, suffix: str):
    if suffix == ".mp4":
        pytest.importorskip("imageio_ffmpeg", reason="mp4 needs the extra [viewer]")

    def write(*widths: int) -> None:
        with film(tmp_path / f"film{suffix}") as add:
            for width in widths:
                add(np.zeros((8, width, 3), np.uint8))

    with pytest.raises(UsageError, match="differ in size"):
        write(8, 9)
    with pytest.raises(UsageError, match="no frames"):
        write()
    assert not list(tmp_path.iterdir())


def test_a_gif_keeps_its_colors(tmp_path: Path):
    with film(tmp_path / "a.gif", fps=5) as add:
        for i in range(3):
            add(np.full((7, 9, 3), [60 * i, 255 - 60 * i, 7], np.uint8))
    frames = iio.imread(tmp_path / "a.gif")
    np.testing.assert_array_equal(frames[:, 0, 0], [[0, 255, 7], [60, 195, 7], [120, 135, 7]])
    assert Image.open(tmp_path / "a.gif").info["duration"] == 200
