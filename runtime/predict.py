"""`python -m runtime.predict`: classify texts from the command line, from standard input or from a file.

Writes one row per text, in order: a table on a terminal, JSON Lines elsewhere, or the format of `--format`. A text that
cannot be classified gets a row with `error`, so that output and input stay aligned, and the exit status is 1. The text
itself is not repeated, except with `--with-text` or `--explain`.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, Any, TextIO, cast

from .classifier import Classifier
from .cli.arguments import layout_of, load_classifier, parse_args
from .cli.command import exit_with, run_command
from .cli.progress import Progress
from .decision.policy import CallOptions
from .errors import InputError, SettingError
from .files import writers
from .files.atomic_file import atomic_write, is_same_file
from .files.chunks import read_all
from .files.inputs import InputFile, find_inputs
from .files.row_reader import read_records, read_stdin, text_record
from .jobs.stream import ExplanationPage, Item, Share, StreamScorer


def run(args: argparse.Namespace, stream: io.BufferedReader, output: TextIO) -> int:
    """Classifies the texts of the command line, of the input file, or else of the stream, and writes a row for each.

    Args:
        args: From `parse_args`.
        stream: Standard input: UTF-8 lines, which get their rows as they arrive, or the format of `--input-format`.
        output: Standard output, which receives the rows unless `--output` is set.

    Returns:
        The number of texts that could not be classified.

    Raises:
        LitmusError: The artifact cannot be loaded, a file cannot be read or written, or the model fails.
    """
    with contextlib.ExitStack() as stack:
        inputs = [] if args.input is None else find_inputs(args.input, args.input_format)
        file = stack.enter_context(inputs[0].open()) if len(inputs) == 1 and _is_plain(inputs[0]) else stream
        _check_inputs(args, inputs, output)
        in_use: dict[str, IO[Any]] = {} if args.texts else {"input": file}
        if args.output is None:
            in_use["standard output"] = output
        _check_streams(in_use)
        classifier = stack.enter_context(load_classifier(args))
        if args.info:
            print(json.dumps(classifier.info(), indent=2), file=output)
            return 0
        if args.explain_label not in (None, *classifier.labels):
            raise SettingError(f"--explain-label: expected one of {', '.join(classifier.labels):.400}")
        groups = _groups(args, inputs, file, stack)
        page = None
        if args.explain is not None:
            page = stack.enter_context(atomic_write(args.explain, overwrite=args.overwrite, in_use=in_use))
        if args.output is not None:
            output = stack.enter_context(atomic_write(args.output, overwrite=args.overwrite, in_use=in_use))
        scorer = _scorer(args, classifier, output, page)
        progress = Progress(quiet=args.quiet, shown=not (args.texts or output.isatty()))
        return scorer.score(groups, output, stack.enter_context(progress))


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failed job, 2 for a wrong call."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    empty = cast(io.RawIOBase, io.BytesIO())
    stream = cast(io.BufferedReader, io.BufferedReader(empty) if sys.stdin is None else sys.stdin.buffer)
    if args.output_dir is not None:
        from .predict_job import run_output_dir  # noqa: PLC0415 - imports what only a job needs

        return run_command(lambda _: run_output_dir(args), prints=False)
    prints = args.info or args.output is None
    return run_command(lambda output: 1 if run(args, stream, output) else 0, prints=prints)


def _check_streams(in_use: Mapping[str, IO[Any]]) -> None:
    """Rejects an input that would grow with the output."""
    for name, stream in ("standard output", in_use.get("standard output")), ("standard error", sys.stderr):
        if "input" in in_use and stream is not None and is_same_file(in_use["input"], stream):
            raise InputError(f"the input is also {name}; write to another file")


def _check_inputs(args: argparse.Namespace, inputs: Sequence[InputFile], output: TextIO) -> None:
    """Rejects an input that would be replaced by an output, or grow with it."""
    for item in inputs:
        if not item.storage.is_local:
            continue
        for path in (args.output, args.explain):
            if path is not None and path.exists() and path.samefile(item.path):
                raise InputError(f"{path} is both input and output; choose another output")
        if len(inputs) > 1 or not _is_plain(item):  # else the opened file is checked
            with open(item.path, "rb") as file:  # noqa: PTH123
                _check_streams({"input": file, "standard output": output})


def _scorer(args: argparse.Namespace, classifier: Classifier, output: TextIO, page: TextIO | None) -> StreamScorer:
    """Returns the scorer for the options of the command line."""
    terminal = output.isatty()
    form: writers.Format = args.format or ("table" if terminal and not args.keep else "jsonl")
    with_id, with_text = args.id_column is not None, args.with_text
    write_row = writers.row_writer(
        form, output, classifier.labels, with_id=with_id, with_text=with_text, keep=args.keep, top_k=args.top_k
    )

    def write(row: writers.Row, below: str = "") -> None:
        write_row(row)
        output.write(below)

    explanations = None
    if page is not None:
        colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        explanations = ExplanationPage(page, args.explain_label, form == "table" and terminal, colours)
    options = CallOptions(
        top_k=args.top_k, thresholds=args.threshold, windows=args.windows == "artifact" or args.windows or False
    )
    return StreamScorer(
        classifier, write, options, with_id=with_id, with_text=with_text, keep=args.keep, page=explanations
    )


def _groups(
    args: argparse.Namespace, inputs: Sequence[InputFile], file: io.BufferedReader, stack: contextlib.ExitStack
) -> Iterable[Iterable[Item]]:
    """Returns the records in groups, as `StreamScorer.score` takes them.

    The first record of a file is read at once, so that a wrong column is reported before anything is written.
    """
    if args.texts:
        return [[(text_record(index, _argument(text)), None) for index, text in enumerate(args.texts)]]
    if not inputs and args.input_format is None:
        if file.isatty() and not args.quiet:
            print("reading texts from the terminal, one per line; Ctrl-D ends", file=sys.stderr)
        return ([(record, None) for record in records] for records in read_stdin(file, args.encoding))
    share: Callable[[], Share] = lambda: None  # noqa: E731
    if not inputs:
        records = read_records(file, layout_of(args, args.input_format))
    elif len(inputs) == 1 and _is_plain(inputs[0]):
        records, share = read_records(file, layout_of(args, inputs[0].form)), _share_read(file)
    else:
        records = read_all(inputs, [layout_of(args, item.form) for item in inputs])
    stack.enter_context(contextlib.closing(records))
    first = next(records, None)
    return [] if first is None else [((record, share()) for record in itertools.chain([first], records))]


def _is_plain(file: InputFile) -> bool:
    """Returns whether the bytes of a file are its text."""
    return file.compression is None and file.form != "parquet" and file.storage.is_local


def _argument(text: str) -> str:
    """Decodes an argument as UTF-8 in any locale; Python keeps bytes that the locale cannot decode as surrogates."""
    with contextlib.suppress(UnicodeEncodeError):  # surrogates that do not come from a command line
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return text


def _share_read(file: io.BufferedReader) -> Callable[[], Share]:
    """Returns a function that returns the fraction of the file read so far."""
    size_bytes = os.fstat(file.fileno()).st_size
    return lambda: None if file.closed or not size_bytes else file.tell() / size_bytes


if __name__ == "__main__":
    exit_with(main())
