"""Lines of files and pipes: format, encoding, line ends and memory."""

import io
import itertools
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runtime import InputError
from runtime.files.formats import Format, is_encoding
from runtime.files.lines import Unreadable, open_source, read_lines
from runtime.files.records import Layout
from runtime.files.row_reader import read_records, read_stdin

TEXTS = ["late", "", "été", "calm"]


class Pieces(io.RawIOBase):
    """A pipe that delivers given pieces, one per read."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = list(pieces)

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Copies the next piece into the buffer."""
        if not self.left:
            return 0
        piece = self.left.pop(0)
        buffer[: len(piece)] = piece
        return len(piece)


def pipe(*pieces: bytes) -> io.BufferedReader:
    """Returns a buffered pipe that delivers these pieces."""
    return io.BufferedReader(Pieces(*pieces))


def cuts(content: bytes) -> list[tuple[bytes, ...]]:
    """Returns the content whole, byte by byte, and split in two at every position."""
    halves = [(content[:place], content[place:]) for place in range(1, len(content))]
    return [(content,), tuple(content[place : place + 1] for place in range(len(content))), *halves]


def texts_of_pipe(*pieces: bytes, encoding: str = "utf-8") -> list[str | None]:
    """Returns the texts that are read from standard input; None for an error."""
    records = itertools.chain.from_iterable(read_stdin(pipe(*pieces), encoding))
    return [None if record.error else record.text for record in records]


def texts_of_file(*pieces: bytes, form: Format = "lines", **layout: Any) -> list[str | None]:
    """Returns the texts that are read from a file; None for an error."""
    return [None if record.error else record.text for record in read_records(pipe(*pieces), Layout(form, **layout))]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends(end: str) -> None:
    """Each kind of line end ends a line, wherever a pipe is split, on standard input and in files."""
    for pieces in cuts((end.join(TEXTS) + end).encode()):
        assert texts_of_pipe(*pieces) == texts_of_file(*pieces) == TEXTS


def test_mixed_line_ends() -> None:
    """Standard input and files count the same lines if line ends are mixed."""
    for pieces in cuts(b"a\r\n\r\r\nb\n\rc\r\n\n\nd\r"):
        assert texts_of_pipe(*pieces) == texts_of_file(*pieces) == ["a", "", "", "b", "", "c", "", "", "d"]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_do_not_wait(end: bytes) -> None:
    """A line is returned as soon as its end arrives, also after a carriage return or for an empty line."""
    for line in b"late", b"", b" ", b"PK", b"<htm":
        source = Pieces(line + end, b"more", b"\n")
        assert [record.text for record in next(read_stdin(io.BufferedReader(source)))] == [line.decode()]
        assert source.left == [b"more", b"\n"]


@pytest.mark.parametrize("name", ["utf-8-sig", "utf-16", "utf-32"])
def test_split_byte_order_marks(name: str) -> None:
    """A byte order mark sets the encoding, also if it arrives in pieces, and wins over the requested encoding."""
    for pieces in cuts("late\ncalm\n".encode(name)):
        assert texts_of_pipe(*pieces) == texts_of_pipe(*pieces, encoding="cp1252") == ["late", "calm"]
        assert texts_of_file(*pieces) == texts_of_file(*pieces, encoding="cp1252") == ["late", "calm"]


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"\x1f\x8b\x08\n", "is gzip"),
        (b"PK\x03\x04\n", "is zip"),
        (b"PAR1\x15\n", "is Parquet"),
        (b"BZh91AY&SY\n", "is bzip2"),
        (b"%PDF-1.7\n", "is PDF"),
        (b"\xd0\xcf\x11\xe0\n", "is Excel"),
        (b"  <!DOCTYPE html>\n", "is HTML"),
        (b"\xef\xbb\xbf<?xml?>\n", "is XML"),
        ("late\n".encode("utf-16-le"), "looks like UTF-16"),
        ("a\n".encode("utf-16-be"), "looks like UTF-16"),
    ],
)
def test_split_magic_numbers(content: bytes, name: str) -> None:
    """Other file formats are recognized wherever the pipe is split."""
    for pieces in cuts(content):
        for read in texts_of_pipe, texts_of_file:
            with pytest.raises(InputError, match=name):
                read(*pieces)


