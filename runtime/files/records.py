"""What is read from a file of texts: its layout, and records with the places of their rows."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from .formats import InputFormat
from .lines import Position

DEFAULT_COLUMN = "text"
Id = str | int | float | None


@dataclass(frozen=True)
class Layout:
    """The layout of a file.

    Attributes:
        form: Format of the file.
        text_columns: Columns, or keys of each JSON object, whose texts are joined by a space; unused for `lines`.
        id_column: Column of the id; None if there is none.
        delimiter: Character between the fields of `csv` and `tsv`.
        quoting: Whether a field of `csv` and `tsv` may be enclosed in double quotes.
        column_names: Names of the columns of `csv` and `tsv` without a header.
        encoding: Encoding of the file, unless a byte order mark names another.
        keep: Columns, or keys of each JSON object, to copy to the output.
    """

    form: InputFormat
    text_columns: Sequence[str] = (DEFAULT_COLUMN,)
    id_column: str | None = None
    delimiter: str = ","
    quoting: bool = True
    column_names: Sequence[str] = ()
    encoding: str = "utf-8"
    keep: Sequence[str] = ()


class Place(NamedTuple):
    """Where a row is in its file.

    Attributes:
        row: Number of the row, from 1; a header and blank lines are no rows.
        line: Number of its first line, from 1; None if the file has no lines.
        start: Number of bytes before it; None if that is unknown.
        end: Number of bytes up to its end; None if that is unknown.
    """

    row: int
    line: int | None = None
    start: int | None = None
    end: int | None = None


@dataclass(slots=True)  # not frozen, which would take three times as long to create
class Record:
    """A text to classify.

    Attributes:
        index: Position in the input, counted from 0.
        text: The text; "" if it cannot be read.
        id: Content of the id column.
        error: Why the text cannot be read; None if it can.
        kept: Content of the columns to keep, in their order; empty if the row cannot be read.
        place: Where the row is in its file.
    """

    index: int
    text: str
    id: Id = None
    error: str | None = None
    kept: Sequence[Any] = ()
    place: Place | None = field(default=None, compare=False)


class Chunk(NamedTuple):
    """Consecutive records.

    Attributes:
        records: The records.
        kept: Columns to keep, as a pyarrow.RecordBatch with a row for each record; None if the records have them.
    """

    records: list[Record]
    kept: Any = None


@dataclass(frozen=True)
class Span:
    """Consecutive rows of a file.

    Attributes:
        row: Number of rows before them in the file.
        rows: Number of rows.
        position: Where the first starts, if a reader can start there; else None.
    """

    row: int
    rows: int
    position: Position | None
