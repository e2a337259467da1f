"""Reads texts to classify from CSV, TSV, JSON Lines, or plain lines.

A row that cannot be read gets an error in its place, and the other rows are read. Fields are not interpreted: `NA`,
`null` and `=1+1` are text. Files may be larger than memory. No error shows the content of a file, not even its first
row, which is a text if there is no header. A requested column name is shown only if the file has that column.
"""

import codecs
import io
import itertools
import json
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..errors import InputError
from .delimited import Row, Rows, UnclosedQuoteError
from .formats import DELIMITERS, OTHER_DELIMITERS, InputFormat
from .lines import (
    BEGINNING,
    NO_MEMORY,
    UNDECODED,
    Line,
    Position,
    Source,
    Unreadable,
    line_bytes,
    open_source,
    read_lines,
)

FILE_CHUNK_BYTES = 1 << 13  # small, so that the position in the file shows the progress
DEFAULT_COLUMN = "text"
MAX_ROWS = 1 << 62  # of a span that ends where the file does
HALF_PAIR = "has half of a surrogate pair; write whole characters"
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


@dataclass(frozen=True, slots=True)
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


class RowReader:
    """Reads the rows of a text file, from its beginning or from a place between two rows.

    Attributes:
        is_seekable: Whether the positions of the rows are known in bytes, so that a reader can start at them.
        row: Number of rows that were read.
    """

    def __init__(self, file: io.BufferedReader, layout: Layout, *, first_index: int = 0) -> None:
        """Reads the header and looks for the columns.

        Args:
            file: The bytes of the file.
            layout: Its layout.
            first_index: Number of records before the file.

        Raises:
            InputError: The file has another format or lacks a column.
        """
        self._file, self._layout = file, layout
        self._source = open_source(file, layout.encoding, chunk_bytes=FILE_CHUNK_BYTES)
        self.is_seekable = self._source.is_utf8 and file.seekable()
        self.row = 0
        self._first_index = first_index
        has_mark = self._source.marked and self._source.encoding == "utf-8-sig"
        start = Position(0, len(codecs.BOM_UTF8)) if has_mark else BEGINNING
        self._rows = self._read_rows(self._source, start, layout.column_names)
        self._iterator: Iterator[Row] = iter(self._rows)
        self._columns = _Columns(self._rows.columns, layout) if isinstance(self._rows, Rows) else None

    @property
    def position(self) -> Position:
        """Where the next row starts, or the blank lines in front of it."""
        return self._rows.end

    def seek(self, row: int, position: Position) -> None:
        """Continues at a place between two rows, which the `position` of a reader was."""
        self._file.seek(position.byte)
        self.row = row
        source = self._source._replace(start=b"", encoding="utf-8")
        self._rows = self._read_rows(source, position, self._rows.columns if isinstance(self._rows, Rows) else ())
        self._iterator = iter(self._rows)

    def skip(self) -> bool:
        """Reads a row without looking at it; returns whether there was one.

        Raises:
            InputError: The file cannot be read any further.
        """
        return self._next() is not None

    def __iter__(self) -> Iterator[Record]:
        """Yields a record for every row, also for rows that cannot be read.

        Raises:
            InputError: The file cannot be read any further.
        """
        while (row := self._next()) is not None:
            yield self._record(row)

    def _next(self) -> Row | None:
        try:
            row = next(self._iterator, None)
        except UnclosedQuoteError:
            if not self.is_seekable:
                raise
            row = self._skip_unclosed(self._rows.start)
        self.row += row is not None
        return row

    def _skip_unclosed(self, start: Position) -> Row:
        """Continues behind the row that starts there, whose quote is never closed."""
        source = self._source._replace(start=b"", encoding="utf-8")
        self._file.seek(start.byte)
        line = next(read_lines(source, with_ends=True))[0]
        end = Position(start.line + 1, start.byte + line_bytes(line))
        self._file.seek(end.byte)
        assert isinstance(self._rows, Rows)
        self._rows = self._read_rows(source, end, self._rows.columns, after_malformed=True)
        self._rows.start = start
        self._iterator = iter(self._rows)
        last = self._rows.end.line
        where = f"line {end.line}" if last == end.line else f"lines {end.line} to {last}"
        return Unreadable(f"{where}: a quote is never closed")

    def _read_rows(
        self, source: Source, start: Position, column_names: Sequence[str], *, after_malformed: bool = False
    ) -> "Rows | _Lines":
        lines = itertools.chain.from_iterable(read_lines(source, with_ends=True))
        if self._layout.form not in DELIMITERS:
            return _Lines(lines, start, skip_blank=self._layout.form == "jsonl")
        return Rows(
            lines,
            delimiter=self._layout.delimiter,
            quoting=self._layout.quoting,
            column_names=column_names,
            start=start,
            after_malformed=after_malformed,
        )

    def _record(self, row: Row) -> Record:
        start, end = self._rows.start, self._rows.end
        known = (start.byte, end.byte) if self.is_seekable else (None, None)
        place = Place(self.row, start.line + 1, *known)
        return Record(self._first_index + self.row - 1, *self._content(row), place)

    def _content(self, row: Row) -> "_Content":
        if self._columns is not None:
            return _table_row(row, self._columns, self._source)
        assert isinstance(row, str | Unreadable)
        if self._layout.form == "jsonl":
            return _object(row, self._layout, self._source)
        return _text(row, self._source.refusal())


