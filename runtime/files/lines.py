r"""Reads the lines of a file or a pipe as they arrive.

Knows encodings and line ends, but nothing of rows and columns. A line ends with `\n`, `\r\n` or `\r`. Bytes that do
not decode are kept as surrogates, so that only their row fails. Only one line is in memory at a time. A line that is
too long is dropped.
"""

import codecs
import io
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ..errors import InputError
from . import formats

MAX_FIELD = 1 << 27  # characters; limits the memory that an unclosed quote takes
CHUNK_BYTES = 1 << 20
UNDECODED = re.compile("[\udc80-\udcff]")  # what Python makes of bytes that are not in the encoding
NO_MEMORY = "there is not enough memory to read it; allow the process more, or shorten the text"


class Position(NamedTuple):
    """A place between two lines.

    Attributes:
        line: Number of lines before it.
        byte: Number of bytes before it, if the input is UTF-8.
    """

    line: int
    byte: int


BEGINNING = Position(0, 0)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """Takes the place of a line or a row that cannot be read.

    Attributes:
        reason: Why it cannot be read.
        size_bytes: Size of a line in UTF-8.
    """

    reason: str
    size_bytes: int = 0


Line = str | Unreadable


def line_bytes(line: Line) -> int:
    """Returns the number of bytes that a line takes in a UTF-8 file, with its end if it has one."""
    if isinstance(line, Unreadable):
        return line.size_bytes
    return len(line) if line.isascii() else len(line.encode("utf-8", "surrogateescape"))


def is_decoded(text: str) -> bool:
    """Returns whether a text has no bytes that are not in the encoding of its input."""
    return text.isascii() or UNDECODED.search(text) is None


class Source(NamedTuple):
    """An input whose encoding is known.

    Attributes:
        file: The bytes after those of `start`.
        start: The first bytes.
        encoding: Encoding of the bytes.
        marked: Whether a byte order mark names the encoding.
        chunk_bytes: Maximum number of bytes to read at once.
        answering: Whether the sender may wait for the row of each line before it sends the next one.
    """

    file: io.BufferedReader
    start: bytes
    encoding: str
    marked: bool
    chunk_bytes: int
    answering: bool

    @property
    def is_utf8(self) -> bool:
        """Whether `line_bytes` of the lines are the sizes that they have in the input."""
        return self.encoding.startswith("utf-8")

    def refusal(self, what: str = "it") -> str:
        """Returns the error message for something whose bytes do not decode."""
        name = "UTF-8" if self.is_utf8 else self.encoding
        return f"{what} is not {name}; pass --encoding, for example cp1252 for a file from Windows"


def open_source(
    file: io.BufferedReader, encoding: str = "utf-8", *, chunk_bytes: int = CHUNK_BYTES, answering: bool = False
) -> Source:
    """Reads enough of an input to recognize its encoding, however slowly it arrives.

    Args:
        file: The bytes.
        encoding: Their encoding, unless a byte order mark names another.
        chunk_bytes: Maximum number of bytes to read at once.
        answering: Whether the sender may wait for the row of each line before it sends the next one, so that only the
            first line is looked at.

    Raises:
        InputError: The input is not text.
    """
    start = b""
    while _undecided(start, answering=answering) and (arrived := file.read1(chunk_bytes)):
        start += arrived
    other = formats.other_format(start, first_line_only=answering)
    if other is not None:
        raise InputError(f"the input is {other}; expected CSV, TSV, JSON Lines or plain text")
    marked = formats.marked_encoding(start)
    if not (marked or formats.is_wide(encoding)) and formats.looks_like_utf16(start):
        raise InputError(
            "the input looks like UTF-16 without a byte order mark; pass --encoding utf-16-le or utf-16-be"
        )
    return Source(file, start, marked or codecs.lookup(encoding).name, marked is not None, chunk_bytes, answering)


