"""The labelled rows that an artifact is evaluated on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runtime.artifact.manifest import Manifest
from training.arrays import Integers, Targets
from training.data.labels import encode, label_sets, named, read_label_names
from training.data.table import Table, read_table
from training.data.texts import joined_texts
from training.errors import DataError


@dataclass(frozen=True)
class Layout:
    """Where a file has its texts and labels; as the options of `python -m training` of the same names."""

    text_columns: Sequence[str]
    label_columns: Sequence[str]
    label_separator: str | None = None
    label_names_file: str | None = None
    column_names: Sequence[str] = ()
    delimiter: str | None = None
    quoting: bool = True
    encoding: str = "utf-8"

    def read(self, path: str) -> Table:
        """Reads a file of this layout.

        Raises:
            DataError: The file cannot be used.
        """
        return read_table(
            path,
            delimiter=self.delimiter,
            encoding=self.encoding,
            quoting=self.quoting,
            column_names=self.column_names,
        )


@dataclass(frozen=True)
class LabelledRows:
    """The rows of a file, of which those whose labels the model knows are evaluated.

    Attributes:
        table: The file.
        texts: One per row of the file.
        evaluated: (rows,) int64 numbers of the evaluated rows, from 0.
        targets: Their labels, as returned by `labels.encode`, in the order of the artifact's labels.
        unknown: (rows,) int64 numbers of the other rows, from 0.
    """

    table: Table
    texts: tuple[str, ...]
    evaluated: Integers
    targets: Targets
    unknown: Integers


def read_rows(path: str, layout: Layout, manifest: Manifest) -> LabelledRows:
    """Reads the rows of a file.

    Raises:
        DataError: A column is missing, a text is empty, the labels do not fit the artifact's task, or no row has a
            label that the model knows. The message contains no cell.
    """
    columns = [*layout.text_columns, *layout.label_columns]
    if len(set(columns)) < len(columns):
        raise DataError("--text_columns and --label_columns name a column twice")
    table = layout.read(path)
    texts = joined_texts(table, layout.text_columns)
    task, sets = label_sets(table, layout.label_columns, layout.label_separator)
    names, _ = read_label_names(layout.label_names_file)
    sets = named(sets, names, table.name) if names else sets
    if (task, manifest.task) == ("multi_label", "single_label"):
        raise DataError(f"{table.name} has several labels per row, but the artifact assigns one label to each text")
    missing = set(manifest.labels) - set(layout.label_columns)
    if len(layout.label_columns) > 1 and missing:
        raise DataError(
            f"{table.name}: --label_columns lacks {len(missing)} of the artifact's {len(manifest.labels)} labels; "
            "without their columns, correct predictions would count as wrong"
        )
    known = np.array([set(labels) <= set(manifest.labels) for labels in sets])
    if not known.any():
        raise DataError(
            f"{table.name}: no row has a label that the artifact knows; is {', '.join(layout.label_columns)} the label "
            "column, and is it the right artifact?"
        )
    rows, unknown = np.flatnonzero(known), np.flatnonzero(~known)
    targets = encode([sets[row] for row in rows], manifest.labels, manifest.task, table.name)
    if not targets.any() and manifest.task == "multi_label":
        raise DataError(f"{table.name}: no row has a label; there is nothing to evaluate")
    return LabelledRows(table, texts, rows, targets, unknown)
