"""Reads texts to classify, one after the other: CSV, TSV, JSON Lines, or a text per line.

A row that cannot be read gets an error in its place and does not cost the others theirs. Fields stay what the file
says: `NA`, `null` and `=1+1` are text. Files may be larger than memory. No error shows what stands in a file, not even
its first row: without a header that is somebody's text.
"""

import codecs
import csv
import io
import json
import math
import re
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .errors import InputError

Format = Literal["csv", "tsv", "jsonl", "lines"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "lines"}
MAX_FIELD = 1 << 27  # characters; a quote that is never closed takes no more memory than this
CHUNK_BYTES = 1 << 20
SNIFFED_BYTES = 1 << 9
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OTHER_FORMATS = (
    (b"\x1f\x8b", "gzip"),
    (b"BZh91AY&SY", "bzip2"),
    (b"PAR1\x15", "Parquet"),
    (b"PK\x03\x04", "zip or Excel"),
    (b"\xd0\xcf\x11\xe0", "Excel"),
    (b"%PDF", "PDF"),
)
MARKUP = ((b"<!doctype", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"))  # in any case, behind white space
NOT_UTF8 = "it is not UTF-8; convert the input, for example with iconv"
TOO_LONG = f"it is longer than {MAX_FIELD} characters"
UNDECODED = re.compile("[\udc80-\udcff]")  # what Python makes of bytes that are not UTF-8
Id = str | int | float | None


@dataclass(frozen=True)
class Layout:
    """How a file is laid out.

    Attributes:
        form: Its format.
        text_columns: Columns, or keys of each JSON object, whose texts are joined by a space; unused for `lines`.
        id_column: The one with the id, if there is one.
        delimiter: Between the fields of `csv` and `tsv`.
    """

    form: Format
    text_columns: Sequence[str] = ("text",)
    id_column: str | None = None
    delimiter: str = ","


@dataclass(frozen=True, slots=True)
class Record:
    """A text to classify.

    Attributes:
        index: Which one, counted from 0.
        text: The text; "" if there is none.
        id: What the id column says.
        error: Why there is no text.
    """

    index: int
    text: str
    id: Id = None
    error: str | None = None


def read_records(file: io.BufferedReader, layout: Layout) -> Generator[Record, None, None]:
    """Reads a file, and closes it at its end.

    Args:
        file: Its bytes; UTF-8, or UTF-16 or UTF-32 with a byte order mark.
        layout: What is in them.

    Yields:
        A record for every row, those that cannot be read included; blank lines of CSV, TSV and JSON Lines are no rows.

    Raises:
        InputError: It is another kind of file, lacks a column, or cannot be read any further.
    """
    encoding = _encoding(file.peek(SNIFFED_BYTES)[:SNIFFED_BYTES])
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    with io.TextIOWrapper(file, encoding, errors, newline="" if layout.form in ("csv", "tsv") else None) as stream:
        try:
            if layout.form == "lines":
                yield from (text_record(index, line) for index, line in enumerate(_lines(stream)))
            elif layout.form == "jsonl":
                lines = (line for line in _lines(stream) if line is None or line.strip())
                yield from (_object(index, line, layout) for index, line in enumerate(lines))
            else:
                yield from _rows(stream, layout)
        except UnicodeError as error:
            raise InputError(
                "the input breaks off, or is not what its byte order mark says; save it as UTF-8"
            ) from error


def arriving(stream: io.BufferedReader) -> Iterator[list[Record]]:
    """Yields UTF-8 lines as they come in, without waiting for more, so that a pipe gets its answers as it asks.

    Raises:
        InputError: It is another kind of file.
    """
    started: list[bytes] = []
    index, size, too_long = 0, 0, False
    beginning, unjudged = b"", True

    def records(lines: Sequence[bytes]) -> list[Record]:
        found = [text_record(index + position, _decoded(line, index + position)) for position, line in enumerate(lines)]
        return [Record(index, "", error=TOO_LONG), *found[1:]] if too_long else found

    while chunk := stream.read1(CHUNK_BYTES):
        if unjudged:
            beginning += chunk
            unjudged = len(beginning) < 4 and b"\n" not in beginning
            if _encoding(beginning) != "utf-8-sig":
                raise InputError("standard input is not UTF-8; convert it, for example with iconv")
        *complete, rest = chunk.split(b"\n")
        if complete:
            complete[0] = b"".join([*started, complete[0]])
            yield records(complete)
            index += len(complete)
            started, size, too_long = [], 0, False
        started.append(rest)
        size += len(rest)
        if size > MAX_FIELD:
            started, too_long = [], True
    if size:
        yield records([b"".join(started)])


def text_record(index: int, text: str | None) -> Record:
    """Makes a record of a text that is not UTF-8 if Python keeps some of it in surrogates; None is one too long."""
    if text is None:
        return Record(index, "", error=TOO_LONG)
    return Record(index, "", error=NOT_UTF8) if UNDECODED.search(text) else Record(index, text)


def _encoding(start: bytes) -> str:
    """Returns the encoding that the first bytes of a file tell, or refuses the file for what they tell."""
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), "utf-8-sig")
    markup = start.removeprefix(codecs.BOM_UTF8).lstrip().lower()
    for content, kinds in (start, OTHER_FORMATS), (markup, MARKUP):
        for name in (name for magic, name in kinds if content.startswith(magic)):
            raise InputError(f"the input is {name}; expected CSV, TSV, JSON Lines or plain text")
    if encoding == "utf-8-sig" and max(start[0:8:2].count(0), start[1:8:2].count(0)) >= 2:
        raise InputError("the input looks like UTF-16 without a byte order mark; save it as UTF-8")
    return encoding


