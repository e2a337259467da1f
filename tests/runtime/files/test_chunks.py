"""Spans: reading from any row on gives the same records as reading from the beginning."""

import io
import random
from pathlib import Path

import pytest

from runtime import InputError
from runtime.files.chunks import InputReader, spans
from runtime.files.inputs import find_inputs
from runtime.files.records import Layout, Record
from runtime.files.row_reader import RowReader

CSV = (
    'id,text\n1,late\n\n2,"two\nlines"\n3,"She said "hi", he\nsaid "no"\nand left"\n4,"fi""ne"\r\n5,\u00e9t\u00e9\r'
    '6,a,b\n7,"abc" x\n8,fine\n\n9,"last"'
)
JSONL = '{"text": "late"}\n\n{"text": "\u00e9t\u00e9"}\r\nbroken\n{"text": ""}\n   \n{"text": "end"}'
CONTENTS = {"csv": CSV, "jsonl": JSONL, "lines": "late\n\n\u00e9t\u00e9\r\nend"}


def records(path: Path, layout: Layout, rows: int) -> list[Record]:
    """Returns the records of a file, read in spans of so many rows, the last span first."""
    (file,) = find_inputs([str(path)], layout.form)
    found: list[Record] = []
    for span in reversed(spans(file, layout, rows, typed=False)):
        reader = InputReader(file, layout)
        part = [record for chunk in reader.read(span) for record in chunk.records]
        reader.close()
        assert len(part) == span.rows
        found = part + found
    return found


@pytest.mark.parametrize("form", ["csv", "jsonl", "lines"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("rows", [1, 2, 3, 100])
def test_spans_are_the_file(tmp_path: Path, form: str, encoding: str, rows: int) -> None:
    """Spans of any size have the records and places of the whole file, malformed rows included."""
    path = tmp_path / "in"
    path.write_bytes(CONTENTS[form].encode(encoding))
    layout = Layout(form, keep=["id"] if form == "csv" else [])  # type: ignore[arg-type]
    with path.open("rb") as file:
        whole = list(RowReader(file, layout))
    found = records(path, layout, rows)
    assert found == whole
    assert [record.place for record in found] == [record.place for record in whole]


@pytest.mark.parametrize("seed", range(5))
def test_spans_of_random_files(tmp_path: Path, seed: int) -> None:
    """Spans of a file of random quotes, line ends and bytes are the file."""
    rng = random.Random(seed)
    alphabet = [b'"', b",", b"\n", b"\r", b"\r\n", b"a", b" ", "\u00e9".encode(), b"\x92", b'""', b'"\n', b'\n"']
    for _ in range(60):
        body = b"".join(rng.choices(alphabet, k=rng.randrange(5, 80)))
        path = tmp_path / "in.csv"
        path.write_bytes(b"text,id\n" + body)
        layout = Layout("csv")
        try:
            with path.open("rb") as file:
                whole = list(RowReader(file, layout))
        except InputError:
            with pytest.raises(InputError):
                records(path, layout, 2)
            continue
        found = records(path, layout, rng.choice([1, 2, 3]))
        assert found == whole, body
        assert [record.place for record in found] == [record.place for record in whole], body


def test_places() -> None:
    """A record knows its row, its line and its bytes; other encodings than UTF-8 have no bytes."""
    content = '\ufeffid,text\n1,"\u00e9\n"\n\n2,late\n'
    layout = Layout("csv")
    found = list(RowReader(io.BufferedReader(io.BytesIO(content.encode())), layout))  # type: ignore[arg-type]
    assert [record.place for record in found] == [(1, 2, 11, 19), (2, 5, 20, 27)]
    found = list(RowReader(io.BufferedReader(io.BytesIO(content.encode("utf-16-le"))), layout))  # type: ignore[arg-type]
    assert [record.place for record in found] == [(1, 2, None, None), (2, 5, None, None)]
