"""A headless browser for tests and pictures: Chromium with a renderer in software, and what a visitor does on the page."""

from __future__ import annotations

import importlib.util
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ("--no-sandbox", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
PATIENCE_MS = 60_000
CANVAS = (0.02, 0.30, 0.60, 0.98)
"""Part of the window that neither notices nor panels cover: left, top, right, bottom."""


def chromium() -> str | None:
    """Where the browser is."""
    return next((path for name in CHROMIUM_NAMES if (path := shutil.which(name)) is not None), None)


def why_not() -> str | None:
    """Why there can be no browser test here, or None."""
    if importlib.util.find_spec("viser") is None:
        return "the live viewer's extra [viewer] is not installed"
    if importlib.util.find_spec("playwright") is None:
        return "the package playwright is not installed"
    return None if chromium() is not None else "no Chromium is installed"


class Visitor:
    """A page, and everything that went wrong on it."""

    def __init__(self, page: Any):
        self.page = page
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("request", self._request)

    def _request(self, request: Any) -> None:
        parts = urlsplit(request.url)
        if parts.scheme not in ("data", "blob", "file") and parts.hostname != "127.0.0.1":
            self.foreign.append(request.url)

    def open(self, address: str) -> None:
        """Go to the page and wait until the scene is there."""
        self.page.goto(address)
        self.page.wait_for_function("() => window.__viserMutable && window.__viserMutable.nodeRefFromName['/bounds/box']")

    def nodes(self) -> list[str]:
        """Names of what stands in the scene."""
        return self.page.evaluate("() => Object.entries(window.__viserMutable.nodeRefFromName).filter(e => e[1]).map(e => e[0])")

    def wait_for_field(self) -> None:
        """Until a picture of the field has arrived."""
        self.page.wait_for_function("() => window.__viserMutable.backgroundMaterial.uniforms.enabled.value")

    def picture(self) -> np.ndarray:
        """The scene without panels. [H, W, 3] uint8"""
        image = Image.open(BytesIO(self.page.screenshot())).convert("RGB")
        left, top, right, bottom = (round(f * s) for f, s in zip(CANVAS, (image.width, image.height) * 2, strict=True))
        return np.asarray(image.crop((left, top, right, bottom)))

    def settled(self, is_idle: Callable[[], bool], most: int = 60) -> np.ndarray:
        """The picture when nothing is drawn any more and it has stopped to change.

        Args:
            is_idle: :meth:`viewer.loop.RenderLoop.is_idle`.
        """
        self.page.wait_for_timeout(400)  # what the visitor did must reach the server
        last = self.picture()
        for _ in range(most):
            self.page.wait_for_timeout(250)
            now = self.picture()
            if is_idle() and difference(last, now) < 0.02:
                return now
            last = now
        raise AssertionError("the picture never came to rest")

    def tab(self, name: str) -> None:
        self.page.get_by_role("tab", name=name, exact=True).click()

    def choose(self, label: str, option: str) -> None:
        """Pick from a list."""
        self.page.get_by_label(label, exact=True).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def tick(self, label: str) -> None:
        """Click a checkbox."""
        self.page.get_by_label(label, exact=True).click()

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def has_text(self, text: str) -> None:
        """Wait until a text is on the page."""
        self.page.wait_for_function("t => document.body.innerText.includes(t)", arg=text)

    def orbit(self, pixels: int) -> None:
        """Drag the scene sideways."""
        mouse = self.page.mouse
        mouse.move(300, 450)
        mouse.down()
        for k in range(1, 6):
            mouse.move(300 + pixels * k / 5, 450)
        mouse.up()

    def save(self, path: Path) -> None:
        """A picture of the whole window."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(path))


def difference(a: np.ndarray, b: np.ndarray) -> float:
    """Mean absolute difference, 0 to 255."""
    return float(np.abs(a.astype(np.int16) - b).mean())


@contextmanager
def visitors(width: int = 860, height: int = 560) -> Iterator[Any]:
    """Yields a function that makes a new visitor, each with cookies of its own, in a window of this size or of one that it is given."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        try:
            yield lambda w=width, h=height: Visitor(browser.new_context(viewport={"width": w, "height": h}).new_page())
        finally:
            browser.close()
