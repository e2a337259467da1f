"""Turns a row into a text, or into the reason why there is none.

Fields are not interpreted: `NA`, `null` and `=1+1` are text. No error shows the content of a file, not even its first
row, which is a text if there is no header. A requested column name is shown only if the file has that column.
"""

import json
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ..errors import InputError
from .delimited import Row
from .formats import OTHER_DELIMITERS
from .lines import NO_MEMORY, Line, Source, Unreadable, is_decoded
from .records import DEFAULT_COLUMN, Id, Layout

HALF_PAIR = "has half of a surrogate pair; write whole characters"


class Content(NamedTuple):
    """What a row contains: the fields of `Record` that do not depend on its place."""

    text: str
    id: Id = None
    error: str | None = None
    kept: Sequence[Any] = ()


class Columns:
    """Positions of the columns of a table.

    Attributes:
        number: Number of columns.
        texts: Positions of the text columns.
        id: Position of the id column; None if there is none.
        kept: Positions of the columns to keep.
        where: What names the columns.
    """

    def __init__(self, columns: Sequence[str], layout: Layout) -> None:
        self.number = len(columns)
        self.texts = [_position(columns, column, "--text-column", layout) for column in layout.text_columns]
        self.id = None if layout.id_column is None else _position(columns, layout.id_column, "--id-column", layout)
        self.kept = [_position(columns, column, "--keep or --id-column", layout) for column in layout.keep]
        self.where = "--column-names" if layout.column_names else "the header"


def text_content(text: Line, refusal: Callable[[], str]) -> Content:
    """Returns the content of a line that is a text.

    Args:
        text: The line, without its end.
        refusal: Returns the error for a text with surrogates, which stand for bytes that do not decode.
    """
    if isinstance(text, Unreadable):
        return Content("", error=text.reason)
    return Content(text) if is_decoded(text) else Content("", error=refusal())


def object_content(line: Line, layout: Layout, source: Source) -> Content:
    """Returns the content of a line with a JSON object."""
    if isinstance(line, Unreadable) or not is_decoded(line):
        return text_content(line, source.refusal)
    try:
        return _values(json.loads(line), layout)
    except MemoryError:
        return Content("", error=NO_MEMORY)
    except (ValueError, RecursionError):
        return Content("", error="the line is not valid JSON; expected one object per line")


def _values(fields: object, layout: Layout) -> Content:
    """Returns the content of a JSON object."""
    if not isinstance(fields, dict):
        return Content("", error="the line is not a JSON object")
    identity = None
    if layout.id_column is not None:
        identity = fields.get(layout.id_column)
        finite = not isinstance(identity, float) or math.isfinite(identity)
        if not (isinstance(identity, str | int | float) and finite) or isinstance(identity, bool):
            return Content("", error=f"its {layout.id_column!r} is missing, or neither a string nor a number")
        if not _is_writable(identity):
            return Content("", error=f"its {layout.id_column!r} {HALF_PAIR}")
    kept = tuple([fields.get(column) for column in layout.keep])
    for column, value in zip(layout.keep, kept, strict=True):
        if not _is_writable(value):
            return Content(
                "", identity, f"its {column!r} has half of a surrogate pair, or a number that JSON does not have"
            )
    texts: list[str] = []
    for column in layout.text_columns:
        text = fields.get(column)
        if not isinstance(text, str):
            known = repr(column) if column in fields or column == DEFAULT_COLUMN else "text"
            why = "is not a string" if column in fields else "is missing; name the key of the text with --text-column"
            return Content("", identity, f"its {known} {why}", kept)
        texts.append(text)
    return _joined(texts, identity, kept)


def table_content(row: Row, columns: Columns, source: Source) -> Content:
    """Returns the content of a row of CSV or TSV."""
    if isinstance(row, Unreadable):
        return Content("", error=row.reason)
    name = row[columns.id] if columns.id is not None and columns.id < len(row) else None
    if name is not None and not is_decoded(name):
        return Content("", error=source.refusal("its id"))
    if len(row) != columns.number:
        return Content("", name, f"expected {columns.number} fields as in {columns.where}, found {len(row)}")
    kept = tuple([row[position] for position in columns.kept])
    if not is_decoded("".join(kept)):
        return Content("", name, source.refusal("a column to keep"))
    found = _joined([row[position] for position in columns.texts], name, kept)
    return found if is_decoded(found.text) else found._replace(text="", error=source.refusal())


def _joined(texts: Sequence[str], identity: Id, kept: Sequence[Any]) -> Content:
    try:
        text = " ".join(filter(None, texts)) if len(texts) > 1 else texts[0]
    except MemoryError:
        return Content("", identity, NO_MEMORY, kept)
    return Content(text, identity, None, kept)


def _is_writable(value: object) -> bool:
    """Returns whether a value from JSON can be written as UTF-8 and as JSON."""
    try:
        (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)).encode()
    except (UnicodeEncodeError, ValueError, RecursionError):
        return False
    return True


def _position(columns: Sequence[str], column: str, option: str, layout: Layout) -> int:
    """Returns the position of a column; the error shows a name only if a column has it, or nearly."""
    found = [position for position, name in enumerate(columns) if name == column]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"the input has the column {column!r} {len(found)} times; give each a name of its own")
    near = similar(columns, column)
    hint = f"; it has {near!r}" if near else ""
    for other in OTHER_DELIMITERS:
        if len(columns) == 1 and other != layout.delimiter and other in columns[0]:
            hint = f"; its fields seem to be separated by {other!r}, pass --delimiter {other!r}"
    name = f"is called {column!r}, see {option}" if near or column == DEFAULT_COLUMN else f"has a name from {option}"
    raise InputError(f"none of the {len(columns)} columns of the input {name}{hint}")


def similar(columns: Sequence[str], column: str) -> str | None:
    """Returns the column that differs only in case and white space around it; None if there is none."""
    return next((name for name in columns if name.strip().casefold() == column.strip().casefold()), None)
