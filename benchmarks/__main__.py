"""`python -m benchmarks {latency,quality} --model ARTIFACT --checkpoint CHECKPOINT`: figures to decide on.

`python -m benchmarks demo` puts the reports of both together; `make demo` ends with it.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from runtime import LitmusError
from training.errors import TrainingError

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
            command.add_argument("--rounds", type=int, default=7, help="interleaved rounds (default: 7)")
            command.add_argument("--texts", type=int, default=40, help="real texts per round (default: 40)")
            command.add_argument(
                "--threads", type=int, help="threads per contender (default: the CPUs of this process)"
            )
    summary = commands.add_parser("demo", help="the summary that `make demo` ends with")
    for name in ("latency", "quality"):
        summary.add_argument(f"--{name}", type=Path, required=True, metavar="FILE.json", help=f"report of `{name}`")
    return parser.parse_args(argv)


def run(args: argparse.Namespace) -> str:
    """Measures, writes the JSON report if asked, and returns the Markdown one.

    Raises:
        LitmusError: The artifact cannot be used.
        TrainingError: The checkpoint's data cannot be read again.
    """
    if args.command == "demo":
        return demo.summary(json.loads(args.latency.read_text("utf-8")), json.loads(args.quality.read_text("utf-8")))
    if args.command == "latency":
        report = latency.measure(
            args.model, args.checkpoint, args.contenders, rounds=args.rounds, texts=args.texts, threads=args.threads
        )
        table = latency.markdown(report)
    else:
        report = quality.measure(args.model, args.checkpoint)
        table = quality.markdown(report)
    if args.output is not None:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        args.output.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, or 1 for a failed job (argparse exits with 2)."""
    try:
        print(run(parse_args(sys.argv[1:] if argv is None else argv)), end="")
    except (LitmusError, TrainingError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
