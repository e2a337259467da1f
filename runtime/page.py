"""The look of every HTML page: one stylesheet, and tables that sort by a click. A page loads nothing."""

import html
from pathlib import Path

STATIC = Path(__file__).parent / "static"
PLACEHOLDER = "/* style.css */"  # a page that is a file of its own has this line in its <style>


def style() -> str:
    """Returns the stylesheet: light, dark and print."""
    return (STATIC / "style.css").read_text("utf-8")


def page_start(title: str, *, extra_style: str = "") -> str:
    """Returns an HTML page up to its content.

    Args:
        title: Plain text; it is escaped.
        extra_style: CSS of this page alone.
    """
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<title>{html.escape(title)}</title>\n<link rel="icon" href="data:,">\n'
        f"<style>\n{style()}{extra_style}</style>\n</head>\n<body>\n<main>\n"
    )


def page_end(*, sortable: bool = False) -> str:
    """Returns the end of a page.

    Args:
        sortable: Whether its tables sort by a click on a heading.
    """
    script = (STATIC / "sort.js").read_text("utf-8")
    return "</main>\n" + (f"<script>\n{script}</script>\n" if sortable else "") + "</body>\n</html>\n"