def test_later_lines_do_not_change_the_format() -> None:
    """After the first line of standard input was returned, markup no longer makes the input HTML."""
    for pieces in cuts(b"\n<html>\n"):
        assert texts_of_pipe(*pieces) == ["", "<html>"]


@pytest.mark.parametrize("name", ["cp1252", "latin-1", "gb18030", "shift_jis", "utf-16-le", "utf-16", "utf-32-be"])
def test_encodings(name: str) -> None:
    """Each format is read in the requested encoding, wherever the input is split."""
    text = "déjà" if name in ("cp1252", "latin-1") else "東京"
    assert texts_of_pipe(*cuts(f"{text}\nlate\n".encode(name))[1], encoding=name) == [text, "late"]
    files: dict[Format, str] = {
        "lines": f"{text}\nlate",
        "csv": f'text\n"{text}"\nlate',
        "tsv": f"text\n{text}\nlate",
        "jsonl": "\n".join(json.dumps({"text": found}, ensure_ascii=False) for found in (text, "late")),
    }
    for form, content in files.items():
        for pieces in cuts(content.encode(name))[:2]:
            assert texts_of_file(*pieces, form=form, encoding=name) == [text, "late"]


@pytest.mark.parametrize("form", ["lines", "jsonl", "csv"])
def test_bytes_outside_the_encoding(form: Format) -> None:
    """Bytes outside the encoding make only their own row an error, which names the encoding and the option."""
    content = {"lines": b"a\x81\ncalm\n", "jsonl": b'{"text": "\x81"}\n{"text": "calm"}', "csv": b"text\n\x81\ncalm\n"}
    first, second = read_records(pipe(content[form]), Layout(form, encoding="cp1252"))
    assert first.error == "it is not cp1252; pass --encoding, for example cp1252 for a file from Windows"
    assert second.text == "calm"


def test_truncated_utf16() -> None:
    """UTF-16 that ends within a character is an error of the whole input."""
    with pytest.raises(InputError, match="breaks off, or is not utf-16-le"):
        texts_of_file("late\n".encode("utf-16-le") + b"x", encoding="utf-16-le")


@pytest.mark.parametrize("name", ["", "rot13", "hex", "nonsense", "a\0b", "\ud800", "../x", "undefined", "x" * 5000])
def test_unknown_encodings(name: str) -> None:
    """Unknown names and Python's bytes-to-bytes codecs are not encodings."""
    assert not is_encoding(name)
    assert all(map(is_encoding, ("cp1252", "utf-16", "utf-16-le", "utf-32-be")))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("codec", ["punycode", "idna", "unicode_escape", "utf-7"])
def test_odd_encodings(codec: str) -> None:
    """Python's odd codecs give rows or an InputError, whatever the bytes are."""
    try:
        list(read_records(pipe(bytes(range(256)), b"\nlate\n"), Layout("lines", encoding=codec)))
    except InputError:
        return


@pytest.mark.parametrize("form", ["lines", "jsonl", "csv"])
def test_little_memory(tmp_path: Path, form: str) -> None:
    """A line for which there is not enough memory becomes an error, and the next line is read."""
    file = tmp_path / "texts"
    huge = "x" * 60_000_000
    lines = {
        "lines": [huge, "calm"],
        "jsonl": [f'{{"text": "{huge}"}}', '{"text": "calm"}'],
        "csv": ["text", huge, "calm"],
    }
    file.write_text("\n".join(lines[form]))
    script = f"""
import resource
from pathlib import Path
from runtime.files.records import Layout
from runtime.files.row_reader import read_records
records = read_records(Path({str(file)!r}).open("rb"), Layout({form!r}))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 40_000_000, -1))
for record in records:
    print(record.index, record.text[:10], record.error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert (
        first.replace("line 2: ", "")
        == "0  there is not enough memory to read it; allow the process more, or shorten the text"
    )
    assert second == "1 calm None"


def test_line_that_is_too_long() -> None:
    """A line that is too long is dropped, and the next line begins after its end."""
    source = open_source(pipe(b"x" * 600, b"y\nlate", b"\n"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("runtime.files.lines.MAX_FIELD", 500)
        (first, second) = itertools.chain.from_iterable(read_lines(source))
    assert isinstance(first, Unreadable)
    assert second == "late"
