"""Reads inputs of every format in chunks of records, from any row on, and finds the rows at which parts start."""

import contextlib
import itertools
from collections.abc import Generator, Iterator, Sequence

from ..errors import InputError
from .inputs import InputFile
from .records import Chunk, Layout, Record, Span
from .row_reader import RowReader

CHUNK_ROWS, CHUNK_CHARACTERS = 512, 1 << 20


class InputReader:
    """Reads spans of one input.

    A plain UTF-8 file is read from the span's position on. Any other text is read from its beginning, but the next span
    continues where the one before it ended.
    """

    def __init__(self, file: InputFile, layout: Layout, *, first_index: int = 0, typed: bool = False) -> None:
        """Opens nothing yet.

        Args:
            file: The input.
            layout: Its layout.
            first_index: Number of records before the file.
            typed: Whether to keep columns of Parquet as they are, for an output that has types as well.
        """
        self._file, self._layout = file, layout
        self._first_index, self._typed = first_index, typed
        self._reader: RowReader | None = None
        self._open = contextlib.ExitStack()

    def read(self, span: Span) -> Iterator[Chunk]:
        """Yields the records of a span.

        Raises:
            InputError: The file cannot be read, or ends before the span does.
        """
        with _named(self._file):
            if self._file.form == "parquet":
                from .parquet import read_parquet  # noqa: PLC0415 - needs pyarrow

                yield from read_parquet(self._file, self._layout, span, self._first_index, typed=self._typed)
            else:
                yield from chunked(self._records(span))

    def close(self) -> None:
        """Closes the file."""
        self._open.close()
        self._reader = None

    def _records(self, span: Span) -> Iterator[Record]:
        reader = self._reader
        if span.position is not None or reader is None or reader.row > span.row:
            reader = self._start(span)
        while reader.row < span.row:
            if not reader.skip():
                break
        rows = 0
        for record in itertools.islice(reader, span.rows):
            rows += 1
            yield record
        if rows < span.rows:
            raise InputError("it ends earlier than before; it was changed while it was read")

    def _start(self, span: Span) -> RowReader:
        self.close()
        file = self._open.enter_context(self._file.open())
        self._reader = reader = RowReader(file, self._layout, first_index=self._first_index)
        if span.position is not None:
            reader.seek(span.row, span.position)
        return reader


def read_all(files: Sequence[InputFile], layouts: Sequence[Layout]) -> Generator[Record, None, None]:
    """Yields the records of several inputs, one after the other.

    Raises:
        InputError: An input cannot be read, or lacks a column.
    """
    index = 0
    for file, layout in zip(files, layouts, strict=True):
        with _named(file), contextlib.ExitStack() as stack:
            records: Iterator[Record]
            if file.form == "parquet":
                from .parquet import count_rows, read_parquet  # noqa: PLC0415 - needs pyarrow

                rows = Span(0, count_rows(file, layout, typed=False), None)
                chunks = read_parquet(file, layout, rows, index, typed=False)
                records = (record for chunk in chunks for record in chunk.records)
            else:
                records = iter(RowReader(stack.enter_context(file.open()), layout, first_index=index))
            for record in records:
                index += 1
                yield record


def chunked(records: Iterator[Record]) -> Iterator[Chunk]:
    """Groups records into chunks, limited in rows and in characters."""
    chunk: list[Record] = []
    characters = 0
    for record in records:
        chunk.append(record)
        characters += len(record.text)
        if len(chunk) == CHUNK_ROWS or characters >= CHUNK_CHARACTERS:
            yield Chunk(chunk)
            chunk, characters = [], 0
    if chunk:
        yield Chunk(chunk)


def spans(file: InputFile, layout: Layout, rows: int, *, typed: bool) -> list[Span]:
    """Divides an input into spans of so many rows; the last may have fewer.

    Args:
        file: The input.
        layout: Its layout.
        rows: Number of rows of a span.
        typed: As for `InputReader`.

    Raises:
        InputError: The file cannot be read, or lacks a column.
        DependencyError: pyarrow, which Parquet needs, is not installed.
    """
    with _named(file):
        if file.form == "parquet":
            from .parquet import count_rows  # noqa: PLC0415 - needs pyarrow

            total = count_rows(file, layout, typed=typed)
            return [Span(row, min(rows, total - row), None) for row in range(0, total, rows)]
        with file.open() as opened:
            reader = RowReader(opened, layout)
            found: list[Span] = []
            while True:
                row, position = reader.row, reader.position
                while reader.row < row + rows and reader.skip():
                    pass
                if reader.row == row:
                    return found
                found.append(Span(row, reader.row - row, position if reader.is_seekable else None))


@contextlib.contextmanager
def _named(file: InputFile) -> Iterator[None]:
    """Names the file in an InputError, because there may be several."""
    try:
        yield
    except InputError as error:
        raise InputError(f"{file.name}: {error}") from error
    except OSError as error:
        raise InputError(f"{file.name} cannot be read: {error.strerror or type(error).__name__}") from error
