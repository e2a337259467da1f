"""`python -m runtime.predict`: classify texts from the command line, from standard input or from a file.

One row per text, in order: a table on a terminal, JSON Lines elsewhere, or what `--format` says. A text that cannot be
classified gets a row with `error` in its place, so that output and input stay aligned, and the exit status is 1. The
text itself is never repeated, unless with `--with-text` or `--explain`.
"""

import argparse
import contextlib
import dataclasses
import io
import itertools
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TextIO, cast

from .classifier import Classifier, Result, load
from .cli.arguments import parse_args
from .cli.command import exit_with, run_command
from .cli.progress import Progress
from .decision.policy import Prediction
from .errors import InputError, SettingError, TextError
from .files import highlight, writers
from .files.atomic_file import atomic_write, is_same_file
from .files.lines import NO_MEMORY
from .files.records import DEFAULT_COLUMN, Layout, Record, read_records, read_stdin, text_record

FLUSHED_ROWS = 256
Share = float | None


def run(args: argparse.Namespace, stream: io.BufferedReader, output: TextIO) -> int:
    """Classifies the texts of the command line, of the input file, or else of the stream, and writes a row for each.

    Args:
        args: From `parse_args`.
        stream: Standard input: UTF-8 lines that are answered as they arrive, or what `--input-format` says.
        output: Standard output, where the rows go without `--output`.

    Returns:
        How many texts could not be classified.

    Raises:
        LitmusError: The artifact cannot be loaded, a file not be read or written, or the model fails.
    """
    with contextlib.ExitStack() as stack:
        file = stream if args.input is None else stack.enter_context(_opened(args.input))
        in_use: dict[str, IO[Any]] = {} if args.texts else {"input": file}
        if args.output is None:
            in_use["standard output"] = output
        _check_streams(in_use)
        classifier = stack.enter_context(
            load(
                args.model,
                provider=args.provider,
                variant=args.variant,
                threads=args.threads,
                profile=args.profile,
                batch_tokens=args.batch_tokens,
            )
        )
        if args.info:
            print(json.dumps(classifier.info(), indent=2), file=output)
            return 0
        if args.explain_label not in (None, *classifier.labels):
            raise SettingError(f"--explain-label: expected one of {', '.join(classifier.labels):.400}")
        groups = _groups(args, file, stack)
        page = None
        if args.explain is not None:
            page = stack.enter_context(atomic_write(args.explain, overwrite=args.overwrite, in_use=in_use))
        if args.output is not None:
            output = stack.enter_context(atomic_write(args.output, overwrite=args.overwrite, in_use=in_use))
        return _process(args, classifier, groups, output, page)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failed job, 2 for a wrong call."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    empty = cast(io.RawIOBase, io.BytesIO())
    stream = cast(io.BufferedReader, io.BufferedReader(empty) if sys.stdin is None else sys.stdin.buffer)
    return run_command(lambda output: run(args, stream, output), prints=args.info or args.output is None)


def _check_streams(in_use: Mapping[str, IO[Any]]) -> None:
    """Refuses an input that grows by what is written."""
    for name, stream in ("standard output", in_use.get("standard output")), ("standard error", sys.stderr):
        if "input" in in_use and stream is not None and is_same_file(in_use["input"], stream):
            raise InputError(f"the input is also {name}; write to another file")


def _process(
    args: argparse.Namespace,
    classifier: Classifier,
    groups: Iterable[Iterable[tuple[Record, Share]]],
    output: TextIO,
    page: TextIO | None,
) -> int:
    """Classifies, explains and writes; returns how many texts could not be classified."""
    answer = _answers(args, classifier, output, page)
    if page is not None:
        page.write(highlight.PAGE)
    with Progress(quiet=args.quiet, shown=not (args.texts or output.isatty())) as progress:
        for group in groups:
            for record, share, prediction in _classified(classifier, args, group):
                found = prediction
                try:
                    answer(record, found)
                except (MemoryError, TextError) as error:  # it was read, but cannot be explained, or not be repeated
                    found = error if isinstance(error, TextError) else TextError(record.index, NO_MEMORY)
                    answer(dataclasses.replace(record, text=""), found)
                if isinstance(found, TextError):
                    progress.fail(record.index, record.error or found.reason)
                progress.count(share)
                if progress.texts % FLUSHED_ROWS == 0:
                    output.flush()
            output.flush()
    if page is not None:
        page.write(highlight.END)
    return progress.failures


