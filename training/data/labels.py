"""Finds the labels in a table's label columns and encodes them as targets.

Three layouts: one column with one label per row (single-label); one column with several labels between separators, or
a JSON list (multi-label); several columns of 0/1 or TRUE/FALSE, each named after its label (multi-label).
"""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from runtime.artifact.labels import is_label_name
from runtime.artifact.manifest import Task

from ..arrays import Targets
from ..errors import DataError
from .names import look, spelt
from .table import Table

FLAGS = {"0": False, "1": True, "false": False, "true": True}
MAX_GROUPS = 10

logger = logging.getLogger(__name__)


def label_sets(table: Table, columns: Sequence[str], separator: str | None) -> tuple[Task, list[tuple[str, ...]]]:
    """Reads every row's labels.

    Args:
        table: The file.
        columns: One label column, or several flag columns.
        separator: Stands between the labels of one column; None for one label per row.

    Returns:
        The task, and one tuple of labels per row; single-label rows have exactly one.

    Raises:
        DataError: A row has no label where it needs one, or a flag that is none.
    """
    fields = table.fields(columns)
    if len(columns) > 1:
        if separator is not None:
            raise DataError("--label_separator goes with one label column; leave it out for several flag columns")
        if len(set(columns)) < len(columns):
            raise DataError("--label_columns names a column twice")
        return "multi_label", [_flagged(row, columns, table.name, number) for number, row in enumerate(fields, start=1)]
    if separator == "":
        raise DataError("--label_separator: expected the characters between two labels, found none")
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


def known_labels(
    sets: Sequence[Sequence[str]], columns: Sequence[str], names: Sequence[str], name: str
) -> tuple[str, ...]:
    """Returns the label names in a fixed order: the names file's, the flag columns', or the alphabet's.

    It warns of names that look the same, such as `Yes` and `yes`; of names that stand in cells it shows the rows.

    Raises:
        DataError: There is one label only, or none.
    """
    found = {label for labels in sets for label in labels}
    labels = tuple(names) or (tuple(columns) if len(columns) > 1 else tuple(sorted(found)))
    if not all(map(is_label_name, labels)):
        raise DataError(f"{name}: a label's name is empty or has characters that cannot be printed; rename it")
    if len(labels) < 2:
        raise DataError(f"{name} has {len(labels)} label in {', '.join(columns)}; a classifier needs two or more")
    if not found:
        raise DataError(f"{name} has no positive row in any of {', '.join(columns)}")
    chosen = bool(names) or len(columns) > 1  # by whoever passes them; cells may be texts, if the column is wrong
    rows: dict[str, int] = {}
    for row, cells in enumerate(sets, start=1):
        for label in cells:
            rows.setdefault(label, row)
    _warn_of_twins({label: spelt(label) if chosen else f"row {rows[label]}" for label in labels}, name)
    return labels


def named(sets: Sequence[Sequence[str]], names: Sequence[str], file: str) -> list[tuple[str, ...]]:
    """Puts names in the place of label numbers.

    Args:
        sets: As `label_sets` gives them, of whole numbers from 0.
        names: By number.
        file: Where the numbers stand, for messages.

    Raises:
        DataError: A label is not one of the numbers.
    """
    known = {str(number): name for number, name in enumerate(names)}
    for row, labels in enumerate(sets, start=1):
        if not all(label in known for label in labels):
            raise DataError(f"{file}: row {row} has a label that is not a number from 0 to {len(names) - 1}")
    return [tuple(known[label] for label in labels) for labels in sets]


def encode(sets: Sequence[Sequence[str]], labels: Sequence[str], task: Task, name: str) -> Targets:
    """Encodes labels as what the loss expects.

    Returns:
        Single-label: (rows,) int64 label indices. Multi-label: (rows, labels) float32 of 0 and 1.

    Raises:
        DataError: A row has a label that is not among `labels`; the message shows neither.
    """
    index = {label: position for position, label in enumerate(labels)}
    targets = np.zeros((len(sets), len(labels)), np.float32)
    for row, row_labels in enumerate(sets):
        for label in row_labels:
            if label not in index:
                hint = "is the label column the right one?"
                if look(label) in map(look, labels):
                    hint = "one of those differs only in case, white space or characters that nobody sees"
                raise DataError(
                    f"{name}: row {row + 1} has an unknown label, none of the {len(labels)} that the training file "
                    f"has; {hint}"
                )
            targets[row, index[label]] = 1
    return targets.argmax(axis=1) if task == "single_label" else targets


def _warn_of_twins(labels: Mapping[str, str], name: str) -> None:
    """Warns of labels that look the same, by what they are called in messages."""
    groups: dict[str, list[str]] = {}
    for label, shown in labels.items():
        groups.setdefault(look(label), []).append(shown)
    twins = [" and ".join(group) for group in groups.values() if len(group) > 1]
    if twins:
        more = f" and {len(twins) - MAX_GROUPS} more" if len(twins) > MAX_GROUPS else ""
        logger.warning(
            "%s: labels that differ only in case, white space or characters that nobody sees are learned as different "
            "ones: %s%s; make them one if they mean the same",
            name,
            "; ".join(twins[:MAX_GROUPS]),
            more,
        )


def _name(value: Any, name: str, number: int) -> str:
    """Spells a JSON value the way a CSV file would.

    Raises:
        DataError: It cannot be a label; its content is not shown.
    """
    if value is None:
        return ""
    if not isinstance(value, str | int):
        raise DataError(
            f"{name}: row {number}: a label is {type(value).__name__}; expected text, a whole number, true or false"
        )
    label = str(value).strip()
    if label and not is_label_name(label):
        raise DataError(
            f"{name}: row {number}: a label has characters that cannot be printed; is the label column the right one?"
        )
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
        parts = value
    elif separator is None:
        raise DataError(
            f"{name}: row {number}: expected a list of labels as in other rows, found {type(value).__name__}"
        )
    else:
        parts = _name(value, name, number).split(separator)
    labels = (_name(part, name, number) for part in parts)
    return tuple(dict.fromkeys(label for label in labels if label))
