"""Writes predictions as JSON Lines, CSV, TSV, or a table for people. Texts are left out unless requested."""

import csv
import itertools
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TextIO

from ..artifact.labels import JOINERS
from ..decision.explanation import Explanation
from ..decision.prediction import Prediction
from ..errors import TextError
from .prediction_columns import prediction_columns
from .records import Record

Format = Literal["table", "jsonl", "csv", "tsv"]
Row = Mapping[str, Any]
DIGITS = 6
ID_WIDTH, MAX_LABEL_WIDTH, MIN_TEXT_WIDTH = 16, 40, 20


def output_row(
    record: Record,
    found: Prediction | TextError,
    *,
    with_id: bool = False,
    with_text: bool = False,
    keep: Sequence[str] = (),
    explanation: Explanation | None = None,
) -> dict[str, Any]:
    """Builds the output row of one text.

    Args:
        record: The record of the text.
        found: Its prediction or error.
        with_id: Whether to add the record's id.
        with_text: Whether to add the text.
        keep: Names for the record's kept columns.
        explanation: Adds the contributions of the words, with their positions in the text.
    """
    fields: dict[str, Any] = {"index": record.index}
    if with_id:
        fields["id"] = record.id
    if keep:
        fields |= zip(keep, record.kept or itertools.repeat(None), strict=False)
    if isinstance(found, TextError):
        fields["error"] = record.error or found.reason
    else:
        fields["label"], fields["labels"] = found.label, list(found.labels)
        fields["scores"] = _rounded(found.scores)
        fields["abstained"], fields["truncated"], fields["n_tokens"] = found.abstained, found.truncated, found.n_tokens
    if isinstance(found, Prediction) and found.windows:
        fields["windows"] = [
            {"start": window.start, "end": window.end, "scores": _rounded(window.scores)} for window in found.windows
        ]
    if explanation is not None:
        fields["explained"] = explanation.label
        fields["words"] = [[word.start, word.end, round(word.contribution, DIGITS)] for word in explanation.words]
    if with_text:
        fields["text"] = record.text
    return fields


def row_writer(
    form: Format,
    output: TextIO,
    labels: Sequence[str],
    *,
    with_id: bool = False,
    with_text: bool = False,
    with_error: bool = True,
    keep: Sequence[str] = (),
    top_k: int | None = None,
) -> Callable[[Row], None]:
    """Writes the header, if the format has one, and returns a function that writes a row of `output_row`.

    Args:
        form: `jsonl` writes all fields. `csv` and `tsv` write the labels joined by `join_labels`, a column for each
            label's score, and flags; with `top_k` a column for each of the best labels and for its score instead.
            `table` is for a terminal.
        output: Receives the rows.
        labels: Labels of the classifier.
        with_id: As for `output_row`.
        with_text: As for `output_row`.
        with_error: Whether there are rows with errors.
        keep: As for `output_row`.
        top_k: Maximum number of labels and scores of a row; None for all.
    """
    if form == "jsonl":
        return _json_lines(output)
    if form == "table":
        return _table(output, labels, with_id=with_id, with_text=with_text)
    delimiter = "," if form == "csv" else "\t"
    best = None if top_k is None else min(top_k, len(labels))
    before = [*["id"] * with_id, *keep]
    after = [*["text"] * with_text, *["error"] * with_error]
    return _delimited(output, delimiter, labels, before=before, after=after, best=best)


def join_labels(labels: Sequence[str]) -> str:
    """Joins labels by `|`. Labels with `|` or a double quote are quoted as in CSV, so that they can be split."""
    return "|".join('"' + label.replace('"', '""') + '"' if {*label} & {*'|"'} else label for label in labels)


def printable(text: str) -> str:
    """Replaces characters that a terminal might interpret, or break a line at."""
    return "".join(one if one.isprintable() or one in JOINERS else "\N{MIDDLE DOT}" for one in text)


def _rounded(scores: Mapping[str, float]) -> dict[str, float]:
    return {label: round(score, DIGITS) for label, score in scores.items()}


def _json_lines(output: TextIO) -> Callable[[Row], None]:
    encode = json.JSONEncoder(ensure_ascii=False).encode

    def write(fields: Row) -> None:
        output.write(encode(fields) + "\n")

    return write


def _delimited(
    output: TextIO,
    delimiter: str,
    labels: Sequence[str],
    *,
    before: Sequence[str],
    after: Sequence[str],
    best: int | None,
) -> Callable[[Row], None]:
    lines = csv.writer(output, delimiter=delimiter, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    flags = ["abstained", "truncated", "n_tokens"]
    lines.writerow(["index", *before, *(name for name, _ in prediction_columns(labels, best)), *after])

    def write(fields: Row) -> None:
        scores = fields.get("scores", {})
        cells = [fields["index"], *[_cell(fields.get(name)) for name in before]]
        cells += [fields.get("label"), join_labels(fields.get("labels", ()))]
        if best is None:
            cells += [scores.get(label) for label in labels]
        else:
            ranked = [cell for item in scores.items() for cell in item]
            cells += ranked + [None] * (2 * best - len(ranked))
        cells += [str(fields[flag]).lower() if flag in fields else None for flag in flags]
        lines.writerow([*cells, *[fields.get(name) for name in after]])

    return write


def _cell(value: Any) -> Any:
    """Returns a kept value as a cell; lists, objects and bool are written as in JSON."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict | bool) else value


def _table(output: TextIO, labels: Sequence[str], *, with_id: bool, with_text: bool) -> Callable[[Row], None]:
    label_width = min(MAX_LABEL_WIDTH, max(len("label"), *map(len, labels)))
    left = f"{{:>{ID_WIDTH}}}  {{:<{label_width}}}  {{:>6}}  "
    text_width = max(MIN_TEXT_WIDTH, shutil.get_terminal_size().columns - ID_WIDTH - label_width - 24)
    head = "id" if with_id else "index"
    print(left.format(head, "label", "score") + ("flags" if not with_text else "flags      text"), file=output)

    def write(fields: Row) -> None:
        name = printable(str(fields.get("id") if with_id else fields["index"]))
        name = name if len(name) <= ID_WIDTH else name[: ID_WIDTH - 1] + "\N{HORIZONTAL ELLIPSIS}"
        last = f"error: {fields['error']}" if "error" in fields else ""
        last = last or ", ".join(flag for flag in ("abstained", "truncated") if fields.get(flag))
        if with_text:
            last = f"{last:<9}  {printable(fields['text'][:text_width])}"
        for label, score in _lines(fields, len(labels)):
            cells = (name, printable(label)[:label_width], "" if score is None else f"{score:.4f}")
            print((left.format(*cells) + last).rstrip(), file=output)
            name = last = ""

    return write


def _lines(fields: Row, labels: int) -> list[tuple[str, float | None]]:
    """Returns the labels and scores that a table shows of a text; without labels, `-` and the best score.

    With `top_k`, labels that are not assigned are shown in parentheses.
    """
    scores = fields.get("scores", {})
    assigned = fields.get("labels", ())
    if 0 < len(scores) < labels:
        return [(label if label in assigned else f"({label})", score) for label, score in scores.items()]
    return [(label, scores[label]) for label in assigned] or [("-", max(scores.values(), default=None))]
