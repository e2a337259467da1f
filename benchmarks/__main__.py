"""`python -m benchmarks COMMAND ...`: speed, size and quality of an artifact.

- `latency`: time from text to scores, start, memory and quality, compared with PyTorch, the transformers pipeline,
  Optimum, OpenVINO and Sentence Transformers, and the overhead of `predict` over its tokenizer and session. It runs the
  texts of the test split, or those of any file.
- `throughput`: texts per second, compared with padded batches in the order of the file.
- `footprint`: start-up time, memory and idle CPU time of the runtime in fresh processes. Linux only.
- `quality`: metrics of the artifact and of its checkpoint in PyTorch.
- `training`: speed of training, compared with padding every text to the same length.
- `cuda`: every check of a GPU in one command.
- `service`: what `python -m runtime.serve` costs, and what it does under load, compared with other services.
- `tune`: the settings of `load` that are fastest for given texts on this machine.

Each prints a Markdown table, and writes all figures to `--output FILE.json`. `plot` draws a latency report. `demo`
joins a latency and a quality report in the table that `make demo` ends with.
"""

import argparse
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runtime import LitmusError
from runtime.files.atomic_file import atomic_write
from runtime.interrupts import interrupts_everywhere
from training.errors import DataError, TrainingError

from .arguments import parse_args
from .data.texts_file import TextsFile
from .demo.summary import summary
from .errors import BenchmarkError
from .measurements import (
    cuda,
    footprint,
    latency,
    latency_plot,
    latency_tables,
    quality,
    service,
    throughput,
    training,
    tuning,
)

MARKDOWN = {
    "latency": latency_tables.markdown,
    "throughput": throughput.markdown,
    "footprint": footprint.markdown,
    "quality": quality.markdown,
    "training": training.markdown,
    "tune": tuning.markdown,
    "cuda": cuda.markdown,
    "service": service.markdown,
}
# A list of numbers over several lines. No line ends inside a JSON string, so nothing else looks like one.
NUMBERS = re.compile(r"\[\n([-+.,e\d\s]+)\]")


def run(args: argparse.Namespace) -> tuple[str, bool]:
    """Runs a command.

    Returns:
        The text to print, and whether everything could be measured.

    Raises:
        LitmusError: The artifact cannot be used.
        TrainingError: The checkpoint's data, the file of texts or a report cannot be read.
        BenchmarkError: Something cannot be measured on this machine.
    """
    if args.command == "demo":
        return summary(_report(args.latency, "latency"), _report(args.quality, "quality")), True
    if args.command == "plot":
        latency_plot.save(latency_plot.draw(_report(args.latency, "latency")), args.output)
        return "", True
    if args.output is None:
        report = _measure(args)
    else:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        in_use = {"standard output": sys.stdout}
        with atomic_write(args.output, overwrite=True, in_use=in_use) as file:  # fails before the measurement
            report = _measure(args)
            file.write(to_json(report))
    return MARKDOWN[args.command](report), not report.get("failures")


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    match args.command:
        case "latency":
            file = None if args.texts_file is None else _texts_file(args)
            return latency.measure(
                args.model,
                args.checkpoint,
                args.contenders,
                rounds=args.rounds,
                texts=args.texts,
                threads=args.threads,
                batch_sizes=args.batch_sizes,
                lengths=args.lengths,
                texts_file=file,
            )
        case "cuda":
            return cuda.measure(args.model, args.checkpoint, rounds=args.rounds)
        case "service":
            return service.measure(args.model, args.checkpoint, args.services, rounds=args.rounds, seconds=args.seconds)
        case "tune":
            return tuning.measure(args.model, _texts_file(args), texts=args.texts)
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


def to_json(report: Mapping[str, Any]) -> str:
    """Returns a report as JSON, with every list of numbers on one line, because a latency report has thousands."""
    return NUMBERS.sub(lambda found: f"[{' '.join(found[1].split())}]", json.dumps(report, indent=2)) + "\n"


def _texts_file(args: argparse.Namespace) -> TextsFile:
    return TextsFile(args.texts_file, args.text_column, args.delimiter, args.encoding)


def _report(path: Path, kind: str) -> dict[str, Any]:
    """Reads a report that an earlier run wrote."""
    try:
        report: dict[str, Any] = json.loads(path.read_text("utf-8"))
        found, _ = report["kind"], report["results"].items()
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not a report; make one with: python -m benchmarks {kind} --output FILE") from error
    if found != kind:
        raise DataError(f"{path} is a report of another kind: expected {kind}, found {found}")
    return report


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, or 1 for a failed job (argparse exits with 2)."""
    try:
        with interrupts_everywhere():
            text, complete = run(parse_args(sys.argv[1:] if argv is None else argv))
        print(text, end="")
    except (LitmusError, TrainingError, BenchmarkError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
