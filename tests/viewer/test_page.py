"""The page in one file: what it carries, and how it behaves in a real browser that opens it from disk."""

import base64
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import trimesh
from PIL import Image

from recon.curves import Wireframe, save
from recon.curves.files.curve import ellipse, line
from recon.data.scene import Camera
from recon.geometry import Similarity
from recon.rendering.colormaps import curve_rgb
from recon.rendering.meshes import render_mesh
from recon.rendering.orbit import common_up
from recon.solid.facets import Facets
from recon.solid.viewing import SolidView
from recon.surface.mesh import Mesh, vertex_normals
from tests.tiny import CENTER, RADIUS, WORLD_FROM_SCENE, cameras
from viewer.page import MAX_FACES, light_mesh, page_html, write_page

CHROMIUM = Path("/usr/bin/chromium")
NAME = "</script><b>&quot;"  # a view's name that would break a careless page


def ball(turns: int = 24) -> Mesh:
    """A sphere of many colours, world units."""
    shape = trimesh.creation.uv_sphere(radius=RADIUS, count=[turns, 2 * turns])
    vertices = np.asarray(shape.vertices)
    colors = np.rint(127.5 * (vertices / RADIUS + 1)).astype(np.uint8)
    mesh = Mesh(vertices + CENTER, np.asarray(shape.faces, np.int32), colors=colors)
    return Mesh(mesh.vertices, mesh.faces, normals=vertex_normals(mesh), colors=colors)


def wires() -> Wireframe:
    """A great circle a little off the sphere, and a line through the sphere that comes out at both ends."""
    ends = CENTER + np.array([[0, 0, -1.5 * RADIUS], [0, 0, 1.5 * RADIUS]])
    ring = ellipse(CENTER, [1, 0, 0], [0, 1, 0], (1.02 * RADIUS,) * 2, (0, 2 * np.pi), True, vertices=None)
    return Wireframe(ends, (line(*ends, vertices=(0, 1)), ring), "mm")


def views() -> list[tuple[str, str, Camera]]:
    found = [(f"{i:02d}.png", "train", c) for i, c in enumerate(cameras(5, 96))]
    off = found[2][2]
    odd = Camera(120, 80, 150.0, 170.0, 71.0, 35.0, off.world_from_camera)  # every parameter at work
    return [*found, (NAME, "test", odd)]


def html(**parts) -> str:
    given = {"mesh_world": ball(), "wireframe_world": wires(), "cameras": views(), "world_from_scene": WORLD_FROM_SCENE, **parts}
    return page_html("a <title> & more", unit="mm", facts=["PSNR < 30"], **given)[0]


def cube() -> SolidView:
    """A cube in the ball, whose faces have names that would break a careless page."""
    shape = trimesh.creation.box((RADIUS,) * 3)
    corners = np.asarray(shape.triangles).reshape(-1, 3) + CENTER
    normals = np.repeat(np.asarray(shape.face_normals), 3, axis=0)
    face = np.unique(np.round(shape.face_normals), axis=0, return_inverse=True)[1].reshape(-1)
    shown = Facets(corners, normals, np.arange(36).reshape(-1, 3), face)
    edges = tuple(np.array(e) + CENTER for e in ([[-1.5, -1.5, 1.5], [1.5, -1.5, 1.5]], [[1.5, -1.5, 1.5], [1.5, 1.5, 1.5]]))
    return SolidView(shown, edges, ("plane",) * 6, tuple((f"<b>plane {k}</b>", "± 0.01 mm") for k in range(6)), 2.0, True)


