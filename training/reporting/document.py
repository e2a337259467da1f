"""A report as blocks, and its two forms: a self-contained HTML page and Markdown with plots in files beside it."""

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from runtime.page import page_end, page_start

from .markdown import plain
from .svg import standalone

PLOTS = "report"  # folder of the plots of report.md
NUMBER = re.compile(r"[-+]?\.?\d")
INDEX = re.compile(r"\d+")


@dataclass(frozen=True)
class Card:
    """One of the few figures that matter.

    Attributes:
        figure: The figure as shown.
        name: What it is.
        note: Its interval, or what it is compared with.
    """

    figure: str
    name: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table. Columns of numbers are aligned on the right; every column sorts by a click on its heading.

    Attributes:
        columns: Headings.
        rows: Cells as shown, as many per row as there are columns.
        caption: What the table shows.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""


@dataclass(frozen=True)
class Plot:
    """A plot.

    Attributes:
        name: Name of its file, without the suffix.
        svg: From `svg.to_svg`.
        caption: What it shows.
    """

    name: str
    svg: str
    caption: str


@dataclass(frozen=True)
class Bullets:
    """A list of sentences."""

    items: Sequence[str]


Block = str | Table | Plot | Bullets  # a string is a paragraph


@dataclass(frozen=True)
class Section:
    """A part of a report under a heading. A section without blocks is left out."""

    title: str
    blocks: Sequence[Block]


@dataclass(frozen=True)
class Document:
    """A report.

    Attributes:
        title: What it reports on.
        verdict: The first line: what a reader decides by.
        cards: The figures that matter.
        summary: A line on data, model or machine.
        sections: The rest.
    """

    title: str
    verdict: str
    cards: Sequence[Card]
    summary: str
    sections: Sequence[Section]


def write(document: Document, folder: Path) -> None:
    """Writes `report.html`, `report.md` and the plots of the latter into a folder."""
    plots = [block for section in document.sections for block in section.blocks if isinstance(block, Plot)]
    (folder / PLOTS).mkdir(exist_ok=True)
    for plot in plots:
        (folder / PLOTS / f"{plot.name}.svg").write_text(standalone(plot.svg), "utf-8")
    (folder / "report.md").write_text(to_markdown(document), "utf-8")
    (folder / "report.html").write_text(to_html(document), "utf-8")


def to_html(document: Document) -> str:
    """Returns the report as an HTML page that loads nothing."""
    cards = "".join(
        f'<div class="card"><strong>{html.escape(card.figure)}</strong>{html.escape(card.name)}'
        f"<small>{html.escape(card.note)}</small></div>\n"
        for card in document.cards
    )
    parts = [
        f'<p class="verdict">{html.escape(document.verdict)}</p>\n<h1>{html.escape(document.title)}</h1>\n'
        f'<p class="muted">{html.escape(document.summary)}</p>\n<div class="cards">\n{cards}</div>\n'
    ]
    for section in _filled(document):
        parts.append(f"<h2>{html.escape(section.title)}</h2>\n")
        parts += map(_html_block, section.blocks)
    return page_start(document.title) + "".join(parts) + page_end(sortable=True)


def to_markdown(document: Document) -> str:
    """Returns the report as Markdown that refers to the plots in the folder `PLOTS`."""
    parts = [plain(document.verdict), f"# {plain(document.title)}", plain(document.summary)]
    if document.cards:
        cards = Table(("", "", ""), [(card.name, card.figure, card.note) for card in document.cards])
        parts.append(_markdown_block(cards))
    for section in _filled(document):
        parts.append(f"## {plain(section.title)}")
        parts += map(_markdown_block, section.blocks)
    return "\n\n".join(parts) + "\n"


def _filled(document: Document) -> Iterator[Section]:
    return (section for section in document.sections if section.blocks)


def _html_block(block: Block) -> str:
    match block:
        case str():
            return f"<p>{html.escape(block)}</p>\n"
        case Bullets():
            return "<ul>\n" + "".join(f"<li>{html.escape(item)}</li>\n" for item in block.items) + "</ul>\n"
        case Plot():
            return f"<figure>\n{block.svg}\n<figcaption>{html.escape(block.caption)}</figcaption>\n</figure>\n"
        case Table():
            return _html_table(block)


def _html_table(table: Table) -> str:
    classes = ["number" if numeric else "" for numeric in _numeric(table)]

    def row(cells: Sequence[str], tag: str) -> str:
        shown = (
            f"<{tag}{f' class={name}' if name else ''}{' scope=col' if tag == 'th' else ''}>{html.escape(cell)}</{tag}>"
            for cell, name in zip(cells, classes, strict=True)
        )
        return f"<tr>{''.join(shown)}</tr>\n"

    caption = f"<caption>{html.escape(table.caption)}</caption>\n" if table.caption else ""
    body = "".join(row(cells, "td") for cells in table.rows)
    label = html.escape(table.caption or ", ".join(table.columns))
    return (
        f'<div class="table" tabindex="0" role="region" aria-label="{label}">\n<table>\n{caption}<thead>\n'
        f"{row(table.columns, 'th')}</thead>\n<tbody>\n{body}</tbody>\n</table>\n</div>\n"
    )


def _markdown_block(block: Block) -> str:
    match block:
        case str():
            return plain(block)
        case Bullets():
            return "\n".join(f"- {plain(item)}" for item in block.items)
        case Plot():
            return f"![{plain(block.caption)}]({PLOTS}/{block.name}.svg)"
        case Table():
            dashes = ("---:" if numeric else "---" for numeric in _numeric(block))
            lines = [f"|{'|'.join(dashes)}|", *(_markdown_row(row) for row in block.rows)]
            caption = f"{plain(block.caption)}\n\n" if block.caption else ""
            return caption + "\n".join([_markdown_row(block.columns), *lines])


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(plain, cells))} |"


def _numeric(table: Table) -> list[bool]:
    """Returns which columns hold numbers; the first names the rows unless it holds nothing but whole numbers."""
    found = []
    for column in range(len(table.columns)):
        cells = [row[column] for row in table.rows if row[column]]
        pattern = NUMBER.match if column else INDEX.fullmatch
        found.append(bool(cells) and all(map(pattern, cells)))
    return found
