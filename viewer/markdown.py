"""Foreign text on the page: names of files, units and messages, which may hold anything, shown as they are.

The page's Markdown may hold HTML and JavaScript in braces, and both would run. So nothing that was not written in this program reaches it
other than through these functions.
"""

from __future__ import annotations

import re


def plain(text: object) -> str:
    """Any text as itself: all but ASCII letters and digits become character references, which begin no markup, link or script."""
    return re.sub(r"[^0-9A-Za-z]", _reference, str(text))


def paragraphs(text: str) -> str:
    """The same for text of several lines, each of which becomes a paragraph."""
    return "\n\n".join(plain(line) for line in text.splitlines() if line.strip())


def code(text: str) -> str:
    """Text as code, to copy: between more backticks than it holds in a row, and on one line."""
    shown = "".join(c if c.isprintable() else "\ufffd" for c in text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    return f"{fence} {shown} {fence}"


def _reference(match: re.Match[str]) -> str:
    character = match[0]
    return f"&#{ord(character)};" if character.isprintable() else "\ufffd"
