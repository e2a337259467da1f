"""Shows what words contribute: coloured on a terminal, and as an HTML page that needs nothing else."""

import html
from collections.abc import Iterator

from ..decision.explanation import Explanation
from .writers import printable

FOR, AGAINST = 42, 41  # green and red background, in the terminal's own shades
STRONG = 0.5  # of the largest contribution: more is coloured in full, less than a fifth of it not at all
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Litmus: what the words contribute</title>
<style>
:root { color-scheme: light dark; }
body { font: 16px/1.7 system-ui, sans-serif; max-width: 46rem; margin: 2rem auto; padding: 0 1rem; }
article { border-top: 1px solid #8884; padding: 1rem 0; }
h2 { font-size: 1rem; margin: 0 0 .5rem; }
article p { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; }
mark { color: inherit; border-radius: .2em; padding: .1em 0; }
small { opacity: .7; }
</style></head><body>
<h1>What the words contribute</h1>
<p><small>Green words speak for the label, red ones against it: the log odds that are lost without the word, which
the pointer shows. Colours are relative to the strongest word of each text.</small></p>
"""
END = "</body></html>\n"


def coloured(text: str, explanation: Explanation, *, colours: bool = True) -> str:
    """Returns a text with its words coloured for a terminal, bold where they contribute much.

    Without colours they are followed by what they contribute.
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
    """Returns a text's part of the page.

    Args:
        name: What to call it: its id or its number.
        text: The text.
        explanation: What its words contribute.
    """
    parts = []
    for piece, strength, contribution in _pieces(text, explanation):
        if contribution is None:
            parts.append(html.escape(piece))
            continue
        colour = "0 160 80" if strength > 0 else "220 40 40"
        style = f"background: rgb({colour} / {abs(strength) * 0.6:.2f})"
        parts.append(f'<mark style="{style}" title="{contribution:+.3f}">{html.escape(piece)}</mark>')
    note = " <small>The end was not read for this.</small>" if explanation.truncated else ""
    title = f"<bdi>{html.escape(name)}</bdi>: {html.escape(explanation.label)} <small>{explanation.score:.4f}</small>"
    return f'<article><h2>{title}</h2><p dir="auto">{"".join(parts)}{note}</p></article>\n'


def _pieces(text: str, explanation: Explanation) -> Iterator[tuple[str, float, float | None]]:
    """Yields the text in pieces, each with its strength from -1 to 1 and its contribution; None between the words."""
    strongest = max((abs(word.contribution) for word in explanation.words), default=0) or 1
    end = 0
    for word in explanation.words:
        if word.start > end:
            yield text[end : word.start], 0, None
        yield text[max(end, word.start) : word.end], word.contribution / strongest, word.contribution
        end = max(end, word.end)
    if end < len(text):
        yield text[end:], 0, None
