"""Names of files, units and messages are foreign: on the page they are text, and if one got into the page as HTML it could run nothing."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.viewer.browser import visitors, why_not
from viewer.markdown import code, paragraphs, plain

if TYPE_CHECKING:
    from recon.data.scene import Scene
    from tests.viewer.browser import Visitor

needs_browser = pytest.mark.skipif(why_not() is not None, reason=str(why_not()))

RUN = "parent.pwned=(parent.pwned||0)+1"
HOSTILE = (
    f'<iframe srcdoc="<script>{RUN}</script>"></iframe>0.png',
    f'<img src="data:," onerror="{RUN}">1.png',
    f"{{{RUN}}}2.png",
    f"</span><script>{RUN}</script>3.png",
    f"[a](javascript:{RUN})4.png",
    "![b](/etc/hostname)5.png",
    f"<svg onload='{RUN}'>6.png",
    f"export const a = {{b: {RUN}}}",
    "``` `x` **bold** _it_ | # 8.png",
    "line\n\n<b>two</b>\x1b[31m\u202e9.png",
)


@pytest.mark.parametrize("text", HOSTILE)
def test_text_is_shown_as_it_is(text: str):
    """No character that could begin markup is left, and a reader of the references gets the text back."""
    assert re.fullmatch(r"(?:[0-9A-Za-z\ufffd]|&#[0-9]+;)*", plain(text))
    assert html.unescape(plain(text)) == "".join(c if c.isprintable() else "\ufffd" for c in text)
    assert paragraphs("a\nb") == "a\n\nb"


@pytest.mark.parametrize("text", [*HOSTILE, "`", "``", "a`b``c"])
def test_code_ends_where_it_ends(text: str):
    """Its fence is longer than any run of backticks inside, and it stays on its line."""
    shown = code(text)
    fence = re.match("`+", shown)
    assert fence is not None
    inside = shown[len(fence[0]) : -len(fence[0])]
    assert shown.endswith(f" {fence[0]}")
    assert len(fence[0]) > max((len(run) for run in re.findall("`+", inside)), default=0)
    assert all(c.isprintable() for c in shown)


def hostile_scene() -> Scene:
    from tests.tiny import tiny_scene

    scene = tiny_scene()
    views = tuple(replace(view, name=name) for view, name in zip(scene.views, HOSTILE, strict=True))
    return replace(scene, views=views, name=HOSTILE[0], unit=HOSTILE[1])


@pytest.fixture(scope="module")
def visit() -> Iterator[Callable[[], Visitor]]:
    with visitors() as make:
        yield make


@needs_browser
def test_hostile_names_run_nothing(visit: Callable[[], Visitor], tmp_path: Path):
    from recon.runs import open_run
    from tests.viewer.runs import tiny_run
    from viewer.app import Viewer
    from viewer.subject import run_subject

    run, scene = tiny_run(tmp_path), hostile_scene()
    info = run.scene.to_json()
    info |= {"name": scene.name, "unit": scene.unit, "views": [{**v, "name": n} for v, n in zip(info["views"], HOSTILE, strict=True)]}
    (run.folder / "scene.json").write_text(json.dumps(info))
    run = open_run(run.folder)  # a run reads its scene once
    status = {"state": HOSTILE[0], "step": 1, "pid": 1, "time": "", "message": HOSTILE[1]}
    (run.folder / "status.json").write_text(json.dumps(status))
    scores = [{"view": name, "psnr": 1.0, "ssim": 0.5} for name in HOSTILE]
    images = {"views": 10, "psnr": 1.0, "psnr_masked": None, "ssim": 0.5, "per_view": scores}
    run.eval.mkdir(exist_ok=True)
    (run.eval / "results.json").write_text(json.dumps({"images": images, "unit": HOSTILE[0], "training_seconds": 1.0}))
    (run.exports / HOSTILE[2]).write_text("")
    viewer = Viewer(run_subject(run, scene), port=0)
    viewer.panels.render.size(256)
    try:
        visitor = visit()
        visitor.open(viewer.address)
        visitor.wait_for_field()
        viewer.layers.highlight(0)
        viewer.panels.picked(0)
        viewer.notify(HOSTILE[0], HOSTILE[1])
        visitor.has_text(HOSTILE[1])
        visitor.tab("Views")
        visitor.choose("seen from there", "photograph")
        for name in HOSTILE[1:-1]:
            visitor.press("Next")
            visitor.has_text(name)
        visitor.tab("Render")
        visitor.has_text("seen from here by the field's depth")
        visitor.tab("Train")
        visitor.has_text(f"step 1 of 12, {HOSTILE[0]}")
        visitor.tab("Export")
        visitor.has_text("recon export")
        assert viewer.panels.export is not None
        viewer.panels.export._progress(0.5, "wrote " + ", ".join(HOSTILE))
        visitor.has_text(f"wrote {HOSTILE[0]}, {HOSTILE[1]}")
        visitor.tab("Metrics")
        for name in HOSTILE[:-1]:
            visitor.has_text(name)
        assert visitor.page.evaluate("() => window.pwned ?? 0") == 0
        assert visitor.errors == []
        assert visitor.foreign == []
        visitor.page.context.close()
    finally:
        viewer.close()


@needs_browser
@pytest.mark.parametrize("number", [0, 1, 3])  # an svg that is put in this way does not load, and so asks for nothing
def test_html_that_got_into_the_page_runs_nothing(visit: Callable[[], Visitor], number: int):
    """The second wall: the page's policy lets only its own scripts run."""
    from viewer.server import start_server

    server = start_server(port=0)
    try:
        visitor = visit()
        visitor.page.goto(server.address)
        visitor.page.wait_for_function("() => window.__viserMutable")
        visitor.page.evaluate("html => { document.body.append(document.createRange().createContextualFragment(html)) }", HOSTILE[number])
        visitor.page.wait_for_timeout(500)
        assert visitor.page.evaluate("() => window.pwned ?? 0") == 0
        assert any("Content Security Policy" in error for error in visitor.errors)
        visitor.page.context.close()
    finally:
        server.stop()


def test_the_page_is_the_same_with_and_without_gzip():
    pytest.importorskip("viser")
    from tests.viewer.test_server import cookie, get
    from viewer.server import start_server

    server = start_server(port=0)
    try:
        _, head, page = get(server, "/", cookie(server))
        _, head_zipped, zipped = get(server, "/", cookie(server), "Accept-Encoding: gzip")
        assert gzip.decompress(zipped) == page
        assert "Content-Encoding: gzip" in head_zipped
        nonce = re.findall(r"'nonce-([\w-]+)'", head)
        assert len(nonce) == 1
        assert page.count(f'<script nonce="{nonce[0]}"'.encode()) == page.count(b"<script") == 2
        assert "unsafe-inline" not in head.split("script-src")[1].split(";")[0]
    finally:
        server.stop()
