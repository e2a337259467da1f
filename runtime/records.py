"""Reads texts to classify, one after the other: CSV, TSV, JSON Lines, or a text per line.

A row that cannot be read gets an error in its place and does not cost the others theirs. Fields stay what the file
says: `NA`, `null` and `=1+1` are text. Files may be larger than memory. Names of columns are shown in errors only where
they look like names: the first row of a file without a header is somebody's text.
"""

import codecs
import csv
import io
import json
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from .errors import InputError

Format = Literal["csv", "tsv", "jsonl", "lines"]
SUFFIXES: dict[str, Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".txt": "lines"}
DELIMITERS = {"csv": ",", "tsv": "\t"}
MAX_FIELD = 1 << 27  # characters; a quote that is never closed takes no more memory than this
SNIFFED_BYTES = 1 << 9
BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
OTHER_FORMATS = (
    (b"\x1f\x8b", "gzip"),
    (b"PAR1", "Parquet"),
    (b"PK\x03\x04", "zip or Excel"),
    (b"<!doctype", "HTML"),
    (b"<html", "HTML"),
    (b"<?xml", "XML"),
)
NOT_UTF8 = "it is not UTF-8; convert the input, for example with iconv"
UNDECODED = re.compile("[\udc80-\udcff]")  # what Python makes of bytes that are not UTF-8
NAME = re.compile(r"\s*[\w.:/()#-]{1,24}( [\w.:/()#-]{1,24})?\s*")
Id = str | int | float | None


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


def read_records(file: io.BufferedReader, form: Format, *, text_column: str, id_column: str | None) -> Iterator[Record]:
    """Reads a file.

    Args:
        file: Its bytes; UTF-8, or UTF-16 or UTF-32 with a byte order mark.
        form: How it is laid out.
        text_column: The column, or the key of each JSON object, with the text; unused for `lines`.
        id_column: The one with the id, if there is one.

    Yields:
        A record for every row, those that cannot be read included; blank lines of CSV, TSV and JSON Lines are no rows.

    Raises:
        InputError: It is another kind of file, lacks a column, or cannot be read any further.
    """
    stream = _decoded(file, newline="" if form in DELIMITERS else "\n")
    try:
        if form == "lines":
            yield from (_line(index, line) for index, line in enumerate(stream))
        elif form == "jsonl":
            lines = (line for line in stream if line.strip())
            yield from (_object(index, line, text_column, id_column) for index, line in enumerate(lines))
        else:
            yield from _rows(stream, DELIMITERS[form], text_column, id_column)
    except UnicodeError as error:
        raise InputError("the input is not what its byte order mark says; save it as UTF-8") from error
    except csv.Error as error:
        raise InputError(f"the input cannot be read any further: {error}; is a quote never closed?") from error
    finally:
        stream.detach()  # the file is the caller's to close


def line_record(index: int, line: bytes) -> Record:
    """Makes a record of a line of bytes, which may end with a carriage return; the first may have a byte order mark."""
    content = line.removeprefix(codecs.BOM_UTF8) if index == 0 else line
    return _line(index, content.decode("utf-8", "surrogateescape"))


def _decoded(file: io.BufferedReader, *, newline: str) -> io.TextIOWrapper:
    start = file.peek(SNIFFED_BYTES)[:SNIFFED_BYTES]
    lowered = start.lstrip().lower()
    for magic, name in OTHER_FORMATS:
        if lowered.startswith(magic.lower()):
            raise InputError(f"the input is {name}; expected CSV, TSV, JSON Lines or plain text")
    encoding = next((name for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), "utf-8")
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    return io.TextIOWrapper(file, encoding, errors, newline)


def _line(index: int, line: str) -> Record:
    text = line.removesuffix("\n").rstrip("\r")
    return Record(index, "", error=NOT_UTF8) if UNDECODED.search(text) else Record(index, text)


def _object(index: int, line: str, text_column: str, id_column: str | None) -> Record:
    if UNDECODED.search(line):
        return Record(index, "", error=NOT_UTF8)
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return Record(index, "", error="the line is not valid JSON; expected one object per line")
    if not isinstance(fields, dict):
        return Record(index, "", error="the line is not a JSON object")
    identity = fields.get(id_column) if id_column is not None else None
    if not isinstance(identity, Id) or isinstance(identity, bool) or identity in (math.inf, -math.inf):
        identity = None  # what is no id in JSON either
    if text_column not in fields:
        return Record(index, "", identity, f"it has no {text_column!r}; name the key of the text with --text-column")
    text = fields[text_column]
    if not isinstance(text, str):
        return Record(index, "", identity, f"its {text_column!r} is no string")
    return Record(index, text, identity)


def _rows(stream: io.TextIOWrapper, delimiter: str, text_column: str, id_column: str | None) -> Iterator[Record]:
    csv.field_size_limit(MAX_FIELD)
    rows = (row for row in csv.reader(stream, delimiter=delimiter, strict=True) if row)
    header = next(rows, None)
    if header is None:
        raise InputError("the input is empty; expected a header and rows")
    text_position = _position(header, text_column, "--text-column")
    id_position = None if id_column is None else _position(header, id_column, "--id-column")
    for index, row in enumerate(rows):
        if len(row) != len(header):
            yield Record(index, "", error=f"expected {len(header)} fields as in the header, found {len(row)}")
            continue
        identity = None if id_position is None else row[id_position]
        if UNDECODED.search(row[text_position] + (identity or "")):
            yield Record(index, "", error=NOT_UTF8)
        else:
            yield Record(index, row[text_position], identity)


def _position(header: Sequence[str], column: str, option: str) -> int:
    found = [position for position, name in enumerate(header) if name == column]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"the input has the column {column!r} {len(found)} times; give each a name of its own")
    names = [repr(name) if NAME.fullmatch(name) else "(no name)" for name in header[:20]]
    raise InputError(f"the input has no column {column!r}; choose one with {option}: {', '.join(names)}")
