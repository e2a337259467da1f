r"""Reads the lines of a file or a pipe as they arrive.

Knows kinds of file, encodings and where lines end; knows nothing of rows and columns. A line ends with `\n`, `\r\n` or
`\r`. Bytes that do not decode are kept in surrogates, so that they cost only the row they are in. Only one line is in
memory at a time, and one that is too long is not.
"""

import codecs
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ..errors import InputError

MAX_FIELD = 1 << 27  # characters; a quote that is never closed takes no more memory than this
CHUNK_BYTES = 1 << 20
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
    (b"BZh91AY&SY", "bzip2"),
    (b"PAR1\x15", "Parquet"),
    (b"PK\x03\x04", "zip or Excel"),
    (b"\xd0\xcf\x11\xe0", "Excel"),
    (b"%PDF", "PDF"),
)
MARKUP = ((b"<!doctype", "HTML"), (b"<html", "HTML"), (b"<?xml", "XML"))  # in any case, behind white space
STARTS = tuple(start for start, _ in (*BYTE_ORDER_MARKS, *OTHER_FORMATS))
UNDECODED = re.compile("[\udc80-\udcff]")  # what Python makes of bytes that are not in the encoding
NO_MEMORY = "there is not enough memory to read it; allow the process more, or shorten the text"


class Unreadable(NamedTuple):
    """What stands in the place of a line or a row that cannot be read."""

    reason: str


Line = str | Unreadable


class Source(NamedTuple):
    """An input whose kind is known.

    Attributes:
        file: Its bytes, behind those of `start`.
        start: The first of them.
        encoding: How they are encoded.
        marked: Whether a byte order mark says so.
        chunk_bytes: The most to read at once.
        answering: Somebody waits for the answer to each line.
    """

    file: io.BufferedReader
    start: bytes
    encoding: str
    marked: bool
    chunk_bytes: int
    answering: bool

    def refusal(self, what: str = "it") -> str:
        """Says why something with bytes that do not decode is an error."""
        name = "UTF-8" if self.encoding.startswith("utf-8") else self.encoding
        return f"{what} is not {name}; pass --encoding, for example cp1252 for a file from Windows"


def is_encoding(name: str) -> bool:
    """Tells whether Python can read text in the encoding of this name."""
    try:
        "".encode(name)
        codecs.getincrementaldecoder(name)("surrogateescape").decode(b"a", final=True)
    except (LookupError, ValueError):  # unknown; no name at all
        return False
    return True


def open_source(
    file: io.BufferedReader, encoding: str = "utf-8", *, chunk_bytes: int = CHUNK_BYTES, answering: bool = False
) -> Source:
    """Reads as much as it takes to know the kind of an input, however slowly that arrives.

    Args:
        file: Its bytes.
        encoding: How they are encoded; a byte order mark wins.
        chunk_bytes: The most to read at once.
        answering: Somebody waits for the answer to each line: nothing behind the first tells the kind.

    Raises:
        InputError: It is not text.
    """
    start = b""
    while _undecided(start, answering=answering) and (arrived := file.read1(chunk_bytes)):
        start += arrived
    marked = next((name for mark, name in BYTE_ORDER_MARKS if start.startswith(mark)), None)
    for content, kinds in (start, OTHER_FORMATS), (_markup(start, answering=answering), MARKUP):
        for name in (name for magic, name in kinds if content.startswith(magic)):
            raise InputError(f"the input is {name}; expected CSV, TSV, JSON Lines or plain text")
    if not (marked or _is_wide(encoding)) and max(start[0:8:2].count(0), start[1:8:2].count(0)) >= 2:
        raise InputError(
            "the input looks like UTF-16 without a byte order mark; pass --encoding utf-16-le or utf-16-be"
        )
    return Source(file, start, marked or codecs.lookup(encoding).name, marked is not None, chunk_bytes, answering)


def read_lines(source: Source, *, with_ends: bool = False) -> Iterator[list[Line]]:
    """Yields the lines that have arrived, without waiting for more.

    Args:
        source: The input.
        with_ends: Leave the ends of the lines on them.

    Raises:
        InputError: It is not in its encoding, and nobody can tell where the next line begins.
    """
    errors = "strict" if _is_wide(source.encoding) else "surrogateescape"
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
            continue  # the same again, with the memory that the line took
        except UnicodeError as error:
            name = "what its byte order mark says" if source.marked else source.encoding
            raise InputError(f"the input breaks off, or is not {name}; save it as UTF-8") from error
        rest = pieces[1:] if halved and pieces[:1] == ["\n"] else pieces  # `\n` of an end that was taken for `\r`
        halved = source.answering and pieces[-1].endswith("\r") if pieces else halved
        if lines := list(started.lines(rest, with_ends=with_ends, complete=not data)):
            yield lines
        data = data and None


class _Started:
    """A line of which the end has not arrived.

    Attributes:
        size: Characters so far.
    """

    def __init__(self) -> None:
        self.size = 0
        self._pieces: list[str] = []
        self._reason = ""

    def lines(self, pieces: Sequence[str], *, with_ends: bool, complete: bool) -> Iterator[Line]:
        """Yields the lines that end with these pieces.

        Args:
            pieces: The next lines, of which the last may have no end.
            with_ends: Leave the ends on them.
            complete: No more will come.
        """
        for piece in pieces:
            content = piece.removesuffix("\n").removesuffix("\r")
            self.size += len(piece)
            if self.size > MAX_FIELD:
                self.give_up(f"it is longer than {MAX_FIELD} characters")
            if not self._reason:
                self._pieces.append(piece if with_ends else content)
            if content != piece:
                yield self._end()
        if complete and self.size:
            yield self._end()

    def give_up(self, reason: str) -> None:
        """Keeps nothing of the line."""
        self._pieces, self._reason = [], self._reason or reason

    def _end(self) -> Line:
        """Returns the line, and begins the next one."""
        try:
            return Unreadable(self._reason) if self._reason else "".join(self._pieces)
        except MemoryError:
            return Unreadable(NO_MEMORY)
        finally:
            self.size, self._pieces, self._reason = 0, [], ""


def _undecided(start: bytes, *, answering: bool) -> bool:
    """Tells whether more bytes may show that the input is not what it seems."""
    if len(start) >= SNIFFED_BYTES:
        return False
    markup, is_due = _markup(start, answering=answering), answering and (b"\n" in start or b"\r" in start)
    begins = any(known.startswith(start) for known in STARTS)
    may_be_markup = any(known.startswith(markup) for known, _ in MARKUP) and not is_due
    may_be_utf16 = len(start) < 8 and (0 in start or not is_due)
    return begins or may_be_markup or may_be_utf16


def _markup(start: bytes, *, answering: bool) -> bytes:
    content = start.removeprefix(codecs.BOM_UTF8)
    return (content.splitlines() or [b""])[0].strip().lower() if answering else content.lstrip().lower()


def _is_wide(encoding: str) -> bool:
    """Tells whether a character takes several bytes, ASCII too, so that a wrong one shifts all that follow."""
    return codecs.lookup(encoding).name.startswith(("utf-16", "utf-32"))
