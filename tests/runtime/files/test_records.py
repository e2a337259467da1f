"""Records of files: every row gets one, whatever is wrong with it or its neighbours."""

import io
import json
import os
from typing import Any

import pytest

from runtime import InputError
from runtime.files.formats import Format
from runtime.files.records import Layout, Record
from runtime.files.row_reader import read_records, read_stdin


def stream(content: bytes) -> io.BufferedReader:
    """Returns a file of these bytes."""
    return io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]


def read(content: bytes, form: Format = "csv", identity: str | None = None, **layout: Any) -> list[Record]:
    """Returns all records."""
    if form == "tsv":
        layout["delimiter"] = "\t"
    return list(read_records(stream(content), Layout(form, id_column=identity, **layout)))


def test_columns_by_name() -> None:
    """Text and id are found by column name; other columns are ignored."""
    found = read(b"when,id,text\nnow,a7,late\nthen,,calm\n", identity="id")
    assert found == [Record(0, "late", "a7"), Record(1, "calm", "")]


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks(mark: str) -> None:
    """A byte order mark sets the encoding and is not part of the first column's name."""
    assert read("text,x\nétait,1\n".encode(mark)) == [Record(0, "était")]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "lines"])
def test_bytes_that_are_not_utf8(form: Format) -> None:
    """Bytes that are not UTF-8 make only their own row an error."""
    rows = {
        "csv": b"text,x\nlate,1\nit\x92s,2\ncalm,3\n",
        "tsv": b"text\tx\nlate\t1\nit\x92s\t2\ncalm\t3\n",
        "jsonl": b'{"text":"late"}\n{"text":"it\x92s"}\n{"text":"calm"}\n',
        "lines": b"late\nit\x92s\ncalm\n",
    }
    found = read(rows[form], form)
    assert [record.text for record in found] == ["late", "", "calm"]
    assert "it is not UTF-8" in str(found[1].error)


def test_quoted_newline_at_a_chunk_boundary() -> None:
    """A quoted field that continues in the next chunk is one field."""
    for shift in range(-3, 4):
        text = "x" * ((1 << 20) + shift - len('text\n"')) + "\nlate"
        assert read(f'text\n"{text}"\ncalm\n'.encode()) == [Record(0, text), Record(1, "calm")]


