"""`python -m benchmarks COMMAND ...`: speed, size and quality of an artifact.

- `report`: everything a team decides by on one page: speed, quality, memory and cost, compared with the alternatives.
- `evaluate`: quality of the artifact on any labelled file: groups, comparison, label errors, drift. Needs no PyTorch.
- `latency`: time from text to scores, compared with PyTorch, the transformers pipeline, Optimum, OpenVINO and Sentence
  Transformers, and the overhead of `predict` over its tokenizer and session. It runs the texts of the test split, or
  those of any file.
- `throughput`: texts per second, compared with padded batches in the order of the file.
- `footprint`: start-up time, memory and idle CPU time of the runtime in fresh processes. Linux only.
- `roofline`: how close the artifact comes to the arithmetic that this CPU can do.
- `quality`: metrics of the artifact and of its checkpoint in PyTorch.
- `training`: speed of training, compared with padding every text to the same length.
- `cuda`: every check of a GPU in one command.
- `service`: what `python -m runtime.serve` costs, and what it does under load, compared with other services.
- `files`: jobs on files of any size, compared with the same texts in memory.
- `tune`: the settings of `load` that are fastest for given texts on this machine.

Each prints a Markdown table, and writes all figures to `--output FILE.json`; `report` and `evaluate` write a folder.
`plot` draws a latency report. `demo` joins a latency and a quality report in the table that `make demo` ends with.
"""

import argparse
import importlib
import io
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from runtime import LitmusError
from runtime.files.atomic_file import atomic_write
from runtime.interrupts import interrupts_everywhere
from training.errors import TrainingError

from .arguments import parse_args
from .errors import BenchmarkError
from .evaluation.extras import needs_extra
from .harness.reports import read_report, to_json

MODULES = {"tune": "tuning"}  # of the measurements whose module has another name than the command
TABLES = {"latency": "latency_tables"}  # of those whose tables are in another module


def run(args: argparse.Namespace) -> tuple[str, bool]:
    """Runs a command; each imports only what it needs.

    Returns:
        The text to print, and whether everything could be measured and every limit holds.

    Raises:
        LitmusError: The artifact cannot be used.
        TrainingError: The checkpoint's data, a file of texts or a report cannot be read.
        BenchmarkError: Something cannot be measured on this machine.
    """
    if args.command == "evaluate":
        with needs_extra():
            command = importlib.import_module(f"{__package__}.evaluation.command")
        evaluated: tuple[str, bool] = command.run(args)
        return evaluated
    if args.command == "report":
        reported: tuple[str, bool] = importlib.import_module(f"{__package__}.report.command").run(args)
        return reported
    if args.command == "demo":
        summary = importlib.import_module(f"{__package__}.demo.summary").summary
        return summary(read_report(args.latency, "latency"), read_report(args.quality, "quality")), True
    if args.command == "plot":
        plot = importlib.import_module(f"{__package__}.measurements.latency_plot")
        plot.save(plot.draw(read_report(args.latency, "latency"), args.lengths), args.output)
        return "", True
    if args.output is None:
        report = _measure(args)
    else:
        args.output.parent.mkdir(parents=True, exist_ok=True)
        in_use = {"standard output": sys.stdout}
        with atomic_write(args.output, overwrite=True, in_use=in_use) as file:  # fails before the measurement
            report = _measure(args)
            file.write(to_json(report))
    tables = _module(TABLES.get(args.command, MODULES.get(args.command, args.command)))
    return tables.markdown(report), not report.get("failures")


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"{__package__}.measurements.{name}")


def _measure(args: argparse.Namespace) -> dict[str, Any]:
    measure: Callable[..., dict[str, Any]] = _module(MODULES.get(args.command, args.command)).measure
    match args.command:
        case "latency":
            return measure(
                args.model,
                args.checkpoint,
                args.contenders,
                rounds=args.rounds,
                texts=args.texts,
                threads=args.threads,
                batch_sizes=args.batch_sizes,
                lengths=args.lengths,
                texts_file=None if args.texts_file is None else _texts_file(args),
            )
        case "cuda":
            return measure(args.model, args.checkpoint, rounds=args.rounds)
        case "service":
            return measure(args.model, args.checkpoint, args.services, rounds=args.rounds, seconds=args.seconds)
        case "files":
            return measure(
                args.model,
                _texts_file(args),
                rows=args.rows,
                rounds=args.rounds,
                workers=args.workers,
                ray=args.ray,
                memory_rows=args.memory_rows or 0,
            )
        case "tune":
            return measure(args.model, _texts_file(args), texts=args.texts)
        case "throughput":
            return measure(args.model, args.checkpoint, rounds=args.rounds, texts=args.texts, threads=args.threads)
        case "training":
            return measure(args.checkpoint, rows=args.rows, rounds=args.rounds)
        case "footprint":
            return measure(args.model, calls=args.calls, repeats=args.repeats)
        case "roofline":
            return measure(args.model, threads=args.threads)
        case _:
            return measure(args.model, args.checkpoint)


def _texts_file(args: argparse.Namespace) -> Any:
    texts_file = importlib.import_module(f"{__package__}.data.texts_file").TextsFile
    return texts_file(args.texts_file, args.text_column, args.delimiter, args.encoding)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status: 0, or 1 for a failed job (argparse exits with 2)."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal may lack a character of a label
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
