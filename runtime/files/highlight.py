"""Shows the contributions of words: highlighted on a terminal, and as a self-contained HTML page."""

import html
from collections.abc import Iterator

from .. import page
from ..decision.explanation import Explanation
from .writers import printable

FOR, AGAINST = 42, 41  # green and red background of the terminal
STRONG = 0.5  # relative to the largest contribution: above it bold, below a fifth of it not highlighted
STYLE = """
article { border-top: 1px solid var(--grid); padding: 1rem 0; }
article h2 { font-size: 1rem; margin: 0 0 .5rem; }
article p { line-height: 1.9; margin: 0; overflow-wrap: anywhere; white-space: pre-wrap; }
mark { border-radius: 4px; color: inherit; padding: .1rem .15rem; }
.against { text-decoration: underline dotted; text-underline-offset: .25em; }
"""
INTRODUCTION = """<h1>Contributions of words</h1>
<p class="muted">The stronger the colour, the more a word contributes to the score of the label, relative to the
strongest word of its text. Words with a dotted line count against the label. Point at a word to see its contribution:
the log odds of the label that are lost without the word.</p>
"""


def page_start() -> str:
    """Returns the page up to its first section."""
    return page.page_start("Litmus: contributions of words", extra_style=STYLE) + INTRODUCTION


def coloured(text: str, explanation: Explanation, *, colours: bool = True) -> str:
    """Returns a text with its words highlighted for a terminal, in bold where they contribute much.

    Without colours, words are followed by their contribution.
    """
    parts = []
    for piece, strength, contribution in _pieces(text, explanation):
        if abs(strength) < STRONG / 5:
            parts.append(printable(piece))
        elif not colours:
            parts.append(f"{printable(piece)}[{contribution:+.1f}]")
        else:
            style = f"{FOR if strength > 0 else AGAINST}" + (";1" if abs(strength) >= STRONG else "")
            parts.append(f"\033[{style}m{printable(piece)}\033[0m")
    return "".join(parts)


def article(name: str, text: str, explanation: Explanation) -> str:
    """Returns the section of the page for one text.

    Args:
        name: Id or number of the text.
        text: The text.
        explanation: The contributions of its words.
    """
    parts = []
    for piece, strength, contribution in _pieces(text, explanation):
        if contribution is None:
            parts.append(html.escape(piece))
            continue
        side = "for" if strength > 0 else "against"
        style = f"background: rgb(var(--{side}) / {abs(strength) * 0.45:.2f})"
        underlined = ' class="against"' if strength < -STRONG / 5 else ""
        parts.append(f'<mark{underlined} style="{style}" title="{contribution:+.3f}">{html.escape(piece)}</mark>')
    note = ' <span class="muted">The text was truncated; the rest was not read.</span>' if explanation.truncated else ""
    score = f'<span class="muted">{explanation.score:.4f}</span>'
    title = f"<bdi>{html.escape(name)}</bdi>: {html.escape(explanation.label)} {score}"
    return f'<article><h2>{title}</h2><p dir="auto">{"".join(parts)}{note}</p></article>\n'


def _pieces(text: str, explanation: Explanation) -> Iterator[tuple[str, float, float | None]]:
    """Yields the text in pieces, each with its strength from -1 to 1 and its contribution, None between words."""
    strongest = max((abs(word.contribution) for word in explanation.words), default=0) or 1
    end = 0
    for word in explanation.words:
        if word.start > end:
            yield text[end : word.start], 0, None
        yield text[max(end, word.start) : word.end], word.contribution / strongest, word.contribution
        end = max(end, word.end)
    if end < len(text):
        yield text[end:], 0, None
