"""Files of texts: every row gets a record, whatever is wrong with it or its neighbours."""

import io
import json

import pytest

from runtime import InputError
from runtime.records import Format, Record, read_records


def read(content: bytes, form: Format = "csv", text: str = "text", identity: str | None = None) -> list[Record]:
    """Returns all records."""
    file = io.BufferedReader(io.BytesIO(content))  # type: ignore[arg-type]
    return list(read_records(file, form, text_column=text, id_column=identity))


def test_columns_by_name() -> None:
    """Text and id wherever they stand; the rest is left alone."""
    found = read(b"when,id,text\nnow,a7,late\nthen,,calm\n", identity="id")
    assert found == [Record(0, "late", "a7"), Record(1, "calm", "")]


@pytest.mark.parametrize("mark", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_marks(mark: str) -> None:
    """Say how the file is encoded, and are no part of the first column's name."""
    assert read("text,x\nétait,1\n".encode(mark)) == [Record(0, "était")]


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "lines"])
def test_bytes_that_are_not_utf8(form: Format) -> None:
    """Cost only their own row."""
    rows = {
        "csv": b"text,x\nlate,1\nit\x92s,2\ncalm,3\n",
        "tsv": b"text\tx\nlate\t1\nit\x92s\t2\ncalm\t3\n",
        "jsonl": b'{"text":"late"}\n{"text":"it\x92s"}\n{"text":"calm"}\n',
        "lines": b"late\nit\x92s\ncalm\n",
    }
    found = read(rows[form], form)
    assert [record.text for record in found] == ["late", "", "calm"]
    assert "it is not UTF-8" in str(found[1].error)


def test_quoted_newline_on_a_boundary() -> None:
    """A field that goes on in the next mebibyte is one field."""
    for shift in range(-3, 4):
        text = "x" * ((1 << 20) + shift - len('text\n"')) + "\nlate"
        assert read(f'text\n"{text}"\ncalm\n'.encode()) == [Record(0, text), Record(1, "calm")]


@pytest.mark.parametrize("size", [200_000, 20_000_000])
def test_large_fields(size: int) -> None:
    """Python's own limit of 128 KB does not apply."""
    assert read(b"text\n" + b"x " * (size // 2) + b"\nlate\n")[1] == Record(1, "late")


def test_quote_never_closed() -> None:
    """Is told apart from a long field, and what was before it has been read."""
    file = io.BufferedReader(io.BytesIO(b'text\nlate\n"never closed\ncalm\n'))  # type: ignore[arg-type]
    records = read_records(file, "csv", text_column="text", id_column=None)
    assert next(records) == Record(0, "late")
    with pytest.raises(InputError, match="is a quote never closed"):
        next(records)


def test_ragged_rows() -> None:
    """Have an error in their place; blank lines are no rows."""
    found = read(b"text,x\nlate,1\n\nlate\nlate,1,2\ncalm,2\n")
    assert [record.text for record in found] == ["late", "", "", "calm"]
    assert found[1].error == "expected 2 fields as in the header, found 1"
    assert found[2].error == "expected 2 fields as in the header, found 3"


def test_carriage_returns_alone() -> None:
    """Old Macintosh line ends end lines."""
    assert [record.text for record in read(b"text,x\rlate,1\rcalm,2\r")] == ["late", "calm"]


def test_fields_are_text() -> None:
    """Whatever a spreadsheet or a data frame would make of them."""
    odd = ["NA", "null", "nan", "", '=HYPERLINK("x")', "- denies pain", "@x", "1e3", " late "]
    content = "text\n" + "".join('"' + text.replace('"', '""') + '"\n' for text in odd)
    assert [record.text for record in read(content.encode())] == odd


def test_column_that_is_not_there() -> None:
    """The message has those that are, as they are written."""
    with pytest.raises(InputError, match=r"no column 'text'; choose one with --text-column: 'Text ', 'id'"):
        read(b"Text ,id\nlate,1\n")
    with pytest.raises(InputError, match="no column 'ID'; choose one with --id-column"):
        read(b"text,id\nlate,1\n", identity="ID")


def test_file_without_a_header() -> None:
    """Its first row is somebody's text, which no error repeats."""
    with pytest.raises(InputError) as caught:
        read(b'"Miller denies any pain, since yesterday",GENHX\n')
    assert "Miller" not in str(caught.value)
    assert "(no name), 'GENHX'" in str(caught.value)


def test_column_that_is_there_twice() -> None:
    """Nobody knows which is meant; other columns may have what names they like."""
    with pytest.raises(InputError, match="the column 'text' 2 times"):
        read(b"text,text\nlate,1\n")
    assert read(b"x,x,text\n1,2,late\n") == [Record(0, "late")]


@pytest.mark.parametrize(("content", "count"), [(b"", None), (b"text\n", 0), (b"\n\n", None)])
def test_empty_files(content: bytes, count: int | None) -> None:
    """A header alone is a file of no texts, nothing at all is no file."""
    if count is None:
        with pytest.raises(InputError, match="the input is empty"):
            read(content)
    else:
        assert len(read(content)) == count


@pytest.mark.parametrize(
    ("start", "name"),
    [(b"\x1f\x8b\x08", "gzip"), (b"PAR1", "Parquet"), (b"PK\x03\x04", "zip"), (b"\n <!DOCTYPE html>", "HTML")],
)
def test_other_kinds_of_file(start: bytes, name: str) -> None:
    """Named for what they are, whatever their suffix says."""
    with pytest.raises(InputError, match=f"the input is {name}"):
        read(start + b"text\n")


def test_json_lines() -> None:
    """Every object is a row, every other line an error in its place."""
    lines = [
        '{"text": "late", "id": 7}',
        "",
        '{"text": "la',
        '["late"]',
        '{"Text": "late", "id": "a"}',
        '{"text": null, "id": 1.5}',
        '{"text": "la\\ud800te", "id": {"a": 1}}',
        "[" * 150_000,
        '{"text": "calm", "id": 1e999}',
    ]
    found = read("\n".join(lines).encode(), "jsonl", identity="id")
    assert [record.index for record in found] == list(range(8))
    assert [record.text for record in found] == ["late", "", "", "", "", "la\ud800te", "", "calm"]
    assert [record.id for record in found] == [7, None, None, "a", 1.5, None, None, None]
    errors = [record.error for record in found]
    assert errors[1] == errors[6] == "the line is not valid JSON; expected one object per line"
    assert errors[2] == "the line is not a JSON object"
    assert errors[3] == "it has no 'text'; name the key of the text with --text-column"
    assert errors[4] == "its 'text' is no string"
    json.dumps([record.id for record in found], allow_nan=False)


def test_broken_utf16() -> None:
    """Ends the reading: nobody knows where the next row begins."""
    with pytest.raises(InputError, match="not what its byte order mark says"):
        read("text\nlate\n".encode("utf-16") + b"\x00\xd8")


def test_lines() -> None:
    """Carriage returns are no part of them; an empty one is an empty text."""
    assert [record.text for record in read(b"late\r\n\ncalm", "lines")] == ["late", "", "calm"]
