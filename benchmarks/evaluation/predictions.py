"""`predictions.csv`: the columns of the input, and what the artifact predicts."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from runtime.artifact.manifest import Manifest
from runtime.files.atomic_file import atomic_write

from .rows import LabelledRows, Layout
from .scoring import Scored

JOINER = "|"
SCORE, ABSTAINED = "prediction_score", "prediction_abstained"


def write_predictions(path: Path, rows: LabelledRows, layout: Layout, scored: Scored, manifest: Manifest) -> None:
    """Writes one row per row of the input, in its order, as CSV.

    The columns of the input keep their names and values. Behind them come the predicted labels, in a column
    `<label column>_predicted` for every label column, the best score, and for single-label whether the classifier
    abstains. Several labels in one column are joined by the separator of the input. Columns of these names that the
    input has from an earlier evaluation are replaced. A label column that the artifact does not know stays empty.
    """
    table, names = rows.table, manifest.labels
    flags = len(layout.label_columns) > 1
    separator = layout.label_separator or JOINER
    single = manifest.task == "single_label"
    added = [*(f"{column}_predicted" for column in layout.label_columns), SCORE, *([ABSTAINED] if single else [])]
    kept = [place for place, column in enumerate(table.columns) if column not in added]
    places = [names.index(column) if column in names else None for column in layout.label_columns] if flags else []
    with atomic_write(path, overwrite=True) as file:
        writer = csv.writer(file)  # ends lines with CR LF, so that a cell with either is quoted
        writer.writerow([*(table.columns[place] for place in kept), *added])
        for position, row in enumerate(table.rows):
            cells = [_cell(row[place]) for place in kept]
            if single:
                predicted = [names[scored.decided[position]]]
            elif flags:
                predicted = ["" if place is None else str(scored.decided[position, place]) for place in places]
            else:
                predicted = [separator.join(names[label] for label in np.flatnonzero(scored.decided[position]))]
            best = f"{scored.scores[position].max():.6f}"
            abstained = [str(bool(scored.abstained[position])).lower()] if single else []
            writer.writerow([*cells, *predicted, best, *abstained])


def _cell(value: Any) -> str:
    """Returns a value of JSON Lines as a CSV cell; texts stay as they are."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