def _decoded(line: bytes, index: int) -> str:
    content = line if index else line.removeprefix(codecs.BOM_UTF8)
    return content.removesuffix(b"\r").decode("utf-8", "surrogateescape")


def _lines(stream: io.TextIOWrapper) -> Iterator[str | None]:
    """Yields lines without their ends, and None for one that is too long."""
    while line := stream.readline(MAX_FIELD):
        if len(line) < MAX_FIELD or line.endswith("\n"):
            yield line.removesuffix("\n")
            continue
        while line and not line.endswith("\n"):
            line = stream.readline(CHUNK_BYTES)
        yield None


def _object(index: int, line: str | None, layout: Layout) -> Record:
    """Makes a record of a line with a JSON object."""
    if line is None or UNDECODED.search(line):
        return text_record(index, line)
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return Record(index, "", error="the line is not valid JSON; expected one object per line")
    if not isinstance(fields, dict):
        return Record(index, "", error="the line is not a JSON object")
    identity = None
    if layout.id_column is not None:
        identity = fields.get(layout.id_column)
        finite = not isinstance(identity, float) or math.isfinite(identity)
        if not (isinstance(identity, str | int | float) and finite) or isinstance(identity, bool):
            return Record(index, "", error=f"its {layout.id_column!r} is missing, or neither a string nor a number")
    texts = [fields.get(column) for column in layout.text_columns]
    for column, text in zip(layout.text_columns, texts, strict=True):
        if not isinstance(text, str):
            why = "is no string" if column in fields else "is missing; name the key of the text with --text-column"
            return Record(index, "", identity, f"its {column!r} {why}")
    return Record(index, " ".join(filter(None, texts)), identity)


def _rows(stream: io.TextIOWrapper, layout: Layout) -> Iterator[Record]:
    """Yields the rows of CSV and TSV below their header."""
    csv.field_size_limit(MAX_FIELD)
    reader = csv.reader(stream, delimiter=layout.delimiter, strict=True)
    rows = _fields(reader)
    header = next(rows, None)
    if header is None:
        raise InputError("the input is empty; expected a header and rows")
    if isinstance(header, str):
        raise InputError(f"line {reader.line_num}: {header}")
    texts = [_position(header, column, "--text-column", layout) for column in layout.text_columns]
    identity = None if layout.id_column is None else _position(header, layout.id_column, "--id-column", layout)
    for index, row in enumerate(rows):
        if isinstance(row, str):
            yield Record(index, "", error=f"line {reader.line_num}: {row}")
            continue
        name = row[identity] if identity is not None and identity < len(row) else None
        if len(row) != len(header):
            yield Record(index, "", name, f"expected {len(header)} fields as in the header, found {len(row)}")
            continue
        found = text_record(index, " ".join(filter(None, [row[position] for position in texts])))
        yield Record(index, found.text, name, found.error)


def _fields(reader: Any) -> Iterator[list[str] | str]:
    """Yields the rows of a file, and instead of one that is malformed what is wrong with it.

    Raises:
        InputError: Nobody can tell where the next row begins.
    """
    while True:
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if "expected after" not in str(error):
                raise InputError(
                    f"the input cannot be read beyond line {reader.line_num}: {error}; is a quote never closed?"
                ) from error
            yield "something stands behind a closing quote; double the quotes in a quoted field"
        else:
            if row:
                yield row


def _position(header: Sequence[str], column: str, option: str, layout: Layout) -> int:
    """Returns where a column is; shows none of the header but what is nearly the name that was asked for."""
    found = [position for position, name in enumerate(header) if name == column]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"the input has the column {column!r} {len(found)} times; give each a name of its own")
    near = [name for name in header if name.strip().casefold() == column.strip().casefold()]
    hint = f"; it has {near[0]!r}" if near else ""
    for other in ";\t|,":
        if len(header) == 1 and other != layout.delimiter and other in header[0]:
            hint = f"; its fields seem to be separated by {other!r}, pass --delimiter {other!r}"
    raise InputError(f"none of the {len(header)} columns of the input is called {column!r}, see {option}{hint}")
