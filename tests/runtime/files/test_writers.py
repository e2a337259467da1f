"""Output formats: JSON Lines, CSV, TSV, tables, highlighted words and HTML pages."""

import csv
import io
import itertools
import json
import re
from collections.abc import Callable
from typing import Any

import pytest

from runtime import Explanation, Prediction, TextError, Word
from runtime.files.highlight import article, coloured, page_start
from runtime.files.records import Record
from runtime.files.writers import Format, join_labels, output_row, row_writer
from runtime.page import page_end

LABELS = ("calm", "glad", "sad")
GIVEN = Prediction(("glad", "sad"), {"calm": 0.1, "glad": 0.7, "sad": 0.2000001}, False, True, 12)
ABSTAINED = Prediction((), {"calm": 0.3, "glad": 0.4, "sad": 0.3}, True, False, 4)
EXPLAINED = Explanation("sad", 0.9, (Word(0, 2, 2.0), Word(3, 6, -1.0), Word(7, 9, 0.01)), True)
TEXT = "it <b> is"


def written(form: Format, *rows: dict[str, Any], with_id: bool = False, with_text: bool = False) -> str:
    """Returns the content that the writer writes for these rows."""
    output = io.StringIO()
    write = row_writer(form, output, LABELS, with_id=with_id, with_text=with_text)
    for fields in rows:
        write(fields)
    return output.getvalue()


def test_row_has_no_text_by_default() -> None:
    """A row has neither text nor id by default; the row of an error has its reason."""
    assert output_row(Record(3, "Miller", "a7"), GIVEN) == {
        "index": 3,
        "label": "glad",
        "labels": ["glad", "sad"],
        "scores": {"calm": 0.1, "glad": 0.7, "sad": 0.2},
        "abstained": False,
        "truncated": True,
        "n_tokens": 12,
    }
    failed = output_row(Record(4, "", "a8", error="it is not UTF-8"), TextError(0, "it is empty"), with_id=True)
    assert failed == {"index": 4, "id": "a8", "error": "it is not UTF-8"}
    assert output_row(Record(3, "Miller", "a7"), GIVEN, with_text=True)["text"] == "Miller"


def test_json_lines() -> None:
    """JSON Lines have one object per row, with all its fields."""
    fields = output_row(Record(0, "été"), GIVEN, with_text=True, explanation=EXPLAINED)
    assert fields["words"] == [[0, 2, 2.0], [3, 6, -1.0], [7, 9, 0.01]]
    assert fields["explained"] == "sad"
    assert [json.loads(line) for line in written("jsonl", fields, fields).splitlines()] == [fields, fields]


@pytest.mark.parametrize(("form", "delimiter"), [("csv", ","), ("tsv", "\t")])
def test_delimited(form: Format, delimiter: str) -> None:
    """CSV and TSV have a column per score, and empty cells for missing values."""
    rows = [
        output_row(Record(0, 'late, "late"\n\tlate\r|', "=1+1"), GIVEN, with_id=True, with_text=True),
        output_row(Record(1, "", None), TextError(1, "it is empty"), with_id=True, with_text=True),
    ]
    content = written(form, *rows, with_id=True, with_text=True)
    first, second = csv.DictReader(io.StringIO(content, newline=""), delimiter=delimiter)
    assert first == {
        "index": "0",
        "id": "=1+1",
        "label": "glad",
        "labels": "glad|sad",
        "score_calm": "0.1",
        "score_glad": "0.7",
        "score_sad": "0.2",
        "abstained": "false",
        "truncated": "true",
        "n_tokens": "12",
        "text": 'late, "late"\n\tlate\r|',
        "error": "",
    }
    assert (second["index"], second["labels"], second["error"]) == ("1", "", "it is empty")


def test_table() -> None:
    """A table has one aligned line per label and shows abstentions and errors."""
    rows = [
        output_row(Record(0, ""), GIVEN),
        output_row(Record(1, ""), ABSTAINED),
        output_row(Record(2, ""), TextError(2, "it is empty")),
    ]
    lines = written("table", *rows).splitlines()
    assert [line.split() for line in lines] == [
        ["index", "label", "score", "flags"],
        ["0", "glad", "0.7000", "truncated"],
        ["sad", "0.2000"],
        ["1", "-", "0.4000", "abstained"],
        ["2", "-", "error:", "it", "is", "empty"],
    ]
    assert len({line.index(".") for line in lines if "." in line}) == 1


def test_table_with_top_k() -> None:
    """A table with `top_k` shows all returned scores; labels that are not assigned are in parentheses."""
    best = Prediction(("glad",), {"glad": 0.7, "sad": 0.2}, False, False, 12)
    lines = written("table", output_row(Record(0, ""), best)).splitlines()
    assert [line.split() for line in lines[1:]] == [["0", "glad", "0.7000"], ["(sad)", "0.2000"]]