class _Lines:
    """Iterates over the lines of a file; `start` and `end` are as those of `Rows`."""

    def __init__(self, lines: Iterator[Line], start: Position, *, skip_blank: bool) -> None:
        self.start = self.end = start
        self._lines = lines
        self._skip_blank = skip_blank

    def __iter__(self) -> Iterator[Line]:
        for line in self._lines:
            self.start, self.end = self.end, Position(self.end.line + 1, self.end.byte + line_bytes(line))
            if isinstance(line, Unreadable):
                yield line
            elif not (self._skip_blank and line.isspace()):
                yield line.removesuffix("\n").removesuffix("\r")


class _Columns:
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
        self.kept = [_position(columns, column, "--keep", layout) for column in layout.keep]
        self.where = "--column-names" if layout.column_names else "the header"


def read_records(file: io.BufferedReader, layout: Layout) -> Generator[Record, None, None]:
    """Reads a text file and closes it at its end.

    Args:
        file: The bytes of the file.
        layout: Its layout.

    Yields:
        A record for every row, also for rows that cannot be read. Blank lines of CSV, TSV and JSON Lines are not rows.

    Raises:
        InputError: The file has another format, lacks a column, or cannot be read any further.
    """
    with file:
        yield from RowReader(file, layout)


def read_stdin(stream: io.BufferedReader, encoding: str = "utf-8") -> Iterator[list[Record]]:
    """Yields lines as they arrive, without waiting for more, so that a caller gets each prediction at once.

    Raises:
        InputError: The input is not text, or cannot be read any further.
    """
    source = open_source(stream, encoding, answering=True)
    index = 0
    for lines in read_lines(source):
        yield [text_record(index + position, line, source.refusal()) for position, line in enumerate(lines)]
        index += len(lines)


def text_record(index: int, text: Line, refusal: str = "it is not UTF-8; pass it as UTF-8") -> Record:
    """Returns the record of a text.

    Args:
        index: Position in the input.
        text: The text.
        refusal: The error if the text contains surrogates, which stand for bytes that do not decode.
    """
    return Record(index, *_text(text, refusal))


class _Content(NamedTuple):
    """What a row contains: the fields of `Record` that do not depend on its place."""

    text: str
    id: Id = None
    error: str | None = None
    kept: Sequence[Any] = ()


def _text(text: Line, refusal: str) -> _Content:
    if isinstance(text, Unreadable):
        return _Content("", error=text.reason)
    return _Content("", error=refusal) if UNDECODED.search(text) else _Content(text)


def _object(line: Line, layout: Layout, source: Source) -> _Content:
    """Returns the content of a line with a JSON object."""
    if isinstance(line, Unreadable) or UNDECODED.search(line):
        return _text(line, source.refusal())
    try:
        return _values(json.loads(line), layout)
    except MemoryError:
        return _Content("", error=NO_MEMORY)
    except (ValueError, RecursionError):
        return _Content("", error="the line is not valid JSON; expected one object per line")


def _values(fields: object, layout: Layout) -> _Content:
    """Returns the content of a JSON object."""
    if not isinstance(fields, dict):
        return _Content("", error="the line is not a JSON object")
    identity = None
    if layout.id_column is not None:
        identity = fields.get(layout.id_column)
        finite = not isinstance(identity, float) or math.isfinite(identity)
        if not (isinstance(identity, str | int | float) and finite) or isinstance(identity, bool):
            return _Content("", error=f"its {layout.id_column!r} is missing, or neither a string nor a number")
        if not _is_writable(identity):
            return _Content("", error=f"its {layout.id_column!r} {HALF_PAIR}")
    kept = tuple([fields.get(column) for column in layout.keep])
    for column, value in zip(layout.keep, kept, strict=True):
        if not _is_writable(value):
            return _Content(
                "", identity, f"its {column!r} has half of a surrogate pair, or a number that JSON does not have"
            )
    texts: list[str] = []
    for column in layout.text_columns:
        text = fields.get(column)
        if not isinstance(text, str):
            known = repr(column) if column in fields or column == DEFAULT_COLUMN else "text"
            why = "is not a string" if column in fields else "is missing; name the key of the text with --text-column"
            return _Content("", identity, f"its {known} {why}", kept)
        texts.append(text)
    return _joined(texts, identity, kept)


def _table_row(row: Row, columns: _Columns, source: Source) -> _Content:
    """Returns the content of a row of CSV or TSV."""
    if isinstance(row, Unreadable):
        return _Content("", error=row.reason)
    name = row[columns.id] if columns.id is not None and columns.id < len(row) else None
    if name is not None and UNDECODED.search(name):
        return _Content("", error=source.refusal("its id"))
    if len(row) != columns.number:
        return _Content("", name, f"expected {columns.number} fields as in {columns.where}, found {len(row)}")
    kept = tuple([row[position] for position in columns.kept])
    if kept and UNDECODED.search("".join(kept)):
        return _Content("", name, source.refusal("a column to keep"))
    return _joined([row[position] for position in columns.texts], name, kept, source.refusal())


def _joined(texts: Sequence[str], identity: Id, kept: Sequence[Any], refusal: str = "") -> _Content:
    try:
        text = " ".join(filter(None, texts)) if len(texts) > 1 else texts[0]
    except MemoryError:
        return _Content("", identity, NO_MEMORY, kept)
    if refusal and UNDECODED.search(text):
        return _Content("", identity, refusal, kept)
    return _Content(text, identity, None, kept)


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
    near = [name for name in columns if name.strip().casefold() == column.strip().casefold()]
    hint = f"; it has {near[0]!r}" if near else ""
    for other in OTHER_DELIMITERS:
        if len(columns) == 1 and other != layout.delimiter and other in columns[0]:
            hint = f"; its fields seem to be separated by {other!r}, pass --delimiter {other!r}"
    name = f"is called {column!r}, see {option}" if near or column == DEFAULT_COLUMN else f"has a name from {option}"
    raise InputError(f"none of the {len(columns)} columns of the input {name}{hint}")