@pytest.mark.parametrize("size", [200_000, 20_000_000])
def test_large_fields(size: int) -> None:
    """Fields may be larger than the 128 KB limit of Python's csv module."""
    assert read(b"text\n" + b"x " * (size // 2) + b"\nlate\n")[1] == Record(1, "late")


def test_unclosed_quote() -> None:
    """An unclosed quote makes only its own row an error, with the lines that cannot be rows."""
    found = read(b'text,x\nlate,1\n"never closed,2\nand so on\ncalm,3\nfine,4\nlate,5\n')
    assert [record.text for record in found] == ["late", "", "calm", "fine", "late"]
    assert found[1].error == "lines 3 to 4: a quote is never closed"
    assert found[1].place == (2, 3, 14, 40)
    found = read(b'text\n"never closed\n"fine"\n"never closed again')
    assert [record.error for record in found if record.error] == [
        "line 3: unexpected characters after a closing quote; double quotes inside a quoted field",
        "line 4: a quote is never closed",
    ]


def test_unclosed_quote_in_a_pipe() -> None:
    """What cannot be read again ends at an unclosed quote, after the rows before it were read."""
    read_end, write_end = os.pipe()
    os.write(write_end, b'text\nlate\n"never closed\ncalm\n')
    os.close(write_end)
    rows = read_records(os.fdopen(read_end, "rb"), Layout("csv"))
    assert next(rows) == Record(0, "late")
    with pytest.raises(InputError, match=r"cannot be read beyond line 4: .* is a quote never closed"):
        next(rows)


def test_ragged_rows() -> None:
    """Rows with too few or too many fields become errors in their place; blank lines are not rows."""
    found = read(b"text,x\nlate,1\n\nlate\nlate,1,2\ncalm,2\n")
    assert [record.text for record in found] == ["late", "", "", "calm"]
    assert found[1].error == "expected 2 fields as in the header, found 1"
    assert found[2].error == "expected 2 fields as in the header, found 3"


def test_carriage_returns_alone() -> None:
    """A single carriage return ends a line, as in old Macintosh files."""
    assert [record.text for record in read(b"text,x\rlate,1\rcalm,2\r")] == ["late", "calm"]


def test_fields_are_text() -> None:
    """Fields are not interpreted: `NA`, numbers and formulas are texts."""
    odd = ["NA", "null", "nan", "", '=HYPERLINK("x")', "- denies pain", "@x", "1e3", " late "]
    content = "text\n" + "".join('"' + text.replace('"', '""') + '"\n' for text in odd)
    assert [record.text for record in read(content.encode())] == odd


def test_stray_quote() -> None:
    """A row with a stray quote makes only itself an error."""
    found = read(b'text,x\nlate,1\n"abc" x,2\ncalm,3\n')
    assert [record.text for record in found] == ["late", "", "calm"]
    assert found[1].error == "line 3: unexpected characters after a closing quote; double quotes inside a quoted field"


def test_missing_column() -> None:
    """The error for a missing column suggests a similar name of the file."""
    with pytest.raises(InputError, match=r"none of the 2 columns .* 'text', see --text-column; it has 'Text '"):
        read(b"Text ,id\nlate,1\n")
    with pytest.raises(InputError, match="called 'ID', see --id-column; it has 'id'"):
        read(b"text,id\nlate,1\n", identity="ID")


def test_file_without_a_header() -> None:
    """The first row of a file without a header is a text, so no error repeats it."""
    with pytest.raises(InputError) as caught:
        read(b"John Smith,HIV,He denies pain\n")
    assert str(caught.value) == "none of the 3 columns of the input is called 'text', see --text-column"


def test_other_delimiters() -> None:
    """The error for a wrong delimiter suggests the right one, and `delimiter` selects it."""
    content = b"title;text\nTrains;late, again\n;calm\n"
    with pytest.raises(InputError, match="seem to be separated by ';', pass --delimiter ';'"):
        read(content)
    assert [record.text for record in read(content, delimiter=";")] == ["late, again", "calm"]
    both = read(content, delimiter=";", text_columns=["title", "text"])
    assert [record.text for record in both] == ["Trains late, again", "calm"]


def test_duplicate_column() -> None:
    """A text column that exists twice is an error; other duplicate columns are not."""
    with pytest.raises(InputError, match="the column 'text' 2 times"):
        read(b"text,text\nlate,1\n")
    assert read(b"x,x,text\n1,2,late\n") == [Record(0, "late")]


@pytest.mark.parametrize(("content", "count"), [(b"", None), (b"text\n", 0), (b"\n\n", None)])
def test_empty_files(content: bytes, count: int | None) -> None:
    """A file with only a header has no records; an empty file is an error."""
    if count is None:
        with pytest.raises(InputError, match="the input is empty"):
            read(content)
    else:
        assert len(read(content)) == count


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"\x1f\x8b\x08", "gzip"),
        (b"PAR1\x15\x04", "Parquet"),
        (b"PK\x03\x04", "zip"),
        (b"\n <!DOCTYPE html>", "HTML"),
        (b"\xef\xbb\xbf<html>", "HTML"),
        (b"\xd0\xcf\x11\xe0", "Excel"),
        ("text,x\nlate,1\n".encode("utf-16-le"), "UTF-16 without"),
        ("text,x\nlate,1\n".encode("utf-16-be"), "UTF-16 without"),
    ],
)
def test_other_formats(start: bytes, name: str) -> None:
    """Files of another format are rejected and named, whatever their suffix."""
    with pytest.raises(InputError, match=rf"the input (is|looks like) {name}"):
        read(start + b"text\n")


def test_json_lines() -> None:
    """Each JSON object is a record, and each other line an error in its place."""
    lines = [
        '{"text": "late", "id": 7}',
        "",
        '{"text": "la',
        '["late"]',
        '{"Text": "late", "id": "a"}',
        '{"text": null, "id": 1.5}',
        '{"text": "la\\ud800te", "id": "b"}',
        "[" * 150_000,
        '{"text": "calm", "id": 1e999}',
        '{"text": "calm", "id": NaN}',
        '{"text": "calm", "id": true}',
        '{"text": "calm", "id": 1' + "0" * 400 + "}",
        '{"text": "calm"}',
        '{"text": "calm", "id": [1]}',
    ]
    found = read("\n".join(lines).encode(), "jsonl", identity="id")
    assert [record.index for record in found] == list(range(13))
    assert [record.text for record in found] == ["late", "", "", "", "", "la\ud800te", *[""] * 4, "calm", "", ""]
    assert [record.id for record in found] == [7, None, None, "a", 1.5, "b", *[None] * 4, 10**400, None, None]
    errors = [record.error for record in found]
    assert errors[1] == errors[6] == "the line is not valid JSON; expected one object per line"
    assert errors[2] == "the line is not a JSON object"
    assert errors[3] == "its 'text' is missing; name the key of the text with --text-column"
    assert errors[4] == "its 'text' is not a string"
    assert errors[7:10] == [*errors[11:], errors[7]] == ["its 'id' is missing, or neither a string nor a number"] * 3
    json.dumps([record.id for record in found], allow_nan=False)


