"""The options of `python -m benchmarks evaluate`."""

import argparse
from pathlib import Path

METRICS = (
    "weighted_f1",
    "macro_f1",
    "micro_f1",
    "macro_precision",
    "macro_recall",
    "micro_precision",
    "micro_recall",
    "accuracy",
    "exact_match",
    "roc_auc",
)


def add_options(command: argparse.ArgumentParser) -> None:
    """Adds the options; those on the file are those of `python -m training`."""
    add = command.add_argument
    add("--data", required=True, metavar="FILE", help="labelled .csv, .tsv or .jsonl file that no training has seen")
    add("--text_columns", nargs="+", required=True, metavar="NAME", help="columns of text, joined by a space")
    help_labels = "one column of labels, or several columns of 0/1 or TRUE/FALSE"
    add("--label_columns", nargs="+", required=True, metavar="NAME", help=help_labels)
    add("--label_separator", metavar="C", help="characters between the labels in one column")
    add("--label_names_file", metavar="FILE", help="names of labels that are numbered from 0, one per line")
    add(
        "--column_names",
        nargs="+",
        default=[],
        metavar="NAME",
        help="names of all columns, for a file without a header",
    )
    add("--delimiter", metavar="C", help="character between fields (default: by the suffix of the file)")
    add(
        "--quoting",
        type=_boolean,
        default=True,
        metavar="BOOL",
        help="whether double quotes enclose fields (default: true)",
    )
    add("--encoding", default="utf-8", metavar="NAME", help="encoding of the file (default: utf-8)")
    add("--output_dir", type=Path, required=True, metavar="FOLDER", help="folder for the report and predictions.csv")
    add("--variant", metavar="NAME", help="variant to evaluate (default: the fastest for the provider)")
    add("--provider", default="cpu", choices=("cpu", "cuda", "auto"), help="provider (default: cpu)")
    add("--slices", nargs="+", default=[], metavar="COLUMN", help="columns whose groups are compared")
    help_gate = f"exit with status 1 if a metric is lower, for example macro_f1=.80; metrics: {', '.join(METRICS)}"
    add("--fail-under", nargs="+", type=_gate, default=[], metavar="METRIC=VALUE", help=help_gate)
    add("--baseline", metavar="ARTIFACT", help="artifact with the same labels to compare with on the same rows")
    help_outside = "file with texts in the same columns that belong to no label"
    add("--out_of_scope", metavar="FILE", help=help_outside)


def _gate(value: str) -> tuple[str, float]:
    name, _, limit = value.partition("=")
    if name not in METRICS:
        raise argparse.ArgumentTypeError(f"unknown metric {name!r}; expected {', '.join(METRICS)}")
    try:
        number = float(limit)
    except ValueError:
        number = float("nan")
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{name}: expected a value from 0 to 1 after '=', found {limit!r}")
    return name, number


def _boolean(value: str) -> bool:
    if value.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"expected true or false, found {value!r}")
    return value.lower() == "true"
