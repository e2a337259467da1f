"""Reads texts to classify from CSV, TSV, JSON Lines, or plain lines.

A row that cannot be read gets an error in its place, and the other rows are read. Fields are not interpreted: `NA`,
`null` and `=1+1` are text. Files may be larger than memory. No error shows the content of a file, not even its first
row, which is a text if there is no header. A requested column name is shown only if the file has that column.
"""

import io
import itertools
import json
import math
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from ..errors import InputError
from .delimited import Rows
from .formats import DELIMITERS, OTHER_DELIMITERS, Format
from .lines import NO_MEMORY, UNDECODED, Line, Source, Unreadable, open_source, read_lines

FILE_CHUNK_BYTES = 1 << 13  # small, so that the position in the file shows the progress
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
    """

    form: Format
    text_columns: Sequence[str] = (DEFAULT_COLUMN,)
    id_column: str | None = None
    delimiter: str = ","
    quoting: bool = True
    column_names: Sequence[str] = ()
    encoding: str = "utf-8"


@dataclass(frozen=True, slots=True)
class Record:
    """A text to classify.

    Attributes:
        index: Position in the input, counted from 0.
        text: The text; "" if it cannot be read.
        id: Content of the id column.
        error: Why the text cannot be read; None if it can.
    """

    index: int
    text: str
    id: Id = None
    error: str | None = None


def read_records(file: io.BufferedReader, layout: Layout) -> Generator[Record, None, None]:
    """Reads a file and closes it at its end.

    Args:
        file: The bytes of the file.
        layout: Its layout.

    Yields:
        A record for every row, also for rows that cannot be read. Blank lines of CSV, TSV and JSON Lines are not rows.

    Raises:
        InputError: The file has another format, lacks a column, or cannot be read any further.
    """
    with file:
        source = open_source(file, layout.encoding, chunk_bytes=FILE_CHUNK_BYTES)
        is_table = layout.form in DELIMITERS
        lines = itertools.chain.from_iterable(read_lines(source, with_ends=is_table))
        if is_table:
            yield from _table(lines, layout, source)
        elif layout.form == "lines":
            yield from (text_record(index, line, source.refusal()) for index, line in enumerate(lines))
        else:
            objects = (line for line in lines if isinstance(line, Unreadable) or not (line == "" or line.isspace()))
            yield from (_object(index, line, layout, source) for index, line in enumerate(objects))


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
    if isinstance(text, Unreadable):
        return Record(index, "", error=text.reason)
    return Record(index, "", error=refusal) if UNDECODED.search(text) else Record(index, text)


def _object(index: int, line: Line, layout: Layout, source: Source) -> Record:
    """Returns the record of a line with a JSON object."""
    if isinstance(line, Unreadable) or UNDECODED.search(line):
        return text_record(index, line, source.refusal())
    try:
        return _values(index, json.loads(line), layout)
    except MemoryError:
        return Record(index, "", error=NO_MEMORY)
    except (ValueError, RecursionError):
        return Record(index, "", error="the line is not valid JSON; expected one object per line")


def _values(index: int, fields: object, layout: Layout) -> Record:
    """Returns the record of a JSON object."""
    if not isinstance(fields, dict):
        return Record(index, "", error="the line is not a JSON object")
    identity = None
    if layout.id_column is not None:
        identity = fields.get(layout.id_column)
        finite = not isinstance(identity, float) or math.isfinite(identity)
        if not (isinstance(identity, str | int | float) and finite) or isinstance(identity, bool):
            return Record(index, "", error=f"its {layout.id_column!r} is missing, or neither a string nor a number")
        if isinstance(identity, str) and not _is_unicode(identity):
            return Record(
                index, "", error=f"its {layout.id_column!r} has half of a surrogate pair; write whole characters"
            )
    texts: list[str] = []
    for column in layout.text_columns:
        text = fields.get(column)
        if not isinstance(text, str):
            known = repr(column) if column in fields or column == DEFAULT_COLUMN else "text"
            why = "is not a string" if column in fields else "is missing; name the key of the text with --text-column"
            return Record(index, "", identity, f"its {known} {why}")
        texts.append(text)
    return _joined(index, texts, identity)


def _table(lines: Iterator[Line], layout: Layout, source: Source) -> Iterator[Record]:
    """Yields the rows of CSV and TSV."""
    rows = Rows(lines, delimiter=layout.delimiter, quoting=layout.quoting, column_names=layout.column_names)
    columns = rows.columns
    texts = [_position(columns, column, "--text-column", layout) for column in layout.text_columns]
    identity = None if layout.id_column is None else _position(columns, layout.id_column, "--id-column", layout)
    where = "--column-names" if layout.column_names else "the header"
    for index, row in enumerate(rows):
        if isinstance(row, Unreadable):
            yield Record(index, "", error=row.reason)
            continue
        name = row[identity] if identity is not None and identity < len(row) else None
        if name is not None and UNDECODED.search(name):
            yield Record(index, "", error=source.refusal("its id"))
        elif len(row) != len(columns):
            yield Record(index, "", name, f"expected {len(columns)} fields as in {where}, found {len(row)}")
        else:
            yield _joined(index, [row[position] for position in texts], name, source.refusal())


def _joined(index: int, texts: Sequence[str], identity: Id, refusal: str = "") -> Record:
    try:
        text = " ".join(filter(None, texts))
    except MemoryError:
        return Record(index, "", identity, NO_MEMORY)
    if refusal and UNDECODED.search(text):
        return Record(index, "", identity, refusal)
    return Record(index, text, identity)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
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