def _answers(
    args: argparse.Namespace, classifier: Classifier, output: TextIO, page: TextIO | None
) -> Callable[[Record, Result], None]:
    """Returns what explains a text and writes its row."""
    terminal = output.isatty()
    form: writers.Format = args.format or ("table" if terminal else "jsonl")
    with_id, with_text = args.id_column is not None, args.with_text
    write = writers.row_writer(form, output, classifier.labels, with_id=with_id, with_text=with_text, top_k=args.top_k)
    colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    def answer(record: Record, found: Result) -> None:
        explanation, coloured = None, ""
        if page is not None and isinstance(found, Prediction):
            label = args.explain_label or found.label or max(found.scores, key=found.scores.__getitem__)
            explanation = classifier.explain(record.text, label)
            name = str(record.index if record.id is None else record.id)
            page.write(highlight.article(name, record.text, explanation))
            if form == "table" and terminal:
                coloured = highlight.coloured(record.text, explanation, colours=colours) + "\n"
        write(writers.output_row(record, found, with_id=with_id, with_text=with_text, explanation=explanation))
        output.write(coloured)

    return answer


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _groups(
    args: argparse.Namespace, file: io.BufferedReader, stack: contextlib.ExitStack
) -> Iterable[Iterable[tuple[Record, Share]]]:
    """Returns records in groups whose answers are due together, each with the share of the input up to it.

    Of a file the first record is read at once, so that a wrong call is told before anything is written.
    """
    if args.texts:
        return [[(text_record(index, _argument(text)), None) for index, text in enumerate(args.texts)]]
    if args.input_format is None:
        if file.isatty() and not args.quiet:
            print("reading texts from the terminal, one per line; Ctrl-D ends", file=sys.stderr)
        return ([(record, None) for record in records] for records in read_stdin(file, args.encoding))
    layout = Layout(
        args.input_format,
        args.text_column or [DEFAULT_COLUMN],
        args.id_column,
        delimiter=args.delimiter,
        quoting=args.quoting != "false",
        column_names=args.column_names or (),
        encoding=args.encoding,
    )
    records = stack.enter_context(contextlib.closing(read_records(file, layout)))
    share = (lambda: None) if args.input is None else _share_read(file)
    first = next(records, None)
    return [] if first is None else [((record, share()) for record in itertools.chain([first], records))]


def _argument(text: str) -> str:
    """Reads an argument as UTF-8 whatever the locale is; Python keeps what the locale does not know in surrogates."""
    with contextlib.suppress(UnicodeEncodeError):  # of surrogates that no command line holds
        return text.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
    return text


def _share_read(file: io.BufferedReader) -> Callable[[], Share]:
    """Returns what tells which share of a file has been read."""
    size_bytes = os.fstat(file.fileno()).st_size
    return lambda: None if file.closed or not size_bytes else file.tell() / size_bytes


def _classified(
    classifier: Classifier, args: argparse.Namespace, records: Iterable[tuple[Record, Share]]
) -> Iterator[tuple[Record, Share, Result]]:
    """Yields each record with what the classifier says of it; an input that breaks off is an error after the last."""
    waiting: deque[tuple[Record, Share]] = deque()

    def texts() -> Iterator[str]:
        for record, share in records:
            waiting.append((record, share))
            yield record.text

    found = classifier.predict_iter(
        texts(),
        top_k=args.top_k,
        thresholds=args.threshold,
        windows=args.windows == "artifact" or args.windows or False,
        return_errors=True,
    )
    for prediction in found:
        yield *waiting.popleft(), prediction


if __name__ == "__main__":
    exit_with(main())
