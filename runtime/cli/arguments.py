"""The command line of `python -m runtime.predict`. It is checked before anything is loaded or written."""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from ..artifact.manifest import Precision
from ..checks import require_whole_number
from ..classifier import Classifier, load
from ..engine.providers import PROVIDERS
from ..engine.settings import MAX_BATCH_TOKENS, MAX_THREADS, Profile
from ..errors import SettingError
from ..files import writers
from ..files.atomic_file import PART
from ..files.formats import DELIMITERS, InputFormat, is_encoding
from ..files.inputs import SUFFIXES, known_form, names_several
from ..files.records import DEFAULT_COLUMN, Layout
from .job_arguments import add_job, check_job
from .parser import Parser

OUTPUT_SUFFIXES = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}

OUTPUT_COLUMNS = {
    *("index", "label", "labels", "scores", "abstained", "truncated", "n_tokens", "windows"),
    *("explained", "words", "error"),
}


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line.

    Raises:
        SystemExit: The command line is wrong (status 2).
    """
    parser = Parser(prog="python -m runtime.predict", description="Classify texts.", allow_abbrev=False)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts to classify (default: one per line on stdin)")
    parser.add_argument("--model", required=True, metavar="ARTIFACT", help="folder that `python -m export` wrote")
    parser.add_argument(
        "--input",
        nargs="+",
        metavar="FILE",
        help="CSV, TSV, JSON Lines, Parquet or text files to read, plain or compressed (.gz, .zst); or folders, "
        "patterns, and addresses such as s3://bucket/folder",
    )
    parser.add_argument(
        "--input-format", choices=get_args(InputFormat), help="format of the input (default: by the suffix of --input)"
    )
    _add_layout(parser)
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="output file; written as FILE.part and renamed when complete"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing output files")
    parser.add_argument(
        "--format",
        "--output-format",
        choices=[*get_args(writers.Format), "parquet"],
        help="output format (default: by the suffix of --output; else a table on a terminal, jsonl in a pipe and in "
        "--output-dir; parquet only in --output-dir)",
    )
    parser.add_argument("--with-text", action="store_true", help="repeat the text in the output")
    parser.add_argument("--top-k", type=int, metavar="K", help="return at most K labels and scores, best first")
    parser.add_argument(
        "--threshold", type=float, metavar="SCORE", help="minimum score at which a label is assigned, 0 to 1"
    )
    parser.add_argument(
        "--windows",
        choices=["artifact", "max", "mean"],
        help="score long texts in overlapping windows, and combine the scores as the artifact says, or by max or mean",
    )
    parser.add_argument(
        "--explain",
        type=Path,
        metavar="PAGE.html",
        help="write a page that highlights each word's contribution (contains the texts; a terminal shows them too)",
    )
    parser.add_argument("--explain-label", metavar="LABEL", help="label to explain (default: the best one)")
    add_engine(parser)
    add_job(parser)
    parser.add_argument("--quiet", action="store_true", help="suppress progress and per-text error lines")
    parser.add_argument("--info", action="store_true", help="print versions, hardware and settings as JSON, then exit")
    args, unknown = parser.parse_known_args(argv)
    if unknown:  # the message of argparse would repeat them, and they may be texts
        parser.wrong("unknown option; put -- in front of texts that begin with a dash")
    _check_values(parser, args)
    _check_files(parser, args)
    _check_layout(parser, args)
    _check_page(parser, args)
    check_job(parser, args)
    return args


def _add_layout(parser: argparse.ArgumentParser) -> None:
    """Adds the options for the layout of the input, which have the same meaning in `python -m training`."""
    parser.add_argument(
        "--text-column", nargs="+", metavar="NAME", help="column of the text, or several to join (default: text)"
    )
    parser.add_argument("--id-column", metavar="NAME", help="column to copy to the output as `id`")
    parser.add_argument("--keep", nargs="+", metavar="NAME", default=[], help="columns to copy to the output")
    parser.add_argument(
        "--column-names", nargs="+", metavar="NAME", help="names of all columns of a CSV or TSV file without a header"
    )
    parser.add_argument(
        "--delimiter",
        metavar="C",
        help=r"character between fields of a CSV or TSV file, \t for a tab (default: a comma, in TSV a tab)",
    )
    parser.add_argument(
        "--quoting",
        type=str.lower,
        choices=["true", "false"],
        help="whether fields of a CSV or TSV file may be enclosed in double quotes (default: true)",
    )
    parser.add_argument(
        "--encoding",
        metavar="NAME",
        help="encoding of the input, such as cp1252; a byte order mark takes precedence (default: utf-8)",
    )


def add_engine(parser: argparse._ActionsContainer) -> None:
    """Adds the options that select where and how the model runs."""
    parser.add_argument(
        "--provider", default="auto", metavar="{auto,cpu,cuda}", help="execution provider (default: auto)"
    )
    parser.add_argument(
        "--variant", metavar="NAME", help="variant to run, such as fp32 (default: the provider's fastest)"
    )
    parser.add_argument(
        "--threads", type=int, metavar="N", help="threads per inference (default: the CPUs that this process may use)"
    )
    parser.add_argument(
        "--profile",
        choices=get_args(Profile),
        default="latency",
        help="latency: threads stay awake between operators. shared: they sleep, for machines with other work "
        "(default: latency)",
    )
    parser.add_argument(
        "--batch-tokens",
        type=int,
        metavar="N",
        help="maximum number of tokens of a batch (default: 512, on CUDA 16384)",
    )


def layout_of(args: argparse.Namespace, form: InputFormat) -> Layout:
    """Returns the layout of a file of a format, from the options of the command line."""
    return Layout(
        form,
        args.text_column or [DEFAULT_COLUMN],
        args.id_column,
        delimiter=args.delimiter or DELIMITERS.get(form, ","),
        quoting=args.quoting != "false",
        column_names=args.column_names or (),
        encoding=args.encoding,
        keep=args.keep,
    )


def load_classifier(args: argparse.Namespace, *, warm_up: bool = False) -> Classifier:
    """Loads `--model` with the options of `add_engine`; errors are those of `load`."""
    return load(
        args.model,
        provider=args.provider,
        variant=args.variant,
        threads=args.threads,
        profile=args.profile,
        batch_tokens=args.batch_tokens,
        warm_up=warm_up,
    )


def check_engine(parser: Parser, args: argparse.Namespace) -> None:
    """Rejects values of `add_engine` that are out of range."""
    if args.provider not in ("auto", *PROVIDERS):
        parser.wrong(f"--provider: expected auto, {', '.join(sorted(PROVIDERS))}")
    if args.variant not in (None, *get_args(Precision)):
        parser.wrong(f"--variant: expected {', '.join(get_args(Precision))}")
    try:
        require_whole_number("threads", args.threads, MAX_THREADS)
        require_whole_number("batch-tokens", args.batch_tokens, MAX_BATCH_TOKENS)
    except SettingError as error:
        parser.wrong(f"--{error}")


def _check_values(parser: Parser, args: argparse.Namespace) -> None:
    """Rejects values that are out of range."""
    check_engine(parser, args)
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        parser.wrong("--threshold: expected a number from 0 to 1")
    if args.delimiter == r"\t":
        args.delimiter = "\t"
    if args.delimiter is not None and (len(args.delimiter) != 1 or args.delimiter in '"\r\n\0'):
        parser.wrong("--delimiter: expected one character")
    if args.encoding is not None and not is_encoding(args.encoding):
        parser.wrong("--encoding: unknown; for example utf-8, utf-16, cp1252")
    try:
        require_whole_number("top-k", args.top_k)
    except SettingError as error:
        parser.wrong(f"--{error}")


def _check_files(parser: Parser, args: argparse.Namespace) -> None:
    """Rejects combinations of files that are not possible, and completes their formats."""
    if args.texts and (args.input is not None or args.input_format is not None):
        parser.wrong("either texts or --input and --input-format, not both")
    if args.input is not None and args.input_format is None:
        forms = {known_form(path) for path in args.input}
        if args.delimiter is not None and not forms & DELIMITERS.keys():
            args.input_format = "csv"
        elif None in forms and not all(known_form(path) or names_several(path) for path in args.input):
            parser.wrong(
                f"--input: expected a file with the suffix {', '.join(SUFFIXES)}, or --input-format; "
                "without --input standard input is read"
            )
    if args.input is None and args.input_format == "parquet":
        parser.wrong("--input-format: Parquet is read from files; pass --input")
    if args.output is not None and args.format is None:
        args.format = OUTPUT_SUFFIXES.get(args.output.suffix.lower())
        if args.format is None:
            parser.wrong(f"--output: expected a file with the suffix {', '.join(OUTPUT_SUFFIXES)}, or --format")
    if args.format == "table" and args.keep:
        parser.wrong("--keep: a table has no place for more columns; choose jsonl, csv or tsv")
    if args.format == "parquet" and args.output_dir is None:
        parser.wrong("--format: Parquet is written in parts; pass --output-dir")


def _check_layout(parser: Parser, args: argparse.Namespace) -> None:
    """Rejects options that do not apply to the format of the input, and completes the layout."""
    forms: set[str | None] = {args.input_format}
    if args.input is not None and args.input_format is None:
        forms = {known_form(path) for path in args.input}
    may_be_any = args.input is not None and None in forms  # as the suffixes in a folder will say
    has_columns = may_be_any or bool(forms - {None, "lines"})
    may_be_table = may_be_any or bool(forms & DELIMITERS.keys())
    if args.text_column is not None and not has_columns:
        parser.wrong(
            "--text-column: only CSV, TSV, JSON Lines and Parquet have columns; give such a file with --input, "
            "or leave out --text-column for texts on the command line"
        )
    for name in ("id_column", "keep"):
        if getattr(args, name) and not has_columns:
            parser.wrong(f"--{name.replace('_', '-')}: only CSV, TSV, JSON Lines and Parquet have columns")
    for name in ("delimiter", "quoting", "column_names"):
        if getattr(args, name) is not None and not may_be_table:
            parser.wrong(f"--{name.replace('_', '-')}: only for CSV and TSV; for standard input add --input-format csv")
    taken = OUTPUT_COLUMNS | {*["id"] * (args.id_column is not None), *["text"] * args.with_text}
    is_taken = [name in taken or name.startswith(("score_", "label_")) for name in args.keep]
    if any(is_taken) or len(set(args.keep)) < len(args.keep):
        parser.wrong("--keep: a column has the name of a column of the output, or is named twice")
    if args.encoding is not None and args.texts:
        parser.wrong("--encoding: only for --input and standard input")
    args.encoding = args.encoding or "utf-8"


def _check_page(parser: Parser, args: argparse.Namespace) -> None:
    if args.explain is None:
        if args.explain_label is not None:
            parser.wrong("--explain-label needs --explain")
        return
    if args.explain.suffix.lower() not in (".html", ".htm"):
        parser.wrong("--explain: expected the name of the page to write, with the suffix .html")
    if args.output is not None:
        page, output = os.path.realpath(args.explain), os.path.realpath(args.output)
        if page in (output, output + PART) or output == page + PART:
            parser.wrong("--explain and --output: expected two files")
