"""The page that visitors are served: viser's own, whose two scripts are let in by a nonce, so that no other script is."""

from __future__ import annotations

from html import escape
from pathlib import Path

from recon.errors import CapabilityError

PHONE_PX = 700
"""In a window that is narrower, the panel begins folded."""
# The page is one script that unpacks another one and adds it to the page.
_TITLE = "<title>Viser</title>"
_FIRST = '<script data-p="'
_READ = "const d=document.currentScript.dataset;"
_SECOND = 'e.type="module";'
# In the narrowest windows viser shows its panel as a sheet from below, which no message folds: its head is tapped, as soon as it is there.
_FOLD = """if (innerWidth < PHONE) {
  const fold = new MutationObserver(() => {
    const tab = document.querySelector("[role=tab]"), sheet = tab && tab.closest(".mantine-Paper-root");
    if (!sheet || getComputedStyle(sheet).position !== "fixed" || Math.abs(sheet.getBoundingClientRect().bottom - innerHeight) > 2) return;
    fold.disconnect();
    sheet.querySelector("[style*='cursor: pointer']").click();
  });
  fold.observe(document.documentElement, { childList: true, subtree: true });
  setTimeout(() => fold.disconnect(), 20000);
}"""


def page_with_nonce(file: Path, nonce: str, title: str) -> bytes:
    """The page, whose scripts carry a nonce.

    Args:
        file: Viser's ``index.html``.
        nonce: What the page's policy asks scripts for; letters, digits, - and _.
        title: Of the browser's window: any text.
    Raises:
        CapabilityError: If the page of the installed viser is made in another way.
    """
    text = file.read_text(encoding="utf-8")
    if any(text.count(part) != 1 for part in (_TITLE, _FIRST, _READ, _SECOND)):
        raise CapabilityError(f"{file}: the page of this version of viser is not known", "pip install 'viser>=1.1,<1.2'")
    text = text.replace(_TITLE, f"<title>{escape(title)}</title>")
    text = text.replace(_FIRST, f'<script nonce="{nonce}">{_FOLD.replace("PHONE", str(PHONE_PX))}</script>{_FIRST}')
    text = text.replace(_FIRST, f'<script nonce="{nonce}" data-p="')
    text = text.replace(_READ, f"{_READ}const nonce=document.currentScript.nonce;").replace(_SECOND, f"{_SECOND}e.nonce=nonce;")
    return text.encode("utf-8")