def element(page: str, name: str) -> str:
    found = re.search(rf'<script type="[^"]*" id="{name}">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    return found.group(1)


def test_it_carries_the_mesh_and_the_curves():
    page = html()
    glb = base64.b64decode(element(page, "mesh"))
    mesh = trimesh.load(io.BytesIO(glb), file_type="glb", force="mesh", process=False)
    np.testing.assert_allclose(np.asarray(mesh.vertices), ball().vertices, atol=1e-5)  # pyright: ignore[reportAttributeAccessIssue]
    data = json.loads(element(page, "data"))
    assert [c["type"] for c in data["curves"]] == ["line", "circle"]
    assert data["curves"][0]["length"] == pytest.approx(3 * RADIUS)
    points = np.frombuffer(base64.b64decode(data["curves"][1]["points"]), "<f4").reshape(-1, 3)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1.02 * RADIUS / WORLD_FROM_SCENE.scale, atol=1e-6)
    assert data["cameras"][-1]["name"] == NAME
    np.testing.assert_allclose(data["cameras"][0]["eye"], (views()[0][2].center - CENTER) / WORLD_FROM_SCENE.scale)
    assert (data["unit"], data["radius"]) == ("mm", WORLD_FROM_SCENE.scale)


def test_it_carries_the_solid_and_how_far_the_surface_is_from_it():
    data = json.loads(element(html(solid=cube()), "data"))
    values = {k: np.frombuffer(base64.b64decode(data["solid"][k]), "<f4") for k in ("positions", "normals", "owners")}
    assert len(values["owners"]) == 36
    np.testing.assert_allclose(np.abs(values["positions"]), RADIUS / 2 / WORLD_FROM_SCENE.scale, atol=1e-6)
    assert data["solid"]["counts"] == {"plane": 6}
    away = np.frombuffer(base64.b64decode(data["deviation"]), "<f4")
    assert len(away) == len(ball().vertices)
    # outside of the cube by between R - sqrt(3) R / 2 and R / 2, in parts of 2
    assert away.min() == pytest.approx(RADIUS * (1 - 3**0.5 / 2) / 2, rel=0.05)
    assert away.max() == pytest.approx(RADIUS / 2 / 2, rel=1e-3)
    assert json.loads(element(html(), "data"))["solid"] is None


def test_it_fetches_nothing_and_shows_names_as_they_are():
    page = html()
    assert "default-src 'none'" in page
    assert not re.search(r"(src|href)\s*=|@import|url\(|https?://|fetch\(|import\s", page)
    assert page.count("</script>") == 3
    assert "a &lt;title&gt; &amp; more" in page
    assert "PSNR &lt; 30" in page


def test_a_scene_that_is_turned_does_not_turn_the_world():
    """Scene axes may differ from the world's; the page shows the world's, so that what one reads off is exported geometry."""
    turned = Similarity(WORLD_FROM_SCENE.scale, np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]]), WORLD_FROM_SCENE.translation)
    data = [json.loads(element(html(world_from_scene=w), "data")) for w in (WORLD_FROM_SCENE, turned)]
    np.testing.assert_allclose(data[0]["cameras"][0]["eye"], data[1]["cameras"][0]["eye"])
    assert data[0]["curves"] == data[1]["curves"]


def test_large_meshes_become_light():
    texture = np.zeros((4096, 1024, 3), np.uint8)
    small = light_mesh(Mesh(np.eye(3), np.array([[0, 1, 2]], np.int32), uv=np.zeros((3, 2)), texture=texture))
    assert small.texture is not None
    assert small.texture.shape == (2048, 512, 3)
    many = ball(170)
    assert len(many.faces) > MAX_FACES
    light = light_mesh(many)
    assert len(light.faces) <= MAX_FACES
    assert light.colors is not None
    wanted = 127.5 * ((light.vertices - CENTER) / RADIUS + 1)
    assert np.abs(light.colors - wanted).max() < 8


def test_up():
    np.testing.assert_allclose(common_up([]), [0, 0, 1])
    assert common_up(cameras(8))[2] > 0.9


def write_run(folder: Path):
    """A run folder with everything that a page is made of."""
    from recon import pipeline
    from recon.config.presets import preset_config
    from recon.surface.export import export_mesh
    from tests.tiny import tiny_scene

    run = pipeline.start(tiny_scene(), "tiny", preset_config("volsdf", "hashgrid", "fast"), folder)
    export_mesh(ball(), run.exports / "mesh.ply")
    save(wires(), run.exports / "curves.json")
    return run


