"""A data set for fine-tuning: texts and targets in a training, a validation and a test split.

The splits depend only on the order of the rows and the seed, so anyone who has the file can rebuild them. They are made
with scikit-learn's `train_test_split`, stratified for single-label data.
"""

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from sklearn.model_selection import train_test_split

from runtime.artifact.manifest import Task

from ..arguments import MAX_SEED, DataArguments
from ..arrays import Integers, Targets
from ..errors import DataError
from . import wisconsin
from .cleaning import cleaned
from .labels import encode, known_labels, label_sets, named, order_of, read_label_names
from .table import Table, read_table
from .texts import joined_texts

DATASETS = ("wisconsin",)


@dataclass(frozen=True)
class Split:
    """Some rows of a data set.

    Attributes:
        texts: One per row.
        targets: As returned by `labels.encode`.
        rows: (rows,) int64 row numbers in their file, from 0.
        keys: One per row, for duplicate detection, as returned by `cleaned`.
    """

    texts: tuple[str, ...]
    targets: Targets
    rows: Integers
    keys: tuple[str, ...]


@dataclass(frozen=True)
class LabelledData:
    """A data set with its splits.

    Attributes:
        task: `single_label` or `multi_label`.
        labels: Names in the order of the targets.
        sha256: Fingerprint of everything that was read.
        files: Fingerprint of each file of rows.
        train: The training split.
        validation: The validation split, on which the epoch and the decision parameters are chosen.
        test: The test split, on which the result is evaluated once.
        removed: How many rows of the training and the validation split were removed as duplicates of texts in a later
            split.
    """

    task: Task
    labels: tuple[str, ...]
    sha256: str
    files: tuple[str, ...]
    train: Split
    validation: Split
    test: Split
    removed: Mapping[str, int]

    @property
    def splits(self) -> dict[str, Split]:
        """The splits by name."""
        return {"train": self.train, "validation": self.validation, "test": self.test}


def load_data(arguments: DataArguments) -> LabelledData:
    """Reads and splits the data set that the arguments name.

    Raises:
        DataError: A file, a column, a label or a text cannot be used, or the rows cannot be split as asked.
    """
    data = _from_files(arguments) if arguments.dataset is None else _embedded(arguments)
    return _reordered(data, arguments.label_order) if arguments.label_order else data


def _reordered(data: LabelledData, labels: Sequence[str]) -> LabelledData:
    """Returns the data with its labels in another order; as it is split already, the rows of each split stay."""
    order = order_of(labels, data.labels)
    new = np.argsort(order)  # the new index of each label

    def targets(split: Split) -> Split:
        found = new[split.targets] if data.task == "single_label" else split.targets[:, order]
        return replace(split, targets=found)

    train, validation, test = map(targets, (data.train, data.validation, data.test))
    return replace(data, labels=tuple(labels), train=train, validation=validation, test=test)


def _from_files(arguments: DataArguments) -> LabelledData:
    if arguments.train_file is None:
        raise DataError(f"nothing to train on: pass --train_file, or --dataset {' or '.join(DATASETS)}")
    if not arguments.text_columns or not arguments.label_columns:
        raise DataError("pass --text_columns and --label_columns: names from the header, or from --column_names")
    if len(set(arguments.text_columns)) < len(arguments.text_columns):
        raise DataError("--text_columns names a column twice")
    if set(arguments.text_columns) & set(arguments.label_columns):
        raise DataError("a column is in both --text_columns and --label_columns; the label would leak into the text")
    tables = {"train": _read(arguments.train_file, arguments)}
    for name, path in (("validation", arguments.validation_file), ("test", arguments.test_file)):
        if path is not None:
            tables[name] = _read(path, arguments)
    names, names_sha256 = read_label_names(arguments.label_names_file)
    task, sets = _label_sets(tables["train"], arguments, names)
    labels = known_labels(sets, arguments.label_columns, names, tables["train"].name)
    splits = {}
    for name, table in tables.items():
        found, sets = _label_sets(table, arguments, names)
        if (task, found) == ("single_label", "multi_label"):
            raise DataError(
                f"{table.name}: expected one label per row as in {tables['train'].name}, found lists of labels"
            )
        texts = joined_texts(table, arguments.text_columns)
        keys = tuple(cleaned(texts, arguments.cleaning, table.name))
        splits[name] = Split(texts, encode(sets, labels, task, table.name), np.arange(len(texts)), keys)
    files = tuple(table.sha256 for table in tables.values())
    hashes = [f"{name} {table.sha256}" for name, table in tables.items()] + names_sha256
    several = hashlib.sha256("\n".join(hashes).encode()).hexdigest()
    sha256 = tables["train"].sha256 if len(hashes) == 1 else several
    return _split(splits, task, labels, (sha256, files), arguments)


