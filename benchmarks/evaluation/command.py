"""Runs `python -m benchmarks evaluate`: reads, evaluates, writes the report, and says what was found."""

import argparse
import csv
import importlib
import json
from collections.abc import Sequence
from pathlib import Path

from runtime.artifact.manifest import NAME
from runtime.files.atomic_file import atomic_write
from runtime.files.writers import join_labels
from training.errors import DataError
from training.reporting.document import write

from .evaluation import Evaluation, evaluate, to_record
from .extras import needs_extra
from .page import document, verdict
from .predictions import write_predictions
from .rows import Layout

PREDICTIONS, RECORD, LABEL_ERRORS, REPORT = "predictions.csv", "evaluation.json", "label_errors.csv", "report.html"
OUTPUTS = (PREDICTIONS, RECORD, LABEL_ERRORS, REPORT, "report.md")


def run(args: argparse.Namespace) -> tuple[str, bool]:
    """Evaluates and writes the report, `predictions.csv`, `label_errors.csv` and `evaluation.json`.

    Returns:
        The text to print, and whether every limit of `--fail-under` holds.

    Raises:
        LitmusError: An artifact cannot be used, or a file cannot be written.
        DataError: A file cannot be used.
    """
    layout = Layout(
        args.text_columns,
        args.label_columns,
        args.label_separator,
        args.label_names_file,
        args.column_names,
        args.delimiter,
        args.quoting,
        args.encoding,
    )
    inputs = [path for path in (args.data, args.out_of_scope, args.label_names_file) if path is not None]
    _check_output(args.output_dir, inputs)
    with needs_extra():  # before the work
        for package in ("cleanlab", *(["fairlearn"] if args.slices else [])):
            importlib.import_module(package)
    found = evaluate(
        args.model,
        args.data,
        layout,
        provider=args.provider,
        variant=args.variant,
        slice_columns=tuple(args.slices),
        limits=tuple(args.fail_under),
        baseline=args.baseline,
        outside=args.out_of_scope,
    )
    names = {"model": _name(args.model), "baseline": None if args.baseline is None else _name(args.baseline)}
    args.output_dir.mkdir(parents=True, exist_ok=True)
    write(document(found, model=str(names["model"]), baseline=names["baseline"]), args.output_dir)
    write_predictions(args.output_dir / PREDICTIONS, found.rows, layout, found.every, found.manifest)
    _write_label_errors(args.output_dir / LABEL_ERRORS, found)
    with atomic_write(args.output_dir / RECORD, overwrite=True) as file:
        file.write(json.dumps(names | to_record(found), indent=2, ensure_ascii=False) + "\n")
    return _printed(found, names["baseline"], args.output_dir), not found.failed


def _check_output(folder: Path, inputs: Sequence[str]) -> None:
    """Refuses a folder in which an output would replace an input or damage an artifact."""
    if folder.exists() and not folder.is_dir():
        raise DataError(f"--output_dir {folder} is a file; choose a folder")
    if (folder / NAME).exists():
        raise DataError(f"--output_dir {folder} is an artifact, which may have no other files; choose another folder")
    outputs = {(folder / name).resolve() for name in OUTPUTS}
    for path in inputs:
        if Path(path).resolve().parent == folder.resolve() or Path(path).resolve() in outputs:
            raise DataError(f"{path} might be replaced by the output; choose another --output_dir")


def _printed(found: Evaluation, baseline: str | None, folder: Path) -> str:
    """Returns the verdict, the warnings and a table of the labels as in scikit-learn's classification report."""
    names = found.manifest.labels
    width = max(map(len, (*names, "weighted average")))
    lines = [verdict(found, baseline), "", *(f"warning: {warning}" for warning in found.warnings), ""]
    lines.append(f"{'':{width}}  precision  recall      F1    rows")
    for name, label in zip(names, found.labels, strict=True):
        figures = f"{label.precision:9.4f}  {label.recall:6.4f}  {label.f1:6.4f}  {label.rows:6d}"
        lines.append(f"{name:{width}}  {figures}")
    lines += [
        "",
        *(f"{path.name + ':':18}{path}" for path in (folder / REPORT, folder / PREDICTIONS, folder / LABEL_ERRORS)),
    ]
    return "\n".join(lines) + "\n"


def _write_label_errors(path: Path, found: Evaluation) -> None:
    with atomic_write(path, overwrite=True) as file:
        writer = csv.writer(file)
        writer.writerow(["row", "label", "predicted", "score_of_label"])
        for item in found.label_errors:
            row = found.rows.evaluated[item.row] + 1
            writer.writerow([row, join_labels(item.given), join_labels(item.suggested), f"{item.score:.6f}"])


def _name(path: str) -> str:
    """Returns the last part of a path: a report may be published, the machine's folders should not be."""
    return Path(path).resolve().name
