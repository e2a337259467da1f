"""Malformed CSV rows: each keeps the lines that belong to it and costs no other row."""

import io
import random
import sys
from collections.abc import Iterator

import pytest

from runtime.files.delimited import Rows
from runtime.files.lines import Line, Unreadable
from runtime.files.records import Layout, Record
from runtime.files.row_reader import read_records


def read(content: str, **layout: object) -> list[Record]:
    """Returns the records of a CSV file with the columns `text` and `id`, or with the columns of the layout."""
    file = io.BufferedReader(io.BytesIO(content.encode()))  # type: ignore[arg-type]
    return list(read_records(file, Layout("csv", id_column="id", **layout)))  # type: ignore[arg-type]


def ids(body: str) -> list[str | None]:
    """Returns the id of each row below the header; None for a malformed row."""
    return [None if record.error else str(record.id) for record in read("text,id\n" + body)]


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ('"He say "hi" to\nall",b\nfine,c\n', [None, "c"]),
        ('"He say "hi" to\r\nall",b\r\nfine,c\r\n', [None, "c"]),
        ('"He say "hi" to\rall",b\rfine,c\r', [None, "c"]),
        ('ok,a\n"He say "hi" to\nold friends, and\n\nall",b\nfine,c\n', ["a", None, "c"]),
        ('"He "x" said "no", and\nleft",b\nfine,c\n', [None, "c"]),
        ('"He said "hi", then\nwent\nand left",b\nfine,c\n', [None, "c"]),
        ('"She said "hi", he\nsaid "no",\nand left",b\n"fine",c\n', [None, "c"]),
        ('"a "b"\n",b\nfine,c\n', [None, "c"]),
        ('"a "b" c\nd ""e"", f\ng",b\nfine,c\n', [None, "c"]),
        ('"x\ny "hi" z\nall",b\nfine,c\n', [None, "c"]),
        ('"say "hi" to\nall",b\n"say "hi" to\nall",c\nfine,d\n', [None, None, "d"]),
        ('"a 5" pipe",b\nfine,c\n', [None, "c"]),
        ('"a 5" pipe",b\nlate\nfine,c\n', [None, None, "c"]),
        ('"a 5" pipe",b\nfine,c\nThe 6",d\n', [None, "c", "d"]),
        ('"abc" x,b\n"fine",c\n', [None, "c"]),
        ('"abc" x,b\n"",c\nfine,d\n', [None, "c", "d"]),
        ('"abc" x,b\n"fine\nfine ""too""",c\nfine,d\n', [None, "c", "d"]),
        ('"He said "\nall",b\nfine,c\n', [None, "c"]),
        ('"He say "hi" to\nall\n"fine",c\n', [None, "c"]),
        ('fine,a\n"He say "hi" to\nall', ["a", None]),
        ('fine,a\n"He say "hi" to\nall",b', ["a", None]),
        ('"late"\n5" pipe,c\n', [None, "c"]),
    ],
)
def test_next_row_keeps_its_number(body: str, expected: list[str | None]) -> None:
    """A malformed row takes the lines that belong to it, so the rows after it keep their numbers."""
    assert ids(body) == expected


def test_short_row_takes_no_other() -> None:
    """A row that lacks a field takes no other row, whatever quotes the next one has."""
    found = read('text,id,g\n"a, b",1\nscreen 15",2,x\nfine,3,y\n')
    assert [record.id for record in found] == ["1", "2", "3"]
    assert [bool(record.error) for record in found] == [True, False, False]


def test_rows_after_an_unclosed_field() -> None:
    """Three consecutive lines that look like rows end a malformed row whose field is never closed."""
    rows = "".join(f"good{number},{number}\n" for number in range(50))
    found = read(f'text,id\n"He said "no" twice,1\n{rows}screen 15",98\nlast,99\n')
    assert [record.id for record in found] == [None, *map(str, range(50)), "98", "99"]
    assert str(found[0].error).startswith("line 2: ")


def test_error_names_the_lines() -> None:
    """The error names the lines of the malformed row, also after rows of several lines."""
    found = read('text,id\n"a\nb",1\n"c "d" e\nf",2\n"g\nh "i" j",3\n')
    lines = [str(record.error).partition(":")[0] for record in found if record.error]
    assert lines == ["lines 4 to 5", "line 7"]


def test_lines_are_counted_across_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line end of two characters counts once, also if it is split between two chunks."""
    for size in range(1, 10):
        monkeypatch.setattr("runtime.files.row_reader.FILE_CHUNK_BYTES", size)
        (*_, last) = read("text,id\r\nlate,1\r\ncalm,2\r\n" + '"a "b" c",3\r\n')
        assert str(last.error).startswith("line 4: ")


def test_random_stray_quotes() -> None:
    """Random rows with stray quotes neither add nor take a row, whatever line ends are in them."""
    generator = random.Random(7)
    words = ["he", "said", "no,", "\n", "and", '""so""', "went", "on; ", "\r\n", "late."]
    for _ in range(2000):
        body, expected = "", []
        for index in range(6):
            text = " ".join(generator.choices(words, k=8)).strip()
            if broken := generator.random() < 0.4:
                text = f'{text} say "hi" {text} end'
            body += f'"{text}",{index}\n'
            expected.append(None if broken else str(index))
        assert ids(body) == expected, body


def test_without_quoting() -> None:
    """Without quoting, a double quote is a plain character and each line is a row."""
    assert [record.id for record in read('text,id\n"late\n6",4\n', quoting=False)] == [None, "4"]
    found = read('text,id\n"He say "hi" to,1\nall",2\n', quoting=False)
    assert found == [Record(0, '"He say "hi" to', "1"), Record(1, 'all"', "2")]


def test_without_a_header() -> None:
    """The given column names replace the header, so the first line is a row."""
    found = read("late,1\ncalm\n", column_names=["text", "id"])
    assert found[0] == Record(0, "late", "1")
    assert found[1].error == "expected 2 fields as in --column-names, found 1"


@pytest.mark.parametrize("line", ["all of them\n", "all, of them\n"])
def test_memory_of_a_huge_malformed_row(monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """The lines that are kept after a malformed row are limited, whether they look like rows or not."""
    monkeypatch.setattr("runtime.files.delimited.LOOK_AHEAD", 1000)
    kept: list[int] = []

    def lines() -> Iterator[Line]:
        yield from ["text,id\n", '"He say "hi" to\n']
        for _ in range(10_000):
            yield line
            kept.append(sys.getrefcount(line))
        yield "fine,c\n"

    *_, last = Rows(lines(), delimiter=",")
    assert last == ["fine", "c"]
    assert max(kept) < 200


def test_unreadable_line() -> None:
    """A line that cannot be read becomes an error in its place; the rows around it are read."""
    lines: list[Line] = ["text,id\n", "late,1\n", Unreadable("it is too long"), "calm,2\n"]
    assert list(Rows(iter(lines), delimiter=",")) == [
        ["late", "1"],
        Unreadable("line 3: it is too long"),
        ["calm", "2"],
    ]
