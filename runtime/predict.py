"""`python -m runtime.predict`: classify texts from the command line, JSON Lines out.

One output line per text, in order. A text that cannot be classified gets a line with `error` in its place, so that
output and input stay aligned, and the exit status is 1. The text itself is never repeated.
"""

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from typing import Any, TextIO, cast

from .classifier import Classifier, load
from .errors import SettingError, TextError
from .exit_status import exit_status
from .policy import Prediction
from .providers import PROVIDERS
from .settings import MAX_THREADS, check_number
from .tokenizer import EMPTY

CHUNK_BYTES = 1 << 16
LINES_PER_BATCH = 64


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(prog="python -m runtime.predict", description="Classify texts; JSON Lines out.")
    parser.add_argument("texts", nargs="*", metavar="TEXT", help="texts to classify (default: one per line on stdin)")
    parser.add_argument("--model", required=True, metavar="ARTIFACT", help="folder that `python -m export` wrote")
    parser.add_argument("--provider", default="auto", metavar="{auto,cpu,cuda}", help="where to run (default: auto)")
    parser.add_argument("--threads", type=int, metavar="N", help="threads (default: the CPUs this process may use)")
    args, unknown = parser.parse_known_args(argv)
    if unknown:  # argparse's own message would repeat them, and they may be texts
        parser.error("unknown option; put -- in front of texts that begin with a dash")
    if args.provider not in ("auto", *PROVIDERS):
        parser.error(f"unknown provider {args.provider!r}: expected auto, {', '.join(sorted(PROVIDERS))}")
    try:
        check_number("threads", args.threads, MAX_THREADS)
    except SettingError as error:
        parser.error(f"--{error}")
    return args


def run(args: argparse.Namespace, stream: io.BufferedIOBase, output: TextIO) -> int:
    """Classifies the texts of the command line, or else the lines, and writes one JSON object per text.

    Args:
        args: From `parse_args`.
        stream: UTF-8 lines, read only if the command line holds no text; whatever has arrived is answered at once.
        output: Receives the JSON Lines.

    Returns:
        How many texts could not be classified.

    Raises:
        LitmusError: The artifact cannot be loaded, or the model fails.
    """
    classifier = load(args.model, provider=args.provider, threads=args.threads)
    index = failures = 0
    for batch in [args.texts] if args.texts else _arriving(stream):
        for result in _predict(classifier, batch):
            if isinstance(result, TextError):
                failures += 1
                print(f"error: text {index}: {result.reason}", file=sys.stderr)
                row: dict[str, Any] = {"index": index, "error": result.reason}
            else:
                scores = {label: round(score, 6) for label, score in result.scores.items()}
                row = {"index": index, "labels": result.labels, "scores": scores, "truncated": result.truncated}
            output.write(json.dumps(row, ensure_ascii=False) + "\n")
            index += 1
        output.flush()
    return failures


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, 1 for a failed job, 2 for a wrong call."""
    args = parse_args(sys.argv[1:] if argv is None else argv)
    stream = io.BytesIO() if sys.stdin is None else cast(io.BufferedIOBase, sys.stdin.buffer)
    return exit_status(lambda output: run(args, stream, output))


def _arriving(stream: io.BufferedIOBase) -> Iterator[list[str | TextError]]:
    """Yields the lines that have arrived, without waiting for more, so that a pipe gets its answers as it asks."""
    index = 0
    for lines in _lines(stream):
        for start in range(0, len(lines), LINES_PER_BATCH):
            batch = lines[start : start + LINES_PER_BATCH]
            yield [_decode(index + position, line) for position, line in enumerate(batch)]
            index += len(batch)


def _lines(stream: io.BufferedIOBase) -> Iterator[list[bytes]]:
    """Yields complete lines in groups as they come in; the last may lack its end."""
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


def _decode(index: int, line: bytes) -> str | TextError:
    """Returns a line as text, or the reason why it is none."""
    content = line.removeprefix(b"\xef\xbb\xbf") if index == 0 else line
    try:
        return content.rstrip(b"\r").decode()
    except UnicodeDecodeError:
        return TextError(index, "it is not UTF-8; convert the input, for example with iconv")


def _predict(classifier: Classifier, texts: Sequence[str | TextError]) -> list[Prediction | TextError]:
    """Classifies a batch; a text that cannot be classified gives its error and does not cost the others theirs."""
    results: dict[int, Prediction | TextError] = {}
    good: dict[int, str] = {}
    for position, text in enumerate(texts):
        if isinstance(text, TextError):
            results[position] = text
        elif not text.strip():  # the most frequent reason is cheap to see; others take another attempt below
            results[position] = TextError(position, EMPTY)
        else:
            good[position] = text
    while True:
        positions = list(good)
        try:
            results.update(zip(positions, classifier.predict_many(good.values()), strict=True))
            return [results[position] for position in range(len(texts))]
        except TextError as error:
            bad = positions[error.position]
            results[bad] = error
            del good[bad]


if __name__ == "__main__":
    sys.exit(main())