def test_of_a_run(tmp_path: Path):
    run = write_run(tmp_path)
    size = write_page(run, tmp_path / "deep" / "page.html")
    assert (tmp_path / "deep" / "page.html").stat().st_size == size.total
    assert 0 < size.mesh < size.total
    for name in ("mesh.ply", "curves.json"):
        (run.exports / name).unlink()
    bare = write_page(run, tmp_path / "bare.html")
    assert bare.mesh == 0
    assert json.loads(element((tmp_path / "bare.html").read_text(), "data"))["curves"] == []


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="the browser's test needs playwright")
    if not CHROMIUM.is_file():
        pytest.skip(f"the browser's test needs {CHROMIUM}")
    with sync.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
        opened = playwright.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield opened
        opened.close()


@pytest.fixture
def page(browser, tmp_path: Path):
    """The page of the ball, opened from disk; afterwards nothing was complained of and nothing fetched."""
    yield from opened(browser, tmp_path, html())


def opened(browser, folder: Path, text: str):
    file = folder / "page.html"
    file.write_text(text)
    tab = browser.new_page(viewport={"width": 720, "height": 480}, color_scheme="light")
    complaints, requests = [], []
    tab.on("console", lambda m: complaints.append(m.text))
    tab.on("pageerror", lambda e: complaints.append(str(e)))
    tab.on("request", lambda r: requests.append(r.url))
    tab.goto(file.as_uri())
    tab.wait_for_selector("body[data-drawn]")
    tab.locator("#side summary").click()  # folded, so that it covers nothing
    yield tab
    assert not tab.locator("#failure").is_visible()
    tab.close()
    assert complaints == []
    assert requests == [file.as_uri()]


def picture(page) -> np.ndarray:
    """What is seen once everything asked for is drawn. [480, 720, 3] in [0, 1]"""
    page.wait_for_timeout(250)
    return np.asarray(Image.open(io.BytesIO(page.screenshot())).convert("RGB")) / 255.0


def near_color(image: np.ndarray, color: tuple[float, float, float]) -> np.ndarray:
    return np.linalg.norm(image - np.array(color), axis=-1) < 0.06


def unfold(page):
    page.locator("#side summary").click()


def test_layers_shadings_and_themes(page):
    full = picture(page)
    assert near_color(full, curve_rgb("circle")).sum() > 100
    assert near_color(full, curve_rgb("line")).sum() > 20
    unfold(page)
    page.get_by_label("circle (1)").uncheck()
    without = picture(page)
    assert near_color(without[:, 300:], curve_rgb("circle")).sum() == 0
    page.get_by_label("Surface", exact=True).uncheck()
    bare = picture(page)
    assert near_color(bare[:, 300:], curve_rgb("line")).sum() > 1.5 * near_color(without[:, 300:], curve_rgb("line")).sum()
    page.get_by_label("Surface", exact=True).check()
    page.get_by_label("shading of the surface").select_option("2")
    clay = picture(page)
    ball_part = clay[200:280, 420:480]
    assert np.ptp(ball_part.mean((0, 1))) < 0.12, "clay has little colour"
    page.get_by_label("Cameras (6)").check()
    assert np.abs(picture(page) - clay).max() > 0.3
    page.get_by_role("button", name="Light / dark").click()
    assert picture(page)[470, 710].mean() < 0.2 < 0.8 < clay[470, 710].mean()


def test_on_a_phone(browser, tmp_path: Path):
    """The panel is folded, and a note says what fingers do until one does."""
    file = tmp_path / "page.html"
    file.write_text(html())
    phone = browser.new_context(viewport={"width": 390, "height": 700}, has_touch=True, is_mobile=True).new_page()
    phone.goto(file.as_uri())
    phone.wait_for_selector("body[data-drawn]")
    assert not phone.get_by_role("button", name="Reset view").is_visible()
    note = phone.locator("#touch")
    assert "finger" in note.inner_text()
    phone.touchscreen.tap(195, 350)
    assert not note.is_visible()
    phone.context.close()


