"""Reads a CSV, TSV or JSON Lines file as rows of named fields.

Knows files, encodings and columns; knows nothing of texts or labels. Fields are not interpreted: `NA`, `null` and
`=1+1` are text. The whole file is read into memory.
"""

import csv
import hashlib
import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runtime.files import formats

from ..errors import DataError
from .names import nearly


@dataclass(frozen=True)
class Table:
    """A file's content.

    Attributes:
        name: The file's name, for messages.
        sha256: Of the file's bytes.
        columns: Column names in the order of the file.
        rows: One tuple of fields per row: strings, or in JSON Lines values of any JSON type.
    """

    name: str
    sha256: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def fields(self, columns: Sequence[str]) -> list[tuple[Any, ...]]:
        """Returns the fields of some columns, row by row.

        Raises:
            DataError: A column does not exist. The message shows a column whose name looks the same, if there is one.
        """
        missing = [column for column in columns if column not in self.columns]
        if missing:
            raise DataError(
                f"{self.name}: none of its {len(self.columns)} columns is called {missing[0]!r}{self._hint(missing[0])}"
            )
        indices = [self.columns.index(column) for column in columns]
        return [tuple(row[index] for index in indices) for row in self.rows]

    def _hint(self, missing: str) -> str:
        near = nearly(missing, self.columns)
        if near is not None:
            return f"; it has {near}"
        between = [other for other in formats.OTHER_DELIMITERS if len(self.columns) == 1 and other in self.columns[0]]
        if between:
            return f"; its fields seem to be separated by {between[0]!r}, pass --delimiter {between[0]!r}"
        return "; does the file have a header?"


def read_table(
    path: str,
    *,
    delimiter: str | None = None,
    encoding: str = "utf-8",
    quoting: bool = True,
    column_names: Sequence[str] = (),
) -> Table:
    """Reads a labelled file.

    Args:
        path: A `.csv`, `.tsv`, `.jsonl` or `.ndjson` file, or one with any suffix if `delimiter` is given.
        delimiter: The character between the fields; by default chosen by the suffix.
        encoding: Encoding of the file; a byte order mark takes precedence.
        quoting: Whether double quotes enclose fields; if not, they are ordinary characters.
        column_names: Names for a file without a header; by default the first row has them.

    Raises:
        DataError: The file is missing, empty, in another format or encoding, or its rows do not fit its header.
    """
    file = Path(path)
    if not file.is_file():
        raise DataError(f"no file {path}; check the path")
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check its permissions") from error
    form = formats.SUFFIXES.get(file.suffix.lower())
    text = _decode(content, file.name, encoding)
    if not text.strip():
        raise DataError(f"{file.name} is empty; expected a header and at least one row")
    if form == "jsonl" and delimiter is None:
        if column_names:
            raise DataError("--column_names is for tables without a header; JSON Lines have the names in every line")
        columns, rows = _json_lines(text, file.name)
    else:
        between = formats.DELIMITERS.get(form or "") if delimiter is None else delimiter
        columns, rows = _delimited(text, file.name, between, quoting=quoting, names=tuple(column_names))
    if not rows:
        raise DataError(f"{file.name} has a header and no rows")
    return Table(file.name, hashlib.sha256(content).hexdigest(), columns, rows)


def _decode(content: bytes, name: str, encoding: str) -> str:
    if not formats.is_encoding(encoding):
        raise DataError(f"unknown encoding {encoding!r}; expected a name such as utf-8, utf-16 or cp1252")
    start = content[: formats.SNIFFED_BYTES]
    other = formats.other_format(start)
    if other is not None:
        raise DataError(f"{name}: expected CSV, TSV or JSON Lines, found {other}; convert it")
    marked = formats.marked_encoding(start)
    if not (marked or formats.is_wide(encoding)) and formats.looks_like_utf16(start):
        raise DataError(f"{name} looks like UTF-16 without a byte order mark; pass --encoding utf-16-le or utf-16-be")
    encoding = marked or encoding
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name}: byte {error.start} is not {encoding}; pass --encoding (cp1252 for many files from Windows)"
        ) from error


def _delimited(
    text: str, name: str, delimiter: str | None, *, quoting: bool, names: tuple[str, ...]
) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    if delimiter is None:
        raise DataError(f"{name}: expected the suffix .csv, .tsv or .jsonl; for another one pass --delimiter")
    delimiter = "\t" if delimiter == "\\t" else delimiter
    if len(delimiter) != 1 or delimiter in '\r\n\0"':
        raise DataError(f"--delimiter: expected one character, for example ';' or '\\t', found {delimiter!r}")
    limit = csv.field_size_limit(sys.maxsize)
    lines = io.StringIO(text, newline="")
    reader = csv.reader(
        lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE, strict=True
    )
    rows: list[tuple[str, ...]] = []
    try:
        columns = names or tuple(next(reader))
        for row in filter(None, reader):
            if len(row) != len(columns):
                raise DataError(
                    f"{name}: row {len(rows) + 1} (line {reader.line_num}) has {len(row)} fields, "
                    f"{'--column_names' if names else 'the header'} has {len(columns)}; "
                    f"check --delimiter {delimiter!r} and the quotes"
                )
            rows.append(tuple(row))
    except csv.Error as error:
        raise DataError(f"{name}: line {reader.line_num}: {error}; is a quote not closed?") from error
    finally:
        csv.field_size_limit(limit)
    _check_columns(columns, name)
    return columns, tuple(rows)


def _json_lines(text: str, name: str) -> tuple[tuple[str, ...], tuple[tuple[Any, ...], ...]]:
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise DataError(f"{name}: line {number} is not valid JSON; is the file truncated?") from error
        if not isinstance(row, dict):
            raise DataError(f"{name}: line {number}: expected a JSON object, found {type(row).__name__}")
        if rows and row.keys() != rows[0].keys():
            missing, more = len(rows[0].keys() - row.keys()), len(row.keys() - rows[0].keys())
            raise DataError(
                f"{name}: line {number} has other keys than the first line: {missing} missing, {more} added; "
                "all lines need the same keys"
            )
        rows.append(row)
    columns = tuple(rows[0])
    return columns, tuple(tuple(row[column] for column in columns) for row in rows)


def _check_columns(columns: Sequence[str], name: str) -> None:
    places: dict[str, int] = {}
    for place, column in enumerate(columns, start=1):
        if column in places:
            raise DataError(
                f"{name}: columns {places[column]} and {place} have the same name; rename one, or pass "
                "--column_names if there is no header"
            )
        places[column] = place
