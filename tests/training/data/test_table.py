"""Files that people really have: what is read, and what is refused in one line."""

import bz2
import gzip
import json
from pathlib import Path

import pytest

from training.data.table import read_table
from training.errors import DataError


def write(folder: Path, name: str, content: bytes | str) -> str:
    """Writes a file and returns its path."""
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def refusal(path: str, **options: str) -> str:
    """Returns the message of the DataError, which is one line."""
    with pytest.raises(DataError) as caught:
        read_table(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_csv(tmp_path: Path) -> None:
    """Quoted commas, quotes and newlines are read, and no field becomes a number or a missing value."""
    table = read_table(write(tmp_path, "a.csv", 'text,label\n"a, ""b""\nc",NA\nnull,1\n'))
    assert table.columns == ("text", "label")
    assert table.rows == (('a, "b"\nc', "NA"), ("null", "1"))


@pytest.mark.parametrize(
    ("name", "content", "delimiter"),
    [("a.tsv", "text\tlabel\nx\ty\n", None), ("a.csv", "text;label\nx;y\n", ";"), ("a.csv", "text,label\rx,y\r", None)],
    ids=["tab", "semicolon", "CR only"],
)
def test_delimiters(tmp_path: Path, name: str, content: str, delimiter: str | None) -> None:
    """The delimiter is chosen by the suffix or the argument; line ends of any kind are read."""
    assert read_table(write(tmp_path, name, content), delimiter=delimiter).rows == (("x", "y"),)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_byte_order_mark_wins(tmp_path: Path, encoding: str) -> None:
    """A byte order mark determines the encoding and does not become part of the first column's name."""
    table = read_table(write(tmp_path, "a.csv", "text,label\nnaïve,y\n".encode(encoding)))
    assert table.fields(["text"]) == [("naïve",)]


def test_other_encoding(tmp_path: Path) -> None:
    """A cp1252 file is rejected as UTF-8, with the position and the option to pass, and read with that option."""
    path = write(tmp_path, "a.csv", "text,label\nit’s,y\n".encode("cp1252"))
    assert "byte 13 is not utf-8; pass --encoding (cp1252" in refusal(path)
    assert read_table(path, encoding="cp1252").fields(["text"]) == [("it’s",)]


def test_unknown_encoding(tmp_path: Path) -> None:
    """The message about an unknown encoding shows its name."""
    assert "unknown encoding 'utf8000'" in refusal(write(tmp_path, "a.csv", "x,y\n"), encoding="utf8000")


def test_json_lines(tmp_path: Path) -> None:
    """Values in JSON Lines keep their types, and the keys are the columns."""
    rows = [{"text": "a", "labels": ["x", "y"]}, {"labels": [], "text": "b"}]
    table = read_table(write(tmp_path, "a.jsonl", "\n".join(map(json.dumps, rows)) + "\n"))
    assert table.rows == (("a", ["x", "y"]), ("b", []))


def test_large_field(tmp_path: Path) -> None:
    """A field of 20 MB is read, far above the csv module's default limit."""
    table = read_table(write(tmp_path, "a.csv", "text,label\n" + "x" * 20_000_000 + ",y\n"))
    assert len(table.rows[0][0]) == 20_000_000


def test_missing_file(tmp_path: Path) -> None:
    """The message about a missing file names the path."""
    assert refusal(str(tmp_path / "absent.csv")).startswith("no file ")


@pytest.mark.parametrize(
    ("column", "asked", "shown"),
    [
        ("Text ", "text", "'Text '"),
        ("te\u200bxt", "text", r"'te\u200bxt'"),
        ("my\u00a0 text", "My text", r"'my\xa0 text'"),
        ("cafe\u0301", "caf\u00e9", r"'cafe\u0301'"),
    ],
)
def test_column_that_is_nearly_the_one(tmp_path: Path, column: str, asked: str, shown: str) -> None:
    """The message about an unknown column shows one that looks the same, so that the difference is visible."""
    table = read_table(write(tmp_path, "a.csv", f"{column},label\nx,y\n"))
    with pytest.raises(DataError) as caught:
        table.fields([asked])
    assert str(caught.value) == f"a.csv: none of its 2 columns is called {asked!r}; it has {shown}"


@pytest.mark.parametrize("first", ["Miller", "Miller denies pain", "\u60a3\u8005\u5426\u8ba4\u75bc\u75db"])
def test_first_row_is_not_shown(tmp_path: Path, first: str) -> None:
    """No message shows the first row, which is a text if there is no header."""
    with pytest.raises(DataError) as caught:
        read_table(write(tmp_path, "a.csv", f"{first},x\nc,y\n")).fields(["text"])
    assert str(caught.value) == "a.csv: none of its 2 columns is called 'text'; does the file have a header?"
    assert refusal(write(tmp_path, "a.csv", f"{first},x,{first}\nc,y,d\n")).startswith("a.csv: columns 1 and 3 have")
    rows = f'{{"text": "a"}}\n{{"{first}": "b", "x": 1}}\n'
    expected = "a.jsonl: line 2 has other keys than the first line: 1 missing, 2 added; all lines need the same keys"
    assert refusal(write(tmp_path, "a.jsonl", rows)) == expected


def test_file_with_another_delimiter(tmp_path: Path) -> None:
    """A file with another delimiter is an error that names the option to pass."""
    with pytest.raises(DataError, match=r"called 'text'; its fields seem to be separated by ';', pass --delimiter ';'"):
        read_table(write(tmp_path, "a.csv", "text;label\nx;y\n")).fields(["text"])


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "", "is empty"),
        ("a.csv", "text,label\n", "has a header and no rows"),
        ("a.csv", "text,label\nx,y\nx,y,z\n", "row 2 (line 3) has 3 fields, the header has 2"),
        ("a.csv", "text,label\nx\n", "row 1 (line 2) has 1 fields, the header has 2"),
        ("a.csv", 'text,label\n"x,y\nx,y\n', "is a quote not closed?"),
        ("a.csv", "text,text\nx,y\n", "columns 1 and 2 have the same name; rename one"),
        ("a.txt", "text,label\nx,y\n", "expected the suffix .csv, .tsv or .jsonl"),
        ("a.csv", gzip.compress(b"text,label\nx,y\n", mtime=0), "expected CSV, TSV or JSON Lines, found gzip"),
        ("a.csv", b"PAR1\x15\x04\x15\x1cxxxxPAR1", "expected CSV, TSV or JSON Lines, found Parquet"),
        ("a.csv", bz2.compress(b"text,label\nx,y\n"), "expected CSV, TSV or JSON Lines, found bzip2"),
        ("a.csv", b"%PDF-1.7\nx,y\n", "expected CSV, TSV or JSON Lines, found PDF"),
        ("a.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "expected CSV, TSV or JSON Lines, found Excel"),
        (
            "a.csv",
            "text,label\nx,y\n".encode("utf-16-le"),
            "looks like UTF-16 without a byte order mark; pass --encoding",
        ),
        ("a.csv", "<!DOCTYPE html><html></html>", "expected CSV, TSV or JSON Lines, found HTML"),
        ("a.jsonl", '{"text": "x"}\n{"text": "se', "line 2 is not valid JSON; is the file truncated?"),
        ("a.jsonl", "[1]\n", "line 1: expected a JSON object, found list"),
        ("a.jsonl", '{"text": "x"}\n{"txt": "x"}\n', "line 2 has other keys"),
    ],
)
def test_refusals(tmp_path: Path, name: str, content: bytes | str, expected: str) -> None:
    """Every unusable file has a message of its own."""
    assert expected in refusal(write(tmp_path, name, content))
