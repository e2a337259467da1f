"""The look that all HTML pages share."""

import re

from runtime.files import highlight
from runtime.page import page_end, page_start, style
from runtime.serve.pages import ui


def test_every_page_has_the_stylesheet() -> None:
    """The pages of the runtime contain the common stylesheet."""
    for page in (page_start("Title"), highlight.page_start(), ui()):
        assert style() in page


def test_every_variable_is_defined() -> None:
    """The stylesheet uses no variable that it does not define, and dark mode replaces every colour."""
    light, dark, _ = re.split(r"(?:^|\n)@media \w+ and|\n\* \{", style(), maxsplit=2)
    defined = set(re.findall(r"(--[\w-]+):", light))
    assert set(re.findall(r"var\((--[\w-]+)", style() + ui())) <= defined
    assert set(re.findall(r"(--[\w-]+):", dark)) == defined


def test_title_is_escaped() -> None:
    """A title cannot contain markup."""
    assert "<title>a &lt;b&gt;</title>" in page_start("a <b>")


def test_pages_load_nothing() -> None:
    """No page refers to another host, and only sortable pages have a script."""
    assert "http" not in page_start("Title") + page_end(sortable=True)
    assert "<script" not in page_start("Title") + page_end()