def test_long_ids_end_with_an_ellipsis() -> None:
    """A long id in a table ends with an ellipsis, so that it is not taken for a whole id."""
    lines = written("table", output_row(Record(0, "", "CommentId-123456789"), GIVEN, with_id=True), with_id=True)
    assert "CommentId-12345… " in lines


def test_table_escapes_control_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Control characters in ids and texts appear as dots in a table; long texts are cut at 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    fields = output_row(Record(0, "a\033[31mb\nc" + "x" * 200, "\033]0;x\007"), ABSTAINED, with_id=True, with_text=True)
    content = written("table", fields, with_id=True, with_text=True)
    assert "\033" not in content
    assert "a·[31mb·cxxx" in content
    assert all(len(line) <= 80 for line in content.splitlines())


def test_coloured() -> None:
    """Words for the label are green, words against it red, strong ones bold, and weak ones plain."""
    found = coloured(TEXT + " gone", EXPLAINED)
    assert found == "\033[42;1mit\033[0m \033[41;1m<b>\033[0m is gone"
    assert re.sub(r"\033\[[\d;]*m", "", found) == TEXT + " gone"
    assert coloured(TEXT, EXPLAINED, colours=False) == "it[+2.0] <b>[-1.0] is"


@pytest.mark.parametrize("show", [coloured, lambda text, explanation: article("1", text, explanation)])
def test_nothing_contributes(show: Callable[[str, Explanation], str]) -> None:
    """A text without contributions or without words is shown as it is."""
    for words in (Word(0, 4, 0.0),), ():
        assert "late" in show("late", Explanation("sad", 0.5, words, False))


def test_article() -> None:
    """Names, labels and texts are escaped in HTML; a word's title has its contribution."""
    found = article("<7>", TEXT, EXPLAINED)
    assert "<bdi>&lt;7&gt;</bdi>: sad" in found
    assert 'title="-1.000">&lt;b&gt;</mark>' in found
    assert "<b>" not in found
    assert "The text was truncated; the rest was not read." in found


def test_page() -> None:
    """The page loads nothing from elsewhere and has no script."""
    page = page_start() + article("0", TEXT, EXPLAINED) + page_end()
    assert "http" not in page
    assert "<script" not in page
    assert page.count("<article>") == page.count("</article>") == 1


AWKWARD = ("b|a", "a", "b", '"a"', '5" pipe', '"', "|", '""|', "a|", "Größe, sehr", " x ", "x;y\u200d", "'")


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_joined_labels_can_be_split(form: Format) -> None:
    """Joined labels can be split by one line of Python, whatever printable characters they have."""
    delimiter = "," if form == "csv" else "\t"
    for given in [(), *((label,) for label in AWKWARD), *itertools.permutations(AWKWARD, 2), AWKWARD]:
        prediction = Prediction(given, dict.fromkeys(AWKWARD, 0.5), False, False, 3)
        output = io.StringIO()
        row_writer(form, output, AWKWARD, with_id=False, with_text=False)(output_row(Record(0, ""), prediction))
        (found,) = csv.DictReader(io.StringIO(output.getvalue(), newline=""), delimiter=delimiter)
        assert tuple(next(csv.reader([found["labels"]], delimiter="|"))) == given


def test_only_ambiguous_labels_are_quoted() -> None:
    """Only labels with the separator or a double quote are quoted."""
    assert join_labels(["late", "it's, so", "été"]) == "late|it's, so|été"
    assert join_labels(["b|a", "a", 'the "b"']) == '"b|a"|a|"the ""b"""'


@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_columns_with_top_k(form: Format) -> None:
    """With `top_k`, CSV has columns for that many labels and scores, best first."""
    labels = tuple(f"label {index}" for index in range(150))
    best = Prediction(("label 9",), {"label 9": 0.7, "label 2": 0.2}, False, False, 12)
    output = io.StringIO()
    write = row_writer(form, output, labels, with_id=False, with_text=False, top_k=2)
    write(output_row(Record(0, ""), best))
    write(output_row(Record(1, ""), TextError(1, "it is empty")))
    found = list(csv.DictReader(io.StringIO(output.getvalue()), delimiter="," if form == "csv" else "\t"))
    columns = ["index", "label", "labels", "label_1", "score_1", "label_2", "score_2"]
    assert list(found[0]) == [*columns, "abstained", "truncated", "n_tokens", "error"]
    assert [found[0][column] for column in columns] == ["0", "label 9", "label 9", "label 9", "0.7", "label 2", "0.2"]
    assert [found[1][column] for column in columns] == ["1", "", "", "", "", "", ""]
    assert found[1]["error"] == "it is empty"


def test_top_k_above_the_number_of_labels() -> None:
    """A `top_k` above the number of labels gives columns for all labels."""
    output = io.StringIO()
    row_writer("csv", output, LABELS, with_id=False, with_text=False, top_k=10**9)
    assert output.getvalue().count("score_") == 3
