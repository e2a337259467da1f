"""Finds the labels in a table's label columns and encodes them as targets.

There are three layouts: one column with one label per row (single-label); one column with several labels between
separators, or with JSON lists (multi-label); several columns of 0/1 or TRUE/FALSE, named after their labels
(multi-label).
"""

import hashlib
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from runtime.artifact.labels import is_label_name
from runtime.artifact.manifest import Task

from ..arrays import Integers, Targets
from ..errors import DataError
from .names import look, quoted
from .table import Table

FLAGS = {"0": False, "1": True, "false": False, "true": True}
MAX_GROUPS = 10

logger = logging.getLogger(__name__)


def label_sets(table: Table, columns: Sequence[str], separator: str | None) -> tuple[Task, list[tuple[str, ...]]]:
    """Reads every row's labels.

    Args:
        table: The file.
        columns: One label column, or several flag columns.
        separator: The characters between the labels of one column; None for one label per row.

    Returns:
        The task, and one tuple of labels per row; single-label rows have exactly one.

    Raises:
        DataError: A row has no label but needs one, or a field of a flag column is not a flag.
    """
    fields = table.fields(columns)
    if len(columns) > 1:
        if separator is not None:
            raise DataError("--label_separator requires a single label column; leave it out for several flag columns")
        if len(set(columns)) < len(columns):
            raise DataError("--label_columns names a column twice")
        return "multi_label", [_flagged(row, columns, table.name, number) for number, row in enumerate(fields, start=1)]
    if separator == "":
        raise DataError("--label_separator: expected the characters between two labels, found an empty string")
    values = [row[0] for row in fields]
    if separator is not None or any(isinstance(value, list) for value in values):
        return "multi_label", [
            _listed(value, separator, table.name, number) for number, value in enumerate(values, start=1)
        ]
    names = [_name(value, table.name, number) for number, value in enumerate(values, start=1)]
    if "" in names:
        raise DataError(
            f"{table.name}: row {names.index('') + 1} has no label in {columns[0]!r}; label it or remove it"
        )
    return "single_label", [(name,) for name in names]


