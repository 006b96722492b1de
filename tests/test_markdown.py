"""What people typed is text in every viewer of Markdown: no picture, no link, no HTML."""

import pytest
from markdown_it import MarkdownIt

from hbaf.markdown import cell, code, plain

ATTACKS = [
    "![x](https://example.org/seen.png)", "[joy](https://example.org)", "![x][1]", "[1]: https://example.org/x.png",
    "<img src=https://example.org/x.png>", "<script>alert(1)</script>", "https://example.org", "www.example.org",
    "`![x](https://example.org)`", "``` ![x](https://example.org)", "a@example.org", "<https://example.org>",
    "joy\n\n![x](https://example.org/x.png)", "&#33;[x](https://example.org)", "!\\[x](https://example.org)",
]  # fmt: skip


def tokens(text: str) -> set[str]:
    """Kinds of all tokens, by the reader that turns most into something."""
    parser = MarkdownIt("commonmark", {"html": True, "linkify": False}).enable("table")
    return {inner.type for token in parser.parse(text) for inner in (token, *(token.children or ()))}


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_active_is_left(text: str) -> None:
    for written in (plain(text), f"**{plain(text)}**", f"- {plain(text)}", f"# {plain(text)} version 1", code(text)):
        assert not tokens(written) & {"image", "link_open", "html_inline", "html_block"}, written
        assert "\n" not in written
    table = f"| a |\n| --- |\n| {cell(text + ' | more')} |"
    assert not tokens(table) & {"image", "link_open", "html_inline", "html_block"}
    rows = [token for token in MarkdownIt("js-default").parse(table) if token.type == "td_open"]
    assert len(rows) == 1


@pytest.mark.parametrize("text", ["https://example.org", "www.example.org", "a@example.org"])
def test_addresses_are_code_for_viewers_that_link_them(text: str) -> None:
    assert plain(f"see {text}.") == f"`see {text}.`"


@pytest.mark.parametrize(
    "text", ["joy", "no_agreement", "0.880 [0.84, 0.91]", "< 0.05", "Müller & Söhne", "a * b", "5 > 4"]
)
def test_ordinary_words_stay(text: str) -> None:
    assert plain(text) == text
