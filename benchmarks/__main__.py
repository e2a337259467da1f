"""`python -m benchmarks {latency,throughput,footprint,quality,training} ...`: figures to decide on.

- `latency`: how long from text to scores, beside PyTorch, the transformers pipeline, Optimum and OpenVINO; and what
  `predict` adds to tokenizer and session. On held-out texts, or on those of any file.
- `throughput`: how many texts per second, beside batches padded in the order of the texts.
- `footprint`: start, memory and idle CPU of the runtime alone, in fresh processes (Linux). Needs no checkpoint.
- `quality`: does the artifact decide as well as its checkpoint.
- `training`: how fast training itself is, beside padding every text as notebooks do. Needs no artifact.

Each prints a Markdown table; `--output FILE.json` writes all figures. `python -m benchmarks demo` puts a latency and a
quality report together; `make demo` ends with it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime import LitmusError
from training.errors import DataError, TrainingError

from . import demo
from .data.texts_file import TextsFile
from .errors import BenchmarkError
from .harness.catalog import CONTENDERS
from .measurements import footprint, latency, quality, throughput, training

COMMANDS = {
    "latency": (latency, "how fast for one text, beside the alternatives"),
    "throughput": (throughput, "how many texts per second, beside padded batches"),
    "footprint": (footprint, "start, memory and idle CPU of the runtime alone"),
    "quality": (quality, "how good, beside PyTorch"),
    "training": (training, "how fast training is, beside padding every text"),
}


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare an artifact with PyTorch and peers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    parsers = {}
    for name, (_, help_text) in COMMANDS.items():
        command = parsers[name] = commands.add_parser(name, help=help_text)
        if name != "training":
            help_model = "folder that `python -m export` wrote"
            command.add_argument("--model", required=True, metavar="ARTIFACT", help=help_model)
        if name != "footprint":
            command.add_argument("--checkpoint", required=True, help="folder that `python -m training` wrote")
        command.add_argument("--output", type=Path, metavar="FILE.json", help="also write the report as JSON")
    _add_latency(parsers["latency"])
    _add_numbers(parsers["throughput"], rounds=5)
    texts_help = "held-out texts, never more than there are (default: all)"
    parsers["throughput"].add_argument("--texts", type=_positive, help=texts_help)
    for option, default, help_text in (
        ("--calls", 10000, "calls that may make memory grow"),
        ("--repeats", 9, "processes for each time"),
    ):
        parsers["footprint"].add_argument(
            option, type=_positive, default=default, help=f"{help_text} (default: {default})"
        )
    for option, default, help_text in (("--rows", 128, "rows of the epoch"), ("--rounds", 3, "interleaved rounds")):
        parsers["training"].add_argument(
            option, type=_positive, default=default, help=f"{help_text} (default: {default})"
        )
    summary = commands.add_parser("demo", help="the summary that `make demo` ends with")
    for name in ("latency", "quality"):
        summary.add_argument(f"--{name}", type=Path, required=True, metavar="FILE.json", help=f"report of `{name}`")
    args = parser.parse_args(argv)
    if args.command == "latency" and (args.texts_file is None) != (args.text_column is None):
        parsers["latency"].error("pass both --texts_file and --text_column, or neither")
    return args


def run(args: argparse.Namespace) -> tuple[str, bool]:
    """Measures, writes the JSON report if asked, and returns the Markdown one and whether it is complete.

    Raises:
        LitmusError: The artifact cannot be used.
        TrainingError: The checkpoint's data, or the file of texts, cannot be read.
        BenchmarkError: Something cannot be measured here.
    """
    if args.command == "demo":
        return demo.summary(_report(args.latency, "latency"), _report(args.quality, "quality")), True
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.touch()  # fails now rather than after the measurement
    report = _measure(args)
    if args.output is not None:
        args.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return COMMANDS[args.command][0].markdown(report), not report.get("failures")


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    match args.command:
        case "latency":
            file = None
            if args.texts_file is not None:
                file = TextsFile(args.texts_file, args.text_column, args.delimiter, args.encoding)
            numbers = {"rounds": args.rounds, "texts": args.texts, "threads": args.threads}
            return latency.measure(args.model, args.checkpoint, args.contenders, texts_file=file, **numbers)
        case "throughput":
            return throughput.measure(
                args.model, args.checkpoint, rounds=args.rounds, texts=args.texts, threads=args.threads
            )
        case "training":
            return training.measure(args.checkpoint, rows=args.rows, rounds=args.rounds)
        case "footprint":
            return footprint.measure(args.model, calls=args.calls, repeats=args.repeats)
        case _:
            return quality.measure(args.model, args.checkpoint)


def _add_latency(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--contenders",
        nargs="+",
        default=list(CONTENDERS),
        choices=list(CONTENDERS),
        metavar="NAME",
        help=f"default: all of {', '.join(CONTENDERS)}",
    )
    _add_numbers(command, rounds=7)
    command.add_argument("--texts", type=_positive, default=40, help="real texts per round (default: 40)")
    command.add_argument(
        "--texts_file", metavar="FILE", help="real texts instead of held-out ones: .csv, .tsv or .jsonl"
    )
    command.add_argument("--text_column", metavar="NAME", help="where the file has them")
    command.add_argument("--delimiter", help="between the file's fields, for example ';' (default: by its suffix)")
    command.add_argument("--encoding", default="utf-8", help="of the file (default: utf-8)")


def _add_numbers(command: argparse.ArgumentParser, *, rounds: int) -> None:
    command.add_argument("--rounds", type=_positive, default=rounds, help=f"interleaved rounds (default: {rounds})")
    command.add_argument("--threads", type=_positive, help="threads per contender (default: the CPUs of this process)")


def _report(path: Path, kind: str) -> dict[str, Any]:
    """Reads a report that an earlier run wrote."""
    try:
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
        if report["kind"] == kind:
            return report
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path} is not a report; make one with: python -m benchmarks {kind} --output FILE") from error
    raise DataError(f"{path} is a report of another kind than {kind}")


def _positive(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError("expected a whole number of 1 or more")
    return int(value)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, or 1 for a failed job (argparse exits with 2)."""
    try:
        table, complete = run(parse_args(sys.argv[1:] if argv is None else argv))
        print(table, end="")
    except (LitmusError, TrainingError, BenchmarkError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