def read_label_names(path: str | None) -> tuple[tuple[str, ...], list[str]]:
    """Reads the names of numbered labels; returns them and the file's hash in a list, both empty without a file.

    Raises:
        DataError: The file cannot be read, or a name is empty or occurs twice.
    """
    if path is None:
        return (), []
    try:
        content = Path(path).read_bytes()
        names = tuple(line.strip() for line in content.decode("utf-8-sig").rstrip().split("\n"))
    except OSError as error:
        raise DataError(f"cannot read --label_names_file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(f"--label_names_file {path} is not UTF-8; save it as UTF-8, one name per line") from error
    if not all(names) or len(set(names)) < len(names):
        raise DataError(f"--label_names_file {path}: expected one name per line, none empty and none twice")
    return names, [hashlib.sha256(content).hexdigest()]


def known_labels(
    sets: Sequence[Sequence[str]], columns: Sequence[str], names: Sequence[str], name: str
) -> tuple[str, ...]:
    """Returns the label names in a fixed order: that of the names file or the flag columns, else alphabetical.

    Logs a warning about names that look the same, such as `Yes` and `yes`. Names that come from cells are shown by row.

    Raises:
        DataError: There are fewer than two labels, a name is not printable, or no row has a label.
    """
    found = {label for labels in sets for label in labels}
    labels = tuple(names) or (tuple(columns) if len(columns) > 1 else tuple(sorted(found)))
    if not all(map(is_label_name, labels)):
        raise DataError(f"{name}: a label name is empty or has unprintable characters; rename it")
    if len(labels) < 2:
        raise DataError(f"{name}: expected two or more labels in {', '.join(columns)}, found {len(labels)}")
    if not found:
        raise DataError(f"{name} has no positive row in any of {', '.join(columns)}")
    chosen = bool(names) or len(columns) > 1  # named on purpose; cells may be texts, if the column is the wrong one
    rows: dict[str, int] = {}
    for row, cells in enumerate(sets, start=1):
        for label in cells:
            rows.setdefault(label, row)
    _warn_of_lookalikes({label: quoted(label) if chosen else f"row {rows[label]}" for label in labels}, name)
    return labels


def order_of(asked: Sequence[str], labels: Sequence[str]) -> Integers:
    """Returns the index of each requested label: (labels,) int64.

    Args:
        asked: All labels in the requested order, from the command line.
        labels: The labels of the data set, whose names may come from cells.

    Raises:
        DataError: A label is missing, unknown or named twice. The message shows only requested labels.
    """
    missing = len(set(labels) - set(asked))
    unknown = [label for label in asked if label not in labels]
    twice = [label for label, count in Counter(asked).items() if count > 1]
    if missing or unknown or twice:
        problems = [f"{missing} missing"] if missing else []
        problems += [f"{len(unknown)} unknown: {_first(unknown)}"] if unknown else []
        problems += [f"{len(twice)} named twice: {_first(twice)}"] if twice else []
        raise DataError(f"--label_order: expected each of the {len(labels)} labels once, found {', '.join(problems)}")
    return np.array([labels.index(label) for label in asked], np.int64)


def named(sets: Sequence[Sequence[str]], names: Sequence[str], file: str) -> list[tuple[str, ...]]:
    """Replaces label numbers by names.

    Args:
        sets: As returned by `label_sets`, of whole numbers from 0.
        names: Names in the order of the numbers.
        file: Name of the file, for messages.

    Raises:
        DataError: A label is not a number that has a name.
    """
    known = {str(number): name for number, name in enumerate(names)}
    for row, labels in enumerate(sets, start=1):
        if not all(label in known for label in labels):
            raise DataError(f"{file}: row {row} has a label that is not a number from 0 to {len(names) - 1}")
    return [tuple(known[label] for label in labels) for labels in sets]


def encode(sets: Sequence[Sequence[str]], labels: Sequence[str], task: Task, name: str) -> Targets:
    """Encodes labels as the targets of the loss.

    Returns:
        Single-label: (rows,) int64 label indices. Multi-label: (rows, labels) float32 of 0 and 1.

    Raises:
        DataError: A row has a label that is not among `labels`. The message contains no label, as it may be a text.
    """
    index = {label: position for position, label in enumerate(labels)}
    targets = np.zeros((len(sets), len(labels)), np.float32)
    for row, row_labels in enumerate(sets):
        for label in row_labels:
            if label not in index:
                hint = "is the label column the right one?"
                if look(label) in map(look, labels):
                    hint = "one of them differs only in case, white space or invisible characters"
                raise DataError(
                    f"{name}: row {row + 1} has an unknown label, not one of the {len(labels)} in the training file; "
                    f"{hint}"
                )
            targets[row, index[label]] = 1
    return targets.argmax(axis=1) if task == "single_label" else targets


def _first(labels: Sequence[str]) -> str:
    """Quotes labels, at most `MAX_GROUPS` of them."""
    return ", ".join(map(quoted, labels[:MAX_GROUPS])) + (", ..." if len(labels) > MAX_GROUPS else "")


def _warn_of_lookalikes(labels: Mapping[str, str], name: str) -> None:
    """Logs a warning about labels that look the same, given how each label is shown."""
    groups: dict[str, list[str]] = {}
    for label, shown in labels.items():
        groups.setdefault(look(label), []).append(shown)
    alike = [" and ".join(group) for group in groups.values() if len(group) > 1]
    if alike:
        more = f" and {len(alike) - MAX_GROUPS} more" if len(alike) > MAX_GROUPS else ""
        logger.warning(
            "%s: labels that differ only in case, white space or invisible characters are different labels: %s%s; "
            "merge them if they mean the same",
            name,
            "; ".join(alike[:MAX_GROUPS]),
            more,
        )


def _name(value: Any, name: str, number: int) -> str:
    """Returns a label as a CSV file would spell it.

    Raises:
        DataError: The value cannot be a label. The message does not contain it.
    """
    if value is None:
        return ""
    if not isinstance(value, str | int):
        raise DataError(
            f"{name}: row {number}: expected a label that is text, a whole number, true or false, found "
            f"{type(value).__name__}"
        )
    label = str(value).strip()
    if label and not is_label_name(label):
        raise DataError(f"{name}: row {number}: a label has unprintable characters; is the label column the right one?")
    return label


def _flagged(row: Sequence[Any], columns: Sequence[str], name: str, number: int) -> tuple[str, ...]:
    labels = []
    for column, value in zip(columns, row, strict=True):
        flag = FLAGS.get(_name(value, name, number).lower())
        if flag is None:
            raise DataError(f"{name}: row {number}, column {column!r}: expected 0, 1, TRUE or FALSE")
        if flag:
            labels.append(column)
    return tuple(labels)


def _listed(value: Any, separator: str | None, name: str, number: int) -> tuple[str, ...]:
    if isinstance(value, list):
        items = value
    elif separator is None:
        raise DataError(
            f"{name}: row {number}: expected a list of labels as in other rows, found {type(value).__name__}"
        )
    else:
        items = _name(value, name, number).split(separator)
    labels = (_name(item, name, number) for item in items)
    return tuple(dict.fromkeys(label for label in labels if label))
