"""`python -m runtime.predict`: classify texts from the command line, from standard input or from a file.

One row per text, in order: a table on a terminal, JSON Lines elsewhere, or what `--format` says. A text that cannot be
classified gets a row with `error` in its place, so that output and input stay aligned, and the exit status is 1. The
text itself is never repeated, unless with `--with-text` or `--explain`.
"""

import argparse
import contextlib
import io
import itertools
import json
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn, TextIO, cast, get_args

from . import highlight, rows
from .classifier import Classifier, Found, load
from .errors import InputError, SettingError, TextError
from .exit_status import exit_status
from .progress import Progress
from .providers import PROVIDERS
from .records import SUFFIXES, Layout, Record, arriving, read_records, text_record
from .records import Format as InputFormat
from .settings import MAX_BATCH_TOKENS, MAX_THREADS, Profile, check_number
from .target import PART, writing

OUTPUT_SUFFIXES: dict[str, rows.Format] = {".csv": "csv", ".tsv": "tsv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
FLUSHED_ROWS = 256
Share = float | None


class _Parser(argparse.ArgumentParser):
    """Never repeats a value in its errors: what was meant for a text may stand in the place of an option's value."""

    def error(self, message: str) -> NoReturn:
        super().error(re.split(r":? ['\"]", message, maxsplit=1)[0])

    def wrong(self, message: str) -> NoReturn:
        """Ends with a message of ours."""
        super().error(message)


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = _Parser(prog="python -m runtime.predict", description="Classify texts.", allow_abbrev=False)
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts to classify (default: one per line on stdin)")
    parser.add_argument("--model", required=True, metavar="ARTIFACT", help="folder that `python -m export` wrote")
    parser.add_argument("--input", type=Path, metavar="FILE", help="read texts from a CSV, TSV or JSON Lines file")
    parser.add_argument("--input-format", choices=get_args(InputFormat), help="default: by the suffix of --input")
    parser.add_argument("--delimiter", metavar="C", help="what separates the fields of --input (default: , or tab)")
    parser.add_argument(
        "--text-column", nargs="+", default=["text"], metavar="NAME", help="column of the text, or several to join"
    )
    parser.add_argument("--id-column", metavar="NAME", help="column that names the rows in the output")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write there, and give it its name when complete")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")
    parser.add_argument(
        "--format",
        choices=get_args(rows.Format),
        help="default: by the suffix of --output; else a table on a terminal, jsonl in a pipe",
    )
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
        parser.wrong("unknown option; put -- in front of texts that begin with a dash")
    _check_values(parser, args)
    _check_files(parser, args)
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
        groups = _groups(args, file, stack)
        page = None
        if args.explain is not None:
            page = stack.enter_context(writing(args.explain, overwrite=args.overwrite, source=file))
        if args.output is not None:
            output = stack.enter_context(writing(args.output, overwrite=args.overwrite, source=file))
        return _process(args, classifier, groups, output, page)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failed job, 2 for a wrong call."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    empty = cast(io.RawIOBase, io.BytesIO())
    stream = cast(io.BufferedReader, io.BufferedReader(empty) if sys.stdin is None else sys.stdin.buffer)
    return exit_status(lambda output: run(args, stream, output))


def _check_values(parser: _Parser, args: argparse.Namespace) -> None:
    """Refuses values that are out of range."""
    if args.provider not in ("auto", *PROVIDERS):
        parser.wrong(f"--provider: expected auto, {', '.join(sorted(PROVIDERS))}")
    if args.threshold is not None and not 0 <= args.threshold <= 1:
        parser.wrong("--threshold: expected a number from 0 to 1")
    if args.delimiter == r"\t":
        args.delimiter = "\t"
    if args.delimiter is not None and (len(args.delimiter) != 1 or args.delimiter in '"\r\n'):
        parser.wrong("--delimiter: expected one character")
    try:
        check_number("threads", args.threads, MAX_THREADS)
        check_number("batch-tokens", args.batch_tokens, MAX_BATCH_TOKENS)
        check_number("top-k", args.top_k)
    except SettingError as error:
        parser.wrong(f"--{error}")


def _check_files(parser: _Parser, args: argparse.Namespace) -> None:
    """Refuses files that do not go together, and completes their formats."""
    if args.texts and (args.input is not None or args.input_format is not None):
        parser.wrong("either texts or --input and --input-format, not both")
    if args.input is not None and args.input_format is None:
        args.input_format = SUFFIXES.get(args.input.suffix.lower())
        if args.input_format is None:
            parser.wrong(
                f"--input: expected a file with the suffix {', '.join(SUFFIXES)}, or --input-format; "
                "without --input standard input is read"
            )
    if args.id_column is not None and args.input_format in (None, "lines"):
        parser.wrong("--id-column: only CSV, TSV and JSON Lines have columns")
    if args.output is not None and args.format is None:
        args.format = OUTPUT_SUFFIXES.get(args.output.suffix.lower())
        if args.format is None:
            parser.wrong(f"--output: expected a file with the suffix {', '.join(OUTPUT_SUFFIXES)}, or --format")
    _check_page(parser, args)


def _check_page(parser: _Parser, args: argparse.Namespace) -> None:
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


def _process(
    args: argparse.Namespace,
    classifier: Classifier,
    groups: Iterable[Iterable[tuple[Record, Share]]],
    output: TextIO,
    page: TextIO | None,
) -> int:
    """Classifies, explains and writes; returns how many texts could not be classified."""
    terminal = output.isatty()
    form: rows.Format = args.format or ("table" if terminal else "jsonl")
    with_id, with_text = args.id_column is not None, args.with_text
    write = rows.writer(form, output, classifier.labels, with_id=with_id, with_text=with_text)
    colours = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    if page is not None:
        page.write(highlight.PAGE)
    with Progress(quiet=args.quiet, shown=not (args.texts or terminal)) as progress:
        for group in groups:
            for record, share, found in _classified(classifier, args, group):
                explanation = None
                if isinstance(found, TextError):
                    progress.fail(record.index, record.error or found.reason)
                elif page is not None:
                    label = args.explain_label or found.label or max(found.scores, key=found.scores.__getitem__)
                    explanation = classifier.explain(record.text, label)
                    name = str(record.index if record.id is None else record.id)
                    page.write(highlight.article(name, record.text, explanation))
                write(rows.row(record, found, with_id=with_id, with_text=with_text, explanation=explanation))
                if explanation is not None and form == "table" and terminal:
                    print(highlight.coloured(record.text, explanation, colours=colours), file=output)
                progress.count(share)
                if progress.texts % FLUSHED_ROWS == 0:
                    output.flush()
            output.flush()
    if page is not None:
        page.write(highlight.END)
    return progress.failures


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
        return ([(record, None) for record in records] for records in arriving(file))
    delimiter = args.delimiter or ("\t" if args.input_format == "tsv" else ",")
    layout = Layout(args.input_format, args.text_column, args.id_column, delimiter)
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
) -> Iterator[tuple[Record, Share, Found]]:
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
    sys.exit(main())