def _label_sets(table: Table, arguments: DataArguments, names: tuple[str, ...]) -> tuple[Task, list[tuple[str, ...]]]:
    task, sets = label_sets(table, arguments.label_columns, arguments.label_separator)
    return task, named(sets, names, table.name) if names else sets


def _read(path: str, arguments: DataArguments) -> Table:
    return read_table(
        path,
        delimiter=arguments.delimiter,
        encoding=arguments.encoding,
        quoting=arguments.quoting,
        column_names=arguments.column_names,
    )


def _embedded(arguments: DataArguments) -> LabelledData:
    if arguments.dataset not in DATASETS:
        raise DataError(f"unknown data set {arguments.dataset!r}; expected {' or '.join(DATASETS)}")
    if arguments.train_file or arguments.validation_file or arguments.test_file:
        raise DataError("pass either --dataset or files, not both")
    cases = wisconsin.cases()
    sha256 = hashlib.sha256("\n".join(cases.reports).encode()).hexdigest()
    keys = tuple(cleaned(cases.reports, arguments.cleaning, arguments.dataset))
    whole = Split(cases.reports, cases.targets, np.arange(len(cases.reports)), keys)
    return _split({"train": whole}, "single_label", cases.labels, (sha256, (sha256,)), arguments)


def _split(
    splits: dict[str, Split],
    task: Task,
    labels: tuple[str, ...],
    fingerprints: tuple[str, tuple[str, ...]],
    arguments: DataArguments,
) -> LabelledData:
    """Splits the test rows, then the validation rows, off the training rows, unless they have files of their own."""
    rows = len(splits["train"].texts)
    whole = splits["train"]
    kept = np.arange(rows)
    for name, fraction in (("test", arguments.test_size), ("validation", arguments.validation_size)):
        if name in splits:
            continue
        if not 0 < fraction < 1:
            raise DataError(f"--{name}_size: expected a fraction between 0 and 1, found {fraction}")
        kept, taken = _take(kept, whole.targets, task, math.ceil(fraction * rows), arguments.split_seed, name)
        splits[name] = _rows(whole, taken)
    splits["train"] = _rows(whole, kept)
    removed = _remove_duplicates(splits)
    train, validation, test = (splits[name] for name in ("train", "validation", "test"))
    return LabelledData(task, labels, *fingerprints, train, validation, test, removed)


def _remove_duplicates(splits: dict[str, Split]) -> dict[str, int]:
    """Removes rows of the training and the validation split whose text is also in a later split, in place.

    They would make the metrics too good. The test split stays whole, so that its metrics compare with published ones.
    Texts are duplicates if they differ only in case and white space after cleaning.

    Returns:
        How many rows were removed, by split.
    """
    seen: set[str] = set()
    removed = {}
    for name in ("test", "validation", "train"):
        keys = splits[name].keys
        if name != "test":
            kept = np.array([row for row, key in enumerate(keys) if key not in seen], np.int64)
            removed[name] = len(keys) - len(kept)
            if not len(kept):
                others = "test" if name == "validation" else "validation or test"
                raise DataError(f"every text of the {name} split is also in the {others} split; use other rows")
            if removed[name]:
                splits[name] = _rows(splits[name], kept)
        seen.update(keys)
    return removed


def _take(rows: Integers, targets: Targets, task: Task, size: int, seed: int, name: str) -> tuple[Integers, Integers]:
    """Splits `size` rows off; returns the other rows and these. The only row of a label stays among the others."""
    if not 0 <= seed <= MAX_SEED:
        raise DataError(f"--split_seed: expected 0 to {MAX_SEED}, found {seed}")
    single: list[int] = []
    stratify = None
    if task == "single_label":
        counts = Counter(targets[rows].tolist())
        single = [int(row) for row in rows if counts[int(targets[row])] < 2]
        rows = np.setdiff1d(rows, single, assume_unique=True)
        stratify = targets[rows]
    if size >= len(rows):
        of = "rows" if task == "multi_label" else "rows whose label is not unique"
        raise DataError(
            f"cannot split {size} {name} rows off {len(rows)} {of}; use more rows, or another --{name}_size"
        )
    try:
        kept, taken = train_test_split(rows, test_size=size, random_state=seed, stratify=stratify)
    except ValueError as error:
        raise DataError(
            f"cannot split {size} {name} rows off {len(rows)}: {str(error).rstrip('. ')}; "
            f"use more rows or another --{name}_size"
        ) from error
    return np.concatenate([kept, np.array(single, np.int64)]), taken


def _rows(whole: Split, rows: Integers) -> Split:
    texts, keys = (tuple(items[row] for row in rows) for items in (whole.texts, whole.keys))
    return Split(texts, whole.targets[rows], whole.rows[rows], keys)
