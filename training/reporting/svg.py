"""Draws matplotlib figures as SVG whose colours follow the page: light, dark and print.

A figure is drawn in the colours of the light page. In the SVG each of them becomes a variable of the page's stylesheet,
with the colour itself for viewers without the stylesheet.
"""

import functools
import html
import io
import re
import warnings
from collections.abc import Callable
from typing import Any, ParamSpec

import matplotlib as mpl
from cycler import cycler
from matplotlib.figure import Figure

TEXT, MUTED, GRID, OURS, OTHER = "#111827", "#4b5563", "#d1d5db", "#0f766e", "#9ca3af"
SERIES = ("#0072b2", "#d55e00", "#009e73", "#a6487f", "#b07a00", "#56b4e9")  # distinct for colour-blind readers
VARIABLES = {TEXT: "text", MUTED: "muted", GRID: "grid", OURS: "bar", OTHER: "other"} | {
    colour: f"series-{number}" for number, colour in enumerate(SERIES, start=1)
}
STYLE: dict[Any, Any] = {
    "axes.axisbelow": True,
    "axes.edgecolor": MUTED,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.labelcolor": TEXT,
    "axes.prop_cycle": cycler(color=SERIES),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 11,
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "grid.color": GRID,
    "legend.frameon": False,
    "text.color": TEXT,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
}
HEAD = re.compile(r"^.*?(?=<svg)", re.DOTALL)
METADATA = re.compile(r"\s*<metadata>.*?</metadata>", re.DOTALL)
GROUP_ID = re.compile(r'<g id="[^"]*"')  # repeated from figure to figure, and nothing refers to them
SIZE = re.compile(r'(<svg [^>]*?)width="([\d.]+)pt" height="[\d.]+pt"')
PIXELS_PER_POINT = 96 / 72

Parameters = ParamSpec("Parameters")


def styled(draw: Callable[Parameters, Figure]) -> Callable[Parameters, Figure]:
    """Makes a function draw its figure in the style of the reports."""

    @functools.wraps(draw)
    def wrapper(*args: Parameters.args, **kwargs: Parameters.kwargs) -> Figure:
        with mpl.rc_context(STYLE):
            return draw(*args, **kwargs)

    return wrapper


def to_svg(figure: Figure, description: str) -> str:
    """Returns a figure as an SVG element for an HTML page. The same figure gives the same text.

    Args:
        figure: Drawn by a function that is `styled`.
        description: What it shows, for screen readers. Figures of one page need different ones, because the ids of
            their markers depend on it.
    """
    drawn = io.StringIO()
    # Text stays text: drawn as paths, it would make the file five times as large.
    with warnings.catch_warnings(), mpl.rc_context({**STYLE, "svg.hashsalt": description, "svg.fonttype": "none"}):
        warnings.filterwarnings("ignore", "Glyph .* missing", UserWarning)  # the browser has other fonts
        figure.savefig(drawn, format="svg", metadata={"Date": None}, bbox_inches="tight", pad_inches=0.05)
    text = METADATA.sub("", HEAD.sub("", drawn.getvalue()))
    text = GROUP_ID.sub("<g", text)
    text = SIZE.sub(lambda match: f'{match[1]}width="{float(match[2]) * PIXELS_PER_POINT:.0f}"', text)
    for colour, name in VARIABLES.items():
        text = text.replace(colour, f"var(--{name}, {colour})")
    label = html.escape(description)
    return text.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1).rstrip()


def standalone(svg: str) -> str:
    """Returns an SVG element as a file that is readable on its own, also where the page around it is dark."""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n' + svg.replace("<svg ", '<svg style="background: white" ', 1) + "\n"
    )