def read_lines(source: Source, *, with_ends: bool = False) -> Iterator[list[Line]]:
    """Yields the lines that have arrived, without waiting for more.

    Args:
        source: The input.
        with_ends: Whether to keep the line ends.

    Raises:
        InputError: The input is not in its encoding, and the start of the next line cannot be found.
    """
    errors = "strict" if formats.is_wide(source.encoding) else "surrogateescape"
    decoder: codecs.IncrementalDecoder | io.IncrementalNewlineDecoder
    decoder = codecs.getincrementaldecoder(source.encoding)(errors)
    if not source.answering:
        decoder = io.IncrementalNewlineDecoder(decoder, translate=False)
    started, halved = _Started(), False
    data: bytes | None = source.start or None
    while data != b"":
        state = decoder.getstate()
        try:
            data = source.file.read1(source.chunk_bytes) if data is None else data
            pieces = list(io.StringIO(decoder.decode(data, final=not data), newline=""))
        except MemoryError:
            if not started.size:
                raise
            started.give_up(NO_MEMORY)
            decoder.setstate(state)
            continue  # decode again, with the memory of the line released
        except UnicodeError as error:
            name = "what its byte order mark says" if source.marked else source.encoding
            raise InputError(f"the input breaks off, or is not {name}; save it as UTF-8") from error
        rest = (
            pieces[1:] if halved and pieces[:1] == ["\n"] else pieces
        )  # the `\n` of a line end whose `\r` came before
        halved = source.answering and pieces[-1].endswith("\r") if pieces else halved
        if lines := list(started.lines(rest, with_ends=with_ends, complete=not data)):
            yield lines
        data = data and None


class _Started:
    """A line whose end has not arrived.

    Attributes:
        size: Number of characters so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[str] = []
        self._reason = ""
        self._dropped_bytes = 0

    def lines(self, pieces: Sequence[str], *, with_ends: bool, complete: bool) -> Iterator[Line]:
        """Yields the lines that end with these pieces.

        Args:
            pieces: The next lines; the last may have no end.
            with_ends: Whether to keep the line ends.
            complete: Whether the input has ended.
        """
        for piece in pieces:
            if with_ends and not self.size and piece.endswith("\n") and len(piece) <= MAX_FIELD:
                yield piece  # a whole line of a file, as most are
                continue
            content = piece.removesuffix("\n").removesuffix("\r")
            self.size += len(piece)
            if self.size > MAX_FIELD:
                self.give_up(f"it is longer than {MAX_FIELD} characters")
            if self._reason:
                self._dropped_bytes += line_bytes(piece)
            else:
                self._pieces.append(piece if with_ends else content)
            if content != piece:
                yield self._end()
        if complete and self.size:
            yield self._end()

    def give_up(self, reason: str) -> None:
        """Drops the line, whose place an `Unreadable` takes."""
        self._dropped_bytes += sum(map(line_bytes, self._pieces))
        self._pieces, self._reason = [], self._reason or reason

    def _end(self) -> Line:
        """Returns the line and starts the next one."""
        line: Line = ""
        if not self._reason:
            try:
                line = "".join(self._pieces)
            except MemoryError:
                self.give_up(NO_MEMORY)
        if self._reason:
            line = Unreadable(self._reason, self._dropped_bytes)
        self.size, self._pieces, self._reason, self._dropped_bytes = 0, [], "", 0
        return line


def _undecided(start: bytes, *, answering: bool) -> bool:
    """Returns whether more bytes may show that the input is not a table of text."""
    if len(start) >= formats.SNIFFED_BYTES:
        return False
    markup = formats.markup_start(start, first_line_only=answering)
    is_due = answering and (b"\n" in start or b"\r" in start)
    begins = any(known.startswith(start) for known in formats.STARTS)
    may_be_markup = any(known.startswith(markup) for known, _ in formats.MARKUP) and not is_due
    may_be_utf16 = len(start) < 8 and (0 in start or not is_due)
    return begins or may_be_markup or may_be_utf16
