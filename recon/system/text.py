"""Foreign text, such as names of files, where it would mean something: on a terminal, in Markdown."""

from __future__ import annotations

import re
import unicodedata

_MARKUP = re.compile(r"([\\`*_\[\]|~]|^[#+>-])")


def printable(text: str) -> str:
    """Text in which nothing steers a terminal or turns the direction of reading: such characters are written as escapes (``\\x1b``).

    Line ends and tabs stay.
    """
    return "".join(c if c in "\n\t" or not _steers(c) else ascii(c)[1:-1] for c in text)


def markdown(text: str) -> str:
    """Text as itself in a Markdown file, on one line: no markup, no HTML, no link and no end of a table's cell."""
    line = printable(" ".join(text.split()))
    return _MARKUP.sub(r"\\\1", line.replace("&", "&amp;").replace("<", "&lt;"))


def _steers(character: str) -> bool:
    # Cc: control, Cf: format (right-to-left overrides, invisible characters), Cs: half of a pair, Zl, Zp: ends of lines and paragraphs.
    return unicodedata.category(character) in ("Cc", "Cf", "Cs", "Zl", "Zp")
