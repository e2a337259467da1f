"""Reads texts to classify from CSV, TSV, JSON Lines, or plain lines.

A row that cannot be read gets an error in its place, and the other rows are read. Files may be larger than memory.
"""

import codecs
import io
import itertools
from collections.abc import Callable, Generator, Iterator, Sequence

from .delimited import Row, Rows, UnclosedQuoteError
from .formats import DELIMITERS
from .lines import BEGINNING, Line, Position, Source, Unreadable, line_bytes, open_source, read_lines
from .records import Layout, Place, Record
from .row_content import Columns, Content, object_content, table_content, text_content

FILE_CHUNK_BYTES = 1 << 13  # small, so that the position in the file shows the progress


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
        self._columns = Columns(self._rows.columns, layout) if isinstance(self._rows, Rows) else None

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

    def _content(self, row: Row) -> Content:
        if self._columns is not None:
            return table_content(row, self._columns, self._source)
        assert isinstance(row, str | Unreadable)
        if self._layout.form == "jsonl":
            return object_content(row, self._layout, self._source)
        return text_content(row, self._source.refusal)


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
        yield [text_record(index + position, line, source.refusal) for position, line in enumerate(lines)]
        index += len(lines)


def text_record(
    index: int, text: Line, refusal: Callable[[], str] = lambda: "it is not UTF-8; pass it as UTF-8"
) -> Record:
    """Returns the record of a text; arguments are those of `text_content`, and its position in the input."""
    return Record(index, *text_content(text, refusal))
