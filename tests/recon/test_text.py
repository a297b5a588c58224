"""Foreign text on a terminal and in Markdown files."""

from __future__ import annotations

import pytest

from recon.system.text import markdown, printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ünïcödé 中", "plain ünïcödé 中"),
        ("a\x1b[31mred\x07", "a\\x1b[31mred\\x07"),
        ("gpj.\u202efdp", "gpj.\\u202efdp"),
        ("two\nlines\tand a tab", "two\nlines\tand a tab"),
        ("back\rover", "back\\x0dover".replace("\\x0d", "\\r")),
        ("\x9b1A\u2028\ud800", "\\x9b1A\\u2028\\ud800"),
    ],
)
def test_nothing_steers_the_terminal(text, shown):
    assert printable(text) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("volsdf-hashgrid, 3 views", "volsdf-hashgrid, 3 views"),
        ("a|b", "a\\|b"),
        ("<b>&amp;", "&lt;b>&amp;amp;"),
        ("# head", "\\# head"),
        ("- item\n\n- next", "\\- item - next"),
        ("*a* _b_ `c` [d](e) ~f~ \\", "\\*a\\* \\_b\\_ \\`c\\` \\[d\\](e) \\~f\\~ \\\\"),
    ],
)
def test_text_is_itself_in_markdown(text, shown):
    assert markdown(text) == shown
