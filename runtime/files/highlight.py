"""Shows the contributions of words: highlighted on a terminal, and as a self-contained HTML page."""

import html
from collections.abc import Iterator

from ..decision.explanation import Explanation
from .writers import printable

FOR, AGAINST = 42, 41  # green and red background of the terminal
STRONG = 0.5  # relative to the largest contribution: above it bold, below a fifth of it not highlighted
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Litmus: contributions of words</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.7 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 1px solid #8884; padding: 1rem 0; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
article p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
mark { color: inherit; border-radius: .2em; padding: .1em 0; }
small { opacity: .7; }
</style></head><body>
<h1>Contributions of words</h1>
<p><small>Green words support the label, red words count against it. Point at a word to see its contribution: the log
odds of the label that are lost without the word. Colours are relative to the strongest word of each text.</small></p>
"""
END = "</body></html>\n"


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
        colour = "0 160 80" if strength > 0 else "220 40 40"
        style = f"background: rgb({colour} / {abs(strength) * 0.6:.2f})"
        parts.append(f'<mark style="{style}" title="{contribution:+.3f}">{html.escape(piece)}</mark>')
    note = " <small>The text was truncated; the rest was not read.</small>" if explanation.truncated else ""
    title = f"<bdi>{html.escape(name)}</bdi>: {html.escape(explanation.label)} <small>{explanation.score:.4f}</small>"
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
