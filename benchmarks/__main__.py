"""`python -m benchmarks {latency,quality} --model ARTIFACT --checkpoint CHECKPOINT`: figures to decide on.

`python -m benchmarks demo` puts the reports of both together; `make demo` ends with it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from runtime import LitmusError
from training.errors import DataError, TrainingError

from . import demo, latency, quality
from .roster import ROSTER


def parse_args(argv: Sequence[str]) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Compare an artifact with PyTorch and peers."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    for name, help_text in (("latency", "how fast, beside the alternatives"), ("quality", "how good, beside PyTorch")):
        command = commands.add_parser(name, help=help_text)
        command.add_argument("--model", required=True, metavar="ARTIFACT", help="folder that `python -m export` wrote")
        command.add_argument("--checkpoint", required=True, help="folder that `python -m training` wrote")
        command.add_argument("--output", type=Path, metavar="FILE.json", help="also write the report as JSON")
        if name == "latency":
            command.add_argument(
                "--contenders",
                nargs="+",
                default=list(ROSTER),
                choices=list(ROSTER),
                metavar="NAME",
                help=f"default: all of {', '.join(ROSTER)}",
            )
            command.add_argument("--rounds", type=_positive, default=7, help="interleaved rounds (default: 7)")
            command.add_argument("--texts", type=_positive, default=40, help="real texts per round (default: 40)")
            command.add_argument(
                "--threads", type=_positive, help="threads per contender (default: the CPUs of this process)"
            )
    summary = commands.add_parser("demo", help="the summary that `make demo` ends with")
    for name in ("latency", "quality"):
        summary.add_argument(f"--{name}", type=Path, required=True, metavar="FILE.json", help=f"report of `{name}`")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> tuple[str, bool]:
    """Measures, writes the JSON report if asked, and returns the Markdown one and whether it is complete.

    Raises:
        LitmusError: The artifact cannot be used.
        TrainingError: The checkpoint's data cannot be read again.
    """
    if args.command == "demo":
        return demo.summary(_report(args.latency, "latency"), _report(args.quality, "quality")), True
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.touch()  # fails now rather than after the measurement
    if args.command == "latency":
        report = latency.measure(
            args.model, args.checkpoint, args.contenders, rounds=args.rounds, texts=args.texts, threads=args.threads
        )
        table = latency.markdown(report)
    else:
        report = quality.measure(args.model, args.checkpoint)
        table = quality.markdown(report)
    if args.output is not None:
        args.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return table, not report.get("failures")


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
    except (LitmusError, TrainingError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