def test_turning_zooming_and_resetting(page):
    before = picture(page)
    page.mouse.move(400, 240)
    page.mouse.down()
    page.mouse.move(520, 300, steps=4)
    page.mouse.up()
    turned = picture(page)
    assert np.abs(turned - before).mean() > 0.01
    page.mouse.wheel(0, -600)
    covered = [(np.abs(p[240] - p[470, 710]).max(-1) > 0.05).sum() for p in (turned, picture(page))]
    assert covered[1] > 1.2 * covered[0]
    page.mouse.dblclick(600, 60)
    np.testing.assert_allclose(picture(page), before, atol=0.02)


def test_a_view_from_a_photographs_camera_is_the_ray_casters(page):
    """Principal point and unequal focal lengths too; the whole photograph as large as it goes: 6 times the camera's size."""
    unfold(page)
    page.get_by_label("look from a camera").select_option(label=NAME)
    page.get_by_label("Curves (2)").uncheck()
    unfold(page)
    seen = picture(page)
    camera = views()[-1][2].resized(720, 480)
    cast = render_mesh(ball(), camera, shading="color")
    inside = cast["alpha"] == 1
    inside[:80, :300] = False  # the folded panel
    assert np.abs(seen[inside] - cast["rgb"][inside]).mean() < 0.02
    # Four samples a pixel at least: what is covered by a quarter or more differs from the background.
    covered, wanted = np.abs(seen - seen[470, 710]).max(-1) > 0.02, cast["alpha"] > 0.2
    covered[:80, :300] = wanted[:80, :300]
    outline = ((cast["alpha"] > 0) & (cast["alpha"] < 1)).sum()
    assert (covered != wanted).sum() / outline < 0.25
    shift = [np.argwhere(c).mean(0) for c in (covered, wanted)]
    assert np.abs(shift[0] - shift[1]).max() < 0.2


def test_a_click_reads_a_curve_and_the_surface_hides_it(page):
    unfold(page)
    page.get_by_label("look from a camera").select_option(label="00.png")
    unfold(page)
    picture(page)
    camera = views()[0][2].resized(480, 480)
    ring = wires().curves[1].sample(0.05)[0]
    pixels, depth = camera.project(ring)
    front, back = (pixels[i(depth)] + [120, 0] for i in (np.argmin, np.argmax))  # the square photograph stands in the middle
    page.mouse.click(*front)
    info = page.locator("#chosen")
    info.wait_for(state="visible")
    text = info.inner_text()
    assert "circle" in text
    assert f"{2 * np.pi * 1.02 * RADIUS:.4g} mm" in text
    assert near_color(picture(page), (1.0, 0.78, 0.0)).sum() > 50
    page.mouse.click(*back)  # behind the ball, if the camera looks from above: the click meets the surface
    assert (info.is_visible() and "circle" in info.inner_text()) == (_free(camera, ring[int(np.argmax(depth))]))
    page.mouse.click(700, 20)
    info.wait_for(state="hidden")


def test_a_click_reads_a_face_of_the_solid(browser, tmp_path: Path):
    for tab in opened(browser, tmp_path, html(solid=cube(), wireframe_world=None)):
        shown = picture(tab)
        tab.mouse.click(360, 240)
        info = tab.locator("#chosen")
        info.wait_for(state="visible")
        assert re.fullmatch(r"<b>plane \d</b>\n± 0\.01 mm", info.inner_text())
        chosen = picture(tab)
        assert np.abs(chosen - shown).max(-1)[200:280, 320:400].mean() > 0.1
        tab.mouse.click(700, 20)
        info.wait_for(state="hidden")
        unfold(tab)
        tab.get_by_label("Surface", exact=True).check()
        tab.get_by_label("shading of the surface").select_option("5")
        unfold(tab)
        red, _, blue = picture(tab)[240, 360]
        assert red > blue + 0.2  # the ball lies outside of the cube


def _free(camera: Camera, point: np.ndarray) -> bool:
    """Whether the ball leaves the way from the camera to a point free."""
    along = (point - camera.center) / np.linalg.norm(point - camera.center)
    foot = camera.center + ((CENTER - camera.center) @ along) * along
    return bool(np.linalg.norm(foot - CENTER) > RADIUS or (CENTER - camera.center) @ along > np.linalg.norm(point - camera.center))
