"""`python -m runtime.predict`: classify texts from the command line, from standard input or from a file.

One row per text, in order: a table on a terminal, JSON Lines elsewhere, or what `--format` says. A text that cannot be
classified gets a row with `error` in its place, so that output and input stay aligned, and the exit status is 1. The
text itself is never repeated, unless with `--with-text` or `--explain`.
"""

import argparse
import contextlib
import io
import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TextIO, cast, get_args

from . import highlight, rows
from .classifier import Classifier, load
from .errors import InputError, SettingError, TextError
from .exit_status import exit_status
from .policy import Prediction
from .progress import Progress
from .providers import PROVIDERS
from .records import SUFFIXES, Record, line_record, read_records
from .records import Format as InputFormat
from .settings import MAX_THREADS, Profile, check_number
from .target import writing

CHUNK_BYTES = 1 << 20


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m runtime.predict", description="Classify texts.")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts to classify (default: one per line on stdin)")
    parser.add_argument("--model", required=True, metavar="ARTIFACT", help="folder that `python -m export` wrote")
    parser.add_argument("--input", type=Path, metavar="FILE", help="read texts from a CSV, TSV or JSON Lines file")
    parser.add_argument("--input-format", choices=get_args(InputFormat), help="default: by the file's suffix")
    parser.add_argument("--text-column", default="text", metavar="NAME", help="column of the text (default: text)")
    parser.add_argument("--id-column", metavar="NAME", help="column that names the rows in the output")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there, and give it its name when complete")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument("--format", choices=get_args(rows.Format), help="default: table on a terminal, else jsonl")
    parser.add_argument("--with-text", action="store_true", help="repeat the text in the output")
    parser.add_argument("--top-k", type=int, metavar="K", help="give the K best labels and scores at most")
    parser.add_argument("--threshold", type=float, metavar="SCORE", help="give labels from this score on, 0 to 1")
    parser.add_argument(
        "--windows", choices=["artifact", "max", "mean"], help="read long texts to their end, in windows: how to sum up"
    )
    parser.add_argument("--explain", type=Path, metavar="PAGE.html", help="colour the words that decide, with the text")
    parser.add_argument("--explain-label", metavar="LABEL", help="explain this label (default: the best)")
    parser.add_argument("--provider", default="auto", metavar="{auto,cpu,cuda}", help="where to run (default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: the CPUs this process may use)")
    parser.add_argument("--profile", choices=get_args(Profile), default="latency", help="shared: idle threads sleep")
    parser.add_argument("--batch-tokens", type=int, metavar="N", help="tokens of a batch at most (default: 512 on CPU)")
    parser.add_argument("--quiet", action="store_true", help="no progress, and no line for each text with an error")
    parser.add_argument("--info", action="store_true", help="say what a bug report needs, and do nothing else")
    args, unknown = parser.parse_known_args(argv)
    if unknown:  # argparse's own message would repeat them, and they may be texts
        parser.error("unknown option; put -- in front of texts that begin with a dash")
    if args.provider not in ("auto", *PROVIDERS):
        parser.error(f"unknown provider {args.provider!r}: expected auto, {', '.join(sorted(PROVIDERS))}")
    if args.texts and (args.input is not None or args.input_format is not None):
        parser.error("either texts or --input and --input-format, not both")
    if args.input is not None and args.input_format is None:
        args.input_format = SUFFIXES.get(args.input.suffix.lower())
        if args.input_format is None:
            parser.error(f"--input: unknown suffix; expected {', '.join(SUFFIXES)}, or pass --input-format")
    if args.explain_label is not None and args.explain is None:
        parser.error("--explain-label needs --explain")
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        parser.error("--threshold: expected a number from 0 to 1")
    try:
        check_number("threads", args.threads, MAX_THREADS)
        check_number("batch-tokens", args.batch_tokens)
        check_number("top-k", args.top_k)
    except SettingError as error:
        parser.error(f"--{error}")
    return args


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
        classifier = stack.enter_context(
            load(
                args.model,
                provider=args.provider,
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
        page = None
        if args.explain is not None:
            page = stack.enter_context(writing(args.explain, overwrite=args.overwrite, source=args.input))
            page.write(highlight.PAGE)
            stack.callback(page.write, highlight.END)
        if args.output is not None:
            output = stack.enter_context(writing(args.output, overwrite=args.overwrite, source=args.input))
        return _process(args, classifier, file, output, page)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failed job, 2 for a wrong call."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    empty = cast(io.RawIOBase, io.BytesIO())
    stream = cast(io.BufferedReader, io.BufferedReader(empty) if sys.stdin is None else sys.stdin.buffer)
    return exit_status(lambda output: run(args, stream, output))


def _process(
    args: argparse.Namespace, classifier: Classifier, file: io.BufferedReader, output: TextIO, page: TextIO | None
) -> int:
    """Classifies, explains and writes; returns how many texts could not be classified."""
    form = args.format or _default_format(args.output, output)
    with_id, with_text = args.id_column is not None, args.with_text
    write = rows.writer(form, output, classifier.labels, with_id=with_id, with_text=with_text)
    share = None if args.input is None else _share_read(file)
    progress = Progress(quiet=args.quiet, shown=not (args.texts or output.isatty()), share=share)
    for group in _groups(args, file):
        for record, found in _classified(classifier, args, group):
            explanation = None
            if isinstance(found, TextError):
                progress.fail(record.index, record.error or found.reason)
            elif page is not None:
                explanation = classifier.explain(record.text, args.explain_label)
                name = str(record.index if record.id is None else record.id)
                page.write(highlight.article(name, record.text, explanation))
            write(rows.row(record, found, with_id=with_id, with_text=with_text, explanation=explanation))
            if explanation is not None and form == "table":
                print(highlight.coloured(record.text, explanation), file=output)
            progress.count()
        output.flush()
    progress.end()
    return progress.failures


def _default_format(path: Path | None, output: TextIO) -> rows.Format:
    """Returns the format that a suffix names, or what suits a terminal or a pipe."""
    if path is not None and path.suffix.lower() in (".csv", ".tsv"):
        return "csv" if path.suffix.lower() == ".csv" else "tsv"
    return "table" if output.isatty() else "jsonl"


def _opened(path: Path) -> io.BufferedReader:
    try:
        return path.open("rb")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def _share_read(file: io.BufferedReader) -> Callable[[], float]:
    """Returns what tells which share of a file has been read."""
    size_bytes = os.fstat(file.fileno()).st_size
    return lambda: file.tell() / size_bytes if size_bytes else 0.0


def _groups(args: argparse.Namespace, file: io.BufferedReader) -> Iterator[Iterable[Record]]:
    """Yields records in groups whose answers are due together."""
    if args.texts:
        yield [Record(index, text) for index, text in enumerate(args.texts)]
    elif args.input_format is not None:
        yield read_records(file, args.input_format, text_column=args.text_column, id_column=args.id_column)
    else:
        index = 0
        for lines in _arriving(file):
            yield [line_record(index + position, line) for position, line in enumerate(lines)]
            index += len(lines)


def _arriving(stream: io.BufferedReader) -> Iterator[list[bytes]]:
    """Yields complete lines as they come in, without waiting for more, so that a pipe gets its answers as it asks."""
    started: list[bytes] = []
    while chunk := stream.read1(CHUNK_BYTES):
        *complete, rest = chunk.split(b"\n")
        if complete:
            complete[0] = b"".join([*started, complete[0]])
            started = []
            yield complete
        started.append(rest)
    if any(started):
        yield [b"".join(started)]


def _classified(
    classifier: Classifier, args: argparse.Namespace, records: Iterable[Record]
) -> Iterator[tuple[Record, Prediction | TextError]]:
    """Yields each record with what the classifier says of it."""
    waiting: deque[Record] = deque()

    def texts() -> Iterator[str]:
        for record in records:
            waiting.append(record)
            yield record.text

    found = classifier.predict_iter(
        texts(),
        top_k=args.top_k,
        thresholds=args.threshold,
        windows=args.windows == "artifact" or args.windows or False,
        return_errors=True,
    )
    for prediction in found:
        yield waiting.popleft(), prediction


if __name__ == "__main__":
    sys.exit(main())