def test_broken_utf16() -> None:
    """UTF-16 that does not decode is an error of the whole file, because the next row cannot be found."""
    with pytest.raises(InputError, match="not what its byte order mark says"):
        read("text\nlate\n".encode("utf-16") + b"\x00\xd8")


def test_lines() -> None:
    """Carriage returns are not part of a line; an empty line is an empty text."""
    assert [record.text for record in read(b"late\r\n\ncalm", "lines")] == ["late", "", "calm"]
    assert [record.text for record in read(b"late\rcalm\r", "lines")] == ["late", "calm"]


@pytest.mark.parametrize("form", ["lines", "jsonl"])
def test_line_over_the_limit(monkeypatch: pytest.MonkeyPatch, form: Format) -> None:
    """A line over the length limit becomes an error in its place."""
    monkeypatch.setattr("runtime.files.lines.MAX_FIELD", 100)
    monkeypatch.setattr("runtime.files.lines.CHUNK_BYTES", 30)
    lines = ["late", "x" * 100, "x" * 99, "x" * 1000, "calm"]
    content = lines if form == "lines" else [json.dumps({"text": line}) for line in lines]
    found = read("\n".join(content).encode(), form)
    too_long = [1, 3] if form == "lines" else [1, 2, 3]
    assert [record.index for record in found if "longer than" in str(record.error)] == too_long
    assert (found[0].text, found[4].text) == ("late", "calm")


def test_line_over_the_limit_on_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line over the length limit becomes an error in its place on standard input, too."""
    monkeypatch.setattr("runtime.files.lines.MAX_FIELD", 100)
    monkeypatch.setattr("runtime.files.lines.CHUNK_BYTES", 30)
    content = b"\xef\xbb\xbflate\r\n" + b"x" * 500 + b"\ncalm\n" + b"x" * 90 + b"\n\nend"
    found = [record for group in read_stdin(stream(content)) for record in group]
    assert [record.text for record in found] == ["late", "", "calm", "x" * 90, "", "end"]
    assert [record.index for record in found] == list(range(6))
    assert ["longer than" in str(record.error) for record in found] == [False, True, *[False] * 4]


def test_texts_that_begin_like_other_formats() -> None:
    """A text may begin like the magic number of an archive, and may contain NUL."""
    assert read(b"Bzhania has pain\n", "lines")[0].text == "Bzhania has pain"
    assert read(b"i\0d,text\n1,late\n")[0].text == "late"


def test_byte_order_mark_byte_by_byte() -> None:
    """A byte order mark may arrive byte by byte, in front of a line without an end."""
    source = io.BufferedReader(Slow(b"\xef\xbb\xbflate"))
    assert [record.text for group in read_stdin(source) for record in group] == ["late"]
    source = io.BufferedReader(Slow("late\n".encode("utf-16")))
    assert [record.text for group in read_stdin(source) for record in group] == ["late"]
    rows = read_records(io.BufferedReader(Slow(b"\xef\xbb\xbftext\nlate\n")), Layout("csv"))
    assert [record.text for record in rows] == ["late"]


class Slow(io.RawIOBase):
    """Delivers one byte per read."""

    def __init__(self, content: bytes) -> None:
        self._left = list(content)

    def readable(self) -> bool:
        """Returns True."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Copies the next byte into the buffer."""
        if not self._left:
            return 0
        buffer[0] = self._left.pop(0)
        return 1


@pytest.mark.parametrize("content", ["late\ncalm\n".encode("utf-16-le"), b"\x1f\x8b\x08 late\n"])
def test_other_formats_on_stdin(content: bytes) -> None:
    """Standard input of another format is rejected as a whole."""
    with pytest.raises(InputError, match=r"looks like UTF-16 without|is gzip"):
        list(read_stdin(stream(content)))
