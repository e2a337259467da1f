"""Reads the rows of CSV and TSV, and continues after a malformed row.

A row is malformed if something follows a closing quote: `"He said "no" twice",7`. Python's reader then takes the next
line for the next row, although the field may continue there. So the quotes of the following lines decide which lines
belong to the malformed row. A quote at the start of a line or after a delimiter opens a field. A quote before a
delimiter or at the end of a line closes one. Other quotes are ignored. The row continues as long as lines close a field
before they open one. It ends before three consecutive lines that have as many fields as the header and no such quote;
if all fields of the row are closed, one such line is enough. The error names the lines of the row.

A row whose quote is never closed is malformed in the same way, but that is known only at the end of the file. So it can
be skipped only in a file that can be read again from there.
"""

import csv
import re
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Literal

from ..errors import InputError
from .lines import BEGINNING, MAX_FIELD, NO_MEMORY, Line, Position, Unreadable, line_bytes

Row = Sequence[str] | Unreadable
Mark = Literal["opens", "closes"]
MALFORMED = "unexpected characters after a closing quote; double quotes inside a quoted field"
ROWS_AGAIN = 3  # consecutive lines that look like rows and end a malformed row whose field is still open
LOOK_AHEAD = 1 << 20  # characters to search after a malformed row for a quote that opens or closes a field


class Rows:
    """Iterates over the rows below the header; blank lines are skipped.

    Attributes:
        columns: The names of the columns.
        start: Where the latest row starts.
        end: Where it ends.
    """

    def __init__(
        self,
        lines: Iterator[Line],
        *,
        delimiter: str,
        quoting: bool = True,
        column_names: Sequence[str] = (),
        start: Position = BEGINNING,
        after_malformed: bool = False,
    ) -> None:
        """Reads the header.

        Args:
            lines: The lines of the file, with their line ends.
            delimiter: Character between fields.
            quoting: Whether a field may be enclosed in double quotes; if not, they are ordinary characters.
            column_names: Names of the columns, if the first line is a row.
            start: Where the first line is.
            after_malformed: Whether the row before it was malformed, so that the first lines may belong to it.

        Raises:
            InputError: The header is missing or malformed.
        """
        csv.field_size_limit(MAX_FIELD)
        self.start = self.end = start
        self._lines = lines
        self._returned: deque[Line] = deque()
        self._latest = ""
        self._delimiter, self._quoting = delimiter, quoting
        self._reader = csv.reader(
            iter(self._text, None),
            delimiter=delimiter,
            quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
            strict=True,
        )
        self.columns: Sequence[str] = column_names or self._header()
        if after_malformed:
            self._skip_rest(complete=False)

    def __iter__(self) -> Iterator[Row]:
        """Yields the fields of each row, or an `Unreadable`.

        Raises:
            InputError: The start of the next row cannot be found.
        """
        while (row := self._row()) is not None:
            first = self.end.line
            if isinstance(row, Unreadable):
                self._skip_rest(complete='"' not in self._latest or self._marks(self._latest)[1] == "closes")
            elif len(row) < len(self.columns) and self._latest.rstrip("\r\n").endswith('"'):
                self._skip_rest(complete=True)  # the quote may belong to the text
            last = self.end.line
            if isinstance(row, Unreadable) or last > first:
                where = f"line {first}" if last == first else f"lines {first} to {last}"
                yield Unreadable(f"{where}: {row.reason if isinstance(row, Unreadable) else MALFORMED}")
            elif row:
                self._latest = ""  # it may be long
                yield row

    def _header(self) -> Sequence[str]:
        while (row := self._row()) is not None:
            if isinstance(row, Unreadable):
                raise InputError(f"line {self.end.line}: {row.reason}")
            if row:
                return row
        raise InputError("the input is empty; expected a header and rows")

    def _row(self) -> Row | None:
        """Returns the next row, an empty one for a blank line, and None at the end."""
        self.start = self.end
        try:
            return next(self._reader, None)
        except _LineError as error:
            self._latest = ""
            return Unreadable(str(error))
        except MemoryError:
            return Unreadable(NO_MEMORY)
        except csv.Error as error:
            if "expected after" not in str(error):
                raise UnclosedQuoteError(
                    f"the input cannot be read beyond line {self.end.line}: {error}; is a quote never closed?"
                ) from error
            return Unreadable(MALFORMED)

    def _text(self) -> str | None:
        """Returns the next line, None at the end."""
        line = self._next_line()
        if isinstance(line, Unreadable):
            raise _LineError(line.reason)
        self._latest = line or ""
        return line

    def _next_line(self) -> Line | None:
        line = self._returned.popleft() if self._returned else next(self._lines, None)
        if line is not None:
            self.end = Position(self.end.line + 1, self.end.byte + line_bytes(line))
        return line

    def _skip_rest(self, *, complete: bool) -> None:
        """Skips the remaining lines of the malformed row that was read last.

        Args:
            complete: Whether the row has closed the fields that it opened, as far as its quotes show.
        """
        if not self._quoting:
            return
        ahead: list[Line] = []  # lines that may belong to the row or be the next rows
        size = like_rows = 0
        end = self.end
        while size <= LOOK_AHEAD and (line := self._next_line()) is not None:
            if isinstance(line, Unreadable):
                ahead.append(line)
                break
            (mark, last), is_row = self._marks(line), self._has_all_fields(line)
            like_rows = like_rows + 1 if is_row else 0
            if mark == "closes":
                complete = last == "closes"
                ahead, size, like_rows, end = [], 0, 0, self.end
            elif mark or complete or is_row or ahead:
                ahead.append(line)
                size += len(line)
                if mark or like_rows >= (1 if complete else ROWS_AGAIN):
                    break
            else:
                end = self.end
        self._returned.extendleft(reversed(ahead))
        self.end = end

    def _has_all_fields(self, line: str) -> bool:
        return not line.isspace() and line.count(self._delimiter) + 1 == len(self.columns)

    def _marks(self, line: str) -> tuple[Mark | None, Mark | None]:
        """Returns what the first and the last quote that opens or closes a field do; None without such a quote."""
        mark: Mark | None = None
        latest: Mark | None = None
        left = line.count('"')
        for run in re.finditer('"+', line):
            start, end = run.span()
            left -= end - start
            odd = (end - start) % 2 == 1  # a pair is an escaped quote
            first = start == 0 or line[start - 1] == self._delimiter
            last = end == len(line) or line[end] in ("\r", "\n", self._delimiter)
            if not first and not (last and odd):
                continue
            opens = first and not (last and odd and left % 2 == 0)  # a single quote is decided by the quotes after it
            closes = last and not (opens and odd)  # two quotes are an empty field
            mark = mark or ("opens" if opens else "closes")
            latest = "closes" if closes else "opens"
        return mark, latest


class UnclosedQuoteError(InputError):
    """A quote is never closed, so everything behind it is one field."""


class _LineError(Exception):
    """Stops Python's reader at a line that cannot be read."""
